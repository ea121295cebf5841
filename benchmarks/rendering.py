"""What a song costs: from the command to the file, and stage by stage.

    python benchmarks/rendering.py [--model DIR] [--minutes 2] [--rounds 3] [--json OUT.json]

First the command itself, cold: a new process with an empty cache of compiled programs,
then again with what the first one left. Then, in this process and warm, each stage in
turn, medians over rounds. Beside the sampler stands a plain matrix product with as
many multiplications, taken in turns with it: the ceiling of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--style", default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
    }
    found["command"] = command_seconds(asked)
    found["stages"] = stages(asked)
    for group in ("command", "stages"):
        print(group)
        for name, value in found[group].items():
            print(f"    {name:34s} {value:10.2f}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def command_seconds(asked) -> dict[str, float]:
    """Seconds of the whole command, and of --help."""
    code = "from hierarchy.commands.render_song import main; main()"
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MACROTIME_CACHE": f"{folder}/cache"}
        words = [
            "--minutes",
            str(asked.minutes),
            "--seed",
            "7",
            "--out",
            f"{folder}/s.wav",
        ]
        words += ["--model", str(asked.model)] if asked.model else []
        words += ["--style", asked.style] if asked.style else []
        runs = {"help": ["--help"], "cold": words, "with compiled programs": words}
        for name, arguments in runs.items():
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", code, *arguments],
                env=environment,
                check=True,
                capture_output=True,
            )
            out[f"{name}, s"] = time.perf_counter() - began
    return out


def stages(asked) -> dict[str, float]:
    """Medians of each stage, warm."""
    from hierarchy.devices import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    devices = use_all_cores()
    import jax
    import jax.numpy as jnp

    from hierarchy import GrainModel, compose_song, make_grains
    from hierarchy.macro.assembly import assemble
    from hierarchy.macro.balancing import balance
    from hierarchy.macro.choosing import choose_gestures, natural_tempo
    from hierarchy.macro.mastering import master
    from hierarchy.macro.performing import perform

    model = GrainModel.read(asked.model)
    style, book = model.book(asked.style)
    config = model.config
    tempo = natural_tempo(book, 7)
    times: dict[str, list[float]] = {}

    def timed(name, work, *arguments, **named):
        began = time.perf_counter()
        result = work(*arguments, **named)
        times.setdefault(f"{name}, s", []).append(time.perf_counter() - began)
        return result

    layer = config.residual * 2 * config.gate * 2 + config.gate * (
        config.residual + config.skip
    )
    per_step = len(config.dilations) * layer + config.skip * config.head
    per_step += config.head * config.bands * 3 * config.mixtures
    square = jnp.ones([devices, 1024, 1024])
    spread = jax.sharding.NamedSharding(
        jax.sharding.Mesh(jax.devices(), ("x",)), jax.sharding.PartitionSpec("x")
    )
    square = jax.device_put(square, spread)
    product = jax.jit(lambda x: x @ x)

    def multiply(count: int) -> None:
        for _ in range(count):
            product(square).block_until_ready()

    multiply(1)
    for turn in range(asked.rounds + 1):
        plan = timed(
            "compose",
            compose_song,
            minutes=asked.minutes,
            tempo=tempo,
            style=style,
            seed=7,
        )
        plan = timed("choose gestures", choose_gestures, plan, book, seed=7)
        rate, peaks = config.sample_rate, config.peaks
        show = timed(
            "perform",
            perform,
            plan,
            book,
            style=0,
            seed=7,
            sample_rate=rate,
            peaks=peaks,
        )
        requests = show.requests
        grains = timed("sample grains", make_grains, model, requests)
        steps = sum(2 * one.frames * config.steps_per_frame for one in requests)
        count = max(1, round(steps * per_step / (devices * 1024**3)))
        timed("matrix products of the same size", multiply, count)
        placed = timed("balance", balance, plan, show, grains)
        sounds = [grain.waveform for grain in grains]
        mix = timed("assemble", assemble, sounds, placed, length=show.length)
        timed("master", master, mix, rate)
        if turn == 0:
            times.clear()  # compilation
    out = {name: statistics.median(values) for name, values in times.items()}
    out["seconds of music"] = plan.seconds
    out["of them sampled"] = (
        sum(r.frames for r in show.requests) * 512 / config.sample_rate
    )
    out["band steps a second"] = steps / out["sample grains, s"]
    out["share of the ceiling"] = (
        out["matrix products of the same size, s"] / out["sample grains, s"]
    )
    return out


if __name__ == "__main__":
    main()
