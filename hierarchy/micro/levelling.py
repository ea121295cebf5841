"""What the model drew, brought to the levels that were asked, frame by frame.

A network that predicts noisy numbers predicts soft attacks: it rises later and less
than it was asked to, and rings on after. The level of every band in every frame is
known, though, so what is heard there can be measured as it was in the recordings and
set right. Of the attacks asked for, a third more are heard as strongly as they were
asked for; chroma and the noise between partials stay as they are.
"""

from __future__ import annotations

import numpy as np

from hierarchy.material.features import FLOOR, HOP, levels_of

EVENING = 12  # frames on either side over which a grain's level is evened out
MOST_GAIN = 30.0  # where little is asked, what comes first is little too
MOST_STEP = 2.0  # by which one frame is raised or lowered in one pass
PASSES = 2


def to_unit_level(shape: np.ndarray, frames: int) -> np.ndarray:
    """Shape whose level, over a quarter of a second, is what shape's level is: 1.

    What the model draws with little to go by is quieter than what it learned from,
    since a mean is quieter than what it is the mean of.

    Args:
        shape: float32 [steps, bands].
        frames: that were asked for; those after them do not count.

    Returns:
        float32 [steps, bands].
    """
    steps = _steps(shape)
    cut = shape.reshape(-1, steps, shape.shape[-1])
    power = np.square(cut[:frames]).mean(axis=1, dtype=np.float64)
    upto = np.concatenate([np.zeros_like(power[:1]), power.cumsum(axis=0)])
    at = np.arange(len(cut))
    first = np.clip(at - EVENING, 0, frames)
    last = np.clip(at + EVENING + 1, 0, frames)
    count = np.maximum(last - first, 1)[:, None]
    gain = 1 / np.sqrt((upto[last] - upto[first]) / count + 1e-6)
    gain = np.clip(gain, 1 / MOST_GAIN, MOST_GAIN).astype(np.float32)
    return (cut * gain[:, None]).reshape(shape.shape)


def hold_levels(shape: np.ndarray, levels: np.ndarray, frames: int) -> np.ndarray:
    """Shape that, once multiplied by its gains, has the levels that were asked.

    Args:
        shape: float32 [steps, bands].
        levels: that were asked, float32 [steps / steps a frame, bands].
        frames: that were asked for; those after them are left as they are.

    Returns:
        float32 [steps, bands].
    """
    gain = _by_step(np.log(np.maximum(levels, FLOOR)), _steps(shape))
    asked = np.log(levels + FLOOR)
    heard = levels > 3 * FLOOR
    heard[frames:] = False
    most = np.log(MOST_STEP)
    for _ in range(PASSES):
        lacking = asked - np.log(levels_of(shape * gain))
        lacking = np.where(heard, np.clip(lacking, -most, most), 0)
        shape = shape * _by_step(lacking, _steps(shape))
    return shape


def _steps(shape: np.ndarray) -> int:
    """Band steps in a frame."""
    return HOP // shape.shape[-1]


def _by_step(log: np.ndarray, steps: int) -> np.ndarray:
    """Logarithms [frames, bands] to gains [frames * steps, bands].

    As `companding.gain_by_step`: lines between the middles of frames.
    """
    padded = np.pad(log, [(1, 1), (0, 0)], mode="edge")[:, None]
    place = ((np.arange(steps) + 0.5) / steps - 0.5)[:, None]
    before, after = np.maximum(-place, 0), np.maximum(place, 0)
    lines = before * padded[:-2] + (1 - before - after) * padded[1:-1]
    lines = lines + after * padded[2:]
    return np.exp(lines).reshape(-1, log.shape[-1]).astype(np.float32)
