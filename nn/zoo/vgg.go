package zoo

import "lsrun/nn"

// VGG with batch norm as in the paper's code (cifar10/models/vgg.py): convolutions of 3×3
// with bias, each followed by batch norm and ReLU, and one hidden linear layer.
var vggs = []model{
	vgg("vgg9", 64, 64, pool, 128, 128, pool, 256, 256, 256, pool),
	vgg("vgg16", 64, 64, pool, 128, 128, pool, 256, 256, 256, pool, 512, 512, 512, pool, 512, 512, 512, pool),
	vgg("vgg19", 64, 64, pool, 128, 128, pool, 256, 256, 256, 256, pool, 512, 512, 512, 512, pool, 512, 512, 512, 512, pool),
}

// pool stands in a list of widths for max pooling of 2×2.
const pool = 0

func vgg(name string, widths ...int) model {
	var features []nn.Op
	for _, w := range widths {
		if w == pool {
			features = append(features, nn.MaxPool{Window: nn.Square(2, 2, 0)})
		} else {
			features = append(features, nn.Conv2d(w, 3, 1, 1).WithBias(), norm, nn.ReLU{})
		}
	}
	hidden := widths[len(widths)-2]
	return model{name, cifar, func(b *nn.Builder, classes int) {
		x := chain(b, "features", 0, features...)
		x = b.Add("flatten", nn.Flatten{}, x)
		x = chain(b, "fc", x, linear(hidden), norm, nn.ReLU{})
		b.Add("classifier", linear(classes), x)
	}}
}
