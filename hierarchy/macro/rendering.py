"""A plan to a finished song: choose gestures, make grains, assemble, master."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hierarchy.macro.assembly import assemble
from hierarchy.macro.balancing import balance
from hierarchy.macro.choosing import choose_gestures
from hierarchy.macro.mastering import master
from hierarchy.macro.performing import perform
from hierarchy.micro.grains import GrainModel, make_grains
from structure.composing import compose
from structure.plan import SongPlan
from structure.requests import SongRequest
from structure.sequencer import Sequencer

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "sequencer"
LOUDNESS = -14.0  # LUFS
NO_SKETCH = 0.85  # freedom from which no sinusoids are given


@dataclasses.dataclass(frozen=True)
class Song:
    """A finished song.

    Attributes:
        waveform: float32 [2, samples], mastered.
        sample_rate: Hz.
        plan: with style, seed and gestures filled in; rendering it again gives the
            same waveform.
        section_starts: seconds, and last the end of the last bar.
    """

    waveform: np.ndarray
    sample_rate: int
    plan: SongPlan
    section_starts: tuple[float, ...]


def compose_song(
    *, sequencer: Sequencer | None = None, seed: int = 0, **asked: Any
) -> SongPlan:
    """Compose a plan.

    Args:
        sequencer: the one that ships inside the package if None.
        seed: another seed, another song.
        asked: fields of `structure.SongRequest`: form, key, tempo, minutes, ...

    Raises:
        RequestError: if what is asked cannot be.
    """
    sequencer = Sequencer.read(PRETRAINED) if sequencer is None else sequencer
    return compose(sequencer, SongRequest(**asked), seed=seed)


def render_song(
    plan: SongPlan,
    model: GrainModel,
    *,
    seed: int | None = None,
    freedom: float = 0.0,
    variation: float = 0.0,
    loudness: float = LOUDNESS,
    progress: Callable[[int, int], None] | None = None,
) -> Song:
    """Render a plan.

    Args:
        plan: what happens when; gestures are chosen where it has none.
        model: whose sound.
        seed: of gestures and grains; the plan's own if None.
        freedom: 0 follows the gestures closely, 1 gives the model only their coarse
            description.
        variation: share of the bars of a returning section that are sampled anew.
        loudness: integrated, in LUFS.
        progress: called with (done, in all).

    Raises:
        RequestError: if the model lacks the plan's style or gestures.
    """
    style, book = model.book(plan.style)
    seed = plan.seed if seed is None else seed
    plan = plan.model_copy(update={"style": style, "seed": seed})
    plan = choose_gestures(plan, book, seed=seed)
    sample_rate = model.config.sample_rate
    follow = max(0.0, 1.0 - freedom / NO_SKETCH)
    performance = perform(
        plan,
        book,
        style=model.config.styles.index(style),
        seed=seed,
        sample_rate=sample_rate,
        peaks=int(np.ceil(follow * model.config.peaks)),
        variation=variation,
    )
    grains = make_grains(
        model,
        performance.requests,
        temperature=0.75 + 0.25 * freedom,
        progress=progress,
    )
    mix = assemble(
        [grain.waveform for grain in grains],
        balance(plan, performance, grains),
        length=performance.length,
    )
    waveform = master(mix, sample_rate, loudness=loudness, fade_out=0.3)
    return Song(waveform, sample_rate, plan, tuple(plan.starts()))
