// Derivatives: layers of a tape that run forwards and backwards over a block of images.
//
// Pictures follow each other, image by image, pixel by pixel; a pixel's channels are padded to a multiple of four, by values that are
// finite. Values are computed in float64, so that no kink is taken for its other side, and kept in float32, as are the adjoints and the
// derivatives of both along a vector. Sums over images are float32 in short runs and float64 beyond, in a fixed order.

#pragma once

#include "activation.h"
#include "view.h"

// Contract is one of the three products of a convolution, or the sum of two. The pixels that it counts as rows (FORWARD, the output's;
// BACK, the input's) or sums over (WEIGHTS, the output's) have a height and a width of their own.
struct Contract {
	const void *a[2], *b[2]; // what is gathered, and the weights or (WEIGHTS) adjoints
	void *out;               // for WEIGHTS partial sums in float64, [split][group][row][column]
	const void *shift;       // by column, or null
	int sources;
	int images, height, width, pixel; // of a
	int rowHeight, rowWidth, rowPixel;
	int channels, columns; // of a group
	int kernelY, kernelX, strideY, strideX, padY, padX, dilationY, dilationX;
	int fours;         // whether four channels of a group follow each other, aligned
	int adds;          // to what is there
	int groups;
	int splits, chunk; // for WEIGHTS: runs of so many pixels
};

enum { FORWARD, BACK, WEIGHTS };

