"""One waveform to N slow bands and back: a cosine-modulated pseudo-QMF bank.

The bank is critically sampled: N bands at 1/N of the rate, so that a model that
predicts all N bands in one step takes N times fewer steps for a second of sound.
The prototype low-pass is a Kaiser window design whose cutoff is searched for the
best reconstruction; what ripple that leaves, the synthesis filters take back.

Source: Nguyen, "Near-perfect-reconstruction pseudo-QMF banks", IEEE Trans. Signal
Processing 42(1), 1994; Lin and Vaidyanathan, "A Kaiser window approach for the
design of prototype filters of cosine modulated filterbanks", 1998.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.signal import firwin

TAPS_PER_BAND = 16
KAISER_BETA = 9.0
EVENED = 5  # lags of the ripple, on either side, that the synthesis takes back


@functools.lru_cache
def filters(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Impulse responses of the analysis and the synthesis filters.

    Args:
        bands: how many bands; 1 is the identity.

    Returns:
        Two float64 [bands, taps] arrays, centred, each with its own odd `taps`.
    """
    if bands < 1:
        raise ValueError(f"a filter bank has at least 1 band, got {bands}")
    if bands == 1:
        return np.ones([1, 1]), np.ones([1, 1])
    length = TAPS_PER_BAND * bands + 1
    best = minimize_scalar(
        lambda cutoff: _overall_ripple(bands, _prototype(length, cutoff)),
        bounds=(0.9 * 0.5 / bands, 1.5 * 0.5 / bands),
        method="bounded",
        options={"xatol": 1e-7},
    )
    low = _prototype(length, best.x)
    band, tap = np.arange(bands)[:, None], np.arange(length)[None]
    turn = (2 * band + 1) * np.pi / (2 * bands) * (tap - (length - 1) / 2)
    phase = (-1.0) ** band * np.pi / 4
    # √N on each side: band energies then sum to the energy of the waveform.
    loud = 2 * np.sqrt(bands) * low
    analysis, synthesis = loud * np.cos(turn + phase), loud * np.cos(turn - phase)
    return analysis, _evened(analysis, synthesis)


def share_of_band(distance: np.ndarray) -> np.ndarray:
    """Share of a sinusoid's power that one band passes.

    Neighbours overlap around the edge between them; the shares of all bands add up
    to 1. Alike for every number of bands above 1.

    Args:
        distance: of the sinusoid from the middle of the band, in widths of a band.
    """
    return np.interp(np.abs(distance), *_slope())


@functools.lru_cache
def _slope() -> tuple[np.ndarray, np.ndarray]:
    """Distances from the middle of a band, 0 to 1, and the power that passes there."""
    bands, middle = 16, 8
    size = 1 << 14
    power = np.abs(np.fft.rfft(filters(bands)[0][middle], size)) ** 2
    first = round((middle + 0.5) / (2 * bands) * size)
    width = size // (2 * bands)
    passed = power[first : first + width + 1]
    return np.linspace(0, 1, width + 1), passed / passed[0]


def _evened(analysis: np.ndarray, synthesis: np.ndarray) -> np.ndarray:
    """Synthesis filters that undo the ripple of both, which alone is 60 dB down.

    But for aliasing, the bank is one filter, close to a pulse; all that is not pulse
    lies at every 2N-th tap and is so small that subtracting it once takes it away.
    """
    bands = len(analysis)
    whole = sum(map(np.convolve, analysis, synthesis)) / bands
    middle, apart = len(whole) // 2, 2 * bands
    ripple = whole[middle - EVENED * apart : middle + EVENED * apart + 1].copy()
    ripple[np.arange(len(ripple)) % apart > 0] = 0
    undo = -ripple
    undo[len(undo) // 2] += 2
    return np.stack([np.convolve(one, undo) for one in synthesis])


def _prototype(length: int, cutoff: float) -> np.ndarray:
    return firwin(length, cutoff, window=("kaiser", KAISER_BETA))


def _overall_ripple(bands: int, low: np.ndarray) -> float:
    # A power-complementary prototype has zeros at every 2N-th lag of its autocorrelation.
    lags = np.correlate(low, low, "full")[len(low) - 1 :: 2 * bands]
    return float(np.max(np.abs(lags[1:])) / lags[0])


def _taps_by_hop(kernels: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Filters cut into hops of N taps: [hops, N, bands], hops before and after."""
    bands, taps = kernels.shape
    reach = taps // 2
    before, after = -(-reach // bands), -(-(reach + 1) // bands)
    padded = np.zeros([bands, (before + after) * bands])
    start = before * bands - reach
    padded[:, start : start + taps] = kernels
    return padded.T.reshape(before + after, bands, bands), before, after


def split(waveform: jax.Array, bands: int) -> jax.Array:
    """Waveform to bands.

    Args:
        waveform: float [..., samples]; samples a multiple of `bands`.
        bands: how many.

    Returns:
        float32 [..., samples // bands, bands].
    """
    samples = waveform.shape[-1]
    if samples % bands:
        raise ValueError(f"{samples} samples do not divide into {bands} bands")
    # Correlation with the reversed response is convolution with it.
    kernels, before, after = _taps_by_hop(filters(bands)[0][:, ::-1])
    hops = waveform.reshape(*waveform.shape[:-1], -1, bands)
    edges = [(0, 0)] * (hops.ndim - 2) + [(before, after - 1), (0, 0)]
    hops, steps = jnp.pad(hops, edges), samples // bands
    return sum(
        hops[..., lag : lag + steps, :] @ jnp.asarray(kernel, jnp.float32)
        for lag, kernel in enumerate(kernels)
    )


def join(split_bands: jax.Array) -> jax.Array:
    """Bands back to the waveform: float [..., steps, bands] to [..., steps * bands]."""
    *lead, steps, bands = split_bands.shape
    kernels, before, after = _taps_by_hop(filters(bands)[1])
    padded = jnp.zeros([*lead, steps + before + after - 1, bands])
    for lag, kernel in enumerate(kernels):
        part = split_bands @ jnp.asarray(kernel.T, jnp.float32)
        padded = padded.at[..., lag : lag + steps, :].add(part)
    whole = padded[..., before : before + steps, :]
    return whole.reshape(*lead, steps * bands)
