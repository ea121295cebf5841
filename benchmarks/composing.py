"""What does a plan cost: one of ten minutes, and a thousand at once?

    taskset -c 0 python benchmarks/composing.py
    python benchmarks/composing.py --plans 1000 --json composing.json

Processor and wall seconds of single plans once the sequencer is loaded, over ten seeds;
then as many plans of three minutes together (`structure.composing_many`), on whatever
devices JAX has: forms apart from chords, a first batch apart, since it waits for the
compiler, and the most memory that was held. `--plans 0` leaves these out.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path

from command import parser_of

import hierarchy
from structure.composing import compose
from structure.requests import SongRequest
from structure.sequencer import Sequencer

PRETRAINED = Path(hierarchy.__file__).parent / "pretrained" / "sequencer"
ALONE = {
    "verse-chorus, ten minutes": SongRequest(minutes=10),
    "free, ten minutes": SongRequest(form="free", minutes=10),
    "verse-chorus, two minutes": SongRequest(minutes=2),
    "free, as long as it comes": SongRequest(form="free"),
}


def alone(sequencer: Sequencer, seeds: int) -> list[dict]:
    """Seconds of single plans, one row for each way to ask."""
    compose(sequencer, SongRequest(), seed=0)
    rows = []
    for name, request in ALONE.items():
        spent, waited, bars = [], [], []
        for seed in range(seeds):
            began = time.process_time(), time.perf_counter()
            plan = compose(sequencer, request, seed=seed)
            spent.append(time.process_time() - began[0])
            waited.append(time.perf_counter() - began[1])
            bars.append(plan.bars)
        rows.append(
            {
                "plan": name,
                "bars": statistics.median(bars),
                "processor": statistics.median(spent),
                "processor_worst": max(spent),
                "wall": statistics.median(waited),
                "wall_worst": max(waited),
            }
        )
    return rows


def together(sequencer: Sequencer, plans: int, at_once: int) -> dict:
    """Seconds of many plans at once."""
    import jax

    from structure.composing_many import compose_many

    request = SongRequest(minutes=3, tempo=110, melody=False)
    marks: list[tuple[int, float]] = []

    def watch(done: int, total: int) -> None:
        marks.append((done, time.perf_counter()))
        if sys.stderr.isatty():
            print(f"\r{done} of {total}", end="", file=sys.stderr)

    def seconds(count: int, first_seed: int) -> tuple[float, float]:
        marks.clear()
        began = time.perf_counter()
        compose_many(
            sequencer,
            [request] * count,
            seeds=range(first_seed, first_seed + count),
            at_once=at_once,
            progress=watch,
        )
        formed = next(when for done, when in marks if done >= count - 1)
        return formed - began, time.perf_counter() - formed

    _, compiling = seconds(min(plans, at_once), plans)
    forms, chords = seconds(plans, 0)
    return {
        "device": jax.devices()[0].device_kind,
        "plans": plans,
        "at_once": at_once,
        "forms": forms,
        "chords": chords,
        "first_batch": compiling,
        "plans_per_second": plans / (forms + chords),
        "gigabytes_at_most": _most_memory(jax.devices()[0]),
    }


def _most_memory(device) -> dict[str, float]:
    """Of this process, and of the device where it tells."""
    most = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    told = device.memory_stats() if device.platform != "cpu" else None
    if told:
        most["device"] = told["peak_bytes_in_use"] / 2**30
    return most


def table(rows: list[dict], many: dict | None) -> str:
    """Markdown, as in RESULTS.md."""
    lines = [
        "| plan | bars | processor, s (worst) | wall, s (worst) |",
        "|---|--:|--:|--:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['plan']} | {row['bars']:g} | "
            f"{row['processor']:.2f} ({row['processor_worst']:.2f}) | "
            f"{row['wall']:.2f} ({row['wall_worst']:.2f}) |"
        )
    if many is not None:
        memory = ", ".join(
            f"{size:.1f} GiB {where}"
            for where, size in many["gigabytes_at_most"].items()
        )
        lines += [
            "",
            (
                f"{many['plans']} plans, {many['at_once']} at once, on {many['device']}: "
                f"forms {many['forms']:.1f} s, chords {many['chords']:.1f} s "
                f"(a first batch {many['first_batch']:.1f} s with compiling), "
                f"{many['plans_per_second']:.1f} plans a second; at most {memory}"
            ),
        ]
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--seeds", type=int, default=10, help="single plans of a kind")
    parser.add_argument("--plans", type=int, default=1000, help="many; 0 for none")
    parser.add_argument("--at-once", type=int, default=256, help="side by side")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    sequencer = Sequencer.read(options.model)
    rows = alone(sequencer, options.seeds)
    many = (
        together(sequencer, options.plans, options.at_once) if options.plans else None
    )
    print(table(rows, many))
    if options.json:
        text = json.dumps({"alone": rows, "together": many}, indent=1)
        options.json.write_text(text)


if __name__ == "__main__":
    main()
