"""What do the filter bank and the companding lose?

    python benchmarks/filterbank.py work/pop work/lofi work/adventure
    python benchmarks/filterbank.py                  # noise and clicks of its own

For each number of bands, in decibels, medians over a minute from the middle of each
held-out recording:

bank       signal to noise of a waveform that was split and joined again
floor      what is lost where shape, each band over its level, is read in bins: not at
           all, as the model draws it; 4,096 of one width, as training counts its bits;
           256 of one width; and 256 of mu-law as a classic WaveNet has. Against the
           sound, so lower is better: what would be heard of a model without fault
lowest     the same in the lowest band alone, where most music lies
silence    the loudest sample, in dBFS, that comes back of digital silence 50 ms after
           the recording was cut off
"""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from command import parser_of

from hierarchy.material import bands as filterbank
from hierarchy.material.companding import LIMIT, from_shape, to_shape
from hierarchy.material.corpus import Corpus
from hierarchy.material.features import HOP, levels_of
from hierarchy.micro.likelihood import Classes

COUNTS = (1, 2, 4, 8, 16, 32)
SECONDS = 60
RINGING = 0.05  # seconds that filters and levels may take to fall silent
EDGE = 4096  # samples at either end, where a filter misses what lies beyond


def uniform(count: int):
    """Read shape in so many bins of one width."""
    width = 2 * LIMIT / count
    return lambda shape: jnp.round(shape / width) * width


def mu_law(count: int):
    """Read shape in so many classes of mu-law."""
    classes = Classes(count)
    return lambda shape: jnp.asarray(classes.values())[classes.nearest(shape)]


READINGS = {
    "not at all": lambda shape: shape,
    "4,096 bins": uniform(4096),
    "256 bins": uniform(256),
    "256 mu-law": mu_law(256),
}


def decibels(noise: np.ndarray, sound: np.ndarray) -> float:
    """Power of one over that of the other."""
    power = np.square(noise, dtype=np.float64).mean()
    whole = np.square(sound, dtype=np.float64).mean()
    return float(10 * np.log10(max(power, 1e-30) / max(whole, 1e-30)))


def losses(waveform: np.ndarray, bands: int, sample_rate: int) -> dict[str, float]:
    """The row of one waveform, float32 [samples]."""
    split = np.asarray(filterbank.split(jnp.asarray(waveform), bands))
    inside = slice(EDGE, -EDGE)
    again = np.asarray(filterbank.join(jnp.asarray(split)))
    row = {"bank": -decibels((again - waveform)[inside], waveform[inside])}
    levels = levels_of(split)
    shape = to_shape(jnp.asarray(split), levels)
    for name, read in READINGS.items():
        heard = from_shape(read(shape), levels)
        sound = np.asarray(filterbank.join(heard))
        row[f"floor, {name}"] = decibels((sound - waveform)[inside], waveform[inside])
        row[f"lowest, {name}"] = decibels(
            (np.asarray(heard) - split)[:, 0], split[:, 0]
        )
    cut = waveform.copy()
    cut[len(cut) // 2 :] = 0
    split = np.asarray(filterbank.split(jnp.asarray(cut), bands))
    levels = levels_of(split)
    sound = np.asarray(
        filterbank.join(
            from_shape(READINGS["4,096 bins"](to_shape(split, levels)), levels)
        )
    )
    still = np.abs(sound[len(cut) // 2 + round(RINGING * sample_rate) :]).max()
    row["silence"] = 20 * np.log10(max(float(still), 1e-10))
    return row


def sounds(corpora: list[Path]) -> list[tuple[np.ndarray, int]]:
    """A minute of each held-out recording, mono; or noise and clicks."""
    found = []
    for folder in corpora:
        corpus = Corpus.read(folder)
        for song in corpus.songs:
            if corpus.training_seconds(song) < song.seconds:
                mono, rate = song.audio().mean(axis=0), corpus.sample_rate
                first = max(0, len(mono) // 2 - SECONDS * rate // 2)
                found.append((mono[first : first + SECONDS * rate], rate))
    if not corpora:
        random = np.random.default_rng(0)
        noise = 0.1 * random.normal(size=10 * 44100)
        clicks = 0.5 * (random.random(10 * 44100) < 1e-3)
        found = [(noise, 44100), (clicks, 44100)]
    whole = HOP * max(COUNTS)
    return [(np.float32(x[: len(x) // whole * whole]), rate) for x, rate in found]


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("corpora", nargs="*", type=Path, help="prepared corpora")
    parser.add_argument("--json", type=Path, help="write the table here")
    asked = parser.parse_args()
    report = {}
    for bands in COUNTS:
        rows = [losses(x, bands, rate) for x, rate in sounds(asked.corpora)]
        report[bands] = {
            name: float(np.median([row[name] for row in rows])) for name in rows[0]
        }
        if bands == COUNTS[0]:
            print(f"{'bands':>5}" + "".join(f"{name:>20}" for name in rows[0]))
        print(f"{bands:5}" + "".join(f"{x:20.1f}" for x in report[bands].values()))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
