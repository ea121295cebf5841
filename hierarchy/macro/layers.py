"""A grain to its layers, bass, harmonic and percussive, and how loud a plan wants each.

A grain is one sound. It is taken apart by masks that add up to one, so that its layers
add up to it: what lies below the bass is a linear-phase low-pass, and the rest is shared
between what lasts and what strikes. Each grain is taken apart by itself, so that what
one grain sounds like says nothing about its neighbour's layers.

How loud and where each layer is follows from a section's energy alone, and from the
place in the section: a section that returns with the same energy has the same mix.

Source: FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010;
Driedger, Müller and Disch, "Extending harmonic-percussive separation of audio
signals", ISMIR 2014.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

from hierarchy.macro.assembly import pan_gains
from structure.plan import SongPlan

LAYERS = ("bass", "harmonic", "percussive")
"""What a song is made of, in the order of all arrays of layers."""

BASS_HZ = 150.0
HUSHED = {"bass": -3.0, "harmonic": 0.0, "percussive": -6.0}
"""Decibels of each layer at energy 0; at energy 1 all are as they were sampled."""

WIDEST = {"bass": 0.0, "harmonic": 0.12, "percussive": -0.06}
"""Pan to which each layer wanders, and back, at energy 1."""

WANDER_BARS = 4  # from the middle to one side, to the other, and to the middle
FILL, FILL_BARS = 2.5, 4  # decibels more of the percussive layer before a new section

_WINDOW_SECONDS = 0.023
_ACROSS_SECONDS, _ACROSS_HZ = 0.2, 700.0  # of the medians


def split_layers(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Take a grain apart.

    Args:
        waveform: float32 [2, samples].
        sample_rate: in Hz.

    Returns:
        float32 [3, 2, samples], in the order of `LAYERS`; their sum is the waveform,
        to the rounding of one addition.
    """
    low_pass = _low_pass(sample_rate)
    bass = scipy.signal.oaconvolve(waveform, low_pass[None], mode="same", axes=1)
    rest = waveform - bass
    harmonic = _harmonic(rest, sample_rate)
    return np.stack([bass, harmonic, rest - harmonic]).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _low_pass(sample_rate: int) -> np.ndarray:
    taps = round(0.023 * sample_rate) // 2 * 2 + 1
    return scipy.signal.firwin(taps, BASS_HZ, fs=sample_rate).astype(np.float32)


def _harmonic(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """What of a waveform lasts, [2, samples]; both channels share one mask."""
    size = 1 << round(np.log2(_WINDOW_SECONDS * sample_rate))
    hop, samples = size // 2, waveform.shape[1]
    # Square root of Hann, twice: frames half a window apart add up to one.
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))
    window = window.astype(np.float32)
    count = -(-samples // hop) + 1
    after = (count + 1) * hop - hop - samples
    # Mirrored, since an end in silence would be a strike.
    mode = "reflect" if samples > max(hop, after) else "constant"
    padded = np.pad(waveform, [(0, 0), (hop, after)], mode=mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::hop]
    spectra = scipy.fft.rfft(frames * window, axis=2)  # [2, frames, bins]

    level = np.sqrt(np.sum(np.square(np.abs(spectra)), axis=0))
    lasting = _odd(_ACROSS_SECONDS * sample_rate / hop)
    broad = _odd(_ACROSS_HZ * size / sample_rate)
    lasts = np.square(_medians(level.T, lasting).T)
    strikes = np.square(_medians(level, broad))
    mask = (lasts + 1e-12) / (lasts + strikes + 2e-12)
    parts = scipy.fft.irfft(spectra * mask, n=size, axis=2) * window
    out = np.zeros([2, (parts.shape[1] + 1) * hop], np.float32)
    out[:, : parts.shape[1] * hop] += parts[..., :hop].reshape(2, -1)
    out[:, hop:] += parts[..., hop:].reshape(2, -1)
    return out[:, hop : hop + samples]


def _medians(rows: np.ndarray, width: int) -> np.ndarray:
    """Running median along each row of [rows, columns]."""
    half = width // 2
    padded = np.pad(rows, [(0, 0), (half, half)], mode="edge")
    # One long row is much faster than many; no window of ours spans two of them.
    flat = scipy.ndimage.rank_filter(padded.ravel(), half, size=width)
    return flat.reshape(padded.shape)[:, half : half + rows.shape[1]]


def _odd(width: float) -> int:
    return max(3, round(width) // 2 * 2 + 1)


@dataclasses.dataclass(frozen=True)
class Automation:
    """How loud and where the layers of one section are; straight lines between points.

    Attributes:
        seconds: from the section's downbeat, float [points].
        gain: decibels, float [3, points], in the order of `LAYERS`.
        pan: -1 (left) to 1 (right), float [3, points].
    """

    seconds: np.ndarray
    gain: np.ndarray
    pan: np.ndarray

    def sides(self) -> np.ndarray:
        """Linear gains of left and right at each point, float [3, 2, points]."""
        level = 10 ** (self.gain / 20)
        return np.stack(
            [one * pan_gains(pan) for one, pan in zip(level, self.pan, strict=True)]
        )


def automate(plan: SongPlan, number: int) -> Automation:
    """The automation of a section, from its energy and its bars.

    Args:
        plan: of the song.
        number: of the section; after the last one there is nothing to lead to.
    """
    section = plan.sections[number]
    leads_over = number < len(plan.sections) - 1 or plan.ends_as_before
    bar = plan.beats_per_bar * plan.beat_seconds
    bars = np.arange(section.bars + 1)
    gain = np.stack(
        [np.full(len(bars), HUSHED[name] * (1 - section.energy)) for name in LAYERS]
    )
    if section.bars >= FILL_BARS and leads_over:
        gain[LAYERS.index("percussive"), -1] += FILL
    # A triangle: 0, 1, 0, -1, ... over the bars.
    place = bars / WANDER_BARS % 1
    wander = np.interp(place, [0, 0.25, 0.75, 1], [0.0, 1.0, -1.0, 0.0])
    pan = np.stack([WIDEST[name] * section.energy * wander for name in LAYERS])
    return Automation(bars * bar, gain, pan)
