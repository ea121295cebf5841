"""Spectra to a pulse: where a listener taps."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import scipy.ndimage
import scipy.signal

from structure.spectra import FAST_HOP, RATE, Spectra

FRAMES_PER_SECOND = RATE / FAST_HOP
SLOWEST, FASTEST = 50.0, 220.0
"""Tempi, in beats per minute, between which a pulse is looked for."""

LIKELIEST_TEMPO, TEMPO_SPREAD = 105.0, 0.5  # The spread is in octaves.

_STEADY = 0.012  # A frame; half of the music may be off by more before we say so.


@dataclasses.dataclass(frozen=True)
class Onsets:
    """How much begins in each fast frame: [frames] in all bands and in the lowest."""

    all: np.ndarray
    low: np.ndarray


@dataclasses.dataclass(frozen=True)
class Beats:
    """Taps.

    Attributes:
        times: seconds of each beat, float64 [beats].
        tempo: beats per minute.
        steady: whether the beats lie on one exact grid, as in music made on a machine.
    """

    times: np.ndarray
    tempo: float
    steady: bool


def find_onsets(spectra: Spectra) -> Onsets:
    """Rise of the log mel spectrum, its local mean taken out.

    Source: Böck and Widmer, "Maximum filter vibrato suppression for onset
    detection", DAFx 2013.
    """
    loudest = max(float(spectra.mel.max()), 1e-10)
    level = np.log10(spectra.mel / loudest + 1e-6)
    before = scipy.ndimage.maximum_filter1d(level, 3, axis=1)
    rise = np.zeros_like(level)
    rise[2:] = np.maximum(0, level[2:] - before[:-2])
    return Onsets(_sharpened(rise.mean(axis=1)), _sharpened(rise[:, :4].mean(axis=1)))


def _sharpened(strength: np.ndarray) -> np.ndarray:
    local = scipy.ndimage.uniform_filter1d(strength, round(0.4 * FRAMES_PER_SECOND))
    strength = np.maximum(0, strength - local)
    return strength / max(float(strength.std()), 1e-9)


def find_tempo(onsets: Onsets) -> float:
    """The pulse that returns most, in beats per minute.

    Autocorrelation answers at multiples of the beat and the Fourier transform
    at its divisions; their product is left at the beat itself. It is weighed by
    how common a tempo is (log-normal around `LIKELIEST_TEMPO`).

    Source: Peeters, "Template-based estimation of time-varying tempo", EURASIP
    J. Adv. Signal Process. 2007.
    """
    correlation = _autocorrelation(onsets.all) + 0.5 * _autocorrelation(onsets.low)
    tempi = np.exp2(np.arange(np.log2(SLOWEST), np.log2(FASTEST), 0.004))
    lags = 60 * FRAMES_PER_SECOND / tempi
    at = np.arange(len(correlation))
    returns = sum(
        weight * np.interp(lags * beats, at, correlation, right=0.0)
        for beats, weight in [(1, 1.0), (2, 0.6), (4, 0.6), (8, 0.3)]
    )
    frequencies, strength = _periodicities(onsets.all)
    divides = sum(
        np.interp(tempi / 60 * division, frequencies, strength)
        for division in (1, 2, 4)
    )
    likely = np.exp(-0.5 * (np.log2(tempi / LIKELIEST_TEMPO) / TEMPO_SPREAD) ** 2)
    return float(tempi[np.argmax(np.maximum(returns, 1e-9) * divides * likely)])


def _periodicities(strength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz, and how strongly onsets repeat at each over 8 s at a time."""
    window = round(8 * FRAMES_PER_SECOND)
    padded = np.pad(strength, (0, max(0, window - len(strength))))
    cuts = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 2]
    spectrum = np.abs(np.fft.rfft(cuts * np.hanning(window), 8 * window, axis=1))
    return np.fft.rfftfreq(8 * window, 1 / FRAMES_PER_SECOND), spectrum.mean(axis=0)


def _autocorrelation(strength: np.ndarray) -> np.ndarray:
    size = 2 * len(strength)
    power = np.abs(np.fft.rfft(strength - strength.mean(), size)) ** 2
    correlation = np.fft.irfft(power)[: len(strength)]
    return correlation / max(float(correlation[0]), 1e-9)


def find_beats(spectra: Spectra, onsets: Onsets) -> Beats:
    """Tap along with a song.

    Beats are tracked by dynamic programming first. Where they agree with one
    exact grid, as they do in music made on a machine, the grid is the answer:
    it has no jitter and runs through breaks without drums.
    """
    seconds = spectra.seconds
    if onsets.all.max(initial=0) <= 0 or seconds < 2:
        return Beats(np.arange(0, max(seconds, 0.1), 0.5), 120.0, True)
    tempo = find_tempo(onsets)
    _, frames = librosa.beat.beat_track(
        onset_envelope=onsets.all,
        sr=RATE,
        hop_length=FAST_HOP,
        bpm=tempo,
        tightness=200,
        trim=False,
    )
    tapped = np.asarray(frames) / FRAMES_PER_SECOND
    tempo, phase = _best_grid(onsets, tempo)
    if _is_steady(onsets, tempo):
        phase = _on_the_beat(onsets, 60 / tempo, phase)
        first = phase % (60 / tempo)
        return Beats(np.arange(first, seconds, 60 / tempo), tempo, True)
    if len(tapped) < 4:
        return Beats(np.arange(phase % (60 / tempo), seconds, 60 / tempo), tempo, True)
    if len(tapped) > 9:
        # Taps fall on frames of 12 ms; a line through nine of them does not.
        tapped = scipy.signal.savgol_filter(tapped, 9, 1)
    tapped = extended(tapped, seconds)
    return Beats(tapped, float(60 / np.median(np.diff(tapped))), False)