// Contraction computes tiles of M rows and N columns, 16 terms at a time, which are loaded to registers while those before are
// multiplied. FORWARD and BACK have terms (place, channel); WEIGHTS has rows (place, channel).
//
// Going back over a stride, a pixel sees only places of the kernel that fit its remainders by the stride: a block's rows have the same
// ones, and it goes through the terms of these places alone.
template <typename T, int MODE, int N> struct Contraction {
	enum { THREADS = 256, M = N == 16 ? 256 : 128, K = 16, QUADS = M * K / 4 / THREADS, ACROSS = N / 4, DOWN = M * ACROSS / THREADS, BETWEEN = THREADS / ACROSS };

	typedef T Quad __attribute__((ext_vector_type(4), aligned(16)));

	// quad is four numbers by one instruction, which the compiler does only where it does not see a float's alignment.
	DEVICE Quad quad(const T *aligned) { return *(const Quad *)aligned; }
	DEVICE void put(T *aligned, Quad q) { *(Quad *)aligned = q; }

	struct Stage {
		T a[K][M + 4];
		T b[K][N + 4];
	};

	struct Spot { int n, y, x; }; // a pixel

	// advance moves s on by so many pixels.
	DEVICE void advance(const Contract &a, Spot &s, int by) {
		s.x += by;
		while (s.x >= a.rowWidth) s.x -= a.rowWidth, s.y++;
		while (s.y >= a.rowHeight) s.y -= a.rowHeight, s.n++;
	}

	// Kin are the pixels of one remainder by the stride.
	struct Kin { int y, x, height, width; };

	DEVICE int beyond(int size, int first, int stride) { return (size - first + stride - 1) / stride; }

	// kin finds those of a block and the first of its rows among them.
	DEVICE Kin kin(const Contract &a, int block, int *m0) {
		for (int i = 0;; i++) {
			int y = i / a.strideX, x = i - y * a.strideX;
			Kin k = {y, x, beyond(a.rowHeight, y, a.strideY), beyond(a.rowWidth, x, a.strideX)};
			int count = (a.images * k.height * k.width + M - 1) / M;
			if (block < count) {
				*m0 = block * M;
				return k;
			}
			block -= count;
		}
	}

	DEVICE Spot spot(const Contract &a, const Kin &k, int m) {
		int pixels = k.height * k.width, n = m / pixels, yx = m - n * pixels, y = yx / k.width;
		return {n, k.y + y * a.strideY, k.x + (yx - y * k.width) * a.strideX};
	}

	// sees tells whether pixels see the place of a step.
	DEVICE bool sees(const Contract &a, const Kin &k, int step) {
		int place = step / a.channels, ky = place / a.kernelX, kx = place - ky * a.kernelX;
		return (k.y + a.padY - ky * a.dilationY) % a.strideY == 0 && (k.x + a.padX - kx * a.dilationX) % a.strideX == 0;
	}

	DEVICE Spot spot(const Contract &a, int m) {
		int pixels = a.rowHeight * a.rowWidth, n = m / pixels, yx = m - n * pixels, y = yx / a.rowWidth;
		return {n, y, yx - y * a.rowWidth};
	}

	// along is the coordinate of a that the place k of the kernel sees from r; negative if there is none.
	DEVICE int along(int r, int k, int stride, int pad, int dilation, int size) {
		int y = MODE == BACK ? r + pad - k * dilation : r * stride + k * dilation - pad;
		if (MODE == BACK && stride > 1) {
			if (y % stride) return -1;
			y /= stride;
		}
		return y < size ? y : -1;
	}

	// pixel is what s sees at a place of the kernel, or null.
	DEVICE const T *pixel(const Contract &a, const T *from, Spot s, int ky, int kx) {
		int y = along(s.y, ky, a.strideY, a.padY, a.dilationY, a.height), x = along(s.x, kx, a.strideX, a.padX, a.dilationX, a.width);
		return y < 0 || x < 0 ? nullptr : from + (distance)((s.n * a.height + y) * a.width + x) * a.pixel;
	}

	struct Term { int ky, kx, c; };

	DEVICE Term term(const Contract &a, int i) {
		int k = i / a.channels, ky = k / a.kernelX;
		return {ky, k - ky * a.kernelX, i - k * a.channels};
	}

	// carry moves s on by so many terms.
	DEVICE void carry(const Contract &a, Term &s, int by) {
		s.c += by;
		while (s.c >= a.channels) {
			s.c -= a.channels;
			if (++s.kx == a.kernelX) s.kx = 0, s.ky++;
		}
	}

	// gather reads four terms from i on, of which f is the first.
	DEVICE Quad gather(const Contract &a, const T *from, Spot s, Term f, int i) {
		Quad q = {0, 0, 0, 0};
		if (s.n >= a.images) return q;
		if (a.fours) {
			const T *p = f.ky < a.kernelY ? pixel(a, from, s, f.ky, f.kx) : nullptr;
			return p ? *(const Quad *)(p + f.c) : q;
		}
		UNROLL
		for (int e = 0; e < 4; e++) {
			Term g = term(a, i + e);
			const T *p = g.ky < a.kernelY ? pixel(a, from, s, g.ky, g.kx) : nullptr;
			if (p) q[e] = p[g.c];
		}
		return q;
	}

	DEVICE T fma(T x, T y, T z) { return sizeof(T) == 4 ? (T)__builtin_fmaf((float)x, (float)y, (float)z) : (T)__builtin_fma((double)x, (double)y, (double)z); }

	DEVICE void run(const Contract &a) {
		Stage &s = *(Stage *)sharedMemory();
		int t = threadX(), m0 = blockX() * M, n0 = blockY() * N;
		int group = MODE == WEIGHTS ? blockZ() / a.splits : blockZ(), split = MODE == WEIGHTS ? blockZ() % a.splits : 0;
		int pixels = a.images * a.rowHeight * a.rowWidth, inner = a.kernelY * a.kernelX * a.channels;
		Kin kindred = {0, 0, 0, 0};
		if (MODE == BACK) {
			kindred = kin(a, blockX(), &m0);
			pixels = a.images * kindred.height * kindred.width;
		}
		bool skips = MODE == BACK && a.strideY * a.strideX > 1 && a.channels % K == 0;
		int rows = MODE == WEIGHTS ? inner : pixels;
		int first = split * a.chunk, terms = MODE == WEIGHTS ? (pixels < first + a.chunk ? pixels : first + a.chunk) : inner;
		distance weights = (distance)group * inner * a.columns;

		T sum[DOWN][4];
		UNROLL
		for (int i = 0; i < DOWN; i++)
			UNROLL
			for (int j = 0; j < 4; j++) sum[i][j] = 0;

		for (int source = 0; source < a.sources; source++) {
			const T *from = (const T *)a.a[source] + group * a.channels;
			const T *by = (const T *)a.b[source] + (MODE == WEIGHTS ? group * a.columns : weights);
			Spot spots[QUADS]; // what this thread reads of a: its rows or (WEIGHTS) its next terms
			UNROLL
			for (int i = 0; i < QUADS; i++) {
				int m = MODE == WEIGHTS ? first + t / (M / 4) + THREADS / (M / 4) * i : m0 + t / 4 + THREADS / 4 * i;
				spots[i] = MODE == BACK ? spot(a, kindred, m) : spot(a, m);
			}
			int own = MODE == WEIGHTS ? m0 + t % (M / 4) * 4 : t % 4 * 4; // the first of its rows or next terms of a
			Term next = term(a, own);
			Quad quads[QUADS], other;
			auto load = [&](int first) __attribute__((always_inline)) {
				UNROLL
				for (int i = 0; i < QUADS; i++) {
					if (MODE == WEIGHTS) {
						bool ended = first + t / (M / 4) + THREADS / (M / 4) * i >= terms;
						quads[i] = gather(a, from, {ended ? a.images : spots[i].n, spots[i].y, spots[i].x}, next, own);
						advance(a, spots[i], K);
					} else {
						quads[i] = gather(a, from, spots[i], next, first + own);
					}
				}
				other = {0, 0, 0, 0};
				if (t >= K * N / 4) return;
				if (MODE == BACK) { // four terms of a column
					int i = first + own, n = n0 + t / 4;
					if (a.fours) {
						int k = next.ky * a.kernelX + next.kx;
						if (i < terms && n < a.columns) other = *(const Quad *)(by + (distance)(k * a.columns + n) * a.channels + next.c);
						return;
					}
					UNROLL
					for (int e = 0; e < 4; e++)
						if (i + e < terms && n < a.columns) other[e] = by[((i + e) / a.channels * a.columns + n) * a.channels + (i + e) % a.channels];
					return;
				}
				int k = first + t / ACROSS, n = n0 + t % ACROSS * 4;
				const T *row = by + (distance)k * (MODE == WEIGHTS ? a.rowPixel : a.columns) + n;
				if (k >= terms) return;
				if (a.fours) {
					if (n < a.columns) other = *(const Quad *)row;
					return;
				}
				UNROLL
				for (int e = 0; e < 4; e++)
					if (n + e < a.columns) other[e] = row[e];
			};
			auto onward = [&](int step) __attribute__((always_inline)) {
				while (skips && step < terms && !sees(a, kindred, step)) {
					step += K;
					carry(a, next, K);
				}
				return step;
			};
			int step = onward(first);
			if (step < terms) load(step);
			while (step < terms) {
				barrier();
				UNROLL
				for (int i = 0; i < QUADS; i++) {
					if (MODE == WEIGHTS) {
						put(&s.a[t / (M / 4) + THREADS / (M / 4) * i][t % (M / 4) * 4], quads[i]);
					} else {
						UNROLL
						for (int e = 0; e < 4; e++) s.a[t % 4 * 4 + e][t / 4 + THREADS / 4 * i] = quads[i][e];
					}
				}
				if (t < K * N / 4) {
					if (MODE == BACK) {
						UNROLL
						for (int e = 0; e < 4; e++) s.b[t % 4 * 4 + e][t / 4] = other[e];
					} else {
						put(&s.b[t / ACROSS][t % ACROSS * 4], other);
					}
				}
				barrier();
				if (MODE != WEIGHTS) carry(a, next, K);
				step = onward(step + K);
				if (step < terms) load(step);
				UNROLL
				for (int k = 0; k < K; k++) {
					Quad y = quad(&s.b[k][t % ACROSS * 4]);
					UNROLL
					for (int i = 0; i < DOWN; i += 4) {
						Quad x = quad(&s.a[k][t / ACROSS * 4 + BETWEEN * i]);
						UNROLL
						for (int d = 0; d < 4; d++)
							UNROLL
							for (int e = 0; e < 4; e++) sum[i + d][e] = fma(x[d], y[e], sum[i + d][e]);
					}
				}
			}
		}
		UNROLL
		for (int i = 0; i < DOWN; i++) {
			int m = m0 + t / ACROSS * 4 + BETWEEN * (i / 4 * 4) + i % 4, n = n0 + t % ACROSS * 4;
			if (m >= rows) continue;
			if (MODE == WEIGHTS) {
				double *to = (double *)a.out + ((distance)split * a.groups + group) * inner * a.columns + (distance)m * a.columns + n;
				UNROLL
				for (int e = 0; e < 4; e++)
					if (n + e < a.columns) to[e] = sum[i][e];
				continue;
			}
			distance pixel = m;
			if (MODE == BACK) {
				Spot s = spot(a, kindred, m);
				pixel = ((distance)s.n * a.rowHeight + s.y) * a.rowWidth + s.x;
			}
			T *to = (T *)a.out + pixel * a.rowPixel + group * a.columns + n;
			const T *shift = (const T *)a.shift + group * a.columns + n;
			if (a.fours && n < a.columns) {
				Quad y;
				UNROLL
				for (int e = 0; e < 4; e++) y[e] = a.shift ? sum[i][e] + shift[e] : sum[i][e];
				if (a.adds) {
					Quad old = *(const Quad *)to;
					UNROLL
					for (int e = 0; e < 4; e++) y[e] += old[e];
				}
				*(Quad *)to = y;
				continue;
			}
			UNROLL
			for (int e = 0; e < 4; e++) {
				if (n + e >= a.columns) continue;
				T y = a.shift ? sum[i][e] + shift[e] : sum[i][e];
				to[e] = a.adds ? y + to[e] : y;
			}
		}
	}
};

