// Stand-ins for a card's instructions where the kernels are compiled for the host (nn/cuda's tests): the threads of a
// block are coroutines; warps take turns from one barrier to the next, their threads from one joint product to the next. Every other
// turn goes backwards, so that what lacks a barrier gives wrong numbers. Copies to shared memory happen no earlier than they are waited for.

#pragma once

#define UNROLL
#define APART static
#define MEMBER inline
#define DEVICE static inline
#define KERNEL(threads) extern "C" void
#define KERNEL_OF(threads, blocks) extern "C" void

typedef unsigned long hostSize;
extern "C" void *memset(void *, int, hostSize);
extern "C" void *memcpy(void *, const void *, hostSize);
extern "C" void abort();

namespace host {

enum { THREADS = 1024, STACK = 64 << 10, SHARED = 227 << 10, COPIES = 64 };

struct Copy {
	float *to;
	const float *from;
	int size, bytes;
};

struct Thread {
	void *stack; // its stack pointer while others run
	bool done;
	int where; // what it waits at
	Copy copies[COPIES];
	int groupEnd[COPIES];
	int copied, groups, open; // copies in the queue, closed groups, copies of the open one
	int parity;
	const float *row;
	unsigned given;
};

// Brought is what a thread brings to a warp's product, pairs as two: of neighbours side by side, for all of them read it.
struct Brought { float a[8], b[4]; };

inline Thread threads[THREADS];
inline Brought brought[2][THREADS]; // by parity
inline char stacks[THREADS][STACK + 832] __attribute__((aligned(64))); // whose tops do not meet in the caches: 13 lines apart
inline char sharedBytes[SHARED] __attribute__((aligned(128)));
inline void *scheduler;
inline int current, blockX, blockY, blockZ;
inline void (*body)(const void *);
inline const void *arguments;

// exchange saves the registers that calls preserve, leaves the stack pointer in *from and goes on at `to`.
extern "C" void hostExchange(void **from, void *to);
asm(R"(
	.text
	.globl hostExchange
	.type hostExchange,@function
hostExchange:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
)");

enum { DONE, BLOCK, PRODUCT, PRODUCT16, COLLECT, COLLECTED }; // what threads wait at

inline void yield(int where) {
	threads[current].where = where;
	hostExchange(&threads[current].stack, scheduler);
}

inline void begin() {
	body(arguments);
	threads[current].done = true;
	yield(DONE);
	abort();
}

inline void apply(Thread &t, int groups) { // the oldest groups
	int n = groups > 0 ? t.groupEnd[groups - 1] : 0;
	for (int i = 0; i < n; i++) {
		Copy &c = t.copies[i];
		memset(c.to, 0, c.size);
		memcpy(c.to, c.from, c.bytes);
	}
	for (int i = n; i < t.copied; i++) t.copies[i - n] = t.copies[i];
	for (int i = groups; i < t.groups; i++) t.groupEnd[i - groups] = t.groupEnd[i] - n;
	t.copied -= n, t.groups -= groups;
}

// warp runs 32 threads to the next barrier of the block.
inline void warp(int first) {
	for (int turn = 0;; turn++) {
		for (int i = 0; i < 32; i++) {
			current = first + (turn % 2 ? 31 - i : i);
			hostExchange(&scheduler, threads[current].stack);
		}
		for (int i = 1; i < 32; i++)
			if (threads[first + i].where != threads[first].where) abort(); // not all lanes came to the same product
		if (threads[first].where <= BLOCK) return;
	}
}

// run runs a block.
inline void run(int count) {
	memset(sharedBytes, 0xff, SHARED); // NaN
	for (int i = 0; i < count; i++) {
		Thread &t = threads[i];
		t.done = false, t.copied = t.groups = t.open = t.parity = 0;
		void **top = (void **)(stacks[i] + STACK - 64);
		*--top = nullptr;
		*--top = (void *)begin; // where hostExchange returns to
		top -= 6;
		t.stack = top;
	}
	for (int turn = 0, left = count; left > 0; turn++) {
		for (int i = 0; i < count; i += 32) warp(turn % 2 ? count - 32 - i : i);
		left = 0;
		for (int i = 0; i < count; i++) {
			if (threads[i].where != threads[0].where) abort(); // not all threads came to the barrier
			left += !threads[i].done;
		}
	}
}

} // namespace host

DEVICE int threadX() { return host::current; }
DEVICE int blockX() { return host::blockX; }
DEVICE int blockY() { return host::blockY; }
DEVICE int blockZ() { return host::blockZ; }
DEVICE char *sharedMemory() { return host::sharedBytes; }
DEVICE void barrier() { host::yield(host::BLOCK); }

DEVICE void enqueue(float *to, const float *from, int size, int bytes) {
	if (bytes < 0 || bytes > size || (unsigned long)to % size || (bytes && (unsigned long)from % size)) abort();
	host::Thread &t = host::threads[host::current];
	if (t.copied == host::COPIES) abort();
	t.copies[t.copied++] = {to, from, size, bytes};
}
DEVICE void copy16(float *to, const float *from, int bytes) { enqueue(to, from, 16, bytes); }
DEVICE void copy4(float *to, const float *from, int bytes) { enqueue(to, from, 4, bytes); }
DEVICE void copy16If(bool wanted, float *to, const float *from) {
	if (wanted) enqueue(to, from, 16, 16);
}
DEVICE void commit() {
	host::Thread &t = host::threads[host::current];
	t.groupEnd[t.groups++] = t.copied;
}
template <int N> DEVICE void pending() {
	host::Thread &t = host::threads[host::current];
	if (t.groups > N) host::apply(t, t.groups - N);
}

