"""Losses that add up over the items of a batch, and their gradients part by part.

Each device takes one part of its share after the other, forward and backward, and adds
up. So a batch need not be small because a device is; how large parts are is settled in
`parts`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

Sums = Mapping[str, tuple[jax.Array, jax.Array]]
"""Scalar's name to total and weight, whose ratio it is; "loss" is what is learnt."""


@dataclasses.dataclass(frozen=True)
class Additive:
    """A loss all of whose scalars are ratios of two sums over the items of a batch.

    A `Loss` like any other, so it can be called with a whole batch. A `Stepper`
    has it part by part instead, with the same result but for rounding.

    sums: (model, batch, keys [batch]) to Sums. An item must not hear of the others: it
        has its own key, and batch statistics are not for it. Weights must not depend on
        what is trained; state of the model that is not trained stays as it is.
    """

    sums: Callable[[nnx.Module, Any, jax.Array], Sums]

    def __call__(
        self, model: nnx.Module, batch: Any, key: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The mean loss over the batch, and further scalars."""
        means = _means(self.sums(model, batch, item_keys(batch, key)))
        return means.pop("loss"), means


def item_keys(batch: Any, key: jax.Array) -> jax.Array:
    """A key for each item of a batch."""
    return jax.random.split(key, len(jax.tree.leaves(batch)[0]))


def by_parts(
    sums: Callable[[Any, Any, jax.Array], Sums],
    weights: Any,
    batch: Any,
    key: jax.Array,
    mesh: Mesh,
    size: int,
) -> tuple[dict[str, jax.Array], Any]:
    """Scalars of a batch and the gradients of "loss", had part by part.

    Args:
        sums: (weights, batch, keys) to Sums; see Additive.
        weights: pytree, the same on all devices.
        batch: pytree of arrays, whose first axis is shared by the devices of `mesh`.
        key: of the batch.
        mesh: of one axis.
        size: items of a part; a divisor of each device's share.

    Returns:
        scalars with "loss" among them, and gradients like `weights`.
    """
    (axis,) = mesh.axis_names

    def of_part(weights, part):
        def total(weights):
            found = dict(sums(weights, *part))
            return found["loss"][0], found

        (_, found), gradients = jax.value_and_grad(total, has_aux=True)(weights)
        return found, gradients

    def of_share(weights, items):
        parts = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), items)
        shapes = jax.eval_shape(of_part, weights, jax.tree.map(lambda x: x[0], parts))
        added, _ = jax.lax.scan(
            lambda so_far, part: (
                jax.tree.map(jnp.add, so_far, of_part(weights, part)),
                None,
            ),
            jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
            parts,
        )
        return jax.lax.psum(added, axis)

    whole, split = PartitionSpec(), PartitionSpec(axis)
    found, gradients = jax.shard_map(
        of_share, mesh=mesh, in_specs=(whole, split), out_specs=whole, check_vma=False
    )(weights, (batch, item_keys(batch, key)))
    # The weight does not depend on what is trained, so it can wait until the end.
    weight = found["loss"][1]
    return _means(found), jax.tree.map(
        lambda x: (x / weight).astype(x.dtype), gradients
    )


def _means(sums: Sums) -> dict[str, jax.Array]:
    return {name: total / weight for name, (total, weight) in sums.items()}
