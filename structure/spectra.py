"""A waveform to the three pictures that listening looks at: onsets, timbre, pitch.

Everything is computed in blocks of frames, so that memory follows the pictures
and not the spectra behind them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import librosa
import numpy as np
import soxr

RATE = 22_050
"""The rate, in Hz, at which songs are listened to."""

FAST_HOP, FAST_WINDOW, MEL_BANDS = 256, 1024, 40
SLOW_HOP, SLOW_WINDOW = 2048, 8192
LOWEST_PITCH, PITCHES = 28, 72  # From E1, 41 Hz, six octaves up.

_BLOCK = 2048  # Frames that are transformed at a time.


@dataclasses.dataclass(frozen=True)
class Spectra:
    """What a song looks like to a listener.

    Attributes:
        seconds: length of the song.
        mel: float32 [fast frames, MEL_BANDS], power of each mel band.
        pitch: float32 [slow frames, PITCHES], amplitude of the spectral peaks
            near each semitone from E1 up, the song's own tuning taken out.
        tuning: semitones by which the song's A is above 440 Hz, -0.5 to 0.5.
    """

    seconds: float
    mel: np.ndarray
    pitch: np.ndarray
    tuning: float

    @functools.cached_property
    def mel_times(self) -> np.ndarray:
        """Seconds at the middle of each fast frame."""
        return np.arange(len(self.mel)) * FAST_HOP / RATE

    @functools.cached_property
    def pitch_times(self) -> np.ndarray:
        """Seconds at the middle of each slow frame."""
        return np.arange(len(self.pitch)) * SLOW_HOP / RATE


def measure_spectra(waveform: np.ndarray, sample_rate: int) -> Spectra:
    """Measure float32 [channels, samples] at `sample_rate` Hz."""
    mono = np.asarray(waveform, np.float32).mean(axis=0)
    seconds = len(mono) / sample_rate
    if sample_rate != RATE:
        mono = soxr.resample(mono, sample_rate, RATE)
    mel = [power @ _mel_bank().T for power in _frames(mono, FAST_WINDOW, FAST_HOP)]
    peaks = [_peaks(p) for p in _frames(mono, SLOW_WINDOW, SLOW_HOP)]
    tuning = _tuning(peaks)
    pitch = [_near_semitones(*found, tuning) for found in peaks]
    return Spectra(seconds, np.concatenate(mel), np.concatenate(pitch), tuning)


def over_beats(values: np.ndarray, times: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Average `values` [frames, features] between neighbouring `edges`, in seconds.

    Returns:
        [len(edges) - 1, features]; a beat without a frame takes the nearest one.
    """
    starts = np.searchsorted(times, edges)
    starts = np.minimum(starts, len(times) - 1)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    first, last = starts[:-1], np.maximum(starts[1:], starts[:-1] + 1)
    return (sums[last] - sums[first]) / (last - first)[:, None]


def _frames(mono: np.ndarray, window: int, hop: int) -> Iterator[np.ndarray]:
    """Power spectra [frames, bins], by blocks; frame t is centred on t * hop."""
    padded = np.pad(mono, window // 2)
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window, dtype=np.float32) / window)
    shape *= 2 / shape.sum()  # A full-scale sine then peaks at 1.
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    for start in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * shape, axis=1)
        yield (spectrum.real**2 + spectrum.imag**2).astype(np.float32)


@functools.cache
def _mel_bank() -> np.ndarray:
    return librosa.filters.mel(sr=RATE, n_fft=FAST_WINDOW, n_mels=MEL_BANDS, fmin=30.0)


def _peaks(power: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Spectral peaks between 38 and 3,000 Hz, each at its interpolated frequency.

    Returns the number of frames, and of each peak its frame, semitone (MIDI, not
    rounded) and amplitude.
    """
    low, high = (round(f * SLOW_WINDOW / RATE) for f in (38.0, 3000.0))
    level = np.log(power[:, low - 1 : high + 1] + 1e-12)
    left, here, right = level[:, :-2], level[:, 1:-1], level[:, 2:]
    # -80 dB: what is softer than that is the floor of the recording.
    found = (here > left) & (here >= right) & (here > np.log(1e-8))
    frame, bin_ = np.nonzero(found)
    a, b, c = left[found], here[found], right[found]
    shift = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-6)
    frequency = (bin_ + low + shift) * (RATE / SLOW_WINDOW)
    amplitude = np.exp(0.5 * (b - 0.25 * (a - c) * shift))
    semitone = 69 + 12 * np.log2(frequency / 440)
    return len(power), frame, semitone.astype(np.float32), amplitude


def _tuning(peaks: list) -> float:
    """How far the peaks lie from A = 440 Hz on average, as an angle round the semitone."""
    total = 0j
    for _, _, semitone, amplitude in peaks:
        # Below C3 bins are wider than a tenth of a semitone.
        clear = semitone > 48
        total += np.sum(
            np.sqrt(amplitude[clear]) * np.exp(2j * np.pi * semitone[clear])
        )
    return float(np.angle(total) / (2 * np.pi)) if total else 0.0


def _near_semitones(
    frames: int,
    frame: np.ndarray,
    semitone: np.ndarray,
    amplitude: np.ndarray,
    tuning: float,
) -> np.ndarray:
    position = semitone - tuning - LOWEST_PITCH
    nearest = np.rint(position).astype(int)
    kept = (nearest >= 0) & (nearest < PITCHES)
    # Peaks half-way between two semitones say nothing about either.
    weight = np.cos(np.pi * (position - nearest)) ** 2 * amplitude
    flat = (frame * PITCHES + nearest)[kept]
    picture = np.bincount(flat, weight[kept], minlength=frames * PITCHES)
    return picture.reshape(frames, PITCHES).astype(np.float32)
