package zoo

import "lsrun/nn"

// A self-normalising convolutional network: SELU after every layer but the last, alpha
// dropout of 0.05 in the classifier, average pooling (it keeps means), modules conv1 …
// conv4, fc1 and fc2.
var selfNormalising = []model{{"scnn", cifar, func(b *nn.Builder, classes int) {
	selu, half := nn.SELU{}, nn.AvgPool{Window: nn.Square(2, 2, 0), CountPad: true}
	x := b.Add("selu1", selu, b.Add("conv1", nn.Conv2d(32, 3, 1, 1).WithBias(), 0))
	x = b.Add("selu2", selu, b.Add("conv2", nn.Conv2d(32, 3, 1, 1).WithBias(), x))
	x = b.Add("pool1", half, x)
	x = b.Add("selu3", selu, b.Add("conv3", nn.Conv2d(64, 3, 1, 1).WithBias(), x))
	x = b.Add("selu4", selu, b.Add("conv4", nn.Conv2d(64, 3, 1, 1).WithBias(), x))
	x = b.Add("pool2", half, x)
	x = b.Add("flatten", nn.Flatten{}, x)
	x = b.Add("selu5", selu, b.Add("fc1", linear(256), x))
	x = b.Add("dropout", nn.AlphaDropout{P: 0.05}, x)
	b.Add("fc2", linear(classes), x)
}}}
