"""Temperatures at which grains are as full as recordings."""

import dataclasses

import numpy as np
import pytest

from hierarchy.micro import warmth
from hierarchy.micro.grains import TEMPERATURE, Grain, GrainModel
from tests.small_worlds import RATE, tiny_model


@pytest.fixture(scope="module")
def model(small_song):
    return tiny_model(small_song)


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 0.1 * random.standard_normal([2, round(seconds * RATE)], np.float32)


@pytest.fixture
def heard(monkeypatch):
    """Grains that are the sounds asked for, louder by decibels that follow warmth."""

    def so_much(louder):
        def make_grains(model, requests, *, temperature):
            gain = 10 ** (louder(temperature) / 20)
            return [Grain(gain * request, RATE, None) for request in requests]

        monkeypatch.setattr(warmth, "make_grains", make_grains)

    return so_much


def test_fullness_is_told_in_decibels(model, heard):
    heard(lambda temperature: 3 * temperature)
    sounds = [noise(0), noise(1)]
    assert warmth.fullness_off(model, sounds, sounds)[1.0] == pytest.approx(3, abs=0.01)
    # What one moment has too much and another too little is no fullness.
    halves = [2 * sounds[0], sounds[1] / 2]
    heard(lambda temperature: 0.0)
    assert warmth.fullness_off(model, halves, sounds)[0.4] == pytest.approx(0, abs=0.05)


def test_the_warmest_is_taken_that_is_nearly_the_closest(model, heard):
    sounds = [noise(0)]
    heard(lambda temperature: 3 * max(temperature - 0.5, 0))
    assert warmth.warmest(warmth.fullness_off(model, sounds, sounds)) == 0.6
    heard(lambda temperature: 0.0)
    assert warmth.warmest(warmth.fullness_off(model, sounds, sounds)) == 1.0
    assert warmth.warmest({0.4: 1.0, 0.5: 0.3, 0.6: 0.6, 0.7: 0.8}) == 0.6


def test_a_model_keeps_its_temperatures(model, tmp_path):
    style = model.styles[0]
    assert model.temperature(style) == TEMPERATURE
    dataclasses.replace(model, temperatures={style: 0.6}).write(tmp_path)
    assert GrainModel.read(tmp_path).temperature(style) == 0.6
    assert GrainModel.default().temperatures.keys() == set(GrainModel.default().styles)
