"""Chords become gestures that sound them, and ideas stay what they are."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro.choosing import (
    MOST,
    Scene,
    _candidates,
    _rank_songs,
    beat_chords,
    choose_gestures,
    natural_tempo,
    scenes_of,
    transpositions,
)
from hierarchy.material.gestures import fit_to_chords
from structure.errors import RequestError
from structure.plan import Section
from tests.small_worlds import features_and_book, small_plan


@pytest.fixture(scope="module")
def book(small_song):
    return features_and_book(small_song)[1]


@pytest.fixture(scope="module")
def chosen(book):
    return choose_gestures(small_plan("ABABC"), book, seed=3)


def test_every_beat_has_a_gesture_of_the_book(chosen, book):
    for section in chosen.sections:
        assert len(section.gestures) == section.bars
        assert all(len(bar) == 4 for bar in section.gestures)
        assert all(0 <= beat < len(book) for bar in section.gestures for beat in bar)


def test_a_plan_with_its_gestures_is_still_a_plan(chosen):
    assert type(chosen).from_json(chosen.to_json()) == chosen


def test_an_idea_that_returns_has_the_same_gestures(chosen):
    assert chosen.sections[0].gestures == chosen.sections[2].gestures
    assert chosen.sections[1].gestures == chosen.sections[3].gestures
    assert chosen.sections[0].gestures != chosen.sections[1].gestures


def test_one_seed_one_choice_and_other_seeds_others(book, chosen):
    plan = small_plan("ABABC")
    assert choose_gestures(plan, book, seed=3) == chosen
    others = {choose_gestures(plan, book, seed=seed).sections for seed in range(6)}
    assert len(others) > 1


def test_gestures_that_are_asked_stay(book):
    plan = small_plan("AB")
    mine = tuple((beat, 5, 6, 7) for beat in range(4))
    sections = (
        plan.sections[0].model_copy(update={"gestures": mine}),
        plan.sections[1],
    )
    plan = plan.model_copy(update={"sections": sections})
    filled = choose_gestures(plan, book, seed=0)
    assert filled.sections[0] == plan.sections[0]
    assert filled.sections[1].gestures is not None
    assert choose_gestures(filled, book, seed=99) == filled


@pytest.mark.parametrize("beat", [-1, 10_000])
def test_a_gesture_that_the_book_does_not_have_is_refused(book, beat):
    plan = small_plan("C")
    section = plan.sections[0].model_copy(update={"gestures": ((0, beat, 2, 3),)})
    with pytest.raises(RequestError, match=f"section 0 asks for gesture {beat}"):
        choose_gestures(plan.model_copy(update={"sections": (section,)}), book, seed=0)


def test_gestures_sound_the_chords_that_were_asked(chosen, book):
    for section in chosen.sections:
        chords = beat_chords(section, 4)
        fits = fit_to_chords(book, chords)
        beats = np.ravel(section.gestures)
        interval = transpositions(book, beats, chords)
        fit = fits[np.arange(len(beats)), beats, interval % 12]
        assert fit.mean() > 0.85
        # No gesture would do much better.
        assert (fits.max(axis=(1, 2)) - fit).mean() < 0.1


def test_beats_keep_their_place_in_the_bar(chosen, book):
    places = np.concatenate([np.ravel(s.gestures) for s in chosen.sections]) % 4
    wanted = np.tile(np.arange(4), len(places) // 4)
    assert np.mean(places == wanted) > 0.8


def test_beats_that_followed_one_another_are_kept_together(chosen):
    beats = np.ravel(chosen.sections[0].gestures)
    assert np.mean(np.diff(beats) == 1) > 0.5


def test_loud_ideas_take_loud_gestures(chosen, book):
    verse, chorus = (
        book.beat_level[np.ravel(chosen.sections[n].gestures)].mean() for n in (0, 1)
    )
    assert chorus > verse


def test_there_is_a_scene_for_each_idea_of_the_recording(book):
    scenes = scenes_of(book)
    assert len(scenes) == 2
    assert scenes[1].level > scenes[0].level
    assert sum(len(scene.beats) for scene in scenes) == len(book)


def test_transpositions_are_the_short_way_round(book):
    # The first gesture of the book was heard as A minor.
    for chord, wanted in {"A:min": 0, "Eb:min": -6, "C:min": 3, "F:min": -4}.items():
        beats = np.zeros(4, int)
        np.testing.assert_array_equal(transpositions(book, beats, [chord] * 4), wanted)
    # A chord that is none asks for nothing.
    np.testing.assert_array_equal(transpositions(book, beats, ["N"] * 4), 0)


def test_chords_share_their_bar_evenly():
    section = Section(
        label="verse",
        letter="A",
        chords=(("C",), ("C", "F"), ("C", "F", "G"), ("C", "F", "G", "Am")),
    )
    assert beat_chords(section, 4) == (
        ["C"] * 4 + ["C", "C", "F", "F"] + ["C", "C", "F", "G"] + ["C", "F", "G", "Am"]
    )


def test_the_natural_tempo_is_one_that_was_heard(book):
    assert natural_tempo(book, seed=0) == 120
    assert natural_tempo(book, seed=0, meter="6/8") == 60


def test_a_recording_of_half_the_tempo_is_not_played_twice_as_fast(book):
    beats = len(book)
    two = dataclasses.replace(
        book,
        songs=("slow", "near"),
        arrays=book.arrays
        | {
            "beat_song": np.arange(beats, dtype=np.int32) % 2,
            "song_tempo": np.float32([75, 135]),
            "song_major": np.float32([0, 1]),
        },
    )
    plan = small_plan("AB").model_copy(update={"tempo": 150.0, "key": "A:min"})
    for seed in range(20):
        assert _rank_songs(plan, two, np.random.default_rng(seed))[0] == 1


def test_what_a_section_chooses_from_is_bounded(book):
    many = np.arange(500) % len(book)
    assert len(_candidates(book, [Scene(0, many, 0.0)], ["C:maj"])) == MOST


def _with_softer_beats(book, decibels):
    """A book in which every third beat is softer than all others."""
    level = np.full(len(book), -20.0, np.float32)
    level[::3] += decibels
    return dataclasses.replace(book, arrays=book.arrays | {"beat_level": level})


def test_soft_beats_of_a_scene_are_as_good_as_others_and_holes_are_not(book):
    plan = small_plan("A")
    chosen = {
        decibels: choose_gestures(plan, _with_softer_beats(book, decibels), seed=5)
        for decibels in (0.0, -10.0, -40.0)
    }
    used = {d: np.ravel(one.sections[0].gestures) for d, one in chosen.items()}
    assert used[-10.0].tolist() == used[0.0].tolist()
    soft = {d: (beats % 3 == 0).mean() for d, beats in used.items()}
    assert soft[-40.0] < 0.5 * soft[0.0]
