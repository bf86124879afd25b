// Derivatives by the weights of 3×3 convolutions of stride 1 and padding 1 on tensor cores.

#pragma once

#include "tiles.h"

struct Weigh {
	const float *x[2], *g[2]; // pictures of the input and of the output, to be multiplied in pairs
	double *out;              // partial sums, [run][place][channel][column]
	int sources;
	int images, height, width, pixel, rowPixel; // pixels of x and of g
	int channels, columns;                      // of out
	Tiling of;                                  // tilesOfBlock are a run
};

// Weighing is W̄ = Σ x·g over the pixels of a run of tiles, for nine places, 16 channels of x and 16 columns of g. A warp has every eighth 8
// pixels of each tile. All nine places share what it reads of g; x they read from the patch, split in two as TF32X3's factors are by the thread
// that has copied it, while what comes next is copied. The products of 8 pixels are summed from zero and then added by an addition that
// rounds, every other time as negatives (Product::addTiles). The sums of the warps are added in float64.
struct Weighing {
	enum {
		WARPS = 8, PLACES = 9, SIDE = 16, SUMS = PLACES * SIDE * SIDE, // of a block
		ROW = 40,  // words from a pixel to the next: 16 big ones, 16 small ones, and no two lanes of a fragment meet in a bank
		QUADS = 7, // 400 pixels at most
	};

	DEVICE void run(const Weigh &a) {
		float *patch = (float *)sharedMemory(), *staged = patch + a.of.pixels * ROW;
		int across = (a.columns + SIDE - 1) / SIDE, c0 = blockY() / across * SIDE, n0 = blockY() % across * SIDE;
		int first = blockX() * a.of.tilesOfBlock, end = first + a.of.tilesOfBlock < a.of.tiles ? first + a.of.tilesOfBlock : a.of.tiles;
		float sum[PLACES][2][4];
		UNROLL
		for (int k = 0; k < PLACES; k++)
			UNROLL
			for (int j = 0; j < 2; j++)
				UNROLL
				for (int e = 0; e < 4; e++) sum[k][j][e] = 0;

		Picture x = {a.x[0], (distance)a.height * a.width * a.pixel, a.pixel, a.images, a.width, a.pixel, 1};
		Pixels<QUADS, SIDE> source;
		source.locate(a.of, x, first);
		source.copy(a.of, x, staged, c0);
		commit();
		for (int tile = first, s = 0; s < a.sources;) {
			pending<0>();
			split(a, source, patch, staged);
			barrier();
			const float *g = a.g[s] + (distance)tile * a.of.pictures * a.of.height * a.width * a.rowPixel;
			int left = (a.images - source.image0) * a.height * a.width - source.part * a.of.height * a.width;
			if (++tile < end) {
				source.advance(a.of, x);
			} else if (tile = first, ++s < a.sources) {
				x.data = a.x[1];
				source.locate(a.of, x, first);
			}
			if (s < a.sources) source.copy(a.of, x, staged, c0);
			commit();
			multiplyTile(a, sum, patch, g, left, n0);
			barrier();
		}
		finish(a, sum, c0, n0);
	}

	// split brings what this thread has copied into the patch, with zeros where there was nothing to copy.
	DEVICE void split(const Weigh &a, const Pixels<QUADS, SIDE> &source, float *patch, const float *staged) {
		int t = threadX();
		UNROLL
		for (int i = 0; i < QUADS; i++) {
			int pixel = i * 64 + t / 4;
			Four x = {{0, 0, 0, 0}}, big, small;
			if (source.copied >> i & 1) x = *(const Four *)(staged + (i * 256 + t) * 4);
			UNROLL
			for (int e = 0; e < 4; e++) big.v[e] = leading(x.v[e]), small.v[e] = x.v[e] - big.v[e];
			if (pixel >= a.of.pixels) continue;
			*(Four *)(patch + pixel * ROW + t % 4 * 4) = big;
			*(Four *)(patch + pixel * ROW + SIDE + t % 4 * 4) = small;
		}
	}

	// multiplyTile adds the products of a tile, of which so many pixels are left.
	DEVICE void multiplyTile(const Weigh &a, float sum[PLACES][2][4], const float *patch, const float *g, int left, int n0) {
		int lane = threadX() % 32, pixels = a.of.pictures * a.of.height * a.width;
		if (left < pixels) pixels = left;
		float sign = 1;
		for (int m = threadX() / 32 * 8; m < pixels; m += WARPS * 8, sign = -sign) {
			const float *at[2]; // the pixels of this lane
			float big[2][2], small[2][2]; // of g, [eight columns][half]
			UNROLL
			for (int h = 0; h < 2; h++) {
				int own = m + 4 * h + lane % 4;
				at[h] = patch + pixelOf(a.of, a.width, own) * ROW + lane / 4;
				UNROLL
				for (int j = 0; j < 2; j++) {
					int n = n0 + 8 * j + lane / 4;
					float y = own < pixels && n < a.rowPixel ? sign * g[own * a.rowPixel + n] : 0;
					big[j][h] = leading(y), small[j][h] = y - big[j][h];
				}
			}
			UNROLL
			for (int ky = 0; ky < 3; ky++) {
				UNROLL
				for (int kx = 0; kx < 3; kx++) {
					float x[4], rest[4], part[2][4] = {};
					UNROLL
					for (int e = 0; e < 4; e++) {
						const float *from = at[e / 2] + kx * ROW + e % 2 * 8;
						x[e] = from[0], rest[e] = from[SIDE];
					}
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], x, small[j]);
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], rest, big[j]);
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], x, big[j]);
					UNROLL
					for (int j = 0; j < 2; j++)
						UNROLL
						for (int e = 0; e < 4; e++) sum[ky * 3 + kx][j][e] = __builtin_fmaf(sign, part[j][e], sum[ky * 3 + kx][j][e]);
				}
				UNROLL
				for (int h = 0; h < 2; h++) at[h] += (a.width + 2) * ROW;
			}
		}
	}

	// finish adds up what the warps have.
	DEVICE void finish(const Weigh &a, const float sum[PLACES][2][4], int c0, int n0) {
		float *shared = (float *)sharedMemory();
		int t = threadX(), lane = t % 32;
		pending<0>();
		UNROLL
		for (int k = 0; k < PLACES; k++)
			UNROLL
			for (int j = 0; j < 2; j++)
				UNROLL
				for (int e = 0; e < 4; e++)
					shared[t / 32 * SUMS + (k * SIDE + lane / 4 + e / 2 * 8) * SIDE + 8 * j + lane % 4 * 2 + e % 2] = sum[k][j][e];
		barrier();
		int c = c0 + t / SIDE, n = n0 + t % SIDE;
		if (c >= a.channels || n >= a.columns) return;
		for (int k = 0; k < PLACES; k++) {
			double total = 0;
			for (int w = 0; w < WARPS; w++) total += shared[w * SUMS + k * SIDE * SIDE + t];
			a.out[((distance)blockX() * PLACES + k) * a.channels * a.columns + (distance)c * a.columns + n] = total;
		}
	}
};

KERNEL_OF(256, 2) weighPatches(const Weigh a) { Weighing::run(a); }
