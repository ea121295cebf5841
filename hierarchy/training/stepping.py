"""One training step, compiled once, over all devices.

The state is a tree of plain arrays under dotted names; it goes into a step and
comes out of it, and its memory is reused. Weights are replicated over the mesh,
batches are split along their first axis, and the compiler adds the gradients up; or,
where a loss allows it, they are had in parts as large as suit the device (`additive`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from hierarchy.training.additive import Additive, by_parts
from hierarchy.training.batches import Batch
from hierarchy.training.checkpoint import named_arrays, with_arrays
from hierarchy.training.parts import largest_that_fits, room_on
from structure.errors import RequestError

Loss = Callable[[nnx.Module, Batch, jax.Array], tuple[jax.Array, Mapping]]
"""(model, batch, key) to the mean loss over the batch and further scalars.

An `Additive` loss is one that can also be had part by part.
"""

State = dict[str, Any]
"""step: int32 []; weights, rest: name to array; ema: the same or None; optimizer."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """A row of devices that share each batch: all there are, on every host."""

    mesh: jax.sharding.Mesh

    @classmethod
    def all(cls) -> Devices:
        """Every device of every process."""
        devices = np.asarray(jax.devices())
        return cls(jax.sharding.Mesh(devices, ("data",), axis_types=(AxisType.Auto,)))

    @property
    def count(self) -> int:
        """How many parts a batch is split into."""
        return self.mesh.devices.size

    @property
    def replicated(self) -> NamedSharding:
        """The same on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def split(self) -> NamedSharding:
        """The first axis divided among the devices."""
        return NamedSharding(self.mesh, PartitionSpec("data"))

    def place(self, batch: Batch, *, or_whole: bool = False) -> Batch:
        """Put a batch on the devices, each its share of the first axis.

        Every process passes the same global batch and keeps its own share.

        Args:
            batch: pytree of numpy arrays with one common first axis.
            or_whole: where the batch does not divide, give all to every device.

        Raises:
            RequestError: if the batch does not divide among the devices.
        """
        size = batch_size(batch)
        sharding = self.split
        if size % self.count:
            if not or_whole:
                raise RequestError(
                    f"a batch of {size} does not divide among {self.count} devices; "
                    f"{size // self.count * self.count or self.count} or "
                    f"{(size // self.count + 1) * self.count} does"
                )
            sharding = self.replicated
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)
        return jax.tree.map(lambda x: _global(np.asarray(x), sharding), batch)

    def flag(self, level: int) -> jax.Array:
        """int32 [devices]: what this process says, on its own devices."""
        return _global(np.full([self.count], level, np.int32), self.split)


def _global(x: np.ndarray, sharding: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])


def batch_size(batch: Batch) -> int:
    """The length of the first axis that all arrays of a batch share.

    Raises:
        ValueError: if there is none.
    """
    sizes = {np.shape(x)[:1] for x in jax.tree.leaves(batch)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"a batch needs one common first axis, got {sorted(sizes)}")
    return sizes.pop()[0]


