// Moving to points: the states at each of a group of points, and from them what the layers multiply by.

#pragma once

#include "machine.h"
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
// and what the layer lacks is zero. With two planes, the first has the weights rounded to TF32 and the second what that leaves; with
// one they are rounded if `rounded` says so.
struct Panel {
	distance source, packed; // where its weights begin in the states, and in the packed weights
	int outputs, channels, places;
	int stride, terms, columns;
	int planes, rounded;
	int order; // FRAGMENTS: as patch.h reads them
};

enum { LINES, FRAGMENTS };

// In FRAGMENTS, terms are (16 channels, place, channel), and 16 terms have, for every eight columns, what the lanes of a
// warp bring to multiply16: [lane][4].

struct Pack {
	const Panel *panels;
	const int *panel, *first; // by block: its panel, and the panel's first block
	const float *states;
	float *packed;
	distance statesPoint, packedPoint;
};

KERNEL(256) pack(const Pack a) {
	const Panel *p = a.panels + a.panel[blockX()];
	int i = (blockX() - a.first[blockX()]) * 256 + threadX();
	if (i >= p->terms * p->columns) return;
	int o, place, c;
	if (p->order == FRAGMENTS) {
		int lane = i / 4 % 32, group = i / (16 * p->columns);
		o = i / 128 % (p->columns / 8) * 8 + lane / 4;
		place = group % p->places;
		c = group / p->places * 16 + lane % 4 * 2 + i % 2 + i / 2 % 2 * 8;
	} else {
		int term = i / p->columns;
		o = i % p->columns;
		place = term / p->stride, c = term % p->stride;
	}
	float w = 0;
	if (place < p->places && c < p->channels && o < p->outputs)
		w = a.states[blockY() * a.statesPoint + p->source + (distance)(o * p->channels + c) * p->places + place];
	float *to = a.packed + blockY() * a.packedPoint + p->packed + i;
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
		double scale = 1, shift = l->bias < 0 ? 0 : states[l->bias + o];
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
