"""Bits per sample of held-out recordings: of a grain model, and of simple models.

    python benchmarks/bits.py work/pop work/lofi work/adventure [--model DIR]

Shape, each band over its level, is read in so many bins from -8 to 8 levels: 256, as
many as a WaveNet of mu-law classes has, and 4,096, as training tells it. What a value
costs falls by a bit with each halving of the bins, for all alike, so differences are what
counts, and a share of the whole is only one at its number of bins. All know the levels,
and are asked for the same samples, of the middle of both channels. The marginal is a
histogram of each band; linear prediction is of order 32, in each band, fitted to the
recordings that are learnt from. "Adaptive" is linear prediction fitted to each half
second of each band that is asked for, and what it takes to send that is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from flax import nnx

from hierarchy.material.companding import BIN, BINS, LIMIT
from hierarchy.material.corpus import Corpus
from hierarchy.micro.baselines import baseline_bits
from hierarchy.micro.grains import GrainModel
from hierarchy.micro.learning import LessonConfig, lessons_of, validation_windows
from hierarchy.micro.objective import validation_loss

READINGS = (256, BINS)
BATCHES = 48


def model_bits(net, windows, width: float) -> dict[str, float]:
    """Means over windows, by what the model is told; the past is the true one."""
    graph, weights = nnx.split(net)

    @jax.jit
    def of_one(weights, window):
        model = nnx.merge(graph, weights)
        return validation_loss(model, window, jax.random.key(0), width=width)[1]

    found = [of_one(weights, window) for window in windows]
    return {
        name.removeprefix("bits_"): float(np.mean([each[name] for each in found]))
        for name in found[0]
    }


def bits_by_bins(
    model: GrainModel,
    corpora: Sequence[Path],
    bins: Sequence[int] = READINGS,
    *,
    batches: int = BATCHES,
) -> dict[int, dict[str, float]]:
    """What held-out samples cost, by the number of bins and by who tells them.

    Args:
        model: with a style named as each corpus.
        corpora: prepared; one without held-out songs is judged by all of its songs.
        bins: from -8 to 8 levels.
        batches: of eight windows of half a second.
    """
    lessons = LessonConfig()
    # In whatever order they are given, the same windows are asked for.
    ordered = sorted(corpora, key=lambda folder: folder.name)
    opened = {folder.name: Corpus.read(folder) for folder in ordered}
    train, held_out, _ = lessons_of(opened, model.config, lessons)
    windows = validation_windows(
        held_out or train, lessons, peaks=model.config.peaks, batches=batches
    )
    simple = baseline_bits(train, windows)
    report = {}
    for count in bins:
        width = 2 * LIMIT / count
        # Of these models all that bins change is how many densities are told in.
        wider = float(np.log2(width / BIN))
        row = {name: value - wider for name, value in simple.items()}
        row |= model_bits(model.net, windows, width)
        report[count] = row | {"saved": 1 - row["sketch"] / row["linear_prediction"]}
    return report


def print_bits(report: dict[int, dict[str, float]]) -> None:
    """As a table, the share by which the model is below linear prediction last."""
    names = list(next(iter(report.values())))
    print(f"{'bins':>6}" + "".join(f"{name:>19}" for name in names))
    for bins, row in report.items():
        cells = "".join(f"{row[name]:19.3f}" for name in names[:-1])
        print(f"{bins:6d}{cells}{row['saved']:19.1%}")


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--bins", type=int, nargs="+", default=READINGS)
    add(
        "--batches", type=int, default=BATCHES, help="of eight windows of half a second"
    )
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    report = bits_by_bins(model, asked.corpora, asked.bins, batches=asked.batches)
    print_bits(report)
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
