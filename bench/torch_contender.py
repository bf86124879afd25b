"""PyTorch as a contender of lsrun's bench: one network, kept alive between the rounds.

usage: torch_contender.py DIR THREADS

DIR holds what the driver wrote: graph.json, states.f32 (every entry, in order), images.f32 and
labels.i32. Requests are lines of JSON on stdin, one answer a line on stdout:

  {"do": "run", "variant": V, "batch": B, "images": N, "passes": P}  ->  {"seconds": S}
  {"do": "logits", "variant": V, "images": N}  ->  {"logits": [...]}
  {"do": "logits", "images": N}                ->  {"logits": [...]}, in float64
  {"do": "export", "path": F}                  ->  {}, having written the network as ONNX
  {"do": "train", "batch": B, "images": N, "passes": P}  ->  {"seconds": S}, forwards and backwards in train mode
  {"do": "gradient", "images": N}              ->  {}, having written gradient.f64, computed in train mode and float64
  {"do": "version"}                            ->  {"version": "...", "libraries": [...]}

V is eager (as the paper's code has it), channels_last or optimized (for inference). A run goes over
the first N images P times, as the paper's evaluation does.
"""

import json
import os
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore")


class Function(nn.Module):
    """An operation without entries."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *x):
        return self.function(*x)


def subsample(op, in_shape):
    front = (op["Out"] - in_shape[0]) // 2
    back = op["Out"] - in_shape[0] - front
    stride = op["Stride"]
    return lambda x: F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, front, back))


def add(*x):
    total = x[0]
    for y in x[1:]:
        total = total + y
    return total


def window(op):
    return {"kernel_size": op["Kernel"], "stride": op["Stride"], "padding": op["Pad"], "ceil_mode": op["Ceil"]}


def module(kind, op, in_shape):
    """The module of one node, as code written for PyTorch has it; op holds the fields of lsrun's operation."""
    if kind == "conv":
        return nn.Conv2d(in_shape[0], op["Out"], op["Kernel"], op["Stride"], op["Pad"], op["Dilation"], op["Groups"], op["Bias"])
    if kind == "batchnorm":
        return (nn.BatchNorm2d if len(in_shape) == 3 else nn.BatchNorm1d)(in_shape[0], eps=op["Eps"])
    if kind == "linear":
        return nn.Linear(in_shape[0], op["Out"], op["Bias"])
    if kind == "maxpool":
        return nn.MaxPool2d(**window(op))
    if kind == "avgpool":
        return nn.AvgPool2d(count_include_pad=op["CountPad"], **window(op))
    if kind == "gelu":
        return nn.GELU("tanh" if op["Tanh"] else "none")
    makers = {
        "adaptiveavgpool": lambda: nn.AdaptiveAvgPool2d(op["Out"]),
        "adaptivemaxpool": lambda: nn.AdaptiveMaxPool2d(op["Out"]),
        "relu": lambda: Function(F.relu),
        "selu": nn.SELU,
        "elu": lambda: nn.ELU(op["Alpha"]),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "dropout": lambda: nn.Dropout(op["P"]),
        "alphadropout": lambda: nn.AlphaDropout(op["P"]),
        "softmax": lambda: nn.Softmax(1),
        "logsoftmax": lambda: nn.LogSoftmax(1),
        "add": lambda: Function(add),
        "concat": lambda: Function(lambda *x: torch.cat(x, 1)),
        "flatten": lambda: nn.Flatten(),
        "subsample": lambda: Function(subsample(op, in_shape)),
    }
    return makers[kind]()


class Network(nn.Module):
    """The graph, evaluated node by node; a value is let go after its last use, as a local variable is."""

    def __init__(self, graph):
        super().__init__()
        nodes = graph["nodes"]
        self.parts = nn.ModuleList(module(n["kind"], n["op"], nodes[n["inputs"][0]]["shape"]) for n in nodes[1:])
        last = {k: i for i, n in enumerate(nodes) for k in n["inputs"]}
        self.steps = [(n["inputs"], [k for k in set(n["inputs"]) if last[k] == i]) for i, n in enumerate(nodes)][1:]

    def forward(self, x):
        values = [x]
        for part, (inputs, dead) in zip(self.parts, self.steps):
            values.append(part(*[values[k] for k in inputs]))
            for k in dead:
                values[k] = None
        return values[-1]


