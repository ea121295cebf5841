"""A limiter that knows the future: the gain is down by the time a peak arrives.

Peaks are those of the waveform at four times its rate (ITU-R BS.1770-5, annex 2). What
the gain does depends on what lies within a second and a half alone, so that a long song
can be limited block by block, and one moment of it never moves another far away.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import scipy.signal

STEP = 16
"""Samples for one value of the gain; it is drawn as lines between."""

# The gain falls and rises over 1.5 ms around a peak, and then recovers slowly,
# so that a bass note is not bent at its own frequency.
_LOOK_AHEAD_SECONDS = 0.0015
_RECOVERY_SECONDS = 0.080
REACH_SECONDS = 1.5
"""How far before and after a moment one must look to know its gain."""

_OVERSAMPLING = 4


def peaks_of(waveform: np.ndarray) -> np.ndarray:
    """The highest true peak of any channel in each step of samples, float32 [steps].

    Args:
        waveform: [channels, samples], full scale at ±1.
    """
    samples = waveform.shape[1]
    steps = -(-samples // STEP)
    highest = np.zeros([steps * STEP], np.float32)
    for channel in waveform.astype(np.float32, copy=False):
        np.maximum(highest[:samples], np.abs(channel), out=highest[:samples])
        # Phase 0 of the interpolation is the samples themselves.
        for taps in _PHASES[1:]:
            between = scipy.signal.upfirdn(taps, channel)[_REACH:][:samples]
            np.maximum(highest[:samples], np.abs(between), out=highest[:samples])
    return highest.reshape(steps, STEP).max(axis=1, initial=0)


def limit(
    waveform: np.ndarray, sample_rate: int, *, true_peak: float = -1.0
) -> np.ndarray:
    """Lower the gain around each peak so that none passes `true_peak` dBTP.

    Both channels share one gain, so that nothing moves in the stereo image.

    Args:
        waveform: float32 [channels, samples]; may pass full scale.
        sample_rate: in Hz.
        true_peak: in dB of full scale, measured at four times the rate.

    Returns:
        float32 [channels, samples].
    """
    ceiling = 10 ** (true_peak / 20)
    # A moving gain makes small peaks of its own: room for them at first, and then
    # once more for the few that are left.
    for aim in (ceiling * 10 ** (-0.1 / 20), ceiling * 10 ** (-0.005 / 20)):
        waveform = _lower(waveform, sample_rate, aim)
    return waveform


def gain_of(peaks: np.ndarray, sample_rate: int, *, true_peak: float) -> np.ndarray:
    """About the gain that `limit` takes in each step, for peaks [steps]."""
    aim = 10 ** ((true_peak - 0.1) / 20)
    return _knots(aim / np.maximum(peaks, aim), sample_rate)[:-1]


def _lower(waveform: np.ndarray, sample_rate: int, aim: float) -> np.ndarray:
    peaks = peaks_of(waveform)
    if peaks.max(initial=0) <= aim:
        return waveform
    knots = _knots(aim / np.maximum(peaks, aim), sample_rate)
    places = np.arange(waveform.shape[1], dtype=np.float64) / STEP
    gain = np.interp(places, np.arange(knots.size), knots)
    return waveform * gain.astype(np.float32)


def _knots(wanted: np.ndarray, sample_rate: int) -> np.ndarray:
    """A smooth gain at or under `wanted` [steps] everywhere, at its borders [steps + 1].

    Raising the fall at once and recovering exponentially is a running maximum
    once the recovery's slope is taken out.
    """
    slope = STEP / (_RECOVERY_SECONDS * sample_rate)
    fall = -np.log(wanted.astype(np.float64))
    rest = slope * np.arange(fall.size)
    fall = np.maximum.accumulate(fall + rest) - rest
    half = max(1, round(_LOOK_AHEAD_SECONDS * sample_rate / STEP))
    fall = np.maximum(fall, 0)
    # The widest window that a border takes part in, then a mean over that window.
    held = scipy.ndimage.maximum_filter1d(fall, 2 * half + 1, mode="nearest")
    window = np.hanning(2 * half + 3)[1:-1]
    smooth = scipy.ndimage.convolve1d(held, window / window.sum(), mode="nearest")
    knots = np.concatenate([smooth, smooth[-1:]])
    knots[1:-1] = np.maximum(smooth[:-1], smooth[1:])
    return np.exp(-knots)


def _interpolator(reach: int) -> np.ndarray:
    """Windowed sinc for each quarter between two samples, float32 [4, 2 * reach]."""
    late = np.arange(_OVERSAMPLING)[:, None] / _OVERSAMPLING
    places = np.arange(-reach + 1, reach + 1)[None] - late
    taps = (
        np.sinc(places)
        * np.kaiser(2 * 512 + 1, 8.0)[
            np.clip(np.rint((places / reach + 1) * 512).astype(int), 0, 1024)
        ]
    )
    # Reversed, since convolution runs backwards.
    return (taps / taps.sum(axis=1, keepdims=True))[:, ::-1].astype(np.float32)


_REACH = 12
_PHASES = _interpolator(_REACH)
