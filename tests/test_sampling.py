"""The cached sampler draws what the whole network, run at once, says is likely."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hierarchy.micro import mixture, sampling
from hierarchy.micro.lessons import Window
from hierarchy.micro.objective import training_loss
from hierarchy.micro.sampling import SamplerState, sample
from tests.small_worlds import forward, random_request, tiny_net


def keys(*seeds):
    return jax.vmap(jax.random.key)(jnp.uint32(seeds))


@pytest.mark.parametrize(
    "changes",
    [
        # Dilations below, at and above a block; a past longer and shorter than it.
        {},
        {"dilations": (4, 1), "linear": 1, "bands": 8},
        {"dilations": (3,), "linear": 9, "bands": 1},
    ],
)
def test_sampling_equals_the_full_forward_at_every_step(changes):
    net = tiny_net(**changes)
    sketch, frames, style = random_request(net, batch=2, frames=2)
    drawn = sample(net, sketch, frames, style, keys(1, 2), temperature=0.9)

    parameters = forward(net, drawn, sketch, frames, style)
    noise = [sampling._noise(keys(1, 2), frame, net.config) for frame in range(2)]
    gumbel, logistic = (
        jnp.concatenate(parts).swapaxes(0, 1) for parts in zip(*noise, strict=True)
    )
    again = mixture.sample(parameters, gumbel, logistic, 0.9)
    np.testing.assert_allclose(drawn, again, atol=2e-4)
    assert np.asarray(drawn).std() > 0.1


def test_any_block_length_gives_the_same_samples():
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    by_ones, by_twos, by_fours = (
        sample(net, *request, keys(1, 2), block=block) for block in (1, 2, 4)
    )
    np.testing.assert_allclose(by_ones, by_twos, atol=1e-3)
    np.testing.assert_allclose(by_ones, by_fours, atol=1e-3)


def test_time_can_be_cut_anywhere(monkeypatch):
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    whole = sample(net, *request, keys(1, 2))
    told = []
    monkeypatch.setattr(sampling, "CHUNK", 1)
    parts = sample(net, *request, keys(1, 2), progress=lambda *at: told.append(at))
    np.testing.assert_allclose(whole, parts, atol=1e-3)
    assert told == [(1, 2), (2, 2)]


def test_a_grain_does_not_depend_on_its_company():
    net = tiny_net()
    sketch, frames, style = random_request(net, batch=2, frames=2)
    together = sample(net, sketch, frames, style, keys(1, 2))
    alone = sample(net, sketch[1:2], frames[1:2], style[1:2], keys(2))
    np.testing.assert_allclose(together[1], alone[0], atol=1e-3)


def test_one_seed_gives_the_same_bytes_and_another_seed_another_sound():
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    first, again, other = (
        np.asarray(sample(net, *request, keys(*seeds)))
        for seeds in ((1, 2), (1, 2), (1, 3))
    )
    assert first.tobytes() == again.tobytes()
    np.testing.assert_allclose(first[0], other[0], atol=1e-3)
    assert np.abs(first[1] - other[1]).max() > 0.1


def test_no_two_frames_have_the_same_noise():
    config = tiny_net().config
    one, other = (sampling._noise(keys(1), frame, config)[1] for frame in range(2))
    assert np.abs(one - other).max() > 0.1


def test_blocks_that_do_not_divide_a_frame_are_refused():
    net = tiny_net(bands=8)
    with pytest.raises(ValueError, match="blocks of 7 do not divide a frame of 64"):
        sample(net, *random_request(net, batch=1, frames=1), keys(1), block=7)


def test_the_sampler_can_be_compiled_for_gpu_and_tpu():
    net = tiny_net()
    config = net.config
    graph, weights = nnx.split(net)
    exported = jax.export.export(sampling.step, platforms=["cuda", "tpu"])(
        graph,
        4,
        weights,
        SamplerState.silence(net, 2),
        jnp.zeros([1, config.steps_per_frame, 2, 3 * config.bands]),
        jnp.zeros([1, 2, config.context]),
        keys(1, 2),
        1.0,
    )
    assert exported.platforms == ("cuda", "tpu")


def test_the_training_step_can_be_compiled_for_gpu_and_tpu():
    net = tiny_net()
    config, batch, frames = net.config, 2, 8
    graph, weights = nnx.split(net)
    wide = net.look_frames.shape[0] // 3
    window = Window(
        shape=jnp.zeros([batch, frames * config.steps_per_frame, config.bands]),
        frames=jnp.zeros([batch, frames, wide]),
        levels=jnp.ones([batch, frames + 4, config.bands]),
        frequency=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        amplitude=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        phase=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        style=jnp.zeros([batch], jnp.int32),
        coarse=jnp.ones([batch]),
        share=jnp.ones([batch]),
    )

    @jax.jit
    def slope(weights, window):
        def loss(weights):
            return training_loss(nnx.merge(graph, weights), window, jax.random.key(0))

        return jax.tree.leaves(jax.grad(loss, has_aux=True)(weights)[0])

    exported = jax.export.export(slope, platforms=["cuda", "tpu"])(weights, window)
    assert exported.platforms == ("cuda", "tpu")
