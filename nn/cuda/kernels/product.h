// Convolutions and linear maps.

#pragma once

#include "machine.h"
#include "mode.h"
#include "view.h"

struct Conv {
	View in, out, residual; // residual.data is null if there is none
	const float *weights, *factors;
	distance weightsPoint, factorsPoint;
	int scale, shift;       // in the factors
	int inScale, inShift;   // of a batch norm and ReLU before a 1×1 convolution; −1: none
	int images, inputs, height, width;
	int outputs, outHeight, outWidth;
	int kernelY, kernelX, strideY, strideX, padY, padX, dilationY, dilationX;
	int stride, terms, columns; // of the packed weights
	int groups;
	int bounded; // by ReLU
	int fours;   // whether four channels of the input can be copied at a time
};

// finished is activation(sum·scale + shift + residual).
DEVICE float finished(const Conv &a, float sum, float scale, float shift, float residual) {
	float y = __builtin_fmaf(sum, scale, shift) + residual;
	return a.bounded && y < 0 ? 0 : y;
}

// Product computes tiles of the matrix product that a convolution is: its rows are the output's pixels, of all images
// of a point; its columns are the output's channels; its terms are (place, channel), summed in this order by one chain of
// additions for every output. So neither the tiles nor what shares a launch changes a bit.
//
// A block of four warps has 128 rows and N columns. Terms are copied to shared memory 16 at a time, several steps ahead of
// their use.
template <int MODE, int N, int STAGES> struct Product {
	enum { M = 128, K = 16, THREADS = 128, PLANES = MODE == TF32X3 ? 2 : 1, ROW = K + 4, COLUMN = N + 8, ROWS = 4 };

	struct Stage {
		float a[M][ROW];             // padded so that
		float b[PLANES][K][COLUMN]; // no two lanes meet in a bank
		float scale[K], shift[K];   // of the terms, where a norm comes before

		MEMBER float norm(float x, int term) const {
			float y = __builtin_fmaf(x, scale[term], shift[term]);
			return y < 0 ? 0 : y;
		}
	};

	struct Source { // of one row of a
		const float *image;
		int y, x;
	};

	DEVICE void run(const Conv &a) {
		Stage *stages = (Stage *)sharedMemory(); // STAGES of them
		int t = threadX(), quad = t % 4 * 4;
		int pixels = a.outHeight * a.outWidth, rows = a.images * pixels;
		int m0 = blockX() * M, n0 = blockY() * N;
		const float *in = a.in.data + blockZ() * a.in.point;
		const float *weights = a.weights + blockZ() * a.weightsPoint + n0;

		Source source[ROWS];
		UNROLL
		for (int i = 0; i < ROWS; i++) {
			int m = m0 + t / 4 + 32 * i;
			int n = m / pixels, yx = m % pixels;
			source[i].image = in + n * a.in.image;
			source[i].y = m < rows ? yx / a.outWidth * a.strideY - a.padY : -(1 << 30);
			source[i].x = yx % a.outWidth * a.strideX - a.padX;
		}
		int c = quad, ky = 0, kx = 0; // the term that this thread copies next
		int first = 0;
		auto carry = [&] {
			while (c >= a.stride) {
				c -= a.stride;
				if (++kx == a.kernelX) kx = 0, ky++;
			}
		};
		auto load = [&](Stage &s) {
			carry();
			int left = ky < a.kernelY ? a.inputs - c : 0;
			UNROLL
			for (int i = 0; i < ROWS; i++) {
				int y = source[i].y + ky * a.dilationY, x = source[i].x + kx * a.dilationX;
				bool inside = (unsigned)y < (unsigned)a.height && (unsigned)x < (unsigned)a.width;
				int count = inside ? left : 0;
				const float *from = count > 0 ? source[i].image + (y * a.width + x) * a.in.pixel + c : in;
				float *to = &s.a[t / 4 + 32 * i][quad];
				if (a.fours) {
					copy16(to, from, count >= 4 ? 16 : count > 0 ? 4 * count : 0);
				} else {
					UNROLL
					for (int j = 0; j < 4; j++) copy4(to + j, count > j ? from + j : in, count > j ? 4 : 0);
				}
			}
			c += K;
			UNROLL
			for (int p = 0; p < PLANES; p++)
				UNROLL
				for (int i = t; i < K * N / 4; i += THREADS) {
					int k = i / (N / 4), n = i % (N / 4) * 4;
					copy16(&s.b[p][k][n], weights + ((distance)p * a.terms + first + k) * a.columns + n, 16);
				}
			if (a.inScale >= 0 && t < 2 * K) {
				int term = first + t % K;
				const float *from = a.factors + blockZ() * a.factorsPoint + (t < K ? a.inScale : a.inShift) + term;
				copy4(t < K ? &s.scale[t] : &s.shift[t - K], term < a.inputs ? from : a.factors, term < a.inputs ? 4 : 0);
			}
			first += K;
		};

		float sum[M * N / THREADS];
		UNROLL
		for (int i = 0; i < M * N / THREADS; i++) sum[i] = 0;
		int steps = a.terms / K;
		for (int step = 1 - STAGES; step < steps; step++) { // the first ones only load
			if (step >= 0) {
				pending<STAGES - 2>();
				barrier();
			}
			if (step + STAGES - 1 < steps) load(stages[(step + STAGES - 1) % STAGES]);
			commit();
			if (step >= 0) add(sum, stages[step % STAGES], a.inScale >= 0);
		}
		finish(a, sum, m0, n0, rows);
	}

	// What a thread sums: in float32, ACROSS fours of columns of DOWN rows; else the tiles of a warp's 32 rows.
	enum { FOURS = N >= 64 ? 2 : 1, ACROSS = N / 4 / FOURS, DOWN = M * ACROSS / THREADS, BETWEEN = THREADS / ACROSS };

	DEVICE void add(float *sum, const Stage &s, bool normed) {
		if (MODE == FP32 && normed)
			addPlain<true>(sum, s);
		else if (MODE == FP32)
			addPlain<false>(sum, s);
		else
			addTiles(sum, s, normed);
	}

	typedef float Quad __attribute__((ext_vector_type(4)));

	// quad reads four floats by one instruction, which the compiler does only where it does not see a float's alignment.
	DEVICE Quad quad(const float *aligned) { return *(const Quad *)aligned; }

	// addPlain reads four terms at a time.
	template <bool NORMED> DEVICE void addPlain(float *sum, const Stage &s) {
		int tx = threadX() % ACROSS, ty = threadX() / ACROSS;
		UNROLL
		for (int k = 0; k < K; k += 4) {
			Quad b[4][FOURS];
			UNROLL
			for (int l = 0; l < 4; l++)
				UNROLL
				for (int j = 0; j < FOURS; j++) b[l][j] = quad(&s.b[0][k + l][(j * ACROSS + tx) * 4]);
			UNROLL
			for (int i = 0; i < DOWN; i++) {
				Quad a = quad(&s.a[ty + BETWEEN * i][k]);
				UNROLL
				for (int l = 0; l < 4; l++) {
					float x = NORMED ? s.norm(a[l], k + l) : a[l];
					UNROLL
					for (int j = 0; j < FOURS; j++)
						UNROLL
						for (int e = 0; e < 4; e++) {
							float *c = sum + (i * FOURS + j) * 4 + e;
							*c = __builtin_fmaf(x, b[l][j][e], *c);
						}
				}
			}
		}
	}

	// addTiles adds, for TF32X3, (big + small)·(big + small) without small·small. Tensor cores do not round their sums but make them too
	// small, which adds up along a chain (Ootomo, Yokota, IJHPCA 2022): so the products of eight terms are summed from zero, small ones first,
	// and added by an addition that rounds. Of every other eight terms the negative is summed and subtracted, so that what is still
	// missing cancels.
	DEVICE void addTiles(float *sum, const Stage &s, bool normed) {
		int lane = threadX() % 32, g = lane / 4, t = lane % 4, top = threadX() / 32 * 32;
		UNROLL
		for (int k = 0; k < K; k += 8) {
			float big[2][4], small[2][4];
			UNROLL
			for (int i = 0; i < 2; i++)
				UNROLL
				for (int e = 0; e < 4; e++) {
					int term = k + t + e / 2 * 4;
					float x = s.a[top + 16 * i + g + e % 2 * 8][term];
					if (normed) x = s.norm(x, term);
					if (MODE == TF32X3 && k) x = -x;
					big[i][e] = tf32(x);
					if (MODE == TF32X3) small[i][e] = x - big[i][e];
				}
			UNROLL
			for (int j = 0; j < N / 8; j++) {
				float b[PLANES][2];
				UNROLL
				for (int p = 0; p < PLANES; p++)
					UNROLL
					for (int e = 0; e < 2; e++) b[p][e] = s.b[p][k + t + 4 * e][8 * j + g];
				float *c[2] = {sum + j * 4, sum + (N / 8 + j) * 4};
				if (MODE == TF32) {
					UNROLL
					for (int i = 0; i < 2; i++) multiply(c[i], big[i], b[0]);
					continue;
				}
				float part[2][4] = {};
				UNROLL
				for (int i = 0; i < 2; i++) multiply(part[i], big[i], b[PLANES - 1]);
				UNROLL
				for (int i = 0; i < 2; i++) multiply(part[i], small[i], b[0]);
				UNROLL
				for (int i = 0; i < 2; i++) multiply(part[i], big[i], b[0]);
				UNROLL
				for (int i = 0; i < 2; i++)
					UNROLL
					for (int e = 0; e < 4; e++) c[i][e] += k ? -part[i][e] : part[i][e];
			}
		}
	}

	DEVICE void finish(const Conv &a, const float *sum, int m0, int n0, int rows) {
		const float *scale = a.factors + blockZ() * a.factorsPoint + a.scale;
		const float *shift = a.factors + blockZ() * a.factorsPoint + a.shift;
		if (MODE == FP32) {
			int tx = threadX() % ACROSS, ty = threadX() / ACROSS;
			UNROLL
			for (int i = 0; i < DOWN; i++) {
				int m = m0 + ty + BETWEEN * i;
				if (m >= rows) continue;
				float *out = a.out.data + blockZ() * a.out.point + (distance)m * a.out.pixel; // pictures follow each other
				const float *residual = a.residual.data + blockZ() * a.residual.point + (distance)m * a.residual.pixel;
				UNROLL
				for (int j = 0; j < FOURS; j++)
					UNROLL
					for (int e = 0; e < 4; e++) {
						int n = n0 + (j * ACROSS + tx) * 4 + e;
						if (n < a.outputs)
							out[n] = finished(a, sum[(i * FOURS + j) * 4 + e], scale[n], shift[n], a.residual.data ? residual[n] : 0);
					}
			}
			return;
		}
		int lane = threadX() % 32, g = lane / 4, t = lane % 4, top = threadX() / 32 * 32;
		UNROLL
		for (int i = 0; i < 4; i++) {
			int m = m0 + top + g + 8 * i;
			if (m >= rows) continue;
			float *out = a.out.data + blockZ() * a.out.point + (distance)m * a.out.pixel;
			const float *residual = a.residual.data + blockZ() * a.residual.point + (distance)m * a.residual.pixel;
			UNROLL
			for (int j = 0; j < N / 8; j++) {
				int n = n0 + 8 * j + 2 * t;
				const float *c = sum + (i / 2 * (N / 8) + j) * 4 + i % 2 * 2;
				if (n + 1 < a.outputs && a.out.even && (!a.residual.data || a.residual.even)) {
					Pair r = {0, 0};
					if (a.residual.data) r = *(const Pair *)(residual + n);
					Pair y = {finished(a, c[0], scale[n], shift[n], r.x), finished(a, c[1], scale[n + 1], shift[n + 1], r.y)};
					*(Pair *)(out + n) = y;
					continue;
				}
				UNROLL
				for (int e = 0; e < 2; e++)
					if (n + e < a.outputs)
						out[n + e] = finished(a, c[e], scale[n + e], shift[n + e], a.residual.data ? residual[n + e] : 0);
			}
		}
	}

	struct __attribute__((aligned(8))) Pair { float x, y; };
};