#define CONTRACT(name, T, mode, n) \
	KERNEL(256) name(const Contract a) { Contraction<T, mode, n>::run(a); }

CONTRACT(forward64_16, double, FORWARD, 16)
CONTRACT(forward64_32, double, FORWARD, 32)
CONTRACT(forward64_64, double, FORWARD, 64)
CONTRACT(forward_16, float, FORWARD, 16)
CONTRACT(forward_32, float, FORWARD, 32)
CONTRACT(forward_64, float, FORWARD, 64)
CONTRACT(back_16, float, BACK, 16)
CONTRACT(back_32, float, BACK, 32)
CONTRACT(back_64, float, BACK, 64)
CONTRACT(weigh_16, float, WEIGHTS, 16)
CONTRACT(weigh_32, float, WEIGHTS, 32)
CONTRACT(weigh_64, float, WEIGHTS, 64)

// Combine is y = f(z), z = scale·x + shift + r, and its derivatives; f is NONE, RELU or, where there are no scale and no r, any
// activation. Scale and r may be null. In the second order,
//
//	dy = f′·dz,  dz = scale·dx + dScale·x + dShift + dr
//	z̄ = f′·ȳ,  dz̄ = f′·dȳ + f″·dz·ȳ,  dx̄ = scale·dz̄ + dScale·z̄,  dr̄ = dz̄
struct Combine {
	const double *x64, *r64, *scale64, *shift64;
	double *y64;
	const float *x, *y, *dx, *dr, *scale, *dScale, *dShift, *gy, *dgy;
	float *dy, *gx, *gr; // gx and gr are of the order in hand
	double *sums;        // partial ones, [split][by scale, by shift][channel]
	distance pixels;
	int pixel, kind;
	float a, b;
	int addsX, addsR, second;
	int chunk, across;
};

