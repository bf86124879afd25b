"""Writes losses.json: derivatives of the losses by the logits, and the second derivatives times
a tangent, by central differences of the losses alone in numbers of 200 digits."""

import json

from mpmath import chop, exp, log, mp, mpf

mp.dps = 200
STEP = mpf(10) ** -30


def loss(name, z, label):
    total = sum(exp(v) for v in z)
    if name == "crossentropy":
        return log(total) - z[label]
    return sum((exp(v) / total - (k == label)) ** 2 for k, v in enumerate(z)) / len(z)


def moved(z, direction, step):
    return [a + step * b for a, b in zip(z, direction)]


def gradient(name, z, label):
    units = [[int(i == k) for i in range(len(z))] for k in range(len(z))]
    return [(loss(name, moved(z, u, STEP), label) - loss(name, moved(z, u, -STEP), label)) / (2 * STEP) for u in units]


def product(name, z, label, tangent):
    after, before = (gradient(name, moved(z, tangent, step), label) for step in (STEP, -STEP))
    return [(a - b) / (2 * STEP) for a, b in zip(after, before)]


CASES = [
    ([1, 2, 3], [0.5, -1, 2], 0),
    ([0.3, -1.2, 2.5, 0.1], [1, 1, -1, 0.25], 2),
    ([0.3, -1.2, 2.5, 0.1], [1, 1, -1, 0.25], 1),
    ([-7, -7], [1, 3], 1),
    ([0.5], [2], 0),
    ([30, -10, 0, 1], [0.5, -1, 2, 1e-3], 0),
    ([30, -10, 0, 1], [0.5, -1, 2, 1e-3], 2),
    ([1000, 940, 920], [1, 0.5, -2], 0),
    ([1000, 940, 920], [1, 0.5, -2], 1),
    ([1000, 940, 920], [1000, 1000.5, 999], 0),
]
results = []
for name in ("crossentropy", "mse"):
    for z, tangent, label in CASES:
        exact = [mpf(v) for v in z]
        results.append({
            "loss": name, "logits": z, "tangent": tangent, "label": label,
            "gradient": [float(chop(v, mpf(10) ** -100)) for v in gradient(name, exact, label)],
            "product": [float(chop(v, mpf(10) ** -100)) for v in product(name, exact, label, [mpf(v) for v in tangent])],
        })
with open("losses.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(r) for r in results) + "\n]\n")
