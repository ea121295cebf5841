"""Taps that are fitted to the past foresee what goes on, and never run away."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from hierarchy.micro import fused
from hierarchy.micro.adaptive import FAINT, SMALLER, WHITE, Memory, foresee
from tests.small_worlds import random_request, tiny_net

STEPS, ORDER = 16, 12
MEMORY = Memory(order=ORDER, steps=STEPS, each=0.5 ** (1 / 400))


def tones(count: int = 1600, noise: float = 0.003) -> np.ndarray:
    """Two tones in one band and white noise in another, [1, count, 2]."""
    random, time = np.random.default_rng(0), np.arange(count)
    tone = np.sin(0.3 * time) + 0.5 * np.sin(1.1 * time + 1)
    tone = tone + noise * random.normal(size=count)
    return np.stack([tone, random.normal(size=count)], axis=1)[None].astype("f4")


def test_tones_are_foreseen_and_noise_is_not():
    shape = tones()
    both = np.asarray(foresee(jnp.asarray(shape), MEMORY))
    left = shape - both[..., :2]
    heard = slice(400, None)
    assert left[0, heard, 0].std() < 0.05 * shape[0, heard, 0].std()
    assert left[0, heard, 1].std() == pytest.approx(shape[0, heard, 1].std(), rel=0.1)
    # And it is known beforehand which of them is which.
    tone, noise = np.exp(both[0, -1, 2:] / SMALLER)
    assert tone < 0.02 and noise > 0.8


def test_taps_solve_the_normal_equations_of_a_past_that_decays():
    shape = tones(20 * STEPS)[0, :, :1]
    lags = MEMORY.none(1, 1)
    padded = np.pad(shape, [(ORDER, 0), (0, 0)])[:, None]
    for frame in range(20):
        here = padded[frame * STEPS : frame * STEPS + ORDER + STEPS]
        lags = MEMORY.after(lags, MEMORY.sums(jnp.asarray(here))[:, 0])
    taps, left = MEMORY.fitted(lags)

    age = np.arange(len(shape))[::-1]
    decayed = shape[:, 0].astype(float) * MEMORY.each ** (age / 2)
    asked = np.correlate(decayed, decayed, "full")[len(decayed) - 1 :][: ORDER + 1]
    asked[0] = asked[0] * (1 + WHITE) + FAINT
    expected = scipy.linalg.solve_toeplitz(asked[:-1], asked[1:])
    np.testing.assert_allclose(np.ravel(taps), expected, atol=2e-3)
    error = 1 - expected @ asked[1:] / asked[0]
    assert float(np.exp(left[0, 0])) == pytest.approx(error, rel=0.05)


def test_nothing_is_foreseen_from_what_is_to_come():
    shape = tones(20 * STEPS)
    whole = foresee(jnp.asarray(shape), MEMORY)
    shape[:, 170:] = 5.0
    other = foresee(jnp.asarray(shape), MEMORY)
    np.testing.assert_allclose(whole[:, :170], other[:, :170], atol=1e-5)
    assert not np.allclose(whole[:, 171:], other[:, 171:], atol=0.1)


def test_silence_foresees_silence():
    both = np.asarray(foresee(jnp.zeros([2, 4 * STEPS, 3]), MEMORY))
    np.testing.assert_array_equal(both, 0)


@pytest.mark.parametrize(
    "sound",
    [
        np.ones(800),
        np.resize([1, -1], 800),
        np.sin(0.3 * np.arange(800)),
        np.eye(1, 800)[0] * 8,
        np.r_[np.zeros(400), np.full(400, 8.0)],
        np.random.default_rng(0).normal(size=800),
    ],
)
def test_filters_are_stable_whatever_was_heard(sound):
    """What they foresee of their own output dies away."""
    padded = jnp.asarray(np.pad(sound, (ORDER, 0)), jnp.float32)[:, None, None]
    lags = MEMORY.none(1, 1)
    for first in range(0, len(sound), STEPS):
        more = MEMORY.sums(padded[first : first + ORDER + STEPS])
        lags = MEMORY.after(lags, more[:, 0])
    taps = np.ravel(MEMORY.fitted(lags)[0])
    assert np.abs(np.roots([1, *-taps])).max() < 1


def test_another_engine_says_that_it_cannot():
    net = tiny_net(adaptive=4)
    sketch, frames, style = random_request(net, batch=1, frames=1)
    with pytest.raises(ValueError, match="adaptive taps"):
        fused.sample(net, sketch, frames, style, None, interpret=True)