// A thread does four channels; first is the index of the first, c the channel, and it is −1 if there is none. A block has less than 2³¹
// elements of a picture.
DEVICE int first(const Combine &a, int *c) {
	unsigned i = blockX() * 256 + threadX(), fours = a.pixel / 4;
	*c = i % fours * 4;
	return i < (unsigned)a.pixels * fours ? (int)(i * 4) : -1;
}

DEVICE Four four(const float *from, int i) { return *(const Four *)(from + i); }

KERNEL(256) combine64(const Combine a) {
	int c, i = first(a, &c);
	if (i < 0) return;
	UNROLL
	for (int e = 0; e < 4; e++) {
		double z = a.x64[i + e];
		if (a.scale64) z = __builtin_fma(z, a.scale64[c + e], a.shift64[c + e]);
		if (a.r64) z += a.r64[i + e];
		a.y64[i + e] = a.kind == NONE ? z : a.kind == RELU ? z < 0 ? 0 : z : activate64(a.kind, a.a, a.b, z);
	}
}

// apply is f′·u and, in the second order, f″·v·w more; y is f(x). At a kink derivatives are PyTorch's.
DEVICE float apply(const Combine &a, float x, float y, float u, float v, float w) {
	if (a.kind == NONE) return u;
	if (a.kind == RELU) return y > 0 ? u : y <= 0 ? 0 * u : y; // NaN stays NaN
	double slope, bend;
	bends(a.kind, a.a, a.b, x, &slope, &bend);
	return (float)(slope * u + bend * v * w);
}

KERNEL(256) tangent(const Combine a) {
	int c, i = first(a, &c);
	if (i < 0) return;
	Four x = four(a.x, i), y = four(a.y, i), dx = four(a.dx, i), dr = {{0, 0, 0, 0}}, out;
	if (a.dr) dr = four(a.dr, i);
	UNROLL
	for (int e = 0; e < 4; e++) {
		float dz = dx.v[e];
		if (a.scale) dz = __builtin_fmaf(dz, a.scale[c + e], __builtin_fmaf(x.v[e], a.dScale[c + e], a.dShift[c + e]));
		if (a.dr) dz += dr.v[e];
		out.v[e] = apply(a, x.v[e], y.v[e], dz, 0, 0);
	}
	*(Four *)(a.dy + i) = out;
}

