"""Writes training.json: what PyTorch says of one training step of a few networks.

usage: make.py > training.json

States, images and labels are those of nn/zoo/formula, but for biases. A ReLU or SELU whose input is nearly zero changes
the gradient when rounding turns its sign around, by more than any rounding error. So the bias before each is
moved, a little and channel by channel, until zero lies in the middle of a wide gap between the inputs of
the batch: what then differs are roundings alone. Dropout is off.

Everything is computed in float64. Of a tensor x of entry k of the states, training.json holds the norm and a sketch,

    sketch[j] = sum over i of x[i] * (1 if bit j of z(k, i + 1) else -1),  j < 16,

with SplitMix64's z(seed, i) = mix(seed + i * gamma): the mean of the squares of a difference's sketch
estimates its squared norm. float32_error is the largest distance of PyTorch's own float32 gradients, relative in norm,
where there is one: a bias before batch norm has none.
"""

import json
import math
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

BASE, SKETCH = 1, 16
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4


def splitmix(seed, n):
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(seed, n):
    return ((splitmix(seed, n) >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)


def fill(net):
    for k, (name, t) in enumerate(net.state_dict().items()):
        u = torch.from_numpy(uniform(BASE + k, t.numel())).view(t.shape)
        if name.endswith("num_batches_tracked"):
            t.fill_(1)
        elif name.endswith("running_var"):
            t.copy_(1 + np.float32(0.25) * u)
        elif t.dim() > 1:
            t.copy_(u * np.float32(math.sqrt(6 / (t.numel() // t.shape[0]))))
        elif name.endswith("weight"):
            t.copy_(1 + np.float32(0.25) * u)
        else:
            t.copy_(np.float32(0.1) * u)


class Kink(nn.Module):
    """ReLU or SELU after what has the given bias."""

    def __init__(self, module, function=F.relu):
        super().__init__()
        self.bias, self.function, self.adjusts = [module], function, False

    def forward(self, x):
        if self.adjusts:
            bias = self.bias[0].bias
            channels = x.detach().transpose(0, 1).reshape(len(bias), -1)
            for c, values in enumerate(channels):
                v = values.sort()[0]
                middle, gap = (v[1:] + v[:-1]) / 2, v[1:] - v[:-1]
                near = middle.abs() <= max(0.2 * v.std(), middle.abs().min())
                shift = -middle[near][gap[near].argmax()]
                moved = round(float(bias[c] + shift), 5)
                x[:, c] += moved - float(bias[c])
                bias[c] = moved
        return self.function(x)


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.relu1, self.relu2 = Kink(self.bn1), Kink(self.bn2)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + self.shortcut(x))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.relu = Kink(self.bn1)
        for i, (inputs, width, stride) in enumerate([(16, 16, 1), (16, 32, 2), (32, 64, 2)]):
            blocks = [Block(inputs, width, stride), Block(width, width, 1), Block(width, width, 1)]
            setattr(self, "layer%d" % (i + 1), nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class VGG9(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for width in [64, 64, 0, 128, 128, 0, 256, 256, 256, 0]:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            norm = nn.BatchNorm2d(width)
            layers += [nn.Conv2d(inputs, width, 3, 1, 1), norm, Kink(norm)]
            inputs = width
        self.features = nn.Sequential(*layers)
        norm = nn.BatchNorm1d(256)
        self.fc = nn.Sequential(nn.Linear(4096, 256), norm, Kink(norm))
        self.classifier = nn.Linear(256, 10)

    def forward(self, x):
        return self.classifier(self.fc(self.features(x).flatten(1)))


class Dense(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        self.relu1, self.relu2 = Kink(self.bn1), Kink(self.bn2)

    def forward(self, x):
        y = self.conv2(self.relu2(self.bn2(self.conv1(self.relu1(self.bn1(x))))))
        return torch.cat([y, x], 1)


class Transition(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, inputs // 2, 1, bias=False)
        self.relu = Kink(self.bn)

    def forward(self, x):
        return F.avg_pool2d(self.conv(self.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, growth=12):
        super().__init__()
        width = 2 * growth
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.order = []
        for stage, layers in enumerate([6, 12, 24, 16]):
            if stage > 0:
                setattr(self, "trans%d" % stage, Transition(width))
                self.order.append("trans%d" % stage)
                width //= 2
            block = []
            for _ in range(layers):
                block.append(Dense(width, growth))
                width += growth
            setattr(self, "dense%d" % (stage + 1), nn.Sequential(*block))
            self.order.append("dense%d" % (stage + 1))
        self.bn = nn.BatchNorm2d(width)
        self.relu = Kink(self.bn)
        self.linear = nn.Linear(width, 10)

    def forward(self, x):
        x = self.conv1(x)
        for name in self.order:
            x = getattr(self, name)(x)
        return self.linear(self.relu(self.bn(x)).mean((2, 3)))


class SCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 3, 1, 1), nn.Conv2d(32, 32, 3, 1, 1)
        self.conv3, self.conv4 = nn.Conv2d(32, 64, 3, 1, 1), nn.Conv2d(64, 64, 3, 1, 1)
        self.fc1, self.fc2 = nn.Linear(4096, 256), nn.Linear(256, 10)
        self.selus = nn.ModuleList(Kink(m, F.selu) for m in [self.conv1, self.conv2, self.conv3, self.conv4, self.fc1])

    def forward(self, x):
        selu = self.selus
        x = F.avg_pool2d(selu[1](self.conv2(selu[0](self.conv1(x)))), 2)
        x = F.avg_pool2d(selu[3](self.conv4(selu[2](self.conv3(x)))), 2)
        return self.fc2(selu[4](self.fc1(x.flatten(1))))


def sketch(k, x):
    flat = x.detach().double().numpy().ravel()
    z = splitmix(k, flat.size)
    lines = [float(np.dot(flat, ((z >> np.uint64(j)) & np.uint64(1)).astype(np.float64) * 2 - 1)) for j in range(SKETCH)]
    return {"norm": rounded(np.linalg.norm(flat)), "sketch": [rounded(v) for v in lines]}


def rounded(x):
    return float("%.9g" % x)


def images(n):
    pixels = torch.from_numpy(uniform(BASE + 1000003, n * 3 * 32 * 32).reshape(n, 3, 32, 32))
    labels = torch.from_numpy((splitmix(BASE + 1000004, n) % np.uint64(10)).astype(np.int64))
    return pixels, labels


def gradients(net, x, y):
    net.zero_grad()
    logits = net(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    return logits, loss, [p.grad.clone() for p in net.parameters()]


def describe(make, n):
    net = make().train()
    x, y = images(n)
    with torch.no_grad():
        fill(net)
        first = {name: t.clone() for name, t in net.state_dict().items()}
        net.double()
        kinks = [m for m in net.modules() if isinstance(m, Kink)]
        for m in kinks:
            m.adjusts = True
        net(x.double())
        for m in kinks:
            m.adjusts = False
        biases = {k: t.float() for k, t in enumerate(net.state_dict().values())}
    biases = {k: [round(float(v), 5) for v in t] for (k, t), (name, was) in zip(biases.items(), first.items())
              if name.endswith("bias") and not torch.equal(t, was)}
    with torch.no_grad():
        states = list(net.state_dict().values())
        for name, t in net.state_dict().items():
            if not name.endswith("bias"):
                t.copy_(first[name])
        for k, values in biases.items():
            states[k].copy_(torch.tensor(values, dtype=torch.float32))
    single = make().train()
    single.load_state_dict(net.state_dict())
    _, _, rough = gradients(single, x, y)
    logits, loss, exact = gradients(net, x.double(), y)
    result = {"base": BASE, "images": n, "biases": biases, "loss": rounded(loss.item()),
              "correct": int(logits.max(1)[1].eq(y).sum()),
              "float32_error": max(float((r.double() - e).norm() / e.norm()) for r, e in zip(rough, exact) if e.norm() > 1e-9)}
    names = {name: k for k, name in enumerate(net.state_dict())}
    before = [p.detach().clone() for p in net.parameters()]
    result["gradient"] = {name: sketch(names[name], g) for (name, _), g in zip(net.named_parameters(), exact)}
    torch.optim.SGD(net.parameters(), RATE, MOMENTUM, 0, DECAY, nesterov=True).step()
    result["step"] = {name: sketch(names[name], p - b) for (name, p), b in zip(net.named_parameters(), before)}
    result["statistics"] = {name: sketch(names[name], t - first[name].double())
                            for name, t in net.state_dict().items() if "running" in name}
    print(make.__name__, result["loss"], result["float32_error"], file=sys.stderr)
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    nets = {"resnet20": (ResNet20, 16), "vgg9": (VGG9, 4), "densenet_cifar": (DenseNet, 4), "scnn": (SCNN, 8)}
    json.dump({"rate": RATE, "momentum": MOMENTUM, "decay": DECAY,
               "networks": {name: describe(*args) for name, args in nets.items()}}, sys.stdout, separators=(",", ":"))
