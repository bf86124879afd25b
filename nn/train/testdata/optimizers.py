"""Writes optimizers.json: what PyTorch's optimisers do to twelve parameters in six steps.

usage: /usr/bin/python3 optimizers.py"""

import json

import torch

PARAMETERS, STEPS = 12, 6


def trace(make, **options):
    """The parameters before and after every step, with the gradients and the learning rates."""
    draw = torch.Generator().manual_seed(7)
    parameters = torch.randn(PARAMETERS, generator=draw)
    optimizer = make([parameters], **options)
    out = {"parameters": [parameters.tolist()], "gradients": [], "rates": []}
    for step in range(STEPS):
        if step == 4:
            optimizer.param_groups[0]["lr"] *= 0.1
        parameters.grad = torch.randn(PARAMETERS, generator=draw) * torch.logspace(-3, 1, PARAMETERS)
        optimizer.step()
        out["rates"].append(optimizer.param_groups[0]["lr"])
        out["gradients"].append(parameters.grad.tolist())
        out["parameters"].append(parameters.tolist())
    return out


sgd, adam = torch.optim.SGD, torch.optim.Adam
traces = [
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, **trace(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)},
    {"optimizer": "sgd", "momentum": 0, "weight_decay": 0.01, **trace(sgd, lr=0.1, weight_decay=0.01)},
    {"optimizer": "adam", "momentum": 0, "weight_decay": 0, **trace(adam, lr=1e-3)},
    {"optimizer": "adam", "momentum": 0, "weight_decay": 5e-4, **trace(adam, lr=0.01, weight_decay=5e-4)},
]
with open("optimizers.json", "w") as file:
    json.dump({"torch": torch.__version__, "traces": traces}, file)
    file.write("\n")
