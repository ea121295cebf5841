"""Prepared recordings to the windows that a grain model learns from."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from hierarchy.material import bands as filterbank
from hierarchy.material.companding import to_shape
from hierarchy.material.features import FLOOR, Features, middle_and_side, whole_frames
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.sketch import ranks
from hierarchy.micro import conditions
from hierarchy.micro.wavenet import WaveNetConfig

# A side signal this far below the middle is the coder's residue, not stereo.
FAINT_SIDE = 0.02


class Window(NamedTuple):
    """One stretch of one channel; context is two frames, one sketch frame, a side."""

    shape: np.ndarray  # float [steps, bands]
    frames: np.ndarray  # float [frames, features]
    levels: np.ndarray  # float [frames + 4, bands]
    frequency: np.ndarray  # float [frames // 2 + 3, peaks]
    amplitude: np.ndarray  # the same
    phase: np.ndarray  # the same
    style: np.ndarray  # int32 []
    coarse: np.ndarray  # float [], whether the coarse description is given
    share: np.ndarray  # float [], share of the sinusoids that is given


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One recording, ready to be cut. Arrays carry the context on both sides."""

    name: str
    style: int
    shape: np.ndarray  # float16 [channels, steps, bands], without context
    frames: np.ndarray  # float32 [channels, frames, features], without context
    levels: np.ndarray  # float32 [channels, frames + 4, bands]
    frequency: np.ndarray  # float32 [frames // 2 + 3, peaks]
    amplitude: np.ndarray  # float32 [channels, frames // 2 + 3, peaks]
    phase: np.ndarray  # float32 [channels, frames // 2 + 3, peaks]
    rank: np.ndarray  # int16 [frames // 2 + 3, peaks], 0 is the strongest

    @property
    def channels(self) -> int:
        """2 where the side is worth learning, else 1."""
        return len(self.shape)

    @property
    def audible(self) -> bool:
        """Whether there is more sound than silence in it."""
        return bool((self.levels > 2 * FLOOR).any(axis=(0, 2)).mean() > 0.5)

    @property
    def units(self) -> int:
        """Length in sketch frames, two feature frames each."""
        return self.frames.shape[1] // 2

    def seconds(self, config: WaveNetConfig) -> float:
        """Length of the recording."""
        return self.units * 2 * FRAME / config.sample_rate

    def between(self, first: int, last: int) -> Lesson:
        """The part from sketch frame `first` up to `last`."""
        steps = self.shape.shape[1] // max(self.units, 1)
        drawn = slice(first, last + 3)
        return dataclasses.replace(
            self,
            shape=self.shape[:, first * steps : last * steps],
            frames=self.frames[:, 2 * first : 2 * last],
            levels=self.levels[:, 2 * first : 2 * last + 4],
            frequency=self.frequency[drawn],
            amplitude=self.amplitude[:, drawn],
            phase=self.phase[:, drawn],
            rank=self.rank[drawn],
        )

    def cut(
        self,
        start: int,
        units: int,
        *,
        channel: int,
        coarse: float,
        peaks: int,
        of: int,
    ) -> Window:
        """A window from sketch frame `start` on, with `peaks` of `of` sinusoids."""
        steps = self.shape.shape[1] // self.units
        drawn = slice(start, start + units + 3)
        keep = self.rank[drawn] < peaks
        return Window(
            self.shape[channel, start * steps : (start + units) * steps].astype(
                np.float32
            ),
            self.frames[channel, 2 * start : 2 * (start + units)],
            self.levels[channel, 2 * start : 2 * (start + units) + 4],
            self.frequency[drawn],
            np.where(keep, self.amplitude[channel, drawn], 0).astype(np.float32),
            self.phase[channel, drawn],
            np.int32(self.style),
            np.float32(coarse),
            np.float32(peaks / of),
        )


def lesson(
    name: str,
    waveform: np.ndarray,
    features: Features,
    config: WaveNetConfig,
    *,
    style: int,
) -> Lesson:
    """Make a recording ready.

    Args:
        name: for messages.
        waveform: float32 [1 or 2, samples] at the model's rate.
        features: measured on it.
        config: of the model that will learn from it.
        style: its number among the model's styles.
    """
    pair = whole_frames(middle_and_side(waveform))
    quiet_side = features.levels[1].mean() < FAINT_SIDE * features.levels[0].mean()
    channels = 1 if quiet_side else 2
    sketch = features.sketch.strongest(config.peaks)
    amplitudes = np.stack([np.abs(sketch.middle), np.abs(sketch.side)])[:channels]
    phases = np.stack([np.angle(sketch.middle), np.angle(sketch.side)])[:channels]
    rank = ranks(sketch.frequency, amplitudes)
    shape = [
        np.asarray(
            to_shape(filterbank.split(jnp.asarray(one), config.bands), levels)
        ).astype(np.float16)
        for one, levels in zip(pair[:channels], features.levels, strict=False)
    ]
    chroma, octaves = features.chroma(), features.octaves()
    frames = [
        conditions.describe(
            chroma=chroma,
            octaves=octaves[channel],
            levels=features.levels[channel],
            brightness=features.brightness,
            onset=features.onset,
            tonality=features.tonality,
            beat=features.beat,
            is_side=channel == 1,
        )
        for channel in range(channels)
    ]
    around = [(0, 0), (1, 1), (0, 0)]
    return Lesson(
        name,
        style,
        np.stack(shape),
        np.stack(frames),
        np.pad(features.levels[:channels], [(0, 0), (2, 2), (0, 0)], mode="edge"),
        np.pad(sketch.frequency, around[1:]),
        np.pad(amplitudes, around).astype(np.float32),
        np.pad(phases, around).astype(np.float32),
        np.pad(rank, around[1:], constant_values=config.peaks).astype(np.int16),
    )


def audible(levels: jnp.ndarray) -> jnp.ndarray:
    """1 where a band can be heard at all, a little where it cannot; same shape."""
    return jnp.where(levels > 2 * FLOOR, 1.0, 0.02)
