"""An album as asked to the plans of its songs, which know of each other.

Each song is composed for its place: a key on the path of keys, a tempo and an energy
on the arc, a form unlike its neighbours'. Some quote an earlier song. Everything is
decided here, gestures too, so that each song can be rendered by itself, anywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from hierarchy.album.arcs import follow_arc
from hierarchy.album.keys import follow_path
from hierarchy.album.motifs import (
    Quote,
    choose_quotes,
    default_motifs,
    place_for,
    quoted,
    theme_of,
    transposition,
)
from hierarchy.album.request import AlbumRequest, SongEntry
from hierarchy.album.titles import make_titles
from hierarchy.macro.choosing import choose_gestures, felt_tempo
from hierarchy.material.gestures import Book
from hierarchy.micro.grains import GrainModel, seed_from
from structure.composing import compose
from structure.dynamics import brightness
from structure.errors import RequestError
from structure.harmony import Key
from structure.plan import FASTEST, SLOWEST, SongPlan
from structure.requests import SectionRequest, SongRequest
from structure.sequencer import Sequencer

_LONGER = 1 / 7  # songs are longer and shorter than asked by up to this share
_MIDDLE = 0.58  # mean energy of a song at the arc's middle
_LENGTHS = (0.0, 0.05, -0.05, 0.1, -0.1, 0.15, -0.15, 0.3, -0.3, 0.5, 1.0, 2.0, 4.0)
"""By how much a length is changed until its bars can be shared out among sections.

A length that is too short for any form becomes the next that one can have.
"""


class Track(pydantic.BaseModel):
    """One song of an album, before any sound.

    Attributes:
        number: from 1.
        plan: with style, seed and gestures filled in.
        energy: where the arc has it, -1 to 1; None if the song brought its own plan.
        gap: seconds of silence after it.
        quotes: what it takes from earlier songs.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    number: int
    plan: SongPlan
    energy: float | None
    gap: float
    quotes: tuple[Quote, ...] = ()

    @property
    def title(self) -> str:
        """What it is called."""
        return self.plan.title


