"""A WaveNet's weights as the kernel for GPUs reads them: one array of all layers.

Triton's blocks have powers of two on every side, and its products at least 16. So all
widths are filled up with zeros, which add nothing; a class that does not exist gets a
logit that is never drawn. Matrices lie [outputs, inputs], as tensor cores read them.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hierarchy.micro.wavenet import WaveNet, WaveNetConfig

LEAST = 16  # rows and columns of a product
PIECE = 64  # and at most, so that what is multiplied fits the registers
NEVER = -1e30  # logit of a class or component that does not exist

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""How the products of every step are computed, and with the last, weights held."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """A network's widths, filled up; `bands` and `steps_per_frame` are as they are."""

    bands: int
    steps_per_frame: int
    layers: int
    rows: int  # of all rings of the past
    residual: int
    gate: int
    skip: int
    head: int
    across: int  # bands
    window: int  # numbers of the past in the linear path
    together: int  # components of the mixture in one product
    mixtures: int  # such products; 0 where there are classes
    classes: int  # in one product
    parts: int  # such products of one band

    @classmethod
    def of(cls, config: WaveNetConfig) -> Sizes:
        """The sizes of a network."""
        across, classes, count = power(config.bands), config.classes, config.mixtures
        together = min(1 << (count - 1).bit_length(), max(1, PIECE // across))
        some = min(power(classes), PIECE)
        return cls(
            bands=config.bands,
            steps_per_frame=config.steps_per_frame,
            layers=len(config.dilations),
            rows=sum(config.dilations) + len(config.dilations),
            residual=power(config.residual),
            gate=power(config.gate),
            skip=power(config.skip),
            head=power(config.head),
            across=across,
            window=max(power(config.linear * config.bands), across),
            together=together,
            mixtures=0 if classes else -(-count // together),
            classes=some,
            parts=-(-classes // some),
        )


def power(count: int) -> int:
    """The next power of two, and at least what a product takes.

    >>> power(48), power(64), power(3)
    (64, 64, 16)
    """
    return max(LEAST, 1 << (count - 1).bit_length())


class Packed(NamedTuple):
    """Arrays that the kernel reads.

    Matrices lie [..., rows of pieces, columns of pieces, outputs, inputs], see `cut`;
    those without layers have one, so that they too are read anew in every step.

    Attributes:
        dilations: int32 [layers].
        rings: int32 [layers], the row at which each layer's past begins.
        gate: matrices [layers, 4]: the past to tanh and to sigmoid, the present to
            tanh and to sigmoid.
        out: matrices [layers], to the residual.
        skip: matrices [layers].
        head: matrix [1].
        head_bias: float32 [1, pieces, 1, outputs].
        last: matrices: weights of all components, their means, their scales; or
            logits of each part of each band's classes.
        last_bias: float32 [matrices, 1, outputs].
        enter: float32 matrix [1].
        linear: float32 matrix [1], the latest step last.
        values: float32, of classes; one zero where there are none.
    """

    dilations: jax.Array
    rings: jax.Array
    gate: jax.Array
    out: jax.Array
    skip: jax.Array
    head: jax.Array
    head_bias: jax.Array
    last: jax.Array
    last_bias: jax.Array
    enter: jax.Array
    linear: jax.Array
    values: jax.Array


@functools.partial(nnx.jit, static_argnames="precision")
def pack(model: WaveNet, precision: str = "float32") -> Packed:
    """Gather a model's weights.

    Args:
        model: with weights on any device.
        precision: "bfloat16" rounds the matrices of layers, head and last; the linear
            path and all that is read once a frame stay float32.
    """
    config, sizes = model.config, Sizes.of(model.config)
    held = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    taps = [jnp.stack([layer.past[...], layer.now[...]]) for layer in model.layers]
    gate = jnp.stack([_halves(pair, config.gate) for pair in taps])
    out = jnp.stack([layer.out[...] for layer in model.layers])
    last = _last(config, sizes, model.last[...], 0.0)
    bias = _last(config, sizes, model.last_bias[...][None], NEVER)
    # The window ends with the present: what fills it up comes first.
    lacking = sizes.window - config.linear * config.bands
    linear = jnp.pad(model.linear[...], [(lacking, 0), (0, 0)])
    dilations = np.array(config.dilations, np.int32)
    rings = np.concatenate([[0], np.cumsum(dilations + 1)[:-1]]).astype(np.int32)
    values = config.likelihood.values() if config.classes else np.zeros(1, np.float32)
    head_bias = filled_last(model.head_bias[...], sizes.head)
    return Packed(
        dilations=jnp.asarray(dilations),
        rings=jnp.asarray(rings),
        gate=cut(gate, sizes.residual, sizes.gate).astype(held),
        out=cut(out[..., : config.residual], sizes.gate, sizes.residual).astype(held),
        skip=cut(out[..., config.residual :], sizes.gate, sizes.skip).astype(held),
        head=cut(model.head[...][None], sizes.skip, sizes.head).astype(held),
        head_bias=head_bias.reshape(1, -1, 1, min(sizes.head, PIECE)),
        last=cut(last, sizes.head, last.shape[-1], high=last.shape[-1]).astype(held),
        last_bias=bias,
        enter=cut(
            model.enter[...][None], sizes.across, sizes.residual, wide=sizes.across
        ),
        linear=cut(linear[None], sizes.window, sizes.across, high=sizes.across),
        values=jnp.asarray(values),
    )


def cut(
    x: jax.Array, inputs: int, outputs: int, *, high: int = PIECE, wide: int = PIECE
) -> jax.Array:
    """Matrices filled up with zeros, and cut into pieces.

    Args:
        x: float [..., fewer inputs, fewer outputs].
        inputs, outputs: powers of two.
        high, wide: most outputs and inputs of a piece.

    Returns:
        float [..., outputs / high, inputs / wide, high, wide].
    """
    x = filled_last(filled_last(x, outputs).swapaxes(-1, -2), inputs)
    high, wide = min(outputs, high), min(inputs, wide)
    x = x.reshape(*x.shape[:-2], outputs // high, high, inputs // wide, wide)
    return x.swapaxes(-2, -3)


def filled_last(x: jax.Array, wide: int) -> jax.Array:
    """Zeros behind the last axis, up to a width."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, wide - x.shape[-1])])


def _halves(pair: jax.Array, gate: int) -> jax.Array:
    """Two taps [2, residual, 2 * gate] to [4, residual, gate], tap by tap."""
    cut = pair.reshape(*pair.shape[:2], 2, gate).swapaxes(1, 2)
    return cut.reshape(4, pair.shape[1], gate)


def _last(
    config: WaveNetConfig, sizes: Sizes, x: jax.Array, filler: float
) -> jax.Array:
    """Outputs [rows, bands * outputs] in the order of products, [products, rows, wide]."""
    x = x.reshape(len(x), config.bands, -1)
    if config.classes:
        lacking = sizes.parts * sizes.classes - config.classes
        x = jnp.pad(x, [(0, 0)] * 2 + [(0, lacking)], constant_values=filler)
        return x.reshape(len(x), -1, sizes.classes).swapaxes(0, 1)
    # A component that does not exist is never chosen, whatever its mean and scale.
    x = x.reshape(len(x), config.bands, 3, config.mixtures)
    lacking = sizes.mixtures * sizes.together - config.mixtures
    x = jnp.pad(x, [(0, 0)] * 3 + [(0, lacking)], constant_values=filler)
    x = filled_last(x.transpose(2, 3, 0, 1), sizes.across)
    x = x.reshape(-1, sizes.together, *x.shape[2:]).swapaxes(1, 2)
    return x.reshape(len(x), x.shape[1], -1)
