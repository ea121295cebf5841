"""Backward-adaptive prediction in the compiled sampler; see `adaptive`."""

from __future__ import annotations

import numpy as np
from numba import njit

from hierarchy.micro.adaptive import FAINT, LEAST, SMALLER, STEEPEST, WHITE


@njit
def remember(heard, now, steps, each, lags):
    """Add a frame of one stream to what its taps are fitted to.

    Args:
        heard: float32 [steps, bands], of which the frame begins at `now`; as many as
            there are taps lie before it.
        now, steps: where, and how many.
        each: by what a weight falls from step to step.
        lags: float32 [order + 1, bands], written to.
    """
    order, bands = lags.shape[0] - 1, lags.shape[1]
    fall = np.float32(each)
    for step in range(now, now + steps):
        for lag in range(order + 1):
            for band in range(bands):
                more = heard[step, band] * heard[step - lag, band]
                lags[lag, band] = fall * lags[lag, band] + more


@njit
def fit(lags, each, room, taps, foreseen):
    """Taps of one stream for the next frame; see `Memory.fitted`.

    Args:
        lags: float32 [order + 1, bands].
        each: as in `remember`.
        room: float32 [2 * order + 3, bands].
        taps: float32 [order, bands], written to, the latest step first.
        foreseen: float32 [2 * bands, ...]; the second half, what was not, is written.
    """
    order, bands = lags.shape[0] - 1, lags.shape[1]
    seen, before = room[: order + 1], room[order + 1 : 2 * order + 1]
    error, reflection = room[2 * order + 1], room[2 * order + 2]
    for lag in range(order + 1):
        share = np.float32(each ** (lag / 2))
        for band in range(bands):
            seen[lag, band] = share * lags[lag, band]
    for band in range(bands):
        seen[0, band] = seen[0, band] * np.float32(1 + WHITE) + np.float32(FAINT)
        error[band] = seen[0, band]
    steepest = np.float32(STEEPEST)
    for k in range(order):
        for band in range(bands):
            reflection[band] = seen[k + 1, band]
        for tap in range(k):
            for band in range(bands):
                before[tap, band] = taps[tap, band]
                reflection[band] -= taps[tap, band] * seen[k - tap, band]
        for band in range(bands):
            turned = reflection[band] / error[band]
            turned = min(max(turned, -steepest), steepest)
            reflection[band] = taps[k, band] = turned
            left = error[band] * (np.float32(1) - turned * turned)
            error[band] = max(left, np.float32(LEAST) * seen[0, band])
        for tap in range(k):
            for band in range(bands):
                taps[tap, band] -= reflection[band] * before[k - 1 - tap, band]
    for band in range(bands):
        share = np.log(error[band] / seen[0, band])
        foreseen[bands + band] = np.float32(SMALLER) * share


@njit
def foresee(heard, now, taps, foreseen):
    """What the taps of one stream say of the step `now`, into foreseen[:bands]."""
    order, bands = taps.shape
    for band in range(bands):
        foreseen[band] = np.float32(0)
    for tap in range(order):
        for band in range(bands):
            foreseen[band] += taps[tap, band] * heard[now - 1 - tap, band]
