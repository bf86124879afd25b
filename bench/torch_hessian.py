"""PyTorch as a contender of lsrun's bench of Hessians: both ends of the spectrum.

usage: torch_hessian.py DIR THREADS

The Hessian is that of the mean cross entropy over the first N images by the tensors of more than one dimension, batch norm
frozen. The requests of torch_contender.py, and:

  {"do": "eigsh", "images": N}  ->  {"largest": L, "smallest": S, "products": P, "in_products": S, "seconds": S,
      "processor": S}, by the paper's method
  {"do": "lanczos", "images": N, "tolerance": T, "seed": K}  ->  the same, by lsrun's method
  {"do": "count"}  ->  the same by the paper's method, but with others' products: before that it says {"wants": true}, having written
      vector.f64, as often as it wants a product, which is in product.f64 when the next line comes
  {"do": "product", "images": N}  ->  {}, having read vector.f64 and written product.f64, computed in float64
  {"do": "plane", "directions": F, "surface": G}  ->  {"xcoordinates": [...], ...}, having written F's directions as x.f32 and y.f32
"""

import json
import os
import sys
import time

import numpy as np
import scipy
import torch
import torch.nn as nn
from scipy.sparse.linalg import LinearOperator, eigsh

import torch_contender

BATCH = 128  # the paper's


def cut(vector, like):
    """A vector as tensors."""
    ends = np.cumsum([p.numel() for p in like])[:-1]
    return [torch.from_numpy(v).view_as(p).to(p.dtype) for v, p in zip(np.split(vector, ends), like)]


def flat(tensors):
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


class Timed:
    """A product that counts itself."""

    def __init__(self, product):
        self.product, self.count, self.seconds = product, 0, 0.0

    def __call__(self, vector):
        start = time.perf_counter()
        result = self.product(vector)
        self.seconds += time.perf_counter() - start
        self.count += 1
        return result


def largest_magnitude(product, n):
    """The eigenvalue, with SciPy's defaults and the paper's tolerance. SciPy spends a product on finding out the type."""
    return eigsh(LinearOperator((n, n), matvec=product), k=1, tol=1e-2)[0][0]


def paper(product, n):
    """Both ends as the paper's code finds them: by their magnitudes, the second after a shift that makes the other end the larger one."""
    one = largest_magnitude(product, n)
    shift = 0.51 * one
    other = largest_magnitude(lambda v: product(v) - shift * v, n) + shift
    return (other, one) if one <= 0 < other else (one, other)


def beyond(gaps, residuals, log_betas, log_component, high):
    """How far out an eigenvalue can be: where the Lanczos polynomials, the last of which has roots at these distances, reach
    1/component together."""
    def exceeds(distance):
        others = ((residuals / (gaps + distance)) ** 2).sum()
        return np.log(gaps + distance).sum() - log_betas + np.log1p(others) / 2 > -log_component

    low = 0.0
    while not exceeds(high):
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if exceeds(middle) else (middle, high)
    return high


def lanczos(product, n, tolerance, seed, most=200):
    """Both ends from one Lanczos process as lsrun's hessian.Extremes: float64, full reorthogonalisation, one random start,
    until residuals and intervals (with probability 0.99) are within the tolerance. The basis is never cut back."""
    w = np.random.default_rng(seed).standard_normal(n)
    beta = np.linalg.norm(w)
    log_component = np.log(0.005 * np.sqrt(np.pi / 2 / n))
    basis, h = np.empty((most, n)), np.zeros((most, most))
    log_betas = magnitude = asymmetry = expected = 0.0
    for m in range(1, most + 1):
        np.divide(w, beta, out=basis[m - 1])
        v = basis[:m]
        w = product(v[-1]).astype(np.float64)
        magnitude = max(magnitude, np.linalg.norm(w))
        c = v @ w
        w -= c @ v
        again = v @ w
        w -= again @ v
        c += again
        coupling = np.zeros(m - 1)
        coupling[-1:] = expected
        asymmetry = max(asymmetry, np.linalg.norm(c[:-1] - coupling))
        h[:m, m - 1] = c
        values, s = np.linalg.eigh(h[:m, :m], UPLO="U")
        beta = expected = np.linalg.norm(w)
        if beta <= 1e-14 * magnitude:
            break  # the Krylov space is invariant
        log_betas += np.log(beta)
        bound = tolerance * np.abs(values).max()
        rounding = asymmetry + 1e-13 * magnitude
        residuals = beta * abs(s[-1])
        ends = (values[-1] - values, residuals[-1]), (values - values[0], residuals[0])
        if all(own <= bound and beyond(gaps, residuals, log_betas, log_component, magnitude) + 2 * rounding <= bound for gaps, own in ends):
            break
    return values[-1], values[0]


