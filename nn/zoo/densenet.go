package zoo

import (
	"fmt"

	"lsrun/nn"
)

// DenseNet-BC as in the paper's code (cifar10/models/densenet.py): new features come in
// front of the old ones, and a transition halves channels, height and width.
var densenets = []model{
	densenet("densenet121", 32),
	densenet("densenet_cifar", 12),
}

func densenet(name string, growth int) model {
	return model{name, cifar, func(b *nn.Builder, classes int) {
		x := b.Add("conv1", nn.Conv2d(2*growth, 3, 1, 1), 0)
		for stage, layers := range []int{6, 12, 24, 16} {
			if stage > 0 {
				x = transition(b, fmt.Sprintf("trans%d", stage), x)
			}
			for k := range layers {
				x = denseLayer(b, fmt.Sprintf("dense%d.%d", stage+1, k), x, growth)
			}
		}
		x = b.Add("relu", nn.ReLU{}, b.Add("bn", norm, x))
		b.Add("linear", linear(classes), globalMean(b, x))
	}}
}

func denseLayer(b *nn.Builder, name string, x, growth int) int {
	y := b.Add(name+".relu1", nn.ReLU{}, b.Add(name+".bn1", norm, x))
	y = b.Add(name+".conv1", nn.Conv2d(4*growth, 1, 1, 0), y)
	y = b.Add(name+".relu2", nn.ReLU{}, b.Add(name+".bn2", norm, y))
	y = b.Add(name+".conv2", nn.Conv2d(growth, 3, 1, 1), y)
	return b.Add(name+".concat", nn.Concat{}, y, x)
}

func transition(b *nn.Builder, name string, x int) int {
	half := channels(b, x) / 2
	x = b.Add(name+".relu", nn.ReLU{}, b.Add(name+".bn", norm, x))
	x = b.Add(name+".conv", nn.Conv2d(half, 1, 1, 0), x)
	return b.Add(name+".avgpool", nn.AvgPool{Window: nn.Square(2, 2, 0), CountPad: true}, x)
}
