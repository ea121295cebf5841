"""What simple statistical models need for the same samples: the bars to clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.linalg
import scipy.signal
import scipy.stats

from hierarchy.material.companding import BIN, LIMIT
from hierarchy.material.features import FLOOR
from hierarchy.micro.lessons import Lesson, Window, audible
from hierarchy.micro.objective import UNHEARD

ORDER = 32
MOST = 1 << 19  # steps of each recording that are fitted to
LOOKED_AT = 1 << 19  # residuals of each band, by which its law is chosen


def baseline_bits(
    train: Sequence[Lesson], windows: Sequence[Window], *, order: int = ORDER
) -> dict[str, float]:
    """Bits per sample of the marginal and of linear prediction, of held-out windows.

    All know the gains of each band of the middle, as the grain model does, and the same
    samples are counted in the same way; see `objective.validation_loss`. The marginal, a
    histogram, and linear prediction (autocorrelation method) are fitted to the training
    recordings; adaptive linear prediction is fitted to each window that it is asked
    for, and what tells its parameters is counted. The residual has the best of
    Gaussian, Laplace and logistic shape.

    Source: Rissanen, "Modeling by shortest data description", Automatica 14, 1978, for
    what parameters cost: half the logarithm of the number of samples each.

    Args:
        train: fitted to.
        windows: judged by; batches of them, see `learning.validation_windows`.
        order: of linear prediction.

    Returns:
        {"marginal": bits, "linear_prediction": bits, "adaptive": bits}.
    """
    models = {"marginal": {}, "linear_prediction": {}, "adaptive": {}}
    counted = UNHEARD * (train[0].shape.shape[1] // train[0].frames.shape[1])
    for band in range(train[0].shape.shape[-1]):
        fit = np.concatenate([_audible(one, band) for one in train])
        if len(fit) >= 10 * order:
            models["marginal"][band] = _Histogram(fit)
            models["linear_prediction"][band] = _Predictor(fit, order)
            models["adaptive"][band] = _Adaptive(order, counted)
    if not models["marginal"]:
        raise ValueError("nothing audible to fit the baselines to")
    return {name: _mean_bits(by_band, windows) for name, by_band in models.items()}


def _mean_bits(
    by_band: Mapping[int, _Histogram | _Predictor | _Adaptive],
    windows: Sequence[Window],
) -> float:
    """What models of bands say of the samples that count, as far as each is heard."""
    means = []
    for window in windows:
        steps = window.shape.shape[1] // window.frames.shape[1]
        bits = [
            model.bits(window.shape[..., band].astype(np.float64))
            for band, model in by_band.items()
        ]
        counted = np.stack(bits, axis=-1)[:, UNHEARD * steps :]
        levels = window.levels[:, 2 + UNHEARD : -2, list(by_band)]
        heard = np.asarray(audible(levels)).repeat(steps, axis=1)
        means.append(np.average(counted, weights=heard))
    return float(np.mean(means))


def _audible(lesson: Lesson, band: int) -> np.ndarray:
    """Of the middle, where it can be heard."""
    steps = lesson.shape.shape[1] // lesson.frames.shape[1]
    heard = (lesson.levels[0, 2:-2, band] > 2 * FLOOR).repeat(steps)
    return lesson.shape[0, :MOST, band][heard[:MOST]].astype(np.float64)


class _Histogram:
    """Of bins of a sixteenth of a level, flat inside: fine enough for a marginal."""

    EDGES = np.linspace(-LIMIT, LIMIT, 257)

    def __init__(self, fit: np.ndarray):
        counts = np.histogram(fit, self.EDGES)[0] + 0.5
        share = BIN / (self.EDGES[1] - self.EDGES[0])
        self._bits = -np.log2(counts / counts.sum() * share)

    def bits(self, values: np.ndarray) -> np.ndarray:
        index = np.clip(np.digitize(values, self.EDGES) - 1, 0, len(self._bits) - 1)
        return self._bits[index]


class _Predictor:
    """Linear, of the last axis, with the law that suits its residual best."""

    def __init__(self, fit: np.ndarray, order: int):
        size = 1 << (2 * len(fit) - 1).bit_length()
        spectrum = np.abs(np.fft.rfft(fit, size)) ** 2
        lags = np.fft.irfft(spectrum)[: order + 1]
        lags[0] *= 1 + 1e-6
        taps = scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])
        self._whiten = np.concatenate([[1.0], -taps])
        residual = self._residual(fit)[order:]
        spread = np.abs(residual).mean()
        laws = (
            scipy.stats.norm(scale=np.sqrt(np.square(residual).mean())),
            scipy.stats.laplace(scale=spread),
            scipy.stats.logistic(scale=spread / (2 * np.log(2))),
        )
        some = residual[:: max(1, len(residual) // LOOKED_AT)]
        self._law = max(laws, key=lambda law: law.logpdf(some).mean())

    def _residual(self, values: np.ndarray) -> np.ndarray:
        return scipy.signal.lfilter(self._whiten, [1.0], values, axis=-1)

    def bits(self, values: np.ndarray) -> np.ndarray:
        """Of [..., steps]; the first ones know less than `order` steps before."""
        nats = -self._law.logpdf(self._residual(values))
        return (nats - np.log(BIN)) / np.log(2)


class _Adaptive:
    """Linear prediction that is fitted anew to each row, from step `first` on."""

    def __init__(self, order: int, first: int):
        self._order = order
        self._first = first

    def bits(self, values: np.ndarray) -> np.ndarray:
        """Of [rows, steps]; the taps and the spread are paid for by all steps alike."""
        return np.stack([self._of_one(row) for row in values])

    def _of_one(self, row: np.ndarray) -> np.ndarray:
        told = row[self._first :]
        if not told.any():
            return np.zeros_like(row)
        sent = (self._order + 1) / 2 * np.log2(len(told)) / len(told)
        return _Predictor(told, self._order).bits(row) + sent
