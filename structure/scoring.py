"""How well a sequencer foresees songs that it never saw, in bits.

Bits are what each label, length or chord costs given all that came before it in
its song; fewer is better. `structure.counting` says what counting alone knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.recall import Recalled
from structure.sequencer import Sequencer
from structure.vocabulary import FEATURES, KINDS, PARTS

SCORED = (
    "label",
    "letter",
    "bars",
    *("chord", "new_letter", "new_idea"),
    *("timed", "timed_new_letter", "timed_new_idea"),
)
"""What is scored.

Chords are scored in all sections, in those whose letter as written was not met before
(A' is new beside A), and, stricter, in those whose idea was not (A' is A again).
The cost of a bar's division counts towards its chords, except for those that are
timed: they are foreseen by one who knows how each bar is divided.
"""


@dataclasses.dataclass(frozen=True)
class Score:
    """Bits for each outcome of one sort.

    Attributes:
        bits: the mean over all outcomes.
        low, high: 95% interval of the mean, songs drawn again (bootstrap).
        outcomes: how many were foreseen.
        songs: how many songs had some.
    """

    bits: float
    low: float
    high: float
    outcomes: int
    songs: int


class Costs(NamedTuple):
    """What the targets of a song cost.

    Attributes:
        bits: [time], of each target.
        timed: [time], of each chord if the division of its bar is known.
    """

    bits: np.ndarray
    timed: np.ndarray


Foresee = Callable[[AnnotatedSong, Encoded], Costs]
"""What foresees a song, target by target, each from what came before it."""

Sums = dict[str, tuple[float, int]]
"""Of one song, bits and outcomes of each of SCORED."""


def score(
    foresee: Foresee,
    songs: Sequence[AnnotatedSong],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Score]:
    """Score a way of foreseeing on held-out songs.

    Returns:
        A score for each of SCORED that these songs have.
    """
    return summary(measure(foresee, songs, progress=progress))


def measure(
    foresee: Foresee,
    songs: Sequence[AnnotatedSong],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sums]:
    """What each song costs; `progress` is called with the songs done and all."""
    sums = []
    for number, song in enumerate(songs):
        if progress is not None:
            progress(number, len(songs))
        encoded = encode(song)
        sums.append(_sums(song, encoded, foresee(song, encoded)))
    return sums


def letters_of(song: AnnotatedSong) -> list[str | None]:
    """The letter of each section as written; silence is no section."""
    return [s.letter for s in song.sections if s.label != "silence"]


def _sums(song: AnnotatedSong, encoded: Encoded, costs: Costs) -> Sums:
    known = encoded.known > 0
    sums = {}
    for name in ("label", "letter", "bars"):
        these = known & (encoded.kinds == KINDS.index(name))
        sums[name] = (float(costs.bits[these].sum()), int(these.sum()))
    letters = letters_of(song)
    ideas = [letter and letter.rstrip("'") for letter in letters]
    chords = slice(encoded.first_chord, None)
    whole = known[chords] & ~np.isin(encoded.chords, list(PARTS))
    for name, these in (
        ("", known[chords]),
        ("new_letter", known[chords] & _first(letters)[encoded.sections]),
        ("new_idea", known[chords] & _first(ideas)[encoded.sections]),
    ):
        count = int((these & whole).sum())
        for row, bits in (
            (name or "chord", costs.bits[chords]),
            (f"timed_{name}".rstrip("_"), costs.timed[chords]),
        ):
            sums[row] = (float(bits[these].sum()), count)
    return sums


def _first(names: Sequence[str | None]) -> np.ndarray:
    """bool [sections], whether a name is met for the first time; none always is."""
    fresh = [name is None or name not in names[:i] for i, name in enumerate(names)]
    return np.array(fresh, bool)


def summary(songs: Sequence[Sums]) -> dict[str, Score]:
    """The mean bits of all outcomes of some songs, with its interval."""
    rng = np.random.default_rng(0)
    scores = {}
    for name in SCORED:
        table = np.array([row[name] for row in songs if row[name][1]], np.float64)
        if not len(table):
            continue
        draws = rng.integers(len(table), size=(1000, len(table)))
        means = table[draws, 0].sum(axis=1) / table[draws, 1].sum(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        bits, outcomes = table.sum(axis=0)
        scores[name] = Score(
            float(bits / outcomes),
            float(low),
            float(high),
            outcomes=int(outcomes),
            songs=len(table),
        )
    return scores


_SLOT = list(FEATURES).index("slot")
_DIVISIONS = np.array(list(PARTS))


def sequencer_bits(sequencer: Sequencer) -> Foresee:
    """What a sequencer makes of a song, token by token."""

    def foresee(_: AnnotatedSong, song: Encoded) -> Costs:
        past = sequencer.silence(song.first_chord)
        costs = Costs(*np.zeros([2, len(song.tokens)]))
        for place, target in enumerate(song.targets):
            chord = place - song.first_chord
            if chord < 0:
                logits, past = sequencer.step(
                    song.tokens[place], song.features[place], song.hints[place], past
                )
            else:
                relations = song.relations[chord, :chord]
                logits = sequencer.chord(
                    song.features[place], Recalled(relations, song.chords[:chord])
                )
            if not song.known[place]:
                continue
            odds = np.exp(logits - logits.max())
            odds /= odds.sum()
            costs.bits[place] = -np.log2(odds[target])
            if chord >= 0 and target not in PARTS:
                costs.timed[place] = costs.bits[place]
                if not song.features[place, _SLOT]:
                    whole = max(1 - odds[_DIVISIONS].sum(), 1e-12)
                    costs.timed[place] += np.log2(whole)
        return costs

    return foresee
