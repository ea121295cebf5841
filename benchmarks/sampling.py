"""How fast WaveNets are sampled: ours, other people's, and the ceiling.

    python benchmarks/sampling.py [--streams 1 64 256] [--threads 1 2] [--rounds 5]
        [--who compiled torch products ...] [--network reference|default] [--json OUT]

The reference network: 24 layers, kernel 2, dilations 1 to 128 three times, residual 64,
gate 64 + 64, skip 128, two 1x1 output layers 128-128-256, a softmax over 256 classes, one
band, no conditions: 737,280 multiply-adds a sample. Ours is the sampler of the package,
`hierarchy.micro.sampling.sample`, from request to samples, set-up and threads included.
PyTorch, ONNX Runtime and wavenet_vocoder (`pip install --no-deps wavenet_vocoder`, beside
PyTorch) take part where they are installed.

Everyone lives in a process of their own, bound to as many cores as there are threads;
the others' streams are shared between as many processes of one thread, since their
threads over small products do worse. They take turns, round by round, so that whatever
else the machine does slows all alike; medians are told, and everything goes into the
JSON. `products` are NumPy's float32 matrix products of 256x128x256 on the same threads,
as many as the network has: a ceiling.

`--network default` samples the model that ships instead, in band steps; real time is
`sample_rate / bands` steps a second for each of two streams, middle and side.
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

from sampling_peers import CLASSES, DILATIONS, GATE, HEAD, PEERS, RESIDUAL, SKIP
from turns import Contestant, cores, one_thread_each

NEEDS = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "wavenet_vocoder": ("wavenet_vocoder", "torch"),
}
OURS = {
    "compiled": {"engine": "compiled"},
    "compiled float16": {"engine": "compiled", "precision": "float16"},
    "compiled int8": {"engine": "compiled", "precision": "int8"},
    "jax": {"engine": "jax"},
}


class Ours:
    """The package's own sampler, asked for whole frames."""

    def __init__(self, streams: int, *, network: str, threads: int, **options):
        import jax
        import numpy as np

        from hierarchy.devices import keep_compiled_programs, use_all_cores

        keep_compiled_programs()
        use_all_cores(most=threads)
        from hierarchy.micro import conditions, sampling

        self.net = reference() if network == "reference" else shipped()
        self.config, self.streams = self.net.config, streams
        self.threads, self.options = threads, options
        self.sample, self.np = sampling.sample, np
        self.wide = conditions.width(self.config.bands)
        self.keys = jax.vmap(jax.random.key)(np.arange(streams, dtype=np.uint32))
        self.least = self.config.steps_per_frame

    def run(self, steps: int) -> None:
        np, bands = self.np, self.config.bands
        frames = steps // self.least
        self.sample(
            self.net,
            np.zeros([self.streams, steps, bands], np.float32),
            np.zeros([self.streams, frames, self.wide], np.float32),
            np.zeros(self.streams, np.int32),
            self.keys,
            threads=self.threads,
            **self.options,
        )


def reference():
    """The reference network as a configuration of the package's own."""
    from flax import nnx

    from hierarchy.micro.wavenet import WaveNet, WaveNetConfig

    config = WaveNetConfig(
        sample_rate=16_000,
        bands=1,
        residual=RESIDUAL,
        gate=GATE,
        skip=SKIP,
        head=HEAD,
        context=1,
        style=1,
        dilations=DILATIONS,
        linear=1,
        classes=CLASSES,
    )
    return WaveNet(config, rngs=nnx.Rngs(0))


def shipped():
    """The default grain model's network."""
    from hierarchy.micro.grains import GrainModel

    return GrainModel.default().net


def contestant(who: str, streams: int, threads: int, network: str) -> Contestant:
    """Ours in one process with all threads; others in one process a thread."""
    bound = cores(threads)
    if who in OURS:
        options = {"network": network, "threads": threads, **OURS[who]}
        return Contestant("sampling", "Ours", [({"streams": streams} | options, bound)])
    count = min(threads, streams)
    shares = [streams // count + (place < streams % count) for place in range(count)]
    shards = [
        ({"streams": share}, [core]) for share, core in zip(shares, bound, strict=False)
    ]
    return Contestant("sampling_peers", PEERS[who].__name__, shards)


def measure(who: list[str], streams: int, threads: int, asked) -> list[dict]:
    """All contestants with as many streams and threads, in turns."""
    everyone = {name: contestant(name, streams, threads, asked.network) for name in who}
    for _ in range(asked.rounds):
        for one in everyone.values():
            one.turn()
    for one in everyone.values():
        one.end()
    return [
        {
            "who": name,
            "streams": streams,
            "threads": threads,
            "samples_per_second": one.amount * streams / statistics.median(one.turns),
            "slowest": one.amount * streams / max(one.turns),
            "fastest": one.amount * streams / min(one.turns),
            "steps_a_turn": one.amount,
            "megabytes": one.bytes / 1e6,
        }
        for name, one in everyone.items()
    ]


def able(name: str) -> bool:
    """Whether what a contestant needs is installed."""
    return all(importlib.util.find_spec(need) for need in NEEDS.get(name, ()))


def main() -> None:
    one_thread_each()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    everyone = [*OURS, *PEERS]
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--who", nargs="+", choices=everyone, metavar="WHO")
    parser.add_argument(
        "--network", choices=["reference", "default"], default="reference"
    )
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    chosen = asked.who or (everyone if asked.network == "reference" else list(OURS))
    who = [name for name in chosen if able(name)]
    for name in set(chosen) - set(who):
        print(f"{name} is not installed and takes no part")
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    unit = "samples" if asked.network == "reference" else "band steps"
    print(
        f"{'threads':>7} {'streams':>7}  {'who':18s} {unit + ' a second':>20} ", end=""
    )
    print(f"{'slowest':>10} {'fastest':>10} {'of products':>11} {'MB':>7}")
    rows = []
    for threads in asked.threads:
        for streams in asked.streams:
            some = measure(who, streams, threads, asked)
            best = {row["who"]: row["samples_per_second"] for row in some}
            for row in some:
                if "products" in best:
                    row["of_products"] = row["samples_per_second"] / best["products"]
                share = row.get("of_products")
                print(
                    f"{threads:7d} {streams:7d}  {row['who']:18s}"
                    f" {row['samples_per_second']:20,.0f}  {row['slowest']:10,.0f}"
                    f" {row['fastest']:10,.0f}"
                    f" {'' if share is None else f'{share:.0%}':>11}"
                    f" {row['megabytes']:7.0f}",
                    flush=True,
                )
            rows += some
    if asked.json:
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "network": asked.network,
        }
        asked.json.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