#define PRODUCT(name, mode, n, stages) \
	KERNEL(128) name(const Conv a) { Product<mode, n, stages>::run(a); }

PRODUCT(product_fp32_16, FP32, 16, 3)
PRODUCT(product_fp32_32, FP32, 32, 3)
PRODUCT(product_fp32_64, FP32, 64, 3)
PRODUCT(product_tf32_16, TF32, 16, 3)
PRODUCT(product_tf32_32, TF32, 32, 3)
PRODUCT(product_tf32_64, TF32, 64, 3)
PRODUCT(product_tf32x3_16, TF32X3, 16, 3)
PRODUCT(product_tf32x3_32, TF32X3, 32, 3)
PRODUCT(product_tf32x3_64, TF32X3, 64, 2)

// grouped is a convolution with groups, a thread an output.
KERNEL(256) grouped(const Conv a) {
	int i = blockX() * 256 + threadX();
	if (i >= a.images * a.outHeight * a.outWidth * a.outputs) return;
	int o = i % a.outputs, pixel = i / a.outputs % (a.outHeight * a.outWidth), n = i / a.outputs / (a.outHeight * a.outWidth);
	int y0 = pixel / a.outWidth * a.strideY - a.padY, x0 = pixel % a.outWidth * a.strideX - a.padX;
	int channels = a.inputs / a.groups;
	const float *in = a.in.data + blockZ() * a.in.point + n * a.in.image + o / (a.outputs / a.groups) * channels;
	const float *w = a.weights + blockZ() * a.weightsPoint + o;
	float sum = 0;
	for (int ky = 0; ky < a.kernelY; ky++)
		for (int kx = 0; kx < a.kernelX; kx++) {
			int y = y0 + ky * a.dilationY, x = x0 + kx * a.dilationX;
			if (y < 0 || y >= a.height || x < 0 || x >= a.width) continue;
			for (int c = 0; c < channels; c++)
				sum = __builtin_fmaf(in[(y * a.width + x) * a.in.pixel + c], w[((ky * a.kernelX + kx) * a.stride + c) * a.columns], sum);
		}
	const float *factors = a.factors + blockZ() * a.factorsPoint;
	float residual = a.residual.data ? a.residual.data[blockZ() * a.residual.point + n * a.residual.image + (distance)pixel * a.residual.pixel + o] : 0;
	a.out.data[blockZ() * a.out.point + n * a.out.image + (distance)pixel * a.out.pixel + o] =
	    finished(a, sum, factors[a.scale + o], factors[a.shift + o], residual);
}