def _best_grid(onsets: Onsets, tempo: float) -> tuple[float, float]:
    """The exact tempo near `tempo`, and the seconds of one beat of it.

    A grid that fits from the first bar to the last makes a very sharp line in
    the Fourier transform of the onsets, at the beat and at its halves.
    """
    strength = onsets.all
    time = np.arange(len(strength)) / FRAMES_PER_SECOND
    tempi = np.arange(0.96 * tempo, 1.04 * tempo, 60 / (10 * time[-1]))
    best = _comb(strength, time, tempi)
    centre = tempi[np.argmax(best)]
    step = 60 / (10 * time[-1])
    tempi = np.linspace(centre - step, centre + step, 41)
    tempo = float(tempi[np.argmax(_comb(strength, time, tempi))])
    angle = np.angle(np.sum(strength * np.exp(2j * np.pi * tempo / 60 * time)))
    return tempo, float(angle / (2 * np.pi) * 60 / tempo)


def _comb(strength: np.ndarray, time: np.ndarray, tempi: np.ndarray) -> np.ndarray:
    total = np.zeros(len(tempi))
    for number, tempo in enumerate(tempi):
        turn = np.exp(2j * np.pi * tempo / 60 * time)
        power = turn
        for weight in (1.0, 1.0, 0.0, 1.0):
            if weight:
                total[number] += weight * np.abs(np.sum(strength * power))
            power = power * turn
    return total


def _is_steady(onsets: Onsets, tempo: float) -> bool:
    """Whether one grid holds from the first bar to the last.

    Where it does, the onsets of most stretches of eight seconds lie at the same
    place in the grid's halves or quarters of a beat, within `_STEADY` seconds.
    """
    time = np.arange(len(onsets.all)) / FRAMES_PER_SECOND
    stretches = np.arange(0, len(time), round(8 * FRAMES_PER_SECOND))
    strongest, off = 0.2 * float(onsets.all.sum()), np.inf
    for division in (2, 4):
        turning = 2 * np.pi * division * tempo / 60
        parts = np.add.reduceat(onsets.all * np.exp(1j * turning * time), stretches)
        strength = np.abs(parts)
        if strength.sum() < strongest:
            continue
        strongest = float(strength.sum())
        turn = np.abs(np.angle(parts * np.conj(parts.sum())))
        order = np.argsort(turn)
        share = np.cumsum(strength[order])
        off = turn[order][np.searchsorted(share, 0.5 * share[-1])] / turning
    return bool(off < _STEADY)


def _on_the_beat(onsets: Onsets, period: float, phase: float) -> float:
    """Of the places in a beat where onsets lie, the one that carries most weight.

    In syncopated music the middle of all onsets, which is `phase`, lies between the
    sixteenths; these are found by themselves, or triplets where those are stronger.
    """
    time = np.arange(len(onsets.all)) / FRAMES_PER_SECOND

    def turning(parts: int) -> complex:
        turn = np.exp(2j * np.pi * parts / period * time)
        return complex(np.sum((onsets.all + 0.5 * onsets.low) * turn))

    found = {parts: turning(parts) for parts in (2, 3, 4)}
    parts = 3 if abs(found[3]) > abs(found[2]) + abs(found[4]) else 4
    offset = np.angle(found[parts]) / (2 * np.pi) * period / parts

    def weight(start: float) -> float:
        times = np.arange(start % period, len(onsets.all) / FRAMES_PER_SECOND, period)
        return _around(onsets.all, times) + 1.5 * _around(onsets.low, times)

    places = [offset + part * period / parts for part in range(parts)]
    return max([phase, phase + period / 2, *places], key=weight)


def _around(strength: np.ndarray, times: np.ndarray) -> float:
    """Mean of the strongest onset within 35 ms of each time."""
    near = scipy.ndimage.maximum_filter1d(strength, 7)
    frames = np.rint(times * FRAMES_PER_SECOND).astype(int)
    return float(near[frames[frames < len(near)]].mean())


def extended(tapped: np.ndarray, seconds: float) -> np.ndarray:
    """Go on tapping before the first beat, and after the last until `seconds`."""
    head, tail = np.median(np.diff(tapped[:9])), np.median(np.diff(tapped[-9:]))
    before = np.arange(tapped[0] - head, 0, -head)[::-1]
    after = np.arange(tapped[-1] + tail, seconds, tail)
    return np.concatenate([before, tapped, after])
