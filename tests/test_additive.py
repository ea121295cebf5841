"""A batch had part by part teaches what the whole batch teaches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hierarchy.material.features import FLOOR
from hierarchy.micro.lessons import Window
from hierarchy.micro.objective import training_sums
from hierarchy.training import stepping
from hierarchy.training.additive import Additive, by_parts
from hierarchy.training.parts import (
    largest_that_fits,
    needed_bytes,
    room_on,
    suited_batch,
)
from hierarchy.training.stepping import Devices, Stepper
from tests.small_worlds import random_request, tiny_net


def noisy_sums(model, window, keys):
    return training_sums(model, window, keys, past_noise=0.4)


def random_window(net, *, batch: int, frames: int) -> Window:
    """Windows of noise, more and more of whose bands are silent."""
    random = np.random.default_rng(1)
    shape, described, style = map(
        np.asarray, random_request(net, batch=batch, frames=frames)
    )
    drawn = (batch, frames // 2 + 3, net.config.peaks)
    levels = np.full([batch, frames + 4, net.config.bands], 0.1, np.float32)
    for number, one in enumerate(levels):
        one[:, : number * net.config.bands // batch] = FLOOR
    return Window(
        shape=shape,
        frames=described,
        levels=levels,
        frequency=random.uniform(50, 4000, drawn).astype(np.float32),
        amplitude=random.uniform(0, 0.1, drawn).astype(np.float32),
        phase=random.uniform(-3, 3, drawn).astype(np.float32),
        style=style,
        coarse=np.ones(batch, np.float32),
        share=np.linspace(0, 1, batch, dtype=np.float32),
    )


def stepper_of(net, *, at_once, loss=None):
    return Stepper(
        net,
        loss or Additive(noisy_sums),
        validation_loss=Additive(noisy_sums),
        optimizer=optax.sgd(1.0),
        schedule=optax.constant_schedule(1.0),
        ema_decay=None,
        seed=0,
        trainable=nnx.Param,
        devices=Devices.all(),
        at_once=at_once,
    )


@pytest.mark.parametrize("changes", [{}, {"classes": 21}])
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_step_by_parts_is_a_step_of_the_whole_batch(changes, at_once):
    net = tiny_net(**changes)
    # Windows of different loudness: what counts differs from one to the next.
    window = random_window(net, batch=4 * jax.device_count(), frames=10)
    taken = {}
    # A loss of which nothing is known is had of the whole batch.
    whole = Additive(noisy_sums)
    losses = {"whole": lambda *given: whole(*given), "parts": whole}
    for way, loss in losses.items():
        size = at_once if way == "parts" else None
        stepper = stepper_of(net, at_once=size, loss=loss)
        devices = stepper.devices
        state = stepper.start()
        before = jax.tree.map(np.array, state["weights"])
        state, told = stepper.step(state, devices.place(window), devices.flag(0))
        taken[way] = before, jax.device_get(state["weights"]), jax.device_get(told)
    before, whole, told_whole = taken["whole"]
    _, single, told_single = taken["parts"]
    assert set(told_single) == set(told_whole)
    for name in ("loss", "bits", "grad_norm"):
        np.testing.assert_allclose(told_single[name], told_whole[name], rtol=1e-4)
    moved = 0.0
    for name, old in before.items():
        largest = np.abs(whole[name] - old).max()
        moved = max(moved, largest)
        np.testing.assert_allclose(
            single[name], whole[name], rtol=0, atol=1e-4 * largest + 1e-6
        )
    assert moved > 0.001


def test_items_that_weigh_more_count_for_more():
    heights, weights = jnp.array([1.0, 5.0, 2.0]), jnp.array([1.0, 0.0, 3.0])

    def sums(slope, items, keys):
        height, weight = items
        return {"loss": ((slope * height * weight).sum(), weight.sum())}

    means, gradient = by_parts(
        sums,
        jnp.float32(2.0),
        (heights, weights),
        jax.random.key(0),
        jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",)),
        1,
    )
    mean = (1 * 1 + 2 * 3) / 4
    assert float(gradient) == pytest.approx(mean)
    assert float(means["loss"]) == pytest.approx(2 * mean)


def test_each_item_has_noise_of_its_own_and_the_same_alone():
    def noise(_, items, keys):
        drawn = jax.vmap(jax.random.normal)(keys)
        return {"loss": (0 * items.sum(), 1.0), "square": ((drawn**2).sum(), 1.0)}

    key, items = jax.random.key(3), jnp.zeros([4])
    _, whole = Additive(noise)(None, items, key)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    single, _ = by_parts(noise, jnp.zeros([]), items, key, mesh, 1)
    # The weight is 1 an item: one by one, the mean is over four.
    assert float(single["square"]) == pytest.approx(float(whole["square"]) / 4)
    squares = jax.vmap(jax.random.normal)(jax.random.split(key, 4)) ** 2
    assert float(whole["square"]) == pytest.approx(float(squares.sum()))


def test_a_loss_that_does_not_add_up_cannot_be_had_by_parts():
    with pytest.raises(ValueError, match="only an Additive loss"):
        stepper_of(
            tiny_net(),
            at_once=1,
            loss=lambda model, batch, key: (jnp.zeros([]), {}),
        )


class Card:
    """A device of another kind, with so much memory."""

    platform = "gpu"

    def __init__(self, limit: int | None, used: int = 0):
        self._stats = {"bytes_limit": limit, "bytes_in_use": used} if limit else None

    def memory_stats(self):
        return self._stats


def test_room_is_most_of_what_is_free():
    assert room_on(Card(10**9, used=4 * 10**8)) == 54 * 10**7
    assert room_on(Card(10**6, used=2 * 10**6)) == 0
    assert room_on(Card(None)) is None
    assert room_on(jax.devices()[0]) == 0


def squares(size: int) -> jax.stages.Compiled:
    """A program that holds `size` products of 256 by 256 before it adds them up."""

    @jax.jit
    def added(x):
        each = jax.lax.map(lambda i: jnp.sin(x + i) @ x, jnp.arange(float(size)))
        return jnp.sort(each, axis=0).sum(axis=0)

    return added.lower(jnp.ones([256, 256])).compile()


def test_as_much_is_taken_at_once_as_there_is_room_for():
    need = {size: needed_bytes(squares(size)) for size in (1, 2, 3, 6, 12)}
    assert sorted(need.values()) == list(need.values())
    assert need[12] > 2 * need[3] > 0
    for size in (2, 3, 6):
        assert largest_that_fits(12, squares, need[size])[0] == size
    # Plenty, unknown, and not even enough for one: then it may at least try.
    assert largest_that_fits(12, squares, 2**40)[0] == 12
    assert largest_that_fits(12, squares, None)[0] == 12
    assert largest_that_fits(12, squares, 1000)[0] == 1
    assert largest_that_fits(12, squares, 0)[0] == 1


def test_a_step_on_a_card_with_little_room_is_the_same_step(monkeypatch):
    net = tiny_net()
    window = random_window(net, batch=4 * jax.device_count(), frames=10)
    losses, programs = [], []
    for room in (0, 2**40):
        monkeypatch.setattr(stepping, "room_on", lambda device, room=room: room)
        stepper = stepper_of(net, at_once=None)
        program = stepper.program

        def noted(size, program=program):
            programs.append(size)
            return program(size)

        monkeypatch.setattr(stepper, "program", noted)
        devices = stepper.devices
        _, told = stepper.step(stepper.start(), devices.place(window), devices.flag(0))
        losses.append(float(told["loss"]))
    assert programs == [1, 4]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_batches_of_other_shapes_are_other_programs():
    def loss(model, batch, key):
        return (model.linear[...].sum() * batch.mean()) ** 2, {}

    stepper = stepper_of(tiny_net(), at_once=None, loss=loss)
    devices, state = stepper.devices, stepper.start()
    for width in (3, 5, 3):
        batch = np.ones([jax.device_count(), width], np.float32)
        state, told = stepper.step(state, devices.place(batch), devices.flag(0))
        assert np.isfinite(float(told["loss"]))


@pytest.mark.parametrize(
    ("limit", "batch"), [(None, 8), (10**6, 8), (24 * 10**6, 8), (80 * 10**6, 32)]
)
def test_a_batch_is_chosen_for_the_device(limit, batch):
    assert suited_batch(10**6, [Card(limit)]) == batch


def test_a_batch_that_is_chosen_divides_among_the_devices():
    assert suited_batch(1.0, [Card(10**9)] * 3) == 3 * 64
    assert suited_batch(1.0, jax.devices()[:1]) == 8
