"""What simple statistical models need for the same samples: the bars to clear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.signal
import scipy.stats

from hierarchy.material.companding import BIN
from hierarchy.material.features import FLOOR
from hierarchy.micro.lessons import Lesson, Window, audible
from hierarchy.micro.objective import UNHEARD

ORDER = 32
MOST = 1 << 19  # steps of each recording that are fitted to


def baseline_bits(
    train: Sequence[Lesson], windows: Sequence[Window], *, order: int = ORDER
) -> dict[str, float]:
    """Bits per sample of the marginal and of linear prediction, of held-out windows.

    Both are fitted to each band of the training recordings and know the gains, as the
    grain model does, and the same samples are counted in the same way; see
    `objective.validation_loss`. The marginal is a histogram; the residual of linear
    prediction (autocorrelation method) has the best of Gaussian, Laplace and logistic
    shape.

    Args:
        train: fitted to.
        windows: judged by; batches of them, see `learning.validation_windows`.
        order: of linear prediction.

    Returns:
        {"marginal": bits, "linear_prediction": bits}.
    """
    found = [_of_one_band(train, windows, band, order) for band in _bands_of(train)]
    if not any(one is not None for one in found):
        raise ValueError("nothing audible to fit the baselines to")
    heard = [_heard(window) for window in windows]
    means = {}
    for name in ("marginal", "linear_prediction"):
        batches = []
        for number, weights in enumerate(heard):
            kept = [band for band, one in enumerate(found) if one is not None]
            bits = np.stack([found[band][name][number] for band in kept], axis=-1)
            batches.append(np.average(bits, weights=weights[..., kept]))
        means[name] = float(np.mean(batches))
    return means


def _bands_of(train: Sequence[Lesson]) -> range:
    return range(train[0].shape.shape[-1])


def _heard(window: Window) -> np.ndarray:
    """How much each sample that counts does, [batch, steps, bands]."""
    levels = window.levels[:, 2 + UNHEARD : -2]
    return np.asarray(audible(levels)).repeat(_steps_of(window), axis=1)


def _steps_of(window: Window) -> int:
    return window.shape.shape[1] // window.frames.shape[1]


def _of_one_band(train, windows, band, order) -> dict[str, list[np.ndarray]] | None:
    """Bits of the samples of one band that count, [batch, steps] of each batch."""
    fit = np.concatenate([_audible(one, band) for one in train])
    if len(fit) < 10 * order:
        return None
    histogram, predictor = _Histogram(fit), _Predictor(fit, order)
    found = {"marginal": [], "linear_prediction": []}
    for window in windows:
        shape = window.shape[..., band].astype(np.float64)
        first = UNHEARD * _steps_of(window)
        found["marginal"].append(histogram.bits(shape[:, first:]))
        found["linear_prediction"].append(predictor.bits(shape)[:, first:])
    return found


def _audible(lesson: Lesson, band: int) -> np.ndarray:
    steps = lesson.shape.shape[1] // lesson.frames.shape[1]
    heard = (lesson.levels[:, 2:-2, band] > 2 * FLOOR).repeat(steps, axis=1)
    return lesson.shape[:, :MOST, band][heard[:, :MOST]].astype(np.float64)


class _Histogram:
    """Of an eighth of a level, finer inside by being flat: enough for a marginal."""

    EDGES = np.linspace(-8, 8, 257)

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
        size = np.abs(residual).mean()
        laws = (
            scipy.stats.norm(scale=residual.std()),
            scipy.stats.laplace(scale=size),
            scipy.stats.logistic(scale=size / (2 * np.log(2))),
        )
        self._law = max(laws, key=lambda law: law.logpdf(residual[:MOST]).mean())

    def _residual(self, values: np.ndarray) -> np.ndarray:
        return scipy.signal.lfilter(self._whiten, [1.0], values, axis=-1)

    def bits(self, values: np.ndarray) -> np.ndarray:
        """Of [..., steps]; the first ones know less than `order` steps before."""
        nats = -self._law.logpdf(self._residual(values))
        return (nats - np.log(BIN)) / np.log(2)
