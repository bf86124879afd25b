"""PyTorch on an NVIDIA card as a contender of lsrun's bench: as torch_contender.py, with other variants.

usage: torch_gpu.py DIR

eager is as the paper's code has it; graph is channels_last in CUDA graphs, compiled is torch.compile of that; each with
TF32 (_tf32: PyTorch's own default, for convolutions only) or without (_fp32). Images and labels lie on the card.
"""

import sys
import time

import torch
import torch.nn as nn

import torch_contender


class Contender(torch_contender.Contender):
    BATCH = 2048  # of what is compiled

    def __init__(self, folder):
        super().__init__(folder)
        self.device = torch.device("cuda")
        self.on_card = self.images.to(self.device)
        self.labels = self.labels.to(self.device)
        self.graphs = {}

    def variant(self, name):
        """The network and its images; sets how the card computes."""
        way, precision = name.rsplit("_", 1)
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = False if precision == "fp32" or way == "eager" else True
        torch.backends.cudnn.benchmark = way != "eager"
        if name not in self.variants:
            net, pixels = self.copy().to(self.device), self.on_card
            if way != "eager" and pixels.dim() == 4:
                net, pixels = net.to(memory_format=torch.channels_last), pixels.contiguous(memory_format=torch.channels_last)
            if way == "compiled":
                net = torch.compile(net, dynamic=False)
            self.variants[name] = net, pixels
        return self.variants[name]

    def replay(self, name, batch):
        """A CUDA graph over a batch that adds its loss and its hits to two sums."""
        if (name, batch) not in self.graphs:
            net, pixels = self.variant(name)
            x, y = pixels[:batch].clone(), self.labels[:batch].clone()
            sums = torch.zeros(2, device=self.device, dtype=torch.float64)
            criterion = nn.CrossEntropyLoss()

            def step():
                outputs = net(x)
                sums[0] += criterion(outputs, y).double() * batch
                sums[1] += outputs.max(1)[1].eq(y).sum()

            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream), torch.no_grad():
                for _ in range(3):
                    step()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.no_grad(), torch.cuda.graph(graph):
                step()
            self.graphs[name, batch] = graph, x, y, sums
        return self.graphs[name, batch]

    def run(self, variant, batch, images, passes):
        if variant.startswith("eager"):
            self.variant(variant)
            torch.cuda.synchronize()
            return super().run(variant, batch, images, passes)
        _, pixels = self.variant(variant)
        graph, x, y, sums = self.replay(variant, batch)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(passes):
            sums.zero_()
            for first in range(0, images - batch + 1, batch):
                x.copy_(pixels[first:first + batch])
                y.copy_(self.labels[first:first + batch])
                graph.replay()
            sums.tolist()
        return {"seconds": time.perf_counter() - start}

    def doubled(self, variant, batch, images, parameters):
        """The product of the Hessian of the mean loss with vectors, by double backward, batch by batch as the paper's code has it."""
        net, pixels = self.variant(variant)
        criterion = nn.CrossEntropyLoss()

        def product(vectors):
            total = [torch.zeros_like(p) for p in parameters]
            for first in range(0, images, batch):
                end = min(first + batch, images)
                loss = criterion(net(pixels[first:end]), self.labels[first:end]) * ((end - first) / images)
                gradient = torch.autograd.grad(loss, parameters, create_graph=True)
                for t, p in zip(total, torch.autograd.grad(gradient, parameters, grad_outputs=vectors)):
                    t += p
            return torch.cat([t.flatten() for t in total]).cpu().double()

        return product

    @torch.enable_grad()
    def product(self, variant, batch, images, passes):
        """With a vector of ones."""
        parameters = list(self.variant(variant)[0].parameters())
        ones = [torch.ones_like(p) for p in parameters]
        once = self.doubled(variant, batch, images, parameters)
        for _ in range(2):
            once(ones)
        start = time.perf_counter()
        for _ in range(passes):
            product = once(ones)
        return {"seconds": (time.perf_counter() - start) / passes, "norm": product.norm().item(), "along": product.sum().item()}

    @torch.enable_grad()
    def pair(self, variant, batch, images, passes):
        """Both ends of the spectrum as the paper's code finds them."""
        import torch_hessian

        weights = [p for p in self.variant(variant)[0].parameters() if p.dim() > 1]
        doubled = self.doubled(variant, batch, images, weights)
        product = torch_hessian.Timed(lambda vector: doubled([v.to(self.device) for v in torch_hessian.cut(vector, weights)]).numpy())
        start = time.perf_counter()
        largest, smallest = torch_hessian.paper(product, sum(p.numel() for p in weights))
        return {"seconds": time.perf_counter() - start, "products": product.count, "largest": float(largest), "smallest": float(smallest)}

    def logits(self, images, variant=None):
        if not variant:
            return super().logits(images)
        net, pixels = self.variant(variant)
        shown = self.BATCH if variant.startswith("compiled") else images  # to compile once
        return {"logits": net(pixels[:shown])[:images].flatten().tolist()}

    def version(self):
        libraries = [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}", torch.cuda.get_device_name()]
        return {"version": torch.__version__, "libraries": libraries + [self.peaks()]}

    def peaks(self):
        """What the card can do: cuBLAS's rates with large matrices, of random numbers."""
        n, rates = 8192, []
        for name, dtype, tf32 in ("float32", torch.float32, False), ("TF32", torch.float32, True), ("float16", torch.float16, False):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a, b = torch.randn(2, n, n, device=self.device, dtype=dtype)
            times = []
            for _ in range(6):
                torch.cuda.synchronize()
                start = time.perf_counter()
                a @ b
                torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            rates.append(f"{name} {2e-12 * n**3 / min(times):.0f}")
        return f"cuBLAS's products of {n} by {n} matrices, TFLOP/s: " + ", ".join(rates)


if __name__ == "__main__":
    torch_contender.answer(Contender(sys.argv[1]))
