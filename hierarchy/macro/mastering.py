"""A mixed song to a finished one: no DC, faded, at a loudness, under a true peak.

Loudness is integrated loudness in LUFS and true peak is in dBTP, both after
ITU-R BS.1770-5. A song is mastered in two passes over a tape, block by block: the first
takes out DC, fades, and notes how loud each tenth of a second and how high each peak is;
from these notes the gain is found; the second applies it and limits what is too high.
One gain serves the whole song, and the limiter looks no further than a second and a
half: what changes in one section leaves the others as they were, as long as the gain
is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyloudnorm
import scipy.signal

from hierarchy.macro.limiting import REACH_SECONDS, STEP, gain_of, limit, peaks_of
from hierarchy.macro.tape import BLOCK_SECONDS, Tape
from hierarchy.material.loudness import (
    SILENCE,
    LoudnessMeter,
    gated_loudness,
    powers_of,
)

LOUDNESS, TRUE_PEAK = -14.0, -1.0
LOSSY_ROOM = 0.5  # dB that a song is limited lower where a lossy coder adds to peaks
CLOSE = 0.5  # LU by which a gain that is to be kept may miss the loudness

# Louder than this through the limiter, a song is crushed rather than loud.
_MOST_DRIVE_DB = 24.0
# Half a step of 16 bits: what stays under it all through is nothing, not music.
_NOTHING = 2.0**-16
_SHORT_SECONDS = 0.5  # of which the meter hears too little to go by its tenths
_CUTOFF_HZ = 20.0
_FINE = 2.0**40


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
    peak = float(peaks_of(waveform).max(initial=0))
    return 20 * float(np.log10(peak)) if peak > 0 else -np.inf


class HighPass:
    """Takes out what is too slow to hear, piece by piece: second order, at 20 Hz.

    Each second its state is rounded to far less than can be heard. So what differed
    long ago is forgotten to the last bit, where a filter alone would never quite do so.
    """

    def __init__(self, sample_rate: int):
        self._sections = scipy.signal.butter(
            2, _CUTOFF_HZ, "highpass", fs=sample_rate, output="sos"
        )
        self._second, self._passed = sample_rate, 0
        self._state: np.ndarray | None = None

    def __call__(self, piece: np.ndarray) -> np.ndarray:
        """Go on with float [channels, samples]; the first piece tells the DC."""
        if self._state is None:
            # As if the mean of the first second had been there for ever: no thump.
            still = piece[:, : self._second].mean(axis=1, dtype=np.float64)
            state = scipy.signal.sosfilt_zi(self._sections)  # [sections, 2]
            self._state = state[:, None] * still[None, :, None]
        parts, at = [], 0
        while at < piece.shape[1]:
            end = at + self._second - self._passed % self._second
            part, self._state = scipy.signal.sosfilt(
                self._sections,
                piece[:, at:end].astype(np.float64),
                axis=1,
                zi=self._state,
            )
            parts.append(part.astype(np.float32))
            self._passed += part.shape[1]
            at += part.shape[1]
            if self._passed % self._second == 0:
                self._state = np.rint(self._state * _FINE) / _FINE
        return np.concatenate(parts, axis=1)


def remove_dc(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Take out what is too slow to hear: a second-order high-pass at 20 Hz.

    Args:
        waveform: float32 [channels, samples].
        sample_rate: in Hz.
    """
    if waveform.shape[1] == 0:
        return waveform.astype(np.float32)
    return HighPass(sample_rate)(waveform)


def fade(
    waveform: np.ndarray, sample_rate: int, *, fade_in: float, fade_out: float
) -> np.ndarray:
    """Raise the start from silence and lower the end into it, over seconds.

    The curve is half a period of a cosine, squared at the end of a song, where
    an even fall in decibels is expected to leave nothing behind.
    """
    rising, falling = round(fade_in * sample_rate), round(fade_out * sample_rate)
    return _faded(waveform, 0, waveform.shape[1], rising, falling)


def _faded(piece, first: int, length: int, rising: int, falling: int) -> np.ndarray:
    """A piece that begins on sample `first` of `length`, under its part of the fades."""
    piece = piece.copy()
    rising, falling = min(rising, length), min(falling, length)
    if (heard := min(rising - first, piece.shape[1])) > 0:
        piece[:, :heard] *= _half_cosine(rising)[first : first + heard]
    begin = max(length - falling - first, 0)
    if begin < piece.shape[1] and falling:
        curve = _half_cosine(falling)[::-1] ** 2
        place = first + begin - (length - falling)
        piece[:, begin:] *= curve[place : place + piece.shape[1] - begin]
    return piece


def _half_cosine(samples: int) -> np.ndarray:
    place = (np.arange(samples) + 0.5) / max(samples, 1)
    return (0.5 - 0.5 * np.cos(np.pi * place)).astype(np.float32)


