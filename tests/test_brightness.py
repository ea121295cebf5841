"""Levels and sinusoids together are as bright as the sound that has them."""

import numpy as np
import pytest

from hierarchy.macro.brightness import brightness_of
from hierarchy.material.features import measure
from hierarchy.material.sketch import DESCRIBING

RATE = 16_000


def sound_of(*tones: tuple[float, float], noise: float, seed: int = 0) -> np.ndarray:
    """Two seconds of sinusoids (Hz, amplitude) over white noise, [1, samples]."""
    time = np.arange(2 * RATE) / RATE
    sound = noise * np.random.default_rng(seed).normal(size=len(time))
    for hertz, amplitude in tones:
        sound += amplitude * np.sin(2 * np.pi * hertz * time)
    return sound[None].astype(np.float32)


def told(sound: np.ndarray) -> tuple[float, float]:
    """Brightness as it is told of levels and sinusoids, and as it is heard; medians."""
    heard = measure(sound, RATE)
    sketch = heard.sketch[: heard.frames // 2].strongest(DESCRIBING)
    said = brightness_of(heard.levels[0], sketch, RATE)
    return float(np.median(said[8:-8])), float(np.median(heard.brightness[8:-8]))


SOUNDS = (
    sound_of((220, 0.3), (330, 0.2), noise=0.001),
    sound_of((300, 0.3), (2500, 0.3), noise=0.003),
    sound_of((150, 0.4), noise=0.02),
    sound_of((5000, 0.2), noise=0.01),
    sound_of(noise=0.1),
)


def test_it_is_what_is_heard():
    said, heard = np.transpose([told(sound) for sound in SOUNDS])
    assert np.abs(said - heard).max() < 0.5
    assert np.corrcoef(said, heard)[0, 1] > 0.98


def test_a_tone_that_moves_within_a_band_is_heard():
    # Bands are 500 Hz wide: both tones lie in the first.
    low, high = (told(sound_of((f, 0.3), noise=0.001)) for f in (120, 400))
    assert high[0] - low[0] > 0.6 * (high[1] - low[1]) > 0.3


def test_silence_is_as_dark_as_anything():
    said, heard = told(np.zeros([1, RATE], np.float32))
    assert said == pytest.approx(heard, abs=1e-3)
