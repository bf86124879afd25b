"""What the scripts need to make networks and data, and to compute landscapes by NumPy in
float64, independently of lsrun."""

import json
import struct

import h5py
import numpy as np


def save(path, entries, metadata=None):
    """Write a state dict of float32 arrays as safetensors."""
    header, blob = {"__metadata__": metadata} if metadata else {}, b""
    for name, values in entries.items():
        data = np.asarray(values, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": np.shape(values), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def load(path):
    """Read float32 safetensors."""
    data = open(path, "rb").read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]], "<f4").reshape(t["shape"])
            for name, t in header.items()}


def affine(entries, name, rng, *shape):
    """Add a random convolution or linear map with a bias."""
    entries[name + ".weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
    entries[name + ".bias"] = rng.normal(0, 0.1, shape[0])


def mlp(seed, *widths):
    """The entries of mlp_… and snn_…: inputs, hidden widths, classes."""
    entries, rng = {}, np.random.default_rng(seed)
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        affine(entries, f"fc{i + 1}", rng, m, n)
    return entries


def evaluate(entries, images, labels):
    """The cross entropy of each image under an MLP with ReLU, and 100 where it is right."""
    entries = {name: np.asarray(values, "f4").astype("f8") for name, values in entries.items()}
    x, layers = images.reshape(len(images), -1).astype("f8"), len(entries) // 2
    for i in range(1, layers + 1):
        x = x @ entries[f"fc{i}.weight"].T + entries[f"fc{i}.bias"]
        x = np.maximum(x, 0) if i < layers else x
    top = x.max(1)
    loss = np.log(np.exp(x - top[:, None]).sum(1)) + top - x[np.arange(len(x)), labels]
    return loss, 100.0 * (x.argmax(1) == labels)


def draw(n, subset, seed):
    """The images that --subset takes: a shuffle by SplitMix64 that stops early, sorted."""
    return sorted(shuffle(n, subset, seed)[:subset])


def shuffle(n, steps, seed):
    """So many steps of Fisher and Yates."""
    rows = list(range(n))
    for k in range(steps):
        z = (seed + (k + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        j = k + ((z ^ z >> 31) * (n - k) >> 64)
        rows[k], rows[j] = rows[j], rows[k]
    return rows


def check(run, part, images, labels, of=None):
    """Compare every value of a merged MLP run for "train" or "test" with NumPy's: the means
    of loss and accuracy over the images, which were drawn from `of`, and their standard
    errors, plain and paired with the origin."""
    n, of = len(images), of or len(images)
    theta = load(f"{run}/theta.safetensors")
    with h5py.File(f"{run}/directions.h5") as d:
        directions = [[d[axis][str(i)][()] for i in range(len(theta))] for axis in ("xdirection", "ydirection") if axis in d]
    with h5py.File(f"{run}/surface.h5") as f:
        ys = f["ycoordinates"][()] if "ycoordinates" in f else [0.0]
        origin = evaluate(theta, images, labels)
        for j, y in enumerate(ys):
            for i, x in enumerate(f["xcoordinates"][()]):
                at = (j, i) if "ycoordinates" in f else i
                steps = zip((x, y), directions)
                here = dict(theta)
                for step, direction in steps:
                    here = {name: values + step * delta.astype("f8") for (name, values), delta in zip(here.items(), direction)}
                for what, values, before in zip(("loss", "acc"), evaluate(here, images, labels), origin):
                    name = f"{part}_{what}"
                    close(f"{name} at {at}", f[name][at], values.mean())
                    for error, sample in (("standard_error", values), ("paired_standard_error", values - before)):
                        want = np.sqrt(sample.var(ddof=1) / n * (1 - n / of)) if n < of else 0
                        close(f"{error} of {name} at {at}", f["lsrun"][error][name][at], want)


def close(what, got, want):
    assert abs(got - want) <= 1e-5 * max(abs(want), 1e-2), f"{what} is {got}, but NumPy has {want}"
