"""Gain and shape: each band divided by its own smoothed level, and multiplied back.

The network models shape only, at about unit level whatever the loudness: silence stays
silent, loudness follows the request exactly, and quiet passages are learnt as well as
loud ones. Shape is continuous; for bits per sample it is read in bins of `BIN`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

LIMIT = 8.0  # shape beyond this is clipped; attacks reach 6 within a smoothed frame
BINS = 4096  # 12 bits over the whole range
BIN = 2 * LIMIT / BINS


def gain_by_step(levels: jax.Array, steps_per_frame: int) -> jax.Array:
    """Levels of frames to gains of steps, interpolated in dB between frame centres.

    Args:
        levels: float [..., frames, bands], positive.
        steps_per_frame: band steps in a frame.

    Returns:
        float32 [..., frames * steps_per_frame, bands].
    """
    log = jnp.log(levels)
    edges = [(0, 0)] * (log.ndim - 2) + [(1, 1), (0, 0)]
    padded = jnp.pad(log, edges, mode="edge")[..., None, :]
    place = (np.arange(steps_per_frame) + 0.5) / steps_per_frame - 0.5
    shape = [1] * (log.ndim - 1) + [steps_per_frame, 1]
    before, after = (
        jnp.asarray(np.maximum(way, 0).reshape(shape), jnp.float32)
        for way in (-place, place)
    )
    now = (1 - before - after) * padded[..., 1:-1, :, :]
    blend = before * padded[..., :-2, :, :] + now + after * padded[..., 2:, :, :]
    return jnp.exp(blend).reshape(*log.shape[:-2], -1, log.shape[-1])


def to_shape(split_bands: jax.Array, levels: jax.Array) -> jax.Array:
    """Bands [..., steps, bands] over their gains, clipped to ±LIMIT.

    `levels` are [..., frames, bands]; steps are a multiple of frames.
    """
    gain = gain_by_step(levels, split_bands.shape[-2] // levels.shape[-2])
    return jnp.clip(split_bands / gain, -LIMIT, LIMIT)


def from_shape(shape: jax.Array, levels: jax.Array) -> jax.Array:
    """Shape [..., steps, bands] times its gains: bands again."""
    return shape * gain_by_step(levels, shape.shape[-2] // levels.shape[-2])
