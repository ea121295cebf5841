"""The network predicts each step from the steps before it, and from nothing later."""

import jax.numpy as jnp
import numpy as np
import pytest

from hierarchy.material.features import OCTAVES
from hierarchy.micro import conditions
from hierarchy.micro.wavenet import neighbours
from tests.small_worlds import forward, random_request, tiny_config, tiny_net

SHAPES = [
    {"bands": 8, "dilations": (1, 2, 4)},
    {"bands": 8, "dilations": (1,), "linear": 12},
    {"bands": 4, "dilations": (1, 5, 3, 16), "mixtures": 1},
    {"bands": 1, "dilations": (1, 2, 4, 8)},
]


def ears(net, *, frames=1, seed=0):
    """A sound and a request for it."""
    request = random_request(net, batch=1, frames=frames, seed=seed)
    random = np.random.default_rng(seed + 1)
    return jnp.asarray(random.normal(size=request[0].shape), jnp.float32), *request


@pytest.mark.parametrize("changes", SHAPES)
def test_the_future_never_leaks_into_the_past(changes):
    net = tiny_net(**changes)
    shape, *request = ears(net)
    before = forward(net, shape, *request)

    poked = 20
    after = forward(net, shape.at[:, poked].add(1.0), *request)

    different = np.flatnonzero(np.abs(after - before).max(axis=(0, 2, 3)))
    # The very next step hears it, and the last one within reach.
    assert different.min() == poked + 1
    assert different.max() == poked + net.config.reach


def test_the_sketch_is_heard_one_step_ahead_and_no_further():
    net = tiny_net()
    shape, sketch, frames, style = ears(net)
    before = forward(net, shape, sketch, frames, style)
    after = forward(net, shape, sketch.at[:, 20].add(1.0), frames, style)
    assert np.flatnonzero(np.abs(after - before).max(axis=(0, 2, 3))).min() == 19


def test_a_frame_is_known_from_the_frame_before_it_on():
    net = tiny_net()
    shape, sketch, frames, style = ears(net, frames=5)
    before = forward(net, shape, sketch, frames, style)
    after = forward(net, shape, sketch, frames.at[:, 3].add(1.0), style)
    different = np.flatnonzero(np.abs(after - before).max(axis=(0, 2, 3)))
    assert different.min() == 2 * net.config.steps_per_frame


def test_every_band_hears_every_other():
    net = tiny_net()
    shape, *request = ears(net)
    before = forward(net, shape, *request)
    after = forward(net, shape.at[:, 20, 0].add(1.0), *request)
    assert (np.abs(after - before)[0, 21].max(axis=-1) > 0).all()


def test_a_style_matters_and_no_style_is_none_of_them():
    net = tiny_net(styles=("pop", "lofi"))
    shape, sketch, frames, _ = ears(net)
    pop, lofi, none = (
        forward(net, shape, sketch, frames, jnp.int32([style])) for style in (0, 1, -1)
    )
    assert np.abs(pop - lofi).max() > 1e-4
    assert np.abs(pop - none).max() > 1e-4


def test_an_untrained_network_leans_on_the_sketch():
    # Its means start near the sketch, so that pitch is right from the first step.
    net = tiny_net()
    shape, sketch, frames, style = ears(net)
    net_means = forward(net, 0 * shape, sketch, frames, style)
    still = forward(net, 0 * shape, 0 * sketch, frames, style)
    mixtures = net.config.mixtures
    means = (net_means - still)[..., mixtures : 2 * mixtures].mean(axis=-1)
    assert np.corrcoef(np.ravel(means), np.ravel(sketch))[0, 1] > 0.8


def test_neighbours_are_the_step_before_the_step_and_the_step_after():
    steps = jnp.arange(1.0, 5.0)[:, None]
    np.testing.assert_array_equal(
        neighbours(steps), [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0]]
    )


def test_reach_is_the_longest_way_back():
    config = tiny_config(bands=8, dilations=(1, 2, 4), linear=3)
    assert config.reach == 8
    assert tiny_config(dilations=(1,), linear=30).reach == 30
    assert config.receptive_seconds == pytest.approx(8 * 8 / 16_000)


@pytest.mark.parametrize("bands", [1, 4, 8])
def test_the_network_is_as_wide_as_what_describes_a_frame(bands):
    random, frames = np.random.default_rng(0), 3
    described = conditions.describe(
        chroma=random.random([frames, 12]),
        octaves=random.random([frames, 1 + len(OCTAVES)]),
        levels=random.random([frames, bands]),
        brightness=random.random(frames),
        onset=random.random(frames),
        tonality=random.random(frames),
        beat=np.float32([-1, 0, 0.5]),
        is_side=True,
    )
    assert described.shape == (frames, conditions.width(bands))
    # An unknown beat is no place at all; the start of a beat is one.
    np.testing.assert_allclose(described[0, -7:-4], 0)
    np.testing.assert_allclose(described[1, -7:-4], [1, 0, 1], atol=1e-6)
    # The side, coarsely described, with all of the sketch, and a past without doubt.
    np.testing.assert_array_equal(described[:, -4:], [[1, 1, 1, 0]] * frames)


def test_what_is_withheld_is_gone():
    frames = jnp.asarray(np.random.default_rng(0).normal(size=[2, 4, 29]), jnp.float32)
    less = conditions.withhold(
        frames,
        coarse=jnp.float32([0, 1]),
        sketch_share=jnp.float32([0, 0.5]),
        doubt=jnp.float32([0.1, 0.4]),
    )
    np.testing.assert_array_equal(less[0, :, :-4], 0)
    np.testing.assert_array_equal(less[1, :, :-4], frames[1, :, :-4])
    # Side stays; the flags say what is given, and how far the past can be trusted.
    np.testing.assert_array_equal(less[..., -4], frames[..., -4])
    np.testing.assert_allclose(less[:, 0, -3:], [[0, 0, 0.25], [1, 0.5, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dilations": (1, 0)}, "dilations start at 1"),
        ({"dilations": ()}, "dilations start at 1"),
        ({"bands": 3}, "bands divide 512, got 3"),
        ({"residual": 0}, "residual is at least 1, got 0"),
        ({"mixtures": 0}, "mixtures and peaks are at least 1"),
        ({"styles": ("pop", "pop")}, "styles have different names"),
        ({"styles": ()}, "styles have different names"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)
