"""Other people's ways to sample the reference WaveNet, each written as well as we can.

Each is a class: built for a number of streams, then asked for steps. All keep the past
of every layer, so that a step costs the same however long the past is, and all use the
same weights. `products` is no sampler: it multiplies matrices, as many as a step has.
"""

from __future__ import annotations

import numpy as np

DILATIONS = tuple(2**power for power in range(8)) * 3
RESIDUAL, GATE, SKIP, HEAD, CLASSES = 64, 64, 128, 128, 256
MULTIPLICATIONS = (
    len(DILATIONS) * (2 * RESIDUAL * 2 * GATE + GATE * (RESIDUAL + SKIP))
    + SKIP * HEAD
    + HEAD * CLASSES
)
"""Of the reference network, for a sample: 737,280."""


def weights(seed: int = 0) -> dict:
    """The reference network, float32, drawn at random; matrices are [inputs, outputs]."""
    random = np.random.default_rng(seed)

    def normal(*shape, fan_in=None, gain=1.0):
        spread = gain / np.sqrt(fan_in or shape[-2])
        return (random.normal(size=shape) * spread).astype(np.float32)

    count = len(DILATIONS)
    return {
        "enter": normal(CLASSES, RESIDUAL, fan_in=1),
        "gate": normal(count, 2 * RESIDUAL, 2 * GATE),
        "gate_bias": normal(count, 2 * GATE, fan_in=100),
        "out": normal(count, GATE, RESIDUAL + SKIP, gain=0.3),
        "head": normal(SKIP, HEAD),
        "head_bias": np.zeros(HEAD, np.float32),
        "last": normal(HEAD, CLASSES),
        "last_bias": np.zeros(CLASSES, np.float32),
    }


