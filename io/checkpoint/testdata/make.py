#!/usr/bin/env python3
"""Writes the checkpoints of this folder with PyTorch (1.13 was used), and expected.json.

Each file of expected.json lists what load_state_dict would see: name, shape and the
values as float32, so that the reader is compared with PyTorch and not with itself.
"""
import argparse, collections, hashlib, io, json, os, pickle, sys, zipfile
import numpy as np, torch, torch.nn as nn

sys.modules["unknown_library"] = sys.modules[__name__]
torch.manual_seed(1)
expected = {}


def expect(name, states, **more):
    entries = [
        {"name": k, "shape": list(v.shape), "values": v.detach().float().reshape(-1).tolist()}
        for k, v in states.items()
    ]
    expected[name] = dict(entries=entries, **more)


def save(name, obj, states, legacy=False, **more):
    torch.save(obj, name, _use_new_zipfile_serialization=not legacy)
    expect(name, states, **more)


def both(name, obj, states, **more):
    save(name + "_zip.pth", obj, states, **more)
    save(name + "_legacy.pth", obj, states, legacy=True, **more)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)
        self.register_buffer("scratch", torch.ones(2), persistent=False)


Net.__module__ = "unknown_library"
net = Net()
net.bn.running_mean.normal_()
net.bn.num_batches_tracked += 7
sd = net.state_dict()
prefixed = lambda p: collections.OrderedDict((p + k, v) for k, v in sd.items())

# The legacy format takes along the source of each class of module.
torch.serialization.get_source_lines_and_file = lambda cls: (["class %s: ...\n" % cls.__name__], 1, "net.py")

both("bare", sd, sd)
both("module", net, sd)
dtypes = collections.OrderedDict(
    half=torch.tensor([1.5, -6e-8, 65504.0]).half(), bf=torch.tensor([3.14159, -1e30]).bfloat16(),
    double=torch.tensor([0.1, -1e-300], dtype=torch.float64), int64=torch.tensor([-5, 1 << 40]),
    int32=torch.tensor([-7], dtype=torch.int32), int16=torch.tensor([-300], dtype=torch.int16),
    int8=torch.tensor([-128], dtype=torch.int8), uint8=torch.tensor([255], dtype=torch.uint8),
    bool=torch.tensor([True, False]), scalar=torch.tensor(2.5), empty=torch.zeros(0, 3))
both("dtypes", dtypes, dtypes)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
views = collections.OrderedDict(
    whole=base, transposed=base.t(), sliced=base[1:, ::2], expanded=base[:, :1].expand(4, 3),
    row=base[2], permuted=base.reshape(2, 3, 4).permute(2, 0, 1), last=base[3, 5])
both("views", views, views)

both("parameters", {"state_dict": collections.OrderedDict((k, nn.Parameter(v) if v.is_floating_point() else v)
                                                          for k, v in sd.items())}, sd)
optimizer = torch.optim.Adam(net.parameters())
net.fc(torch.ones(1, 3)).sum().backward()
optimizer.step()
sd = net.state_dict()
both("training", {"epoch": 12, "arch": "net", "args": argparse.Namespace(lr=0.1), "state_dict": prefixed("module."),
                  "best_prec1": torch.tensor(91.25), "optimizer": optimizer.state_dict()}, sd, epoch=12, accuracy=91.25)
both("numpy_accuracy", {"net": sd, "acc": np.float64(0.875), "epoch": 3}, sd, epoch=3, accuracy=87.5)
both("lightning", {"epoch": 4, "global_step": 9, "pytorch-lightning_version": "1.9", "hyper_parameters":
                   argparse.Namespace(width=3), "callbacks": {"ckpt": {"best_model_score": torch.tensor(0.3)}},
                   "state_dict": prefixed("model._orig_mod.")}, sd, epoch=4)
both("ema", {"model": sd, "ema": prefixed("module.")}, sd)
both("swa", collections.OrderedDict([("n_averaged", torch.tensor(3))] + list(prefixed("module.").items())), sd)
both("custom_key", {"classifier": sd, "epoch": 1}, sd, epoch=1)

old = collections.OrderedDict((k, v) for k, v in sd.items() if "num_batches" not in k)
both("before_0_4_1", old, old)
small = collections.OrderedDict(w=torch.tensor([[1.0, 2.0], [3.0, 4.0]]), b=torch.tensor([5.0]))
for protocol in (3, 4, 5):
    torch.save(small, f"protocol{protocol}_zip.pth", pickle_protocol=protocol)
    expect(f"protocol{protocol}_zip.pth", small)
