"""A grain rises when it was asked to rise, by as much, whatever was drawn."""

import numpy as np
import pytest

from hierarchy.material.companding import gain_by_step, to_shape
from hierarchy.material.features import FLOOR, levels_of
from hierarchy.micro.levelling import _by_step, hold_levels, to_unit_level

BANDS, STEPS = 16, 32


def attack(frames: int = 40) -> np.ndarray:
    """Levels that jump by 30 dB and fall again, [frames, bands]."""
    time = np.arange(frames)[:, None] - np.array([10])
    decay = np.where(time >= 0, 10 ** (-time / 20), 10**-1.5)
    return (0.1 * np.maximum(decay, 10**-1.5) * np.ones(BANDS)).astype(np.float32)


def noise(frames: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=[frames * STEPS, BANDS]).astype(np.float32)


def late(shape: np.ndarray) -> np.ndarray:
    """What came a frame after it was asked for, and softer."""
    levels = attack()
    gain = np.asarray(gain_by_step(levels, STEPS))
    softer = np.asarray(gain_by_step(np.roll(levels, 1, axis=0) ** 0.9, STEPS))
    return shape * softer / gain


def error_db(shape: np.ndarray, levels: np.ndarray) -> np.ndarray:
    sound = shape * np.asarray(gain_by_step(levels, STEPS))
    return 20 * np.log10(levels_of(sound) / (levels + FLOOR))


def test_a_late_and_soft_attack_comes_nearly_on_time_and_full():
    levels = attack()
    drawn = to_unit_level(late(noise()), 40)
    held = hold_levels(drawn, levels, 40)
    before, after = (np.abs(error_db(x, levels)) for x in (drawn, held))
    # Two passes of 6 dB, at the frame that lacks most; all others are right.
    assert (before[10] - after[10]).min() > 5
    assert before[11].mean() > 6
    assert after[11].mean() < 1.5
    assert after[[*range(9), *range(12, 40)]].max() < 3
    assert np.median(before) > 0.5
    assert np.median(after) < 0.3


def test_what_is_right_already_is_hardly_touched():
    # A recording's own shape has its own levels, but for what interpolation rounds.
    sound = late(noise()) * np.asarray(gain_by_step(attack(), STEPS))
    levels = levels_of(sound)
    shape = np.asarray(to_shape(sound, levels))
    held = hold_levels(shape, levels, 40)
    assert np.sqrt(np.square(held - shape).mean()) < 0.05


def test_silence_stays_silent_and_what_was_not_asked_for_is_left_alone():
    levels = attack()
    levels[:, 3] = FLOOR
    shape = late(noise())
    held = hold_levels(shape, levels, 30)
    np.testing.assert_array_equal(held[:, 3], shape[:, 3])
    np.testing.assert_array_equal(held[31 * STEPS :], shape[31 * STEPS :])


def test_frames_that_come_after_change_nothing_before_them():
    levels, shape = attack(), late(noise())
    other = shape.copy()
    other[32 * STEPS :] *= 5
    one, two = (hold_levels(x, levels, 30)[: 30 * STEPS] for x in (shape, other))
    np.testing.assert_array_equal(one, two)


def test_gains_are_the_lines_that_training_draws():
    log = np.log(attack())
    np.testing.assert_allclose(
        _by_step(log, STEPS), np.asarray(gain_by_step(attack(), STEPS)), rtol=1e-5
    )


@pytest.mark.parametrize("level", [0.1, 1.0, 20.0])
def test_shape_is_brought_to_unit_level(level):
    found = to_unit_level(level * noise(), 40)
    assert np.sqrt(np.square(found).mean()) == pytest.approx(1, abs=0.02)
