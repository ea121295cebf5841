"""Which songs stand for a style: sets of its songs that are most like the others.

    python benchmarks/held_out.py work/pop work/lofi work/adventure --together 05.ogg 06.ogg

Of all sets of a quarter of a style's songs (or of 20,000 of them, if there are more) those
are printed whose moments (see `frechet.py`) lie nearest to the moments of the songs that
are left, beside the median of all sets and the distance between halves. A model that is
judged by such songs is asked whether it knows the style, and not whether it guesses how
one song differs from the rest. It looks at recordings alone. `prepare-corpus --held-out`
takes the names. With --together songs that are versions of one piece are held out
together or not at all.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from command import parsed, parser_of, takes_corpora, takes_report, write_report
from frechet import distance, halves, recordings

from hierarchy.material.corpus import Corpus

SHARE = 4  # one in so many, rounded up
MOST = 20_000
SHOWN = 3


def sets_of(count: int, size: int, together: set[int]) -> list[tuple[int, ...]]:
    """Sets of so many numbers below count, in which those come together or not at all."""
    if math.comb(count, size) <= MOST:
        every = itertools.combinations(range(count), size)
    else:
        random = np.random.default_rng(0)
        every = {
            tuple(sorted(random.choice(count, size, replace=False).tolist()))
            for _ in range(MOST)
        }
    return [
        one for one in every if len(together.intersection(one)) in {0, len(together)}
    ]


def by_distance(songs: list[np.ndarray], sets: list[tuple[int, ...]]) -> list[tuple]:
    """(distance from the songs that are left, set), the nearest first."""
    found = []
    for one in sets:
        chosen = [songs[i] for i in one]
        left = [song for i, song in enumerate(songs) if i not in one]
        found.append((distance(np.concatenate(chosen), np.concatenate(left)), one))
    return sorted(found)


def main() -> None:
    """Print the sets of each style."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    add(
        "--together",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="versions of a piece",
    )
    takes_report(parser)
    arguments = parsed(parser)
    report = {}
    for folder in arguments.corpora:
        sources = [song.source for song in Corpus.read(folder).songs]
        songs, _ = recordings(folder)
        together = {i for i, name in enumerate(sources) if name in arguments.together}
        sets = sets_of(len(songs), math.ceil(len(songs) / SHARE), together)
        found = by_distance(songs, sets)
        report[folder.name] = {
            "halves": halves(songs),
            "median": float(np.median([far for far, _ in found])),
            "nearest": [
                {"distance": far, "songs": [sources[i] for i in one]}
                for far, one in found[:SHOWN]
            ],
        }
        row = report[folder.name]
        print(
            f"{folder.name}: halves {row['halves']:.2f}, median of {len(found)} sets "
            f"{row['median']:.2f}"
        )
        for one in row["nearest"]:
            print(f"  {one['distance']:6.2f}  {' '.join(one['songs'])}", flush=True)
    write_report(report, arguments.json)


if __name__ == "__main__":
    main()