torch.save(small, "protocol4_legacy.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
expect("protocol4_legacy.pth", small)
both("small", small, small)


def rezip(source, target, change=lambda name, data: data, method=zipfile.ZIP_STORED, extra={}):
    with zipfile.ZipFile(source) as z, zipfile.ZipFile(target, "w", method) as out:
        for info in z.infolist():
            out.writestr(zipfile.ZipInfo(info.filename), change(info.filename, z.read(info)), method)
        for name, data in extra.items():
            out.writestr(zipfile.ZipInfo(name), data, method)


# No GPU is here: only the device's name tells a CUDA storage from another.
def device(name, data):
    return data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0") if name.endswith("data.pkl") else data

rezip("small_zip.pth", "cuda_zip.pth", device)
expect("cuda_zip.pth", small)
with open("small_legacy.pth", "rb") as f:
    data = f.read()
with open("cuda_legacy.pth", "wb") as f:
    f.write(device("data.pkl", data))
expect("cuda_legacy.pth", small)

rezip("small_zip.pth", "deflated_zip.pth", method=zipfile.ZIP_DEFLATED)
expect("deflated_zip.pth", small)
big = lambda name, data: np.frombuffer(data, "<f4").astype(">f4").tobytes() if "/data/" in name else data
rezip("small_zip.pth", "bigendian_zip.pth", big, extra={"small_zip/byteorder": b"big"})
expect("bigendian_zip.pth", small)


# What only older versions write: OrderedDict with arguments (Python 2), _rebuild_tensor and
# views of storages. A pickler that is told what to write reproduces them.
class Reduce:
    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


class OldPickler(pickle._Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, tuple) and obj and obj[0] == "storage":
            return obj


class OldDict(collections.OrderedDict):
    def __reduce__(self):
        return collections.OrderedDict, ([[k, v] for k, v in self.items()],)


def old_tensor(start, length, offset, size, stride):
    storage = ("storage", torch.FloatStorage, "k", "cpu", 8, ("v%d" % start, start, length))
    return Reduce(torch._utils._rebuild_tensor, storage, offset, size, stride)


buffer = io.BytesIO()
for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
    pickle.dump(part, buffer, 2)
OldPickler(buffer, 2).dump(OldDict(a=old_tensor(0, 4, 0, (2, 2), (1, 2)), b=old_tensor(4, 4, 1, (3,), (1,))))
pickle.dump(["k"], buffer, 2)
buffer.write((8).to_bytes(8, "little") + np.arange(8, dtype="<f4").tobytes())
with open("python2_legacy.pth", "wb") as f:
    f.write(buffer.getvalue())
expect("python2_legacy.pth", {"a": torch.tensor([[0.0, 2.0], [1.0, 3.0]]), "b": torch.tensor([5.0, 6.0, 7.0])})


# Pickles that call code: one that is nothing else, one beside a sound state dict.
evil = Reduce(os.system, "touch executed")
with open("malicious.pkl", "wb") as f:
    pickle.dump(evil, f, 2)
torch.save(evil, "malicious_zip.pth")
both("malicious_beside", {"state_dict": small, "x": evil}, small)

# What cannot be used.
torch.save({"w": torch.eye(2).to_sparse()}, "sparse_zip.pth")
torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, "quantised_zip.pth")
torch.save({"w": torch.ones(2, dtype=torch.complex64)}, "complex_zip.pth")
torch.save({"gen": sd, "dis": sd}, "several_zip.pth")
torch.save(torch.ones(2), "tensor_zip.pth")
torch.save({"epoch": 3}, "nothing_zip.pth")
with open("plain.pkl", "wb") as f:
    pickle.dump({"w": [1.0]}, f, 2)
torch.jit.save(torch.jit.script(nn.Linear(1, 1)), "torchscript.pt")
torch.save({"w": torch.tensor([1.0, float("nan")])}, "nan_zip.pth")

halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
finite = np.where(np.isnan(halves), np.float32(0), halves)
expected["halves"] = {"sha256": hashlib.sha256(finite.tobytes()).hexdigest()}
with open("expected.json", "w") as f:
    json.dump(expected, f, separators=(",", ":"))
    f.write("\n")
