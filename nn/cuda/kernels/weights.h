// Moving to points: the states at each of a group of points, and from them what the layers multiply by.

#pragma once

#include "machine.h"
#include "mode.h"
#include "view.h"

struct Perturb {
	const float *theta, *x, *y;
	const unsigned char *sparse; // by block: bit 0 where x is given, bit 1 where y is
	const double *points;        // α, β
	float *states;
	distance point; // floats from a point's states to the next one's
};

// perturb is nn.Plane.Entry: float32(θ + (α·δ + β·η)), evaluated in float64. An entry begins with a block.
KERNEL(256) perturb(const Perturb a) {
	distance k = (distance)blockX() * 256 + threadX();
	double alpha = a.points[2 * blockY()], beta = a.points[2 * blockY() + 1];
	int given = a.sparse[blockX()];
	float *to = a.states + blockY() * a.point;
	if (given == 0 || (alpha == 0 && beta == 0)) {
		to[k] = a.theta[k];
		return;
	}
	double step = 0;
	if (given == 1) step = alpha * a.x[k];
	if (given == 2) step = beta * a.y[k];
	if (given == 3) step = alpha * a.x[k] + beta * a.y[k];
	to[k] = (float)(a.theta[k] + step);
}

// Panel is one layer's weights in the order of the product kernels, [plane][term][column], where term = place·stride + channel
// and what the layer lacks is zero. Where the weights come from, they lie steps apart. With two planes, the first has the weights rounded to
// TF32 and the second what that leaves; with one they are rounded if `rounded` says so.
struct Panel {
	distance source, packed; // where its weights begin in the states, and in the packed weights
	distance units;          // in the factors: what the weights of an output are divided by, for FP16X3; else −1
	int outputs, channels, places;
	int outputStep, channelStep, placeStep;
	int stride, terms, columns;
	int planes, rounded;
	int order; // LINES, or the mode of patch.h that reads them
	int block; // columns that a block of threads computes
};

enum { LINES = -1 };

// As patch.h reads them, terms are (16 channels, place, channel), and 16 terms have, for every eight columns, what the lanes of a
// warp bring to their products: for TF32 [lane](4 rounded ones); for TF32X3 [half][lane](2 rounded ones, what is left of them);
// for FP16X3 [lane](2 pairs of big ones, 2 of small ones). But for TF32 they are negative where the number of the 16 channels and that of the
// place have an odd sum. 16 channels have [block of columns][place][eight columns].

// fragmentWords is what 16 terms of eight columns take.
constexpr int fragmentWords(int mode) { return mode == TF32X3 ? 256 : 128; }

// placeSign is that of a place, whose number and that of the 16 channels sum to n.
DEVICE float placeSign(int mode, int n) { return mode != TF32 && n % 2 ? -1 : 1; }

// unitOf is the power of two at or below x, given by its bits; of what is far from float32's middle, the nearest that has an inverse.
DEVICE float unitOf(unsigned x) {
	const unsigned least = 27u << 23, most = 227u << 23;
	x &= 0x7f800000;
	return __builtin_bit_cast(float, x < least ? least : x > most ? most : x);
}
DEVICE float inverseOf(float unit) { return __builtin_bit_cast(float, (254u << 23) - __builtin_bit_cast(unsigned, unit)); }

// halves splits two numbers: x = big + small/2048.
DEVICE void halves(float x, float y, unsigned &big, unsigned &small) {
	big = pair16(x, y);
	small = pair16((x - half(big, 0)) * 2048, (y - half(big, 1)) * 2048);
}

DEVICE float bits(unsigned x) { return __builtin_bit_cast(float, x); }

// putFragment writes number e of what a lane brings.
DEVICE void putFragment(int mode, float *part, int lane, int e, float w) {
	if (mode == FP16X3) {
		unsigned big, small;
		halves(w, 0, big, small);
		unsigned short *to = (unsigned short *)(part + lane * 4) + e;
		to[0] = (unsigned short)big, to[4] = (unsigned short)small;
		return;
	}
	float big = tf32(w);
	if (mode == TF32) {
		part[lane * 4 + e] = big;
		return;
	}
	float *to = part + e / 2 * 128 + lane * 4 + e % 2;
	to[0] = big, to[2] = w - big;
}

DEVICE float weight(const Panel *p, const float *states, int o, int c, int place) {
	return states[p->source + (distance)o * p->outputStep + (distance)c * p->channelStep + (distance)place * p->placeStep];
}

