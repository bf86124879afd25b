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

// Weighing is W̄ = Σ x·g over the pixels of a run of tiles, for nine places, 16 channels of x and 16 columns of g. A warp has every eighth 16
// pixels of each tile. All nine places share what it reads of g; x they read from the patch, which is copied while the one before is
// multiplied. Factors are split in two as TF32X3's are, and the products of 16 pixels summed from zero and then added by an addition that
// rounds, every other time as negatives (Product::addTiles). The sums of the warps are added in float64.
struct Weighing {
	enum {
		WARPS = 8, PLACES = 9, SIDE = 16, SUMS = PLACES * SIDE * SIDE, // of a block
		ROW = 24,                                                     // words from a pixel to the next: no two lanes of a fragment meet in a bank
		QUADS = 7,                                                    // 400 pixels at most
	};

	DEVICE void run(const Weigh &a) {
		float *patches = (float *)sharedMemory();
		int size = a.of.pixels * ROW, across = (a.columns + SIDE - 1) / SIDE;
		int c0 = blockY() / across * SIDE, n0 = blockY() % across * SIDE;
		int first = blockX() * a.of.tilesOfBlock, end = first + a.of.tilesOfBlock < a.of.tiles ? first + a.of.tilesOfBlock : a.of.tiles;
		float sum[PLACES][2][4];
		UNROLL
		for (int k = 0; k < PLACES; k++)
			UNROLL
			for (int j = 0; j < 2; j++)
				UNROLL
				for (int e = 0; e < 4; e++) sum[k][j][e] = 0;

		Picture x = {a.x[0], (distance)a.height * a.width * a.pixel, a.pixel, a.images, a.width, a.pixel, 1};
		Pixels<QUADS, ROW> source;
		source.locate(a.of, x, first);
		copy(a, source, x, patches, c0);
		commit();
		for (int i = 0, tile = first, s = 0; s < a.sources; i++) {
			int nextTile = tile + 1, nextSource = s;
			if (nextTile < end) {
				source.advance(a.of, x);
			} else if (nextTile = first, ++nextSource < a.sources) {
				x.data = a.x[1];
				source.locate(a.of, x, first);
			}
			if (nextSource < a.sources) copy(a, source, x, patches + (i + 1) % 2 * size, c0);
			commit();
			pending<1>();
			barrier();
			multiplyTile(a, sum, patches + i % 2 * size, a.g[s], tile, n0);
			barrier();
			tile = nextTile, s = nextSource;
		}
		finish(a, sum, c0, n0);
	}

	// copy starts copying a patch; where there is nothing to copy it puts zeros.
	DEVICE void copy(const Weigh &a, Pixels<QUADS, ROW> &source, const Picture &x, float *patch, int c0) {
		source.copy(a.of, x, patch, c0);
		int t = threadX();
		UNROLL
		for (int i = 0; i < QUADS; i++)
			if (!(source.copied >> i & 1) && i * 64 + t / 4 < a.of.pixels) *(Four *)(patch + (i * 64 + t / 4) * ROW + t % 4 * 4) = {{0, 0, 0, 0}};
	}

	DEVICE void multiplyTile(const Weigh &a, float sum[PLACES][2][4], const float *patch, const float *g, int tile, int n0) {
		int lane = threadX() % 32, pixels = a.of.pictures * a.of.height * a.width;
		distance m0 = (distance)tile * pixels;
		int left = a.images * a.height * a.width - (int)m0;
		if (left < pixels) pixels = left;
		float sign = 1;
		for (int m = threadX() / 32 * 16; m < pixels; m += WARPS * 16, sign = -sign) {
			int at[2][2]; // of the pixels of this lane, by halves
			float big[2][2][2], small[2][2][2]; // of g, [half][eight columns]
			UNROLL
			for (int h = 0; h < 2; h++)
				UNROLL
				for (int e = 0; e < 2; e++) {
					int own = m + 8 * h + 4 * e + lane % 4;
					at[h][e] = pixelOf(a.of, a.width, own) * ROW + lane / 4;
					UNROLL
					for (int j = 0; j < 2; j++) {
						int n = n0 + 8 * j + lane / 4;
						float y = own < pixels && n < a.rowPixel ? sign * g[(m0 + own) * a.rowPixel + n] : 0;
						big[h][j][e] = leading(y), small[h][j][e] = y - big[h][j][e];
					}
				}
			UNROLL
			for (int k = 0; k < PLACES; k++) {
				const float *window = patch + (k / 3 * (a.width + 2) + k % 3) * ROW;
				float part[2][4] = {};
				UNROLL
				for (int h = 0; h < 2; h++) {
					float x[4], rest[4];
					UNROLL
					for (int e = 0; e < 4; e++) {
						float y = window[at[h][e / 2] + e % 2 * 8];
						x[e] = leading(y), rest[e] = y - x[e];
					}
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], x, small[h][j]);
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], rest, big[h][j]);
					UNROLL
					for (int j = 0; j < 2; j++) multiply(part[j], x, big[h][j]);
				}
				UNROLL
				for (int j = 0; j < 2; j++)
					UNROLL
					for (int e = 0; e < 4; e++) sum[k][j][e] = __builtin_fmaf(sign, part[j][e], sum[k][j][e]);
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
