"""Grains alone: what a few words ask for."""

import numpy as np
import pytest

from hierarchy.macro.clips import Wish, ask_for_clips, make_clips
from hierarchy.macro.originality import nearest_moments
from hierarchy.micro.grains import GrainModel, make_grains
from structure.errors import RequestError


@pytest.fixture(scope="module")
def model():
    return GrainModel.default()


def test_words_become_a_wish_and_unknown_words_are_named():
    assert Wish.parse("Am loud dark") == Wish("A:min", 0.95, 0.15)
    with pytest.raises(RequestError, match="banana"):
        Wish.parse("banana")
    with pytest.raises(RequestError, match="two things"):
        Wish.parse("loud quiet")


@pytest.mark.parametrize("words", ["A:min", None])
def test_clips_last_as_long_as_they_were_asked_to(model, words):
    wish = None if words is None else Wish.parse(words)
    clips = make_clips(model, wish, count=3, seconds=1.5, seed=2)
    assert [clip.waveform.shape for clip in clips] == [(2, 66_150)] * 3
    assert all(np.isfinite(clip.waveform).all() for clip in clips)
    assert min(np.abs(clip.waveform).max() for clip in clips) > 1e-3


def test_a_free_grain_is_sampled_as_the_model_learnt(model):
    requests, places = ask_for_clips(model, None, count=1, seconds=0.5, seed=2)
    assert not requests[0].coarse
    (grain,) = make_grains(model, requests, temperature=1.0)
    (clip,) = make_clips(model, None, count=1, seconds=0.5, seed=2)
    first = places[0].lead_in - places[0].start
    body = places[0].gain * grain.waveform[:, first : first + clip.waveform.shape[1]]
    middle = slice(2000, 18_000)  # without the fades at its ends
    np.testing.assert_array_equal(clip.waveform[:, middle], body[:, middle])


def test_a_chord_that_is_asked_for_is_heard(model):
    clips = make_clips(model, Wish.parse("A:min"), count=6, seconds=1.5, seed=1)
    tones = np.zeros(12)
    for clip in clips:
        spectrum = np.abs(np.fft.rfft(clip.waveform.sum(axis=0)))
        hertz = np.fft.rfftfreq(clip.waveform.shape[1], 1 / clip.sample_rate)
        heard = (hertz > 110) & (hertz < 1760)
        pitch = np.rint(69 + 12 * np.log2(hertz[heard] / 440)).astype(int) % 12
        tones += np.bincount(pitch, spectrum[heard] ** 2, minlength=12)
    inside = tones[[9, 0, 4]].sum() / tones.sum()
    assert inside > 0.6, tones


def test_clips_that_are_too_like_a_recording_are_sampled_anew_and_no_others(model):
    wish, asked = Wish(), {"count": 6, "seconds": 1.5, "seed": 4}

    def likeness(clips):
        return np.array([n.likeness for n in nearest_moments(clips, model.moments)])

    as_drawn = make_clips(model, wish, **asked)
    before = likeness(as_drawn)
    # Between the second and the third most alike, so that two are refused.
    most = float(np.sort(before)[-3:-1].mean())
    refused = before > most
    assert refused.sum() == 2
    originals = make_clips(model, wish, **asked, max_similarity=most)
    assert (likeness(originals) <= most).all()
    same = [
        np.array_equal(one.waveform, other.waveform)
        for one, other in zip(as_drawn, originals, strict=True)
    ]
    np.testing.assert_array_equal(same, ~refused)
