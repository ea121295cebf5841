"""Do layers make pulse and harmony clearer, and does it matter who takes grains apart?

    python benchmarks/layers.py --count 9

The same songs, of the same grains, mixed in several ways and judged from their sound:

* one sound: no layer is raised, lowered or moved;
* ours: as songs are mixed, see `hierarchy.macro.layers`;
* librosa's: what lasts and what strikes are told apart by `librosa.decompose.hpss` (2048
  samples, its own defaults), all else as in ours;
* twice as far: ours, with each layer lowered, raised and moved by twice as much.

Columns: those of `songs.py` (beats, chords, form), medians over all songs; how long taking
apart a minute of stereo sound takes, in seconds, and how far the layers are from adding up
to the grain, dB.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from unittest import mock

import judges
import librosa
import numpy as np
from command import parsed, parser_of, takes_model, takes_report, write_report

from hierarchy.macro import layers, mixing
from hierarchy.macro.choosing import natural_tempo
from hierarchy.macro.grain_store import GrainStore
from hierarchy.macro.rendering import compose_song, render_song
from hierarchy.micro.grains import GrainModel

COLUMNS = ("beat_f", "pulse", "key_score", "chords", "roots", "hit_3", "contrast")
OURS = layers.split_layers


def librosas(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """As `split_layers`; the rest is taken apart by librosa."""
    bass = OURS(waveform, sample_rate)[0]
    rest = waveform - bass
    spectra = librosa.stft(rest)
    lasting, _ = librosa.decompose.hpss(spectra)
    harmonic = librosa.istft(lasting, length=rest.shape[1])
    return np.stack([bass, harmonic, rest - harmonic]).astype(np.float32)


@contextlib.contextmanager
def mixed(split: Callable, far: float) -> Iterator[None]:
    """Mixing with another way to take grains apart, and automation that many times."""
    with contextlib.ExitStack() as held:
        enter = held.enter_context
        for name in ("HUSHED", "WIDEST"):
            known = getattr(layers, name)
            enter(mock.patch.dict(known, {k: far * v for k, v in known.items()}))
        enter(mock.patch.object(layers, "FILL", far * layers.FILL))
        enter(mock.patch.object(mixing, "split_layers", split))
        yield


WAYS = {
    "one sound": (OURS, 0.0),
    "ours": (OURS, 1.0),
    "librosa's": (librosas, 1.0),
    "twice as far": (OURS, 2.0),
}


def taking_apart(split: Callable, waveforms: list[np.ndarray], rate: int) -> dict:
    """Seconds for a minute of sound, and how far layers are from adding up to it."""
    split(waveforms[0], rate)
    began = time.perf_counter()
    found = [split(waveform, rate) for waveform in waveforms]
    spent = time.perf_counter() - began
    lost = sum(
        np.square(parts.sum(axis=0) - waveform).sum(dtype=np.float64)
        for parts, waveform in zip(found, waveforms, strict=True)
    )
    whole = sum(np.square(w).sum(dtype=np.float64) for w in waveforms)
    minutes = sum(w.shape[1] for w in waveforms) / rate / 60
    return {
        "seconds_a_minute": spent / minutes,
        "lost_db": 10 * float(np.log10(max(lost, 1e-20) / whole)),
    }


def main() -> None:
    """Make songs, mix each in every way, print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_model(parser)
    add("--count", type=int, default=9, help="songs, of all styles in turn")
    add("--minutes", type=float, default=1.5, help="of a song")
    add("--seed", type=int, default=1, help="of the first song")
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    rows: dict[str, list[dict]] = {name: [] for name in WAYS}
    waveforms: list[np.ndarray] = []
    for number in range(asked.count):
        style, seed = model.styles[number % len(model.styles)], asked.seed + number
        plan = compose_song(
            style=style,
            tempo=natural_tempo(model.books[style], seed),
            minutes=asked.minutes,
            seed=seed,
        )
        store = GrainStore()
        for name, way in WAYS.items():
            with mixed(*way):
                song = render_song(plan, model, known=store)
            listener = judges.Listener(song.waveform, song.sample_rate)
            row = {"style": style}
            for judge in (
                judges.judge_tempo,
                judges.judge_key,
                judges.judge_chords,
                judges.judge_form,
            ):
                row |= judge(listener, song.plan)
            rows[name].append(row)
        waveforms += list(store.values())[:4]
        print(f"{number + 1} of {asked.count}", flush=True)
    report = {}
    extra = ("seconds_a_minute", "lost_db")
    print(" " * 14 + "".join(f"{column[:9]:>10}" for column in (*COLUMNS, *extra)))
    for name, found in rows.items():
        report[name] = {
            column: float(np.nanmedian([row[column] for row in found]))
            for column in COLUMNS
        }
        report[name] |= taking_apart(WAYS[name][0], waveforms, model.config.sample_rate)
        cells = "".join(f"{value:10.3f}" for value in report[name].values())
        print(f"{name:14}{cells}")
    write_report({"medians": report, "songs": rows}, asked.json)


if __name__ == "__main__":
    main()
