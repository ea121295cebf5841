"""A request and a trained sequencer to a SongPlan that has all that was asked.

The form comes first: labels and ideas, then lengths that fill the song, then
energies, then chords bar by bar. What is asked is written into the sequencer's
past as if it had chosen it, so the rest answers to it; what cannot be is
refused before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydantic

from structure.drafting import (
    Header,
    asked_form,
    drafted,
    free_form,
    given_bars,
    lengths_of,
    open_groups,
    settled,
    start_writer,
    write_form,
)
from structure.errors import RequestError
from structure.half_plans import HalfPlan
from structure.harmonizing import harmonize
from structure.harmony import Key
from structure.melody import add_melody
from structure.plan import BEATS_PER_BAR, Section, SongPlan
from structure.requests import MOST_BARS_IN_ALL, SectionRequest, SongRequest
from structure.sequencer import Sequencer
from structure.vocabulary import (
    FIRST_OF,
    MOST_BARS,
    NUMBER,
    TEMPO_EDGES,
    TOKENS,
    tempo_token,
)
from structure.writing import Writer

__all__ = ["SectionRequest", "SongRequest", "complete", "compose", "compose_anew"]

DEFAULT_SECONDS = 120.0
"""About how long a song is if nothing is asked."""


def compose(sequencer: Sequencer, request: SongRequest, *, seed: int) -> SongPlan:
    """Write a plan.

    Args:
        sequencer: trained on whatever songs.
        request: what is asked; all of it is kept exactly.
        seed: another seed, another song; the same one, the same.

    Raises:
        RequestError: if the request cannot be kept; the message says why.
    """
    one = outline(sequencer, request, seed=seed)
    return finish(one, harmonize(one.writer, request, one.form, one.header.key))


@dataclasses.dataclass(frozen=True)
class Outline:
    """A song whose form stands and whose chords are due.

    Attributes:
        request: what was asked.
        seed: of the song.
        header: what holds for the whole song.
        form: its sections with label, letter, bars and energy everywhere.
        writer: that has written the form.
    """

    request: SongRequest
    seed: int
    header: Header
    form: list[SectionRequest]
    writer: Writer


def outline(sequencer: Sequencer, request: SongRequest, *, seed: int) -> Outline:
    """Compose all but the chords; for the arguments see `compose`."""
    if seed < 0:
        raise RequestError(f"seed {seed}; seeds start at 0")
    rng = np.random.default_rng(seed)
    header = _header(sequencer, request, rng)
    goal = _goal(request, header)
    if request.is_free:
        form = free_form(sequencer, request, header, goal, rng)
        if request.bars is None and request.minutes is None:
            goal = np.ones(given_bars(form) + 1)
        lengths = lengths_of(form, goal)
    else:
        form, lengths = asked_form(request, goal, rng)
        if any(s.label is None or s.letter is None for s in form):
            form = drafted(sequencer, request, header, rng, form, goal)
            lengths = lengths_of(form, goal)
    if lengths.mass(given_bars(form)) <= 0:
        rows = [settled(row) for row in request.forms()]
        _refuse_length(rows or [form], goal)
    writer = start_writer(sequencer, request, header, rng, len(form))
    written = write_form(writer, request, form, lengths, seed)
    return Outline(request, seed, header, written, writer)


def finish(one: Outline, sections: Sequence[Section]) -> SongPlan:
    """The plan of an outline and its sections with chords."""
    plan = _checked(
        title=one.request.title,
        style=one.request.style,
        key=str(one.header.key),
        tempo=one.header.tempo,
        meter=one.request.meter,
        seed=one.seed,
        sections=tuple(sections),
    )
    return add_melody(plan, seed=one.seed) if one.request.melody else plan


def _checked(**values) -> SongPlan:
    try:
        return SongPlan(**values)
    except pydantic.ValidationError as error:
        # What was asked of a section, such as its melody, does not fit the song.
        raise RequestError(
            "; ".join(
                flaw["msg"].removeprefix("Value error, ") for flaw in error.errors()
            )
        ) from None


def complete(
    sequencer: Sequencer, half: HalfPlan, *, seed: int, **more: Any
) -> SongPlan:
    """Finish a plan that a person began.

    Args:
        sequencer: trained on whatever songs.
        half: what is given stands in the result as it was given.
        seed: of what is added.
        more: other fields of a SongRequest, where the half plan leaves them open.

    Raises:
        RequestError: if it cannot be finished; the message says why.
    """
    return half.finished(compose(sequencer, half.request(**more), seed=seed))


def compose_anew(
    sequencer: Sequencer,
    plan: SongPlan,
    names: Sequence[str],
    *,
    seed: int,
    **more: Any,
) -> SongPlan:
    """The same song but for some sections, whose chords are new.

    Every other section and all that holds for the song stays as it is; so do the
    length, energy and place of the new ones, which have a new melody if the song has
    any. One whose idea stays elsewhere in the
    song becomes a variation of it: B turns into B'.

    Args:
        sequencer: trained on whatever songs.
        plan: a finished plan.
        names: labels ("bridge", all of them), letters or names ("chorus 2").
        seed: of what is new.
        more: other fields of a SongRequest, such as its temperature.

    Raises:
        RequestError: if there is no such section.
    """
    more.setdefault("melody", any(section.melody for section in plan.sections))
    request = SongRequest.like(plan, renew=names, **(more | {"melody": False}))
    composed = compose(sequencer, request, seed=seed)
    new = [place for place, s in enumerate(request.sections) if s.unlike is not None]
    stays = {s.letter for i, s in enumerate(plan.sections) if i not in new}
    sections = list(plan.sections)
    for place in new:
        section = composed.sections[place]
        if section.letter in stays:
            letter = section.letter
            while letter in stays:
                letter += "'"
            section = section.model_copy(update={"letter": letter})
        sections[place] = section
    plan = plan.model_copy(update={"sections": tuple(sections)})
    if not more["melody"]:
        return plan
    keep = [place not in new for place in range(len(sections))]
    return add_melody(plan, seed=seed, keep=keep)


# ---- Header and length -------------------------------------------------------


def _header(sequencer: Sequencer, request: SongRequest, rng) -> Header:
    # Only Billboard songs taught it both forms and chords, unless its own did.
    own = sequencer.config.knows_energy
    source = NUMBER["source", "yours" if own else "mcgill-billboard"]
    writer = Writer(
        sequencer,
        source=source,
        capacity=8,
        temperature=request.temperature,
        top_p=request.top_p,
        rng=rng,
    )
    writer.push(NUMBER["meter", request.meter])
    key = Key.parse(request.key) if request.key else None
    mode = key.mode if key else request.mode
    tempo = request.tempo
    if tempo is None:
        weights = np.ones(len(TOKENS))
        # The fastest and slowest are mostly double or half time, wrongly heard.
        weights[FIRST_OF["tempo"]] = 0.0
        weights[[tempo_token(TEMPO_EDGES[i]) for i in (-3, -2, -1)]] = 0.0
        place = writer.draw(weights) - FIRST_OF["tempo"]
        tempo = float(rng.integers(TEMPO_EDGES[place - 1], TEMPO_EDGES[place]))
    else:
        writer.push(tempo_token(tempo))
    if mode is None:
        weights = np.zeros(len(TOKENS))
        weights[[NUMBER["mode", "maj"], NUMBER["mode", "min"]]] = 1.0
        mode = TOKENS[writer.draw(weights)][1]
    key = key or Key(int(rng.integers(12)), mode)
    return Header(source, request.meter, tempo, key)


def _goal(request: SongRequest, header: Header) -> np.ndarray:
    """How much each total number of bars is wanted, [totals]."""
    bar_seconds = BEATS_PER_BAR[header.meter] * 60 / header.tempo
    bars = request.bars
    if request.minutes is not None:
        bars = round(request.minutes * 60 / bar_seconds)
        if not 1 <= bars <= MOST_BARS_IN_ALL:
            raise RequestError(
                f"{request.minutes:g} minutes are {bars} bars at {header.tempo:g} beats "
                f"a minute in {header.meter}; 1 to {MOST_BARS_IN_ALL} fit"
            )
    if bars is not None:
        goal = np.zeros(bars + 1)
        goal[bars] = 1.0
        return goal
    seconds = bar_seconds * np.arange(MOST_BARS_IN_ALL + 1)
    # Wanted ever less on both sides, yet never beyond reach: eight sections at
    # 44 beats a minute cannot but last longer.
    goal = np.exp(-np.abs(seconds - DEFAULT_SECONDS) / 3)
    named = request.is_free or (request.sections is None and len(request.forms()) > 1)
    if not named:
        # Two sections in words are not stretched to two minutes by force.
        goal = goal + 1e-3
    return np.where(seconds > 0, goal, 0.0)


def _refuse_length(rows: Sequence[Sequence[SectionRequest]], goal: np.ndarray) -> None:
    asked = len(goal) - 1
    given = [given_bars(row) for row in rows]
    open_ones = [sum(group.times for _, group in open_groups(row)) for row in rows]
    if not any(open_ones):
        raise RequestError(
            f"the sections of the form have {given[0]} bars together; {asked} were "
            "asked"
        )
    least = min(bars + count for bars, count in zip(given, open_ones, strict=True))
    most = max(
        bars + MOST_BARS * count for bars, count in zip(given, open_ones, strict=True)
    )
    if least <= asked <= most:
        raise RequestError(
            f"{asked} bars cannot be shared out among the sections of the form so that "
            "returning sections are as long as the first time; a single section more, "
            "or bars for one of them, would do"
        )
    raise RequestError(
        f"{asked} bars for a form of {len(rows[0])} sections"
        f"{' or more' * (len(rows) > 1)}; "
        f"{least} to {most} bars fit (1 to {MOST_BARS} a section)"
    )
