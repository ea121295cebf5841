"""What a grain is asked for, as the numbers that enter the WaveNet.

There are three levels of detail. *Free*: nothing but the style. *Coarse*: chroma,
octaves, levels, brightness, attack, tonality and place in the beat, frame by frame. *Sketch*:
also a few sinusoids, rendered, split into bands and divided by the same gains as the
sound itself. Flags say which of them a request carries, and training drops them at
random, so that one model speaks at every level. One more number says how far the past
can be trusted: in training, noise is laid over it, and the model is told how much.

Source: of telling a model how uncertain what it hears is: Ho et al., "Cascaded diffusion
models", JMLR 23, 2022 (there "conditioning augmentation").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hierarchy.material import bands as filterbank
from hierarchy.material import sketch as sinusoids
from hierarchy.material.companding import to_shape
from hierarchy.material.features import FLOOR, OCTAVES
from hierarchy.material.features import HOP as FRAME

FLAGS = 4  # side, coarse, share of the sketch, doubt
DOUBT_UNIT = 0.4  # levels of noise over the past that are written as 1
PITCHES = 12 + 1 + len(OCTAVES)  # classes, and how high they lie
EXTRAS = 3 + 3  # brightness, onset, tonality; beat as cosine, sine, known


def width(bands: int) -> int:
    """How many numbers describe a frame."""
    return PITCHES + bands + EXTRAS + FLAGS


def describe(
    *,
    chroma: np.ndarray,
    octaves: np.ndarray,
    levels: np.ndarray,
    brightness: np.ndarray,
    onset: np.ndarray,
    tonality: np.ndarray,
    beat: np.ndarray,
    is_side: bool,
) -> np.ndarray:
    """One channel's frames as numbers of about unit size, all levels of detail present.

    Args:
        chroma: float [frames, 12], largest 1.
        octaves: float [frames, 1 + len(OCTAVES)], see `octaves_of`.
        levels: rms of each band, float [frames, bands].
        brightness, onset, tonality, beat: float [frames], as in `Features`.
        is_side: whether this is the side signal.

    Returns:
        float32 [frames, width(bands)]; the last FLAGS are side, coarse, sketch share
        and doubt, of which there is none.
    """
    known = (beat >= 0).astype(np.float32)
    turn = 2 * np.pi * beat
    columns = [
        chroma,
        octaves,
        np.log(np.maximum(levels, FLOOR)) / 4 + 1,
        brightness[:, None] / 2,
        onset[:, None],
        tonality[:, None],
        np.stack([np.cos(turn) * known, np.sin(turn) * known, known], axis=1),
        np.tile(np.float32([is_side, 1, 1, 0]), (len(chroma), 1)),
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def withhold(
    frames: jax.Array, *, coarse: jax.Array, sketch_share: jax.Array, doubt: jax.Array
) -> jax.Array:
    """Say less: blank the coarse description, and note how much sketch there is.

    Args:
        frames: float [batch, frames, features] from `describe`.
        coarse: bool or float [batch], 1 keeps the coarse description.
        sketch_share: float [batch], share of the sinusoids that is given.
        doubt: float [batch], spread of the noise over the past, in levels.
    """
    coarse = coarse.astype(jnp.float32)[:, None, None]
    body = frames[..., :-FLAGS] * coarse
    side = frames[..., -FLAGS : -FLAGS + 1]
    coarse = jnp.broadcast_to(coarse, side.shape)
    share = jnp.broadcast_to(sketch_share[:, None, None], side.shape)
    doubt = jnp.broadcast_to(doubt[:, None, None] / DOUBT_UNIT, side.shape)
    return jnp.concatenate([body, side, coarse, share, doubt], axis=-1)


def draw(
    frequency: jax.Array,
    amplitude: jax.Array,
    phase: jax.Array,
    levels: jax.Array,
    *,
    sample_rate: int,
) -> jax.Array:
    """A sketch as shape: rendered, split into bands, divided by the gains.

    One sketch frame and two feature frames of context are given on either side and
    do not come out again.

    Args:
        frequency, amplitude, phase: float [batch, frames // 2 + 3, peaks]; the first
            row is centred one sketch hop before the first frame's start.
        levels: float [batch, frames + 4, bands], two frames of context on either side.
        sample_rate: Hz.

    Returns:
        float32 [batch, frames * steps_per_frame, bands].
    """
    bands = levels.shape[-1]
    waveform = sinusoids.render(frequency, amplitude, phase, sample_rate=sample_rate)
    shape = to_shape(filterbank.split(waveform, bands), levels)
    context = 2 * FRAME // bands
    return shape[..., context:-context, :]