// handOn computes z̄, g, or in the second order dz̄, top, of four channels and hands it on.
DEVICE void handOn(const Combine &a, int i, int c, const Four &x, const Four &dx, Four &g, Four &top) {
	Four none = {{0, 0, 0, 0}}, y = none, gy = four(a.gy, i), dgy = none, gx, gr;
	if (a.kind != NONE) y = four(a.y, i);
	if (a.second) dgy = four(a.dgy, i);
	UNROLL
	for (int e = 0; e < 4; e++) {
		g.v[e] = apply(a, x.v[e], y.v[e], gy.v[e], 0, 0);
		top.v[e] = a.second ? apply(a, x.v[e], y.v[e], dgy.v[e], dx.v[e], gy.v[e]) : g.v[e];
		gx.v[e] = a.scale ? a.scale[c + e] * top.v[e] : top.v[e];
		if (a.scale && a.second) gx.v[e] = __builtin_fmaf(a.dScale[c + e], g.v[e], gx.v[e]);
		gr.v[e] = top.v[e];
	}
	Four old = none;
	if (a.addsX) old = four(a.gx, i);
	UNROLL
	for (int e = 0; e < 4; e++) gx.v[e] += old.v[e];
	*(Four *)(a.gx + i) = gx;
	if (!a.gr) return;
	old = a.addsR ? four(a.gr, i) : none;
	UNROLL
	for (int e = 0; e < 4; e++) gr.v[e] += old.v[e];
	*(Four *)(a.gr + i) = gr;
}

KERNEL(256) adjoint(const Combine a) {
	int c, i = first(a, &c);
	if (i < 0) return;
	Four x = {{0, 0, 0, 0}}, dx = x, g, top;
	if (a.kind > RELU) x = four(a.x, i);
	if (a.kind > RELU && a.second) dx = four(a.dx, i);
	handOn(a, i, c, x, dx, g, top);
}

// adjointSums is adjoint and sums of a batch norm at once, for a run of pixels: a thread does every so manieth of four channels, and `across`
// of them are side by side.
KERNEL(256) adjointSums(const Combine a) {
	double *shared = (double *)sharedMemory(); // [thread][by scale, by shift][4]
	int t = threadX(), rows = 256 / a.across, row = t / a.across, c = (blockY() * a.across + t % a.across) * 4;
	distance first = (distance)blockX() * a.chunk, end = first + a.chunk < a.pixels ? first + a.chunk : a.pixels;
	double sums[2][4] = {};
	if (c < a.pixel)
		for (distance p = first + row; p < end; p += rows) {
			int i = (int)p * a.pixel + c;
			Four x = four(a.x, i), dx = {{0, 0, 0, 0}}, g, top;
			if (a.second) dx = four(a.dx, i);
			handOn(a, i, c, x, dx, g, top);
			UNROLL
			for (int e = 0; e < 4; e++) {
				sums[0][e] += (double)x.v[e] * top.v[e];
				if (a.second) sums[0][e] += (double)dx.v[e] * g.v[e];
				sums[1][e] += top.v[e];
			}
		}
	UNROLL
	for (int k = 0; k < 2; k++)
		UNROLL
		for (int e = 0; e < 4; e++) shared[t * 8 + k * 4 + e] = sums[k][e];
	barrier();
	// Now a thread does one sum of those that the block has.
	if (t >= a.across * 8) return;
	int quad = t / 8, k = t / 4 % 2, e = t % 4;
	c = (blockY() * a.across + quad) * 4 + e;
	if (c >= a.pixel) return;
	double sum = 0;
	for (int r = 0; r < rows; r++) sum += shared[(r * a.across + quad) * 8 + k * 4 + e];
	a.sums[((distance)blockX() * 2 + k) * a.pixel + c] = sum;
}

