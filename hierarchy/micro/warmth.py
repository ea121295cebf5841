"""The temperature of a style: as warm as its grains are no fuller than they should be.

At temperature 1 a model says what it has learnt, and what it has not learnt well adds up:
dense music comes out fuller than it was asked for. Sampled cooler, it is no fuller, and
emptier between its partials than the recordings are. How much of which depends on the
music. So held-out moments are asked for straight at several temperatures, and the warmest
is taken at which their mean spectrum is nearly as close to the recordings' as at any.

Source: temperature as the one number that is set after training, as in Guo et al., "On
calibration of modern neural networks", ICML 2017; here by what is heard, not by odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import librosa
import numpy as np

from hierarchy.micro.grains import GrainModel, GrainRequest, make_grains

TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NEARLY = 0.4  # dB by which a mean spectrum may be further off than the closest one
BANDS, RANGE = 40, 60.0  # mel bands; dB below the loudest that count
_WINDOW = 2048  # samples


def fullness_off(
    model: GrainModel, requests: Sequence[GrainRequest], sounds: Sequence[np.ndarray]
) -> dict[float, float]:
    """How far the mean spectrum of grains is from that of recordings, RMS in dB.

    Args:
        model: to be sampled.
        requests: moments of recordings of one style.
        sounds: the recordings, float32 [2, samples], as long as each grain.

    Returns:
        decibels by each of TEMPERATURES.
    """
    rate = model.config.sample_rate
    recorded = np.mean([_mean_spectrum(sound, rate) for sound in sounds], axis=0)
    found = {}
    for temperature in TEMPERATURES:
        grains = make_grains(model, requests, temperature=temperature)
        heard = np.mean([_mean_spectrum(g.waveform, rate) for g in grains], axis=0)
        found[temperature] = float(np.sqrt(np.square(heard - recorded).mean()))
    return found


def warmest(off: Mapping[float, float]) -> float:
    """The highest temperature that is nearly as close as the closest; dB by each."""
    least = min(off.values())
    return max(t for t, found in off.items() if found <= least + NEARLY)


def _mean_spectrum(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=waveform.mean(axis=0),
        sr=sample_rate,
        n_fft=_WINDOW,
        hop_length=_WINDOW // 4,
        n_mels=BANDS,
        fmin=50,
    )
    return librosa.power_to_db(power, amin=1e-9, top_db=RANGE).mean(axis=1)
