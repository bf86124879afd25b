"""Writes step.f32: what a step of training does to a ResNet-20 in PyTorch, in float64.

usage: /usr/bin/python3 step.py

The network and the images are those of package formula: base 27, batch norms around 1. The step is the paper's: SGD, lr 0.1,
Nesterov's momentum 0.9, weight decay 5e-4, cross entropy, on one batch of eight images of 16×16. Of forty bases this one has the
inputs of ReLUs farthest from zero, 2e-5 and more: rounding turns none on or off. The file holds, as float32, the loss, and then
for every entry of the state dict but the counters the difference that the step made."""

import numpy as np
import torch

from resnet20 import ResNet20

BASE, IMAGES, SIZE = 27, 8, 16


def mix(seed, n):
    z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def uniform(seed, n):
    return ((mix(seed, n) >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)


def value(name, shape, u):
    if len(shape) > 1:
        return u * np.float32((6 / np.prod(shape[1:])) ** 0.5)
    if name.endswith("running_var"):
        return 1 + np.float32(0.25) * u
    if name.endswith("weight"):
        return 1 + np.float32(0.25) * u
    return np.float32(0.1) * u


np.seterr(over="ignore")
net = ResNet20().double()
states = net.state_dict()
for k, (name, tensor) in enumerate(states.items()):
    if not name.endswith("num_batches_tracked"):
        u = uniform(BASE + k, tensor.numel())
        tensor.copy_(torch.from_numpy(value(name, tensor.shape, u).reshape(tensor.shape)).double())
images = torch.from_numpy(uniform(BASE + 1000003, IMAGES * 3 * SIZE**2).reshape(IMAGES, 3, SIZE, SIZE)).double()
labels = torch.from_numpy((mix(BASE + 1000004, IMAGES) % np.uint64(10)).astype(np.int64))

net.train()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
loss = torch.nn.functional.cross_entropy(net(images), labels)
loss.backward()
optimizer.step()
with open("step.f32", "wb") as file:
    file.write(np.float32(loss.item()).tobytes())
    for name, tensor in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            file.write((tensor - before[name]).float().numpy().tobytes())
print("loss", loss.item())
