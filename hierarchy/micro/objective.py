"""What a grain model is trained for: bits per sample, at every level of detail."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hierarchy.material.companding import BIN
from hierarchy.micro import conditions
from hierarchy.micro.lessons import Window, audible
from hierarchy.micro.wavenet import WaveNet
from hierarchy.training.additive import Additive, Sums

UNHEARD = 6  # frames at a window's start whose past is missing, and so do not count


def band_weights(bands: int) -> np.ndarray:
    """How much each band counts in training, mean 1: the lower carry the music."""
    weights = 1 / (1 + np.arange(bands) / 2 * (8 / bands))
    return (weights / weights.mean()).astype(np.float32)


def _bits(
    model: WaveNet,
    window: Window,
    past: jax.Array,
    doubt: jax.Array,
    width: float = BIN,
) -> tuple[jax.Array, jax.Array]:
    """Bits of each band sample that counts, and its audibility; [batch, steps, bands].

    `past` is what the model hears of the shape, and `doubt` [batch] the spread of the
    noise in it, which it is told.
    """
    config = model.config
    parameters = predicted(model, window, past, doubt)
    start = UNHEARD * config.steps_per_frame
    log = config.likelihood.log_likelihood(parameters, window.shape, width)
    bits = -log[:, start:] / jnp.log(2.0)
    heard = audible(window.levels[:, 2 + UNHEARD : -2])
    return bits, jnp.repeat(heard, config.steps_per_frame, axis=1)


def predicted(
    model: WaveNet, window: Window, past: jax.Array, doubt: jax.Array
) -> jax.Array:
    """What a model says of each step of a window, [batch, steps, bands, outputs].

    It is told as much as `window.coarse` and `window.share` let it; `past` is what it
    hears of the shape, and `doubt` [batch] the spread of the noise in it.
    """
    sketch = conditions.draw(
        window.frequency,
        window.amplitude,
        window.phase,
        window.levels,
        sample_rate=model.config.sample_rate,
    )
    sketch = sketch * (window.share > 0)[:, None, None]
    frames = conditions.withhold(
        window.frames,
        coarse=window.coarse,
        sketch_share=window.share,
        doubt=doubt,
    )
    return model(past, sketch, frames, window.style)


def training_sums(
    model: WaveNet,
    window: Window,
    keys: jax.Array,
    *,
    past_noise: float = 0.0,
    past_colour: float = 0.0,
    true_past: float = 0.0,
) -> Sums:
    """Weighted bits per sample, with a key for each window; see `Additive`.

    The past that the model hears is made uncertain by noise of up to `past_noise`
    times the level, another amount for each window, which it is told; and the more noise,
    the more its lows are raised or lowered, by up to `past_colour` decibels. But for a
    share of the windows, `true_past`, which teach what can be known. A model that always
    heard the true past trusts its own too much when it samples, and its errors grow: it
    would go on without the bass that was asked for where its past has none.
    """

    def heard_as(shape, key):
        return doubtful(
            shape,
            key,
            past_noise=past_noise,
            past_colour=past_colour,
            true_past=true_past,
        )

    bits, heard = _bits(model, window, *jax.vmap(heard_as)(window.shape, keys))
    weights = heard * jnp.asarray(band_weights(model.config.bands))[None, None]
    return {
        "loss": ((bits * weights).sum(), weights.sum()),
        "bits": ((bits * heard).sum(), heard.sum()),
    }


def doubtful(
    shape: jax.Array,
    key: jax.Array,
    *,
    past_noise: float,
    past_colour: float = 0.0,
    true_past: float,
) -> tuple[jax.Array, jax.Array]:
    """A past [steps, bands] as training lets it be heard, and how uncertain it is."""
    amount, noise, colour = jax.random.split(key, 3)
    # One number says both whether there is noise and how much.
    beyond = jax.random.uniform(amount) - true_past
    share = jnp.maximum(beyond, 0) / max(1 - true_past, 1e-6)
    doubt = past_noise * share
    past = _coloured(shape, past_colour * share, colour) if past_colour else shape
    return _uncertain(past, doubt, noise), doubt


LOWEST, HIGHEST = 0.015, 0.25  # cycles a step, between which lows may end


def _coloured(shape: jax.Array, most: jax.Array, key: jax.Array) -> jax.Array:
    """A past [steps, bands] whose lows are other than they were, as loud as before.

    By a shelf of one pole, that hears nothing of what is to come; the place at which
    lows end is drawn, and the decibels from `most` down to half as many up.
    """
    place, amount = jax.random.uniform(key, [2])
    ends = LOWEST * (HIGHEST / LOWEST) ** place
    stays = jnp.exp(-2 * jnp.pi * ends)
    low = jax.lax.associative_scan(
        lambda one, two: (one[0] * two[0], two[0] * one[1] + two[1]),
        (jnp.full_like(shape, stays), (1 - stays) * shape),
    )[1]
    gain = 10 ** (most * (1.5 * amount - 1) / 20)
    other = shape + (gain - 1) * low
    had, has = (jnp.square(x).mean(axis=0, keepdims=True) for x in (shape, other))
    return other * jnp.sqrt(had / jnp.maximum(has, 1e-9))


training_loss = Additive(training_sums)
"""The loss of `training_sums` without noise, for `fit`."""


def validation_loss(
    model: WaveNet,
    window: Window,
    key: jax.Array,
    *,
    past_noise: float = 0.0,
    width: float = BIN,
):
    """Bits per sample with the sketch, with the coarse conditions alone, and free.

    The metrics are bits given the true past, and told so. What is judged by is bits given
    a past with half as much noise as training knows, since that is nearer to sampling.
    `width` is that of the bins in which values are read.
    """
    none, full = jnp.zeros_like(window.share), jnp.ones_like(window.share)
    levels_of_detail = {
        "sketch": (0.6, full, full),
        "coarse": (0.3, full, none),
        "free": (0.1, none, none),
    }
    doubt = past_noise / 2
    past = _uncertain(window.shape, doubt, key)
    loss, metrics = 0.0, {}
    for name, (weight, coarse, share) in levels_of_detail.items():
        asked = window._replace(coarse=coarse, share=share)
        bits, heard = _bits(model, asked, window.shape, none, width)
        metrics[f"bits_{name}"] = (bits * heard).sum() / heard.sum()
        if past_noise:
            bits, heard = _bits(model, asked, past, none + doubt, width)
        loss = loss + weight * (bits * heard).sum() / heard.sum()
    return loss, metrics


def _uncertain(
    shape: jax.Array, spread: jax.Array | float, key: jax.Array
) -> jax.Array:
    return shape + spread * jax.random.normal(key, shape.shape)
