"""Planted copies are all caught; what cannot be made original is refused by name."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro.originality import COPY, Instead, nearest_moments, without_copies
from hierarchy.material.moments import moments_of
from hierarchy.micro.grains import Grain, make_grains, request_like
from structure.errors import RequestError
from tests.small_worlds import RATE, features_and_book, tiny_model
from tests.test_moments import song


@pytest.fixture(scope="module")
def model(small_song):
    """The tiny model, which learned from made songs."""
    learned = moments_of((f"song {i}", song(i), 22050) for i in range(4))
    return dataclasses.replace(tiny_model(small_song), moments=learned)


@pytest.fixture(scope="module")
def requests(small_song):
    features, _ = features_and_book(small_song)
    return [
        request_like(features, 4 * i, RATE // 400, style=0, seed=i) for i in range(6)
    ]


def parrot(request, number):
    """A grain that is a second of a recording, softer and with some noise."""
    copy = song(number % 4)[:, (1 + number) * 11025 :][:, : 2 * 22050]
    noise = np.random.default_rng(request.seed).normal(size=copy.shape)
    sound = (0.2 * copy + 2e-5 * noise).astype(np.float32)
    return Grain(sound, 22050, request)


def test_every_planted_copy_is_caught(model, requests):
    planted = [parrot(request, i) for i, request in enumerate(requests)]
    found = nearest_moments(planted, model.moments)
    assert [one.song for one in found] == [f"song {i % 4}" for i in range(6)]
    assert min(one.likeness for one in found) > COPY


def test_copies_are_asked_for_again_and_the_others_are_left_alone(model, requests):
    honest = make_grains(model, requests)
    grains = [
        parrot(r, i) if i in (1, 4) else honest[i] for i, r in enumerate(requests)
    ]
    asked = []

    def sample(wanted):
        asked.append(list(wanted))
        return make_grains(model, list(wanted.values()))

    instead, nearest = without_copies(model, grains, most=COPY, sample=sample)
    assert asked[0] == [1, 4]
    assert sorted(instead) == [1, 4]
    assert all(one is None or one.likeness <= COPY for one in nearest)
    assert all(request.coarse for request in instead.values())
    together = Instead(requests, instead)
    assert [one.seed for one in together] == [
        instead.get(i, request).seed for i, request in enumerate(requests)
    ]
    assert together[-1] is requests[-1]


def test_what_stays_a_copy_is_refused_and_named(model, requests):
    tried = []

    def sample(wanted):
        tried.append(wanted.get(0))
        return [parrot(request, 2) for request in wanted.values()]

    planted = sample(dict(enumerate(requests)))
    with pytest.raises(RequestError, match=r"like song 2 at [12]\.\d s"):
        without_copies(model, planted, most=COPY, sample=sample)
    # Less and less of what was drawn, and none; what it should be stays asked for.
    peaks = [request.peaks for request in tried[1:]]
    assert peaks == sorted(peaks, reverse=True) and peaks[-1] == 0 < peaks[0]
    assert all(request.coarse for request in tried)
    assert len({request.seed for request in tried}) == len(tried)


def test_a_model_without_prints_says_so(small_song, requests):
    planted = [parrot(requests[0], 0)]
    with pytest.raises(RequestError, match="keeps no prints"):
        without_copies(tiny_model(small_song), planted, most=COPY, sample=list)
    assert nearest_moments(planted, None) == [None]
