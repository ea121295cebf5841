"""Mixtures of logistics: what is likely is what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hierarchy.material.companding import BIN, LIMIT
from hierarchy.micro.mixture import NARROWEST, log_likelihood, sample, unpack

CENTRES = np.float32((np.arange(4096) + 0.5) * BIN - LIMIT)

MIXTURES = {
    "one broad": [0.0, 0.3, 0.0],
    "three apart": [0.1, -0.4, 0.7, -2.0, 0.1, 1.5, -1.5, -0.5, -3.0],
    "as narrow as it gets": [0.0, 0.0, 1.0, 1.0 + BIN, -30.0, -7.0],
    "beyond the limit": [0.0, 0.0, 9.5, -9.0, -1.0, 0.5],
}


likelihood = jax.jit(log_likelihood)


def parameters_of(name):
    return np.float32(MIXTURES[name])


def rows(parameters, count):
    return np.tile(parameters, (count, 1))


@pytest.mark.parametrize("name", MIXTURES)
def test_the_probabilities_of_all_bins_sum_to_1(name):
    log = likelihood(rows(parameters_of(name), 4096), CENTRES)
    assert np.exp(np.float64(log)).sum() == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("name", MIXTURES)
def test_gradients_are_finite_everywhere(name):
    values = np.float32([-LIMIT, -7.9, -1.0, 0.0, 1.0, 7.9, LIMIT])

    @jax.jit
    @jax.value_and_grad
    def total(parameters):
        return log_likelihood(parameters, values).sum()

    value, slope = total(rows(parameters_of(name), 7))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_one_broad_component_is_the_logistic_density_times_the_bin():
    parameters = rows(np.float32([0.0, 0.3, np.log(0.5)]), 50)
    values = np.linspace(-3, 3, 50, dtype=np.float32)
    density = scipy.stats.logistic.logpdf(values, 0.3, 0.5) + np.log(BIN)
    np.testing.assert_allclose(likelihood(parameters, values), density, atol=1e-3)


def test_weights_are_shares_of_the_whole():
    weight, _, scale = unpack(jnp.asarray([2.0, 0.0, 1.0, 0, 0, 0, -20, 0, 1]))
    assert np.exp(weight).sum() == pytest.approx(1, abs=1e-6)
    assert scale.min() == NARROWEST


def draw(parameters, count, temperature=1.0, seed=0):
    random = np.random.default_rng(seed)
    gumbel = random.gumbel(size=[count, parameters.size // 3]).astype(np.float32)
    logistic = random.logistic(size=count).astype(np.float32)
    return np.asarray(
        jax.jit(sample)(rows(parameters, count), gumbel, logistic, temperature)
    )


@pytest.mark.parametrize("name", ["one broad", "three apart", "beyond the limit"])
def test_samples_follow_the_density(name):
    count, parameters = 40_000, parameters_of(name)
    drawn = draw(parameters, count)
    log = likelihood(rows(parameters, 4096), CENTRES)
    probability = np.exp(np.float64(log))
    bins = np.clip(np.floor((drawn + LIMIT) / BIN), 0, 4095).astype(int)
    # 64 bins each are counted together, and the rare ones among them once more.
    wanted = count * probability.reshape(64, 64).sum(axis=1)
    found = np.bincount(bins // 64, minlength=64)
    common = wanted > 20
    wanted = np.append(wanted[common], wanted[~common].sum())
    found = np.append(found[common], found[~common].sum())
    if wanted[-1] < 5:
        wanted, found = wanted[:-1], found[:-1]
    wanted *= found.sum() / wanted.sum()
    assert scipy.stats.chisquare(found, wanted).pvalue > 1e-3


def test_without_heat_only_the_means_are_left():
    drawn = draw(parameters_of("three apart"), 500, temperature=0.0)
    assert set(np.unique(drawn)) == set(np.float32([-2.0, 0.1, 1.5]))


def test_half_the_heat_is_half_the_spread():
    parameters = np.float32([0.0, 0.5, -1.0])
    warm, cool = (draw(parameters, 1000, temperature=t) for t in (1.0, 0.5))
    np.testing.assert_allclose(cool - 0.5, (warm - 0.5) / 2, atol=1e-5)


def test_samples_never_leave_the_bins():
    drawn = draw(parameters_of("beyond the limit"), 2000)
    assert np.abs(drawn).max() == LIMIT
