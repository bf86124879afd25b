package zoo

import (
	"fmt"

	"lsrun/nn"
)

// Residual networks as in the paper's code (cifar10/models/resnet.py). resnet18 … 152 have
// four stages from 64 channels on, the others three from 16 on, times the factor of the
// wide ones (wrn). _noshort leaves the shortcuts out (and a bottleneck's last ReLU); _a has
// the parameter-free shortcuts of He et al. 2016 (option A), which is the widespread CIFAR
// ResNet. resnet20_a has the same entries as resnet20_noshort: a checkpoint does not tell
// which of the two it is.
var resnets = []model{
	residual{stages: four(2, 2, 2, 2)}.named("resnet18"),
	residual{stages: four(3, 4, 6, 3)}.named("resnet34"),
	residual{stages: four(3, 4, 6, 3), bottleneck: true}.named("resnet50"),
	residual{stages: four(3, 4, 23, 3), bottleneck: true}.named("resnet101"),
	residual{stages: four(3, 8, 36, 3), bottleneck: true}.named("resnet152"),
	residual{stages: four(2, 2, 2, 2), shortcut: none}.named("resnet18_noshort"),
	residual{stages: four(3, 4, 6, 3), shortcut: none}.named("resnet34_noshort"),
	residual{stages: four(3, 4, 6, 3), bottleneck: true, shortcut: none}.named("resnet50_noshort"),
	residual{stages: four(3, 4, 23, 3), bottleneck: true, shortcut: none}.named("resnet101_noshort"),
	residual{stages: four(3, 8, 36, 3), bottleneck: true, shortcut: none}.named("resnet152_noshort"),

	residual{stages: three(3, 16)}.named("resnet20"),
	residual{stages: three(5, 16)}.named("resnet32"),
	residual{stages: three(7, 16)}.named("resnet44"),
	residual{stages: three(9, 16)}.named("resnet56"),
	residual{stages: three(18, 16)}.named("resnet110"),
	residual{stages: three(3, 16), shortcut: none}.named("resnet20_noshort"),
	residual{stages: three(5, 16), shortcut: none}.named("resnet32_noshort"),
	residual{stages: three(7, 16), shortcut: none}.named("resnet44_noshort"),
	residual{stages: three(8, 16), shortcut: none}.named("resnet50_16_noshort"),
	residual{stages: three(9, 16), shortcut: none}.named("resnet56_noshort"),
	residual{stages: three(18, 16), shortcut: none}.named("resnet110_noshort"),

	residual{stages: three(9, 32)}.named("wrn56_2"),
	residual{stages: three(9, 64)}.named("wrn56_4"),
	residual{stages: three(9, 128)}.named("wrn56_8"),
	residual{stages: three(9, 32), shortcut: none}.named("wrn56_2_noshort"),
	residual{stages: three(9, 64), shortcut: none}.named("wrn56_4_noshort"),
	residual{stages: three(9, 128), shortcut: none}.named("wrn56_8_noshort"),
	residual{stages: three(18, 32), shortcut: none}.named("wrn110_2_noshort"),
	residual{stages: three(18, 64), shortcut: none}.named("wrn110_4_noshort"),

	residual{stages: three(3, 16), shortcut: parameterFree}.named("resnet20_a"),
	residual{stages: three(5, 16), shortcut: parameterFree}.named("resnet32_a"),
	residual{stages: three(7, 16), shortcut: parameterFree}.named("resnet44_a"),
	residual{stages: three(9, 16), shortcut: parameterFree}.named("resnet56_a"),
	residual{stages: three(18, 16), shortcut: parameterFree}.named("resnet110_a"),
}

// shortcut says what is added to a block's output.
type shortcut int

const (
	projection    shortcut = iota // its input, through a 1×1 convolution where shapes differ
	parameterFree                 // its input, subsampled and zero-padded where shapes differ
	none                          // nothing
)

// residual describes a network of residual blocks. Every stage but the first halves height
// and width.
type residual struct {
	stages     []stage
	bottleneck bool // blocks of 1×1, 3×3 and 1×1, four times as wide at the end
	shortcut   shortcut
}

type stage struct{ blocks, width int }

func three(blocks, width int) []stage {
	return []stage{{blocks, width}, {blocks, 2 * width}, {blocks, 4 * width}}
}

func four(a, b, c, d int) []stage { return []stage{{a, 64}, {b, 128}, {c, 256}, {d, 512}} }

func (r residual) named(name string) model {
	return model{name, cifar, func(b *nn.Builder, classes int) {
		x := b.Add("bn1", norm, b.Add("conv1", nn.Conv2d(r.stages[0].width, 3, 1, 1), 0))
		x = b.Add("relu", nn.ReLU{}, x)
		for i, s := range r.stages {
			for k := range s.blocks {
				stride := 1
				if i > 0 && k == 0 {
					stride = 2
				}
				x = r.block(b, fmt.Sprintf("layer%d.%d", i+1, k), x, s.width, stride)
			}
		}
		b.Add("linear", linear(classes), globalMean(b, x))
	}}
}

func (r residual) block(b *nn.Builder, name string, x, width, stride int) int {
	convs := []nn.Conv{nn.Conv2d(width, 3, stride, 1), nn.Conv2d(width, 3, 1, 1)}
	if r.bottleneck {
		convs = []nn.Conv{nn.Conv2d(width, 1, 1, 0), nn.Conv2d(width, 3, stride, 1), nn.Conv2d(4*width, 1, 1, 0)}
	}
	y := x
	for i, conv := range convs {
		if i > 0 {
			y = b.Add(fmt.Sprintf("%s.relu%d", name, i), nn.ReLU{}, y)
		}
		y = b.Add(fmt.Sprintf("%s.conv%d", name, i+1), conv, y)
		y = b.Add(fmt.Sprintf("%s.bn%d", name, i+1), norm, y)
	}
	if r.shortcut != none {
		y = b.Add(name+".add", nn.Add{}, y, r.side(b, name+".shortcut", x, convs[len(convs)-1].Out, stride))
	} else if r.bottleneck {
		return y // the paper's code has no ReLU here
	}
	return b.Add(name+".relu", nn.ReLU{}, y)
}

// side is the shortcut's own path from x to a block's output.
func (r residual) side(b *nn.Builder, name string, x, out, stride int) int {
	switch {
	case stride == 1 && channels(b, x) == out:
		return x
	case r.shortcut == parameterFree:
		return b.Add(name, nn.Subsample{Out: out, Stride: stride}, x)
	}
	return chain(b, name, x, nn.Conv2d(out, 1, stride, 0), norm)
}
