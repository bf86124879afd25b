// Vectors of some parameters, in float64, for Lanczos processes.

#pragma once

#include "machine.h"
#include "view.h"

struct Vectors {
	double *vectors;
	distance stride, count;  // from a vector to the next, and its elements
	double *hand;            // the vector in hand
	const int *which;        // numbers of others
	const double *factors;   // by vector, for rotations [vector][made]
	double *parts, *sums;    // [vector][thread of all blocks], [vector]
	const int *places;       // of elements among all parameters
	float *whole;            // a vector of all parameters
	const double *derivatives;
	double factor;
	int many, blocks, made;  // others; blocks of vectorDots; vectors that a rotation makes
};

enum { TOGETHER = 8 }; // vectors that a thread reads at a time

DEVICE const double *other(const Vectors &a, int j) { return a.vectors + a.stride * a.which[j]; }

// vectorDots leaves a part of other·hand for every thread.
KERNEL(256) vectorDots(const Vectors a) {
	int first = blockY() * TOGETHER;
	const double *v[TOGETHER];
	double sums[TOGETHER];
	UNROLL
	for (int j = 0; j < TOGETHER; j++) {
		v[j] = other(a, first + j < a.many ? first + j : first);
		sums[j] = 0;
	}
	distance thread = (distance)blockX() * 256 + threadX(), threads = (distance)a.blocks * 256;
	for (distance i = thread; i < a.count; i += threads) {
		double x = a.hand[i];
		UNROLL
		for (int j = 0; j < TOGETHER; j++) sums[j] += v[j][i] * x;
	}
	UNROLL
	for (int j = 0; j < TOGETHER; j++)
		if (first + j < a.many) a.parts[(first + j) * threads + thread] = sums[j];
}

// vectorSums sums the parts of the blocks, and then what that gave each thread; a block does a vector.
KERNEL(256) vectorSums(const Vectors a) {
	const double *part = a.parts + (distance)blockX() * a.blocks * 256 + threadX();
	double sum = 0;
	for (int b = 0; b < a.blocks; b++) sum += part[b * 256];
	double *ofThreads = (double *)sharedMemory();
	ofThreads[threadX()] = sum;
	barrier();
	if (threadX() > 0) return;
	sum = 0;
	for (int i = 0; i < 256; i++) sum += ofThreads[i];
	a.sums[blockX()] = sum;
}

// vectorAdd adds factor·other of all others to the vector in hand.
KERNEL(256) vectorAdd(const Vectors a) {
	distance i = (distance)blockX() * 256 + threadX();
	if (i >= a.count) return;
	double y = a.hand[i];
	int j = 0;
	for (; j + TOGETHER <= a.many; j += TOGETHER) {
		double x[TOGETHER];
		UNROLL
		for (int k = 0; k < TOGETHER; k++) x[k] = other(a, j + k)[i];
		UNROLL
		for (int k = 0; k < TOGETHER; k++) y += a.factors[j + k] * x[k];
	}
	for (; j < a.many; j++) y += a.factors[j] * other(a, j)[i];
	a.hand[i] = y;
}

// vectorScale multiplies the vector in hand by factor.
KERNEL(256) vectorScale(const Vectors a) {
	distance i = (distance)blockX() * 256 + threadX();
	if (i < a.count) a.hand[i] *= a.factor;
}

enum { ROTATED = 32 }; // elements that a block rotates, of which shared memory holds what is made until all is read

// vectorRotate replaces as many of the others as are made by sums of factor·other.
KERNEL(ROTATED) vectorRotate(const Vectors a) {
	distance i = (distance)blockX() * ROTATED + threadX();
	if (i >= a.count) return;
	double *made = (double *)sharedMemory() + threadX();
	for (int j = 0; j < a.made; j += TOGETHER) {
		double sums[TOGETHER];
		UNROLL
		for (int k = 0; k < TOGETHER; k++) sums[k] = 0;
		for (int o = 0; o < a.many; o++) {
			const double *factors = a.factors + o * a.made + j;
			double x = other(a, o)[i];
			UNROLL
			for (int k = 0; k < TOGETHER; k++) sums[k] += (j + k < a.made ? factors[k] : 0) * x;
		}
		UNROLL
		for (int k = 0; k < TOGETHER; k++)
			if (j + k < a.made) made[(j + k) * ROTATED] = sums[k];
	}
	for (int j = 0; j < a.made; j++) a.vectors[a.stride * a.which[j] + i] = made[j * ROTATED];
}

// vectorGive rounds the vector in hand to its places among all parameters.
KERNEL(256) vectorGive(const Vectors a) {
	distance i = (distance)blockX() * 256 + threadX();
	if (i < a.count) a.whole[a.places[i]] = (float)a.hand[i];
}

// vectorTake fetches the vector in hand from there.
KERNEL(256) vectorTake(const Vectors a) {
	distance i = (distance)blockX() * 256 + threadX();
	if (i < a.count) a.hand[i] = a.derivatives[a.places[i]];
}