class Numpy:
    """NumPy, one thread of its BLAS."""

    def __init__(self, streams: int):
        self.w, self.random = weights(), np.random.default_rng(1)
        self.pasts = [np.zeros([d, streams, RESIDUAL], np.float32) for d in DILATIONS]
        self.joined = np.zeros([streams, 2 * RESIDUAL], np.float32)
        self.classes, self.now = np.full(streams, CLASSES // 2), 0

    def run(self, steps: int) -> None:
        w = self.w
        for _ in range(steps):
            h = w["enter"][self.classes]
            skip = np.zeros([len(h), SKIP], np.float32)
            for layer, past in enumerate(self.pasts):
                slot = past[self.now % len(past)]
                self.joined[:, :RESIDUAL], self.joined[:, RESIDUAL:] = slot, h
                slot[...] = h
                z = self.joined @ w["gate"][layer]
                z += w["gate_bias"][layer]
                # A sigmoid is half a tanh: one call for both halves.
                z[:, GATE:] *= 0.5
                np.tanh(z, out=z)
                z[:, GATE:] += 1
                out = (z[:, :GATE] * z[:, GATE:]) @ (0.5 * w["out"][layer])
                h = h + out[:, :RESIDUAL]
                skip += out[:, RESIDUAL:]
            hidden = np.maximum(skip, 0) @ w["head"] + w["head_bias"]
            logits = np.maximum(hidden, 0) @ w["last"] + w["last_bias"]
            upto = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
            wanted = self.random.random([len(h), 1], np.float32) * upto[:, -1:]
            self.classes = np.minimum((upto <= wanted).sum(axis=1), CLASSES - 1)
            self.now += 1


class Torch:
    """PyTorch eager: in place, nothing allocated twice, no gradients."""

    def __init__(self, streams: int):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.w = {name: torch.from_numpy(x) for name, x in weights().items()}
        self.pasts = [torch.zeros(d, streams, RESIDUAL) for d in DILATIONS]
        self.skip = torch.zeros(streams, SKIP)
        self.classes = torch.full([streams], CLASSES // 2)
        self.now = 0
        self.layers = [
            (
                self.w["gate"][layer][:RESIDUAL].contiguous(),
                self.w["gate"][layer][RESIDUAL:].contiguous(),
                self.w["gate_bias"][layer],
                self.w["out"][layer],
            )
            for layer in range(len(DILATIONS))
        ]

    def run(self, steps: int) -> None:
        torch, w = self.torch, self.w
        with torch.inference_mode():
            for _ in range(steps):
                h = w["enter"][self.classes]
                skip = self.skip.zero_()
                for past, layer in zip(self.pasts, self.layers, strict=True):
                    before, here, bias, out = layer
                    slot = past[self.now % len(past)]
                    z = torch.addmm(bias, slot, before)
                    z.addmm_(h, here)
                    slot.copy_(h)
                    first, second = z.chunk(2, dim=1)
                    given = torch.mm(first.tanh().mul_(second.sigmoid_()), out)
                    h = h + given[:, :RESIDUAL]
                    skip.add_(given[:, RESIDUAL:])
                hidden = torch.addmm(w["head_bias"], skip.relu_(), w["head"]).relu_()
                logits = torch.addmm(w["last_bias"], hidden, w["last"])
                chances = torch.softmax(logits, dim=1)
                self.classes = torch.multinomial(chances, 1)[:, 0]
                self.now += 1


class Onnx:
    """ONNX Runtime: one graph for a step; pasts go in and the new ones come out."""

    def __init__(self, streams: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            _step_graph(streams).SerializeToString(), options
        )
        self.random = np.random.default_rng(1)
        self.pasts = [np.zeros([d, streams, RESIDUAL], np.float32) for d in DILATIONS]
        self.classes, self.now = np.full(streams, CLASSES // 2, np.int64), 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            slots = [past[self.now % len(past)] for past in self.pasts]
            names = {f"past{layer}": slot for layer, slot in enumerate(slots)}
            upto, *heard = self.session.run(None, {"classes": self.classes} | names)
            for slot, h in zip(slots, heard, strict=True):
                slot[...] = h
            wanted = self.random.random([len(upto), 1], np.float32) * upto[:, -1:]
            self.classes = np.minimum((upto <= wanted).sum(axis=1), CLASSES - 1)
            self.now += 1


class Vocoder:
    """r9y9's wavenet_vocoder, its `incremental_forward`, one thread of PyTorch.

    Several streams it can only feed with what the softmax gave, undrawn, which saves it
    the draw.
    """

    def __init__(self, streams: int):
        import torch

        torch.set_num_threads(1)
        self.torch, self.net = torch, vocoder().eval()
        first = torch.zeros(streams, CLASSES, 1)
        first[:, CLASSES // 2] = 1
        self.asked = {"test_inputs": first, "quantize": streams == 1}

    def run(self, steps: int) -> None:
        with self.torch.inference_mode():
            self.net.incremental_forward(T=steps, **self.asked)


def vocoder():
    """The reference network as wavenet_vocoder builds it, at its fastest."""
    import warnings

    # It is of 2018: what it calls still works and is called deprecated.
    warnings.simplefilter("ignore", FutureWarning)
    from wavenet_vocoder import WaveNet

    return WaveNet(
        out_channels=CLASSES,
        layers=len(DILATIONS),
        stacks=3,
        residual_channels=RESIDUAL,
        gate_channels=2 * GATE,
        skip_out_channels=SKIP,
        kernel_size=2,
        dropout=0.0,
        weight_normalization=False,
        legacy=False,
    )


def _step_graph(streams: int):
    from onnx import TensorProto, helper, numpy_helper

    kept, nodes = {}, []

    def add(kind, *inputs, out, **options):
        nodes.append(helper.make_node(kind, inputs, [out], **options))
        return out

    def keep(name, value):
        kept[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    w = weights()
    h = add("Gather", keep("enter", w["enter"]), "classes", out="h0")
    axis = keep("axis", np.int64(1))
    skips = []
    halves = keep("halves", np.array([GATE, GATE]))
    ways = keep("ways", np.array([RESIDUAL, SKIP]))
    heard = []
    for layer in range(len(DILATIONS)):
        heard.append(h)
        n = str(layer)
        joined = add("Concat", "past" + n, h, out="joined" + n, axis=1)
        z = add(
            "Gemm",
            joined,
            keep("gate" + n, w["gate"][layer]),
            keep("gate_bias" + n, w["gate_bias"][layer]),
            out="z" + n,
        )
        half = ["first" + n, "second" + n]
        nodes.append(helper.make_node("Split", [z, halves], half, axis=1))
        first = add("Tanh", half[0], out="tanh" + n)
        second = add("Sigmoid", half[1], out="sigmoid" + n)
        gated = add("Mul", first, second, out="gated" + n)
        given = add("MatMul", gated, keep("out" + n, w["out"][layer]), out="given" + n)
        two = ["on" + n, "skip" + n]
        nodes.append(helper.make_node("Split", [given, ways], two, axis=1))
        h = add("Add", h, two[0], out=f"h{layer + 1}")
        skips.append(two[1])
    skip = add("Relu", add("Sum", *skips, out="skips"), out="loud")
    hidden = add(
        "Gemm",
        skip,
        keep("head", w["head"]),
        keep("head_bias", w["head_bias"]),
        out="hidden",
    )
    hidden = add("Relu", hidden, out="rectified")
    logits = add(
        "Gemm",
        hidden,
        keep("last", w["last"]),
        keep("last_bias", w["last_bias"]),
        out="logits",
    )
    add("CumSum", add("Softmax", logits, out="chances"), axis, out="upto")

    def value(name, kind, *shape):
        return helper.make_tensor_value_info(name, kind, shape)

    number = TensorProto.FLOAT
    inputs = [value("classes", TensorProto.INT64, streams)]
    for layer in range(len(DILATIONS)):
        inputs.append(value(f"past{layer}", number, streams, RESIDUAL))
    outputs = [value("upto", number, streams, CLASSES)]
    outputs += [value(name, number, streams, RESIDUAL) for name in heard]
    graph = helper.make_graph(nodes, "step", inputs, outputs, list(kept.values()))
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


class Products:
    """The ceiling: float32 products of 256x128x256, as many as a step has."""

    ROWS = 256

    def __init__(self, streams: int):
        random = np.random.default_rng(0)
        self.a = random.normal(size=[self.ROWS, 128]).astype(np.float32)
        self.b = random.normal(size=[128, 256]).astype(np.float32)
        self.out = np.zeros([self.ROWS, 256], np.float32)
        self.streams = streams

    def run(self, steps: int) -> None:
        wanted = steps * self.streams * MULTIPLICATIONS
        for _ in range(max(1, round(wanted / (self.ROWS * 128 * 256)))):
            np.matmul(self.a, self.b, out=self.out)


PEERS = {
    "numpy": Numpy,
    "torch": Torch,
    "onnxruntime": Onnx,
    "wavenet_vocoder": Vocoder,
    "products": Products,
}
