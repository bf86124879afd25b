#include "derive.h"
#include "elements.h"
#include "patch.h"
#include "weights.h"