class Contender(torch_contender.Contender):
    def at(self, name):
        return os.path.join(self.folder, name)

    def batches(self, images):
        return [(self.images[i:i + BATCH], self.labels[i:i + BATCH]) for i in range(0, images, BATCH)]

    def anew(self, images):
        """A product as the paper's code has it: all of it anew each time, summed over the batches."""
        net, weights, criterion = self.net, [p for p in self.net.parameters() if p.dim() > 1], nn.CrossEntropyLoss()

        def product(vector):
            vectors = cut(vector, weights)
            net.zero_grad()
            for inputs, targets in self.batches(images):
                gradients = torch.autograd.grad(criterion(net(inputs), targets), weights, create_graph=True)
                total = torch.zeros(1)
                for g, v in zip(gradients, vectors):
                    total = total + (g * v).sum()
                total.backward()
            return flat([p.grad for p in weights])

        return product

    def kept(self, net, batches):
        """A product as it is fastest: the gradient's graph is built once, and without the other parameters. The batches' mean."""
        for p in net.parameters():
            p.requires_grad_(p.dim() > 1)
        weights, criterion = [p for p in net.parameters() if p.requires_grad], nn.CrossEntropyLoss()
        gradients = [torch.autograd.grad(criterion(net(x), y), weights, create_graph=True) for x, y in batches]

        def product(vector):
            vectors, total = cut(vector, weights), 0
            for g in gradients:
                total = total + flat(torch.autograd.grad(g, weights, vectors, retain_graph=True))
            return total / len(gradients)

        return product

    def wanted(self):
        """A product that the other side makes."""
        def product(vector):
            vector.astype(np.float64).tofile(self.at("vector.f64"))
            print(json.dumps({"wants": True}), file=sys.__stdout__, flush=True)
            sys.stdin.readline()
            return np.fromfile(self.at("product.f64")).astype(np.float32)

        return product

    def timed(self, prepare, find, scale):
        start, processor = time.perf_counter(), time.process_time()
        product = Timed(prepare())
        largest, smallest = find(product, sum(p.numel() for p in self.net.parameters() if p.dim() > 1))
        return {"largest": float(largest) * scale, "smallest": float(smallest) * scale, "products": product.count,
                "in_products": product.seconds, "seconds": time.perf_counter() - start, "processor": time.process_time() - processor}

    @torch.enable_grad()
    def eigsh(self, images):
        return self.timed(lambda: self.anew(images), paper, 1 / len(self.batches(images)))

    @torch.enable_grad()
    def lanczos(self, images, tolerance, seed):
        return self.timed(lambda: self.kept(self.net, self.batches(images)), lambda product, n: lanczos(product, n, tolerance, seed), 1)

    def count(self):
        return self.timed(self.wanted, paper, 1)

    @torch.enable_grad()
    def product(self, images):
        product = self.kept(self.copy().double(), [(self.images[:images].double(), self.labels[:images])])
        product(np.fromfile(self.at("vector.f64"))).tofile(self.at("product.f64"))
        return {}

    def plane(self, directions, surface):
        import h5py

        with h5py.File(directions, "r") as f:
            for axis in "xy":
                group = f[axis + "direction"]
                np.concatenate([group[str(i)][()].ravel() for i in range(len(group))]).astype(np.float32).tofile(self.at(axis + ".f32"))
        with h5py.File(surface, "r") as f:
            return {name: f[name][()].ravel().tolist() for name in ("xcoordinates", "ycoordinates", "max_eig", "min_eig")}

    def version(self):
        said = super().version()
        said["libraries"] = ["SciPy " + scipy.__version__] + [x for x in said["libraries"] if not x.startswith("linalg/")]
        return said


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    torch_contender.answer(Contender(sys.argv[1]))
