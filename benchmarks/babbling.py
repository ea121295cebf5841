"""What are grains like that are told nothing but their style and how loud they are?

    python benchmarks/babbling.py work/pop work/lofi work/adventure

Grains of four seconds, as `sample-grains --free` makes them, beside as many that are told
all, stretches of the recordings as long, and noise that was brought to the same levels in
the same bands: what a network adds that has learnt nothing. For each style:

* own, other: distance (see `frechet.py`) from the recordings of this style, and from the
  nearest other;
* variety: mean distance of two of them, over that of two stretches of the recordings (the
  means of the mel bands, root mean square dB);
* tonal: how far partials stand out: standard deviation of the spectrum below 4 kHz about
  its mean over 200 Hz, dB; 5.6 for noise;
* moving: mean step of a mel band from one fortieth of a second to the next, dB;
* likeness: to the nearest moment of the recordings, at the median; copies: how many have
  more than 0.95.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import librosa
import numpy as np
import scipy.ndimage
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from frechet import MEL, distance, statistics
from similarity import places

from hierarchy.macro.clips import Wish, make_clips
from hierarchy.macro.originality import COPY, nearest_moments
from hierarchy.material import bands as filterbank
from hierarchy.material.companding import from_shape
from hierarchy.material.corpus import Corpus
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.features import levels_of
from hierarchy.micro.grains import GrainModel

SECONDS = 4.0


def noise_like(waveform: np.ndarray, bands: int, random: np.random.Generator):
    """Noise at the levels of a sound in its bands, frame by frame, float32 [2, samples]."""
    whole = waveform[:, : waveform.shape[1] // FRAME * FRAME]
    levels = levels_of(np.asarray(filterbank.split(whole, bands)))
    steps = whole.shape[1] // bands
    shape = random.normal(size=(len(whole), steps, bands)).astype(np.float32)
    return np.asarray(filterbank.join(from_shape(shape, levels)))


def spread(moments: list[np.ndarray]) -> float:
    """Root mean square distance of two sounds, by the means of their mel bands, dB."""
    means = np.stack([one[:, :MEL].mean(axis=0) for one in moments])
    return float(np.sqrt(2 * means.var(axis=0, ddof=1).mean()))


def tonal(mono: np.ndarray, rate: int) -> float:
    """How far partials stand out of a sound, dB; the median of its looks."""
    power = np.abs(librosa.stft(mono, n_fft=4096)) ** 2
    shown = 10 * np.log10(power[: round(4000 * 4096 / rate)] + 1e-9)
    around = scipy.ndimage.uniform_filter1d(shown, round(200 * 4096 / rate), axis=0)
    return float(np.median((shown - around).std(axis=0)))


def babble_of(model: GrainModel, folder: Path, count: int, seed: int) -> dict:
    """Rows of a style, by what is heard."""
    style, rate = folder.name, model.config.sample_rate
    random = np.random.default_rng(seed)
    asked = {"count": count, "seconds": SECONDS, "style": style, "seed": seed}
    free = make_clips(model, None, **asked)
    noise = [
        dataclasses.replace(
            grain, waveform=noise_like(grain.waveform, model.config.bands, random)
        )
        for grain in free
    ]
    real = [
        sound for _, sound, _ in places(Corpus.read(folder), count, random, SECONDS)
    ]
    grains = {
        "free": free,
        "told all": make_clips(model, Wish(), **asked),
        "noise": noise,
    }
    heard = {kind: [grain.waveform for grain in own] for kind, own in grains.items()}
    heard["recordings"] = real
    rows = {}
    for kind, sounds in heard.items():
        moments = [statistics(sound, rate) for sound in sounds]
        near = nearest_moments(grains[kind], model.moments) if kind in grains else []
        rows[kind] = {
            "moments": np.concatenate(moments),
            "spread": spread(moments),
            "tonal": _median([tonal(s.mean(axis=0), rate) for s in sounds]),
            "moving": float(np.concatenate(moments)[:, 2 * MEL :].mean()),
            "likeness": _median([one.likeness for one in near if one]),
            "copies": _mean([one.likeness > COPY for one in near if one]),
        }
    return rows


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _mean(values: list[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--count", type=int, default=60, help="grains of each kind and style")
    add("--seed", type=int, default=0)
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    found = {
        folder.name: babble_of(model, folder, asked.count, asked.seed)
        for folder in asked.corpora
    }
    real = {style: rows["recordings"].pop("moments") for style, rows in found.items()}
    columns = ("own", "other", "variety", "tonal", "moving", "likeness", "copies")
    print(" " * 24 + "".join(f"{column:>10}" for column in columns))
    for style, rows in found.items():
        alike = rows["recordings"]["spread"]
        for kind, row in rows.items():
            row["variety"] = row.pop("spread") / alike
            if "moments" in row:
                own = row.pop("moments")
                far = {name: distance(own, other) for name, other in real.items()}
                row["own"] = far.pop(style)
                row["other"] = min(far.values(), default=float("nan"))
            cells = "".join(f"{row.get(name, float('nan')):10.2f}" for name in columns)
            print(f"{f'{style}, {kind}':24}{cells}", flush=True)
    write_report(found, asked.json)


if __name__ == "__main__":
    main()
