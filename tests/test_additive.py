"""A batch had item by item teaches what the whole batch teaches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hierarchy.material.features import FLOOR
from hierarchy.micro.lessons import Window
from hierarchy.micro.objective import training_sums
from hierarchy.training.additive import Additive, by_item
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


def stepper_of(net, *, item_by_item, loss=None):
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
        item_by_item=item_by_item,
    )


@pytest.mark.parametrize("changes", [{}, {"classes": 21}])
def test_a_step_item_by_item_is_a_step_of_the_whole_batch(changes):
    net = tiny_net(**changes)
    # Windows of different loudness: what counts differs from one to the next.
    window = random_window(net, batch=3 * jax.device_count(), frames=10)
    taken = {}
    for way in (False, True):
        stepper = stepper_of(net, item_by_item=way)
        devices = stepper.devices
        state = stepper.start()
        before = jax.tree.map(np.array, state["weights"])
        state, told = stepper.step(state, devices.place(window), devices.flag(0))
        taken[way] = before, jax.device_get(state["weights"]), jax.device_get(told)
    before, whole, told_whole = taken[False]
    _, single, told_single = taken[True]
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

    means, gradient = by_item(
        sums,
        jnp.float32(2.0),
        (heights, weights),
        jax.random.key(0),
        jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",)),
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
    single, _ = by_item(noise, jnp.zeros([]), items, key, mesh)
    # The weight is 1 an item: one by one, the mean is over four.
    assert float(single["square"]) == pytest.approx(float(whole["square"]) / 4)
    squares = jax.vmap(jax.random.normal)(jax.random.split(key, 4)) ** 2
    assert float(whole["square"]) == pytest.approx(float(squares.sum()))


def test_a_loss_that_does_not_add_up_cannot_be_had_item_by_item():
    with pytest.raises(ValueError, match="only an Additive loss"):
        stepper_of(
            tiny_net(),
            item_by_item=True,
            loss=lambda model, batch, key: (jnp.zeros([]), {}),
        )
