"""A plan to a finished song: choose gestures, make grains, assemble, master."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hierarchy.macro.assembly import Placement
from hierarchy.macro.balancing import balance
from hierarchy.macro.choosing import choose_gestures
from hierarchy.macro.grain_store import (
    GrainStore,
    StoredGrains,
    grain_name,
    model_digest,
    sample_missing,
)
from hierarchy.macro.mastering import TRUE_PEAK, Dither, Master, finish
from hierarchy.macro.mixing import Score, mix, mix_blocks
from hierarchy.macro.originality import Instead, nearest_moments, without_copies
from hierarchy.macro.performing import Performance, perform
from hierarchy.material.audio import write_blocks
from hierarchy.material.moments import Nearest
from hierarchy.micro.grains import UNTOLD, GrainModel
from structure.composing import compose
from structure.errors import RequestError
from structure.plan import Moment, Section, SongPlan
from structure.requests import SongRequest
from structure.sequencer import Sequencer

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "sequencer"
NO_SKETCH = 0.85  # freedom from which no sinusoids are given
FADE_OUT = 0.3  # seconds, of what still rings
SOFTWARE = "macrotime"


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


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """All of a song but its sound: what to sample, under which names, and where it goes.

    Attributes:
        plan: with style, seed, dials and gestures filled in.
        performance: requests and placements.
        names: of the grains, one a request; see `grain_store`.
        temperature: at which they are sampled.
        sample_rate: Hz.
    """

    plan: SongPlan
    performance: Performance
    names: tuple[str, ...]
    temperature: float
    sample_rate: int


@dataclasses.dataclass(frozen=True)
class Song:
    """A finished song; whatever of it is long is read or put together piece by piece.

    Attributes:
        plan: with style, seed, dials, gestures and mastering gain filled in; rendering
            it again gives the same song.
        performance: requests and placements at unit gain.
        grains: one a request, read from where they are kept.
        score: what the mix is made of; see `mixing` for its layers and sections.
        master: the finished sound, on a tape.
    """

    plan: SongPlan
    performance: Performance
    grains: StoredGrains
    score: Score
    master: Master

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.score.sample_rate

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Of the grains, with the gains that were given to them."""
        return self.score.placements

    @property
    def section_starts(self) -> tuple[float, ...]:
        """Seconds, and last the end of the last bar."""
        return tuple(self.plan.starts())

    @property
    def seconds(self) -> float:
        """How long it lasts, with what rings on."""
        return self.score.length / self.sample_rate

    @functools.cached_property
    def mix(self) -> np.ndarray:
        """Before mastering, float32 [2, samples], put together when it is asked for."""
        return mix(self.score)

    @property
    def waveform(self) -> np.ndarray:
        """Mastered, float32 [2, samples], read when it is asked for."""
        return self.master.waveform

    def write(
        self,
        path: str | Path,
        *,
        bits: int = 24,
        tags: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write the mastered song, in the memory of a few seconds of it.

        Args:
            path: a .wav, .flac or .ogg file.
            bits: 16 or 24, with dither; an .ogg file has none.
            tags: more of `hierarchy.material.audio.TAGS`; the title is the plan's.
            progress: called with (samples written, in all).

        Raises:
            RequestError: for another suffix, number of bits or tag.
        """
        if bits not in (16, 24):
            raise RequestError(f"{bits} bits; songs are written with 16 or 24")
        known = {"title": self.plan.title, "software": SOFTWARE}
        lossy = Path(path).suffix.lower() == ".ogg"
        dithered = Dither(bits, seed=self.plan.seed)

        def pieces() -> Iterator[np.ndarray]:
            done = 0
            for block in self.master.blocks():
                yield block if lossy else dithered(block)
                done += block.shape[1]
                if progress:
                    progress(done, self.score.length)

        write_blocks(
            path,
            pieces(),
            self.sample_rate,
            channels=2,
            samples=self.score.length,
            subtype=None if lossy else f"PCM_{bits}",
            tags=known | dict(tags or {}),
        )


def arrange(
    plan: SongPlan,
    model: GrainModel,
    *,
    seed: int | None = None,
    freedom: float | None = None,
    chorus_variation: float | None = None,
    max_similarity: float | None = None,
    loudness: float | None = None,
) -> Arrangement:
    """Say what a song needs, and sample nothing yet.

    Songs that are arranged first can have all their grains sampled side by side, by
    `sample_missing` into one `GrainStore`, and be rendered from that.

    Args:
        plan: what happens when; gestures are chosen where it has none.
        model: whose sound.
        seed, freedom, chorus_variation, max_similarity, loudness: instead of the
            plan's own.

    Raises:
        RequestError: if the model lacks the plan's style or gestures.
    """
    style, book = model.book(plan.style)
    asked = {
        "style": style,
        "seed": seed,
        "freedom": freedom,
        "chorus_variation": chorus_variation,
        "max_similarity": max_similarity,
        "loudness": loudness,
    }
    if loudness is not None and loudness != plan.loudness:
        plan = plan.model_copy(update={"mastering_gain": None})
    plan = _with(plan, {k: v for k, v in asked.items() if v is not None})
    if plan.chorus_variation == 0:
        plan = _with_exact_returns(plan, all_of_them=chorus_variation == 0)
    plan = choose_gestures(plan, book, seed=plan.seed)
    peaks, temperature = told_at(plan.freedom, model, style)
    performance = perform(
        plan,
        book,
        style=model.config.styles.index(style),
        seed=plan.seed if plan.grain_seed is None else plan.grain_seed,
        sample_rate=model.config.sample_rate,
        peaks=peaks,
        chorus_variation=plan.chorus_variation or 0.0,
    )
    digest = model_digest(model)
    names = (
        grain_name(request, model=digest, temperature=temperature)
        for request in performance.requests
    )
    return Arrangement(
        plan, performance, tuple(names), temperature, model.config.sample_rate
    )


def told_at(freedom: float, model: GrainModel, style: str) -> tuple[int, float]:
    """What a freedom from 0 to 1 means to a grain.

    Args:
        freedom: see `render_song`.
        model: which knows how many sinusoids of a frame it can be told, and the
            temperature of a style whose grains are told all.
        style: one of its styles.

    Returns:
        How many sinusoids it is told, and the temperature that it is sampled with.
    """
    followed = max(0.0, 1.0 - freedom / NO_SKETCH)
    told_all = model.temperature(style)
    temperature = told_all + (UNTOLD - told_all) * freedom
    return int(np.ceil(followed * model.config.peaks)), temperature


def render_song(
    plan: SongPlan,
    model: GrainModel,
    *,
    seed: int | None = None,
    freedom: float | None = None,
    chorus_variation: float | None = None,
    max_similarity: float | None = None,
    loudness: float | None = None,
    true_peak: float = TRUE_PEAK,
    known: GrainStore | None = None,
    folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Song:
    """Render a plan.

    Args:
        plan: what happens when; gestures are chosen where it has none.
        model: whose sound.
        seed: of gestures and grains; the plan's own if None.
        freedom: 0 follows the gestures closely, 1 gives the model only their coarse
            description but where bars join; the plan's own if None.
        chorus_variation: share of the bars of a returning section that are another
            take; the plan's own if None.
        max_similarity: how like a moment of the recordings a bar may be; see
            `originality`. The plan's own if None.
        loudness: integrated, in LUFS; the plan's own if None.
        true_peak: highest peak at four times the rate, in dBTP.
        known: grains that need not be sampled, and where new ones are kept. None keeps
            them in memory, with the song; with a store in a folder, memory does not grow
            with the song.
        folder: on whose disk the song's waveform lies; None takes the system's place
            for such files.
        progress: called with (done, in all).

    Raises:
        RequestError: if the model lacks the plan's style or gestures.
    """
    arranged = arrange(
        plan,
        model,
        seed=seed,
        freedom=freedom,
        chorus_variation=chorus_variation,
        max_similarity=max_similarity,
        loudness=loudness,
    )
    known = GrainStore() if known is None else known
    # Mixing and mastering take about as long as a tenth of a short song's sampling.
    share = 100 * len(arranged.names)

    def report(done: int, total: int, *, before: int, of: int) -> None:
        if progress:
            progress(before + done * of // max(total, 1), 11 * share)

    score, performance, grains = score_song(
        arranged, model, known, functools.partial(report, before=0, of=10 * share)
    )
    master = finish(
        mix_blocks(score),
        score.sample_rate,
        length=score.length,
        loudness=score.plan.loudness,
        true_peak=true_peak,
        fade_out=FADE_OUT,
        gain=score.plan.mastering_gain,
        folder=folder,
        progress=functools.partial(report, before=10 * share, of=share),
    )
    plan = score.plan.model_copy(update={"mastering_gain": master.gain})
    return Song(
        plan, performance, grains, dataclasses.replace(score, plan=plan), master
    )


def score_song(
    arranged: Arrangement,
    model: GrainModel,
    known: GrainStore,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Score, Performance, StoredGrains]:
    """All that a song's mix is made of; grains are sampled where they are not known."""
    performance = arranged.performance
    grains = _sampled(arranged, model, performance.requests, known, progress)
    if arranged.plan.max_similarity is None:
        nearest = nearest_moments(grains, model.moments)
    else:
        instead, nearest = without_copies(
            model,
            grains,
            most=arranged.plan.max_similarity,
            sample=lambda asked: _sampled(arranged, model, list(asked.values()), known),
        )
        requests = Instead(performance.requests, instead)
        performance = dataclasses.replace(performance, requests=requests)
        grains = _sampled(arranged, model, requests, known)
    plan = _with_nearest(arranged.plan, performance, nearest)
    score = Score(
        plan=plan,
        waveforms=grains.waveforms,
        placements=balance(plan, performance, grains),
        sections=performance.sections,
        length=performance.length,
        sample_rate=arranged.sample_rate,
    )
    return score, performance, grains


def _sampled(arranged, model, requests, known, progress=None) -> StoredGrains:
    """Grains of a song's model and temperature, sampled where they are not known."""
    names = arranged.names
    if requests is not arranged.performance.requests:
        name = functools.partial(
            grain_name, model=model_digest(model), temperature=arranged.temperature
        )
        names = tuple(name(request) for request in requests)
    sample_missing(
        model,
        requests,
        names,
        known,
        temperature=arranged.temperature,
        progress=progress,
    )
    return StoredGrains(known, names, requests, arranged.sample_rate)


def _with_nearest(
    plan: SongPlan, performance: Performance, nearest: Sequence[Nearest | None]
) -> SongPlan:
    """The plan with, for each bar, the moment that it is most like."""
    bars: list[list[Moment | None]] = [[] for _ in plan.sections]
    for placement, where in zip(
        performance.placements, performance.sections, strict=True
    ):
        found = nearest[placement.grain]
        bars[where].append(found and Moment(**dataclasses.asdict(found)))
    sections = [
        section.model_copy(
            update={"nearest": tuple(found[: section.bars]) if any(found) else None}
        )
        for section, found in zip(plan.sections, bars, strict=True)
    ]
    return plan.model_copy(update={"sections": tuple(sections)})


def redo(
    plan: SongPlan, section: str, *, seed: int | None = None, gestures: bool = False
) -> SongPlan:
    """The plan of the same song with one section played again.

    The section keeps its bars and chords and gets other samples. All other samples stay
    as they were, bit for bit before mastering, but for the fades at the section's two
    borders; see `performing.border`.

    Args:
        plan: as it came out of `render_song`.
        section: its name; see `SongPlan.find`.
        seed: number of the take; None takes one that the section has not had.
        gestures: whether it gets other gestures too, from the same recording: another
            melody and another rhythm over the same chords.

    Raises:
        RequestError: if there is no such section, or it is that take already.
    """
    number = plan.find(section)
    old = plan.sections[number]
    take = old.take + 1 if seed is None else seed
    if take == old.take:
        raise RequestError(
            f"{plan.names()[number]} is take {take} already; another seed gives another"
        )
    sections: Sequence = list(plan.sections)
    changes = {"take": take} | ({"gestures": None} if gestures else {})
    sections[number] = old.model_copy(update=changes)
    return plan.model_copy(update={"sections": tuple(sections)})


def _with_exact_returns(plan: SongPlan, *, all_of_them: bool) -> SongPlan:
    """The plan with each return made what its idea was when it first came.

    What was played again since keeps its take and what else it has.

    Args:
        plan: the song.
        all_of_them: those too whose gestures are chosen already.
    """
    first: dict[tuple[str, int], Section] = {}
    sections = []
    for section in plan.sections:
        idea = first.setdefault((section.letter, section.bars), section)
        if section.take == 0 and (all_of_them or section.gestures is None):
            section = idea.model_copy(update={"label": section.label, "take": 0})
        sections.append(section)
    return plan.model_copy(update={"sections": tuple(sections)})


def _with(plan: SongPlan, changes: dict[str, Any]) -> SongPlan:
    """A plan with some fields changed, and checked again."""
    return type(plan).model_validate(plan.model_copy(update=changes).model_dump())
