"""What simple statistical models need for the same samples: the bars to clear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from hierarchy.material.companding import BIN
from hierarchy.material.features import FLOOR
from hierarchy.micro.lessons import Lesson

ORDER = 32
MOST = 1 << 19  # steps of each recording that are looked at


def baseline_bits(
    train: Sequence[Lesson], held_out: Sequence[Lesson], *, order: int = ORDER
) -> dict[str, float]:
    """Bits per sample of the marginal and of linear prediction, on held-out recordings.

    Both are fitted to each band of the training recordings and know the gains, as the
    grain model does. The marginal is a histogram; the residual of linear prediction
    (autocorrelation method) has the best of Gaussian, Laplace and logistic shape.

    Returns:
        {"marginal": bits, "linear_prediction": bits}.
    """
    bands = train[0].shape.shape[-1]
    marginal, predicted = [], []
    for band in range(bands):
        fit = np.concatenate([_audible(one, band) for one in train])
        test = np.concatenate([_audible(one, band) for one in held_out])
        if len(fit) < 10 * order or len(test) < 10 * order:
            continue
        marginal.append((_histogram_bits(fit, test), len(test)))
        predicted.append((_linear_prediction_bits(fit, test, order), len(test)))
    if not marginal:
        raise ValueError("nothing audible to fit the baselines to")
    return {
        "marginal": _mean(marginal),
        "linear_prediction": _mean(predicted),
    }


def _mean(pairs):
    values, counts = np.array(pairs).T
    return float(np.average(values, weights=counts))


def _audible(lesson: Lesson, band: int) -> np.ndarray:
    steps = lesson.shape.shape[1] // lesson.frames.shape[1]
    heard = (lesson.levels[:, 2:-2, band] > 2 * FLOOR).repeat(steps, axis=1)
    return lesson.shape[:, :MOST, band][heard[:, :MOST]].astype(np.float64)


def _histogram_bits(fit: np.ndarray, test: np.ndarray) -> float:
    # Bins of an eighth of a level, finer inside by being flat: enough for a marginal.
    edges = np.linspace(-8, 8, 257)
    counts = np.histogram(fit, edges)[0] + 0.5
    probability = counts / counts.sum() * BIN / (edges[1] - edges[0])
    index = np.clip(np.digitize(test, edges) - 1, 0, 255)
    return float(-np.log2(probability[index]).mean())


def _linear_prediction_bits(fit: np.ndarray, test: np.ndarray, order: int) -> float:
    size = 1 << (2 * len(fit) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(fit, size)) ** 2
    lags = np.fft.irfft(spectrum)[: order + 1]
    lags[0] *= 1 + 1e-6
    taps = scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])
    whiten = np.concatenate([[1.0], -taps])
    residuals = [np.convolve(x, whiten)[order : len(x)] for x in (fit, test)]
    return min(
        _spread_bits(*residuals, law) for law in ("normal", "laplace", "logistic")
    )


def _spread_bits(fit: np.ndarray, test: np.ndarray, law: str) -> float:
    if law == "normal":
        spread = fit.std()
        log = -0.5 * (test / spread) ** 2 - np.log(spread * np.sqrt(2 * np.pi))
    elif law == "laplace":
        spread = np.abs(fit).mean()
        log = -np.abs(test) / spread - np.log(2 * spread)
    else:
        spread = np.abs(fit).mean() / (2 * np.log(2))
        scaled = np.abs(test) / spread
        log = -scaled - 2 * np.log1p(np.exp(-scaled)) - np.log(spread)
    return float(-(log.mean() + np.log(BIN)) / np.log(2))
