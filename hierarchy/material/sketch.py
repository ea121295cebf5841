"""Waveform to sinusoids; sinusoids to a waveform, transposed and stretched.

A sketch keeps the strongest spectral peaks of each frame: frequency, amplitude and
phase, for the middle (left plus right) and the side (left minus right) of the
recording. It carries pitch, so that the grain model can spend itself on what makes
sound alive. Peaks transpose and stretch exactly; only their phases must be carried on
from frame to frame so that partials sound as one tone.

Source: McAulay and Quatieri, "Speech analysis/synthesis based on a sinusoidal
representation", 1986; Serra and Smith, "Spectral modeling synthesis", 1990;
overlap-add synthesis after George and Smith, 1992.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal

HOP = 1024  # samples between frames of a sketch
WINDOW = 3072  # samples that a frame looks at: attacks want it shorter, bass longer
PEAKS = 192  # that are kept of a frame of a recording
DESCRIBING = 48  # of them, by which a frame's chroma and tonality are told
QUIETEST = 1e-5  # amplitude below which a peak does not count
_CHUNK = 512  # frames analysed at once, so that memory does not grow with the song


@dataclasses.dataclass(frozen=True)
class Sketch:
    """The strongest sinusoids of each frame; frame t is centred on sample t * HOP.

    Attributes:
        frequency: Hz, float32 [frames, peaks], rising; 0 where a frame has fewer peaks.
        middle: complex64 [frames, peaks], amplitude and phase at the frame's centre.
        side: complex64 [frames, peaks], the same of the side signal.
    """

    frequency: np.ndarray
    middle: np.ndarray
    side: np.ndarray

    def __len__(self) -> int:
        return len(self.frequency)

    def __getitem__(self, frames) -> Sketch:
        return Sketch(self.frequency[frames], self.middle[frames], self.side[frames])

    def times(self, factor: np.ndarray) -> Sketch:
        """The same, louder or quieter; `factor` is [frames, peaks] or broadcasts."""
        return dataclasses.replace(
            self,
            middle=(self.middle * factor).astype(np.complex64),
            side=(self.side * factor).astype(np.complex64),
        )

    def strongest(self, peaks: int) -> Sketch:
        """The `peaks` strongest sinusoids of each frame; silent ones make up the number."""
        lacking = peaks - self.frequency.shape[1]
        if lacking == 0:
            return self
        if lacking > 0:
            none = [(0, 0), (0, lacking)]
            return Sketch(
                *(
                    np.pad(part, none)
                    for part in (self.frequency, self.middle, self.side)
                )
            )
        pair = np.abs(np.stack([self.middle, self.side]))
        order = np.argsort(ranks(self.frequency, pair), axis=1)
        keep = np.sort(order[:, :peaks], axis=1)
        return Sketch(
            *(
                np.take_along_axis(part, keep, axis=1)
                for part in (self.frequency, self.middle, self.side)
            )
        )


def ranks(frequency: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Which sinusoid of each frame is how strong: 0 is the one to keep longest.

    Books, training and sampling all thin sketches by this order.

    Args:
        frequency: Hz, float [frames, peaks].
        amplitude: float [channels, frames, peaks]; the loudest channel counts.

    Returns:
        int [frames, peaks].
    """
    loud = amplitude.max(axis=0) * _weight(frequency)
    order = np.argsort(-loud, axis=1, kind="stable")
    return np.argsort(order, axis=1)


def _weight(frequency: np.ndarray) -> np.ndarray:
    # Spectra of music fall by some 5 dB an octave; without this tilt the bass
    # would take every place.
    return np.sqrt(np.maximum(frequency, 20.0) / 1000.0)


