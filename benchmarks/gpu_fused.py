"""The kernel for GPUs on the reference network: is it right, and how fast? Part of `gpu.py`.

What is timed is `fused.step`, kernel and all that is computed before it, for as many
streams as the program is made for; tiles that nobody needs rest, as they do when songs
are sampled. The same with all tiles at rest tells what the kernel alone takes.
"""

from __future__ import annotations

import statistics
import time

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from sampling import reference

from hierarchy.micro import conditions, fused, sampling
from hierarchy.micro.fused_kernel import WARPS, Program
from hierarchy.micro.fused_packing import PRECISIONS, Sizes, pack

# Streams that a program is made for, its tile, streams that are timed, and warps.
EVERY = (1, 64, 256, 1024, 2048)
TRIED = [
    *((precision, 2048, 16, EVERY) for precision in PRECISIONS),
    ("float32", 16_384, 16, (16_384,)),
    ("tensorfloat32", 16_384, 32, (16_384,)),
    ("bfloat16", 16_384, 32, (16_384,)),
    ("bfloat16", 16_384, 64, (16_384,)),
    ("float32", 4096, 16, (4096,)),
    ("tensorfloat32", 4096, 32, (4096,)),
    ("bfloat16", 4096, 32, (4096,)),
    ("tensorfloat32", 8448, 32, (8448,)),
    ("bfloat16", 8448, 64, (8448,)),
    # Half as many threads wait less for each other, and hide less.
    ("bfloat16", 2048, 16, (1, 2048), 4),
    ("tensorfloat32", 2048, 16, (1, 2048), 4),
]
SMALL = [("float32", 16, 16, (1,))]
ALIKE = 16  # streams that are compared with plain JAX


def measure(small: bool):
    """First the samples, then the speed; what has been found after each figure."""
    net = reference()
    wanted = drawn_by_jax(net)
    found = {"alike": [], "rows": []}
    for precision in PRECISIONS[:1] if small else PRECISIONS:
        found["alike"].append(
            {"precision": precision} | compare(net, precision, wanted)
        )
        yield found
    for precision, streams, tile, timed, *warps in SMALL if small else TRIED:
        kernel = Kernel(net, precision, streams, tile, *warps)
        began = time.perf_counter()
        kernel.run(0)
        compiled = time.perf_counter() - began
        rounds = 1 if small else 5
        rest = kernel.seconds(0, rounds)
        for active in timed:
            taken = kernel.seconds(active, rounds)
            row = {
                "precision": precision,
                "streams": active,
                "tile": tile,
                "warps": kernel.warps,
                "steps_per_second": kernel.steps / taken,
                "samples_per_second": kernel.steps / taken * active,
                "microseconds_a_step_of_the_kernel": 1e6
                * (taken - rest)
                / kernel.steps,
                "seconds_to_compile": compiled,
            }
            found["rows"].append(row)
            print(
                f"  {precision:13s} {active:6d} streams, tiles of {tile} by"
                f" {kernel.warps} warps:"
                f" {row['steps_per_second']:10,.0f} steps a second,"
                f" {row['samples_per_second']:13,.0f} samples; a step of the kernel"
                f" {row['microseconds_a_step_of_the_kernel']:.1f} µs;"
                f" compiled in {compiled:.1f} s",
                flush=True,
            )
            yield found


class Kernel:
    """One program of the kernel, and its state."""

    def __init__(
        self, net, precision: str, streams: int, tile: int, warps: int | None = None
    ):
        here, self.tile = jax.local_devices()[0], tile
        interpret = here.platform != "gpu"
        room = 99 if interpret else fused.shared_kilobytes(here)
        self.warps = warps or WARPS[tile]
        program = Program(
            Sizes.of(net.config), tile, precision, room, interpret, self.warps
        )
        graph, weights = nnx.split(net)
        self.steps, self.tiles = net.config.steps_per_frame, streams // tile
        self.fixed = graph, program, Mesh(np.array([here]), ("grains",))
        self.weights = weights, pack(net, precision)
        self.state = fused.FusedState.silence(program, streams)
        self.asked = asked(net, streams)

    def run(self, active: int):
        """A frame more of the first streams: what was drawn."""
        count = np.int32(np.arange(self.tiles) * self.tile < active)
        out, self.state = fused.step(
            *self.fixed, *self.weights, self.state, *self.asked, 1.0, count
        )
        return jax.block_until_ready(out)

    def seconds(self, active: int, rounds: int) -> float:
        """Median of some frames."""
        self.run(active)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            self.run(active)
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def asked(net, streams: int):
    """A frame of noise as sketch and conditions, styles and keys."""
    random, wide = np.random.default_rng(0), conditions.width(net.config.bands)
    steps = net.config.steps_per_frame
    sketch = random.normal(size=[streams, 1 + steps + 1, net.config.bands])
    keys = jax.vmap(jax.random.key)(np.arange(streams, dtype=np.uint32))
    return jax.device_put(
        (
            np.float32(sketch),
            np.float32(random.normal(size=[streams, 1 + 1 + 1, wide])),
            np.zeros(streams, np.int32),
            keys,
        )
    )


def drawn_by_jax(net) -> np.ndarray:
    """The first frame of some streams, products in float32."""
    with jax.default_matmul_precision("float32"):
        out, _ = sampling.step(
            *(nnx.split(net)[0], 4, nnx.split(net)[1]),
            sampling.SamplerState.silence(net, ALIKE),
            *asked(net, ALIKE),
            1.0,
        )
    return np.asarray(out)


def compare(net, precision: str, wanted: np.ndarray) -> dict:
    """How far the kernel draws what plain JAX draws.

    A draw on the border of two classes may fall on either side of it, after which a
    stream goes its own way: seldom in float32, sooner with fewer bits.
    """
    drawn = np.asarray(Kernel(net, precision, ALIKE, ALIKE).run(ALIKE))
    same = (np.abs(drawn - wanted) < 1e-3).all(axis=2)
    until = float(same.cumprod(axis=1).sum(axis=1).mean())
    right = precision != "float32" or until > 0.9 * same.shape[1]
    print(
        f"  {precision:13s} {'draws' if right else 'DOES NOT DRAW'} the samples of plain"
        f" JAX: {ALIKE} streams agree for {until:.0f} of {same.shape[1]} steps on average"
        f" before they part, {same.mean():.2%} of all samples are equal",
        flush=True,
    )
    equal = float(same.mean())
    return {"right": right, "steps": until, "of": same.shape[1], "equal": equal}
