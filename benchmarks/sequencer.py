"""Are composed songs like the songs that were learned from, and none a copy of one?

    python benchmarks/sequencer.py --harmony harmony.jsonl
    python benchmarks/sequencer.py --harmony harmony.jsonl --count 30 --json like.json

For each held-out song with chords (split test) one is composed as `compose-song --form
free` does it, with its metre, tempo and mode and nothing else asked; one to its length in
bars as well; and one is drawn from the sequencer as it is, without the composer's taste.
The table sets them beside the held-out songs, and the training songs beside those: how
far real songs are from one another is as near as one can get.

Distances are between distributions: half the sum of absolute differences, 0 to 1 (what
two draws of so few songs differ by anyway is in the column of the training songs, from
as many of them); for counts and lengths, how far the one has to be moved to
become the other (Wasserstein), in their own unit. Chords are relative to the tonic.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.stats
from command import parser_of

import hierarchy
from structure.annotations import AnnotatedSong, read_annotations, song_from_plan
from structure.composing import compose
from structure.cursor import Cursor
from structure.encoding import read_sections, song_tokens
from structure.errors import RequestError
from structure.harmony import Key
from structure.plan import BEATS_PER_BAR, FASTEST, SLOWEST
from structure.requests import SongRequest
from structure.sequencer import Sequencer
from structure.vocabulary import (
    END,
    MOST_BARS,
    NUMBER,
    TOKENS,
    bar_tokens,
    tempo_token,
)
from structure.writing import Writer

PRETRAINED = Path(hierarchy.__file__).parent / "pretrained" / "sequencer"
WINDOW = 16
"""Bars that make a copy."""


@dataclasses.dataclass(frozen=True)
class Song:
    """What is compared of a song.

    Attributes:
        labels: of its sections.
        letters: ideas without primes; None where unknown.
        lengths: bars of each section.
        bars: of each section, for each bar its tokens.
    """

    labels: tuple[str, ...]
    letters: tuple[str | None, ...]
    lengths: tuple[int, ...]
    bars: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def all_bars(self) -> list[tuple[int, ...]]:
        """Its bars in a row."""
        return [bar for section in self.bars for bar in section]


def song_of(song: AnnotatedSong) -> Song:
    """An annotated song with chords as what is compared; silence is dropped."""
    sections = [s for s in song.sections if s.label != "silence"]
    return Song(
        labels=tuple(s.label for s in sections),
        letters=tuple(s.letter.rstrip("'") if s.letter else None for s in sections),
        lengths=tuple(s.bars for s in sections),
        bars=tuple(
            tuple(
                tuple(bar_tokens(bar, tonic))
                for bar, tonic in zip(s.chords, s.tonics, strict=True)
            )
            for s in sections
        ),
    )


# ---- Writing ---------------------------------------------------------------------


def composed_like(
    sequencer: Sequencer, song: AnnotatedSong, seed: int, *, to_length: bool, **knobs
) -> Song | None:
    """A song of the same metre, tempo and mode in a free form.

    Args:
        sequencer: the default or another.
        song: to be like.
        seed: of the new one.
        to_length: whether it has as many bars.
        knobs: of a SongRequest, where its own are not wanted.
    """
    asked: dict = {"form": "free", "melody": False, **knobs}
    if song.meter in BEATS_PER_BAR:
        asked["meter"] = song.meter
    if song.mode in ("maj", "min"):
        asked["mode"] = song.mode
    if song.tempo is not None:
        asked["tempo"] = float(np.clip(song.tempo, SLOWEST, FASTEST))
    if to_length:
        asked["bars"] = sum(s.bars for s in song.sections if s.label != "silence")
    try:
        plan = compose(sequencer, SongRequest(**asked), seed=seed)
    except RequestError as error:
        print(f"{song.id}: {error}", file=sys.stderr)
        return None
    return song_of(song_from_plan(plan, id=song.id))


def drawn_like(sequencer: Sequencer, song: AnnotatedSong, seed: int) -> Song:
    """A song of the same header, all else as the sequencer draws it."""
    header = [token for token, _ in song_tokens(song)[1:4]]
    writer = Writer(
        sequencer,
        source=NUMBER["source", "mcgill-billboard"],
        capacity=4096,
        temperature=1.0,
        top_p=1.0,
        rng=np.random.default_rng(seed),
    )
    for token in header:
        if TOKENS[token][1] == "?":
            token = {"meter": NUMBER["meter", "4/4"], "tempo": tempo_token(120)}.get(
                TOKENS[token][0], NUMBER["mode", "maj"]
            )
        writer.push(token)
    cursor: Cursor = writer.cursor
    while not cursor.done:
        full = cursor.kind == "label" and len(cursor.sections) >= 40
        if full:
            writer.push(END)
        elif cursor.kind == "energy":
            # Songs without energies taught it nothing of them.
            writer.push(NUMBER["energy", "?"])
        else:
            writer.draw()
    key = Key(0)
    sections = read_sections(cursor, key)
    return Song(
        labels=tuple(s.label for s in sections),
        letters=tuple(s.letter for s in sections),
        lengths=tuple(s.bars for s in sections),
        bars=tuple(
            tuple(tuple(bar) for bar in section.chords) for section in cursor.sections
        ),
    )


# ---- Comparing -------------------------------------------------------------------


def apart(one: Iterable[Hashable], other: Iterable[Hashable]) -> float:
    """Total variation between two samples."""
    counts = [collections.Counter(sample) for sample in (one, other)]
    totals = [count.total() for count in counts]
    if not all(totals):
        return float("nan")
    return 0.5 * sum(
        abs(counts[0][x] / totals[0] - counts[1][x] / totals[1])
        for x in counts[0].keys() | counts[1].keys()
    )


def label_pairs(songs: Sequence[Song]) -> list[tuple[str, str]]:
    """Which function follows which, the ends of songs included."""
    return [
        pair
        for song in songs
        for pair in zip(("", *song.labels), (*song.labels, ""), strict=True)
    ]


def chord_grams(songs: Sequence[Song], size: int) -> list[tuple[int, ...]]:
    """Rows of `size` different chords as they follow one another."""
    grams = []
    for song in songs:
        chords = [
            t for bar in song.all_bars for t in (bar if len(bar) == 1 else bar[1:])
        ]
        moves = [c for i, c in enumerate(chords) if i == 0 or c != chords[i - 1]]
        grams += [tuple(moves[i : i + size]) for i in range(len(moves) - size + 1)]
    return grams


def likeness_of_returns(songs: Sequence[Song]) -> list[tuple[int, int]]:
    """For each section whose idea came before: bars equal to the latest time, and all."""
    found = []
    for song in songs:
        last: dict[str, tuple] = {}
        for letter, bars in zip(song.letters, song.bars, strict=True):
            if letter is not None and letter in last:
                pairs = list(zip(bars, last[letter], strict=False))
                found.append((sum(a == b for a, b in pairs), len(pairs)))
            if letter is not None:
                last[letter] = bars
    return found


def share_of_returns(songs: Sequence[Song], *, exact: bool) -> float:
    """Share of the bars of returns that are as before, or of returns all of whose are."""
    found = np.array(likeness_of_returns(songs)).reshape(-1, 2)
    same, compared = found.T
    return float((same == compared).mean() if exact else same.sum() / compared.sum())


def looping(songs: Sequence[Song], period: int) -> float:
    """Share of bars equal to that `period` bars before in their section."""
    pairs = [
        bars[i] == bars[i - period]
        for song in songs
        for bars in song.bars
        for i in range(period, len(bars))
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def windows(song: Song) -> list[tuple]:
    """All rows of WINDOW bars of a song."""
    bars = song.all_bars
    return [tuple(bars[i : i + WINDOW]) for i in range(len(bars) - WINDOW + 1)]


def copies(songs: Sequence[Song], known: set[tuple], *, plain: bool) -> float:
    """Share of songs with WINDOW bars in a row that stand in a known song.

    Args:
        songs: to look through.
        known: rows of bars.
        plain: whether rows of fewer than four different bars count; a song on two
            chords is no copy of another on the same two.
    """
    hits = [
        any(row in known and (plain or len(set(row)) >= 4) for row in windows(song))
        for song in songs
    ]
    return float(np.mean(hits))


def functions(song: Song) -> dict[str, list[str]]:
    """The labels of each idea of a song."""
    found: dict[str, list[str]] = {}
    for label, letter in zip(song.labels, song.letters, strict=True):
        found.setdefault(letter, []).append(label)
    return found


def kept_ideas(song: Song) -> list[bool]:
    """Whether each verse but the first, and chorus, has the idea of one before it."""
    kept, before = [], set()
    for label, letter in zip(song.labels, song.letters, strict=True):
        if label in ("verse", "chorus"):
            if any(one == label for one, _ in before):
                kept.append((label, letter) in before)
            before.add((label, letter))
    return kept


KNOBS = ("temperature", "top_p", "variation")
"""What of a request can be tried."""

Measure = Callable[[Sequence[Song]], float]

SHARES: dict[str, Measure] = {
    "sections a song": lambda songs: np.mean([len(s.labels) for s in songs]),
    "bars a section": lambda songs: np.mean([b for s in songs for b in s.lengths]),
    "lengths that are a multiple of 4": lambda songs: np.mean(
        [b % 4 == 0 for s in songs for b in s.lengths]
    ),
    "ideas a song": lambda songs: np.mean([len(set(s.letters)) for s in songs]),
    "sections that return": lambda songs: np.mean(
        [x in s.letters[:i] for s in songs for i, x in enumerate(s.letters)]
    ),
    "verses and choruses that have an earlier one's idea": lambda songs: np.mean(
        [has for s in songs for has in kept_ideas(s)]
    ),
    "songs with one idea for verse and chorus": lambda songs: np.mean(
        [
            any({"verse", "chorus"} <= set(found) for found in functions(s).values())
            for s in songs
        ]
    ),
    "songs that open with an intro": lambda songs: np.mean(
        [s.labels[0] == "intro" for s in songs]
    ),
    "songs that end with an outro": lambda songs: np.mean(
        [s.labels[-1] == "outro" for s in songs]
    ),
    "bars equal to the same bar of the earlier instance": lambda songs: (
        share_of_returns(songs, exact=False)
    ),
    "returns that are equal in every bar": lambda songs: share_of_returns(
        songs, exact=True
    ),
    "bars equal to the bar before": lambda songs: looping(songs, 1),
    "bars equal to that four bars ago": lambda songs: looping(songs, 4),
    "bars of several chords": lambda songs: np.mean(
        [len(bar) > 1 for s in songs for bar in s.all_bars]
    ),
    "different chords a song": lambda songs: np.mean(
        [len({t for bar in s.all_bars for t in bar}) for s in songs]
    ),
}

DISTANCES: dict[str, Callable[[Sequence[Song], Sequence[Song]], float]] = {
    "section counts, moved": lambda a, b: scipy.stats.wasserstein_distance(
        [len(s.labels) for s in a], [len(s.labels) for s in b]
    ),
    "section lengths, moved": lambda a, b: scipy.stats.wasserstein_distance(
        [min(x, MOST_BARS) for s in a for x in s.lengths],
        [min(x, MOST_BARS) for s in b for x in s.lengths],
    ),
    "section lengths": lambda a, b: apart(
        [x for s in a for x in s.lengths], [x for s in b for x in s.lengths]
    ),
    "labels": lambda a, b: apart(
        [x for s in a for x in s.labels], [x for s in b for x in s.labels]
    ),
    "label order (pairs)": lambda a, b: apart(label_pairs(a), label_pairs(b)),
    "chords": lambda a, b: apart(chord_grams(a, 1), chord_grams(b, 1)),
    "chord changes (pairs)": lambda a, b: apart(chord_grams(a, 2), chord_grams(b, 2)),
    "three chords in a row": lambda a, b: apart(chord_grams(a, 3), chord_grams(b, 3)),
}


def compare(groups: dict[str, Sequence[Song]], learned: Sequence[Song]) -> list[dict]:
    """One row a measure: its value in each group, or its distance from the first.

    Args:
        groups: the held-out songs first.
        learned: the songs that were trained on.
    """
    real = next(iter(groups.values()))
    rows = []
    for name, measure in SHARES.items():
        values = {group: float(measure(songs)) for group, songs in groups.items()}
        rows.append({"measure": name, **values})
    for name, distance in DISTANCES.items():
        values = {
            group: None if songs is real else float(distance(songs, real))
            for group, songs in groups.items()
        }
        rows.append({"measure": f"{name}: distance", **values})
    known = {row for song in learned for row in windows(song)}
    for plain, kind in ((True, "any"), (False, "four different bars or more")):
        values = {}
        for group, songs in groups.items():
            if songs and songs[0] in learned:
                values[group] = _copies_among(songs, learned, plain=plain)
            else:
                values[group] = copies(songs, known, plain=plain)
        text = f"songs with {WINDOW} bars of a training song, {kind}"
        rows.append({"measure": text, **values})
    return rows


def _copies_among(songs: Sequence[Song], learned: Sequence[Song], *, plain: bool):
    """The same for training songs: each against all the others."""
    owners: dict[tuple, set[int]] = collections.defaultdict(set)
    for number, song in enumerate(learned):
        for row in windows(song):
            owners[row].add(number)
    hits = []
    for song in songs:
        number = learned.index(song)
        hits.append(
            any(
                owners[row] - {number} and (plain or len(set(row)) >= 4)
                for row in windows(song)
            )
        )
    return float(np.mean(hits))


def table(rows: list[dict]) -> str:
    """Markdown, as in RESULTS.md."""
    groups = [key for key in rows[0] if key != "measure"]
    lines = [f"| | {' | '.join(groups)} |", "|---|" + "--:|" * len(groups)]
    for row in rows:
        cells = ["" if row[g] is None else f"{row[g]:.3g}" for g in groups]
        lines.append(f"| {row['measure']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--harmony", nargs="+", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--split", default="test", help="the songs to be like")
    parser.add_argument("--count", type=int, help="so many of them only")
    parser.add_argument("--each", type=int, default=1, help="songs written for each")
    for knob in KNOBS:
        parser.add_argument(f"--{knob}", type=float, help="in place of the default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the table here as JSON too")
    options = parser.parse_args()
    sequencer = Sequencer.read(options.model)

    def with_chords(split):
        songs = read_annotations(options.harmony, split=split)
        return [song for song in songs if song.has_chords and song.sections]

    held = with_chords(options.split)[: options.count]
    learned = [song_of(song) for song in with_chords("train")]
    rng = np.random.default_rng(options.seed)
    some = rng.permutation(len(learned))[: len(held)]
    asked = {knob: getattr(options, knob) for knob in KNOBS}
    knobs = {knob: value for knob, value in asked.items() if value is not None}
    composed, to_length, drawn = [], [], []
    for number, song in enumerate(held * options.each):
        if sys.stderr.isatty():
            print(
                f"\r{number + 1} of {len(held) * options.each}", end="", file=sys.stderr
            )
        seed = options.seed + number
        for made, length in ((composed, False), (to_length, True)):
            one = composed_like(sequencer, song, seed, to_length=length, **knobs)
            made += [one] if one is not None else []
        drawn.append(drawn_like(sequencer, song, seed))
    groups = {
        "held out": [song_of(song) for song in held],
        "training": [learned[i] for i in some],
        "composed": composed,
        "to length": to_length,
        "drawn": drawn,
    }
    rows = compare(groups, learned)
    print(table(rows))
    if options.json:
        counts = {group: len(songs) for group, songs in groups.items()}
        text = json.dumps({"songs": counts, "rows": rows}, indent=1)
        options.json.write_text(text)


if __name__ == "__main__":
    main()
