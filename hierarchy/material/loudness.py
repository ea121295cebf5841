"""Loudness of a waveform as ITU-R BS.1770 measures it, in little memory."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import scipy.signal

SILENCE = -70.0
"""LUFS below which the standard hears nothing."""


def measure_loudness(waveform: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS; `SILENCE` at least.

    Args:
        waveform: float32 [1 or 2 channels, samples].
        sample_rate: in Hz.

    Source: ITU-R BS.1770-4; filters as in pyloudnorm.
    """
    return gated_loudness(block_powers(waveform, sample_rate))


def block_powers(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """K-weighted power of each block of 0.4 s, 0.1 s apart, float64 [blocks].

    What is shorter than a block is measured as one block of its own length. Filters
    keep their state over pieces of 10 s, so that ten minutes need no more memory than
    one. Blocks of several recordings, one after the other, are blocks of them all.

    Args:
        waveform: float32 [1 or 2 channels, samples].
        sample_rate: in Hz.
    """
    shelf = pyloudnorm.IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, sample_rate, "high_shelf")
    pass_ = pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")
    filters = [(f.passband_gain * f.b, f.a) for f in (shelf, pass_)]
    states = [np.zeros([waveform.shape[0], len(a) - 1]) for _, a in filters]
    tenth = max(1, round(0.1 * sample_rate))
    energy = []
    for start in range(0, waveform.shape[1], 100 * tenth):
        piece = waveform[:, start : start + 100 * tenth].astype(np.float64)
        for number, (b, a) in enumerate(filters):
            piece, states[number] = scipy.signal.lfilter(b, a, piece, zi=states[number])
        power = np.sum(piece**2, axis=0)
        energy.append(np.add.reduceat(power, np.arange(0, len(power), tenth)))
    tenths = np.concatenate(energy)
    if waveform.shape[1] < 4 * tenth:
        return np.array([tenths.sum() / waveform.shape[1]])
    whole = tenths[: waveform.shape[1] // tenth]
    return np.convolve(whole, np.ones(4), mode="valid") / (4 * tenth)


def gated_loudness(blocks: np.ndarray) -> float:
    """Integrated loudness in LUFS of blocks' powers [blocks]; `SILENCE` at least.

    Source: ITU-R BS.1770-4, annex 1.
    """
    gate = 10 ** ((SILENCE + 0.691) / 10)
    for offset in (1.0, 0.1):  # The second gate is 10 LU below the mean of the first.
        loud = blocks[blocks > gate]
        if len(loud) == 0:
            return SILENCE
        gate = max(gate, float(loud.mean()) * 0.1) if offset == 1.0 else gate
    return max(SILENCE, float(-0.691 + 10 * np.log10(loud.mean())))
