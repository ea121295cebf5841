"""Of several grains for an open request, the one whose pitch answers best is kept."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro.grain_store import grain_name
from hierarchy.material.features import HOP, measure
from hierarchy.micro import candidates
from hierarchy.micro.candidates import (
    BRIGHT,
    CANDIDATES,
    Candidate,
    best_grains,
    best_of,
    brightness_likeness,
    candidates_of,
    chroma_likeness,
)
from hierarchy.micro.grains import Grain, make_grains, request_like
from hierarchy.micro.refining import TOLD, refined
from tests.small_worlds import RATE, features_and_book, tiny_model


@pytest.fixture(scope="module")
def model(small_song):
    return tiny_model(small_song)


@pytest.fixture(scope="module")
def asked(small_song):
    """One request with its sinusoids, two with coarse conditions alone."""
    features, _ = features_and_book(small_song)
    told, *others = [
        request_like(features, 100 + 40 * seed, 40, style=0, seed=seed)
        for seed in range(3)
    ]
    return [told, *(dataclasses.replace(other, peaks=0) for other in others)]


def likeness(grain: Grain) -> float:
    bands = grain.request.levels.shape[-1]
    heard = measure(grain.waveform, grain.sample_rate, bands=bands)
    bright = brightness_likeness(grain.request, heard)
    return chroma_likeness(grain.request, heard) + BRIGHT * bright


def test_only_what_leaves_the_pitch_open_has_several_candidates(asked):
    free = dataclasses.replace(asked[1], coarse=False)
    counts = [candidates_of(request) for request in (*asked, free)]
    assert counts == [1, CANDIDATES, CANDIDATES, 1] and CANDIDATES > 1


def test_the_candidate_with_the_likest_chroma_and_brightness_is_kept(model, asked):
    drawn = [[] for _ in asked]
    best = best_grains(
        model,
        asked,
        listener=lambda place, candidate: drawn[place].append(candidate.grain),
    )
    for grain, same, request in zip(best, drawn, asked, strict=True):
        # Told sinusoids or not, all are held against what was asked.
        assert all(one.request is request for one in (grain, *same))
        sounds = {one.waveform.tobytes() for one in same}
        assert len(sounds) == len(same) == candidates_of(request)
        # The first of several is a draft.
        mended = same[1:] or same
        found = [likeness(one) for one in mended]
        assert grain.waveform.tobytes() == mended[np.argmax(found)].waveform.tobytes()
    assert len({round(likeness(one), 6) for one in drawn[1] + drawn[2]}) > 2


def test_each_candidate_is_told_sinusoids_of_the_best_so_far(model, asked, monkeypatch):
    drawn = []

    def draw(model, requests, **others):
        drawn.append(make_grains(model, requests, **others)[0])
        return drawn[-1:]

    monkeypatch.setattr(candidates, "make_grains", draw)
    best_grains(model, asked[1:2])
    assert drawn[0].request == asked[1] and len(drawn) == CANDIDATES
    for number, one in enumerate(drawn[1:], 1):
        sounds = [dataclasses.replace(past, request=asked[1]) for past in drawn[:number]]  # fmt: skip
        best = max(sounds, key=likeness)
        heard = measure(best.waveform, RATE, bands=asked[1].levels.shape[-1])
        told = refined(asked[1], heard.sketch, RATE)
        assert one.request.peaks == TOLD and told.amplitude.any()
        for field in ("frequency", "amplitude", "phase"):
            np.testing.assert_array_equal(
                getattr(one.request, field), getattr(told, field)
            )


def test_a_candidate_that_is_no_sound_is_not_kept(model, asked, monkeypatch):
    made = []

    def broken_at_first(model, requests, **others):
        made.extend(make_grains(model, requests, **others))
        if len(made) > 1:
            return made[-1:]
        return [dataclasses.replace(made[0], waveform=made[0].waveform * np.nan)]

    monkeypatch.setattr(candidates, "make_grains", broken_at_first)
    (best,) = best_grains(model, asked[1:2])
    assert np.isfinite(best.waveform).all() and len(made) == CANDIDATES
    # There was nothing to draw on: it is asked as before, with another seed.
    assert made[1].request.peaks == 0 and made[1].request.seed != asked[1].seed


def test_the_draft_is_kept_only_where_there_is_no_other(asked):
    def made(worth):
        sound = np.zeros([2, 64], np.float32)
        return Candidate(Grain(sound, RATE, asked[1]), in_chroma=worth)

    draft, worse, better, none = (made(worth) for worth in (0.9, 0.5, 0.7, -np.inf))
    assert best_of([draft, worse, better]) is better
    assert best_of([draft, none, worse]) is worse
    assert best_of([draft, none, none]) is draft
    assert best_of([draft]) is draft


def test_few_sinusoids_are_mended_too(asked):
    counts = [
        candidates_of(dataclasses.replace(asked[0], peaks=peaks))
        for peaks in (TOLD, TOLD - 1, 1)
    ]
    assert counts == [1, CANDIDATES, CANDIDATES]
    # A model that can be told no more than four is told all that there is.
    parts = {name: getattr(asked[0], name)[..., :4] for name in ("frequency", "amplitude", "phase")}  # fmt: skip
    assert candidates_of(dataclasses.replace(asked[0], peaks=4, **parts)) == 1


def test_a_grain_depends_on_its_request_alone(model, asked):
    together, alone = best_grains(model, asked), best_grains(model, asked[2:])
    assert together[2].waveform.tobytes() == alone[0].waveform.tobytes()
    plain = make_grains(model, asked[:1])[0]
    assert together[0].waveform.tobytes() == plain.waveform.tobytes()


def test_progress_goes_on_over_all_candidates(model, asked):
    told = []
    best_grains(model, asked, progress=lambda *at: told.append(at))
    done, total = zip(*told, strict=True)
    assert list(done) == sorted(done) and done[-1] == total[-1] and len(set(total)) == 1


def test_no_request_is_no_grain(model):
    assert best_grains(model, []) == []


def test_chroma_that_is_asked_for_is_most_like_itself(small_song, asked):
    first = 140
    sound = small_song.waveform[:, first * HOP : (first + 40) * HOP]
    heard = measure(sound, RATE, bands=asked[1].levels.shape[-1])
    other = dataclasses.replace(asked[1], chroma=np.roll(asked[1].chroma, 6, axis=1))
    own = chroma_likeness(asked[1], heard)
    assert own > 0.9 and own > chroma_likeness(other, heard) + 0.1


def test_silence_is_like_nothing(asked):
    heard = measure(np.zeros([2, 40 * HOP], np.float32), RATE, bands=asked[1].levels.shape[-1])  # fmt: skip
    assert chroma_likeness(asked[1], heard) == pytest.approx(0, abs=1e-6)


def test_grains_of_several_candidates_are_kept_under_another_name(asked, monkeypatch):
    told = [grain_name(r, model="m", temperature=1.0) for r in asked[:2]]
    monkeypatch.setattr(candidates, "CANDIDATES", 2)
    now = [grain_name(r, model="m", temperature=1.0) for r in asked[:2]]
    assert now[0] == told[0] and now[1] != told[1]


def test_brightness_that_moves_as_it_was_asked_to_is_like_it(small_song, asked):
    first = 140
    sound = small_song.waveform[:, first * HOP : (first + 40) * HOP]
    heard = measure(sound, RATE, bands=asked[1].levels.shape[-1])
    assert brightness_likeness(asked[1], heard) > 0.9
    other_way = dataclasses.replace(heard, brightness=-heard.brightness)
    assert brightness_likeness(asked[1], other_way) < -0.9
    still = dataclasses.replace(heard, brightness=0 * heard.brightness)
    assert brightness_likeness(asked[1], still) == 0.0
