"""Trains the paper's ResNet-20 in PyTorch and prints its test accuracy in percent.

usage: accuracy.py DIR SEED THREADS EPOCHS DECAY_EPOCH BATCH

DIR holds train.u8, train.i32, test.u8 and test.i32: pictures of 3×32×32 bytes and their labels. Pixels go from −1 to 1;
pictures are cropped and mirrored as in the paper's code."""

import sys

import numpy as np
import torch

from resnet20 import ResNet20, initialise

folder = sys.argv[1]
seed, threads, epochs, decay_epoch, size = map(int, sys.argv[2:])
torch.set_num_threads(threads)
torch.manual_seed(seed)


def load(part):
    pictures = np.fromfile(f"{folder}/{part}.u8", np.uint8).reshape(-1, 3, 32, 32)
    labels = np.fromfile(f"{folder}/{part}.i32", np.int32)
    return torch.from_numpy(pictures).float() / 127.5 - 1, torch.from_numpy(labels).long()


def augmented(pictures):
    out = torch.empty_like(pictures)
    padded = torch.nn.functional.pad(pictures, (4, 4, 4, 4), value=-1)
    for k, (y, x) in enumerate(torch.randint(9, (len(pictures), 2)).tolist()):
        out[k] = padded[k, :, y:y + 32, x:x + 32]
    mirrored = torch.rand(len(pictures)) < 0.5
    out[mirrored] = out[mirrored].flip(3)
    return out


(images, labels), (test_images, test_labels) = load("train"), load("test")
net = ResNet20()
initialise(net)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
for epoch in range(1, epochs + 1):
    net.train()
    for batch in torch.randperm(len(images)).split(size):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(augmented(images[batch])), labels[batch]).backward()
        optimizer.step()
    if epoch == decay_epoch:
        for group in optimizer.param_groups:
            group["lr"] *= 0.1
net.eval()
with torch.no_grad():
    predicted = torch.cat([net(part).argmax(1) for part in test_images.split(200)])
print(100 * (predicted == test_labels).float().mean().item())
