"""What sinusoids give each band of the filter bank."""

from __future__ import annotations

import numpy as np

from hierarchy.material.bands import share_of_band
from hierarchy.material.sketch import Sketch


def drawn_power(sketch: Sketch, bands: int, sample_rate: int) -> np.ndarray:
    """Square of the level that a sketch gives each band, [2, frames, bands]."""
    place = sketch.frequency / (sample_rate / 2) * bands
    nearest = np.floor(place)
    beside = np.where(place % 1.0 < 0.5, nearest - 1, nearest + 1)
    power = np.zeros([2, len(sketch), bands])
    row = np.broadcast_to(np.arange(len(sketch))[:, None], place.shape)
    for band in (nearest, beside):
        share = share_of_band(place - band - 0.5)
        column = np.clip(band, 0, bands - 1).astype(int)
        for channel, part in enumerate((sketch.middle, sketch.side)):
            # A sinusoid has half its squared amplitude; a band has N times the power.
            heard = 0.5 * bands * share * np.abs(part) ** 2
            np.add.at(power[channel], (row, column), heard)
    return power