class Stepper:
    """A model, a loss and an optimizer, compiled to a step and an evaluation."""

    def __init__(
        self,
        model: nnx.Module,
        loss: Loss,
        *,
        validation_loss: Loss,
        optimizer: optax.GradientTransformation,
        schedule: optax.Schedule,
        ema_decay: float | None,
        seed: int,
        trainable: Any,
        devices: Devices,
        start_share: float = 0.0,
        at_once: int | None = None,
    ):
        """Get ready; see `fit` and `FitConfig` for the arguments.

        Args:
            at_once: items of a batch that each device takes at once, which an
                Additive loss allows; if None, as many as suit the device.
        """
        self._additive = isinstance(loss, Additive)
        if at_once and not self._additive:
            raise ValueError("only an Additive loss can be had part by part")
        self._at_once = at_once
        self._steps: dict[tuple, Callable] = {}
        self.devices = devices
        self._loss, self._validation_loss = loss, validation_loss
        self._optimizer, self._schedule = optimizer, schedule
        self._ema_decay, self._start_share, self._seed = ema_decay, start_share, seed
        self._trainable = trainable
        learning, judging = _views(model)
        self._learning, self._weights, self._rest = nnx.split(learning, trainable, ...)
        self._judging = nnx.graphdef(judging)
        self._evaluate = jax.jit(self._evaluated, out_shardings=devices.replicated)
        if start_share:
            # A copy: the model is updated in place when training ends.
            self._start = jax.tree.map(np.array, named_arrays(self._weights))
            self._blend = jax.jit(self._blended, out_shardings=devices.replicated)

    def start(self) -> State:
        """The state before the first step; the model keeps its own arrays."""

        def fresh(weights, rest):
            return {
                "step": jnp.zeros([], jnp.int32),
                "weights": weights,
                "rest": rest,
                "ema": None if self._ema_decay is None else weights,
                "optimizer": self._optimizer.init(weights),
            }

        # By way of host memory: the state is donated to the first step, and
        # must not take the model's arrays with it.
        host = jax.tree.map(
            np.array, (named_arrays(self._weights), named_arrays(self._rest))
        )
        return jax.jit(fresh, out_shardings=self.devices.replicated)(*host)

    def step(self, state: State, batch: Batch, flag: jax.Array) -> tuple[State, dict]:
        """Take one step on a placed batch; returns before it is computed.

        Args:
            state: given up.
            batch: pytree of arrays, from Devices.place.
            flag: from Devices.flag; the highest of all devices comes back.

        Returns:
            the next state, and scalars: loss, grad_norm, learning_rate, flag and
            what the loss function adds.
        """
        leaves, tree = jax.tree.flatten(batch)
        shapes = tree, *((x.shape, x.dtype) for x in leaves)
        if shapes not in self._steps:
            self._steps[shapes] = self._compiled(state, batch, flag)
        return self._steps[shapes](state, batch, flag)

    def program(self, at_once: int | None) -> Callable:
        """The step as it is compiled, of so many items at once; None is all of them."""
        return jax.jit(
            partial(self._stepped, at_once=at_once),
            donate_argnums=0,
            out_shardings=(self.devices.replicated, self.devices.replicated),
        )

    def evaluate(self, state: State, batch: Batch, index: int) -> dict:
        """Scalars of a batch under the weights to ship, with the index-th key."""
        weights = self._to_ship(state)
        return self._evaluate(weights, state["rest"], batch, np.uint32(index))

    def shipped(self, state: State) -> nnx.State:
        """What a model takes over: averaged weights where there are any."""
        local = jax.tree.map(
            lambda x: jnp.asarray(np.array(x)), (self._to_ship(state), state["rest"])
        )
        return nnx.merge_state(
            with_arrays(self._weights, local[0]), with_arrays(self._rest, local[1])
        )

    def model(self, state: State) -> nnx.Module:
        """A model of its own with the weights to ship, not in training mode."""
        return nnx.merge(self._judging, self.shipped(state))

    def _to_ship(self, state: State) -> dict:
        """Averaged weights where there are any, with a share of those of the start."""
        weights = state["weights"] if state["ema"] is None else state["ema"]
        if not self._start_share:
            return weights
        return self._blend(weights, self._start)

    def _compiled(self, state: State, batch: Batch, flag: jax.Array) -> Callable:
        """The step for batches of these shapes."""

        def compile_with(at_once: int | None) -> jax.stages.Compiled:
            return self.program(at_once).lower(state, batch, flag).compile()

        if self._at_once or not self._additive:
            return compile_with(self._at_once)
        share = max(1, batch_size(batch) // self.devices.count)
        room = room_on(self.devices.mesh.local_devices[0])
        return largest_that_fits(share, compile_with, room)[1]

    def _stepped(
        self, state: State, batch: Batch, flag: jax.Array, *, at_once: int | None
    ):
        key = jax.random.fold_in(jax.random.key(self._seed), state["step"])
        if at_once:
            learnt = self._learn_by_parts(state, batch, key, at_once)
        else:
            learnt = self._learn_at_once(state, batch, key)
        scalars, rest, gradients = learnt
        updates, optimizer = self._optimizer.update(
            gradients, state["optimizer"], state["weights"]
        )
        weights = optax.apply_updates(state["weights"], updates)
        following = {
            "step": state["step"] + 1,
            "weights": weights,
            "rest": rest,
            "ema": self._averaged(state, weights),
            "optimizer": optimizer,
        }
        return following, {
            **scalars,
            "grad_norm": optax.tree.norm(gradients),
            "learning_rate": jnp.asarray(self._schedule(state["step"])),
            "flag": flag.max(),
        }

    def _learn_at_once(self, state: State, batch: Batch, key: jax.Array):
        """Scalars, the state that is not trained, and gradients."""

        def loss_of(weights):
            model = self._model_in_motion(weights, state["rest"])
            loss, scalars = self._loss(model, batch, key)
            _, rest = nnx.state(model, self._trainable, ...)
            rest = named_arrays(rest)
            return loss, (scalars, {name: rest[name] for name in state["rest"]})

        (loss, (scalars, rest)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            state["weights"]
        )
        return {**scalars, "loss": loss}, rest, gradients

    def _learn_by_parts(self, state: State, batch: Batch, key: jax.Array, size: int):
        """The same."""

        def sums(weights, items, keys):
            model = self._model_in_motion(weights, state["rest"])
            return self._loss.sums(model, items, keys)

        scalars, gradients = by_parts(
            sums, state["weights"], batch, key, self.devices.mesh, size
        )
        return scalars, state["rest"], gradients

    def _model_in_motion(self, weights: Mapping, rest: Mapping) -> nnx.Module:
        return nnx.merge(
            self._learning,
            with_arrays(self._weights, weights),
            with_arrays(self._rest, rest),
        )

    def _averaged(self, state: State, weights: Mapping) -> dict | None:
        if self._ema_decay is None:
            return None
        # Early on the average is short: it should not remember the random start.
        step = state["step"].astype(jnp.float32)
        decay = jnp.minimum(self._ema_decay, (1 + step) / (10 + step))
        return {
            name: (decay * old + (1 - decay) * weights[name]).astype(old.dtype)
            for name, old in state["ema"].items()
        }

    def _blended(self, weights: Mapping, start: Mapping) -> dict:
        share = self._start_share
        return {
            name: ((1 - share) * learnt + share * start[name]).astype(learnt.dtype)
            for name, learnt in weights.items()
        }

    def _evaluated(self, weights, rest, batch, index):
        # Steps count up from 0 and validation keys down from the top.
        key = jax.random.fold_in(jax.random.key(self._seed), np.uint32(2**32 - 1))
        model = nnx.merge(
            self._judging,
            with_arrays(self._weights, weights),
            with_arrays(self._rest, rest),
        )
        loss, scalars = self._validation_loss(
            model, batch, jax.random.fold_in(key, index)
        )
        return {**scalars, "loss": loss}


def _views(model: nnx.Module) -> tuple[nnx.Module, nnx.Module]:
    """The model with dropout and running statistics in motion, and at rest."""
    return tuple(
        nnx.view(
            model,
            deterministic=resting,
            use_running_average=resting,
            raise_if_not_found=False,
        )
        for resting in (False, True)
    )
