#pragma once

#include "math.h"

// The numbers by which nn/cuda names activations.
enum { NONE, RELU, ELU, TANH, SIGMOID, GELU, GELU_TANH };

// activate64 is the activation of the given kind; ELU is a·x for x > 0, else b·(eˣ − 1).
APART double activate64(int kind, float a, float b, double x) {
	switch (kind) {
	case NONE: return x;
	case RELU: return x < 0 ? 0 : x;
	case ELU: return x > 0 ? a * x : b * expm1Of(x);
	case TANH: return tanhOf(x);
	case SIGMOID: return 1 / (1 + expOf(-x));
	case GELU: return x * normal(x);
	default: return x / 2 * (1 + tanhOf(0.7978845608028654 * (x + 0.044715 * x * x * x)));
	}
}

APART float activate(int kind, float a, float b, float x) { return (float)activate64(kind, a, b, x); }

// bends gives the first and the second derivative of what has no other; at ELU's kink they are PyTorch's.
APART void bends(int kind, float a, float b, double x, double *slope, double *bend) {
	const double root = 0.7978845608028654, cube = 0.044715; // √(2/π)
	switch (kind) {
	case ELU:
		*slope = x > 0 ? a : b * expOf(x), *bend = x >= 0 ? 0 : *slope;
		return;
	case TANH: {
		double t = tanhOf(x);
		*slope = 1 - t * t, *bend = -2 * t * *slope;
		return;
	}
	case SIGMOID: {
		double s = 1 / (1 + expOf(-x));
		*slope = s * (1 - s), *bend = *slope * (1 - 2 * s);
		return;
	}
	case GELU: {
		double density = 0.3989422804014327 * expOf(-x * x / 2);
		*slope = normal(x) + x * density, *bend = density * (2 - x * x);
		return;
	}
	default: {
		double t = tanhOf(root * (x + cube * x * x * x)), u1 = root * (1 + 3 * cube * x * x), u2 = root * 6 * cube * x;
		double t1 = (1 - t * t) * u1, t2 = (1 - t * t) * u2 - 2 * t * t1 * u1;
		*slope = (1 + t) / 2 + x / 2 * t1, *bend = t1 + x / 2 * t2;
	}
	}
}
