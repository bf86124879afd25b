// What the kernels need of the machine: a card's instructions, or, where the source is compiled for
// the host, their stand-ins in host.h.

#pragma once

#ifndef __CUDA__
#include "host.h"
#else

// UNROLL precedes loops over arrays that must live in registers.
#define UNROLL _Pragma("unroll")

#define KERNEL(threads) extern "C" __attribute__((global)) __attribute__((launch_bounds(threads))) void
// KERNEL_OF is for so many threads, of which a multiprocessor should hold several blocks.
#define KERNEL_OF(threads, blocks) extern "C" __attribute__((global)) __attribute__((launch_bounds(threads, blocks))) void
#define APART static __attribute__((device)) __attribute__((noinline)) // for what is rarely called
#define MEMBER inline __attribute__((device)) __attribute__((always_inline))
#define DEVICE static inline __attribute__((device)) __attribute__((always_inline))

DEVICE int threadX() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE int blockX() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE int blockY() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE int blockZ() { return __nvvm_read_ptx_sreg_ctaid_z(); }

// sharedMemory is what the launch gives a block, aligned to 16 bytes.
extern __attribute__((shared)) __attribute__((aligned(16))) char sharedBytes[];
DEVICE char *sharedMemory() { return sharedBytes; }

DEVICE void barrier() { __syncthreads(); }

DEVICE unsigned sharedAddress(const void *p) { return (unsigned)(unsigned long)(const __attribute__((address_space(3))) void *)p; }

// copy16 and copy4 start copies to shared memory; of the source, `bytes` are read, the rest becomes zero.
DEVICE void copy16(float *to, const float *from, int bytes) {
	asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(bytes) : "memory");
}
DEVICE void copy4(float *to, const float *from, int bytes) {
	asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(bytes) : "memory");
}

// copy16If starts a copy, or none.
DEVICE void copy16If(bool wanted, float *to, const float *from) {
	asm volatile("{.reg .pred p; setp.ne.b32 p, %2, 0; @p cp.async.ca.shared.global [%0], [%1], 16;}" ::"r"(sharedAddress(to)), "l"(from), "r"((int)wanted)
	             : "memory");
}

// commit closes a group of copies; pending waits until at most N groups are under way.
DEVICE void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void pending() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// tf32 rounds to 11 significant bits, halves away from zero.
DEVICE float tf32(float x) {
	unsigned y;
	asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
	return __builtin_bit_cast(float, y);
}

// positive is x or, where that is less, 0. NaN stays.
DEVICE float positive(float x) {
	float y;
	asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
	return y;
}

// multiply adds a 16×8 by 8×8 product to c, spread over the lanes of a warp as PTX's mma.m16n8k8 has it.
// What a and b have beyond 11 bits is cut off.
DEVICE void multiply(float c[4], const float a[4], const float b[2]) {
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(__builtin_bit_cast(unsigned, a[0])), "r"(__builtin_bit_cast(unsigned, a[1])), "r"(__builtin_bit_cast(unsigned, a[2])),
	      "r"(__builtin_bit_cast(unsigned, a[3])), "r"(__builtin_bit_cast(unsigned, b[0])), "r"(__builtin_bit_cast(unsigned, b[1])));
}

// pair16 rounds two numbers to half precision, halves to even; `low` is the first in memory.
DEVICE unsigned pair16(float low, float high) {
	unsigned y;
	asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
	return y;
}

// multiply16 is multiply for a 16×16 by 16×8 product of pairs in half precision, as PTX's mma.m16n8k16 has it.
DEVICE void multiply16(float c[4], const float a[4], const float b[2]) {
	asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(__builtin_bit_cast(unsigned, a[0])), "r"(__builtin_bit_cast(unsigned, a[1])), "r"(__builtin_bit_cast(unsigned, a[2])),
	      "r"(__builtin_bit_cast(unsigned, a[3])), "r"(__builtin_bit_cast(unsigned, b[0])), "r"(__builtin_bit_cast(unsigned, b[1])));
}

// largestOfFour is the largest of what four neighbouring lanes give; all lanes of a warp call it.
DEVICE unsigned largestOfFour(unsigned x) {
	UNROLL
	for (int step = 1; step <= 2; step *= 2) {
		unsigned y;
		asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, -1;" : "=r"(y) : "r"(x), "r"(step));
		x = y > x ? y : x;
	}
	return x;
}

// fragment collects the 16×8 left factor of multiply: lane l tells where four values of row l % 16 are, those of
// columns 4·(l / 16) and following; or the 16×16 one of multiply16, whose columns are pairs.
DEVICE void fragment(float a[4], const float *row) {
	unsigned y[4];
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
	             : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3]) : "r"(sharedAddress(row)) : "memory");
	UNROLL
	for (int i = 0; i < 4; i++) a[i] = __builtin_bit_cast(float, y[i]);
}

#endif

// half is number i of a pair in half precision.
DEVICE float half(unsigned pair, int i) { return (float)__builtin_bit_cast(_Float16, (unsigned short)(pair >> 16 * i)); }
