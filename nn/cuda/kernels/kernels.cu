#include "elements.h"
#include "product.h"
#include "weights.h"
