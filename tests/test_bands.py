"""The filter bank takes a waveform apart and puts it together again."""

import jax.numpy as jnp
import numpy as np
import pytest

from hierarchy.material.bands import filters, join, share_of_band, split


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


@pytest.mark.parametrize("bands", [1, 2, 4, 8, 16, 32, 64])
def test_what_was_split_is_joined_again_without_loss(bands):
    waveform = noise(4096)
    again = np.asarray(join(split(jnp.asarray(waveform), bands)))

    # The ends miss what lies beyond them, for as long as a filter.
    inside = slice(24 * bands, -24 * bands)
    error = np.square(again - waveform)[inside].mean()
    assert again.shape == waveform.shape
    # 80 dB from signal to noise.
    assert error < 1e-8 * np.square(waveform)[inside].mean()


@pytest.mark.parametrize("bands", [1, 2, 4, 8, 16])
def test_the_bands_together_are_as_loud_as_the_waveform(bands):
    waveform = noise(16_384)
    apart = np.asarray(split(jnp.asarray(waveform), bands))

    assert apart.shape == (16_384 // bands, bands)
    assert np.square(apart).sum() == pytest.approx(np.square(waveform).sum(), rel=0.01)


def test_one_band_is_the_waveform_itself():
    waveform = jnp.asarray(noise(100))
    np.testing.assert_array_equal(split(waveform, 1)[:, 0], waveform)
    np.testing.assert_array_equal(join(waveform[:, None]), waveform)


@pytest.mark.parametrize("bands", [2, 4, 8])
def test_a_tone_in_the_middle_of_a_band_is_heard_in_that_band(bands):
    for band in range(bands):
        turns = (band + 0.5) / (2 * bands)
        tone = np.sin(2 * np.pi * turns * np.arange(4096)).astype(np.float32)
        energy = np.square(np.asarray(split(jnp.asarray(tone), bands)))[32:-32].sum(0)
        assert energy.argmax() == band
        # 40 dB down in every other band.
        assert energy[band] > 1e4 * np.delete(energy, band).max()


@pytest.mark.parametrize("bands", [2, 16, 64])
def test_a_tone_is_shared_by_neighbours_as_foretold(bands):
    for place in np.linspace(0.3, bands - 0.3, 23):
        turns = place / (2 * bands)
        tone = np.sin(2 * np.pi * turns * np.arange(8192)).astype(np.float32)
        apart = np.asarray(split(jnp.asarray(tone), bands))[32:-32]
        power = np.square(apart).sum(axis=0)
        foretold = share_of_band(place - np.arange(bands) - 0.5)
        assert foretold.sum() == pytest.approx(1, abs=2e-3)
        np.testing.assert_allclose(power / power.sum(), foretold, atol=0.02)


def test_a_click_stays_where_it_was():
    waveform = np.zeros(2048, np.float32)
    waveform[1001] = 1
    again = np.asarray(join(split(jnp.asarray(waveform), 8)))
    assert again.argmax() == 1001
    assert again[1001] == pytest.approx(1, abs=2e-3)


def test_channels_are_split_one_by_one():
    pair = np.stack([noise(512, seed=1), noise(512, seed=2)])
    both = split(jnp.asarray(pair), 4)
    for channel in range(2):
        alone = split(jnp.asarray(pair[channel]), 4)
        np.testing.assert_allclose(both[channel], alone, atol=1e-6)
    np.testing.assert_allclose(join(both)[1], join(both[1]), atol=1e-6)


def test_splitting_is_linear():
    one, other = jnp.asarray(noise(512, seed=3)), jnp.asarray(noise(512, seed=4))
    together = split(2 * one - other, 8)
    np.testing.assert_allclose(together, 2 * split(one, 8) - split(other, 8), atol=1e-5)


def test_filters_are_mirror_images_in_time_but_for_the_ripple():
    analysis, synthesis = filters(8)
    longer = (synthesis.shape[1] - analysis.shape[1]) // 2
    mirrored = np.pad(analysis[:, ::-1], [(0, 0), (longer, longer)])
    np.testing.assert_allclose(synthesis, mirrored, atol=1e-3 * analysis.max())


@pytest.mark.parametrize("bands", [2, 4, 8, 16, 32])
def test_a_tone_of_any_pitch_is_as_loud_as_it_was(bands):
    time = np.arange(8192)
    for turns in np.linspace(0.003, 0.497, 50):
        tone = np.sin(2 * np.pi * turns * time + 1).astype(np.float32)
        again = np.asarray(join(split(jnp.asarray(tone), bands)))[2048:-2048]
        level = np.sqrt(np.square(again).mean() / np.square(tone[2048:-2048]).mean())
        # A thousandth of a decibel; the ripple that was left to itself is 0.02.
        assert 20 * np.log10(level) == pytest.approx(0, abs=1e-3)


def test_samples_that_do_not_divide_into_bands_are_refused():
    with pytest.raises(ValueError, match="1001 samples do not divide into 8 bands"):
        split(jnp.zeros(1001), 8)


def test_a_filter_bank_has_at_least_one_band():
    with pytest.raises(ValueError, match="at least 1 band, got 0"):
        filters(0)
