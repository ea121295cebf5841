"""How well a sequencer foresees songs that it never saw, in bits, beside n-grams.

Bits are what each label, length or chord costs given all that came before it in
its song; fewer is better. The n-grams stand for what counting alone knows.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.recall import Recalled
from structure.sequencer import Sequencer
from structure.vocabulary import FEATURES, KINDS, OUTCOMES, PARTS

SCORED = ("label", "letter", "bars", "chord", "new_chord", "timed", "new_timed")
"""What is scored.

A new chord is one in a section that repeats no earlier one. The cost of a bar's
division counts towards its chords, except for those that are timed: they are
foreseen by one who knows how each bar is divided.
"""


@dataclasses.dataclass(frozen=True)
class Score:
    """Bits for each outcome of one sort.

    Attributes:
        bits: the mean over all outcomes.
        low, high: 95% interval of the mean, songs drawn again (bootstrap).
        outcomes: how many were foreseen.
    """

    bits: float
    low: float
    high: float
    outcomes: int


class Costs(NamedTuple):
    """What the targets of a song cost.

    Attributes:
        bits: [time], of each target.
        timed: [time], of each chord if the division of its bar is known.
    """

    bits: np.ndarray
    timed: np.ndarray


Foresee = Callable[[Encoded], Costs]
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
        sums.append(_sums(encoded, foresee(encoded)))
    return sums


def _sums(song: Encoded, costs: Costs) -> Sums:
    known = song.known > 0
    chord = song.kinds == KINDS.index("chord")
    new = chord & (song.features[:, _RETURNS] == 0)
    whole = chord & ~np.isin(song.targets, list(PARTS))
    sums = {}
    for name in SCORED:
        bits = costs.timed if name.endswith("timed") else costs.bits
        if name in ("label", "letter", "bars"):
            these = counted = known & (song.kinds == KINDS.index(name))
        else:
            these = known & (new if name.startswith("new") else chord)
            counted = these & whole
        sums[name] = (float(bits[these].sum()), int(counted.sum()))
    return sums


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
            float(bits / outcomes), float(low), float(high), int(outcomes)
        )
    return scores


_RETURNS = list(FEATURES).index("returns")
_SLOT = list(FEATURES).index("slot")
_DIVISIONS = np.array(list(PARTS))


def _timed(song: Encoded, place: int, bits: float, divided: float) -> float:
    """The cost of a chord by one who knows the division of its bar.

    Args:
        song: what is foreseen.
        place: of the target.
        bits: its cost.
        divided: the odds that its bar is divided, were it the first of it.
    """
    if song.targets[place] in PARTS:
        return 0.0
    if song.features[place, _SLOT]:
        return bits
    return bits + np.log2(max(1 - divided, 1e-12))


def sequencer_bits(sequencer: Sequencer) -> Foresee:
    """What a sequencer makes of a song, token by token."""

    def foresee(song: Encoded) -> Costs:
        past = sequencer.silence(len(song.tokens))
        costs = Costs(*np.zeros([2, len(song.tokens)]))
        for place in range(len(song.tokens)):
            recalled = None
            chord = place - song.first_chord
            if chord >= 0:
                sources = song.targets[song.first_chord : place]
                recalled = Recalled(song.relations[chord, :chord], sources)
            logits, past = sequencer.step(
                song.tokens[place],
                song.features[place],
                song.hints[place],
                past,
                recalled,
            )
            if not song.known[place]:
                continue
            odds = np.exp(logits - logits.max())
            odds /= odds.sum()
            bits = -np.log2(odds[song.targets[place]])
            costs.bits[place] = bits
            if chord >= 0:
                divided = odds[_DIVISIONS].sum()
                costs.timed[place] = _timed(song, place, bits, divided)
        return costs

    return foresee


class NGrams:
    """Counts of what followed each context, shorter contexts filling in for longer.

    Source: Witten and Bell, IEEE Transactions on Information Theory 37(4), 1991.
    """

    def __init__(self, outcomes: int):
        """Start without counts; `outcomes` are equally likely then."""
        self.outcomes = outcomes
        self.counts = collections.defaultdict(collections.Counter)

    def learn(self, contexts: Sequence[Hashable], outcome: int) -> None:
        """Count an outcome under its contexts, the shortest first."""
        for context in contexts:
            self.counts[context][outcome] += 1

    def odds(self, contexts: Iterable[Hashable], outcome: int) -> float:
        """Probability of an outcome."""
        odds = 1.0 / self.outcomes
        for context in contexts:
            seen = self.counts.get(context)
            if seen:
                total, kinds = seen.total(), len(seen)
                odds = (seen[outcome] + kinds * odds) / (total + kinds)
        return odds


def ngram_bits(
    songs: Sequence[AnnotatedSong], *, order: int = 3, copying: bool = True
) -> Foresee:
    """Count n-grams in training songs.

    Args:
        songs: to count in.
        order: how many earlier labels or chords a context has at most.
        copying: whether contexts know the hint: the last length of the idea or
            the label, the chord at the same place of the section that returns.
    """
    tables = [NGrams(int(row.sum())) for row in OUTCOMES]
    for song in songs:
        encoded = encode(song)
        contexts = _contexts(encoded, order, copying)
        for place in np.flatnonzero(encoded.known):
            table = tables[encoded.kinds[place]]
            table.learn(contexts[place], int(encoded.targets[place]))

    def foresee(song: Encoded) -> Costs:
        costs = Costs(*np.zeros([2, len(song.tokens)]))
        contexts = _contexts(song, order, copying)
        for place in np.flatnonzero(song.known):
            table = tables[song.kinds[place]]
            odds = table.odds(contexts[place], int(song.targets[place]))
            costs.bits[place] = bits = -np.log2(odds)
            if place >= song.first_chord:
                divided = sum(table.odds(contexts[place], token) for token in PARTS)
                costs.timed[place] = _timed(song, place, bits, divided)
        return costs

    return foresee


def _contexts(song: Encoded, order: int, copying: bool) -> list[list[tuple]]:
    """The contexts of each target, from none to the longest."""
    names = list(FEATURES)
    label = song.features[:, names.index("label")].tolist()
    slot = song.features[:, names.index("slot")].tolist()
    hint = song.hints[:, 0].tolist()
    alike = song.hints[:, 1].tolist()
    contexts = []
    past: dict[int, list[int]] = collections.defaultdict(list)
    for place, kind in enumerate(song.kinds.tolist()):
        name = KINDS[kind]
        ladder: list[tuple] = [()]
        if name in ("label", "chord"):
            earlier = tuple(past[kind][-order:])
            ladder += [earlier[len(earlier) - n :] for n in range(1, len(earlier) + 1)]
            if name == "chord" and copying:
                ladder += [("copy", hint[place], slot[place] > 0, *earlier[-1:])]
        else:
            ladder += [(label[place],)]
            if copying:
                ladder += [(label[place], alike[place])]
                ladder += [(label[place], alike[place], hint[place])]
        contexts.append(ladder)
        past[kind].append(int(song.targets[place]))
    return contexts
