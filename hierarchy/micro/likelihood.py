"""What a WaveNet's outputs mean: how likely a value is, and how one is drawn.

Two kinds. `Logistics`, a mixture of logistics over continuous shape, is what grain
models use. `Classes`, a softmax over mu-law classes, is the first WaveNet's, and lets
anyone compare with it.

A draw is a function of uniform numbers that are given, so that every sampler, on every
kind of device, draws the same samples from the same keys.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from hierarchy.material.companding import BIN, LIMIT
from hierarchy.micro import mixture


@dataclasses.dataclass(frozen=True)
class Logistics:
    """A mixture of logistics; parameters are [..., 3 * mixtures]."""

    mixtures: int

    @property
    def outputs(self) -> int:
        """Numbers that describe the distribution of one band's next value."""
        return 3 * self.mixtures

    @property
    def uniforms(self) -> int:
        """Uniform numbers that drawing one value takes."""
        return self.mixtures + 1

    def start(self) -> np.ndarray:
        """Bias of an untrained network, float32 [outputs]."""
        # Components start apart, so that they do not learn the same thing.
        spread = np.linspace(-2.0, 0.0, self.mixtures, dtype=np.float32)
        return np.concatenate([0 * spread, 0 * spread, spread])

    def log_likelihood(
        self, parameters: jax.Array, shape: jax.Array, width: float = BIN
    ) -> jax.Array:
        """See `mixture.log_likelihood`."""
        return mixture.log_likelihood(parameters, shape, width)

    def draw(
        self, parameters: jax.Array, uniform: jax.Array, temperature: float
    ) -> jax.Array:
        """Parameters [..., outputs] and uniform [..., uniforms] to values [...]."""
        return mixture.sample(parameters, *self.noise(uniform), temperature)

    def noise(self, uniform: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Uniform [..., uniforms] to Gumbel [..., mixtures] and logistic noise [...]."""
        first, last = uniform[..., :-1], uniform[..., -1]
        return -jnp.log(-jnp.log(first)), jnp.log(last) - jnp.log1p(-last)


@dataclasses.dataclass(frozen=True)
class Classes:
    """A softmax over mu-law classes; parameters are [..., classes].

    Source: ITU-T G.711's mu-law; van den Oord et al., "WaveNet", arXiv:1609.03499.
    """

    classes: int

    @property
    def outputs(self) -> int:
        """Numbers that describe the distribution of one band's next value."""
        return self.classes

    @property
    def uniforms(self) -> int:
        """Uniform numbers that drawing one value takes."""
        return 1

    def start(self) -> np.ndarray:
        """Bias of an untrained network, float32 [outputs]."""
        return np.zeros(self.classes, np.float32)

    def values(self) -> np.ndarray:
        """Shape of the middle of each class, float32 [classes], rising.

        >>> Classes(3).values().tolist()
        [-8.0, 0.0, 8.0]
        """
        mu = self.classes - 1
        place = np.linspace(-1, 1, self.classes)
        curve = np.expm1(np.abs(place) * np.log1p(mu)) / mu
        return np.float32(LIMIT * np.sign(place) * curve)

    def nearest(self, shape: jax.Array) -> jax.Array:
        """Classes of shape [...] on the companded scale, int32 [...]."""
        mu = self.classes - 1
        loud = jnp.log1p(mu * jnp.abs(shape) / LIMIT) / np.log1p(mu)
        place = (jnp.sign(shape) * loud + 1) / 2 * (self.classes - 1)
        return jnp.clip(jnp.round(place), 0, self.classes - 1).astype(jnp.int32)

    def width(self, shape: jax.Array) -> jax.Array:
        """How wide a class is where a value lies, float32 [...]."""
        mu = self.classes - 1
        return (jnp.abs(shape) + LIMIT / mu) * np.log1p(mu) * 2 / mu

    def log_likelihood(
        self, parameters: jax.Array, shape: jax.Array, width: float = BIN
    ) -> jax.Array:
        """Log probability of each value's class, float32 [...], in nats.

        Classes are as wide as they are, whatever `width` says.
        """
        log = jax.nn.log_softmax(parameters)
        at = self.nearest(shape)[..., None]
        return jnp.take_along_axis(log, at, axis=-1)[..., 0]

    def draw(
        self, parameters: jax.Array, uniform: jax.Array, temperature: float
    ) -> jax.Array:
        """Parameters [..., outputs] and uniform [..., 1] to values [...].

        A temperature divides the logits.
        """
        logits = parameters / jnp.maximum(temperature, 1e-3)
        weight = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
        upto = jnp.cumsum(weight, axis=-1)
        below = upto <= uniform * upto[..., -1:]
        chosen = jnp.minimum(below.sum(axis=-1), self.classes - 1)
        return jnp.asarray(self.values())[chosen]
