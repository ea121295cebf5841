"""How well a sequencer foresees songs that it never saw, in bits, beside n-grams.

Bits are what each label, length or chord costs given all that came before it in
its song; fewer is better. The n-grams stand for what counting alone knows.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.recall import Recalled
from structure.sequencer import Sequencer
from structure.vocabulary import FEATURES, KINDS, OUTCOMES, PARTS

SCORED = ("label", "letter", "bars", "chord", "new_chord")
"""What is scored; a new chord is one in a section that repeats no earlier one."""


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


def score(
    foresee: Callable[[Encoded], np.ndarray], songs: Sequence[AnnotatedSong]
) -> dict[str, Score]:
    """Score a way of foreseeing.

    Args:
        foresee: a song to bits [time], the cost of each of its targets.
        songs: held-out ones.

    Returns:
        A score for each of SCORED that these songs have. The cost of a bar's
        division counts towards its chords.
    """
    features = list(FEATURES)
    returns = features.index("returns")
    sums = {name: [] for name in SCORED}
    for song in songs:
        encoded = encode(song)
        bits = foresee(encoded)
        known = encoded.known > 0
        chords = np.array([int(token) not in PARTS for token in encoded.targets])
        for name in SCORED:
            kind = "chord" if name == "new_chord" else name
            these = known & (encoded.kinds == KINDS.index(kind))
            if name == "new_chord":
                these &= encoded.features[:, returns] == 0
            counted = these & chords if kind == "chord" else these
            sums[name].append((bits[these].sum(), counted.sum()))
    rng = np.random.default_rng(0)
    scores = {}
    for name, rows in sums.items():
        table = np.array([row for row in rows if row[1]], np.float64)
        if not len(table):
            continue
        draws = rng.integers(len(table), size=(1000, len(table)))
        means = table[draws, 0].sum(axis=1) / table[draws, 1].sum(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        total = table.sum(axis=0)
        scores[name] = Score(total[0] / total[1], low, high, int(total[1]))
    return scores


def sequencer_bits(sequencer: Sequencer) -> Callable[[Encoded], np.ndarray]:
    """What a sequencer makes of a song, token by token."""

    def foresee(song: Encoded) -> np.ndarray:
        past = sequencer.silence(len(song.tokens))
        bits = np.zeros(len(song.tokens))
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
            if song.known[place]:
                shifted = logits - logits.max()
                cost = np.log(np.exp(shifted).sum()) - shifted[song.targets[place]]
                bits[place] = cost / np.log(2)
        return bits

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
) -> Callable[[Encoded], np.ndarray]:
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

    def foresee(song: Encoded) -> np.ndarray:
        bits = np.zeros(len(song.tokens))
        contexts = _contexts(song, order, copying)
        for place in np.flatnonzero(song.known):
            table = tables[song.kinds[place]]
            odds = table.odds(contexts[place], int(song.targets[place]))
            bits[place] = -np.log2(odds)
        return bits

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
