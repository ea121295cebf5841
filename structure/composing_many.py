"""Many requests to as many plans at once: the chords of all are written side by side.

Forms are composed one by one, as `compose` does; they are few tokens. Chords are
the most of a song, and a compiled step writes those of hundreds of songs at a time
(`structure.many`), on an accelerator where there is one. What is asked is kept as
`compose` keeps it, and a song whose key is in doubt is written again as there. Only
second thoughts on a section are left out: a new idea is drawn once, where `compose`
redraws it until it moves and differs from the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from structure.composing import Outline, finish, outline
from structure.errors import RequestError
from structure.harmonizing import (
    RESTLESS,
    STRICTNESS,
    faithfulness,
    harmonized,
    plainness,
    taste_for,
    tonics,
)
from structure.many import sheet_of, write_chords
from structure.plan import Section, SongPlan
from structure.requests import SongRequest
from structure.sequencer import Sequencer
from structure.transformer import SequencerNetwork
from structure.vocabulary import bar_tokens, chord_of

_TOKENS_A_BAR = 5
_FEW = 8  # Songs that make the least batch: a second program for the last ones.


def compose_many(
    sequencer: Sequencer,
    requests: Sequence[SongRequest],
    *,
    seeds: Sequence[int],
    at_once: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[SongPlan]:
    """Write a plan for each request.

    Args:
        sequencer: trained on whatever songs.
        requests: what is asked of each; they share a temperature and a top_p.
        seeds: as many; the same seed and request, the same plan in any company.
        at_once: songs whose chords are written side by side; memory is for so many.
        progress: called with how much is done and how much there is to do: a form
            and its chords are one each.

    Raises:
        RequestError: if a request cannot be kept; the message says which and why.
    """
    if len(seeds) != len(requests):
        raise RequestError(f"{len(seeds)} seeds for {len(requests)} requests")
    if at_once < 1:
        raise RequestError(f"{at_once} songs at once; at least 1")
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
            progress(number, 2 * len(requests))
        try:
            outlines.append(outline(sequencer, request, seed=seed))
        except RequestError as error:
            raise RequestError(f"song {number + 1}: {error}") from None
    if not outlines:
        return []
    together = _Together.of(sequencer, outlines)
    best: dict[int, tuple[float, tuple[Section, ...]]] = {}
    # Songs of like length wait least for one another.
    doubtful = sorted(range(len(outlines)), key=lambda song: _bars(outlines[song]))
    for strictness in STRICTNESS:
        for start in range(0, len(doubtful), at_once):
            part = doubtful[start : start + at_once]
            written = together.write([outlines[song] for song in part], strictness)
            for song, sections in zip(part, written, strict=True):
                plain = plainness(sections, outlines[song].header.key)
                if song not in best or plain > best[song][0]:
                    best[song] = (plain, sections)
            if progress is not None:
                sure = len(best) - sum(plain <= 0 for plain, _ in best.values())
                progress(len(requests) + sure, 2 * len(requests))
        doubtful = [song for song in doubtful if best[song][0] <= 0]
    if progress is not None:
        progress(2 * len(requests), 2 * len(requests))
    return [finish(one, best[song][1]) for song, one in enumerate(outlines)]


@dataclasses.dataclass(frozen=True)
class _Together:
    """Songs whose chords are written side by side, in one shape for all of them.

    Attributes:
        network: of the sequencer.
        sections, bars: room for so many in each song.
    """

    network: SequencerNetwork
    sections: int
    bars: int

    @classmethod
    def of(cls, sequencer: Sequencer, outlines: Sequence[Outline]) -> _Together:
        # Sizes are rounded up, so that other songs meet a program that is compiled.
        return cls(
            SequencerNetwork.holding(sequencer),
            _rounded(max(len(one.form) for one in outlines), 8),
            _rounded(max(_bars(one) for one in outlines), 32),
        )

    def write(
        self, outlines: Sequence[Outline], strictness: float
    ) -> list[tuple[Section, ...]]:
        """The sections of each song with chords."""
        # A batch is a power of two: few programs, and nothing depends on the company.
        count = max(_FEW, 1 << (len(outlines) - 1).bit_length())
        filled = [*outlines, *[outlines[-1]] * (count - len(outlines))]
        numbers = [
            np.random.default_rng((one.seed, 7)).random(
                _TOKENS_A_BAR * self.bars, np.float32
            )
            for one in filled
        ]
        sheets = [_sheet(one, self.sections, self.bars, strictness) for one in filled]
        request = outlines[0].request
        written = write_chords(
            self.network,
            [one.writer for one in filled],
            sheets,
            np.stack(numbers),
            temperature=request.temperature,
            top_p=request.top_p,
        )
        return [
            _sections(one, song) for one, song in zip(outlines, written, strict=False)
        ]


def _bars(one: Outline) -> int:
    return sum(section.bars for section in one.form)


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def _sheet(one: Outline, sections: int, bars: int, strictness: float):
    """What is asked of the chords, as `structure.harmonizing` asks it."""
    key, form = one.header.key, one.form
    weights = np.tile(taste_for(key, strictness), (_bars(one), 1))
    weights[0] = tonics(key.mode, ("maj", "maj7", "min", "min7"))
    weights[-1] = tonics(key.mode, ("maj", "min"))
    rng = np.random.default_rng((one.seed, 8))
    fixed, faithful, restless = [], [], []
    known: set[str] = set()
    for section in form:
        chords = section.chords or (None,) * section.bars
        fixed += [bar and bar_tokens(bar, key.tonic) for bar in chords]
        returns = section.letter.rstrip("'") in {x.rstrip("'") for x in known}
        faith = faithfulness(section.letter, known, one.request.variation, rng)
        faithful.append(faith)
        restless.append(0.0 if returns else RESTLESS)
        known.add(section.letter)
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
