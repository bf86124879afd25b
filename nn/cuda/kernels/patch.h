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
// Tensor cores do not round their sums but make them too small (Product::addTiles). So, but for TF32, the products of one place of
// the kernel are summed from zero, small ones first, and then added by an addition that rounds; at every other place their negatives, by
// negative weights, which are subtracted.
//
// The places of 16 channels among a product's terms are free. Lane l brings channels 2t, 2t+1, 2t+8 and 2t+9, t = l % 4, so that its
// weights are the same for multiply and multiply16; in float32, a pixel's channels lie in the order 0 2 4 6 1 3 5 7 8 10 12 14 9 11 13 15.
template <int MODE, int N> struct Patches {
	enum {
		K = 16, WIDE = N > 32 ? 32 : N, ACROSS = N / WIDE, THREADS = 256, M = THREADS / ACROSS,
		// Words from a pixel to the next, so that no two of eight neighbours meet in a bank: of the first plane, and of the second,
		// which has what is left of the values.
		PIXEL = K + 4, LEFT = MODE == MIXED ? K / 2 + 4 : PIXEL,
		MOST = N > 32 ? 320 : 400, // pixels of a patch at most
		QUADS = (MOST * 4 + THREADS - 1) / THREADS,
		TILES = WIDE / 8,
		PART = MODE == TF32 ? 128 : MODE == MIXED ? 192 : 256, // words of the weights of 16 terms for eight columns
		LANES = 9 * N * 4,   // fours of weights of 16 channels
		COPIES = (LANES + THREADS - 1) / THREADS,
	};

	struct __attribute__((aligned(8))) Pair { float x, y; };

	DEVICE void run(const Patch &p) {
		const Conv &a = p.conv;
		float *patch = (float *)sharedMemory(), *rest = patch + p.pixels * PIXEL, *weights = MODE == TF32 ? rest : rest + p.pixels * LEFT;
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
		const float *first[2], *second[2]; // what this lane tells of its warp's rows
		UNROLL
		for (int i = 0; i < 2; i++) {
			int m = warp * 32 + 16 * i + lane % 16, row = over(m, p.perWidth), x = m - row * a.width;
			if (row >= p.rows) row = 0, x = 0;
			row += 2 * over(y0 + row, p.perHeight);
			first[i] = patch + (row * patchWidth + x) * PIXEL + lane / 16 * 4;
			second[i] = rest + (row * patchWidth + x) * LEFT + lane / 16 * 4;
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
				if (LANES % THREADS == 0 || i < LANES) store(weights, i, lanes[k], sign(c / K + i / (N * 4)));
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
				if (MODE == TF32X3) {
					to = rest + pixel * LEFT + t / 2 % 2 * 8 + t % 2 * 2;
					*(Pair *)to = {small.v[0], small.v[2]};
					*(Pair *)(to + 4) = {small.v[1], small.v[3]};
				}
				if (MODE == MIXED)
					*(Pair *)(rest + pixel * LEFT + t % 4 * 2) = {bits(bf16(small.v[0], small.v[1])), bits(bf16(small.v[2], small.v[3]))};
			}
			barrier();
			for (int ky = 0; ky < 3; ky++)
				UNROLL
				for (int kx = 0; kx < 3; kx++) {
					int at = ky * patchWidth + kx;
					float factor = sign(c / K + ky * 3 + kx);
					const float *own = weights + ((ky * 3 + kx) * (N / 8) + across * TILES) * PART;
					if (MODE == TF32)
						place(sum, first, at * PIXEL, own + lane * 4);
					else if (MODE == TF32X3)
						placeSplit(sum, first, second, at * PIXEL, own + lane * 4, factor);
					else
						placeMixed(sum, first, second, at, own, lane, factor);
				}
		}
		finish(p, sum, r0, warp, across, lane);
	}

	DEVICE float bits(unsigned x) { return __builtin_bit_cast(float, x); }

	// sign is that of the products of the n-th place.
	DEVICE float sign(int n) { return MODE != TF32 && n % 2 ? -1 : 1; }

	// store splits what lane i % 32 brings of weights, times sign: for TF32X3 into the first and the last eight terms, [half][lane](big, big, small, small); for
	// MIXED into TF32, [lane](big, big, big, big), and BF16 [lane](small pair, small pair).
	DEVICE void store(float *weights, int i, const Four &w, float sign) {
		float *to = weights + i / 32 * PART + i % 32 * 4;
		Four big, small;
		UNROLL
		for (int e = 0; e < 4; e++) {
			float x = sign * w.v[e];
			big.v[e] = tf32(x);
			small.v[e] = x - big.v[e];
		}
		if (MODE == TF32X3) {
			*(Four *)to = {{big.v[0], big.v[1], small.v[0], small.v[1]}};
			*(Four *)(to + 128) = {{big.v[2], big.v[3], small.v[2], small.v[3]}};
			return;
		}
		*(Four *)to = big;
		if (MODE == MIXED)
			*(Pair *)(weights + i / 32 * PART + 128 + i % 32 * 2) = {bits(bf16(small.v[0], small.v[1])), bits(bf16(small.v[2], small.v[3]))};
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

	DEVICE void placeSplit(float sum[2][TILES][4], const float *const first[2], const float *const second[2], int at, const float *weights, float sign) {
		float big[2][2][4], small[2][2][4]; // [half]
		UNROLL
		for (int h = 0; h < 2; h++)
			UNROLL
			for (int i = 0; i < 2; i++) {
				fragment(big[h][i], first[i] + at + 8 * h);
				fragment(small[h][i], second[i] + at + 8 * h);
			}
		UNROLL
		for (int j = 0; j < TILES; j++) {
			Four b[2];
			float c[2][4] = {};
			UNROLL
			for (int h = 0; h < 2; h++) b[h] = *(const Four *)(weights + j * PART + h * 128);
			UNROLL
			for (int part = 0; part < 3; part++)
				UNROLL
				for (int h = 0; h < 2; h++)
					UNROLL
					for (int i = 0; i < 2; i++) multiply(c[i], part == 1 ? small[h][i] : big[h][i], b[h].v + (part == 0 ? 2 : 0));
			UNROLL
			for (int i = 0; i < 2; i++) add(sum[i][j], c[i], sign);
		}
	}

	DEVICE void placeMixed(float sum[2][TILES][4], const float *const first[2], const float *const second[2], int at, const float *weights, int lane, float sign) {
		float big[2][2][4], rounded[2][4], small[2][4];
		UNROLL
		for (int i = 0; i < 2; i++) {
			fragment(small[i], second[i] + at * LEFT);
			UNROLL
			for (int h = 0; h < 2; h++) {
				fragment(big[h][i], first[i] + at * PIXEL + 8 * h);
				UNROLL
				for (int e = 0; e < 2; e++) rounded[i][2 * h + e] = bits(bf16(big[h][i][e], big[h][i][e + 2]));
			}
		}
		UNROLL
		for (int j = 0; j < TILES; j++) {
			Four b = *(const Four *)(weights + j * PART + lane * 4);
			Pair left = *(const Pair *)(weights + j * PART + 128 + lane * 2);
			const float smaller[2] = {left.x, left.y}, larger[2] = {bits(bf16(b.v[0], b.v[1])), bits(bf16(b.v[2], b.v[3]))};
			float c[2][4] = {};
			UNROLL
			for (int part = 0; part < 4; part++)
				UNROLL
				for (int i = 0; i < 2; i++) {
					if (part == 0) multiply16(c[i], rounded[i], smaller);
					if (part == 1) multiply16(c[i], small[i], larger);
					if (part >= 2) multiply(c[i], big[part - 2][i], b.v + 2 * (part - 2));
				}
			UNROLL
			for (int i = 0; i < 2; i++) add(sum[i][j], c[i], sign);
		}
	}

	DEVICE void add(float sum[4], const float c[4], float sign) {
		UNROLL
		for (int e = 0; e < 4; e++) sum[e] = __builtin_fmaf(sign, c[e], sum[e]);
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
