"""How many gestures does a style need, and does it help to cluster them?

    python benchmarks/books.py work/pop work/lofi work/adventure --songs 6

Songs of a book as it is, of every second and of every fourth of its phrases, and of as many
phrases that are each the middle of a cluster (k-means over the levels of the bands, how
they move within a beat, colour and attacks; standardised): those keep what is different,
where taking every second keeps what is frequent.

Columns: gestures; distance of songs from the recordings (see `frechet.py`), chords heard as
asked and the contrast of sections (see `judges.py`; medians), the share of beats that go on
as they did in the recording, and the size of the book, MB.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import judges
import numpy as np
import sklearn.cluster
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from frechet import composed, distance, recordings, statistics

from hierarchy.material.gestures import Book
from hierarchy.micro.grains import GrainModel
from structure.plan import SongPlan

COLUMNS = ("gestures", "distance", "chords", "contrast", "goes_on", "megabytes")


def of_phrases(book: Book, phrases: np.ndarray) -> Book:
    """A book of some of the phrases of another, in their order."""
    phrases = np.sort(phrases)
    pieces = [slice(*book.phrase_start[p : p + 2]) for p in phrases]
    lengths = [piece.stop - piece.start for piece in pieces]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    arrays = dict(book.arrays)
    for name in ("levels", "brightness", "onset", "tonality"):
        axis = 1 if name == "levels" else 0
        here = np.concatenate([np.arange(p.start, p.stop) for p in pieces])
        arrays[name] = np.take(book.arrays[name], here, axis=axis)
    drawn = np.concatenate([np.arange(p.start // 2, p.stop // 2) for p in pieces])
    for name in ("frequency", "amplitude", "phase"):
        axis = 0 if name == "frequency" else 1
        arrays[name] = np.take(book.arrays[name], drawn, axis=axis)
    kept = np.flatnonzero(np.isin(book.beat_phrase, phrases))
    for name in book.arrays:
        if name.startswith("beat_"):
            axis = 1 if name == "beat_edges" else 0
            arrays[name] = np.take(book.arrays[name], kept, axis=axis)
    place = np.searchsorted(phrases, arrays["beat_phrase"])
    moved = starts[place] - book.phrase_start[arrays["beat_phrase"]]
    arrays["beat_start"] = (arrays["beat_start"] + moved).astype(np.float32)
    arrays["beat_phrase"] = place.astype(np.int32)
    arrays["phrase_start"] = starts
    return dataclasses.replace(book, arrays=arrays)


def middles(book: Book, count: int, seed: int = 0) -> np.ndarray:
    """Phrases that are each the nearest to the middle of one of `count` clusters."""
    described = []
    for phrase in range(len(book.phrase_start) - 1):
        clip = book.clip(
            *(int(edge) for edge in book.phrase_start[phrase : phrase + 2])
        )
        level = 20 * np.log10(np.maximum(clip.levels[0], 1e-5))
        described.append(
            np.concatenate(
                [
                    level.mean(axis=0),
                    level.std(axis=0),
                    [clip.brightness.mean(), clip.onset.mean(), clip.tonality.mean()],
                ]
            )
        )
    described = np.array(described)
    described = (described - described.mean(axis=0)) / (described.std(axis=0) + 1e-6)
    found = sklearn.cluster.KMeans(count, n_init=4, random_state=seed).fit(described)
    away = np.square(described[:, None] - found.cluster_centers_[None]).sum(axis=2)
    return np.unique(away.argmin(axis=0))


def goes_on(plan: SongPlan, book: Book) -> float:
    """Share of the beats of sections that follow the one before as in the recording."""
    found = []
    for section in plan.sections:
        beats = np.ravel(section.gestures)
        same = book.beat_phrase[beats[1:]] == book.beat_phrase[beats[:-1]]
        found.append((np.diff(beats) == 1) & same)
    return float(np.concatenate(found).mean())


def judged(model: GrainModel, style: str, songs: int, real: np.ndarray) -> dict:
    """The row of a model's book."""
    book, moments, rows = model.books[style], [], []
    for song in composed(model, style, songs):
        moments.append(statistics(song.waveform, song.sample_rate))
        listener = judges.Listener(song.waveform, song.sample_rate)
        row = judges.judge_chords(listener, song.plan)
        row |= judges.judge_form(listener, song.plan)
        rows.append(row | {"goes_on": goes_on(song.plan, book)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "book.safetensors")
        book.write(path)
        size = path.stat().st_size / 1e6
    return {
        "gestures": len(book),
        "distance": distance(np.concatenate(moments), real),
        **{
            name: float(np.nanmedian([row[name] for row in rows]))
            for name in ("chords", "contrast", "goes_on")
        },
        "megabytes": size,
    }


def main() -> None:
    """Make songs of each book, print the table."""
    parser = parser_of(__doc__)
    takes_corpora(parser)
    takes_model(parser)
    parser.add_argument("--songs", type=int, default=6, help="of each book")
    takes_report(parser)
    asked = parsed(parser)
    model, report = GrainModel.read(asked.model), {}
    print(" " * 30 + "".join(f"{column:>11}" for column in COLUMNS))
    for folder in asked.corpora:
        style, book = folder.name, model.books[folder.name]
        real = np.concatenate(recordings(folder)[0])
        phrases = np.arange(len(book.phrase_start) - 1)
        books = {
            "whole": phrases,
            "every second": phrases[::2],
            "every fourth": phrases[::4],
            "middles, a half": middles(book, len(phrases) // 2),
            "middles, a quarter": middles(book, len(phrases) // 4),
        }
        for name, kept in books.items():
            fewer = model.books | {style: of_phrases(book, kept)}
            own = dataclasses.replace(model, books=fewer)
            row = judged(own, style, asked.songs, real)
            report[f"{style}, {name}"] = row
            cells = "".join(f"{row[column]:11.2f}" for column in COLUMNS)
            print(f"{f'{style}, {name}':30}{cells}", flush=True)
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