def analyse(
    middle: np.ndarray, side: np.ndarray, sample_rate: int, *, peaks: int = PEAKS
) -> Sketch:
    """Find the strongest sinusoids of each frame.

    Args:
        middle: float32 [samples].
        side: float32 [samples].
        sample_rate: of both, Hz.
        peaks: how many to keep in a frame.

    Returns:
        A Sketch of 1 + samples // HOP frames.
    """
    frames = 1 + len(middle) // HOP
    pad = np.zeros(WINDOW // 2, np.float32)
    padded = [
        np.concatenate([pad, signal, pad, np.zeros(HOP, np.float32)])
        for signal in (middle, side)
    ]
    window = scipy.signal.get_window("hann", WINDOW).astype(np.float32)
    parts = []
    for first in range(0, frames, _CHUNK):
        count = min(_CHUNK, frames - first)
        at = (first + np.arange(count)) * HOP
        spectra = [
            np.fft.rfft(
                np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[at] * window
            ).astype(np.complex64)
            for signal in padded
        ]
        parts.append(_pick(*spectra, sample_rate=sample_rate, peaks=peaks))
    return Sketch(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _pick(middle, side, *, sample_rate, peaks):
    """Peaks of spectra [frames, bins], refined by a parabola through log magnitudes."""
    magnitude = np.maximum(np.abs(middle), np.abs(side)) + 1e-12
    frames, bins = magnitude.shape
    is_peak = np.zeros([frames, bins], bool)
    inner = magnitude[:, 1:-1]
    is_peak[:, 1:-1] = (inner > magnitude[:, :-2]) & (inner >= magnitude[:, 2:])
    is_peak[:, :2] = False
    frequency = np.arange(bins) * sample_rate / WINDOW
    strength = np.where(is_peak, magnitude * _weight(frequency)[None], 0.0)
    chosen = np.sort(np.argpartition(-strength, peaks, axis=1)[:, :peaks], axis=1)
    row = np.arange(frames)[:, None]

    inside = np.clip(chosen, 1, bins - 2)
    left, mid, right = (np.log(magnitude[row, inside + k]) for k in (-1, 0, 1))
    bend = left - 2 * mid + right
    offset = np.where(bend < 0, 0.5 * (left - right) / np.minimum(bend, -1e-9), 0.0)
    offset = np.clip(offset, -0.5, 0.5)

    # A Hann window of length L seen `offset` bins from its centre: sinc(o)/(1 - o²).
    lobe = np.sinc(offset) / (1 - offset**2)
    scale = 2 / (0.5 * WINDOW) / np.maximum(lobe, 0.1)
    # The frame starts WINDOW/2 before its centre, half a turn a whole bin; the turn of
    # the offset is undone by the window, whose centre is the frame's.
    turn = np.where(inside % 2, -scale, scale)
    complex_amplitudes = [
        (spectrum[row, inside] * turn).astype(np.complex64)
        for spectrum in (middle, side)
    ]
    heard = strength[row, chosen] > 0
    loud = np.maximum(*(np.abs(values) for values in complex_amplitudes))
    heard &= loud > QUIETEST
    hertz = np.where(heard, (inside + offset) * sample_rate / WINDOW, 0.0)
    return (
        hertz.astype(np.float32),
        *(
            np.where(heard, values, 0).astype(np.complex64)
            for values in complex_amplitudes
        ),
    )


_COARSE, _FINE = 64, 32  # HOP * 2 samples of a frame as a grid, see `render`


def render(
    frequency: jax.Array, amplitude: jax.Array, phase: jax.Array, *, sample_rate: int
) -> jax.Array:
    """Sinusoids to a waveform by overlap-add of Hann-windowed frames.

    The 2 * HOP samples of a frame are written as n = 32 i + j. By the angle sum
    cos(wn + p) = cos(32wi + p) cos(wj) - sin(32wi + p) sin(wj), so that a frame is one
    small matrix product and needs 96 cosines a partial instead of 2,048.

    Args:
        frequency: Hz, float [..., frames, peaks].
        amplitude: float [..., frames, peaks].
        phase: radians at the frame's centre, float [..., frames, peaks].
        sample_rate: Hz.

    Returns:
        float32 [..., (frames - 1) * HOP]: from the first frame's centre to the last's.
    """
    turn = 2 * jnp.pi * frequency / sample_rate
    coarse = jnp.arange(_COARSE, dtype=jnp.float32) * _FINE - HOP
    fine = jnp.arange(_FINE, dtype=jnp.float32)
    outer = turn[..., None, :] * _column(coarse, turn) + phase[..., None, :]
    inner = turn[..., None] * _row(fine, turn)
    left = amplitude[..., None, :]
    rows = jnp.concatenate([left * jnp.cos(outer), -left * jnp.sin(outer)], axis=-1)
    columns = jnp.concatenate([jnp.cos(inner), jnp.sin(inner)], axis=-2)
    frames = (rows @ columns).reshape(*turn.shape[:-1], 2 * HOP)
    window = jnp.asarray(scipy.signal.get_window("hann", 2 * HOP), jnp.float32)
    frames = frames * window.reshape([1] * (frames.ndim - 1) + [-1])
    overlapped = frames[..., :-1, HOP:] + frames[..., 1:, :HOP]
    return overlapped.reshape(*overlapped.shape[:-2], -1)


def _column(values, like):
    return values.reshape([1] * (like.ndim - 1) + [-1, 1])


def _row(values, like):
    return values.reshape([1] * like.ndim + [-1])


def carry_phases(
    frequency: np.ndarray,
    phase: np.ndarray,
    *,
    sample_rate: int,
    restart: np.ndarray | None = None,
) -> np.ndarray:
    """Phases that let partials run on from frame to frame.

    Each peak goes on from the nearest peak of the frame before, if that is within a
    quarter tone or 15 Hz, advancing by the mean of both frequencies. Others, and all
    peaks of frames in `restart`, start with the phase that was heard: attacks need
    the partials to agree, as they did in the recording.

    Args:
        frequency: Hz, float [frames, peaks], 0 where there is none.
        phase: radians heard, float [frames, peaks].
        sample_rate: Hz.
        restart: bool [frames]: where phases start anew.

    Returns:
        float32 [frames, peaks], radians in 0 to 2π.
    """
    frames = len(frequency)
    out = np.array(phase, np.float64)
    advance = np.pi * HOP / sample_rate
    for now in range(1, frames):
        if restart is not None and restart[now]:
            continue
        before, here = frequency[now - 1], frequency[now]
        distance = np.abs(here[:, None] - before[None])
        nearest = distance.argmin(axis=1)
        gap = distance[np.arange(len(here)), nearest]
        on = (gap < np.maximum(15.0, 0.03 * here)) & (here > 0) & (before[nearest] > 0)
        carried = out[now - 1][nearest] + advance * (before[nearest] + here)
        out[now] = np.where(on, carried, out[now])
    return np.mod(out, 2 * np.pi).astype(np.float32)
