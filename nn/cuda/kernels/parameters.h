// Between vectors of parameters and effective ones, φ: weights and biases, and the scales and shifts of frozen batch norms.

#pragma once

#include "machine.h"
#include "view.h"

// Norming is a channel of a batch norm, scale = weight·slope and shift = bias − mean·scale, by the places of the four.
struct Norming { int weight, bias, scale, shift; };

struct Parameters {
	const float *vector;
	double *phi;
	double *derivatives;         // by the parameters
	const int *places;           // of the parameters in φ; −1: of a batch norm, or of what nothing depends on
	const Norming *norms;
	const double *slopes, *means;
	distance count, channels;    // parameters, and channels of batch norms
	double images;               // of whose sums derivatives are means
};

DEVICE distance thread() { return (distance)blockX() * 256 + threadX(); }

// fill computes φ, or its derivative along a vector; fillNorms does its scales and shifts.
KERNEL(256) fill(const Parameters a) {
	distance i = thread();
	if (i < a.count && a.places[i] >= 0) a.phi[a.places[i]] = a.vector[i];
}

KERNEL(256) fillNorms(const Parameters a) {
	distance i = thread();
	if (i >= a.channels) return;
	const Norming n = a.norms[i];
	double scale = a.vector[n.weight] * a.slopes[i];
	a.phi[n.scale] = scale;
	a.phi[n.shift] = a.vector[n.bias] - a.means[i] * scale;
}

// pull turns derivatives by φ into those by the parameters; pullNorms follows with those of batch norms.
KERNEL(256) pull(const Parameters a) {
	distance i = thread();
	if (i < a.count) a.derivatives[i] = a.places[i] < 0 ? 0 : a.phi[a.places[i]] / a.images;
}

KERNEL(256) pullNorms(const Parameters a) {
	distance i = thread();
	if (i >= a.channels) return;
	const Norming n = a.norms[i];
	double byScale = a.phi[n.scale] / a.images, byShift = a.phi[n.shift] / a.images;
	a.derivatives[n.weight] = (byScale - a.means[i] * byShift) * a.slopes[i];
	a.derivatives[n.bias] = byShift;
}
