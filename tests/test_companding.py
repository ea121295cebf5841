"""Gain and shape: a band over its own level, and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from hierarchy.material.bands import split
from hierarchy.material.companding import (
    BIN,
    LIMIT,
    from_shape,
    gain_by_step,
    to_shape,
)
from hierarchy.material.features import levels_of


def bands_of_noise(seed=0, frames=6, bands=4, steps_per_frame=128):
    random = np.random.default_rng(seed)
    return random.normal(size=[frames * steps_per_frame, bands]).astype(np.float32)


def test_shape_times_gain_is_the_sound_again():
    bands = bands_of_noise()
    levels = np.random.default_rng(1).uniform(0.5, 2, [6, 4]).astype(np.float32)
    again = from_shape(to_shape(jnp.asarray(bands), levels), levels)
    np.testing.assert_allclose(again, bands, rtol=1e-5, atol=1e-6)


def test_a_steady_level_is_a_steady_gain():
    levels = np.full([5, 3], 0.2, np.float32)
    np.testing.assert_allclose(gain_by_step(levels, 16), 0.2, rtol=1e-6)


def test_gain_moves_between_frame_centres_in_even_steps_of_decibels():
    levels = np.float32([[1.0], [0.1], [0.01]])
    gain = np.asarray(gain_by_step(levels, 8))[:, 0]
    decibels = 20 * np.log10(gain)

    assert len(gain) == 24
    # From the centre of the first frame to that of the last: 20 dB a frame.
    np.testing.assert_allclose(np.diff(decibels[4:20]), -20 / 8, atol=1e-3)
    # Half-way between two centres lies the boundary of the frames.
    assert decibels[[7, 8]].mean() == pytest.approx(-10, abs=1e-3)
    # Beyond the outer centres nothing is known, and the level holds.
    np.testing.assert_allclose(gain[:4], 1, rtol=1e-5)


def test_shape_has_unit_level_however_soft_the_music():
    loud = bands_of_noise(frames=40)
    for volume in (1.0, 0.01):
        levels = levels_of(volume * loud)
        shape = np.asarray(to_shape(jnp.asarray(volume * loud), levels))
        np.testing.assert_allclose(shape.std(axis=0), 1, atol=0.05)


def test_loudness_follows_the_levels_that_are_asked():
    shape = jnp.asarray(bands_of_noise())
    levels = np.full([6, 4], 0.1, np.float32)
    np.testing.assert_allclose(
        from_shape(shape, 2 * levels), 2 * from_shape(shape, levels), rtol=1e-5
    )


def test_silence_stays_silent():
    still = jnp.zeros([256, 8])
    levels = levels_of(np.zeros([256, 8], np.float32))
    np.testing.assert_array_equal(to_shape(still, levels), 0)
    np.testing.assert_array_equal(from_shape(to_shape(still, levels), levels), 0)


def test_shape_never_leaves_its_bins():
    peak = jnp.zeros([128, 1]).at[60].set(1000.0)
    shape = to_shape(peak, np.ones([1, 1], np.float32))
    assert shape.max() == LIMIT
    assert 2 * LIMIT / BIN == 4096


def test_a_drum_hit_is_not_clipped_by_its_own_level():
    random = np.random.default_rng(2)
    hit = random.normal(size=44_032) * np.exp(-np.arange(44_032) / 2000)
    hit = np.concatenate([np.zeros(5000), hit])[:44_032]
    # In a room, not in digital silence: 40 dB below the hit.
    hit = (hit + 0.01 * random.normal(size=44_032)).astype(np.float32)
    bands = np.asarray(split(jnp.asarray(hit), 8))
    shape = np.asarray(to_shape(jnp.asarray(bands), levels_of(bands)))
    assert np.mean(np.abs(shape) >= LIMIT) < 1e-3


def test_channels_and_batches_go_through_side_by_side():
    bands = np.stack([bands_of_noise(seed) for seed in range(2)])
    levels = levels_of(bands)
    both = to_shape(jnp.asarray(bands), levels)
    np.testing.assert_allclose(both[1], to_shape(bands[1], levels[1]), rtol=1e-6)