// sums adds up, for 32 channels and a run of pixels, the derivatives by scale, x·z̄, and shift, z̄. Without x those by the scale are zero.
KERNEL(256) sums(const Combine a) {
	double *shared = (double *)sharedMemory(); // [row][2][32]
	int t = threadX(), c = blockX() * 32 + t % 32, row = t / 32;
	distance first = (distance)blockY() * a.chunk, end = first + a.chunk < a.pixels ? first + a.chunk : a.pixels;
	double byScale = 0, byShift = 0;
	if (c < a.pixel)
		for (distance p = first + row; p < end; p += 8) {
			int i = (int)p * a.pixel + c;
			float x = a.x ? a.x[i] : 0, y = a.kind == NONE ? 0 : a.y[i], gy = a.gy[i], g = apply(a, x, y, gy, 0, 0);
			if (a.second) {
				float dx = a.x ? a.dx[i] : 0, dg = apply(a, x, y, a.dgy[i], dx, gy);
				byShift += dg;
				byScale += (double)x * dg + (double)dx * g;
			} else {
				byShift += g;
				byScale += (double)x * g;
			}
		}
	shared[row * 64 + t % 32] = byScale;
	shared[row * 64 + 32 + t % 32] = byShift;
	barrier();
	if (row > 1 || c >= a.pixel) return;
	double sum = 0;
	for (int r = 0; r < 8; r++) sum += shared[r * 64 + row * 32 + t % 32];
	a.sums[((distance)blockY() * 2 + row) * a.pixel + c] = sum;
}

struct Reduce {
	const double *parts;
	double *to;
	distance count, step; // sums, and from a part to the next
	int splits;
};

// reduce adds partial sums to those of the blocks before; a block does 32, by eight parts of theirs.
KERNEL(256) reduce(const Reduce a) {
	double *shared = (double *)sharedMemory();
	int t = threadX(), part = t / 32;
	distance i = (distance)blockX() * 32 + t % 32;
	double sum = 0;
	if (i < a.count)
		for (int s = part; s < a.splits; s += 8) sum += a.parts[s * a.step + i];
	shared[t] = sum;
	barrier();
	if (part > 0 || i >= a.count) return;
	for (int r = 1; r < 8; r++) sum += shared[r * 32 + t];
	a.to[i] += sum;
}

struct Convert {
	const void *from;
	void *to;
	distance count;
};

enum { CONVERTED = 4096 }; // by a block

template <typename F> DEVICE void eachConverted(const Convert &a, F f) {
	distance first = (distance)blockX() * CONVERTED, end = first + CONVERTED < a.count ? first + CONVERTED : a.count;
	for (distance i = first + threadX(); i < end; i += 256) f(i);
}

KERNEL(256) widen(const Convert a) {
	eachConverted(a, [&](distance i) { ((double *)a.to)[i] = ((const float *)a.from)[i]; });
}

KERNEL(256) narrow(const Convert a) {
	eachConverted(a, [&](distance i) { ((float *)a.to)[i] = (float)((const double *)a.from)[i]; });
}

KERNEL(256) zero(const Convert a) {
	eachConverted(a, [&](distance i) { ((float *)a.to)[i] = 0; });
}

// Window is a pool, or a move of values from one place to another.
struct Windows {
	const void *in, *guide; // guide: the values that maxima are chosen by
	void *out;              // backwards, of the input
	int images, height, width, pixel, channels; // of the input
	int outHeight, outWidth, outPixel, outChannels;
	int kernelY, kernelX, strideY, strideX, padY, padX; // kernelY 0: adaptive
	int kind;                                           // of a pool: 0 maximum, 1 mean, 2 mean with padding; of a move: below
	int from;                                           // channel, of PART
	int adds;
};

struct Span { int first, end, divisor; };

// span is what output i sees along one axis.
DEVICE Span span(int i, int kernel, int stride, int pad, int size, int outSize, bool padded) {
	if (!kernel) {
		int first = i * size / outSize, end = ((i + 1) * size + outSize - 1) / outSize;
		return {first, end, end - first};
	}
	int first = i * stride - pad, end = first + kernel < size + pad ? first + kernel : size + pad;
	int all = end - first;
	if (first < 0) first = 0;
	if (end > size) end = size;
	return {first, end, padded ? all : end - first};
}

// largest is the pixel of the first maximum of a window.
template <typename T> DEVICE int largest(const Windows &a, const T *guide, Span y, Span x) {
	T top = -(T)__builtin_inff();
	int where = y.first * a.width + x.first;
	for (int v = y.first; v < y.end; v++)
		for (int u = x.first; u < x.end; u++) {
			T z = guide[(distance)(v * a.width + u) * a.pixel];
			if (z != z) return v * a.width + u;
			if (z > top) top = z, where = v * a.width + u;
		}
	return where;
}

