"""Are copies found out, and how like its recordings is what macrotime makes?

    python benchmarks/similarity.py work/pop work/lofi work/adventure

Seconds of the recordings are planted as copies: as they are, quieter, in noise, in
another key, at another tempo (by librosa), short. Then the same is asked of what is no
copy: a song against all other songs of its album and of the rest, bars of songs that are
rendered here, as by default and at freedom 1, and free grains. Printed are the likeness
to the nearest moment of the recordings (see `hierarchy.material.moments`): median, least
and most, and the share over 0.95, which is what `--max-similarity 0.95` refuses.
"""

from __future__ import annotations

import dataclasses
import time

import librosa
import numpy as np
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from frechet import composed

from hierarchy.macro.clips import make_clips
from hierarchy.macro.originality import COPY
from hierarchy.material.corpus import Corpus
from hierarchy.material.moments import Moments
from hierarchy.micro.grains import GrainModel

LONG = 2.0  # seconds of a copy


def copies(sound: np.ndarray, rate: int, random: np.random.Generator):
    """What becomes of a sound, float32 [2, samples], on its way to being a copy."""
    level = np.sqrt(np.square(sound).mean())
    noise = random.normal(size=sound.shape).astype(np.float32)
    yield "as it is", sound
    yield "20 dB quieter", 0.1 * sound
    yield "noise 20 dB below", sound + 0.1 * level * noise
    for steps in (-6, -3, -1, 1, 3, 6):
        yield (
            f"{steps:+} semitones",
            librosa.effects.pitch_shift(sound, sr=rate, n_steps=steps),
        )
    for speed in (0.8, 0.9, 1.1, 1.25):
        yield f"tempo x {speed}", librosa.effects.time_stretch(sound, rate=speed)
    both = librosa.effects.pitch_shift(sound, sr=rate, n_steps=2)
    yield "+2, tempo x 1.1", librosa.effects.time_stretch(both, rate=1.1)
    for seconds in (0.7, 0.95):
        yield f"{seconds} s of it", sound[:, : round(seconds * rate)]


def places(
    corpus: Corpus, count: int, random: np.random.Generator, seconds: float = LONG
):
    """Sounding stretches of a corpus: song, float32 [2, samples], and rate."""
    found, rate = 0, corpus.sample_rate
    while found < count:
        song = corpus.songs[int(random.integers(len(corpus.songs)))]
        audio = song.audio()
        size = round(seconds * rate)
        start = int(random.integers(0, max(audio.shape[1] - size, 1)))
        part = audio[:, start : start + size]
        if part.shape[1] == size and np.sqrt(np.square(part).mean()) > 0.01:
            found += 1
            yield song, np.broadcast_to(part, (2, size)), rate


def without(moments: Moments, style: str, source: str) -> Moments:
    """The moments of all recordings but one."""
    # A model of one corpus names them without it.
    names = [name for name in (source, f"{style}/{source}") if name in moments.songs]
    kept = moments.song != moments.songs.index(names[0])
    parts = {
        part: getattr(moments, part)[kept] for part in ("song", "seconds", "prints")
    }
    return dataclasses.replace(moments, **parts)


def likeness(moments: Moments, sound: np.ndarray, rate: int) -> float:
    """To the nearest moment; not a number if there is none."""
    found = moments.nearest(sound, rate)
    return np.nan if found is None else found.likeness


FREEDOMS = (0.0, 1.0)  # that bars of songs are told with


def bars(
    model: GrainModel, style: str, songs: int, minutes: float, freedom: float
) -> list[float]:
    """How like a moment each bar of some songs is, by their plans."""
    return [
        near.likeness
        for song in composed(model, style, songs, minutes, freedom)
        for section in song.plan.sections
        for near in section.nearest or ()
        if near is not None
    ]


def main() -> None:
    """Plant copies, ask, print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--count", type=int, default=20, help="copies of each kind and style")
    add("--songs", type=int, default=3, help="songs of each style")
    add("--minutes", type=float, default=1.5, help="of a song")
    add("--seed", type=int, default=0)
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    moments, random = model.moments, np.random.default_rng(asked.seed)
    rows: dict[str, list[float]] = {}
    spent, searched = 0.0, 0
    for folder in asked.corpora:
        style = folder.name
        for song, sound, rate in places(Corpus.read(folder), asked.count, random):
            for kind, copy in copies(sound, rate, random):
                began = time.perf_counter()
                rows.setdefault(kind, []).append(likeness(moments, copy, rate))
                spent, searched = spent + time.perf_counter() - began, searched + 1
            others = without(moments, style, song.source)
            kind = f"{style}: against other songs"
            rows.setdefault(kind, []).append(likeness(others, sound, rate))
        for freedom in FREEDOMS:
            rows[f"{style}: bars, freedom {freedom:g}"] = bars(
                model, style, asked.songs, asked.minutes, freedom
            )
        rows[f"{style}: free grains"] = [
            likeness(moments, grain.waveform, grain.sample_rate)
            for grain in make_clips(model, None, count=asked.count, style=style)
        ]
        print(f"\r{style} done ", end="", flush=True)
    print(f"\n{'':28}{'count':>7}{'median':>9}{'least':>9}{'most':>9}{'> 0.95':>9}")
    report = {}
    for kind, found in rows.items():
        values = np.array([x for x in found if np.isfinite(x)])
        if not len(values):
            continue
        report[kind] = {
            "count": len(values),
            "median": float(np.median(values)),
            "least": float(values.min()),
            "most": float(values.max()),
            "over": float((values > COPY).mean()),
        }
        cells = list(report[kind].values())
        print(f"{kind:28}{cells[0]:7}" + "".join(f"{x:9.3f}" for x in cells[1:]))
    report["milliseconds a search"] = 1000 * spent / searched
    print(f"{report['milliseconds a search']:.0f} ms a search")
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
