"""How fast a grain model trains here, and how fast this machine could at all.

    python benchmarks/training.py [--config FILE.toml] [--rounds 8] [--json OUT.json]

Takes training steps and plain matrix products with as many multiplications in
turns, so that whatever else the machine is doing slows both alike, and prints
medians of the time on the clock, and of the time that processor cores were busy
(which means something on a CPU only, and there is what a busy machine leaves alone):

* step: what a training step costs the devices;
* loop: the same inside `fit`, with batches cut by threads, log and progress;
* input: cutting one batch by one thread, while the devices rest;
* narrow: products of the network's own widths, [steps, residual] by
  [residual, 2 gate], forth and back: a ceiling for this architecture;
* square: products of 1024 by 1024: a ceiling for this machine.

The sound is noise, whose price is that of music.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from hierarchy.material.features import HOP as FRAME
from hierarchy.micro import conditions
from hierarchy.micro.learning import GrainRecipe, LessonConfig, window_batches
from hierarchy.micro.lessons import Lesson
from hierarchy.micro.objective import training_loss
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from hierarchy.training.fitting import FitConfig, Progress, fit
from hierarchy.training.stepping import Devices, Stepper


def noise_lesson(config: WaveNetConfig, *, frames: int, seed: int) -> Lesson:
    """A recording of noise in every array that a lesson has."""
    random = np.random.default_rng(seed)
    drawn = (frames // 2 + 3, config.peaks)
    steps = frames * config.steps_per_frame
    return Lesson(
        name="noise",
        style=0,
        shape=random.normal(size=(1, steps, config.bands)).astype(np.float16),
        frames=random.normal(size=(1, frames, conditions.width(config.bands))).astype(
            np.float32
        ),
        levels=np.full([1, frames + 4, config.bands], 0.1, np.float32),
        frequency=random.uniform(50, 8000, drawn).astype(np.float32),
        amplitude=random.uniform(0, 0.1, (1, *drawn)).astype(np.float32),
        phase=random.uniform(-np.pi, np.pi, (1, *drawn)).astype(np.float32),
        rank=np.tile(np.arange(config.peaks, dtype=np.int16), (drawn[0], 1)),
    )


def multiplications(step: Callable, *args) -> float:
    """FLOPs of the matrix products and convolutions in what `step` computes."""
    return _count(jax.make_jaxpr(step)(*args).jaxpr)


def _count(jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        times = equation.params.get("length", 1)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            total += 2.0 * depth * equation.outvars[0].aval.size
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            outputs = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2.0 * kernel.size / outputs * equation.outvars[0].aval.size
        if equation.primitive.name == "shard_map":
            times = equation.params["mesh"].size  # of what each device does
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * _count(inner)
    return total


def square_products(flops: float, *, size: int = 1024) -> tuple[Callable, float]:
    """Products of square matrices, about `flops` of them; and how many exactly."""
    turns = max(1, round(flops / (2 * size**3)))
    a = jax.random.normal(jax.random.key(0), (size, size)) * size**-0.5

    @jax.jit
    def products(x):
        return jax.lax.fori_loop(0, turns, lambda _, x: x @ a, x)

    return lambda: products(a), turns * 2.0 * size**3


def narrow_products(
    flops: float, config: WaveNetConfig, *, rows: int
) -> tuple[Callable, float]:
    """Products of the network's widths over `rows` steps; and their FLOPs."""
    wide, deep = config.residual, 2 * config.gate
    each = 2 * 2.0 * rows * wide * deep
    turns = max(1, round(flops / each))
    a = jax.random.normal(jax.random.key(0), (wide, deep)) * wide**-0.5
    x = jax.random.normal(jax.random.key(1), (rows, wide))

    @jax.jit
    def products(x):
        return jax.lax.fori_loop(0, turns, lambda _, x: x @ a @ a.T, x)

    return lambda: products(x), turns * each


def seconds(work: Callable, *, repeats: int) -> tuple[float, float]:
    """Seconds on the clock, and busy core seconds, of one call waited for."""
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        result = work()
    jax.block_until_ready(result)
    passed, busy = time.perf_counter() - began, time.process_time() - busy
    return passed / repeats, busy / repeats


