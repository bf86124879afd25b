package cuda

// The structures that the kernels take, as kernels/*.h declare them.

type view struct {
	data         address
	point, image int64
	pixel, even  int32
}

type convArguments struct {
	in, out, residual          view
	weights, factors           address
	weightsPoint, factorsPoint int64
	scale, shift               int32
	inScale, inShift           int32
	images, inputs             int32
	height, width              int32
	outputs                    int32
	outHeight, outWidth        int32
	kernel, stride             [2]int32
	pad, dilation              [2]int32
	termStride, terms, columns int32
	groups                     int32
	bounded                    int32
	fours                      int32
}

type patchArguments struct {
	convArguments
	tiling
}

// tiling is how pictures are divided into tiles: Tiling in tiles.h.
type tiling struct {
	tiles, tilesOfBlock                                int32
	pictures, parts, height, pixels                    int32
	perWidth, perHeight, perPatchWidth, perPatchHeight uint32
}

type elementArguments struct {
	in, out, residual       view
	factors                 address
	factorsPoint            int64
	scale, shift            int32
	images                  int32
	channels, height, width int32
	outChannels             int32
	outHeight, outWidth     int32
	kernel, stride, pad     [2]int32
	kind                    int32
	a, b                    float32
}

type perturbArguments struct {
	theta, x, y, sparse, points, states address
	point                               int64
}

type panel struct {
	source, packed, units     int64
	outputs, channels, places int32
	outputStep, channelStep   int32
	placeStep                 int32
	stride, terms, columns    int32
	planes, rounded           int32
	order, block              int32
}

type peakArguments struct {
	panels, panel, first      address
	states, factors           address
	statesPoint, factorsPoint int64
}

type packArguments struct {
	panels, panel, first                   address
	states, factors, packed                address
	statesPoint, factorsPoint, packedPoint int64
}

// mostNorms is how many batch norms follow each other in one step.
const mostNorms = 4

type norm struct {
	gamma, beta, mean, variance int64
	eps                         float64
}

type factors struct {
	bias            int64
	norms           [mostNorms]norm
	scale, shift    int64
	units           int64
	channels, count int32
}

type foldArguments struct {
	layers, states, factors   address
	statesPoint, factorsPoint int64
}

type contractArguments struct {
	a, b                         [2]address
	out, shift                   address
	sources                      int32
	images, height, width, pixel int32
	rowHeight, rowWidth          int32
	rowPixel                     int32
	channels, columns            int32
	kernel, stride               [2]int32
	pad, dilation                [2]int32
	fours, adds                  int32
	groups, splits, chunk        int32
}

type weighArguments struct {
	x, g                         [2]address
	out                          address
	sources                      int32
	images, height, width, pixel int32
	rowPixel, channels, columns  int32
	tiling
}

type norming struct{ weight, bias, scale, shift int32 }

type parametersArguments struct {
	vector, phi, derivatives address
	places, norms            address
	slopes, means            address
	count, channels          int64
	images                   float64
}

type combineArguments struct {
	x64, r64, scale64, shift64                   address
	y64                                          address
	x, y, dx, dr, scale, dScale, dShift, gy, dgy address
	dy, gx, gr                                   address
	sums                                         address
	pixels                                       int64
	pixel, kind                                  int32
	a, b                                         float32
	addsX, addsR, second                         int32
	chunk, across                                int32
}

type reduceArguments struct {
	parts, to   address
	count, step int64
	splits      int32
}

type convertArguments struct {
	from, to address
	count    int64
}

type windowArguments struct {
	in, guide, out                             address
	images, height, width, pixel, channels     int32
	outHeight, outWidth, outPixel, outChannels int32
	kernel, stride, pad                        [2]int32
	kind, from, adds                           int32
}

type normaliseArguments struct {
	x64, y64                address
	y, dx, gy, dgy          address
	dy, gx                  address
	pixels, pixel, channels int32
	logarithm, adds, second int32
}

type vectorsArguments struct {
	vectors            address
	stride, count      int64
	hand               address
	which, factors     address
	parts, sums        address
	places             address
	whole, derivatives address
	factor             float64
	many, blocks, made int32
}
