"""The form of a song: labels and ideas where they are open, then lengths that fill it.

What is asked is pushed into the sequencer's past as if it had chosen it; what is
open is drawn. Lengths are chosen with an eye on what is left to fill.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from structure.cursor import Cursor
from structure.dynamics import brightness, energies
from structure.harmony import Key
from structure.lengths import Group, Lengths, plan_lengths
from structure.plan import BEATS_PER_BAR
from structure.requests import SectionRequest, SongRequest
from structure.vocabulary import (
    END,
    FIRST_OF,
    LABELS,
    MOST_BARS,
    MOST_LETTERS,
    NUMBER,
    TOKENS,
    UNKNOWN_OF,
    bars_token,
    energy_token,
    letter_name,
    tempo_token,
)
from structure.writing import Writer, choose

EDGES = ("intro", "outro", "interlude", "instrumental", "solo", "silence")
"""Functions that may go over another's chords."""

_DRAFTS = 8  # forms drawn, where the form is free, to choose a fitting one from
_SOUND_SECONDS = (75.0, 360.0)  # how long a song of a free form lasts if nobody says
_MOST_SECTIONS = 40  # of a song of a free form if nobody says
_OTHER = 0.05  # taste for a section that has no function


@dataclasses.dataclass(frozen=True)
class Header:
    """What holds for the whole song."""

    source: int
    meter: str
    tempo: float
    key: Key


@dataclasses.dataclass(frozen=True)
class Draft:
    """A form that the sequencer invented.

    Attributes:
        form: its sections with label, letter and the bars it gave them.
        ended: whether the sequencer ended it, not the length that was asked.
    """

    form: tuple[SectionRequest, ...]
    ended: bool

    @property
    def bars(self) -> int:
        """Of the whole song."""
        return given_bars(self.form)


def _open_key(section: SectionRequest) -> tuple[str | None, str | None]:
    return section.label, section.letter


def settled(form: Sequence[SectionRequest]) -> tuple[SectionRequest, ...]:
    """A section without a length has that of its idea, where that is given."""
    known = {}
    for section in form:
        if section.bars is not None and section.letter is not None:
            known.setdefault(_open_key(section), section.bars)
    return tuple(
        section
        if section.bars is not None
        else dataclasses.replace(section, bars=known.get(_open_key(section)))
        for section in form
    )


def open_groups(form: Sequence[SectionRequest]) -> list[tuple[tuple, Group]]:
    """Sections that share an open length, by what they share."""
    counts: dict[tuple, int] = {}
    for section in form:
        if section.bars is None:
            counts[_open_key(section)] = counts.get(_open_key(section), 0) + 1
    return [
        (key, Group(_known_label(key[0] or "other"), times))
        for key, times in counts.items()
    ]


def given_bars(form: Sequence[SectionRequest]) -> int:
    return sum(section.bars or 0 for section in form)


def lengths_of(form: Sequence[SectionRequest], goal: np.ndarray) -> Lengths:
    groups = [group for _, group in open_groups(form)]
    return plan_lengths(groups, goal, filled=given_bars(form))


def _known_label(label: str) -> str:
    return label if label in LABELS else "other"


def asked_form(request: SongRequest, goal: np.ndarray, rng):
    """The asked row of sections; of a named form, as many cycles as the length asks."""
    rows = [settled(row) for row in request.forms()]
    options = [(row, lengths_of(row, goal)) for row in rows]
    masses = np.array([lengths.mass(given_bars(row)) for row, lengths in options])
    if masses.max() <= 0:
        return options[0]
    # Once more round is rarer than a somewhat longer verse.
    masses *= 0.5 ** np.arange(len(rows))
    masses[masses < 0.2 * masses.max()] = 0.0
    return options[choose(masses, rng)]


def start_writer(sequencer, request, header, rng, sections: int) -> Writer:
    """A writer that has written the header; there is room for so many sections."""
    writer = Writer(
        sequencer,
        source=header.source,
        capacity=8 + 4 * sections,  # chords are not read by what reads the form
        temperature=request.temperature,
        top_p=request.top_p,
        rng=rng,
    )
    writer.push(NUMBER["meter", header.meter])
    writer.push(tempo_token(header.tempo))
    writer.push(NUMBER["mode", header.key.mode])
    return writer


def free_form(sequencer, request, header, goal, rng) -> tuple[SectionRequest, ...]:
    """A form that the sequencer invents, with the bars of each section.

    If a length is asked, the best of some drafts is stretched to it: most sections
    keep the bars that they were given. Else a draft is as long as it is.
    """
    if request.bars is None and request.minutes is None:
        return _as_it_comes(sequencer, request, header, rng)
    wanted, best = len(goal) - 1, None
    for _ in range(_DRAFTS):
        draft = _invented(sequencer, request, header, rng, wanted)
        # A song that was cut off ends in the middle of something.
        mass, form = _stretched(draft.form, goal, rng)
        mass *= 1.0 if draft.ended else 1e-6
        if best is None or mass > best[0]:
            best = (mass, form)
        if draft.ended and abs(draft.bars - wanted) <= wanted / 8 and mass > 0:
            break
    return best[1]


