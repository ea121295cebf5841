"""Draws inside the kernel for GPUs, with noise that is given.

What `likelihood` does with arrays of any shape, for a tile of streams: Triton cannot
pick single columns, so what is chosen is summed from what is masked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from hierarchy.micro.fused_packing import Sizes

Rows = Callable[[int], jax.Array]


def component(
    sizes: Sizes, tile: int, output: Rows, chance: Rows
) -> tuple[jax.Array, jax.Array]:
    """The component that each band is drawn from, see `mixture.sample`.

    Args:
        sizes: of the network.
        tile: streams.
        output: which product of the last to what it gives, float32 [tile, outputs].
        chance: which of the first to its Gumbel noise, of that shape.

    Returns:
        Mean and log scale, float32 [tile, across].
    """
    shape = tile, sizes.together, sizes.across
    place = lax.broadcasted_iota(jnp.int32, shape, 1)
    best = mean = scale = None
    for at in range(sizes.mixtures):
        weight, *others = (
            (output(kind * sizes.mixtures + at) + extra).reshape(shape)
            for kind, extra in enumerate((chance(at), 0, 0))
        )
        chosen = jnp.argmax(weight, axis=1).astype(jnp.int32)[:, None] == place
        others = [jnp.sum(jnp.where(chosen, x, 0), axis=1) for x in others]
        weight = jnp.max(weight, axis=1)
        if best is None:
            best, mean, scale = weight, *others
            continue
        wins = weight > best
        best = jnp.where(wins, weight, best)
        mean = jnp.where(wins, others[0], mean)
        scale = jnp.where(wins, others[1], scale)
    return mean, scale


def values(
    sizes: Sizes, tile: int, output: Rows, chance: Rows, known, colder: jax.Array
) -> jax.Array:
    """Values of classes that are drawn, see `likelihood.Classes.draw`.

    Args:
        sizes, tile, output: as above.
        chance: band to its uniform numbers, float32 [tile].
        known: where the values of all classes lie.
        colder: what logits are multiplied by, float32 [].

    Returns:
        float32 [tile, across].
    """
    column = lax.broadcasted_iota(jnp.int32, (tile, sizes.across), 1)

    def one_band(band, drawn):
        parts = range(sizes.parts)
        logits = [output(band * sizes.parts + part) * colder for part in parts]
        peak = functools.reduce(jnp.maximum, [jnp.max(x, axis=1) for x in logits])
        sums, before = [], jnp.zeros([tile], jnp.float32)
        for part in logits:
            upto = jnp.cumsum(jnp.exp(part - peak[:, None]), axis=1) + before[:, None]
            # Sums in parallel may fall by a bit; nothing lies above the largest.
            before = jnp.max(upto, axis=1)
            sums.append(upto)
        wanted = (chance(band) * before)[:, None]
        below = [jnp.sum((upto <= wanted).astype(jnp.int32), axis=1) for upto in sums]
        chosen = jnp.minimum(sum(below), known.shape[0] - 1)
        return jnp.where(column == band, known[chosen][:, None], drawn)

    nothing = jnp.zeros([tile, sizes.across], jnp.float32)
    return lax.fori_loop(0, sizes.bands, one_band, nothing)
