package zoo

import "lsrun/nn"

// AlexNet in torchvision's layout (Krizhevsky, "One weird trick…", 2014).
var alexnets = []model{{"alexnet", nn.Shape{3, 224, 224}, func(b *nn.Builder, classes int) {
	relu, half := nn.ReLU{}, nn.MaxPool{Window: nn.Square(3, 2, 0)}
	x := chain(b, "features", 0,
		nn.Conv2d(64, 11, 4, 2).WithBias(), relu, half,
		nn.Conv2d(192, 5, 1, 2).WithBias(), relu, half,
		nn.Conv2d(384, 3, 1, 1).WithBias(), relu,
		nn.Conv2d(256, 3, 1, 1).WithBias(), relu,
		nn.Conv2d(256, 3, 1, 1).WithBias(), relu, half)
	x = b.Add("avgpool", nn.AdaptiveAvgPool{Out: [2]int{6, 6}}, x)
	x = b.Add("flatten", nn.Flatten{}, x)
	chain(b, "classifier", x,
		nn.Dropout{P: 0.5}, linear(4096), relu,
		nn.Dropout{P: 0.5}, linear(4096), relu,
		linear(classes))
}}}