template <typename T> DEVICE void poolForward(const Windows &a) {
	unsigned i = blockX() * 256 + threadX();
	if (i >= (unsigned)a.images * a.outHeight * a.outWidth * a.outPixel) return;
	unsigned pixels = a.outHeight * a.outWidth, q = i / a.outPixel;
	int c = i % a.outPixel, n = q / pixels, p = q % pixels;
	Span y = span(p / a.outWidth, a.kernelY, a.strideY, a.padY, a.height, a.outHeight, a.kind == 2);
	Span x = span(p % a.outWidth, a.kernelX, a.strideX, a.padX, a.width, a.outWidth, a.kind == 2);
	distance image = (distance)n * a.height * a.width * a.pixel + c;
	const T *in = (const T *)a.in + image;
	T *out = (T *)a.out + i;
	if (a.kind == 0) {
		*out = in[(distance)largest<T>(a, (const T *)a.guide + image, y, x) * a.pixel];
		return;
	}
	double sum = 0;
	for (int v = y.first; v < y.end; v++)
		for (int u = x.first; u < x.end; u++) sum += in[(distance)(v * a.width + u) * a.pixel];
	*out = (T)(sum / (y.divisor * x.divisor));
}

KERNEL(256) pool64(const Windows a) { poolForward<double>(a); }
KERNEL(256) pool32(const Windows a) { poolForward<float>(a); }

// seeing are the outputs that may see i along one axis.
DEVICE Span seeing(int i, int kernel, int stride, int pad, int outSize) {
	if (!kernel) return {0, outSize, 0};
	int first = i + pad - kernel + 1;
	first = first <= 0 ? 0 : (first + stride - 1) / stride;
	int end = (i + pad) / stride + 1;
	return {first, end < outSize ? end : outSize, 0};
}

// poolBack hands adjoints of the output, `in`, to the input's, `out`; a thread an element of the input.
KERNEL(256) poolBack(const Windows a) {
	unsigned i = blockX() * 256 + threadX();
	if (i >= (unsigned)a.images * a.height * a.width * a.pixel) return;
	unsigned pixels = a.height * a.width, q = i / a.pixel;
	int c = i % a.pixel, n = q / pixels, p = q % pixels, y = p / a.width, x = p % a.width;
	Span down = seeing(y, a.kernelY, a.strideY, a.padY, a.outHeight), right = seeing(x, a.kernelX, a.strideX, a.padX, a.outWidth);
	const float *guide = (const float *)a.guide + (distance)n * pixels * a.pixel + c;
	const float *in = (const float *)a.in + (distance)n * a.outHeight * a.outWidth * a.outPixel + c;
	double sum = 0;
	for (int v = down.first; v < down.end; v++) {
		Span rows = span(v, a.kernelY, a.strideY, a.padY, a.height, a.outHeight, a.kind == 2);
		if (y < rows.first || y >= rows.end) continue;
		for (int u = right.first; u < right.end; u++) {
			Span columns = span(u, a.kernelX, a.strideX, a.padX, a.width, a.outWidth, a.kind == 2);
			if (x < columns.first || x >= columns.end) continue;
			if (a.kind == 0 && largest<float>(a, guide, rows, columns) != p) continue;
			float g = in[(distance)(v * a.outWidth + u) * a.outPixel];
			sum += a.kind == 0 ? (double)g : (double)g / (rows.divisor * columns.divisor);
		}
	}
	float *out = (float *)a.out + i;
	*out = a.adds ? *out + (float)sum : (float)sum;
}

enum { PART, SUBSAMPLE, FLATTEN };

template <typename T> DEVICE void moveForward(const Windows &a) {
	unsigned i = blockX() * 256 + threadX();
	if (i >= (unsigned)a.images * a.outHeight * a.outWidth * a.outPixel) return;
	unsigned pixels = a.outHeight * a.outWidth, q = i / a.outPixel;
	int c = i % a.outPixel, n = q / pixels, p = q % pixels;
	const T *in = (const T *)a.in + (distance)n * a.height * a.width * a.pixel;
	T *out = (T *)a.out + i;
	bool padding = c >= a.outChannels;
	if (a.kind == PART) {
		c -= a.from;
		if (padding || (c >= 0 && c < a.channels)) *out = padding ? 0 : in[(distance)p * a.pixel + c];
		return;
	}
	int size = a.height * a.width;
	if (a.kind == FLATTEN) {
		*out = padding ? 0 : in[(distance)(c % size) * a.pixel + c / size];
		return;
	}
	c -= (a.outChannels - a.channels) / 2;
	int from = p / a.outWidth * a.strideY * a.width + p % a.outWidth * a.strideX;
	*out = padding || c < 0 || c >= a.channels ? 0 : in[(distance)from * a.pixel + c];
}