struct Peak {
	const Panel *panels;
	const int *panel, *first; // by block: its panel, and the panel's first block
	const float *states;
	float *factors;
	distance statesPoint, factorsPoint;
};

// peak finds the units of a layer's weights, a block those of one output.
KERNEL(128) peak(const Peak a) {
	const Panel *p = a.panels + a.panel[blockX()];
	unsigned *largest = (unsigned *)sharedMemory(), own = 0;
	int o = blockX() - a.first[blockX()], t = threadX(), terms = p->channels * p->places;
	const float *states = a.states + blockY() * a.statesPoint;
	for (int i = t; i < terms; i += 128) {
		unsigned x = __builtin_bit_cast(unsigned, weight(p, states, o, i / p->places, i % p->places)) & 0x7fffffff;
		own = x > own ? x : own;
	}
	largest[t] = own;
	for (int half = 64; half > 0; half /= 2) {
		barrier();
		if (t < half && largest[t + half] > largest[t]) largest[t] = largest[t + half];
	}
	if (t == 0) a.factors[blockY() * a.factorsPoint + p->units + o] = unitOf(largest[0]);
}

struct Pack {
	const Panel *panels;
	const int *panel, *first; // by block: its panel, and the panel's first block
	const float *states, *factors;
	float *packed;
	distance statesPoint, factorsPoint, packedPoint;
};

KERNEL(256) pack(const Pack a) {
	const Panel *p = a.panels + a.panel[blockX()];
	int i = (blockX() - a.first[blockX()]) * 256 + threadX();
	if (i >= p->terms * p->columns) return;
	int o, place, c, lane = i / 4 % 32, channels16 = 0;
	if (p->order != LINES) {
		int eights = p->block / 8, place8 = i / 128 / eights;
		place = place8 % p->places;
		int block = place8 / p->places % (p->columns / p->block);
		channels16 = place8 / p->places / (p->columns / p->block);
		o = block * p->block + i / 128 % eights * 8 + lane / 4;
		c = channels16 * 16 + lane % 4 * 2 + i % 2 + i / 2 % 2 * 8;
	} else {
		int term = i / p->columns;
		o = i % p->columns;
		place = term / p->stride, c = term % p->stride;
	}
	float w = 0;
	if (place < p->places && c < p->channels && o < p->outputs)
		w = weight(p, a.states + blockY() * a.statesPoint, o, c, place);
	float *to = a.packed + blockY() * a.packedPoint + p->packed;
	if (p->order != LINES) {
		if (p->order == FP16X3 && o < p->outputs) w *= inverseOf(a.factors[blockY() * a.factorsPoint + p->units + o]);
		putFragment(p->order, to + (distance)(i / 128) * fragmentWords(p->order), lane, i % 4, w * placeSign(p->order, channels16 + place));
		return;
	}
	to += i;
	float big = p->rounded ? tf32(w) : w;
	*to = big;
	if (p->planes == 2) to[(distance)p->terms * p->columns] = w - big;
}

enum { NORMS = 4 };

// Norm is a batch norm: where its entries are in the states; gamma < 0 ends the list.
struct Norm {
	distance gamma, beta, mean, variance;
	double eps;
};

// Factors are the scale and shift of a layer's channels: of the bias, if there is one, and the norms after it.
struct Factors {
	distance bias; // −1: none
	Norm norms[NORMS];
	distance scale, shift; // in the factors
	distance units;        // likewise, of the layer's weights; −1: 1
	int channels;
	int count; // of norms
};

struct Fold {
	const Factors *layers;
	const float *states;
	float *factors;
	distance statesPoint, factorsPoint;
};

// fold computes in float64 and rounds once. Block (x, y) does layer x at point y.
KERNEL(128) fold(const Fold a) {
	const Factors *l = a.layers + blockX();
	const float *states = a.states + blockY() * a.statesPoint;
	float *factors = a.factors + blockY() * a.factorsPoint;
	for (int o = threadX(); o < l->channels; o += 128) {
		double scale = l->units < 0 ? 1 : factors[l->units + o], shift = l->bias < 0 ? 0 : states[l->bias + o];
		for (int i = 0; i < l->count; i++) {
			const Norm *n = l->norms + i;
			double s = states[n->gamma + o] / __builtin_sqrt(states[n->variance + o] + n->eps);
			scale *= s;
			shift = (shift - states[n->mean + o]) * s + states[n->beta + o];
		}
		factors[l->scale + o] = (float)scale;
		factors[l->shift + o] = (float)shift;
	}
}
