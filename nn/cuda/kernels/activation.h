#pragma once

#include "math.h"

// The numbers by which nn/cuda names activations.
enum { NONE, RELU, ELU, TANH, SIGMOID, GELU, GELU_TANH };

// activate is the activation of the given kind; ELU is a·x for x > 0, else b·(eˣ − 1).
APART float activate(int kind, float a, float b, float x) {
	double y = x;
	switch (kind) {
	case NONE: return x;
	case RELU: return x < 0 ? 0 : x;
	case ELU: return x > 0 ? a * x : (float)(b * expm1Of(y));
	case TANH: return (float)tanhOf(y);
	case SIGMOID: return (float)(1 / (1 + expOf(-y)));
	case GELU: return (float)(y * normal(y));
	default: return (float)(y / 2 * (1 + tanhOf(0.7978845608028654 * (y + 0.044715 * y * y * y))));
	}
}
