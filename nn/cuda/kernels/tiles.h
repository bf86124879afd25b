// Pictures in tiles, for kernels of 3×3 convolutions of stride 1 and padding 1: whole pictures or an equal part of one, of which a block
// of 256 threads reads the pixels that the tile's see once, with zeros around every picture.

#pragma once

#include "machine.h"
#include "view.h"

struct Tiling {
	int tiles, tilesOfBlock; // of the whole launch, and how many a block computes one after another
	int pictures, parts;     // of a tile, and tiles of a picture: one of them is 1
	int height;              // rows of a tile in a picture
	int pixels;              // of the patch
	unsigned perWidth, perHeight, perPatchWidth, perPatchHeight; // reciprocals of width, height, width + 2 and height + 2 (over)
};

// over is n/d for small n, by d's reciprocal 2¹⁶/d + 1.
DEVICE int over(int n, unsigned reciprocal) { return (int)((unsigned)n * reciprocal >> 16); }

// pixelOf is the first pixel of the patch that pixel m of the tile sees.
DEVICE int pixelOf(const Tiling &t, int width, int m) {
	int row = over(m, t.perWidth), x = m - row * width;
	if (row >= t.pictures * t.height) row = 0, x = 0;
	return (row + 2 * over(row, t.perHeight)) * (width + 2) + x;
}

// leading is tf32 of finite numbers in two instructions. Of a NaN it may make a zero: what it leaves of x is NaN.
DEVICE float leading(float x) { return __builtin_bit_cast(float, (__builtin_bit_cast(unsigned, x) + 0x1000) & 0xffffe000); }

// Picture is what tiles are of.
struct Picture {
	const float *data;
	distance image;
	int pixel, images, width, channels;
	int fours; // whether fours of channels are aligned
};

// Pixels are those of a patch that a thread copies to shared memory, four channels of each; of 16, with ROW words from a pixel to the next.
template <int QUADS, int ROW> struct Pixels {
	const float *in;               // of the tile's first pixel, the first channel of this thread
	int image0, part;
	int from[QUADS];               // the pixel, from there
	unsigned inside, above, below; // bits: in a picture's columns; above and below the tile's rows
	unsigned copied;               // of these, what was copied last

	// locate finds where the pixels of a tile come from; those of the next one do by advance.
	MEMBER void locate(const Tiling &of, const Picture &a, int tile) {
		int t = threadX(), image = tile / of.parts;
		part = tile - image * of.parts, image0 = image * of.pictures;
		in = a.data + image0 * a.image + part * of.height * a.width * a.pixel + t % 4 * 4;
		inside = above = below = copied = 0;
		UNROLL
		for (int i = 0; i < QUADS; i++) {
			int pixel = i * 64 + t / 4, row = over(pixel, of.perPatchWidth), x = pixel - row * (a.width + 2) - 1;
			int n = over(row, of.perPatchHeight), y = row - n * (of.height + 2) - 1;
			from[i] = n * (int)a.image + (y * a.width + x) * a.pixel;
			inside |= (unsigned)(pixel < of.pixels && (unsigned)x < (unsigned)a.width) << i;
			above |= (unsigned)(y < 0) << i;
			below |= (unsigned)(y >= of.height) << i;
		}
	}

	MEMBER void advance(const Tiling &of, const Picture &a) {
		if (++part < of.parts) {
			in += of.height * a.width * a.pixel;
			return;
		}
		part = 0, image0 += of.pictures;
		in += of.pictures * a.image - (distance)(of.parts - 1) * of.height * a.width * a.pixel;
	}

	// copy starts copying 16 channels of the tile's patch, from c on.
	MEMBER void copy(const Tiling &of, const Picture &a, float *patch, int c) {
		int t = threadX(), left = a.channels - c - t % 4 * 4;
		copied = inside & ~(part == 0 ? above : 0) & ~(part == of.parts - 1 ? below : 0);
		if (left <= 0) copied = 0;
		if (image0 + of.pictures > a.images) // the last tile
			for (int i = 0; i < QUADS; i++) {
				int n = over(over(i * 64 + t / 4, of.perPatchWidth), of.perPatchHeight);
				if (image0 + n >= a.images) copied &= ~(1u << i);
			}
		const float *source = in + c;
		float *to = patch + t / 4 * ROW + t % 4 * 4;
		if (a.fours && a.channels % 4 == 0) {
			UNROLL
			for (int i = 0; i < QUADS; i++) copy16If(copied >> i & 1, to + i * 64 * ROW, source + from[i]);
			return;
		}
		UNROLL
		for (int i = 0; i < QUADS; i++)
			if (copied >> i & 1)
				for (int e = 0; e < 4; e++) to[i * 64 * ROW + e] = e < left ? source[from[i] + e] : 0;
	}
};