def _as_it_comes(sequencer, request, header, rng) -> tuple[SectionRequest, ...]:
    """The first draft of a sound length; else the one that is nearest to it."""
    bar_seconds = BEATS_PER_BAR[header.meter] * 60 / header.tempo
    shortest, longest = (seconds / bar_seconds for seconds in _SOUND_SECONDS)
    drafts = []
    for _ in range(_DRAFTS):
        draft = _invented(sequencer, request, header, rng, None)
        if draft.ended and shortest <= draft.bars <= longest:
            return draft.form
        drafts.append(draft)
    off = [max(shortest - draft.bars, draft.bars - longest) for draft in drafts]
    nearest = drafts[int(np.argmin(off))]
    if nearest.bars < shortest:
        # A sequencer that would end at once may not, before a song is long enough.
        nearest = _invented(sequencer, request, header, rng, None, least=shortest)
    form = nearest.form
    while len(form) > 1 and given_bars(form) > longest:
        form = form[:-1]
    return form


def _stretched(form: Sequence[SectionRequest], goal: np.ndarray, rng):
    """The odds that a draft comes to have a wanted length, and the draft with it.

    Sections that share label, letter and bars share a length whatever it will be,
    unless no song of the wanted length can be had so.
    """
    shared = [(*_open_key(section), section.bars) for section in form]
    apart = [(*key, place) for place, key in enumerate(shared)]
    for keys in (shared, apart):
        counts = collections.Counter(keys)
        groups = [Group(_known_label(key[0]), counts[key], key[2]) for key in counts]
        if keys is apart:
            groups = [
                dataclasses.replace(group, drafted=section.bars)
                for group, section in zip(groups, form, strict=True)
            ]
        lengths = plan_lengths(groups, goal, filled=0)
        if lengths.mass(0) > 0:
            break
    if lengths.mass(0) <= 0:
        return 0.0, form
    bars, filled = {}, 0
    for place, key in enumerate(counts):
        bars[key] = choose(lengths.odds(place, filled), rng)
        filled += bars[key] * counts[key]
    stretched = tuple(
        dataclasses.replace(section, bars=bars[key])
        for section, key in zip(form, keys, strict=True)
    )
    return lengths.mass(0), stretched


