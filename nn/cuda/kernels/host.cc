// The kernels as a shared library for nn/cuda's tests.

#include "kernels.cu"

// launch runs a kernel over a grid. The arguments are the kernel's only parameter, a structure.
#define LAUNCH(name, Arguments) \
	extern "C" void host_##name(int x, int y, int z, int threads, const void *arguments) { \
		host::body = [](const void *a) { name(*(const Arguments *)a); }; \
		host::arguments = arguments; \
		for (host::blockZ = 0; host::blockZ < z; host::blockZ++) \
			for (host::blockY = 0; host::blockY < y; host::blockY++) \
				for (host::blockX = 0; host::blockX < x; host::blockX++) host::run(threads); \
	}

LAUNCH(affine, Elements)
LAUNCH(pool, Elements)
LAUNCH(softmax, Elements)
LAUNCH(subsample, Elements)
LAUNCH(flatten, Elements)
LAUNCH(grouped, Conv)
LAUNCH(product_fp32_16, Conv)
LAUNCH(product_fp32_32, Conv)
LAUNCH(product_fp32_64, Conv)
LAUNCH(product_tf32_16, Conv)
LAUNCH(product_tf32_32, Conv)
LAUNCH(product_tf32_64, Conv)
LAUNCH(product_tf32x3_16, Conv)
LAUNCH(product_tf32x3_32, Conv)
LAUNCH(product_tf32x3_64, Conv)
LAUNCH(patch_tf32_16, Patch)
LAUNCH(patch_tf32_32, Patch)
LAUNCH(patch_tf32_64, Patch)
LAUNCH(patch_tf32x3_16, Patch)
LAUNCH(patch_tf32x3_32, Patch)
LAUNCH(patch_tf32x3_64, Patch)
LAUNCH(patch_fp16x3_16, Patch)
LAUNCH(patch_fp16x3_32, Patch)
LAUNCH(patch_fp16x3_64, Patch)
LAUNCH(perturb, Perturb)
LAUNCH(peak, Peak)
LAUNCH(pack, Pack)
LAUNCH(fold, Fold)
LAUNCH(forward64_16, Contract)
LAUNCH(forward_16, Contract)
LAUNCH(back_16, Contract)
LAUNCH(weigh_16, Contract)
LAUNCH(forward64_32, Contract)
LAUNCH(forward_32, Contract)
LAUNCH(back_32, Contract)
LAUNCH(weigh_32, Contract)
LAUNCH(forward64_64, Contract)
LAUNCH(forward_64, Contract)
LAUNCH(back_64, Contract)
LAUNCH(weigh_64, Contract)
LAUNCH(weighPatches, Weigh)
LAUNCH(combine64, Combine)
LAUNCH(tangent, Combine)
LAUNCH(adjoint, Combine)
LAUNCH(sums, Combine)
LAUNCH(reduce, Reduce)
LAUNCH(widen, Convert)
LAUNCH(narrow, Convert)
LAUNCH(zero, Convert)
LAUNCH(pool64, Windows)
LAUNCH(pool32, Windows)
LAUNCH(poolBack, Windows)
LAUNCH(move64, Windows)
LAUNCH(move32, Windows)
LAUNCH(moveBack, Windows)
LAUNCH(normalise64, Normalise)
LAUNCH(normaliseTangent, Normalise)
LAUNCH(normaliseBack, Normalise)
