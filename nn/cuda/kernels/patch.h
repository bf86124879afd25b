// 3×3 convolutions of stride 1 and padding 1 on tensor cores.

#pragma once

#include "product.h"

struct Patch {
	Conv conv;
	int rows;      // of pictures, that a block computes
	int patchRows; // that it reads
	int pixels;    // of the patch
	unsigned perWidth, perPatchWidth, perHeight, perPatchHeight; // reciprocals of width, width + 2, height and height + 2
};

// over is n/d for small n, by d's reciprocal 2¹⁶/d + 1.
DEVICE int over(int n, unsigned reciprocal) { return (int)((unsigned)n * reciprocal >> 16); }

// Patches computes what Product does, for whole rows of pictures at a time: a block reads the picture that its outputs see
// once, 16 channels at a time, split for TF32X3 while it is stored, and moves over it by the nine places of the kernel. Below
// each other, pictures have one row of zeros above and one below. Its terms are (16 channels, place, channel), summed in this order.
//
// A block has M rows of the product and N columns; a warp has 32 rows and at most 32 columns.
//
// The places of 16 channels among a product's terms are free. Lane l brings channels 2t, 2t+1, 2t+8 and 2t+9, t = l % 4, so that its
// weights are the same for multiply and multiply16; in float32, a pixel's channels lie in the order 0 2 4 6 1 3 5 7 8 10 12 14 9 11 13 15.
template <int MODE, int N> struct Patches {
	enum {
		K = 16, WIDE = N > 32 ? 32 : N, ACROSS = N / WIDE, THREADS = 256, M = THREADS / ACROSS, PLANES = MODE == TF32 ? 1 : 2,
		PIXEL = K + 4, // floats from a pixel to the next, so that no two of eight neighbours meet in a bank
		MOST = N > 32 ? 320 : 400, // pixels of a patch at most
		QUADS = (MOST * 4 + THREADS - 1) / THREADS,
		TILES = WIDE / 8,
		PART = 128 * PLANES, // words of the weights of 16 terms for eight columns
		LANES = 9 * N * 4,   // fours of weights of 16 channels
		COPIES = (LANES + THREADS - 1) / THREADS,
	};

	struct __attribute__((aligned(16))) Four { float v[4]; };
	struct __attribute__((aligned(8))) Pair { float x, y; };

	DEVICE void run(const Patch &p) {
		const Conv &a = p.conv;
		float *patch = (float *)sharedMemory(), *weights = patch + PLANES * p.pixels * PIXEL;
		int t = threadX(), lane = t % 32, warp = t / 32 % (M / 32), across = t / M;
		int patchWidth = a.width + 2, patchHeight = a.height + 2;
		int r0 = blockX() * p.rows; // of the rows of all pictures
		int image0 = r0 / a.height, y0 = r0 % a.height;
		const float *in = a.in.data + blockZ() * a.in.point + image0 * a.in.image;

		int from[QUADS]; // where what this thread copies begins; −1: zeros
		UNROLL
		for (int i = 0; i < QUADS; i++) {
			int pixel = (i * THREADS + t) / 4, row = over(pixel, p.perPatchWidth), x = pixel - row * patchWidth - 1;
			int v = y0 + row, image = over(v, p.perPatchHeight), y = v - image * patchHeight - 1;
			bool inside = row < p.patchRows && (unsigned)x < (unsigned)a.width && (unsigned)y < (unsigned)a.height && image0 + image < a.images;
			from[i] = inside ? (int)(image * a.in.image) + (y * a.width + x) * a.in.pixel + t % 4 * 4 : -1;
		}
		const float *window[2]; // what this lane tells of its warp's rows
		UNROLL
		for (int i = 0; i < 2; i++) {
			int m = warp * 32 + 16 * i + lane % 16, row = over(m, p.perWidth), x = m - row * a.width;
			if (row >= p.rows) row = 0, x = 0;
			row += 2 * over(y0 + row, p.perHeight);
			window[i] = patch + (row * patchWidth + x) * PIXEL + lane / 16 * 4;
		}

		float sum[2][TILES][4];
		UNROLL
		for (int i = 0; i < 2; i++)
			UNROLL
			for (int j = 0; j < TILES; j++)
				UNROLL
				for (int e = 0; e < 4; e++) sum[i][j][e] = 0;

		const float *packed = a.weights + blockZ() * a.weightsPoint + (distance)blockY() * N * 16;
		for (int c = 0; c < a.inputs; c += K) {
			// All copies are under way before the first is waited for.
			Four quads[QUADS];
			int left = a.inputs - c - t % 4 * 4;
			if (a.fours && a.inputs - c >= K) {
				UNROLL
				for (int i = 0; i < QUADS; i++) quads[i] = from[i] >= 0 ? *(const Four *)(in + from[i] + c) : Four{{0, 0, 0, 0}};
			} else {
				UNROLL
				for (int i = 0; i < QUADS; i++)
					UNROLL
					for (int e = 0; e < 4; e++) quads[i].v[e] = from[i] >= 0 && e < left ? in[from[i] + c + e] : 0;
			}
			Four lanes[COPIES];
			UNROLL
			for (int k = 0; k < COPIES; k++) {
				int i = k * THREADS + t;
				if (LANES % THREADS && i >= LANES) i = 0;
				lanes[k] = *(const Four *)(packed + (distance)(c / K * 9 + i / (N * 4)) * a.columns * 16 + i % (N * 4) * 4);
			}
			if (c > 0) barrier();
			UNROLL
			for (int k = 0; k < COPIES; k++) {
				int i = k * THREADS + t;
				if (LANES % THREADS == 0 || i < LANES) store(weights + i / 32 * PART + i % 32 * 4, lanes[k]);
			}
			UNROLL
			for (int i = 0; i < QUADS; i++) {
				int pixel = (i * THREADS + t) / 4;
				if (pixel >= p.pixels) continue;
				Four big, small;
				UNROLL
				for (int e = 0; e < 4; e++) {
					big.v[e] = tf32(quads[i].v[e]);
					small.v[e] = quads[i].v[e] - big.v[e];
				}
				float *to = patch + pixel * PIXEL + t / 2 % 2 * 8 + t % 2 * 2;
				*(Pair *)to = {big.v[0], big.v[2]};
				*(Pair *)(to + 4) = {big.v[1], big.v[3]};
				to += p.pixels * PIXEL;
				if (MODE == TF32X3) {
					*(Pair *)to = {small.v[0], small.v[2]};
					*(Pair *)(to + 4) = {small.v[1], small.v[3]};
				}
				if (MODE == MIXED) { // a pixel's 16 channels rounded, then what that leaves
					to = patch + (p.pixels + pixel) * PIXEL + t % 4 * 2;
					*(Pair *)to = {bits(bf16(big.v[0], big.v[1])), bits(bf16(big.v[2], big.v[3]))};
					*(Pair *)(to + 8) = {bits(bf16(small.v[0], small.v[1])), bits(bf16(small.v[2], small.v[3]))};
				}
			}
			barrier();
			for (int ky = 0; ky < 3; ky++)
				UNROLL
				for (int kx = 0; kx < 3; kx++) {
					int at = (ky * patchWidth + kx) * PIXEL;
					const float *own = weights + ((ky * 3 + kx) * (N / 8) + across * TILES) * PART + lane * 4;
					if (MODE == TF32)
						place(sum, window, at, own);
					else if (MODE == TF32X3)
						placeSplit(sum, window, at, p.pixels * PIXEL, own);
					else
						placeMixed(sum, window, at, p.pixels * PIXEL, own);
				}
		}
		finish(p, sum, r0, warp, across, lane);
	}

	DEVICE float bits(unsigned x) { return __builtin_bit_cast(float, x); }

	// store splits a lane's weights: for TF32X3 into the first and the last eight terms, [half][lane](big, big, small, small); for MIXED into
	// TF32 and BF16, [part][lane].
	DEVICE void store(float *to, const Four &w) {
		Four big, small;
		UNROLL
		for (int e = 0; e < 4; e++) {
			big.v[e] = tf32(w.v[e]);
			small.v[e] = w.v[e] - big.v[e];
		}
		if (MODE == TF32X3) {
			*(Four *)to = {{big.v[0], big.v[1], small.v[0], small.v[1]}};
			*(Four *)(to + 128) = {{big.v[2], big.v[3], small.v[2], small.v[3]}};
			return;
		}
		*(Four *)to = big;
		if (MODE == MIXED)
			*(Four *)(to + 128) = {{bits(bf16(big.v[0], big.v[1])), bits(bf16(big.v[2], big.v[3])),
			                        bits(bf16(small.v[0], small.v[1])), bits(bf16(small.v[2], small.v[3]))}};
	}

	// place and the like add the products of one place of the kernel. Products that go to one sum stand apart, so that they need not wait for
	// each other.

	DEVICE void place(float sum[2][TILES][4], const float *const window[2], int at, const float *weights) {
		float big[2][2][4];
		Four b[TILES];
		UNROLL
		for (int h = 0; h < 2; h++)
			UNROLL
			for (int i = 0; i < 2; i++) fragment(big[h][i], window[i] + at + 8 * h);
		UNROLL
		for (int j = 0; j < TILES; j++) b[j] = *(const Four *)(weights + j * PART);
		UNROLL
		for (int h = 0; h < 2; h++)
			UNROLL
			for (int j = 0; j < TILES; j++)
				UNROLL
				for (int i = 0; i < 2; i++) multiply(sum[i][j], big[h][i], b[j].v + 2 * h);
	}

	DEVICE void placeSplit(float sum[2][TILES][4], const float *const window[2], int at, int plane, const float *weights) {
		UNROLL
		for (int h = 0; h < 2; h++) {
			float big[2][4], small[2][4];
			Four b[TILES];
			UNROLL
			for (int i = 0; i < 2; i++) {
				fragment(big[i], window[i] + at + 8 * h);
				fragment(small[i], window[i] + plane + at + 8 * h);
			}
			UNROLL
			for (int j = 0; j < TILES; j++) b[j] = *(const Four *)(weights + j * PART + h * 128);
			UNROLL
			for (int part = 0; part < 3; part++)
				UNROLL
				for (int j = 0; j < TILES; j++)
					UNROLL
					for (int i = 0; i < 2; i++) multiply(sum[i][j], part == 1 ? small[i] : big[i], b[j].v + (part == 0 ? 2 : 0));
		}
	}

	DEVICE void placeMixed(float sum[2][TILES][4], const float *const window[2], int at, int plane, const float *weights) {
		float big[2][2][4], rounded[2][4], small[2][4];
		UNROLL
		for (int i = 0; i < 2; i++) {
			fragment(rounded[i], window[i] + plane + at);
			fragment(small[i], window[i] + plane + at + 8);
			fragment(big[0][i], window[i] + at);
			fragment(big[1][i], window[i] + at + 8);
		}
		UNROLL
		for (int j = 0; j < TILES; j += 2) {
			Four b[2], pairs[2];
			UNROLL
			for (int k = 0; k < 2; k++) {
				b[k] = *(const Four *)(weights + (j + k) * PART);
				pairs[k] = *(const Four *)(weights + (j + k) * PART + 128);
			}
			UNROLL
			for (int part = 0; part < 4; part++)
				UNROLL
				for (int k = 0; k < 2; k++)
					UNROLL
					for (int i = 0; i < 2; i++) {
						float *c = sum[i][j + k];
						if (part == 0) multiply16(c, rounded[i], pairs[k].v + 2);
						if (part == 1) multiply16(c, small[i], pairs[k].v);
						if (part >= 2) multiply(c, big[part - 2][i], b[k].v + 2 * (part - 2));
					}
		}
	}

	DEVICE void finish(const Patch &p, const float sum[2][TILES][4], int r0, int warp, int across, int lane) {
		const Conv &a = p.conv;
		const float *factors = a.factors + blockZ() * a.factorsPoint;
		int rows = a.images * a.height - r0;
		int pixels = (rows < p.rows ? rows : p.rows) * a.width;
		bool pairs = a.out.even && (!a.residual.data || a.residual.even);
		float *out = a.out.data + blockZ() * a.out.point + (distance)r0 * a.width * a.out.pixel;
		const float *residual = a.residual.data + blockZ() * a.residual.point + (distance)r0 * a.width * a.residual.pixel;
		UNROLL
		for (int j = 0; j < TILES; j++) {
			int n = blockY() * N + across * WIDE + 8 * j + lane % 4 * 2;
			if (n >= a.outputs) continue;
			bool both = n + 1 < a.outputs;
			float scale[2], shift[2];
			UNROLL
			for (int e = 0; e < 2; e++) {
				scale[e] = factors[a.scale + n + (both ? e : 0)];
				shift[e] = factors[a.shift + n + (both ? e : 0)];
			}
			UNROLL
			for (int i = 0; i < 4; i++) {
				int m = warp * 32 + lane / 4 + 8 * i;
				if (m >= pixels) continue;
				const float *s = sum[i / 2][j] + i % 2 * 2;
				Pair r = {0, 0};
				if (pairs && both) {
					if (a.residual.data) r = *(const Pair *)(residual + m * a.residual.pixel + n);
					*(Pair *)(out + m * a.out.pixel + n) = {finished(a, s[0], scale[0], shift[0], r.x), finished(a, s[1], scale[1], shift[1], r.y)};
				} else {
					UNROLL
					for (int e = 0; e < 2; e++)
						if (n + e < a.outputs)
							out[m * a.out.pixel + n + e] =
							    finished(a, s[e], scale[e], shift[e], a.residual.data ? residual[m * a.residual.pixel + n + e] : 0);
				}
			}
		}
	}
};

#define PATCH(name, mode, n) \
	KERNEL_OF(256, n > 16 ? 2 : 3) name(const Patch a) { Patches<mode, n>::run(a); }

PATCH(patch_tf32_16, TF32, 16)
PATCH(patch_tf32_32, TF32, 32)
PATCH(patch_tf32_64, TF32, 64)
PATCH(patch_tf32x3_16, TF32X3, 16)
PATCH(patch_tf32x3_32, TF32X3, 32)
PATCH(patch_tf32x3_64, TF32X3, 64)
PATCH(patch_mixed_16, MIXED, 16)
PATCH(patch_mixed_32, MIXED, 32)
PATCH(patch_mixed_64, MIXED, 64)
