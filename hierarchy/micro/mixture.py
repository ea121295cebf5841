"""Mixtures of logistics over shape: likelihood, entropy and samples.

Source: Salimans et al., "PixelCNN++", arXiv:1701.05517; for audio van den Oord et al.,
"Parallel WaveNet", arXiv:1711.10433.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hierarchy.material.companding import BIN, LIMIT

# A quarter of a bin: narrower gains nothing and lets gradients explode.
NARROWEST = -7.0


def unpack(parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """[..., 3 * components] to log weights, means and log scales, [..., components]."""
    weight, mean, scale = jnp.split(parameters, 3, axis=-1)
    return jax.nn.log_softmax(weight), mean, jnp.maximum(scale, NARROWEST)


def log_likelihood(
    parameters: jax.Array, shape: jax.Array, width: float = BIN
) -> jax.Array:
    """Log probability of the bin around each value.

    Args:
        parameters: float [..., 3 * components].
        shape: float [...], within ±LIMIT.
        width: of the bins.

    Returns:
        float32 [...], in nats.
    """
    weight, mean, scale = unpack(parameters)
    inverse = jnp.exp(-scale)
    centred = shape[..., None] - mean
    upper, lower = (inverse * (centred + half) for half in (width / 2, -width / 2))
    # log(σ(u) - σ(l)) written so that it holds in both tails.
    inside = jnp.log(-jnp.expm1(lower - upper)) - jax.nn.softplus(-upper)
    middle = inside - jax.nn.softplus(lower)
    # The outermost bins take all that lies beyond.
    above = -jax.nn.softplus(lower)
    below = -jax.nn.softplus(-upper)
    edge = LIMIT - width / 2
    value = shape[..., None]
    log = jnp.where(value >= edge, above, jnp.where(value <= -edge, below, middle))
    return jax.nn.logsumexp(weight + log, axis=-1)


def sample(
    parameters: jax.Array, gumbel: jax.Array, logistic: jax.Array, temperature: float
) -> jax.Array:
    """Draw from the mixture with noise that is given.

    Args:
        parameters: float [..., 3 * components].
        gumbel: standard Gumbel noise [..., components].
        logistic: standard logistic noise [...].
        temperature: scales the spread of the chosen component; weights are not changed,
            since a rare component is often an attack.

    Returns:
        float32 [...], within ±LIMIT.
    """
    weight, mean, scale = unpack(parameters)
    chosen = jnp.argmax(weight + gumbel, axis=-1)[..., None]
    mean, scale = (
        jnp.take_along_axis(part, chosen, axis=-1)[..., 0] for part in (mean, scale)
    )
    return jnp.clip(mean + temperature * jnp.exp(scale) * logistic, -LIMIT, LIMIT)
