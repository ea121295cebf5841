"""Sections lie as far apart in loudness as the recordings of their style have it."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro.loudness_range import NARROWEST, SPREAD, WIDEST, range_of
from tests.small_worlds import features_and_book


@pytest.fixture(scope="module")
def book(small_song):
    return features_and_book(small_song)[1]


def with_beats(book, song, idea, level):
    """A book of these beats; all else of each is that of the first."""
    count = len(song)
    others = {
        name: array[:, [0] * count] if name == "beat_edges" else array[[0] * count]
        for name, array in book.arrays.items()
        if name.startswith("beat_")
    }
    told = {
        "beat_song": np.int32(song),
        "beat_idea": np.int32(idea),
        "beat_level": np.float32(level),
    }
    return dataclasses.replace(book, arrays=book.arrays | others | told)


def test_ideas_that_lie_apart_make_a_wide_range(book):
    apart = with_beats(book, [0] * 4, [0, 0, 1, 1], [-23.0, -23.0, -16.2, -16.2])
    assert range_of(apart) == pytest.approx(3.4 / SPREAD, rel=1e-4)


def test_how_loud_a_recording_is_as_a_whole_says_nothing(book):
    song, idea = [0, 0, 1, 1], [0, 1, 0, 1]
    level = [-20.0, -14.0, -40.0, -34.0]
    assert range_of(with_beats(book, song, idea, level)) == pytest.approx(
        3.0 / SPREAD, rel=1e-4
    )


def test_beats_within_an_idea_may_move_as_they_like(book):
    still = with_beats(book, [0] * 4, [0, 0, 1, 1], [-20.0, -20.0, -14.0, -14.0])
    louder = 10 * np.log10(2 * 10**-2.0 - 10**-2.5)
    moving = with_beats(book, [0] * 4, [0, 0, 1, 1], [louder, -25.0, -14.0, -14.0])
    assert range_of(moving) == pytest.approx(range_of(still), rel=1e-4)


@pytest.mark.parametrize(("apart", "bound"), [(0.0, NARROWEST), (60.0, WIDEST)])
def test_a_form_is_heard_and_nothing_is_lost(book, apart, bound):
    assert range_of(with_beats(book, [0, 0], [0, 1], [-30.0, -30.0 + apart])) == bound


def test_a_book_without_beats_has_the_narrowest(book):
    assert range_of(with_beats(book, [], [], [])) == NARROWEST
