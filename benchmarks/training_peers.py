"""How fast the reference WaveNet trains: ours, other people's, and the ceiling, in turns.

    python benchmarks/training_peers.py [--threads 2] [--rounds 5] [--json OUT.json]

The reference network of `sampling.py`, 8 windows of 8,192 samples a step, Adam. Ours is
the package's training step (`hierarchy.training.stepping`), with its clipping, running
mean of the weights and schedule. PyTorch takes part where it is installed: eager, dilated
convolutions, Adam alone; so does wavenet_vocoder (`pip install --no-deps
wavenet_vocoder`), as its author wrote the network. `products` are float32 matrix products
of 1024 by 1024 with as many multiplications as a step has, three times those of the
forward pass: the ceiling.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import time
from pathlib import Path

from sampling_peers import (
    CLASSES,
    DILATIONS,
    GATE,
    HEAD,
    MULTIPLICATIONS,
    RESIDUAL,
    SKIP,
)
from turns import Contestant, cores

WINDOWS, LONG = 8, 8192
FLOPS = 6 * MULTIPLICATIONS  # a sample: forward, and twice that backward


class Ours:
    """The package's own training step."""

    def __init__(self, threads: int):
        import jax
        import numpy as np
        from flax import nnx

        from hierarchy.devices import keep_compiled_programs, use_all_cores

        keep_compiled_programs()
        use_all_cores(most=threads)
        from sampling import reference

        from hierarchy.micro import conditions
        from hierarchy.training.additive import Additive
        from hierarchy.training.fitting import FitConfig
        from hierarchy.training.stepping import Devices, Stepper

        model, random = reference(), np.random.default_rng(0)
        likelihood, wide = model.config.likelihood, conditions.width(1)

        def sums(model, batch, keys):
            asked = jax.numpy.zeros([len(batch), LONG // 512, wide])
            style = jax.numpy.zeros([len(batch)], jax.numpy.int32)
            parameters = model(batch, 0 * batch, asked, style)
            nats = -likelihood.log_likelihood(parameters, batch)
            return {"loss": (nats.sum(), jax.numpy.float32(nats.size))}

        loss = Additive(sums)
        fitting = FitConfig(steps=1_000_000)
        devices = Devices.all()
        self.stepper = Stepper(
            model,
            loss,
            validation_loss=loss,
            optimizer=fitting.optimizer(),
            schedule=fitting.schedule(),
            ema_decay=fitting.ema_decay,
            seed=0,
            trainable=nnx.Param,
            devices=devices,
        )
        self.state, self.flag = self.stepper.start(), devices.flag(0)
        shape = likelihood.values()[random.integers(CLASSES, size=[WINDOWS, LONG, 1])]
        self.batch, self.jax = devices.place(shape), jax

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.state, told = self.stepper.step(self.state, self.batch, self.flag)
        self.jax.block_until_ready(told)


class Torch:
    """PyTorch eager, [batch, channels, time], dilated convolutions."""

    def __init__(self, threads: int):
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        self.torch = torch
        torch.manual_seed(0)
        self.enter = nn.Embedding(CLASSES, RESIDUAL)
        self.gates = nn.ModuleList(
            nn.Conv1d(RESIDUAL, 2 * GATE, 2, dilation=d) for d in DILATIONS
        )
        self.outs = nn.ModuleList(
            nn.Conv1d(GATE, RESIDUAL + SKIP, 1, bias=False) for _ in DILATIONS
        )
        self.head, self.last = nn.Conv1d(SKIP, HEAD, 1), nn.Conv1d(HEAD, CLASSES, 1)
        parts = (self.enter, self.gates, self.outs, self.head, self.last)
        self.optimizer = torch.optim.Adam([p for x in parts for p in x.parameters()])
        self.classes = torch.randint(CLASSES, [WINDOWS, LONG + 1])

    def run(self, steps: int) -> None:
        functional = self.torch.nn.functional
        for _ in range(steps):
            h = self.enter(self.classes[:, :-1]).transpose(1, 2)
            skip = 0
            for gate, out in zip(self.gates, self.outs, strict=True):
                z = gate(functional.pad(h, (gate.dilation[0], 0)))
                given = out(z[:, :GATE].tanh() * z[:, GATE:].sigmoid())
                h = h + given[:, :RESIDUAL]
                skip = skip + given[:, RESIDUAL:]
            logits = self.last(self.head(skip.relu()).relu())
            loss = functional.cross_entropy(logits, self.classes[:, 1:])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


class Vocoder:
    """r9y9's wavenet_vocoder, and Adam."""

    def __init__(self, threads: int):
        import torch
        from sampling_peers import vocoder

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch, self.net = torch, vocoder()
        self.optimizer = torch.optim.Adam(self.net.parameters())
        classes = torch.randint(CLASSES, [WINDOWS, LONG + 1])
        one_hot = torch.nn.functional.one_hot(classes[:, :-1], CLASSES)
        self.past, self.following = one_hot.float().transpose(1, 2), classes[:, 1:]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            logits = self.net(self.past)
            loss = self.torch.nn.functional.cross_entropy(logits, self.following)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


class Products:
    """The ceiling."""

    def __init__(self, threads: int):
        import numpy as np

        self.np, side = np, 1024
        self.a = np.random.default_rng(0).normal(size=[side, side]).astype(np.float32)
        self.times = round(WINDOWS * LONG * FLOPS / (2 * side**3))

    def run(self, steps: int) -> None:
        for _ in range(steps * self.times):
            self.np.matmul(self.a, self.a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    names = {"macrotime": "Ours", "torch": "Torch", "wavenet_vocoder": "Vocoder"}
    for name in ("torch", "wavenet_vocoder"):
        if not all(map(importlib.util.find_spec, {name, "torch"})):
            print(f"{name} is not installed and takes no part")
            del names[name]
    names["products"] = "Products"
    bound = cores(asked.threads)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(len(bound))
    everyone = {
        name: Contestant("training_peers", kind, [({"threads": len(bound)}, bound)])
        for name, kind in names.items()
    }
    for _ in range(asked.rounds):
        for one in everyone.values():
            one.turn()
    for one in everyone.values():
        one.end()
    print(f"{platform.platform()}, {len(bound)} threads, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'who':15s} {'samples a second':>17} {'GFLOP/s':>8} {'of products':>12} {'MB':>6}"
    )
    rows = {}
    for name, one in everyone.items():
        rate = one.amount * WINDOWS * LONG / statistics.median(one.turns)
        rows[name] = {"samples_per_second": rate, "gigaflops": rate * FLOPS / 1e9}
        rows[name]["megabytes"] = one.bytes / 1e6
    most = rows["products"]["gigaflops"]
    for name, row in rows.items():
        print(
            f"{name:15s} {row['samples_per_second']:17,.0f} {row['gigaflops']:8.0f}"
            f" {row['gigaflops'] / most:12.0%} {row['megabytes']:6.0f}"
        )
    if asked.json:
        about = {"date": time.strftime("%Y-%m-%d"), "machine": platform.platform()}
        asked.json.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