KERNEL(256) move64(const Windows a) { moveForward<double>(a); }
KERNEL(256) move32(const Windows a) { moveForward<float>(a); }

// moveBack is to moveForward what poolBack is to poolForward.
KERNEL(256) moveBack(const Windows a) {
	unsigned i = blockX() * 256 + threadX();
	if (i >= (unsigned)a.images * a.height * a.width * a.pixel) return;
	unsigned pixels = a.height * a.width, q = i / a.pixel;
	int c = i % a.pixel, n = q / pixels, p = q % pixels, y = p / a.width, x = p % a.width;
	const float *in = (const float *)a.in + (distance)n * a.outHeight * a.outWidth * a.outPixel;
	float g = 0;
	if (c < a.channels) {
		if (a.kind == PART) g = in[(distance)p * a.outPixel + a.from + c];
		if (a.kind == FLATTEN) g = in[c * pixels + p];
		if (a.kind == SUBSAMPLE && y % a.strideY == 0 && x % a.strideX == 0)
			g = in[(distance)(y / a.strideY * a.outWidth + x / a.strideX) * a.outPixel + (a.outChannels - a.channels) / 2 + c];
	}
	float *out = (float *)a.out + i;
	*out = a.adds ? *out + g : g;
}

// Normalise is the softmax of the channels of each pixel, y, or its logarithm. With p = softmax,
//
//	y = p:      dy = p⊙(dx − ⟨p, dx⟩),  x̄ = p⊙(ȳ − ⟨p, ȳ⟩)
//	y = log p:  dy = dx − ⟨p, dx⟩,      x̄ = ȳ − p·⟨1, ȳ⟩
struct Normalise {
	const double *x64;
	double *y64;
	const float *y, *dx, *gy, *dgy;
	float *dy, *gx;
	int pixels, pixel, channels, logarithm, adds, second;
};

DEVICE double probability(const Normalise &a, distance i) { return a.logarithm ? expOf(a.y[i]) : (double)a.y[i]; }

KERNEL(256) normalise64(const Normalise a) {
	int p = blockX() * 256 + threadX();
	if (p >= a.pixels) return;
	const double *x = a.x64 + (distance)p * a.pixel;
	double *y = a.y64 + (distance)p * a.pixel;
	double top = x[0], sum = 0;
	for (int c = 1; c < a.channels; c++)
		if (x[c] > top || x[c] != x[c]) top = x[c];
	for (int c = 0; c < a.channels; c++) sum += expOf(x[c] - top);
	double log = logOf(sum);
	for (int c = 0; c < a.pixel; c++) y[c] = c >= a.channels ? 0 : a.logarithm ? x[c] - top - log : expOf(x[c] - top - log);
}

KERNEL(256) normaliseTangent(const Normalise a) {
	int p = blockX() * 256 + threadX();
	if (p >= a.pixels) return;
	distance at = (distance)p * a.pixel;
	double mean = 0;
	for (int c = 0; c < a.channels; c++) mean += probability(a, at + c) * a.dx[at + c];
	for (int c = 0; c < a.pixel; c++) {
		double d = c < a.channels ? a.dx[at + c] - mean : 0;
		a.dy[at + c] = (float)(a.logarithm || c >= a.channels ? d : d * probability(a, at + c));
	}
}

KERNEL(256) normaliseBack(const Normalise a) {
	int p = blockX() * 256 + threadX();
	if (p >= a.pixels) return;
	distance at = (distance)p * a.pixel;
	double mean = 0, dMean = 0; // ⟨p or 1, ȳ⟩ and its derivative
	for (int c = 0; c < a.channels; c++) {
		double q = a.logarithm ? 1 : probability(a, at + c), dq = a.logarithm || !a.second ? 0 : a.dy[at + c];
		mean += q * a.gy[at + c];
		if (a.second) dMean += q * a.dgy[at + c] + dq * a.gy[at + c];
	}
	for (int c = 0; c < a.pixel; c++) {
		double g = 0;
		if (c < a.channels) {
			double q = probability(a, at + c), y = a.gy[at + c];
			g = a.logarithm ? y - q * mean : q * (y - mean);
			if (a.second) {
				double dq = a.logarithm ? q * a.dy[at + c] : (double)a.dy[at + c], dy = a.dgy[at + c];
				g = a.logarithm ? dy - dq * mean - q * dMean : dq * (y - mean) + q * (dy - dMean);
			}
		}
		a.gx[at + c] = a.adds ? a.gx[at + c] + (float)g : (float)g;
	}
}
