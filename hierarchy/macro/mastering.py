"""A mixed song to a finished one: no DC, faded, at a loudness, under a true peak.

Loudness is integrated loudness in LUFS and true peak is in dBTP, both after
ITU-R BS.1770-5. The limiter knows the future: it measures the waveform at four
times its rate, and has lowered the gain by the time a peak arrives.
"""

from __future__ import annotations

import numpy as np
import pyloudnorm
import scipy.ndimage
import scipy.signal

# One value of the limiter's gain for so many samples; drawn as lines between.
_STEP = 16
# The gain falls and rises over 1.5 ms around a peak, and then recovers slowly,
# so that a bass note is not bent at its own frequency.
_LOOK_AHEAD_SECONDS = 0.0015
_RECOVERY_SECONDS = 0.080
# Louder than this through the limiter, a song is crushed rather than loud.
_MOST_DRIVE_DB = 24.0
_OVERSAMPLING = 4
# Half a step of 16 bits: what stays under it all through is nothing, not music.
_SILENCE = 2.0**-16


def loudness_lufs(waveform: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS; -inf for silence.

    Args:
        waveform: float32 [channels, samples], full scale at ±1.
        sample_rate: in Hz.

    What is shorter than the 0.4 s that the measure looks at is repeated.

    Source: ITU-R BS.1770-5; Steinmetz and Reiss, "pyloudnorm: A simple yet
    flexible loudness meter in Python", AES 150, 2021.
    """
    if not waveform.any():
        return -np.inf
    block = -(-4 * sample_rate // 10) + 1
    if waveform.shape[1] < block:
        waveform = np.tile(waveform, -(-block // waveform.shape[1]))
    # Below its absolute gate of -70 LUFS, the meter takes the logarithm of nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        meter = pyloudnorm.Meter(sample_rate)
        return float(meter.integrated_loudness(waveform.T))


def true_peak_db(waveform: np.ndarray) -> float:
    """The highest peak between and on samples, in dB of full scale; -inf for silence.

    Args:
        waveform: [channels, samples], full scale at ±1.

    Source: ITU-R BS.1770-5, annex 2 (four times the rate).
    """
    peak = float(_peaks(waveform).max(initial=0))
    return 20 * float(np.log10(peak)) if peak > 0 else -np.inf


def remove_dc(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Take out what is too slow to hear: a second-order high-pass at 20 Hz.

    Args:
        waveform: float32 [channels, samples].
        sample_rate: in Hz.
    """
    waveform = waveform - waveform.mean(axis=1, keepdims=True, dtype=np.float64)
    sections = scipy.signal.butter(2, 20.0, "highpass", fs=sample_rate, output="sos")
    return scipy.signal.sosfilt(sections, waveform, axis=1).astype(np.float32)


def fade(
    waveform: np.ndarray, sample_rate: int, *, fade_in: float, fade_out: float
) -> np.ndarray:
    """Raise the start from silence and lower the end into it, over seconds.

    The curve is half a period of a cosine, squared at the end of a song, where
    an even fall in decibels is expected to leave nothing behind.
    """
    waveform = waveform.copy()
    samples = waveform.shape[1]
    rising = min(round(fade_in * sample_rate), samples)
    falling = min(round(fade_out * sample_rate), samples)
    waveform[:, :rising] *= _half_cosine(rising)
    if falling:
        waveform[:, samples - falling :] *= _half_cosine(falling)[::-1] ** 2
    return waveform


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
    return _under(_lower(waveform, sample_rate, _peaks(waveform), ceiling), ceiling)


def master(
    waveform: np.ndarray,
    sample_rate: int,
    *,
    loudness: float = -14.0,
    true_peak: float = -1.0,
    fade_in: float = 0.0,
    fade_out: float = 0.0,
) -> np.ndarray:
    """Finish a song: remove DC, fade its ends, set its loudness, limit its peaks.

    Args:
        waveform: float32 [2, samples] (or 1 channel), at any level.
        sample_rate: in Hz.
        loudness: integrated, in LUFS; reached within 0.5 LU unless that would
            take more than 24 dB of limiting. What never passes half a step of 16
            bits is silence, and stays silent.
        true_peak: highest peak at four times the rate, in dBTP.
        fade_in: seconds over which the start rises from silence.
        fade_out: seconds over which the end falls into silence.

    Returns:
        float32, shaped as it came.

    Raises:
        ValueError: if a sample is not finite.
    """
    if not np.isfinite(waveform).all():
        raise ValueError("cannot master a waveform with samples that are not finite")
    highest = np.abs(waveform).max(initial=0)
    if highest < _SILENCE:
        return np.zeros_like(waveform, np.float32)
    # The meter does not hear below -70 LUFS, however quiet the mix was meant to be.
    waveform = remove_dc(waveform / highest, sample_rate)
    waveform = fade(waveform, sample_rate, fade_in=fade_in, fade_out=fade_out)
    before = loudness_lufs(waveform, sample_rate)
    if not np.isfinite(before):
        return waveform

    # Peaks scale with the gain, so one measurement serves every attempt.
    peaks = _peaks(waveform)
    ceiling = 10 ** (true_peak / 20)
    gain_db = loudness - before
    most_db = gain_db + _MOST_DRIVE_DB
    for _ in range(6):
        gain = np.float32(10 ** (gain_db / 20))
        mastered = _lower(waveform * gain, sample_rate, peaks * gain, ceiling)
        missing = loudness - loudness_lufs(mastered, sample_rate)
        if abs(missing) < 0.1 or gain_db >= most_db:
            break
        # Each decibel into a working limiter comes out as less than one.
        gain_db = min(gain_db + 1.3 * missing, most_db)
    return _under(mastered, ceiling)


def dither(waveform: np.ndarray, bits: int, *, seed: int = 0) -> np.ndarray:
    """Round to `bits` with triangular noise, so that soft sounds fade, not crackle.

    Args:
        waveform: float32 [channels, samples], full scale at ±1.
        bits: of the file to come, 8 to 24.
        seed: the same seed gives the same noise.

    Returns:
        float32 [channels, samples], whole multiples of 2 ** (1 - bits). Samples
        of exact silence stay silent.

    Source: Lipshitz, Wannamaker and Vanderkooy, "Quantization and dither: a
    theoretical survey", JAES 40(5), 1992.
    """
    if not 8 <= bits <= 24:
        raise ValueError(f"dither to {bits} bits; 8 to 24 can be asked for")
    steps = 2.0 ** (bits - 1)
    rng = np.random.default_rng(seed)
    noise = rng.random(waveform.shape) - rng.random(waveform.shape)
    rounded = np.rint(waveform * steps + noise).clip(-steps, steps - 1)
    return np.where(waveform == 0, 0, rounded / steps).astype(np.float32)


def _half_cosine(samples: int) -> np.ndarray:
    place = (np.arange(samples) + 0.5) / max(samples, 1)
    return (0.5 - 0.5 * np.cos(np.pi * place)).astype(np.float32)


def _peaks(waveform: np.ndarray) -> np.ndarray:
    """The highest true peak of any channel in each step of samples, [steps]."""
    samples = waveform.shape[1]
    steps = -(-samples // _STEP)
    highest = np.zeros([steps * _STEP], np.float32)
    for channel in waveform.astype(np.float32, copy=False):
        np.maximum(highest[:samples], np.abs(channel), out=highest[:samples])
        # Phase 0 of the interpolation is the samples themselves.
        for taps in _PHASES[1:]:
            between = scipy.signal.upfirdn(taps, channel)[_REACH:][:samples]
            np.maximum(highest[:samples], np.abs(between), out=highest[:samples])
    return highest.reshape(steps, _STEP).max(axis=1, initial=0)


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


def _lower(
    waveform: np.ndarray, sample_rate: int, peaks: np.ndarray, ceiling: float
) -> np.ndarray:
    """`waveform` [channels, samples], whose peaks [steps] are known, under `ceiling`."""
    # A moving gain makes small peaks of its own, for which this leaves room.
    aim = ceiling * 10 ** (-0.1 / 20)
    if peaks.max(initial=0) <= aim:
        return waveform
    knots = _gain_knots(aim / np.maximum(peaks, aim), sample_rate)
    places = np.arange(waveform.shape[1], dtype=np.float64) / _STEP
    gain = np.interp(places, np.arange(knots.size), knots)
    return waveform * gain.astype(np.float32)


def _under(waveform: np.ndarray, ceiling: float) -> np.ndarray:
    """`waveform`, turned down as a whole if any peak still passes `ceiling`."""
    over = _peaks(waveform).max(initial=0) / np.float32(ceiling)
    return waveform / over if over > 1 else waveform


def _gain_knots(wanted: np.ndarray, sample_rate: int) -> np.ndarray:
    """A smooth gain at or under `wanted` [steps] everywhere, at its borders [steps + 1].

    Raising the fall at once and recovering exponentially is a running maximum
    once the recovery's slope is taken out.
    """
    slope = _STEP / (_RECOVERY_SECONDS * sample_rate)
    fall = -np.log(wanted.astype(np.float64))
    rest = slope * np.arange(fall.size)
    fall = np.maximum.accumulate(fall + rest) - rest
    half = max(1, round(_LOOK_AHEAD_SECONDS * sample_rate / _STEP))
    fall = np.maximum(fall, 0)
    # The widest window that a border takes part in, then a mean over that window.
    held = scipy.ndimage.maximum_filter1d(fall, 2 * half + 1, mode="nearest")
    window = np.hanning(2 * half + 3)[1:-1]
    smooth = scipy.ndimage.convolve1d(held, window / window.sum(), mode="nearest")
    knots = np.concatenate([smooth, smooth[-1:]])
    knots[1:-1] = np.maximum(smooth[:-1], smooth[1:])
    return np.exp(-knots)