def load_states(net, graph, flat):
    """Fills the modules' tensors, whose order within a node is that of the entries."""
    offset, states = 0, []
    for entry in graph["entries"]:
        size = int(np.prod(entry["shape"], dtype=np.int64))
        states.append(flat[offset:offset + size].reshape(entry["shape"]))
        offset += size
    for part, node in zip(net.parts, graph["nodes"][1:]):
        for (_, tensor), k in zip(part.state_dict().items(), node["entries"]):
            tensor.copy_(torch.from_numpy(states[k]))


class Contender:
    def __init__(self, folder):
        def read(name, kind):
            return np.fromfile(os.path.join(folder, name), kind)

        with open(os.path.join(folder, "graph.json")) as f:
            self.graph = json.load(f)
        self.folder = folder
        self.labels = torch.from_numpy(read("labels.i32", np.int32)).long()
        images = np.memmap(os.path.join(folder, "images.f32"), np.float32, "c")  # one copy for all processes
        self.images = torch.from_numpy(images.reshape([-1] + self.graph["nodes"][0]["shape"]))
        self.net = Network(self.graph).eval()
        load_states(self.net, self.graph, read("states.f32", np.float32))
        self.variants = {}

    def copy(self):
        net = Network(self.graph).eval()
        net.load_state_dict(self.net.state_dict())
        return net

    def variant(self, name):
        """The network and the images of a variant, made when first wanted."""
        if name not in self.variants:
            self.variants[name] = getattr(self, name)()
        return self.variants[name]

    def eager(self):
        return self.net, self.images

    def channels_last(self):
        if self.images.dim() != 4:
            return self.eager()
        order = torch.channels_last
        return self.copy().to(memory_format=order), self.images.contiguous(memory_format=order)

    def optimized(self):
        traced = torch.jit.trace(self.copy(), self.images[:2])
        return torch.jit.optimize_for_inference(torch.jit.freeze(traced)), self.images

    def run(self, variant, batch, images, passes):
        net, pixels = self.variant(variant)
        criterion = nn.CrossEntropyLoss()
        start = time.perf_counter()
        for _ in range(passes):
            total, correct = 0.0, 0
            for first in range(0, images, batch):
                end = min(first + batch, images)
                outputs, targets = net(pixels[first:end]), self.labels[first:end]
                total += criterion(outputs, targets).item() * (end - first)
                correct += outputs.max(1)[1].eq(targets).sum().item()
        return {"seconds": time.perf_counter() - start}

    def logits(self, images, variant=None):
        if variant:
            net, pixels = self.variant(variant)
            return {"logits": net(pixels[:images]).flatten().tolist()}
        net = self.copy().double()
        return {"logits": net(self.images[:images].double()).flatten().tolist()}

    @torch.enable_grad()
    def train(self, batch, images, passes):
        net, criterion = self.variant("trained"), nn.CrossEntropyLoss()
        start = time.perf_counter()
        for _ in range(passes):
            for first in range(0, images, batch):
                end = min(first + batch, images)
                net.zero_grad()
                criterion(net(self.images[first:end]), self.labels[first:end]).backward()
        return {"seconds": time.perf_counter() - start}

    def trained(self):
        return self.copy().train()

    @torch.enable_grad()
    def gradient(self, images):
        net = self.copy().double().train()
        nn.CrossEntropyLoss()(net(self.images[:images].double()), self.labels[:images]).backward()
        by_entry = {}
        for part, node in zip(net.parts, self.graph["nodes"][1:]):
            parameters = dict(part.named_parameters())
            for name, k in zip(part.state_dict(), node["entries"]):
                if name in parameters:
                    by_entry[k] = parameters[name].grad.numpy().ravel()
        np.concatenate([by_entry[k] for k in sorted(by_entry)]).tofile(os.path.join(self.folder, "gradient.f64"))
        return {}

    def export(self, path):
        torch.onnx.export(self.net, self.images[:2], path, opset_version=13, input_names=["images"],
                          output_names=["logits"], dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}})
        return {}

    def version(self):
        """Also the libraries that decide its speed, by the files in use: Debian leaves BLAS to the system."""
        with open("/proc/self/maps") as f:
            files = {line.split()[-1] for line in f}
        libraries = {os.path.relpath(x, os.path.dirname(os.path.dirname(x))) for x in files if "blas" in x or "malloc" in x}
        return {"version": torch.__version__, "libraries": sorted(libraries)}


def answer(contender):
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    with torch.no_grad():
        for line in sys.stdin:
            request = json.loads(line)
            said = getattr(contender, request.pop("do"))(**request)
            print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    answer(Contender(sys.argv[1]))
