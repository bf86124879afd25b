"""Writes a checkpoint of the paper's code beside directions around it, for the tests.

    reference.py CHECKPOINT.t7 DIRECTION.h5

Output: one line of JSON, {"entries": [[name, shape], ...], "groups": {name: [shape, ...]}}, then
little-endian float32: the entries in state_dict order, then each group's tensors in the
order of the file. The checkpoint is in PyTorch's legacy format, read without PyTorch:
pickles of a magic number, a version, the system, the object and the storage keys, then
each storage as an int64 length and its values.
"""

import collections
import json
import pickle
import sys

import h5py
import numpy as np

DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, *rest: (storage, offset, shape)
        if name in DTYPES:
            return name
        if name == "OrderedDict":
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, saved):
        _, kind, key, _, _, _ = saved
        return key, DTYPES[kind]


def checkpoint(path):
    with open(path, "rb") as f:
        _, _, _, saved, keys = (Unpickler(f).load() for _ in range(5))
        tensors = saved["state_dict"]
        dtypes = {storage[0]: storage[1] for storage, _, _ in tensors.values()}
        storages = {}
        for key in keys:
            length = int(np.fromfile(f, "<i8", 1)[0])
            storages[key] = np.fromfile(f, dtypes[key], length)
    return {
        name: storages[key][offset:][: int(np.prod(shape))].reshape(shape)
        for name, ((key, _), offset, shape) in tensors.items()
    }


theta = checkpoint(sys.argv[1])
with h5py.File(sys.argv[2], "r") as f:
    groups = {name: [f[name][str(i)][()] for i in range(len(f[name]))] for name in f}
out = sys.stdout.buffer
header = {
    "entries": [[name, list(t.shape)] for name, t in theta.items()],
    "groups": {name: [list(t.shape) for t in tensors] for name, tensors in groups.items()},
}
out.write(json.dumps(header).encode() + b"\n")
for tensors in [list(theta.values()), *groups.values()]:
    for t in tensors:
        out.write(np.ascontiguousarray(t, "<f4").tobytes())
