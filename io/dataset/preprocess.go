package dataset

import (
	"fmt"
	"math"
	"strings"
)

// Preprocess is the normalisation (x − Mean) / Std of each channel, in units of the
// [0, 1] image. Bytes become x = v/255 first; floats are x as they are. Mean and Std hold
// one value for each channel, one for all of them, or none for 0 and 1.
//
// Arithmetic is float32 throughout, as in PyTorch: Mean and Std are rounded, x is divided
// by 255, the mean subtracted, and the difference divided.
type Preprocess struct {
	Name      string
	Mean, Std []float64
}

// Preset is a normalisation in use.
type Preset struct {
	Preprocess
	Source string // who uses it
}

// Presets lists the normalisations that have a name.
func Presets() []Preset {
	return []Preset{
		{Preprocess{"paper", over255(125.3, 123.0, 113.9), over255(63.0, 62.1, 66.7)},
			"CIFAR-10 in the loss-landscape paper's code, and in wide ResNets"},
		{Preprocess{"cifar10", []float64{0.4914, 0.4822, 0.4465}, []float64{0.2470, 0.2435, 0.2616}},
			"mean and standard deviation of CIFAR-10's training pixels"},
		{Preprocess{"cifar10-kuangliu", []float64{0.4914, 0.4822, 0.4465}, []float64{0.2023, 0.1994, 0.2010}},
			"kuangliu/pytorch-cifar: standard deviations within single images, averaged"},
		{Preprocess{"cifar100", []float64{0.5071, 0.4867, 0.4408}, []float64{0.2675, 0.2565, 0.2761}},
			"mean and standard deviation of CIFAR-100's training pixels"},
		{Preprocess{"imagenet", []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}},
			"torchvision's ImageNet models; also akamaster/pytorch_resnet_cifar10"},
		{Preprocess{"mnist", []float64{0.1307}, []float64{0.3081}},
			"PyTorch's MNIST example"},
		{Preprocess{"fashion-mnist", []float64{0.2860}, []float64{0.3530}},
			"mean and standard deviation of Fashion-MNIST's training pixels"},
		{Preprocess{"half", []float64{0.5}, []float64{0.5}},
			"PyTorch's tutorials: pixels from −1 to 1"},
		{Preprocess{Name: "raw"},
			"none: bytes are divided by 255, floats are taken as they are"},
	}
}

// over255 divides as Python does; a constant expression would round only once.
func over255(values ...float64) []float64 {
	for i := range values {
		values[i] /= 255
	}
	return values
}

// PresetNames are the names of Presets.
func PresetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

// DefaultPreset is the preset for a kind of data set: the paper's for CIFAR.
func DefaultPreset(kind string) string {
	switch kind {
	case "cifar10", "cifar100":
		return "paper"
	case "mnist":
		return "mnist"
	case ShapesKind:
		return "half"
	}
	return "raw"
}

// ParsePreset returns the preset called name; "none" is another word for "raw".
func ParsePreset(name string) (Preprocess, error) {
	if name == "none" {
		name = "raw"
	}
	for _, p := range Presets() {
		if p.Name == name {
			return p.Preprocess, nil
		}
	}
	return Preprocess{}, fmt.Errorf("there is no preset %q: there are %s", name, strings.Join(PresetNames(), ", "))
}

// identity reports whether floats pass unchanged.
func (p Preprocess) identity() bool { return len(p.Mean) == 0 && len(p.Std) == 0 }

// channels returns a mean and a standard deviation for each of n channels.
func (p Preprocess) channels(n int) (mean, std []float32, err error) {
	if mean, err = spread("mean", p.Mean, 0, n); err != nil {
		return nil, nil, fmt.Errorf("preprocessing %s: %w", p.Name, err)
	}
	if std, err = spread("standard deviation", p.Std, 1, n); err != nil {
		return nil, nil, fmt.Errorf("preprocessing %s: %w", p.Name, err)
	}
	for _, v := range std {
		if !(v > 0) {
			return nil, nil, fmt.Errorf("preprocessing %s: the standard deviation %v is not above 0", p.Name, v)
		}
	}
	return mean, std, nil
}

func spread(what string, values []float64, none float64, n int) ([]float32, error) {
	switch len(values) {
	case 0:
		values = []float64{none}
	case 1, n:
	default:
		return nil, fmt.Errorf("%d values of the %s for %d channels: give one for each, or one for all", len(values), what, n)
	}
	out := make([]float32, n)
	for c := range out {
		v := values[c%len(values)]
		if math.IsNaN(v) || math.IsInf(float64(float32(v)), 0) {
			return nil, fmt.Errorf("the %s %v is not a finite number", what, v)
		}
		out[c] = float32(v)
	}
	return out, nil
}

// Black is what a value of 0 becomes in each of n channels: the border of a picture that is moved.
func (p Preprocess) Black(n int) ([]float32, error) {
	mean, std, err := p.channels(n)
	if err != nil {
		return nil, err
	}
	black := make([]float32, n)
	for c := range black {
		black[c] = normalize(0, mean[c], std[c])
	}
	return black, nil
}

// normalizeBytes is a table of all that a byte of one channel becomes.
func normalizeBytes(mean, std float32) *[256]float32 {
	var table [256]float32
	for v := range table {
		table[v] = normalize(float32(v)/255, mean, std)
	}
	return &table
}

func normalize(x, mean, std float32) float32 { return (x - mean) / std }
