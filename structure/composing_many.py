"""Many requests to as many plans at once: the chords of all are written side by side.

Forms are composed one by one, as `compose` does; they are few tokens. Chords are
the most of a song, and of a thousand songs a compiled step writes a thousand at a
time (`structure.many`), on an accelerator where there is one. What is asked is kept
as `compose` keeps it. Only second thoughts are left out: a new idea is drawn once,
where `compose` redraws it until it differs from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from structure.composing import Outline, finish, outline
from structure.errors import RequestError
from structure.harmonizing import harmonized, tonics
from structure.many import sheet_of, write_chords
from structure.plan import Section, SongPlan
from structure.requests import SongRequest
from structure.sequencer import Sequencer
from structure.tonal_centre import welcome
from structure.transformer import SequencerNetwork
from structure.vocabulary import bar_tokens, chord_of

_TOKENS_A_BAR = 5


def compose_many(
    sequencer: Sequencer,
    requests: Sequence[SongRequest],
    *,
    seeds: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[SongPlan]:
    """Write a plan for each request.

    Args:
        sequencer: trained on whatever songs.
        requests: what is asked of each; they share a temperature and a top_p.
        seeds: as many; the same seed and request, the same plan in any company.
        progress: called with the songs whose form stands, and all.

    Raises:
        RequestError: if a request cannot be kept; the message says which and why.
    """
    if len(seeds) != len(requests):
        raise RequestError(f"{len(seeds)} seeds for {len(requests)} requests")
    knobs = {(request.temperature, request.top_p) for request in requests}
    if len(knobs) > 1:
        raise RequestError(
            "songs that are written together share temperature and top_p"
        )
    if any(s.unlike is not None for one in requests for s in one.sections or ()):
        raise RequestError("a section that shall differ from another is composed alone")
    outlines = []
    for number, (request, seed) in enumerate(zip(requests, seeds, strict=True)):
        if progress is not None:
            progress(number, len(requests))
        try:
            outlines.append(outline(sequencer, request, seed=seed))
        except RequestError as error:
            raise RequestError(f"song {number + 1}: {error}") from None
    if not outlines:
        return []
    # Sizes are rounded up, so that other songs meet a program that is compiled.
    sections = _rounded(max(len(one.form) for one in outlines), 8)
    bars = _rounded(max(_bars(one) for one in outlines), 32)
    sheets = [_sheet(one, sections, bars) for one in outlines]
    numbers = np.stack(
        [
            np.random.default_rng((seed, 7)).random(_TOKENS_A_BAR * bars, np.float32)
            for seed in seeds
        ]
    )
    ((temperature, top_p),) = knobs
    written = write_chords(
        SequencerNetwork.holding(sequencer),
        [one.writer for one in outlines],
        sheets,
        numbers,
        temperature=temperature,
        top_p=top_p,
    )
    return [
        finish(one, _sections(one, song))
        for one, song in zip(outlines, written, strict=True)
    ]


def _bars(one: Outline) -> int:
    return sum(section.bars for section in one.form)


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def _sheet(one: Outline, sections: int, bars: int):
    """What is asked of the chords, as `structure.harmonizing` asks it."""
    key, form = one.header.key, one.form
    weights = np.tile(welcome(key.mode), (_bars(one), 1))
    weights[0] = tonics(key.mode, ("maj", "maj7", "min", "min7"))
    weights[-1] = tonics(key.mode, ("maj", "min"))
    fixed = []
    faithful, restless = [], []
    seen: list[str] = []
    for section in form:
        chords = section.chords or (None,) * section.bars
        fixed += [bar and bar_tokens(bar, key.tonic) for bar in chords]
        returns = section.letter.rstrip("'") in {x.rstrip("'") for x in seen}
        variation = one.request.variation
        if section.letter not in seen:
            variation = max(variation, 0.4)
        faithful.append(1 - variation if returns else 0.0)
        restless.append(0.0 if returns else 0.5)
        seen.append(section.letter)
    return sheet_of(
        one.writer.cursor,
        sections=sections,
        bars=bars,
        fixed=fixed,
        weights=weights,
        faithful=faithful,
        restless=restless,
    )


def _sections(one: Outline, song: Sequence[Sequence[int]]) -> tuple[Section, ...]:
    """The bars of a song shared out among its sections."""
    sections, key = [], one.header.key
    bars = iter(song)
    for asked in one.form:
        chords = []
        for number in range(asked.bars):
            tokens = next(bars)
            given = asked.chords[number] if asked.chords else None
            chords.append(given or _spelled(tokens, key))
        sections.append(harmonized(asked, chords))
    return tuple(sections)


def _spelled(tokens: Sequence[int], key) -> tuple[str, ...]:
    chords = tokens if len(tokens) == 1 else tokens[1:]
    if len(set(chords)) == 1:
        chords = chords[:1]
    return tuple(str(chord_of(token, key)) for token in chords)
