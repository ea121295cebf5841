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
    meter = LoudnessMeter(sample_rate)
    for start in range(0, waveform.shape[1], 10 * sample_rate):
        meter.hear(waveform[:, start : start + 10 * sample_rate])
    return powers_of(meter.tenths, meter.samples, sample_rate)


class LoudnessMeter:
    """Hears a waveform piece by piece; keeps a number for each tenth of a second.

    Attributes:
        sample_rate: in Hz.
        samples: heard so far.
    """

    def __init__(self, sample_rate: int):
        shelf = pyloudnorm.IIRfilter(
            4.0, 1 / np.sqrt(2), 1500.0, sample_rate, "high_shelf"
        )
        pass_ = pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")
        self.sample_rate, self.samples = sample_rate, 0
        self._filters = [(f.passband_gain * f.b, f.a) for f in (shelf, pass_)]
        self._states: list[np.ndarray] | None = None
        self._tenth = max(1, round(0.1 * sample_rate))
        self._sums: list[np.ndarray] = []
        self._begun = 0.0  # of the tenth that is not over yet

    def hear(self, piece: np.ndarray) -> None:
        """Go on with [channels, samples]."""
        if piece.shape[1] == 0:
            return
        piece = piece.astype(np.float64)
        if self._states is None:
            count = piece.shape[0]
            self._states = [np.zeros([count, len(a) - 1]) for _, a in self._filters]
        for number, (b, a) in enumerate(self._filters):
            piece, self._states[number] = scipy.signal.lfilter(
                b, a, piece, zi=self._states[number]
            )
        power = np.sum(piece**2, axis=0)
        first = -self.samples % self._tenth  # where the next tenth begins
        edges = np.arange(first, len(power), self._tenth)
        self._begun += float(power[:first].sum())
        self.samples += len(power)
        if len(edges):
            sums = np.add.reduceat(power, edges)
            # The tenth before the first edge is over now; the last has just begun.
            before = [self._begun] if first or self._sums else []
            self._sums.append(np.concatenate([before, sums[:-1]]))
            self._begun = float(sums[-1])

    @property
    def tenths(self) -> np.ndarray:
        """Sum of the K-weighted power over each tenth, float64; the last may be short."""
        return np.concatenate([*self._sums, [self._begun]])


def powers_of(tenths: np.ndarray, samples: int, sample_rate: int) -> np.ndarray:
    """Powers of blocks of 0.4 s, float64 [blocks], of what a meter heard in tenths.

    Args:
        tenths: see `LoudnessMeter`.
        samples: heard in all.
        sample_rate: in Hz.
    """
    tenth = max(1, round(0.1 * sample_rate))
    if samples < 4 * tenth:
        return np.array([tenths.sum() / max(samples, 1)])
    whole = tenths[: samples // tenth]
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
