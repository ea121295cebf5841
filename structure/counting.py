"""What counting alone knows of songs: the yardstick of a sequencer.

Labels, letters and lengths follow n-grams. Chords follow a mixture of what often
followed the last few chords in other songs (n-grams), what did in this song so far
(a cache), and what stood at the same place of the last section of the same letter
(a copy); its weights depend on how well copying has gone and are fitted on songs
that were not counted. How a bar is divided is foreseen first, in the same way, and
then its chords, so that both ways of counting a chord's cost come from one model.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.scoring import Costs, Foresee, letters_of
from structure.vocabulary import FEATURES, KINDS, OUTCOMES, PARTS

CHORD = KINDS.index("chord")
ORDERS = (1, 3, 8)
"""How many earlier chords the n-grams look back on, each order an expert."""

_CACHED = 6  # earlier chords that the cache looks back on
_SURE = 0.999  # of the mixture; the rest is spread over all outcomes


class NGrams:
    """Counts of what followed each context, shorter contexts filling in for longer.

    Source: Witten and Bell, IEEE Transactions on Information Theory 37(4), 1991.
    """

    def __init__(self, outcomes: int, *, doubt: float = 1.0):
        """Start without counts.

        Args:
            outcomes: how many there are, equally likely at first.
            doubt: how much shorter contexts weigh beside longer ones.
        """
        self.outcomes, self.doubt = outcomes, doubt
        self.counts = collections.defaultdict(collections.Counter)

    def learn(self, contexts: Iterable[Hashable], outcome: Hashable) -> None:
        """Count an outcome under its contexts."""
        for context in contexts:
            self.counts[context][outcome] += 1

    def odds(self, contexts: Iterable[Hashable], outcome: Hashable) -> list[float]:
        """Probability of an outcome by each context and those before it.

        Args:
            contexts: the shortest first.
            outcome: whose odds are asked.
        """
        odds, rising = 1.0 / self.outcomes, []
        for context in contexts:
            seen = self.counts.get(context)
            if seen:
                total, kinds = seen.total(), self.doubt * len(seen)
                odds = (seen[outcome] + kinds * odds) / (total + kinds)
            rising.append(odds)
        return rising


class Event(NamedTuple):
    """Something to foresee in a song.

    Attributes:
        outcome: what it was.
        copy: what stood at the same place of the last section of the same letter;
            None without such a place.
        new: whether there is no such section.
        starts: whether a section starts here.
    """

    outcome: int
    copy: int | None
    new: bool
    starts: bool


class Mixture:
    """N-grams, a cache and a copy, weighed by how copying has gone."""

    def __init__(self, outcomes: int):
        """Start without counts; `outcomes` are equally likely then."""
        self.outcomes = outcomes
        self.grams = NGrams(outcomes)
        self.weights: dict[Hashable, np.ndarray] = {}

    def learn(self, songs: Iterable[Sequence[Event]]) -> None:
        """Count songs."""
        for song in songs:
            past = [event.outcome for event in song]
            for place, event in enumerate(song):
                contexts = _before(past[:place], ORDERS[-1])
                self.grams.learn(contexts, event.outcome)

    def fit(self, songs: Iterable[Sequence[Event]], *, rounds: int = 40) -> None:
        """Weigh the experts by expectation and maximisation on other songs."""
        rows = collections.defaultdict(list)
        for song in songs:
            for key, odds in self._experts(song):
                rows[key].append(odds)
        for key, odds in rows.items():
            table = np.array(odds)
            weights = np.full(table.shape[1], 1 / table.shape[1])
            for _ in range(rounds):
                shares = table * weights + 1e-12
                weights = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
            self.weights[key] = weights

    def bits(self, song: Sequence[Event]) -> np.ndarray:
        """What each event costs, float [events]."""
        costs = []
        for key, odds in self._experts(song):
            weights = self.weights.get(key, np.full(len(odds), 1 / len(odds)))
            mixed = _SURE * (weights @ odds) + (1 - _SURE) / self.outcomes
            costs.append(-np.log2(mixed))
        return np.array(costs)

    def _experts(self, song: Sequence[Event]) -> Iterator[tuple[Hashable, np.ndarray]]:
        """For each event the context of its weights and its odds by each expert."""
        cache, run = NGrams(self.outcomes, doubt=0.5), 0
        past: list[int] = []
        for place, event in enumerate(song):
            outcome, copy = event.outcome, event.copy
            if event.starts and event.new:
                run = 0
            known = self.grams.odds(_before(past, ORDERS[-1]), outcome)
            near = _before(past, _CACHED)
            here = cache.counts.get((), collections.Counter())
            odds = [known[min(order, place)] for order in ORDERS]
            odds += [cache.odds(near, outcome)[-1]]
            odds += [here[outcome] / max(here.total(), 1), float(copy == outcome)]
            key = (event.new, copy is None, min(run, 4), min(place // 8, 3))
            yield key, np.array(odds)
            if copy is not None:
                run = run + 1 if copy == outcome else 0
            cache.learn(near, outcome)
            past.append(outcome)


def _before(past: list[int], most: int) -> list[tuple[int, ...]]:
    """Contexts of the last 0, 1, ... outcomes."""
    return [tuple(past[len(past) - n :]) for n in range(min(most, len(past)) + 1)]


def counted_bits(
    songs: Sequence[AnnotatedSong], judges: Sequence[AnnotatedSong] = ()
) -> Foresee:
    """Count songs.

    Args:
        songs: to count.
        judges: others, on which the experts are weighed; without them all of a
            mixture weigh the same.
    """
    forms = [NGrams(int(row.sum())) for row in OUTCOMES]
    divisions = Mixture(1 + len(PARTS))
    chords = Mixture(int(OUTCOMES[CHORD].sum()) - len(PARTS))
    told = [(song, encode(song)) for song in songs]
    for _, encoded in told:
        for place, contexts in _form_contexts(encoded):
            forms[encoded.kinds[place]].learn(contexts, int(encoded.targets[place]))
    for part, mixture in enumerate((divisions, chords)):
        mixture.learn(_events(song, encoded)[part][1] for song, encoded in told)
        mixture.fit(_events(song, encode(song))[part][1] for song in judges)

    def foresee(song: AnnotatedSong, encoded: Encoded) -> Costs:
        costs = Costs(*np.zeros([2, len(encoded.tokens)]))
        for place, contexts in _form_contexts(encoded):
            table, target = forms[encoded.kinds[place]], int(encoded.targets[place])
            costs.bits[place] = -np.log2(table.odds(contexts, target)[-1])
        (bars, parts), (places, sounding) = _events(song, encoded)
        if places:
            costs.timed[places] = costs.bits[places] = chords.bits(sounding)
            np.add.at(costs.bits, bars, divisions.bits(parts))
        return costs

    return foresee


def _events(
    song: AnnotatedSong, encoded: Encoded
) -> tuple[tuple[list[int], list[Event]], tuple[list[int], list[Event]]]:
    """Divisions and chords of a song to foresee, each with its place among targets."""
    letters = letters_of(song)
    section = encoded.sections.tolist()
    slot = encoded.features[:, list(FEATURES).index("slot")].tolist()
    divisions, chords = ([], []), ([], [])
    starts: list[int] = []  # the first bar of each section so far
    bars: list[list[int]] = []
    for number, token in enumerate(encoded.chords.tolist()):
        place, at = encoded.first_chord + number, section[number]
        opens = at == len(starts)
        if opens:
            starts.append(len(bars))
        if not slot[place]:
            bars.append([])
        letter = letters[at]
        same = [i for i in range(at) if letter is not None and letters[i] == letter]
        theirs = None
        if same:
            bar = starts[same[-1]] + len(bars) - 1 - starts[at]
            theirs = bars[bar] if bar < starts[same[-1] + 1] else None
        if not slot[place]:
            kind, parts = PARTS.get(token, 1), None if theirs is None else len(theirs)
            divisions[0].append(place)
            divisions[1].append(Event(kind, parts, not same, opens))
        if token not in PARTS:
            nth = len(bars[-1])
            copy = None
            if theirs is not None:
                copy = theirs[nth if nth < len(theirs) else 0]
            first = len(bars) - 1 == starts[at] and not nth
            chords[0].append(place)
            chords[1].append(Event(token, copy, not same, first))
            bars[-1].append(token)
    return divisions, chords


def _form_contexts(song: Encoded) -> Iterator[tuple[int, list[tuple]]]:
    """The contexts of each known target of a form, from none to the longest."""
    label = song.features[:, list(FEATURES).index("label")].tolist()
    past: list[int] = []
    for place in range(song.first_chord):
        ladder: list[tuple] = [()]
        if KINDS[song.kinds[place]] == "label":
            ladder = _before(past, 3)
            past.append(int(song.targets[place]))
        else:
            # The last length of the label, and of the idea.
            hint, alike = song.hints[place, :2].tolist()
            ladder += [(label[place],), (label[place], alike)]
            ladder += [(label[place], alike, hint)]
        if song.known[place]:
            yield place, ladder
