"""How one sound becomes the next: fades at constant power, band by band.

How alike two grains are depends on how high one listens: their partials are asked for
and agree, their noise is drawn anew and does not. A fade that keeps the power of the
one would dip or swell in the other, so each band has a law of its own.

Source: Fink, Holters and Zölzer, "Signal-matched power-complementary cross-fading and
dry-wet mixing", DAFx 2016.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import scipy.signal

CROSSOVERS = (700.0, 3_000.0, 8_000.0)
"""Hz between bands whose fades go by their own likeness."""

_TAPS = 255  # of the filters between bands: about 6 ms
# Music is often 80 dB weaker above 8 kHz than below; it must not be drowned there.
_WINDOW = ("kaiser", 10.0)


def fade_gains(overlap: int, *, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Gains that fade one sound out and another in at constant power.

    Linear gains are divided by the level they would leave, so unrelated
    sounds do not dip and identical ones do not swell.

    Args:
        overlap: length of the fade, in samples.
        correlation: likeness of the two sounds in the fade, 0 to 1.

    Returns:
        float32 [overlap], twice: what the sound that ends and the one that
        starts are multiplied by.
    """
    correlation = min(max(correlation, 0.0), 1.0)
    rising = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    falling = 1 - rising
    level = np.sqrt(rising**2 + falling**2 + 2 * correlation * rising * falling)
    return falling / level, rising / level


def likeness(left: np.ndarray, right: np.ndarray) -> float:
    """Normalised correlation of two waveforms [channels, samples], -1 to 1.

    0 if either is silent: what is not there resembles nothing.
    """
    energy = float(np.vdot(left, left)) * float(np.vdot(right, right))
    return float(np.vdot(left, right)) / energy**0.5 if energy > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class Bands:
    """Bands that add up to the sound they were taken from.

    Attributes:
        edges: between the bands, in cycles a sample; none leaves one band.
    """

    edges: tuple[float, ...] = ()

    @classmethod
    def of_rate(cls, sample_rate: int) -> Bands:
        """Those between the `CROSSOVERS` that sound at a rate can have."""
        edges = (hertz / sample_rate for hertz in CROSSOVERS)
        return cls(tuple(edge for edge in edges if edge < 0.45))

    def __len__(self) -> int:
        return len(self.edges) + 1

    def above(self, sound: np.ndarray) -> np.ndarray:
        """What lies above each edge, float32 [edges, ..., samples]."""
        out = np.empty([len(self.edges), *sound.shape], np.float32)
        for place, edge in enumerate(self.edges):
            low_pass = _low_pass(edge).reshape([1] * (sound.ndim - 1) + [-1])
            low = scipy.signal.oaconvolve(sound, low_pass, mode="same", axes=-1)
            out[place] = sound - low[..., : sound.shape[-1]]
        return out

    def likeness(self, left: np.ndarray, right: np.ndarray) -> list[float]:
        """How alike two waveforms [channels, samples] are in each band."""
        # Filters ring where a waveform is cut off.
        edge = min(_TAPS // 2, left.shape[1] // 4) if self.edges else 0
        inside = slice(edge, left.shape[1] - edge)
        return [
            likeness(one[:, inside], other[:, inside])
            for one, other in zip(self._apart(left), self._apart(right), strict=True)
        ]

    def _apart(self, sound: np.ndarray) -> list[np.ndarray]:
        marks = [sound, *self.above(sound)]
        apart = [here - higher for here, higher in itertools.pairwise(marks)]
        return [*apart, marks[-1]]

    def weighted(self, sound: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """A sound with each band at its own gain.

        Args:
            sound: float32 [..., samples].
            gains: float32 [bands, samples].
        """
        steps = np.diff(gains, axis=0)
        changing = np.flatnonzero(steps.any(axis=0))
        out = sound * gains[0]
        # Only around fades do the bands differ; filters see some of what lies beside.
        for run in np.split(changing, np.flatnonzero(np.diff(changing) > _TAPS) + 1):
            if run.size:
                begin = max(int(run[0]) - _TAPS, 0)
                end = min(int(run[-1]) + 1 + _TAPS, sound.shape[-1])
                parts = self.above(sound[..., begin:end])
                for part, step in zip(parts, steps[:, begin:end], strict=True):
                    out[..., begin:end] += part * step
        return out


ONE_BAND = Bands()
"""The whole sound, all of which fades alike."""


@functools.lru_cache(maxsize=16)
def _low_pass(edge: float) -> np.ndarray:
    return scipy.signal.firwin(_TAPS, edge, window=_WINDOW, fs=1.0).astype(np.float32)
