"""Backward-adaptive linear prediction: taps fitted to what has sounded last.

A tone that sounds goes on; how, a network with some tens of channels for all bands can
hardly say, and a filter with poles of its own says best. Once a frame, each band's taps
are fitted anew to its own past, whose weight halves with every `memory` seconds, so that
nothing has to be told of them, neither in training nor in sampling. The weights are those
of a signal that decays with age, so its autocorrelation is positive definite, and its
filter stable whatever was heard.

Source: Chen et al., "A low-delay CELP coder for the CCITT 16 kb/s speech coding
standard", IEEE JSAC 10, 1992, for taps from the past alone; Levinson and Durbin's
recursion as in Makhoul, "Linear prediction: a tutorial review", 1975.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

WHITE = 1e-3  # power of noise that is added to what was heard, 30 dB below it
FAINT = 0.1  # and never less: with so little heard, nothing is foreseen
STEEPEST = 0.9999  # reflection
LEAST = 1e-4  # of the power, that stays unforeseen
SMALLER = 0.2  # logarithms of shares, so that a network hears them as it hears values


class Memory(NamedTuple):
    """How what has sounded is remembered; see `wavenet.WaveNetConfig.memory`.

    Attributes:
        order: taps of each band.
        steps: in a frame, the time for which taps stay.
        each: by what the weight falls from step to step.
    """

    order: int
    steps: int
    each: float

    def none(self, batch: int, bands: int) -> jax.Array:
        """Lags where nothing was heard, zeros [order + 1, batch, bands]."""
        return jnp.zeros([self.order + 1, batch, bands])

    def after(self, lags: jax.Array, more: jax.Array) -> jax.Array:
        """Lags after one more frame, which adds `more`, one of `sums`, to them."""
        return self.each**self.steps * lags + more

    def sums(self, heard: jax.Array) -> jax.Array:
        """What each frame adds to the lags.

        Args:
            heard: float [order + frames * steps, batch, bands], the past first.

        Returns:
            float32 [order + 1, frames, batch, bands].
        """
        late = self.late(heard)
        age = jnp.arange(self.steps - 1.0, -1.0, -1.0)
        weighed = late[0] * (self.each**age)[None, :, None, None]
        return jnp.stack([(weighed * one).sum(axis=1) for one in late])

    def late(self, heard: jax.Array) -> list[jax.Array]:
        """By 0 to `order` steps late, each [frames, steps, batch, bands]."""
        count = len(heard) - self.order
        return [
            heard[self.order - lag : self.order - lag + count].reshape(
                -1, self.steps, *heard.shape[1:]
            )
            for lag in range(self.order + 1)
        ]

    def fitted(self, lags: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        """Lags [order + 1, ...] to `order` taps [...], the latest step first.

        The second is the natural logarithm of the share of the power that they do not
        foresee.
        """
        seen = [self.each ** (k / 2) * lags[k] for k in range(self.order + 1)]
        seen[0] = seen[0] * (1 + WHITE) + FAINT
        power = error = seen[0]
        taps: list[jax.Array] = []
        for k in range(self.order):
            rest = seen[k + 1]
            for tap, lag in zip(taps, reversed(seen[1 : k + 1]), strict=True):
                rest = rest - tap * lag
            reflection = jnp.clip(rest / error, -STEEPEST, STEEPEST)
            turned = zip(taps, reversed(taps), strict=True)
            taps = [one - reflection * other for one, other in turned] + [reflection]
            error = jnp.maximum(error * (1 - jnp.square(reflection)), LEAST * power)
        return taps, jnp.log(error / power)


def foresee(shape: jax.Array, memory: Memory) -> jax.Array:
    """What the past says of each step of a window that silence precedes.

    Args:
        shape: float [batch, steps, bands]; a whole number of frames.
        memory: how much of it counts.

    Returns:
        float32 [batch, steps, 2 * bands]: the values foreseen, and the logarithm of the
        share of the power that was not foreseen in the past, a fifth of it.
    """
    batch, steps, bands = shape.shape
    heard = jnp.pad(shape.transpose(1, 0, 2), [(memory.order, 0), (0, 0), (0, 0)])
    sums = memory.sums(heard).swapaxes(0, 1)

    def one(lags, more):
        return memory.after(lags, more), lags

    _, lags = jax.lax.scan(one, memory.none(batch, bands), sums)
    # Barriers, since XLA would compute all of this anew for each that reads it.
    lags = jax.lax.optimization_barrier(lags.swapaxes(0, 1))
    taps, error = jax.lax.optimization_barrier(memory.fitted(lags))
    late = memory.late(heard)[1:]
    guess = sum(
        tap[:, None] * one for tap, one in zip(taps, late, strict=True)
    )  # [frames, steps, batch, bands]
    error = jnp.broadcast_to(error[:, None], guess.shape)
    both = jnp.concatenate([guess, SMALLER * error], axis=-1)
    both = both.reshape(steps, batch, 2 * bands).transpose(1, 0, 2)
    return jax.lax.optimization_barrier(jax.lax.stop_gradient(both))
