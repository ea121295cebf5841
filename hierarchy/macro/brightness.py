"""How bright levels and sinusoids are together.

Partials that move within a band change no level, but are heard: what `features` would
hear, the centroid of the magnitudes of a spectrum, is told by both.

Source: magnitudes of noise follow Rayleigh's distribution; Peeters, "A large set of
audio features for sound description", 2004, for the spectral centroid.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import FLOOR, SPECTRUM
from hierarchy.material.sketch import Sketch

UNDRAWN = 0.3  # of a band's level is noise at least, however much is drawn


def brightness_of(levels: np.ndarray, sketch: Sketch, sample_rate: int) -> np.ndarray:
    """Spectral centroid as log2(Hz / 1000), float32 [frames].

    Args:
        levels: rms of each band of the middle, float [frames, bands]; FLOOR is silence,
            frames are even.
        sketch: its sinusoids, frames // 2 frames.
        sample_rate: Hz.
    """
    bands = levels.shape[1]
    levels = np.maximum(levels - FLOOR, 0)
    window = scipy.signal.get_window("hann", SPECTRUM)
    drawn = drawn_power(sketch, bands, sample_rate)[0].repeat(2, axis=0)
    noise = np.sqrt(np.maximum(levels**2 - drawn, (UNDRAWN * levels) ** 2))
    # Sums of magnitudes. A level is the rms that noise would have if it filled all bands
    # as it fills its own, and a bin of noise is sqrt(pi) / 2 of its rms on average; the
    # three bins of a sinusoid sum to its amplitude times the window's sum.
    per_bin = np.sqrt(np.pi / 4 * np.square(window).sum())
    noise = noise * per_bin * (SPECTRUM / 2 / bands)
    tones = np.abs(sketch.middle) * window.sum()
    middle = (np.arange(bands) + 0.5) / bands * sample_rate / 2
    hertz = noise @ middle + (tones * sketch.frequency).sum(axis=1).repeat(2)
    total = noise.sum(axis=1) + tones.sum(axis=1).repeat(2)
    centroid = hertz / np.maximum(total, FLOOR)
    return np.log2(np.maximum(centroid, 50.0) / 1000).astype(np.float32)
