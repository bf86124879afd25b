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
// A block has 128 rows of the product and N columns; a warp has 32 rows and at most 32 columns.
template <int MODE, int N> struct Patches {
	enum {
		K = 16, WIDE = N > 32 ? 32 : N, ACROSS = N / WIDE, THREADS = 128 * ACROSS, PLANES = MODE == TF32 ? 1 : 2,
		PIXEL = K + 4, // floats from a pixel to the next, so that no two of eight neighbours meet in a bank
		MOST = N > 32 ? 320 : 224, // pixels of a patch at most
		QUADS = (MOST * 4 + THREADS - 1) / THREADS,
		TILES = WIDE / 8,
		PART = 2 * PLANES, // weights of a lane for a tile
		STEP = N / 8 * 32 * PART, // weights of eight terms
		TOGETHER = MODE == MIXED ? 2 : 1, // steps that are packed together
	};

	struct __attribute__((aligned(16))) Four { float v[4]; };
	struct __attribute__((aligned(8))) Pair { float x, y; };

	DEVICE void run(const Patch &p) {
		const Conv &a = p.conv;
		float *patch = (float *)sharedMemory(), *weights = patch + PLANES * p.pixels * PIXEL;
		int t = threadX(), lane = t % 32, warp = t / 32 % 4, across = t / 128;
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

		const float *packed = a.weights + blockZ() * a.weightsPoint + (distance)blockY() * TOGETHER * STEP;
		distance eight = (distance)a.columns * 8 * PLANES; // packed weights of eight terms
		for (int c = 0; c < a.inputs; c += K) {
			if (c > 0) barrier();
			for (int i = t; i < 18 * STEP / 4; i += THREADS) {
				int step = i / (TOGETHER * STEP / 4) * TOGETHER, at = i % (TOGETHER * STEP / 4) * 4;
				copy16(weights + step * STEP + at, packed + (c / K * 18 + step) * eight + at, 16);
			}
			commit();
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
				*(Four *)(patch + pixel * PIXEL + t % 4 * 4) = big;
				if (MODE == MIXED) { // a pixel's 16 channels rounded, then what that leaves
					float *pairs = patch + (p.pixels + pixel) * PIXEL + t % 4 * 2;
					*(Pair *)pairs = {bits(bf16(big.v[0], big.v[1])), bits(bf16(big.v[2], big.v[3]))};
					*(Pair *)(pairs + 8) = {bits(bf16(small.v[0], small.v[1])), bits(bf16(small.v[2], small.v[3]))};
				}
				if (MODE == TF32X3) *(Four *)(patch + (p.pixels + pixel) * PIXEL + t % 4 * 4) = small;
			}
			pending<0>();
			barrier();
			for (int ky = 0; ky < 3; ky++)
				UNROLL
				for (int kx = 0; kx < 3; kx++) {
					if (MODE == MIXED) {
						mixed(sum, window, (ky * patchWidth + kx) * PIXEL, p.pixels * PIXEL, weights + ((ky * 3 + kx) * 2 * STEP) + across * TILES * 256 + lane * 4);
						continue;
					}
					UNROLL
					for (int half = 0; half < 2; half++) {
						int at = (ky * patchWidth + kx) * PIXEL + half * 8;
						float big[2][4], small[2][4];
						UNROLL
						for (int i = 0; i < 2; i++) {
							fragment(big[i], window[i] + at);
							if (MODE == TF32X3) fragment(small[i], window[i] + p.pixels * PIXEL + at);
						}
						const float *own = weights + ((ky * 3 + kx) * 2 + half) * STEP + (across * TILES * 32 + lane) * PART;
						__attribute__((aligned(16))) float b[TILES][PART];
						UNROLL
						for (int j = 0; j < TILES; j++) {
							if (MODE == TF32X3)
								*(Four *)b[j] = *(const Four *)(own + j * 32 * PART);
							else
								*(Pair *)b[j] = *(const Pair *)(own + j * 32 * PART);
						}
						// Products that go to one sum stand apart, so that they need not wait for each other.
						UNROLL
						for (int part = MODE == TF32X3 ? 0 : 2; part < 3; part++)
							UNROLL
							for (int j = 0; j < TILES; j++)
								UNROLL
								for (int i = 0; i < 2; i++)
									multiply(sum[i][j], part == 1 ? small[i] : big[i], b[j] + (part == 0 ? 2 : 0));
					}
				}
		}
		finish(p, sum, r0, warp, across, lane);
	}

	DEVICE float bits(unsigned x) { return __builtin_bit_cast(float, x); }

	// mixed adds the products of one place.
	DEVICE void mixed(float sum[2][TILES][4], const float *const window[2], int at, int plane, const float *weights) {
		float big[2][2][4], rounded[2][4], small[2][4];
		UNROLL
		for (int i = 0; i < 2; i++) {
			fragment(rounded[i], window[i] + plane + at);
			fragment(small[i], window[i] + plane + at + 8);
			fragment(big[i][0], window[i] + at);
			fragment(big[i][1], window[i] + at + 8);
		}
		UNROLL
		for (int j = 0; j < TILES; j += 2) { // products that go to one sum stand apart, so that they need not wait for each other
			Four b[2], pairs[2];
			UNROLL
			for (int k = 0; k < 2; k++) {
				b[k] = *(const Four *)(weights + (j + k) * 256);
				pairs[k] = *(const Four *)(weights + (j + k) * 256 + 128);
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
						if (part >= 2) multiply(c, big[i][part - 2], b[k].v + 2 * (part - 2));
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
	KERNEL_OF(n > 32 ? 256 : 128, n > 32 ? 2 : n > 16 ? 3 : 4) name(const Patch a) { Patches<mode, n>::run(a); }

PATCH(patch_tf32_16, TF32, 16)
PATCH(patch_tf32_32, TF32, 32)
PATCH(patch_tf32_64, TF32, 64)
PATCH(patch_tf32x3_16, TF32X3, 16)
PATCH(patch_tf32x3_32, TF32X3, 32)
PATCH(patch_tf32x3_64, TF32X3, 64)
PATCH(patch_mixed_16, MIXED, 16)
PATCH(patch_mixed_32, MIXED, 32)
PATCH(patch_mixed_64, MIXED, 64)
