"""A prepared corpus becomes a grain model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from hierarchy.micro.lessons import Lesson, Window
from hierarchy.micro.objective import training_loss, validation_loss
from hierarchy.micro.wavenet import WaveNet
from hierarchy.training.batches import WindowBatches
from hierarchy.training.fitting import FitConfig, FitResult, Progress, fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class LessonConfig:
    """How windows are drawn, and what is withheld from the model.

    frames: length of a window, even; the first few only warm the model up.
    batch_size: windows a step.
    side: share of windows taken from the side of stereo recordings.
    without_sketch, without_coarse, without_style: share of windows that lack it.
    thinned: share of the others whose sketch is thinned to a random few sinusoids.
    """

    frames: int = 32
    batch_size: int = 8
    side: float = 0.3
    without_sketch: float = 0.15
    without_coarse: float = 0.1
    without_style: float = 0.1
    thinned: float = 0.4

    def __post_init__(self):
        if self.frames < 8 or self.frames % 2:
            raise ValueError(f"frames is even and at least 8, got {self.frames}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size starts at 1, got {self.batch_size}")
        for field in dataclasses.fields(self)[2:]:
            share = getattr(self, field.name)
            if not 0 <= share <= 1:
                raise ValueError(f"{field.name} is from 0 to 1, got {share}")


def window_batches(
    lessons: Sequence[Lesson], config: LessonConfig, *, peaks: int, seed: int
) -> WindowBatches:
    """Batches of windows of all lessons: a pure function of the step."""
    units = config.frames // 2

    def cut(index: int, start: int, random: np.random.Generator) -> Window:
        lesson = lessons[index]
        side, sketch, coarse, style, thin = random.random(5)
        count = int(random.integers(1, peaks + 1)) if thin < config.thinned else peaks
        window = lesson.cut(
            start,
            units,
            channel=int(side < config.side and lesson.channels == 2),
            coarse=float(coarse >= config.without_coarse),
            peaks=0 if sketch < config.without_sketch else count,
            of=peaks,
        )
        if style < config.without_style:
            window = window._replace(style=np.int32(-1))
        return window

    return WindowBatches(
        cut,
        [lesson.units for lesson in lessons],
        window=units,
        batch_size=config.batch_size,
        seed=seed,
    )


def validation_windows(
    lessons: Sequence[Lesson], config: LessonConfig, *, peaks: int, batches: int = 6
) -> list[Window]:
    """The same windows each time, spread over the held-out recordings."""
    units, random = config.frames // 2, np.random.default_rng(0)
    out = []
    for _ in range(batches):
        items = []
        for _ in range(config.batch_size):
            lesson = lessons[random.integers(len(lessons))]
            start = int(random.integers(max(1, lesson.units - units)))
            items.append(
                lesson.cut(start, units, channel=0, coarse=1.0, peaks=peaks, of=peaks)
            )
        out.append(jax.tree.map(lambda *parts: np.stack(parts), *items))
    return out


def fit_grains(
    model: WaveNet,
    train: Sequence[Lesson],
    held_out: Sequence[Lesson],
    out: str | Path,
    *,
    lessons: LessonConfig,
    fitting: FitConfig,
    resume: bool = False,
    settings: dict | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_checkpoint: Callable[[int, WaveNet], None] | None = None,
) -> FitResult:
    """Train a grain model in place; see `hierarchy.training.fitting.fit`."""
    peaks = model.config.peaks
    usable = [one for one in train if one.units >= lessons.frames // 2]
    judges = [one for one in held_out if one.units >= lessons.frames // 2]
    return fit(
        model,
        training_loss,
        window_batches(usable, lessons, peaks=peaks, seed=fitting.seed),
        validation=validation_windows(judges, lessons, peaks=peaks) if judges else (),
        config=fitting,
        out=out,
        resume=resume,
        settings={
            "model": dataclasses.asdict(model.config),
            "lessons": dataclasses.asdict(lessons),
            **(settings or {}),
        },
        validation_loss=validation_loss,
        items=lessons.batch_size * lessons.frames * model.config.steps_per_frame,
        on_progress=on_progress,
        on_checkpoint=on_checkpoint,
    )


def untrained(config, *, seed: int) -> WaveNet:
    """A grain model before its first lesson."""
    return WaveNet(config, rngs=nnx.Rngs(seed))