def measure(
    config: WaveNetConfig, lessons: LessonConfig, *, rounds: int, seconds_each: float
) -> dict:
    """All figures of one configuration, as what the JSON has."""
    fitting = FitConfig(steps=1_000_000, log_every=50, validate_every=1_000_000)
    batches = window_batches(
        [noise_lesson(config, frames=32 * lessons.frames, seed=0)],
        lessons,
        peaks=config.peaks,
        seed=0,
    )
    devices = Devices.all()
    model = WaveNet(config, rngs=nnx.Rngs(0))
    stepper = Stepper(
        model,
        training_loss,
        validation_loss=training_loss,
        optimizer=fitting.optimizer(),
        schedule=fitting.schedule(),
        ema_decay=fitting.ema_decay,
        seed=0,
        trainable=nnx.Param,
        devices=devices,
    )
    state, batch, flag = stepper.start(), devices.place(batches(0)), devices.flag(0)
    flops = multiplications(stepper.program(1), state, batch, flag)

    def step():
        nonlocal state
        state, scalars = stepper.step(state, batch, flag)
        return scalars

    cut = itertools.count()

    def cut_a_batch():
        batches(next(cut))
        return ()

    rows = lessons.batch_size * lessons.frames * config.steps_per_frame
    square, square_flops = square_products(flops)
    narrow, narrow_flops = narrow_products(flops, config, rows=rows)
    contestants = {
        "step": (step, flops),
        "input": (cut_a_batch, flops),
        "narrow": (narrow, narrow_flops),
        "square": (square, square_flops),
    }
    began = time.perf_counter()
    jax.block_until_ready(step())
    compiled = time.perf_counter() - began
    repeats = {}
    for name, (work, _) in contestants.items():
        jax.block_until_ready(work())
        once, _ = seconds(work, repeats=1)
        repeats[name] = max(1, round(seconds_each / once))
    times = {name: [] for name in (*contestants, "loop")}
    for _ in range(rounds):
        for name, (work, _) in contestants.items():
            times[name].append(seconds(work, repeats=repeats[name]))
    times["loop"] = loop_seconds(model, batches, fitting, seconds=rounds * seconds_each)

    done = {name: of for name, (_, of) in contestants.items()} | {"loop": flops}
    audio = lessons.batch_size * lessons.frames * FRAME
    figures = {}
    for name in ("step", "loop", "input", "narrow", "square"):
        # All are told per step: the ceilings did a little more or less than one.
        clock, busy = np.array(times[name]).T * flops / done[name]
        low, middle, high = np.quantile(clock, [0.25, 0.5, 0.75]).tolist()
        figures[name] = {
            "seconds": middle,
            "quartiles": [low, high],
            "core_seconds": float(np.median(busy)),
            "steps_per_second": 1 / middle,
            "audio_samples_per_second": audio / middle,
            "gigaflops_per_second": flops / middle / 1e9,
        }
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "platform": platform.platform(),
        "jax": jax.__version__,
        "model": dataclasses.asdict(config),
        "lessons": dataclasses.asdict(lessons),
        "parameters": sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param))),
        "gigaflops_per_step": flops / 1e9,
        "seconds_to_compile": compiled,
        "audio_samples_per_step": audio,
        "figures": figures,
    }


def loop_seconds(
    model: WaveNet, batches: Callable, fitting: FitConfig, *, seconds: float
) -> list[tuple[float, float]]:
    """Clock and core seconds of each step inside `fit`, the first ones left out."""
    seen: list[tuple[int, float, float]] = []

    def note(progress: Progress) -> None:
        if progress.step > 0:
            seen.append((progress.step, time.perf_counter(), time.process_time()))
        if len(seen) > 2 and seen[-1][1] - seen[0][1] > seconds:
            raise Enough

    with tempfile.TemporaryDirectory() as out, contextlib.suppress(Enough):
        fit(model, training_loss, batches, config=fitting, out=out, on_progress=note)
    return [
        ((clock - c) / (step - s), (busy - b) / (step - s))
        for (s, c, b), (step, clock, busy) in itertools.pairwise(seen)
    ]


class Enough(Exception):
    """Enough steps of an endless training were timed."""


def table(found: dict) -> str:
    """The figures for people."""
    head = (
        f"{found['devices']} x {found['device']} ({found['cores']} cores, load "
        f"{found['load']:.1f}), jax {found['jax']}: {found['parameters']:,} parameters, "
        f"{found['gigaflops_per_step']:.1f} GFLOP a step, first step after "
        f"{found['seconds_to_compile']:.0f} s"
    )
    rows = [
        "| | ms a step (quartiles) | core ms | steps/s | audio samples/s | GFLOP/s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in found["figures"].items():
        low, high = (1000 * q for q in one["quartiles"])
        rows.append(
            f"| {name} | {1000 * one['seconds']:.1f} ({low:.1f} to {high:.1f}) "
            f"| {1000 * one['core_seconds']:.0f} | {one['steps_per_second']:.2f} "
            f"| {one['audio_samples_per_second']:,.0f} "
            # Cutting multiplies nothing.
            f"| {'' if name == 'input' else round(one['gigaflops_per_second'], 1)} |"
        )
    return "\n".join([head, "", *rows])


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--config", type=Path, help="a recipe, as for train-grains; else defaults"
    )
    parser.add_argument("--batch-size", type=int, help="instead of the config's")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds-each", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    config, lessons = WaveNetConfig(), LessonConfig()
    if asked.config:
        recipe = GrainRecipe.read(asked.config)
        config, lessons = recipe.model, recipe.lessons
    if asked.batch_size:
        lessons = dataclasses.replace(lessons, batch_size=asked.batch_size)
    with tempfile.TemporaryDirectory() as compiled:
        # `fit` compiles the same step again; it need not take as long again.
        jax.config.update("jax_compilation_cache_dir", compiled)
        found = measure(
            config, lessons, rounds=asked.rounds, seconds_each=asked.seconds_each
        )
    text = json.dumps(found, indent=2)
    if asked.json:
        asked.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(table(found))


if __name__ == "__main__":
    main()