class Unplanned(pydantic.BaseModel):
    """A song that cannot be planned, and why; the others go on without it."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    number: int
    title: str
    reason: str


class AlbumPlan(pydantic.BaseModel):
    """A whole album, before any sound.

    Attributes:
        title: of the album.
        request: what was asked.
        tracks: its songs, in order.
        unplanned: those that cannot be.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    title: str
    request: AlbumRequest
    tracks: tuple[Track, ...]
    unplanned: tuple[Unplanned, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the songs last, from bar line to bar line, with the gaps."""
        return sum(track.plan.seconds + track.gap for track in self.tracks)


def plan_album(
    request: AlbumRequest,
    model: GrainModel,
    sequencer: Sequencer,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> AlbumPlan:
    """Compose the songs of an album.

    Args:
        request: with a seed.
        model: whose styles and gestures.
        sequencer: that composes.
        progress: called with (songs planned, songs in all).

    Returns:
        The plan. A song that cannot be as its entry asks is among the `unplanned`.

    Raises:
        RequestError: if something asked of all songs cannot be, or no song can be.
    """
    if request.seed is None:
        raise RequestError("an album without a seed; decide on one first")
    seed, count = request.seed, request.count
    for style in request.style or ():
        model.book(style)
    styles = request.style or (model.book(None)[0],)
    home = _home(request, model.book(styles[0])[1])
    keys = _keys(request, home)
    heights, paces = follow_arc(request.arc, count)
    middle = _natural_tempo(model, styles)
    forms = _forms(request, seed)
    titles = make_titles(count + 1, seed=seed, taken=_given_titles(request))
    motifs = default_motifs(count) if request.motifs is None else request.motifs
    quotes = choose_quotes(count, motifs, seed=seed)
    random = np.random.default_rng([seed, 43])
    stretches = 1 + _LONGER * random.uniform(-1, 1, count)

    tracks: dict[int, Track] = {}
    unplanned: list[Unplanned] = []
    for number in range(count):
        entry = request.entry(number)
        height = heights[number] if entry.energy is None else entry.energy
        pace = 1 + request.tempo_range * paces[number]
        meter = entry.meter or request.meter
        felt = request.tempo or felt_tempo(middle, meter)
        try:
            style, _ = model.book(entry.style or styles[number % len(styles)])
            if entry.plan:
                plan, found = _own_plan(entry, style), ()
            else:
                asked = SongRequest(
                    form=entry.form or forms[number],
                    key=str(Key.parse(entry.key)) if entry.key else keys[number],
                    tempo=entry.tempo
                    or round(float(np.clip(felt * pace, SLOWEST, FASTEST)), 1),
                    meter=meter,
                    minutes=entry.minutes or request.minutes * stretches[number],
                    style=style,
                    title=entry.title or titles[number],
                )
                own_seed = entry.seed
                if own_seed is None:
                    own_seed = seed_from(seed, "song", number) % 2**31
                exact = entry.minutes is not None
                plan = _compose(sequencer, asked, seed=own_seed, exact=exact)
                plan = _at_height(plan, height * request.energy_range)
                found = ()
                source = tracks.get(quotes.get(number, -1))
                if source and entry.quotes:
                    last = number == count - 1
                    plan, found = _quoting(sequencer, plan, source, last=last)
                plan = plan.model_copy(
                    update={
                        "freedom": request.freedom,
                        "chorus_variation": request.chorus_variation,
                        "max_similarity": request.max_similarity,
                    }
                )
            plan = choose_gestures(plan, model.book(plan.style)[1], seed=plan.seed)
        except RequestError as error:
            named = entry.title or (entry.plan.stem if entry.plan else titles[number])
            unplanned.append(
                Unplanned(number=number + 1, title=named, reason=str(error))
            )
        else:
            tracks[number] = Track(
                number=number + 1,
                plan=plan,
                energy=None if entry.plan else height,
                gap=request.gap if entry.gap is None else entry.gap,
                quotes=found,
            )
        if progress:
            progress(number + 1, count)
    if not tracks:
        raise RequestError(f"song 1: {unplanned[0].reason}")
    return AlbumPlan(
        title=request.title or titles[count],
        request=request,
        tracks=tuple(tracks.values()),
        unplanned=tuple(unplanned),
    )


def fingerprint(*folders: str | Path) -> str:
    """SHA-256, as hex, over the files of models; another one for another model."""
    digest = hashlib.sha256()
    for folder in map(Path, folders):
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".json", ".safetensors"):
                digest.update(str(file.relative_to(folder)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _home(request: AlbumRequest, book: Book) -> Key:
    """The key that the path begins in."""
    if request.key:
        return Key.parse(request.key)
    random = np.random.default_rng([request.seed, 47])
    major = random.random() < float(np.mean(book.song_major))
    # Few accidentals: what was recorded is near, and transposing little sounds best.
    near = [Key(tonic, "maj") for tonic in (0, 2, 5, 7, 10)]
    chosen = near[int(random.integers(len(near)))]
    return chosen if major else Key((chosen.tonic + 9) % 12, "min")


def _keys(request: AlbumRequest, home: Key) -> list[str]:
    if isinstance(request.keys, str):
        return [str(key) for key in follow_path(request.keys, home, request.count)]
    return [request.keys[i % len(request.keys)] for i in range(request.count)]


def _natural_tempo(model: GrainModel, styles: tuple[str, ...]) -> float:
    """A tempo from which the arc of tempo goes up and down: the styles' median."""
    tempos = np.concatenate([model.book(style)[1].song_tempo for style in styles])
    return float(np.median(tempos))


def _forms(request: AlbumRequest, seed: int) -> list[str]:
    """A form for each song; neighbours differ where there is a choice."""
    random = np.random.default_rng([seed, 53])
    kinds, forms = list(dict.fromkeys(request.forms)), []
    while len(forms) < request.count:
        turn = [kinds[i] for i in random.permutation(len(kinds))]
        if forms and len(kinds) > 1 and turn[0] == forms[-1]:
            turn.append(turn.pop(0))
        forms += turn
    return forms[: request.count]


def _given_titles(request: AlbumRequest) -> tuple[str, ...]:
    titles = [request.title, *(entry.title for entry in request.song)]
    return tuple(title for title in titles if title)


def _own_plan(entry: SongEntry, style: str) -> SongPlan:
    """A plan that a person brought, with what its entry changes."""
    plan = SongPlan.read(entry.plan)
    changes = {
        "title": entry.title,
        "style": entry.style or plan.style or style,
        "seed": entry.seed,
    }
    return plan.model_copy(update={k: v for k, v in changes.items() if v is not None})


def _compose(
    sequencer: Sequencer, asked: SongRequest, *, seed: int, exact: bool
) -> SongPlan:
    """A song about as long as asked; not all numbers of bars suit all forms."""
    # A form that says its bars says the length; it is left to it if nothing else fits.
    lengths = [asked.minutes * (1 + change) for change in _LENGTHS] + [None]
    if exact:
        lengths = [asked.minutes]
    for minutes in lengths:
        try:
            request = dataclasses.replace(asked, minutes=minutes)
            return compose(sequencer, request, seed=seed)
        except RequestError:
            if minutes == lengths[-1]:
                raise
    raise AssertionError("the last length either works or is refused")


def _at_height(plan: SongPlan, raised: float) -> SongPlan:
    """The plan with all its energies moved, and its brightness with them.

    Songs of all forms have one mean but for what the arc raises them by, so that it is
    the arc that is heard and not how long an intro is.
    """
    bars = [section.bars for section in plan.sections]
    mean = np.average([section.energy for section in plan.sections], weights=bars)
    sections = []
    for section in plan.sections:
        energy = section.energy + _MIDDLE + raised - mean
        energy = round(float(np.clip(energy, 0.05, 0.98)), 3)
        change = {"energy": energy, "brightness": brightness(energy)}
        sections.append(section.model_copy(update=change))
    return plan.model_copy(update={"sections": tuple(sections)})


def _quoting(
    sequencer: Sequencer, plan: SongPlan, source: Track, *, last: bool
) -> tuple[SongPlan, tuple[Quote, ...]]:
    """The plan with an idea of an earlier song in it, the rest composed to answer it."""
    letter, theme = place_for(plan, last=last), theme_of(source.plan)
    in_time = source.plan.beats_per_bar == plan.beats_per_bar
    carries = in_time and source.plan.style == plan.style and theme.gestures is not None
    asked = []
    for section in plan.sections:
        taken: dict[str, Any] = {}
        if section.letter == letter:
            quote = quoted(
                theme,
                from_key=source.plan.key,
                to_key=plan.key,
                bars=section.bars,
                beats_per_bar=plan.beats_per_bar,
            )
            taken["chords"] = quote.chords
            if carries:
                taken["gestures"] = quote.gestures
            if in_time:
                taken["melody"] = quote.melody
        asked.append(
            SectionRequest(
                label=section.label,
                letter=section.letter,
                bars=section.bars,
                energy=section.energy,
                brightness=section.brightness,
                **taken,
            )
        )
    request = SongRequest(
        sections=tuple(asked),
        key=plan.key,
        tempo=plan.tempo,
        meter=plan.meter,
        style=plan.style,
        title=plan.title,
        melody=any(section.melody for section in plan.sections),
    )
    quote = Quote(
        song=source.number,
        letter=theme.letter,
        into=letter,
        semitones=transposition(source.plan.key, plan.key),
        gestures=carries,
    )
    return compose(sequencer, request, seed=plan.seed), (quote,)
