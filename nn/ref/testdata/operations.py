"""Writes operations.json: what PyTorch makes, in float64, of operations filled by the
formula of testdata/reference/README.md with base 1 and bn_scale 1; and of the loss u·out + out·out/2
the gradient by the input and by the parameters, and its derivative along the formula's vectors. The
input x is 4·u(1 + 1000003), its vector u(2 + 1000003), u is u(3 + 1000003). Where "kinks" ends the
name, x is a multiple of 1, so that many values are 0 or equal."""

import json
import math

import torch
from torch import nn

MASK = 2**64 - 1


def uniform(seed, shape):
    values = []
    for i in range(1, math.prod(shape) + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        values.append(((z >> 40) - 2**23) / 2**23)
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


def fill(module):
    for k, (name, entry) in enumerate(module.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(1 + k, tuple(entry.shape))
        if entry.dim() > 1:
            u *= torch.tensor(math.sqrt(6 / (entry.numel() // entry.shape[0])), dtype=torch.float32)
        elif name.endswith("running_var"):
            u = 1 + 0.25 * u
        elif name.endswith("weight"):
            u = 1 + 0.25 * u
        else:
            u = 0.1 * u
        entry.copy_(u)


OPERATIONS = {
    "conv": (nn.Conv2d(3, 4, 3, padding=1), (3, 4, 3)),
    "conv strided": (nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (2, 7, 6)),
    "conv asymmetric": (nn.Conv2d(2, 3, (1, 4), stride=(3, 1), padding=(0, 2), dilation=(1, 2)), (2, 7, 6)),
    "conv grouped": (nn.Conv2d(6, 4, 3, padding=2, dilation=2, groups=2), (6, 4, 3)),
    "conv depthwise": (nn.Conv2d(3, 6, 5, padding=2, groups=3, bias=False), (3, 3, 3)),
    "linear": (nn.Linear(7, 5), (7,)),
    "linear without bias": (nn.Linear(7, 5, bias=False), (7,)),
    "batchnorm of a vector": (nn.BatchNorm1d(5), (5,)),
    "batchnorm of a picture": (nn.BatchNorm2d(3, eps=0.1), (3, 2, 3)),
    "relu": (nn.ReLU(), (9,)),
    "selu": (nn.SELU(), (9,)),
    "elu": (nn.ELU(0.3), (9,)),
    "tanh": (nn.Tanh(), (9,)),
    "sigmoid": (nn.Sigmoid(), (9,)),
    "gelu": (nn.GELU(), (9,)),
    "gelu tanh": (nn.GELU("tanh"), (9,)),
    "dropout": (nn.Dropout(), (9,)),
    "alphadropout": (nn.AlphaDropout(), (9,)),
    "softmax": (nn.Softmax(1), (3, 2, 2)),
    "logsoftmax": (nn.LogSoftmax(1), (3, 2, 2)),
    "maxpool": (nn.MaxPool2d(3, 2, 1), (2, 5, 6)),
    "maxpool ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 5, 6)),
    "maxpool ceil padded": (nn.MaxPool2d(2, 3, 1, ceil_mode=True), (2, 6, 7)),
    "avgpool": (nn.AvgPool2d(3, 2, 1), (2, 5, 6)),
    "avgpool ceil": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 5, 6)),
    "avgpool ceil asymmetric": (nn.AvgPool2d((4, 2), (3, 1), (2, 1), ceil_mode=True), (1, 7, 4)),
    "avgpool without padding": (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 5, 6)),
    "adaptiveavgpool": (nn.AdaptiveAvgPool2d((3, 4)), (2, 5, 6)),
    "adaptivemaxpool": (nn.AdaptiveMaxPool2d((3, 4)), (2, 5, 6)),
    "adaptiveavgpool up": (nn.AdaptiveAvgPool2d((3, 2)), (1, 2, 3)),
}

KINKS = ("relu", "selu", "elu", "maxpool", "maxpool ceil padded", "adaptivemaxpool")
for name in KINKS:
    OPERATIONS[name + " kinks"] = OPERATIONS[name]


def derivatives(module, x):
    inputs = [x.requires_grad_(), *module.parameters()]
    vectors = [uniform(2 + 1000003, x.shape)]
    vectors += [uniform(1 + 2000003 + i, p.shape) for i, p in enumerate(module.parameters())]
    out = module(x)
    loss = (uniform(3 + 1000003, out.shape) * out).sum() + (out * out).sum() / 2
    gradient = torch.autograd.grad(loss, inputs, create_graph=True)
    along = sum((g * v).sum() for g, v in zip(gradient, vectors))
    product = torch.autograd.grad(along, inputs, allow_unused=True)
    product = [torch.zeros_like(x) if p is None else p for p, x in zip(product, inputs)]
    return [[t.flatten().tolist() for t in list] for list in (gradient, product)]


results = {}
for name, (module, shape) in OPERATIONS.items():
    with torch.no_grad():
        fill(module.float())
    x = 4 * uniform(1 + 1000003, (1, *shape)).double()
    if name.endswith("kinks"):
        x = (x / 2).round()
    module.double().eval()
    gradient, product = derivatives(module, x)
    results[name] = {"input": shape, "output": module(x).flatten().tolist(), "gradient": gradient, "product": product}
with open("operations.json", "w") as file:
    file.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in results.items()) + "\n}\n")
