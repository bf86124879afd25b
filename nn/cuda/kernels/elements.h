// The other operations: a thread an output.

#pragma once

#include "activation.h"
#include "view.h"

struct Elements {
	View in, out, residual; // residual.data is null if there is none
	const float *factors;   // null: scale 1, shift 0
	distance factorsPoint;
	int scale, shift;
	int images, channels, height, width;          // of the input
	int outChannels, outHeight, outWidth;
	int kernelY, kernelX, strideY, strideX, padY, padX; // of a window; kernelY 0: adaptive
	int kind;                                           // activation; for pool: 0 maximum, 1 mean, 2 mean with padding; for softmax: 1 logarithm
	float a, b;                                         // of the activation
};

struct Place { int n, pixel, c; };

// place is the output that this thread computes; n is −1 if there is none.
DEVICE Place place(const Elements &a) {
	int i = blockX() * 256 + threadX(), pixels = a.outHeight * a.outWidth;
	if (i >= a.images * pixels * a.outChannels) return {-1, 0, 0};
	return {i / a.outChannels / pixels, i / a.outChannels % pixels, i % a.outChannels};
}

DEVICE float *at(const View &v, const Place &p) { return v.data + blockZ() * v.point + p.n * v.image + (distance)p.pixel * v.pixel + p.c; }

// affine is activation(in·scale + shift + residual); a thread does four channels.
KERNEL(256) affine(const Elements a) {
	unsigned i = blockX() * 256 + threadX(), fours = (a.channels + 3) / 4, pixel = i / fours;
	if (pixel >= (unsigned)a.images * a.height * a.width) return;
	int c = i % fours * 4, count = a.channels - c < 4 ? a.channels - c : 4;
	// Pictures follow each other.
	const float *in = a.in.data + blockZ() * a.in.point + (distance)pixel * a.in.pixel + c;
	const float *residual = a.residual.data + blockZ() * a.residual.point + (distance)pixel * a.residual.pixel + c;
	float *out = a.out.data + blockZ() * a.out.point + (distance)pixel * a.out.pixel + c;
	const float *factors = a.factors + blockZ() * a.factorsPoint;
	Four x = {{0, 0, 0, 0}}, r = {{0, 0, 0, 0}};
	bool whole = count == 4 && a.in.even == 2 && a.out.even == 2 && (!a.residual.data || a.residual.even == 2);
	if (whole) {
		x = *(const Four *)in;
		if (a.residual.data) r = *(const Four *)residual;
	}
	UNROLL
	for (int e = 0; e < 4; e++) {
		if (e >= count) break;
		if (!whole) {
			x.v[e] = in[e];
			if (a.residual.data) r.v[e] = residual[e];
		}
		if (a.factors) x.v[e] = __builtin_fmaf(x.v[e], factors[a.scale + c + e], factors[a.shift + c + e]);
		if (a.residual.data) x.v[e] += r.v[e];
	}
	if (a.kind == RELU) {
		UNROLL
		for (int e = 0; e < 4; e++) x.v[e] = x.v[e] < 0 ? 0 : x.v[e];
	} else if (a.kind != NONE) {
		UNROLL
		for (int e = 0; e < 4; e++)
			if (e < count) x.v[e] = activate(a.kind, a.a, a.b, x.v[e]);
	}
	if (whole) {
		*(Four *)out = x;
		return;
	}
	UNROLL
	for (int e = 0; e < 4; e++)
		if (e < count) out[e] = x.v[e];
}

KERNEL(256) pool(const Elements a) {
	Place p = place(a);
	if (p.n < 0) return;
	int y = p.pixel / a.outWidth, x = p.pixel % a.outWidth;
	int top, bottom, left, right, divisor;
	if (a.kernelY) {
		top = y * a.strideY - a.padY, left = x * a.strideX - a.padX;
		bottom = top + a.kernelY < a.height + a.padY ? top + a.kernelY : a.height + a.padY;
		right = left + a.kernelX < a.width + a.padX ? left + a.kernelX : a.width + a.padX;
		divisor = (bottom - top) * (right - left);
		if (top < 0) top = 0;
		if (left < 0) left = 0;
		if (bottom > a.height) bottom = a.height;
		if (right > a.width) right = a.width;
	} else {
		top = y * a.height / a.outHeight, left = x * a.width / a.outWidth;
		bottom = ((y + 1) * a.height + a.outHeight - 1) / a.outHeight, right = ((x + 1) * a.width + a.outWidth - 1) / a.outWidth;
	}
	if (a.kind != 2 || !a.kernelY) divisor = (bottom - top) * (right - left);
	double sum = 0;
	float largest = -__builtin_inff();
	for (int v = top; v < bottom; v++)
		for (int u = left; u < right; u++) {
			float z = *at(a.in, {p.n, v * a.width + u, p.c});
			sum += z;
			if (z > largest || z != z) largest = z;
			if (largest != largest) break;
		}
	*at(a.out, p) = a.kind == 0 ? largest : (float)(sum / divisor);
}

// softmax is over the channels of a pixel; a thread a pixel.
KERNEL(256) softmax(const Elements a) {
	int i = blockX() * 256 + threadX(), pixels = a.height * a.width;
	if (i >= a.images * pixels) return;
	const float *in = at(a.in, {i / pixels, i % pixels, 0});
	float *out = at(a.out, {i / pixels, i % pixels, 0});
	float top = in[0];
	for (int c = 1; c < a.channels; c++)
		if (in[c] > top || in[c] != in[c]) top = in[c];
	double sum = 0;
	for (int c = 0; c < a.channels; c++) sum += expOf((double)in[c] - top);
	double log = logOf(sum);
	for (int c = 0; c < a.channels; c++) {
		double y = (double)in[c] - top - log;
		out[c] = (float)(a.kind ? y : expOf(y));
	}
}

KERNEL(256) subsample(const Elements a) {
	Place p = place(a);
	if (p.n < 0) return;
	int c = p.c - (a.outChannels - a.channels) / 2;
	int pixel = p.pixel / a.outWidth * a.strideY * a.width + p.pixel % a.outWidth * a.strideX;
	*at(a.out, p) = c < 0 || c >= a.channels ? 0 : *at(a.in, {p.n, pixel, c});
}

// flatten brings a picture into the order of channels, rows, columns.
KERNEL(256) flatten(const Elements a) {
	Place p = place(a);
	if (p.n < 0) return;
	int pixels = a.height * a.width;
	*at(a.out, p) = *at(a.in, {p.n, p.c % pixels, p.c / pixels});
}
