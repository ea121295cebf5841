"""How far songs lie from a style: Fréchet distance of log-mel statistics.

    python benchmarks/frechet.py SONGS work/pop work/lofi work/adventure
    python benchmarks/frechet.py work/pop work/lofi work/adventure --render 8
    python benchmarks/frechet.py work/pop work/lofi work/adventure --render 8 --whole-books

SONGS is a folder of rendered songs with their .plan.json, which say their style; each
other folder is a prepared corpus, named as its style. With --render songs are made here,
of gestures that are not from held-out songs, or as the model ships. For every style: the
distance of its rendered songs from its recordings, from those that were held out, and
from the recordings of each other style, beside the distance between two halves of its own
recordings (the mean of several splits by song), which is the least to be hoped for.
`halves.py` asks the same of songs that know one half of a style only.

The distance. A moment is a second of sound at the loudness of its song, folded to mono:
the level of 40 mel bands from 50 Hz to 12 kHz in decibels (no lower than 60 below the
loudest of the song) in each of its 40 looks. A moment's statistics are the mean of each
band, the standard deviation of each band over the second, and the mean absolute step of
each band from one look to the next: 120 numbers of colour, movement and attack. Two sets
of moments are taken as Gaussians, their covariances shrunk by a tenth towards their
diagonals; the distance is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), divided by 120: the
mean square difference of a number, in squared decibels. No network that was trained on
other people's music takes part.

Source: Dowson and Landau, "The Fréchet distance between multivariate normal
distributions", J. Multivariate Analysis 12(3), 1982; as a measure of sound, Kilgour et
al., "Fréchet audio distance", Interspeech 2019; mel statistics in place of an embedding
after McDermott and Simoncelli, "Sound texture perception via statistics", Neuron, 2011.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import librosa
import numpy as np
import pyloudnorm
import scipy.linalg
import soundfile
from command import parsed, parser_of, takes_model, takes_report, write_report

from hierarchy.macro.choosing import natural_tempo
from hierarchy.macro.rendering import Song, compose_song, render_song
from hierarchy.material.corpus import Corpus
from hierarchy.micro.grains import GrainModel
from structure.plan import SongPlan

MINUTES = 1.5  # of a song that is rendered here

LOUDNESS = -14.0
LOOKS = 40  # a second
MEL = 40
RANGE = 60.0  # dB
SHRINK = 0.1
SPLITS = 60  # all of seven songs
MOST = 600  # moments of one song, so that long songs do not speak for a style


def statistics(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The moments of a song, float [seconds, 3 * MEL]."""
    mono = waveform.mean(axis=0)
    meter = pyloudnorm.Meter(sample_rate)
    gain = 10 ** ((LOUDNESS - meter.integrated_loudness(mono)) / 20)
    power = librosa.feature.melspectrogram(
        y=np.float32(mono * gain),
        sr=sample_rate,
        n_fft=2048,
        hop_length=sample_rate // LOOKS,
        n_mels=MEL,
        fmin=50,
        fmax=12_000,
    ).T
    decibels = 10 * np.log10(power + 1e-12)
    decibels = np.maximum(decibels, decibels.max() - RANGE)
    seconds = len(decibels) // LOOKS
    looks = decibels[: seconds * LOOKS].reshape(seconds, LOOKS, MEL)
    steps = np.abs(np.diff(looks, axis=1)).mean(axis=1)
    found = np.concatenate([looks.mean(axis=1), looks.std(axis=1), steps], axis=1)
    heard = looks.max(axis=(1, 2)) > decibels.max() - 40
    return found[heard][:: max(1, -(-heard.sum() // MOST))]


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """Fréchet distance of two sets of moments, dB squared for each number."""
    means = np.square(one.mean(axis=0) - two.mean(axis=0)).sum()
    first, second = (_covariance(moments) for moments in (one, two))
    root = scipy.linalg.sqrtm(first @ second).real
    return float(means + np.trace(first + second - 2 * root)) / one.shape[1]


def _covariance(moments: np.ndarray) -> np.ndarray:
    found = np.cov(moments, rowvar=False)
    found = (1 - SHRINK) * found + SHRINK * np.diag(np.diag(found))
    return found + 1e-3 * np.eye(len(found))


def split_in_half(count: int, most: int, *, seed: int = 0) -> list[tuple]:
    """Ways to split so many songs, each once: int arrays of the numbers of each half."""
    random, found = np.random.default_rng(seed), {}
    while len(found) < min(most, math.comb(count, count // 2)):
        order = random.permutation(count)
        one, other = order[: count // 2], order[count // 2 :]
        found.setdefault(frozenset(one.tolist()), (one, other))
    return list(found.values())


def halves(songs: list[np.ndarray]) -> float:
    """The mean distance between two halves of a style's songs, of SPLITS splits."""
    found = [
        distance(*(np.concatenate([songs[i] for i in half]) for half in split))
        for split in split_in_half(len(songs), SPLITS)
    ]
    return float(np.mean(found))


def recordings(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Moments of a corpus's songs: all, and those held out."""
    every, held_out = [], []
    for song in Corpus.read(folder).songs:
        found = statistics(song.audio(), 44100)
        every.append(found)
        if song.split == "valid":
            held_out.append(found)
    return every, held_out


def rendered(folder: Path) -> dict[str, list[np.ndarray]]:
    """Moments of songs by their style."""
    found: dict[str, list[np.ndarray]] = {}
    for path in sorted(folder.glob("*.plan.json")):
        plan = SongPlan.read(path)
        sounds = [
            sound
            for suffix in (".wav", ".flac", ".ogg")
            if (
                sound := path.with_name(path.name.replace(".plan.json", suffix))
            ).exists()
        ]
        for sound in sounds:
            waveform, rate = soundfile.read(sound, always_2d=True, dtype="float32")
            found.setdefault(str(plan.style), []).append(statistics(waveform.T, rate))
    return found


def without(model: GrainModel, style: str, sources: Collection[str]) -> GrainModel:
    """A model without the gestures of some of a style's recordings."""
    book = model.books[style]
    kept = ~np.isin(
        book.beat_song, [i for i, name in enumerate(book.songs) if name in sources]
    )
    fewer = {
        name: array[:, kept] if name == "beat_edges" else array[kept]
        for name, array in book.arrays.items()
        if name.startswith("beat_")
    }
    left = dataclasses.replace(book, arrays=book.arrays | fewer)
    return dataclasses.replace(model, books=model.books | {style: left})


def composed(
    model: GrainModel,
    style: str,
    count: int,
    minutes: float = MINUTES,
    freedom: float | None = None,
) -> Iterator[Song]:
    """Songs of a style, at tempi of its recordings."""
    for seed in range(count):
        plan = compose_song(
            form="verse-chorus",
            style=style,
            tempo=natural_tempo(model.books[style], seed),
            minutes=minutes,
            seed=seed,
        )
        yield render_song(plan, model, freedom=freedom)


def moments_of(songs: Iterable[Song]) -> list[np.ndarray]:
    """The moments of each song."""
    return [statistics(song.waveform, song.sample_rate) for song in songs]


def compare(songs: dict[str, list[np.ndarray]], corpora: Iterable[Path]) -> dict:
    """All distances, by style."""
    real = {folder.name: recordings(folder) for folder in corpora}
    report = {}
    for style, (every, held_out) in real.items():
        if style not in songs:
            continue
        own = np.concatenate(songs[style])
        row = {"songs": len(songs[style]), "halves": halves(every)}
        row["own"] = distance(own, np.concatenate(every))
        if held_out:
            row["held_out"] = distance(own, np.concatenate(held_out))
            others = [m for m in every if not any(m is h for h in held_out)]
            row["held_out_from_rest"] = distance(
                np.concatenate(held_out), np.concatenate(others)
            )
        row["others"] = {
            name: distance(own, np.concatenate(moments))
            for name, (moments, _) in real.items()
            if name != style
        }
        row["ratio"] = row["own"] / row["halves"]
        report[style] = row
    return report


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("folders", nargs="+", type=Path, help="[rendered songs,] prepared corpora")
    add("--render", type=int, default=0, help="make so many songs of each style")
    add("--whole-books", action="store_true", help="of gestures of held-out songs too")
    takes_model(parser)
    takes_report(parser)
    arguments = parsed(parser)
    if arguments.render:
        model = GrainModel.read(arguments.model)
        corpora, songs = arguments.folders, {}
        for folder in corpora:
            held_out = {
                song.source
                for song in Corpus.read(folder).songs
                if song.split == "valid" and not arguments.whole_books
            }
            own = without(model, folder.name, held_out)
            made = composed(own, folder.name, arguments.render)
            songs[folder.name] = moments_of(made)
    else:
        corpora, songs = arguments.folders[1:], rendered(arguments.folders[0])
    report = compare(songs, corpora)
    columns = ("halves", "own", "ratio", "held_out", "held_out_from_rest")
    print(" " * 12 + "".join(f"{c:>20}" for c in columns) + "  nearest other")
    for style, row in report.items():
        cells = "".join(f"{row.get(c, float('nan')):20.2f}" for c in columns)
        other = min(row["others"].items(), key=lambda item: item[1], default=("", 0))
        print(f"{style:12}{cells}  {other[0]} {other[1]:.2f}")
    write_report(report, arguments.json)


if __name__ == "__main__":
    main()
