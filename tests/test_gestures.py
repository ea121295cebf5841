"""A book of gestures holds beats as they were heard, in few bytes."""

import dataclasses

import numpy as np
import pytest

from hierarchy.material.features import HOP
from hierarchy.material.gestures import (
    Book,
    _from_cents,
    _from_db,
    _to_cents,
    _to_db,
    fit_to_chords,
    make_book,
)
from structure.errors import RequestError
from structure.harmony import Chord
from tests.small_worlds import features_and_book, heard_in


@pytest.fixture(scope="module")
def features(small_song):
    return features_and_book(small_song)[0]


@pytest.fixture(scope="module")
def book(small_song):
    return features_and_book(small_song)[1]


def test_a_book_survives_its_file(book, tmp_path):
    book.write(tmp_path / "own.safetensors")
    again = Book.read(tmp_path / "own.safetensors")
    assert again.sample_rate == book.sample_rate
    assert again.songs == book.songs
    assert again.arrays.keys() == book.arrays.keys()
    for name, array in book.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_file_that_is_no_book_is_refused(tmp_path):
    (tmp_path / "song.safetensors").write_bytes(b"la la la")
    with pytest.raises(RequestError, match="cannot read the gestures"):
        Book.read(tmp_path / "song.safetensors")
    with pytest.raises(RequestError, match="cannot read the gestures"):
        Book.read(tmp_path / "nothing.safetensors")


def test_a_byte_loses_at_most_a_quarter_of_a_decibel():
    levels = 10 ** np.linspace(-119 / 20, 7 / 20, 1000)
    away = 20 * np.log10(_from_db(_to_db(levels)) / levels)
    assert np.abs(away).max() <= 0.2501
    assert _from_db(_to_db(np.zeros(1))) == 0


@pytest.mark.parametrize("tuning", [0.0, 0.3, -0.45])
def test_two_bytes_lose_at_most_half_a_cent_and_the_tuning(tuning):
    frequency = np.geomspace(20, 20_000, 1000)
    stored = _from_cents(_to_cents(frequency * 2 ** (tuning / 12), tuning))
    assert np.abs(1200 * np.log2(stored / frequency)).max() <= 0.501
    assert _from_cents(_to_cents(np.zeros(1), tuning)) == 0


def test_a_clip_is_what_was_heard(book, features):
    # The first phrase starts with the recording.
    last = int(book.phrase_start[1])
    clip = book.clip(0, last)
    loud = features.levels[:, :last] > 1e-4
    away = 20 * np.log10(
        np.maximum(clip.levels, 1e-9) / np.maximum(features.levels[:, :last], 1e-9)
    )
    assert np.abs(away[loud]).max() <= 0.26
    np.testing.assert_allclose(
        clip.brightness, features.brightness[:last], atol=1 / 32 + 1e-6
    )
    np.testing.assert_allclose(clip.onset, features.onset[:last], atol=1 / 255)
    np.testing.assert_allclose(clip.tonality, features.tonality[:last], atol=1 / 255)

    kept = features.sketch[: last // 2].strongest(clip.sketch.frequency.shape[1])
    for name in ("middle", "side"):
        now, was = getattr(clip.sketch, name), getattr(kept, name)
        assert np.abs(now - was).max() < 0.04 * np.abs(was).max()


def test_the_beats_of_a_phrase_follow_one_another(book):
    for phrase in np.unique(book.beat_phrase):
        mine = np.flatnonzero(book.beat_phrase == phrase)
        np.testing.assert_array_equal(np.diff(mine), 1)
        ends = book.beat_start[mine] + book.beat_frames[mine]
        np.testing.assert_allclose(book.beat_start[mine][1:], ends[:-1], atol=1e-2)
        low, high = book.phrase_start[phrase : phrase + 2]
        assert low <= book.beat_start[mine[0]]
        assert ends[-1] <= high
        assert low % 2 == high % 2 == 0


def test_beats_are_half_a_second_long_at_120_bpm(book):
    # The first may lack what lies before the recording.
    np.testing.assert_allclose(book.beat_seconds[1:], 0.5, atol=1e-3)
    assert book.beat_seconds[0] == pytest.approx(0.5, abs=0.03)
    assert HOP / book.sample_rate == pytest.approx(0.032)


def test_every_bar_starts_with_its_downbeat(book):
    np.testing.assert_array_equal(book.beat_in_bar, np.arange(len(book)) % 4)


def test_ideas_of_a_song_are_told_apart(book):
    # Twice four bars each; the very last beat has no end in the recording.
    assert (book.beat_idea == 0).sum() == 32
    assert 28 <= (book.beat_idea == 1).sum() < 32
    verse, chorus = (book.beat_level[book.beat_idea == n].mean() for n in (0, 1))
    assert chorus > verse + 6


def test_a_beat_has_the_pitch_classes_of_its_chord(book, small_song):
    chords = heard_in(small_song).chords
    for beat in range(0, 32, 4):
        strongest = np.argsort(book.beat_chroma[beat])[-3:]
        assert set(strongest.tolist()) == set(Chord.parse(chords[beat]).pitch_classes)


def test_a_gesture_fits_its_own_chord_best_and_others_by_transposing(book):
    fits = fit_to_chords(book, ["A:min", "C:min", "N"])
    # Beat 0 was heard as A minor: as it is, or three semitones up.
    assert fits[0, 0].argmax() == 0
    assert fits[1, 0].argmax() == 3
    assert fits[0, 0, 0] > 0.9
    np.testing.assert_array_equal(fits[2], 1)


def test_a_book_is_about_as_long_as_it_may_be(small_song, features):
    heard = heard_in(small_song)
    short = make_book([("small.wav", features, heard)], seconds=10)
    assert 10 <= short.beat_seconds.sum() < 10 + 8
    # Contrast before more of the same: verse and chorus are both there.
    assert set(short.beat_idea) == {0, 1}


def test_a_book_keeps_as_many_sinusoids_as_it_is_told(small_song, features):
    heard = heard_in(small_song)
    many, few = (
        make_book([("small.wav", features, heard)], peaks=peaks) for peaks in (12, 3)
    )
    assert (many.frequency.shape[1], few.frequency.shape[1]) == (12, 3)
    loudest = many.amplitude.max(axis=(0, 2))
    np.testing.assert_array_equal(few.levels, many.levels)
    # The strongest stay: with the tilt that counts, the loudest may be another.
    assert (few.amplitude.max(axis=(0, 2)) == loudest).mean() > 0.9


def test_a_recording_without_a_phrase_is_left_out(small_song, features):
    heard = heard_in(small_song)
    still = dataclasses.replace(heard, beat_times=heard.beat_times[:4], downbeats=(0,))
    both = make_book([("still.wav", features, still), ("small.wav", features, heard)])
    assert both.songs == ("small.wav",)
    assert np.isfinite(both.song_level).all()
    with pytest.raises(RequestError, match="no recording has a beat"):
        make_book([("still.wav", features, still)])