def _invented(
    sequencer, request, header, rng, wanted: int | None, *, least: float = 0.0
) -> Draft:
    """A form as the sequencer draws it; of about `wanted` bars, if that is asked.

    It does not end before it has `least` bars.
    """
    # A song of a few bars has one section, and none has more than its bars.
    most = _MOST_SECTIONS if wanted is None else max(1, min(wanted // 2, 64))
    form: list[SectionRequest] = []
    draft = _Drafting(start_writer(sequencer, request, header, rng, most))
    while len(form) < most:
        filled = given_bars(form)
        if wanted is not None and filled > 1.15 * wanted:
            break
        weights = _ends(filled, wanted)
        if filled < least:
            weights[END] = 0.0
        section = draft.section(SectionRequest(), weights)
        if section is None:
            return Draft(tuple(form), ended=True)
        form.append(section)
    return Draft(tuple(form), ended=False)


def _ends(filled: int, wanted: int | None) -> np.ndarray:
    """Weights [tokens] of functions in view of how much of a song is to come."""
    weights = np.ones(len(TOKENS))
    weights[NUMBER["label", "other"]] = _OTHER
    if wanted is not None:
        outro = NUMBER["label", "outro"]
        weights[END] = 0.0 if filled < 0.85 * wanted else 3.0
        weights[outro] = 0.0 if filled < 0.7 * wanted else 2.0
    return weights


def drafted(
    sequencer, request, header, rng, form: Sequence[SectionRequest], goal: np.ndarray
) -> tuple[SectionRequest, ...]:
    """Labels and letters where they are open, drawn section by section.

    Sections that return are as long as the first time; where that leaves no song of
    the length that is asked, they are drawn again, and in the end nothing returns.
    """
    taken = {s.letter.rstrip("'") for s in form if s.letter}
    weights = np.ones(len(TOKENS))
    weights[NUMBER["label", "other"]] = _OTHER
    weights[END] = 0.0
    for left in reversed(range(_DRAFTS)):
        writer = start_writer(sequencer, request, header, rng, len(form))
        draft = _Drafting(writer, most=26, taken=taken, returns=left > 0)
        filled = [draft.section(asked, weights) for asked in form]
        row = settled(
            [
                dataclasses.replace(section, bars=asked.bars)
                for section, asked in zip(filled, form, strict=True)
            ]
        )
        if lengths_of(row, goal).mass(given_bars(row)) > 0:
            break
    return row


class _Drafting:
    """A form on its way: what its letters mean to the sequencer."""

    def __init__(
        self,
        writer: Writer,
        *,
        most: int = MOST_LETTERS,
        taken: Iterable[str] = (),
        returns: bool = True,
    ):
        """Start a form of at most so many ideas; new ones are not called `taken`."""
        self.writer, self.most, self.taken = writer, most, set(taken)
        self.returns = returns
        self.letters: dict[str, int] = {}  # base letter to idea
        self.names: dict[int, str] = {}

    def section(
        self, asked: SectionRequest, weights: np.ndarray
    ) -> SectionRequest | None:
        """Write the next section and draw what is open of it; None ends the song.

        Args:
            asked: of it.
            weights: [tokens] that multiply the odds of its function, or of the end.
        """
        writer = self.writer
        if asked.label is None:
            token = writer.draw(weights)
            if token == END:
                return None
        else:
            token = NUMBER["label", _known_label(asked.label)]
            writer.push(token)
        label = asked.label or TOKENS[token][1]
        if asked.letter is None:
            letter = self._letter()
        else:
            letter = asked.letter
            base = letter.rstrip("'")
            _push_letter(writer, self.letters, base)
            self.names.setdefault(self.letters[base], base)
        bars = asked.bars or int(TOKENS[choose(writer.odds(), writer.rng)][1])
        writer.push(bars_token(bars))
        writer.push(UNKNOWN_OF["energy"])
        return dataclasses.replace(asked, label=label, letter=letter, bars=bars)

    def _letter(self) -> str:
        """Draw the idea of a section and name it."""
        writer = self.writer
        weights = np.full(len(TOKENS), 1.0 if self.returns else 0.0)
        weights[NUMBER["letter", "NEW"]] = 1.0 if len(self.names) < self.most else 0.0
        possible = np.flatnonzero(writer.cursor.allowed() & (weights > 0))
        other = [t for t in possible if _is_of_another_function(writer.cursor, int(t))]
        # Where there is no room for another idea, any that there is has to do.
        if len(other) < len(possible):
            weights[other] = 0.0
        if not possible.size:
            weights[:] = 1.0
        token = choose(writer.odds(weights), writer.rng)
        # Asked before it is written: ideas are counted by when they were last heard.
        idea = writer.cursor.idea_of(token)
        writer.push(token)
        if idea not in self.names:
            free = (letter_name(i) for i in range(60))
            self.names[idea] = next(x for x in free if x not in self.taken)
            self.taken.add(self.names[idea])
            self.letters[self.names[idea]] = idea
        return self.names[idea]


def _is_of_another_function(cursor: Cursor, token: int) -> bool:
    """Whether a letter would make a chorus of a verse, or the like."""
    now, idea = cursor.sections[-1], cursor.idea_of(token)
    return now.label not in EDGES and any(
        section.idea == idea and section.label not in (now.label, *EDGES)
        for section in cursor.sections[:-1]
    )


def _push_letter(writer: Writer, letters: dict[str, int], base: str) -> None:
    cursor = writer.cursor
    if base not in letters:
        letters[base] = len(cursor.recent)
    token = cursor.letter_token(letters[base])
    # Too many ideas to name them all: the sequencer hears of an unknown one.
    writer.push(token)


def write_form(
    writer: Writer,
    request: SongRequest,
    form: Sequence[SectionRequest],
    lengths: Lengths,
    seed: int,
) -> list[SectionRequest]:
    """Write the form; the result has label, letter, bars and energy everywhere."""
    labels = [section.label for section in form]
    ideas = [section.letter.rstrip("'") for section in form]
    loudness = energies(labels, ideas, seed=seed)
    letters: dict[str, int] = {}
    chosen: dict[tuple, int] = {}
    filled = given_bars(form)
    groups = [key for key, _ in open_groups(form)]
    written = []
    for section, energy in zip(form, loudness, strict=True):
        writer.push(NUMBER["label", _known_label(section.label)])
        _push_letter(writer, letters, section.letter.rstrip("'"))
        bars = section.bars
        if bars is None and _open_key(section) in chosen:
            bars = chosen[_open_key(section)]
        elif bars is None:
            place = groups.index(_open_key(section))
            ahead = lengths.odds(place, filled)
            weights = np.zeros(len(TOKENS))
            first = FIRST_OF["bars"]
            weights[first : first + MOST_BARS] = ahead[1:]
            bars = int(TOKENS[choose(_length_odds(writer, weights), writer.rng)][1])
            chosen[_open_key(section)] = bars
            filled += bars * lengths.groups[place].times
        writer.push(bars_token(bars))
        energy = section.energy if section.energy is not None else energy
        knows = writer.sequencer.config.knows_energy
        writer.push(energy_token(energy if knows else None))
        written.append(
            dataclasses.replace(
                section,
                bars=bars,
                energy=energy,
                brightness=brightness(energy)
                if section.brightness is None
                else section.brightness,
            )
        )
    writer.push(END)
    return written


def _length_odds(writer: Writer, weights: np.ndarray) -> np.ndarray:
    """The sequencer's odds of a length times how well the song goes on from it.

    The nucleus is not cut here: a length that the song needs can be unlikely.
    """
    scores = writer.logits.astype(np.float64)
    open_ = weights > 0
    scores = np.where(open_, scores, -np.inf)
    temperature = max(writer.temperature, 0.05)
    scores = (scores - scores.max()) / temperature
    return np.exp(np.maximum(scores, -30)) * weights * open_