class Master:
    """A finished song on a tape.

    Attributes:
        gain: decibels from the mix to the limiter.
        loudness: integrated, in LUFS; `SILENCE` at least.
        sample_rate: in Hz.
    """

    def __init__(self, tape: Tape, gain: float, loudness: float, sample_rate: int):
        self._tape = tape
        self.gain, self.loudness, self.sample_rate = gain, loudness, sample_rate

    @property
    def length(self) -> int:
        """In samples."""
        return self._tape.length

    def blocks(self) -> Iterator[np.ndarray]:
        """From start to end, float32 [channels, samples] at a time."""
        return self._tape.blocks(_block(self.sample_rate))

    @functools.cached_property
    def waveform(self) -> np.ndarray:
        """All of it, float32 [channels, samples]."""
        return self._tape.read(0, self._tape.length)


def finish(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    *,
    length: int,
    loudness: float = LOUDNESS,
    true_peak: float = TRUE_PEAK,
    fade_in: float = 0.0,
    fade_out: float = 0.0,
    gain: float | None = None,
    keep_within: float = CLOSE,
    folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Master:
    """Finish a song of any length in the memory of a few blocks.

    Args:
        blocks: the mix from start to end, float32 [channels, samples] at a time.
        sample_rate: in Hz.
        length: of the whole, in samples.
        loudness: integrated, in LUFS; reached within 0.5 LU unless that would
            take more than 24 dB of limiting. What never passes half a step of 16
            bits is silence, and stays silent.
        true_peak: highest peak at four times the rate, in dBTP.
        fade_in: seconds over which the start rises from silence.
        fade_out: seconds over which the end falls into silence.
        gain: decibels; kept if the song comes out near its loudness, otherwise found
            anew.
        keep_within: LU that count as near; infinity keeps every gain.
        folder: on whose disk the song lies meanwhile; None takes the system's.
        progress: called with (samples done, about how many).

    Raises:
        ValueError: if a sample is not finite, or the blocks are not `length` long.
    """
    total = 2 * length

    def report(done: int) -> None:
        if progress:
            progress(min(done, total), total)

    song = _Draft(sample_rate, folder)
    at = 0
    rising, falling = round(fade_in * sample_rate), round(fade_out * sample_rate)
    for block in _equal_blocks(blocks, _block(sample_rate)):
        song.add(block, lambda piece, at=at: _faded(piece, at, length, rising, falling))
        at += block.shape[1]
        report(at)
    if at != length:
        raise ValueError(f"blocks of {at} samples for a song of {length}")
    if song.highest < _NOTHING:
        return song.silent()
    master = None
    if gain is not None:
        master = song.at_gain(gain, true_peak, report)
        if abs(master.loudness - loudness) > keep_within:
            master = None
    if master is None:
        master = song.at_loudness(loudness, true_peak, report)
    report(total)
    return master


class _Draft:
    """A song before its gain: on tape, with notes of how loud and how high it is."""

    def __init__(self, sample_rate: int, folder: str | Path | None):
        self.sample_rate, self.highest = sample_rate, 0.0
        self._folder, self._tape = folder, None
        self._peaks = Tape(1, folder=folder)
        self._filter = HighPass(sample_rate)
        self._meter = LoudnessMeter(sample_rate)

    def add(self, block: np.ndarray, faded: Callable[[np.ndarray], np.ndarray]) -> None:
        if not np.isfinite(block).all():
            raise ValueError(
                "cannot master a waveform with samples that are not finite"
            )
        self.highest = max(self.highest, float(np.abs(block).max(initial=0)))
        block = faded(self._filter(block))
        if self._tape is None:
            self._tape = Tape(block.shape[0], folder=self._folder)
        self._tape.append(block)
        self._meter.hear(block)
        self._peaks.append(peaks_of(block)[None])

    def silent(self) -> Master:
        tape = self._tape or Tape(2, folder=self._folder)
        out = Tape(tape.channels, folder=self._folder)
        for block in tape.blocks(_block(self.sample_rate)):
            out.append(np.zeros_like(block))
        return Master(out, 0.0, SILENCE, self.sample_rate)

    def at_gain(self, gain_db: float, true_peak: float, report) -> Master:
        """The song at a gain, limited, and how loud it is."""
        size, reach = _block(self.sample_rate), _reach(self.sample_rate)
        gain = np.float32(10 ** (gain_db / 20))
        out = Tape(self._tape.channels, folder=self._folder)
        meter = LoudnessMeter(self.sample_rate)
        for start in range(0, self._tape.length, size):
            # Twice as far as one limiter looks, since peaks are lowered twice.
            first = max(start - 2 * reach, 0)
            piece = self._tape.read(first, start + size + 2 * reach) * gain
            piece = limit(piece, self.sample_rate, true_peak=true_peak)
            piece = piece[:, start - first : start - first + size]
            out.append(piece)
            meter.hear(piece)
            report(self._tape.length + out.length)
        if self._tape.length < _SHORT_SECONDS * self.sample_rate:
            heard = loudness_lufs(out.read(0, out.length), self.sample_rate)
        else:
            powers = powers_of(meter.tenths, meter.samples, self.sample_rate)
            heard = gated_loudness(powers)
        return Master(out, gain_db, heard, self.sample_rate)

    def at_loudness(self, loudness: float, true_peak: float, report) -> Master:
        """The song at the gain that makes it as loud as asked."""
        # The meter does not hear below -70 LUFS, however quiet the mix was meant to be.
        level = -20 * float(np.log10(self.highest))
        before = self._estimate(level, None)
        if not np.isfinite(before) or before <= SILENCE:
            return self.at_gain(level, true_peak, report)
        gain = level + loudness - before
        most = gain + _MOST_DRIVE_DB
        for _ in range(10):
            missing = loudness - self._estimate(gain, true_peak)
            if abs(missing) < 0.02 or gain >= most:
                break
            # Each decibel into a working limiter comes out as less than one.
            gain = min(gain + 1.3 * missing, most)
        for _ in range(4):
            # Written down with few digits, so that what is read is what was used.
            gain = round(gain, 4)
            master = self.at_gain(gain, true_peak, report)
            missing = loudness - master.loudness
            if abs(missing) < 0.1 or gain >= most:
                break
            gain = min(gain + 1.3 * missing, most)
        return master

    def _estimate(self, gain_db: float, true_peak: float | None) -> float:
        """How loud the song is at a gain, by its notes alone; None limits nothing."""
        if self._tape.length < _SHORT_SECONDS * self.sample_rate:
            short = self._tape.read(0, self._tape.length) * 10 ** (gain_db / 20)
            if true_peak is not None:
                short = limit(
                    short.astype(np.float32), self.sample_rate, true_peak=true_peak
                )
            return loudness_lufs(short.astype(np.float32), self.sample_rate)
        gain = 10 ** (gain_db / 20)
        tenths = self._meter.tenths * gain**2
        if true_peak is not None:
            tenths = tenths * self._limiting(gain, true_peak, len(tenths))
        powers = powers_of(tenths, self._meter.samples, self.sample_rate)
        return gated_loudness(powers)

    def _limiting(self, gain: float, true_peak: float, count: int) -> np.ndarray:
        """What the limiter leaves of the power of each tenth, about."""
        tenth = max(1, round(0.1 * self.sample_rate))
        size = _block(self.sample_rate) // STEP
        reach = _reach(self.sample_rate) // STEP
        sums, counts = np.zeros(count), np.zeros(count)
        for start in range(0, self._peaks.length, size):
            first = max(start - reach, 0)
            peaks = self._peaks.read(first, start + size + reach)[0] * np.float32(gain)
            left = gain_of(peaks, self.sample_rate, true_peak=true_peak)
            left = np.square(left[start - first : start - first + size])
            where = np.minimum(
                (start + np.arange(left.size)) * STEP // tenth, count - 1
            )
            sums += np.bincount(where, left, count)
            counts += np.bincount(where, minlength=count)
        return sums / np.maximum(counts, 1)


def master(
    waveform: np.ndarray,
    sample_rate: int,
    *,
    loudness: float = LOUDNESS,
    true_peak: float = TRUE_PEAK,
    fade_in: float = 0.0,
    fade_out: float = 0.0,
) -> np.ndarray:
    """Finish a song that is in memory; arguments and errors as in `finish`.

    Args:
        waveform: float32 [2, samples] (or 1 channel), at any level.

    Returns:
        float32, shaped as it came.
    """
    if waveform.shape[1] == 0:
        return waveform.astype(np.float32)
    finished = finish(
        [waveform],
        sample_rate,
        length=waveform.shape[1],
        loudness=loudness,
        true_peak=true_peak,
        fade_in=fade_in,
        fade_out=fade_out,
    )
    return finished.waveform


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
    return Dither(bits, seed=seed)(waveform)


class Dither:
    """`dither` piece by piece: pieces laid end to end are what it gives of the whole."""

    def __init__(self, bits: int, *, seed: int = 0):
        if not 8 <= bits <= 24:
            raise ValueError(f"dither to {bits} bits; 8 to 24 can be asked for")
        self._steps = 2.0 ** (bits - 1)
        self._random = np.random.default_rng(seed)

    def __call__(self, piece: np.ndarray) -> np.ndarray:
        """Go on with float32 [channels, samples]."""
        # Drawn sample by sample, so that it does not matter where pieces are cut.
        drawn = self._random.random([piece.shape[1], piece.shape[0], 2])
        noise = (drawn[..., 0] - drawn[..., 1]).T
        steps = self._steps
        rounded = np.rint(piece * steps + noise).clip(-steps, steps - 1)
        return np.where(piece == 0, 0, rounded / steps).astype(np.float32)


def _block(sample_rate: int) -> int:
    """Samples looked at at a time: whole steps of the limiter."""
    return round(BLOCK_SECONDS * sample_rate) // STEP * STEP


def _reach(sample_rate: int) -> int:
    return -(-round(REACH_SECONDS * sample_rate) // STEP) * STEP


def _equal_blocks(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, the last one shorter."""
    waiting, held = [], 0
    for block in blocks:
        at = 0
        while at < block.shape[1]:
            piece = block[:, at : at + size - held]
            waiting.append(piece)
            at, held = at + piece.shape[1], held + piece.shape[1]
            if held == size:
                yield np.concatenate(waiting, axis=1)
                waiting, held = [], 0
    if held:
        yield np.concatenate(waiting, axis=1)