DEVICE float cut(float x) { return __builtin_bit_cast(float, __builtin_bit_cast(unsigned, x) & 0xffffe000); }
DEVICE float tf32(float x) {
	if (!(__builtin_fabsf(x) < __builtin_inff())) return x;
	return cut(__builtin_bit_cast(float, __builtin_bit_cast(unsigned, x) + 0x1000));
}

DEVICE float positive(float x) { return x < 0 ? 0 : x; }

// accumulate is c + Σ x as tensor cores have it: all are cut off, toward zero, below 25 bits of the largest; their sum, in two's
// complement, below 24, so that it is never too large. With this, errors were those of an H100: of the logits of ResNet-20 in TF32X3, where
// sums were one chain, 9.6e-6 here, 1.0e-5 there; in a product of 100 terms 2.0e-4 and 2.1e-4.
DEVICE float accumulate(float c, const double *x, int n) {
	double sum = c, largest = __builtin_fabs(sum);
	for (int k = 0; k < n; k++) {
		double size = __builtin_fabs(x[k]);
		sum += x[k];
		largest = size > largest ? size : largest;
	}
	if (!(__builtin_fabs(sum) < __builtin_inf()) || largest == 0) return (float)sum;
	// A power of two, and its inverse: products of floats are far from float64's limits.
	long long exponent = (__builtin_bit_cast(long long, largest) >> 52) - 1023 - 24;
	double unit = __builtin_bit_cast(double, (1023 + exponent) << 52), inverse = __builtin_bit_cast(double, (1023 - exponent) << 52);
	sum = __builtin_trunc(c * inverse);
	for (int k = 0; k < n; k++) sum += __builtin_trunc(x[k] * inverse); // exact in any order
	sum *= unit;
	float near = (float)sum;
	if (near > sum) near = __builtin_nextafterf(near, -__builtin_inff());
	return near;
}

DEVICE void multiply(float c[4], const float a[4], const float b[2]) {
	host::Thread &own = host::threads[host::current];
	int lane = host::current % 32, first = host::current - lane, g = lane / 4, t = lane % 4;
	host::Brought *warp = host::brought[own.parity] + first;
	for (int i = 0; i < 4; i++) warp[lane].a[i] = cut(a[i]);
	for (int i = 0; i < 2; i++) warp[lane].b[i] = cut(b[i]);
	own.parity = !own.parity;
	host::yield(host::PRODUCT);
	for (int i = 0; i < 4; i++) {
		double products[8];
		for (int k = 0; k < 8; k++) {
			float x = warp[g * 4 + k % 4].a[i / 2 + k / 4 * 2];
			float y = warp[(2 * t + i % 2) * 4 + k % 4].b[k / 4];
			products[k] = (double)x * y;
		}
		c[i] = accumulate(c[i], products, 8);
	}
}

DEVICE void fragment(float a[4], const float *row) {
	using host::threads;
	if ((unsigned long)row % 16) abort();
	int lane = host::current % 32, first = host::current - lane;
	threads[host::current].row = row;
	host::yield(host::COLLECT);
	for (int i = 0; i < 4; i++) a[i] = threads[first + 8 * i + lane / 4].row[lane % 4];
	host::yield(host::COLLECTED);
}

DEVICE unsigned pair16(float low, float high) {
	return __builtin_bit_cast(unsigned short, (_Float16)low) | (unsigned)__builtin_bit_cast(unsigned short, (_Float16)high) << 16;
}

DEVICE unsigned largestOfFour(unsigned x) {
	using host::threads;
	int first = host::current & ~3;
	threads[host::current].given = x;
	host::yield(host::COLLECT);
	for (int i = 0; i < 4; i++)
		if (threads[first + i].given > x) x = threads[first + i].given;
	host::yield(host::COLLECTED);
	return x;
}

DEVICE float half(unsigned pair, int i);

DEVICE void multiply16(float c[4], const float a[4], const float b[2]) {
	host::Thread &own = host::threads[host::current];
	int lane = host::current % 32, first = host::current - lane, g = lane / 4, t = lane % 4;
	host::Brought *warp = host::brought[own.parity] + first;
	for (int i = 0; i < 8; i++) warp[lane].a[i] = half(__builtin_bit_cast(unsigned, a[i / 2]), i % 2);
	for (int i = 0; i < 4; i++) warp[lane].b[i] = half(__builtin_bit_cast(unsigned, b[i / 2]), i % 2);
	own.parity = !own.parity;
	host::yield(host::PRODUCT16);
	for (int i = 0; i < 4; i++) {
		double products[16];
		for (int k = 0; k < 16; k++) {
			float x = warp[g * 4 + k % 8 / 2].a[(i / 2 + k / 8 * 2) * 2 + k % 2];
			float y = warp[(2 * t + i % 2) * 4 + k % 8 / 2].b[k / 8 * 2 + k % 2];
			products[k] = (double)x * y;
		}
		c[i] = accumulate(c[i], products, 16);
	}
}
