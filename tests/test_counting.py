"""What counting alone knows of songs."""

import numpy as np
import pytest

from structure.annotations import AnnotatedSection, AnnotatedSong
from structure.counting import Event, Mixture, NGrams, counted_bits
from structure.encoding import encode
from structure.scoring import score
from structure.vocabulary import KINDS, PARTS

ROUND = (("C",), ("F", "G"), ("A:min",), ("G",))
ODD = (("E:7",), ("Bb",), ("C#:dim",), ("F#:maj7",))


def song(*form, name="song"):
    """Sections of (label, letter, bars of chords) in C."""
    return AnnotatedSong(
        id=name,
        source="yours",
        group=name,
        split="train",
        mode="maj",
        sections=tuple(
            AnnotatedSection(
                label=label,
                letter=letter,
                bars=len(bars),
                chords=bars,
                tonics=(0,) * len(bars),
            )
            for label, letter, bars in form
        ),
    )


def events(outcomes, copies=None):
    """A section; one that returns where copies are given."""
    copies = copies or [None] * len(outcomes)
    return [
        Event(outcome, copy, copies[0] is None, place == 0)
        for place, (outcome, copy) in enumerate(zip(outcomes, copies, strict=True))
    ]


def test_odds_of_all_outcomes_sum_to_one_in_every_context():
    rng = np.random.default_rng(0)
    grams = NGrams(5)
    for _ in range(50):
        one, other, outcome = rng.integers(0, 4, 3).tolist()
        grams.learn([(), (one,), (other, one)], outcome)
    for context in [(), (0,), (3, 1), (9, 9)]:
        ladder = [context[len(context) - n :] for n in range(len(context) + 1)]
        odds = np.array([grams.odds(ladder, outcome) for outcome in range(5)])
        np.testing.assert_allclose(odds.sum(axis=0), 1)


def test_without_counts_a_die_costs_the_logarithm_of_its_sides():
    assert Mixture(8).grams.odds([()], 3) == [1 / 8]


def test_a_song_that_was_counted_is_foreseen():
    mixture = Mixture(50)
    mixture.learn([events([1, 2, 3, 4] * 8)])
    known, strange = mixture.bits(events([1, 2, 3, 4])), mixture.bits(events([9] * 4))
    assert known.sum() < strange.sum() / 2


def test_a_song_is_foreseen_better_the_longer_it_goes_round():
    costs = Mixture(50).bits(events([7, 8, 9] * 8))
    assert costs[-3:].max() < costs[:3].min() / 2


def test_copying_is_trusted_once_other_songs_returned_faithfully():
    back = events([5, 6, 7, 8], copies=[5, 6, 7, 8])
    plain, taught = Mixture(50), Mixture(50)
    taught.fit([events([n] * 4, copies=[n] * 4) for n in range(9)])
    assert taught.bits(back).sum() < plain.bits(back).sum() / 2
    # What is not a copy then costs more, and never without end.
    other = taught.bits(events([5, 30], copies=[5, 6]))[1]
    assert plain.bits(events([5, 30], copies=[5, 6]))[1] < other < 20


def test_what_comes_later_costs_what_came_before_nothing():
    songs = [song(("verse", "A", ROUND), ("chorus", "B", ODD))]
    foresee = counted_bits(songs, songs)
    one = song(("verse", "A", ROUND), ("verse", "A", ROUND), ("chorus", "B", ODD))
    other = song(("verse", "A", ROUND), ("verse", "A", ROUND), ("chorus", "B", ROUND))
    first = encode(one).first_chord + 10  # two rounds of four bars, one of them halved
    for kind in ("bits", "timed"):
        costs = [getattr(foresee(it, encode(it)), kind) for it in (one, other)]
        np.testing.assert_array_equal(costs[0][:first], costs[1][:first])
        assert costs[0][first:].sum() != costs[1][first:].sum()


def test_a_return_costs_less_than_what_returns():
    form = [("verse", "A", ROUND), ("chorus", "B", ODD), ("verse", "A", ROUND)]
    judges = [song(*form), song(*form[1:], form[1])]
    scores = score(counted_bits([song(("verse", "A", ROUND))], judges), [song(*form)])
    assert scores["chord"].bits < scores["new_letter"].bits


def test_the_cost_of_a_division_is_all_that_timing_takes_away():
    one = song(("verse", "A", ROUND * 2))
    encoded = encode(one)
    costs = counted_bits([one], [one])(one, encoded)
    first = encoded.features[:, -1] == 0  # the slot: where a bar begins
    chord = encoded.kinds == KINDS.index("chord")
    np.testing.assert_array_equal(
        costs.bits[chord & ~first], costs.timed[chord & ~first]
    )
    divides = np.isin(encoded.targets, list(PARTS))
    assert (costs.bits[chord & first] > costs.timed[chord & first]).all()
    assert costs.timed[divides] == pytest.approx(0)
