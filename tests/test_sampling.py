"""The cached sampler draws what the whole network, run at once, says is likely."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from flax import nnx

from hierarchy.micro import compiled, packing, sampling
from hierarchy.micro.conditions import width
from hierarchy.micro.kernel import draw_noise
from hierarchy.micro.sampling import SamplerState, sample
from hierarchy.micro.tiles import PANEL
from tests.small_worlds import forward, random_request, tiny_net


def keys(*seeds):
    return jax.vmap(jax.random.key)(jnp.uint32(seeds))


ENGINES = ("compiled", "jax")  # the one for GPUs has tests of its own

KINDS = [
    # Dilations below, at and above a block; a past longer and shorter than it.
    {},
    {"dilations": (4, 1), "linear": 1, "bands": 8},
    {"dilations": (3,), "linear": 9, "bands": 1},
    # Widths that fill no register, and more than one.
    {"residual": 10, "gate": 20, "skip": 40, "bands": 4, "mixtures": 3},
    {"classes": 21, "bands": 8},
    # Taps that adapt, more and fewer than the linear path looks back.
    {"adaptive": 9, "memory": 0.02, "bands": 8},
    {"adaptive": 2, "memory": 0.05, "bands": 16},
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("changes", KINDS)
def test_sampling_equals_the_full_forward_at_every_step(changes, engine):
    net = tiny_net(**changes)
    request = random_request(net, batch=2, frames=2)
    drawn = sample(net, *request, keys(1, 2), temperature=0.9, engine=engine)

    parameters = forward(net, drawn, *request)
    chance = [sampling.uniforms(keys(1, 2), frame, net.config) for frame in range(2)]
    chance = jnp.concatenate(chance).swapaxes(0, 1)
    again = net.config.likelihood.draw(parameters, chance, 0.9)
    np.testing.assert_allclose(drawn, again, atol=2e-4)
    assert np.asarray(drawn).std() > 0.1


def test_any_block_length_gives_the_same_samples():
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    by_ones, by_twos, by_fours = (
        sample(net, *request, keys(1, 2), engine="jax", block=block)
        for block in (1, 2, 4)
    )
    np.testing.assert_allclose(by_ones, by_twos, atol=1e-3)
    np.testing.assert_allclose(by_ones, by_fours, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_time_can_be_cut_anywhere(engine, monkeypatch):
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    whole = sample(net, *request, keys(1, 2), engine=engine)
    told = []
    monkeypatch.setattr(compiled if engine == "compiled" else sampling, "CHUNK", 1)
    parts = sample(
        net,
        *request,
        keys(1, 2),
        engine=engine,
        progress=lambda *at: told.append(at),
    )
    np.testing.assert_allclose(whole, parts, atol=1e-3)
    assert told[-1] == (2, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("changes", [{}, {"classes": 21, "bands": 8}, {"adaptive": 8}])
def test_a_grain_does_not_depend_on_its_company_to_the_bit(changes, engine):
    net = tiny_net(**changes)
    sketch, frames, style = random_request(net, batch=21, frames=3)
    lengths = [1 + number % 3 for number in range(21)]
    seeds = keys(*range(21))
    together = sample(net, sketch, frames, style, seeds, lengths=lengths, engine=engine)
    for some in ([5], [20, 1], [2, 11, 0, 7], list(range(4, 17))):
        at = jnp.asarray(some)
        few = sample(net, sketch[at], frames[at], style[at], seeds[at], engine=engine)
        for row, stream in enumerate(some):
            steps = lengths[stream] * net.config.steps_per_frame
            assert few[row, :steps].tobytes() == together[stream, :steps].tobytes()
            np.testing.assert_array_equal(together[stream, steps:], 0)


def test_both_engines_draw_the_same_samples_on_any_number_of_threads():
    net = tiny_net()
    request = random_request(net, batch=13, frames=2)
    seeds = keys(*range(13))
    reference = sample(net, *request, seeds, engine="jax")
    one, three = (
        sample(net, *request, seeds, engine="compiled", threads=count)
        for count in (1, 3)
    )
    np.testing.assert_allclose(one, reference, atol=1e-3)
    assert one.tobytes() == three.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_seed_gives_the_same_bytes_and_another_seed_another_sound(engine):
    net = tiny_net()
    request = random_request(net, batch=2, frames=2)
    first, again, other = (
        sample(net, *request, keys(*seeds), engine=engine)
        for seeds in ((1, 2), (1, 2), (1, 3))
    )
    assert first.tobytes() == again.tobytes()
    assert first[0].tobytes() == other[0].tobytes()
    assert np.abs(first[1] - other[1]).max() > 0.1


def test_no_two_frames_have_the_same_noise():
    config = tiny_net().config
    one, other = (sampling.uniforms(keys(1), frame, config) for frame in range(2))
    assert np.abs(one - other).max() > 0.1


def test_the_kernel_draws_the_uniform_numbers_of_jax():
    config = tiny_net(bands=8).config
    noise = np.zeros([3, 64, 3, PANEL], np.float32)
    words = np.asarray(jax.random.key_data(keys(4, 5, 6)))
    draw_noise(noise, words, 7, 8)
    wanted = sampling.uniforms(keys(4, 5, 6), 7, config).transpose(1, 0, 3, 2)
    np.testing.assert_allclose(noise[..., :8], wanted, atol=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_classes_are_drawn_as_often_as_the_softmax_says(temperature):
    # No past, no conditions: every step has the distribution of the bias alone.
    net = nnx.clone(tiny_net(classes=11, bands=8))
    net.last[...] = 0 * net.last[...]
    logits = np.linspace(-2.0, 1.0, 11, dtype=np.float32)
    net.last_bias[...] = jnp.tile(logits, 8)
    request = random_request(net, batch=8, frames=4)
    drawn = sample(
        net, *request, keys(*range(8)), engine="compiled", temperature=temperature
    )
    classes = np.asarray(net.config.likelihood.nearest(drawn))
    seen = np.bincount(classes.ravel(), minlength=11)
    wanted = scipy.special.softmax(np.float64(logits) / temperature) * seen.sum()
    assert scipy.stats.chisquare(seen, wanted).pvalue > 0.001


def test_fewer_bits_for_weights_change_the_samples_little_and_as_rounding_says():
    net = tiny_net()
    request = random_request(net, batch=2, frames=1)
    exact = sample(net, *request, keys(1, 2), engine="compiled")
    for precision in ("float16", "int8"):
        drawn = sample(
            net, *request, keys(1, 2), engine="compiled", precision=precision
        )
        assert 0 < np.abs(drawn - exact).max()
        coarse = nnx.clone(net)
        for layer in coarse.layers:
            both = np.concatenate([layer.past[...], layer.now[...]])
            both = packing.rounded(both, precision)
            layer.past[...], layer.now[...] = jnp.split(jnp.asarray(both), 2)
            layer.out[...] = jnp.asarray(packing.rounded(layer.out[...], precision))
        for part in (coarse.head, coarse.last):
            part[...] = jnp.asarray(packing.rounded(part[...], precision))
        again = sample(coarse, *request, keys(1, 2), engine="jax")
        np.testing.assert_allclose(drawn, again, atol=1e-3)


def test_what_an_engine_cannot_do_is_said():
    net = tiny_net(bands=8)
    request = random_request(net, batch=1, frames=1)
    with pytest.raises(ValueError, match="blocks of 7 do not divide a frame of 64"):
        sample(net, *request, keys(1), engine="jax", block=7)
    with pytest.raises(
        ValueError, match="engine 'magic'; there are compiled, jax, fused"
    ):
        sample(net, *request, keys(1), engine="magic")
    with pytest.raises(ValueError, match="weights as 'int4'; there are float32"):
        sample(net, *request, keys(1), engine="compiled", precision="int4")
    with pytest.raises(ValueError, match="the JAX engine has float32 weights"):
        sample(net, *request, keys(1), engine="jax", precision="int8")


@pytest.mark.parametrize("changes", [{}, {"classes": 21}])
def test_the_sampler_can_be_compiled_for_gpu_and_tpu(changes):
    net = tiny_net(**changes)
    config = net.config
    graph, weights = nnx.split(net)
    exported = jax.export.export(sampling.step, platforms=["cuda", "tpu"])(
        graph,
        4,
        weights,
        SamplerState.silence(net, 2),
        jnp.zeros([2, config.steps_per_frame + 2, config.bands]),
        jnp.zeros([2, 1 + 2, width(config.bands)]),
        jnp.zeros([2], jnp.int32),
        keys(1, 2),
        1.0,
    )
    assert exported.platforms == ("cuda", "tpu")
