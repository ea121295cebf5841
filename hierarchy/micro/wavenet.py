"""WaveNet over the shape of N bands: the past and a request to a distribution.

All bands of a step are predicted at once. A linear path from the recent past and from
the sketch goes straight to the means, so that the network starts as a linear predictor
and spends its depth on what a linear predictor cannot say. Beside it the network hears
what a predictor foresees whose taps are fitted to what sounded last (see `adaptive`),
and says how far it is to be trusted.

Source: van den Oord et al., "WaveNet", arXiv:1609.03499; bands after Okamoto et al.,
"An investigation of subband WaveNet vocoder", 2018; the linear path after Valin and
Skoglund, "LPCNet", arXiv:1810.11846.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hierarchy.material.features import BANDS
from hierarchy.material.features import HOP as FRAME
from hierarchy.micro import conditions
from hierarchy.micro.adaptive import Memory, foresee
from hierarchy.micro.likelihood import Classes, Logistics

TOGETHER = 6  # layers whose ways out are one product in training


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveNetConfig:
    """What a grain model is.

    Times are in band steps, `sample_rate / bands` of them a second.
    """

    sample_rate: int = 44_100  # Hz
    bands: int = BANDS  # predicted side by side; a divisor of 512
    residual: int = 48  # width of what a layer hands to the next
    gate: int = 48  # width inside a layer
    skip: int = 64  # width of what all layers add up to
    head: int = 128  # width between that and the prediction
    context: int = 64  # width of the conditioning network
    style: int = 8  # width of a style's embedding
    styles: tuple[str, ...] = ("own",)  # names; the corpora give them
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64) * 3  # of each layer
    linear: int = 16  # steps of the past in the linear path
    adaptive: int = 0  # taps of the prediction that is fitted to the past; 0: none
    memory: float = 0.15  # seconds by which that past counts half as much
    mixtures: int = 3  # logistics that a prediction is mixed of
    classes: int = 0  # mu-law classes of each step; 0: a mixture of logistics
    peaks: int = 48  # sinusoids that a request may carry

    def __post_init__(self):
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations start at 1, got {self.dilations}")
        if FRAME % self.bands:
            raise ValueError(f"bands divide {FRAME}, got {self.bands}")
        for name in ("sample_rate", "residual", "gate", "skip", "head", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}")
        if self.linear < 1 or self.mixtures < 1 or self.peaks < 1:
            raise ValueError("linear, mixtures and peaks are at least 1")
        if self.adaptive < 0 or self.memory <= 0:
            raise ValueError("adaptive is at least 0, and memory more than 0")
        if self.adaptive and self.classes:
            raise ValueError("classes have no mean that adaptive taps could foresee")
        if self.classes == 1 or self.classes < 0:
            raise ValueError(f"classes are 0 or at least 2, got {self.classes}")
        if not self.styles or len(set(self.styles)) < len(self.styles):
            raise ValueError(f"styles have different names, got {self.styles}")

    @property
    def likelihood(self) -> Logistics | Classes:
        """What the outputs mean."""
        return Classes(self.classes) if self.classes else Logistics(self.mixtures)

    @property
    def steps_per_frame(self) -> int:
        """Band steps in one frame of conditions."""
        return FRAME // self.bands

    @property
    def reach(self) -> int:
        """Past steps that a prediction may depend on, but for adaptive taps."""
        return max(sum(self.dilations) + 1, self.linear)

    @property
    def heard(self) -> int:
        """Past steps that linear and adaptive taps hear themselves."""
        return max(self.linear, self.adaptive)

    @property
    def remembered(self) -> Memory | None:
        """How what has sounded is remembered, if it is."""
        if not self.adaptive:
            return None
        each = 0.5 ** (self.bands / (self.memory * self.sample_rate))
        return Memory(self.adaptive, self.steps_per_frame, each)

    @property
    def receptive_seconds(self) -> float:
        """The same in seconds."""
        return self.reach * self.bands / self.sample_rate


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], fan_in: int, gain: float = 1.0):
    return nnx.Param(jax.random.normal(rngs.params(), shape) * gain * fan_in**-0.5)


class Layer(nnx.Module):
    """One dilated gated convolution of two taps, and its way out."""

    def __init__(self, config: WaveNetConfig, *, rngs: nnx.Rngs):
        r, g, s = config.residual, config.gate, config.skip
        self.past = _normal(rngs, (r, 2 * g), 2 * r)
        self.now = _normal(rngs, (r, 2 * g), 2 * r)
        out = _normal(rngs, (g, r), g, gain=0.5).get_value()
        skip = _normal(rngs, (g, s), g * len(config.dilations)).get_value()
        self.out = nnx.Param(
            jnp.concatenate([out, skip], axis=1)
        )  # [gate, residual + skip]


class WaveNet(nnx.Module):
    """Past shape, sketch and conditions to the distribution of the next step."""

    def __init__(self, config: WaveNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        n, layers = config.bands, len(config.dilations)
        wide = conditions.width(n)
        self.style = _normal(rngs, (len(config.styles), config.style), 1)
        self.look_frames = _normal(rngs, (3 * wide, config.context), 3 * wide)
        self.look_style = _normal(rngs, (config.style, config.context), config.style)
        self.look_bias = nnx.Param(jnp.zeros([config.context]))
        self.gates = _normal(
            rngs, (config.context, layers * 2 * config.gate), config.context
        )
        self.gates_bias = nnx.Param(jnp.zeros([layers * 2 * config.gate]))
        self.enter = _normal(rngs, (n, config.residual), n)
        self.enter_sketch = _normal(rngs, (3 * n, config.residual), 3 * n)
        self.layers = nnx.List([Layer(config, rngs=rngs) for _ in config.dilations])
        self.head = _normal(rngs, (config.skip, config.head), config.skip)
        self.head_bias = nnx.Param(jnp.zeros([config.head]))
        likelihood = config.likelihood
        outputs = n * likelihood.outputs
        self.last = _normal(rngs, (config.head, outputs), config.head, gain=0.1)
        self.last_bias = nnx.Param(jnp.asarray(np.tile(likelihood.start(), n)))
        self.linear = nnx.Param(jnp.zeros([config.linear * n, n]))
        straight = jnp.zeros([3 * n, n]).at[n : 2 * n].set(0.8 * jnp.eye(n))
        self.linear_sketch = nnx.Param(straight)
        if config.adaptive:
            self.enter_foreseen = nnx.Param(jnp.zeros([2 * n, config.residual]))
            self.trust = nnx.Param(jnp.zeros([config.head, n]))
            self.trust_bias = nnx.Param(jnp.zeros([n]))

    def look(self, frames: jax.Array, style: jax.Array) -> jax.Array:
        """Each frame of a request, with the frame before and the one after.

        Args:
            frames: float [batch, frames, features].
            style: int32 [batch]; -1 stands for none.

        Returns:
            float32 [batch, frames, context].
        """
        edges = jnp.pad(frames, [(0, 0), (1, 1), (0, 0)], mode="edge")
        around = jnp.concatenate([edges[:, :-2], frames, edges[:, 2:]], axis=-1)
        known = (style >= 0).astype(jnp.float32)[:, None]
        whose = self.style[...][jnp.maximum(style, 0)] * known @ self.look_style[...]
        always = whose[:, None] + _last(self.look_bias, 3)
        return jax.nn.gelu(around @ self.look_frames[...] + always)

    def open_gates(self, seen: jax.Array) -> jax.Array:
        """What each layer's gate hears: [..., context] to [..., layers, 2 * gate]."""
        gates = seen @ self.gates[...] + _last(self.gates_bias, seen.ndim)
        return gates.reshape(*seen.shape[:-1], len(self.layers), 2 * self.config.gate)

    def finish(
        self, skip: jax.Array, straight: jax.Array, foreseen: jax.Array | None = None
    ) -> jax.Array:
        """Skips [..., skip] and linear means [..., bands] to [..., bands, outputs].

        What adaptive taps have `foreseen` [..., bands] is added to the means as far as
        the network trusts it. Classes have no mean that a linear path could be added
        to: they go without.
        """
        config = self.config
        hidden = jax.nn.relu(
            jax.nn.relu(skip) @ self.head[...] + _last(self.head_bias, skip.ndim)
        )
        raw = hidden @ self.last[...] + _last(self.last_bias, skip.ndim)
        if config.classes:
            return raw.reshape(*skip.shape[:-1], config.bands, config.classes)
        if foreseen is not None:
            trust = hidden @ self.trust[...] + _last(self.trust_bias, skip.ndim)
            straight = straight + trust * foreseen
        raw = raw.reshape(*skip.shape[:-1], config.bands, 3, config.mixtures)
        means = jnp.zeros_like(raw).at[..., 1, :].add(straight[..., None])
        return (raw + means).reshape(
            *skip.shape[:-1], config.bands, 3 * config.mixtures
        )

    def __call__(
        self, shape: jax.Array, sketch: jax.Array, frames: jax.Array, style: jax.Array
    ) -> jax.Array:
        """Predict every step of a window from the steps before it.

        Args:
            shape: float [batch, steps, bands], the sound itself; silence precedes it.
            sketch: float [batch, steps, bands], zeros where none is given.
            frames: float [batch, steps // steps_per_frame, features].
            style: int32 [batch].

        Returns:
            float32 [batch, steps, bands, outputs], what `config.likelihood` reads.
        """
        config = self.config
        batch, steps, _ = shape.shape
        gates = self.open_gates(self.look(frames, style))
        past = jnp.pad(shape, [(0, 0), (config.linear, 0), (0, 0)])
        heard = jnp.concatenate(
            [past[:, lag : lag + steps] for lag in range(config.linear)], axis=-1
        )
        beside = neighbours(sketch)
        straight = heard @ self.linear[...] + beside @ self.linear_sketch[...]
        # The latest step heard lies last: steps linear - 1 of the padded past.
        h = (
            past[:, config.linear - 1 : -1] @ self.enter[...]
            + beside @ self.enter_sketch[...]
        )
        foreseen = None
        if config.remembered:
            both = foresee(shape, config.remembered)
            h = h + both @ self.enter_foreseen[...]
            foreseen = both[..., : config.bands]
        skip, inside = jnp.zeros([batch, steps, config.skip]), []
        for index, (layer, dilation) in enumerate(
            zip(self.layers, config.dilations, strict=True)
        ):
            before = jnp.pad(h, [(0, 0), (dilation, 0), (0, 0)])[:, :steps]
            # One product of twice the depth reads and writes less than two.
            both = jnp.concatenate([layer.past[...], layer.now[...]])
            z = jnp.concatenate([before, h], axis=-1) @ both
            z = z.reshape(batch, -1, config.steps_per_frame, 2 * config.gate)
            z = (z + gates[:, :, None, index]).reshape(batch, steps, -1)
            inside.append(gated(z))
            h = h + inside[-1] @ layer.out[..., : config.residual]
            if len(inside) == TOGETHER or index + 1 == len(self.layers):
                ways = [
                    one.out[..., config.residual :]
                    for one in self.layers[index + 1 - len(inside) : index + 1]
                ]
                # One deep product writes the sum once, not once a layer.
                skip = skip + jnp.concatenate(inside, axis=-1) @ jnp.concatenate(ways)
                inside = []
        return self.finish(skip, straight, foreseen)


def gated(z: jax.Array) -> jax.Array:
    """[..., 2 * gate] to [..., gate]: tanh of one half times the sigmoid of the other."""
    first, second = jnp.split(z, 2, axis=-1)
    return jnp.tanh(first) * jax.nn.sigmoid(second)


def neighbours(sketch: jax.Array) -> jax.Array:
    """Each step of a sketch with the step before and the step after, [..., 3 * bands]."""
    edges = [(0, 0)] * (sketch.ndim - 2) + [(1, 1), (0, 0)]
    padded = jnp.pad(sketch, edges)
    return jnp.concatenate([padded[..., :-2, :], sketch, padded[..., 2:, :]], axis=-1)


def _last(parameter: nnx.Param, ndim: int) -> jax.Array:
    """A vector with leading axes, since ranks are not promoted silently here."""
    return parameter[...].reshape([1] * (ndim - 1) + [-1])
