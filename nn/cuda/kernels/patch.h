// 3×3 convolutions of stride 1 and padding 1 on tensor cores.

#pragma once

#include "product.h"
#include "tiles.h"
#include "weights.h"

struct Patch {
	Conv conv;
	Tiling of;
};

// Patches computes what Product does, a tile at a time: a block reads the pixels that its outputs see once, 16 channels at a time, and moves
// over this patch by the nine places of the kernel. Its terms are (16 channels, place, channel), summed in this order.
//
// A tile has at most M rows of the product, and N columns; a warp has 32 rows and at most 32 columns. While a block multiplies, what it needs
// next is copied from memory to shared memory as it is; every thread then splits what it has copied itself, into the patch.
//
// Tensor cores do not round their sums but make them too small (Product::addTiles). So, but for TF32, the products of one place of
// the kernel are summed from zero, small ones first, and then added by an addition that rounds; at every other place their negatives, by
// negative weights, which are subtracted.
//
// For FP16X3, 16 channels of a pixel are divided by a power of two, their unit, that brings the largest to between 1 and 2, and the weights of
// a column by theirs (peak); units go from 2⁻¹⁰⁰ to 2¹⁰⁰. Then x = big + small/2048, both in half precision, is off by at most 2⁻²³ of x, or
// 2⁻³⁶ of the unit where that is more: what is less than 2⁻¹³⁶ may be lost, and from 2¹¹⁶ on big is infinite and the sums are NaN, so that the
// image is evaluated again. Of a product small·small is left out, at most 2⁻²² of it: three products for TF32X3's six.
//
// The places of 16 channels among a product's terms are free. Lane l brings channels 2t, 2t+1, 2t+8 and 2t+9, t = l % 4; in TF32 a
// pixel's channels therefore lie in the order 0 2 4 6 1 3 5 7 8 10 12 14 9 11 13 15.
template <int MODE, int N> struct Patches {
	enum {
		K = 16, WIDE = N > 32 ? 32 : N, ACROSS = N / WIDE, THREADS = 256, M = THREADS / ACROSS,
		// Words from a pixel to the next, so that no two of eight neighbours meet in a bank: its values in TF32 and for TF32X3 what is
		// left of them; for FP16X3 both in half precision, and their unit.
		PIXEL = (MODE == TF32X3 ? 2 * K : K) + 4,
		MOST = N > 32 ? 320 : 400, // pixels of a patch at most
		QUADS = (MOST * 4 + THREADS - 1) / THREADS,
		TILES = WIDE / 8,
		PART = fragmentWords(MODE),
		LANES = 9 * N / 8 * PART / 4, // fours of weights of 16 channels
		COPIES = (LANES + THREADS - 1) / THREADS,
	};

	struct __attribute__((aligned(8))) Pair { float x, y; };

	typedef Pixels<QUADS, K> Source;

	DEVICE void run(const Patch &p) {
		const Conv &a = p.conv;
		const Picture in = {a.in.data + blockZ() * a.in.point, a.in.image, a.in.pixel, a.images, a.width, a.inputs, a.fours};
		float *patch = (float *)sharedMemory(), *staged = patch + p.of.pixels * PIXEL, *weights = staged + p.of.pixels * K;
		int lane = threadX() % 32, warp = threadX() / 32 % (M / 32), across = threadX() / M;
		int tile = blockX() * p.of.tilesOfBlock, end = tile + p.of.tilesOfBlock < p.of.tiles ? tile + p.of.tilesOfBlock : p.of.tiles;
		const float *packed = a.weights + blockZ() * a.weightsPoint + (distance)blockY() * LANES * 4;
		Source source;
		source.locate(p.of, in, tile);
		const float *window[2], *units[4]; // what this lane tells of its warp's rows, and the units of those that it has sums of
		UNROLL
		for (int i = 0; i < 2; i++) window[i] = patch + pixelOf(p.of, a.width, warp * 32 + 16 * i + lane % 16) * PIXEL + lane / 16 * 4;
		UNROLL
		for (int i = 0; i < 4; i++) units[i] = patch + pixelOf(p.of, a.width, warp * 32 + 8 * i + lane / 4) * PIXEL + K;
		float sum[2][TILES][4];
		clear(sum);

		source.copy(p.of, in, staged, 0);
		commit();
		copyWeights(packed, weights);
		commit();
		for (int c = 0; tile < end;) {
			pending<1>();
			split(p, source, patch, staged);
			pending<0>();
			barrier();
			int next = c + K < a.inputs ? c + K : 0;
			bool more = next > 0 || tile + 1 < end;
			if (more) {
				if (next == 0) source.advance(p.of, in);
				source.copy(p.of, in, staged, next);
			}
			commit();
			for (int ky = 0; ky < 3; ky++)
				UNROLL
				for (int kx = 0; kx < 3; kx++) {
					int at = (ky * (a.width + 2) + kx) * PIXEL;
					float factor = placeSign(MODE, c / K + ky * 3 + kx);
					const float *own = weights + ((ky * 3 + kx) * (N / 8) + across * TILES) * PART + lane * 4;
					if (MODE == TF32)
						place(sum, window, at, own);
					else if (MODE == TF32X3)
						placeSplit(sum, window, at, own, factor);
					else
						placeHalves(sum, window, units, at, own, factor);
				}
			barrier();
			if (more && a.inputs > K) copyWeights(packed + (distance)(next / K * 9) * (a.columns / 8) * PART, weights);
			commit();
			if (next == 0) {
				if (a.out.even && (!a.residual.data || a.residual.even) && a.outputs % 8 == 0)
					finish<true>(p, sum, tile, warp, across, lane);
				else
					finish<false>(p, sum, tile, warp, across, lane);
				clear(sum);
				tile++;
			}
			c = next;
		}
	}

	DEVICE void clear(float sum[2][TILES][4]) {
		UNROLL
		for (int i = 0; i < 2; i++)
			UNROLL
			for (int j = 0; j < TILES; j++)
				UNROLL
				for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
	}

	// copyWeights starts copying those of 16 channels.
	DEVICE void copyWeights(const float *packed, float *weights) {
		UNROLL
		for (int k = 0; k < COPIES; k++) {
			int i = k * THREADS + threadX();
			copy16If(LANES % THREADS == 0 || i < LANES, weights + i * 4, packed + i * 4);
		}
	}

	// split brings what this thread has copied into the patch.
	DEVICE void split(const Patch &p, const Source &s, float *patch, const float *staged) {
		int t = threadX();
		UNROLL
		for (int i = 0; i < QUADS; i++) {
			int pixel = i * (THREADS / 4) + t / 4;
			Four x = {{0, 0, 0, 0}};
			if (s.copied >> i & 1) x = *(const Four *)(staged + (i * THREADS + t) * 4);
			float *to = patch + pixel * PIXEL;
			if (MODE == FP16X3)
				putHalves(to, x, pixel < p.of.pixels);
			else if (pixel < p.of.pixels)
				putTF32(to + t / 2 % 2 * 8 + t % 2 * 2, x);
		}
	}

	DEVICE void putTF32(float *to, const Four &x) {
		Four big, small;
		UNROLL
		for (int e = 0; e < 4; e++) {
			big.v[e] = MODE == TF32 ? tf32(x.v[e]) : leading(x.v[e]);
			small.v[e] = x.v[e] - big.v[e];
		}
		*(Pair *)to = {big.v[0], big.v[2]};
		*(Pair *)(to + 4) = {big.v[1], big.v[3]};
		if (MODE == TF32) return;
		*(Pair *)(to + K) = {small.v[0], small.v[2]};
		*(Pair *)(to + K + 4) = {small.v[1], small.v[3]};
	}

	// putHalves is called by all lanes of a warp, four for a pixel.
	DEVICE void putHalves(float *to, const Four &x, bool inside) {
		unsigned largest = 0;
		UNROLL
		for (int e = 0; e < 4; e++) {
			unsigned y = __builtin_bit_cast(unsigned, x.v[e]) & 0x7fffffff;
			largest = y > largest ? y : largest;
		}
		float unit = unitOf(largestOfFour(largest)), inverse = inverseOf(unit);
		unsigned big[2], small[2];
		UNROLL
		for (int e = 0; e < 2; e++) halves(x.v[2 * e] * inverse, x.v[2 * e + 1] * inverse, big[e], small[e]);
		if (!inside) return;
		int t = threadX() % 4;
		*(Pair *)(to + t * 2) = {bits(big[0]), bits(big[1])};
		*(Pair *)(to + K / 2 + t * 2) = {bits(small[0]), bits(small[1])};
		if (t == 0) to[K] = unit;
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

	DEVICE void placeSplit(float sum[2][TILES][4], const float *const window[2], int at, const float *weights, float sign) {
		float big[2][2][4], small[2][2][4]; // [half]
		UNROLL
		for (int h = 0; h < 2; h++)
			UNROLL
			for (int i = 0; i < 2; i++) {
				fragment(big[h][i], window[i] + at + 8 * h);
				fragment(small[h][i], window[i] + at + K + 8 * h);
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

	DEVICE void placeHalves(float sum[2][TILES][4], const float *const window[2], const float *const units[4], int at, const float *weights, float sign) {
		float big[2][4], small[2][4], unit[4];
		UNROLL
		for (int i = 0; i < 2; i++) {
			fragment(small[i], window[i] + at + K / 2);
			fragment(big[i], window[i] + at);
		}
		UNROLL
		for (int i = 0; i < 4; i++) unit[i] = sign * units[i][at];
		UNROLL
		for (int j = 0; j < TILES; j++) {
			Four b = *(const Four *)(weights + j * PART);
			float c[2][4] = {}, left[2][4] = {};
			UNROLL
			for (int part = 0; part < 3; part++)
				UNROLL
				for (int i = 0; i < 2; i++) {
					if (part == 0) multiply16(left[i], small[i], b.v);
					if (part == 1) multiply16(c[i], big[i], b.v);
					if (part == 2) multiply16(left[i], big[i], b.v + 2);
				}
			UNROLL
			for (int i = 0; i < 2; i++)
				UNROLL
				for (int e = 0; e < 4; e++)
					sum[i][j][e] = __builtin_fmaf(unit[2 * i + e / 2], __builtin_fmaf(left[i][e], 1 / 2048.f, c[i][e]), sum[i][j][e]);
		}
	}

	DEVICE void add(float sum[4], const float c[4], float sign) {
		UNROLL
		for (int e = 0; e < 4; e++) sum[e] = __builtin_fmaf(sign, c[e], sum[e]);
	}

	// finish writes the sums of a tile. EVEN is for channels that come in eights, whose pairs are aligned.
	template <bool EVEN> DEVICE void finish(const Patch &p, const float sum[2][TILES][4], int tile, int warp, int across, int lane) {
		const Conv &a = p.conv;
		int m0 = tile * p.of.pictures * p.of.height * a.width, left = a.images * a.height * a.width - m0;
		int m = warp * 32 + lane / 4, n = blockY() * N + across * WIDE + lane % 4 * 2;
		int pixels = p.of.pictures * p.of.height * a.width;
		if (left < pixels) pixels = left;
		const float *scale = a.factors + blockZ() * a.factorsPoint + a.scale + n, *shift = scale - a.scale + a.shift;
		float *out = a.out.data + blockZ() * a.out.point + (distance)(m0 + m) * a.out.pixel + n;
		const float *residual = a.residual.data + blockZ() * a.residual.point + (distance)(m0 + m) * a.residual.pixel + n;
		bool bounded = a.bounded;
		Pair r[4][TILES]; // all are under way before the first is waited for
		UNROLL
		for (int i = 0; i < 4; i++)
			UNROLL
			for (int j = 0; j < TILES; j++) {
				r[i][j] = {0, 0};
				if (!a.residual.data || m + 8 * i >= pixels || n + 8 * j >= a.outputs) continue;
				const float *from = residual + 8 * i * a.residual.pixel + 8 * j;
				if (EVEN)
					r[i][j] = *(const Pair *)from;
				else
					r[i][j] = {from[0], n + 8 * j + 1 < a.outputs ? from[1] : 0};
			}
		UNROLL
		for (int j = 0; j < TILES; j++) {
			if (n + 8 * j >= a.outputs) continue;
			int second = EVEN || n + 8 * j + 1 < a.outputs;
			float scales[2] = {scale[8 * j], scale[8 * j + second]}, shifts[2] = {shift[8 * j], shift[8 * j + second]};
			UNROLL
			for (int i = 0; i < 4; i++) {
				if (m + 8 * i >= pixels) continue;
				const float *s = sum[i / 2][j] + i % 2 * 2;
				Pair y = {__builtin_fmaf(s[0], scales[0], shifts[0]) + r[i][j].x, __builtin_fmaf(s[1], scales[1], shifts[1]) + r[i][j].y};
				if (bounded) y = {positive(y.x), positive(y.y)};
				float *to = out + 8 * i * a.out.pixel + 8 * j;
				if (EVEN) {
					*(Pair *)to = y;
				} else {
					to[0] = y.x;
					if (second) to[1] = y.y;
				}
			}
		}
	}
};

#define PATCH(name, mode, n) \
	KERNEL_OF(256, 2) name(const Patch a) { Patches<mode, n>::run(a); }

PATCH(patch_tf32_16, TF32, 16)
PATCH(patch_tf32_32, TF32, 32)
PATCH(patch_tf32_64, TF32, 64)
PATCH(patch_tf32x3_16, TF32X3, 16)
PATCH(patch_tf32x3_32, TF32X3, 32)
PATCH(patch_tf32x3_64, TF32X3, 64)
PATCH(patch_fp16x3_16, FP16X3, 16)
PATCH(patch_fp16x3_32, FP16X3, 32)
PATCH(patch_fp16x3_64, FP16X3, 64)
