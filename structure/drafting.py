"""The form of a song: labels and ideas where they are open, then lengths that fill it.

What is asked is pushed into the sequencer's past as if it had chosen it; what is
open is drawn. Lengths are chosen with an eye on what is left to fill.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from structure.cursor import Cursor
from structure.dynamics import brightness, energies
from structure.harmony import Key
from structure.lengths import Group, Lengths, plan_lengths
from structure.requests import MOST_BARS_IN_ALL, SectionRequest, SongRequest
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

_DRAFTS = 6  # forms drawn, where the form is free, to choose a fitting one from


@dataclasses.dataclass(frozen=True)
class Header:
    """What holds for the whole song."""

    source: int
    meter: str
    tempo: float
    key: Key


def _open_key(section: SectionRequest) -> tuple[str | None, str | None]:
    return section.label, section.letter


def _settled(form: Sequence[SectionRequest]) -> tuple[SectionRequest, ...]:
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
    rows = [_settled(row) for row in request.forms()]
    options = [(row, lengths_of(row, goal)) for row in rows]
    masses = np.array([lengths.mass(given_bars(row)) for row, lengths in options])
    if masses.max() <= 0:
        return options[0]
    # Once more round is rarer than a somewhat longer verse.
    masses *= 0.5 ** np.arange(len(rows))
    masses[masses < 0.2 * masses.max()] = 0.0
    return options[choose(masses, rng)]


def start_writer(sequencer, request, header, rng, bars: int) -> Writer:
    """A writer that has written the header."""
    writer = Writer(
        sequencer,
        source=header.source,
        # Every bar has at most five tokens, every section four and some bars.
        capacity=64 + 9 * min(bars, MOST_BARS_IN_ALL) + 4 * 128,
        temperature=request.temperature,
        top_p=request.top_p,
        rng=rng,
    )
    writer.push(NUMBER["meter", header.meter])
    writer.push(tempo_token(header.tempo))
    writer.push(NUMBER["mode", header.key.mode])
    return writer


def free_form(sequencer, request, header, goal, rng):
    """The best of some forms that the sequencer invents."""
    wanted = int(np.argmax(goal))
    best = None
    for _ in range(_DRAFTS):
        form = drafted(sequencer, request, header, rng, None, wanted)
        lengths = lengths_of(form, goal)
        mass = lengths.mass(0)
        if best is None or mass > best[0]:
            best = (mass, form, lengths)
    return best[1:]


def drafted(sequencer, request, header, rng, form, wanted: int = 0):
    """Labels and letters where they are open, drawn section by section.

    Args:
        form: what is asked of each section; None invents the sections.
        wanted: about how many bars an invented form fills.
    """
    writer = start_writer(sequencer, request, header, rng, 0)
    letters: dict[str, int] = {}  # base letter to idea
    taken = {s.letter.rstrip("'") for s in form or () if s.letter}
    names: dict[int, str] = {}
    drafted, filled = [], 0
    # A song of a few bars has one section, and none has more than its bars.
    most = len(form) if form is not None else max(1, min(wanted // 2, 64))
    while len(drafted) < most:
        asked = form[len(drafted)] if form is not None else SectionRequest()
        if asked.label is None:
            weights = np.ones(len(TOKENS))
            weights[NUMBER["label", "other"]] = 0.05
            if form is not None or filled < 0.75 * wanted:
                weights[END] = 0.0
            elif drafted and filled > wanted:
                break
            token = writer.draw(weights)
            if token == END:
                break
        else:
            token = NUMBER["label", _known_label(asked.label)]
            writer.push(token)
        label = asked.label or TOKENS[token][1]
        if asked.letter is None:
            weights = np.ones(len(TOKENS))
            if len(names) >= 26 or (form is None and len(names) >= MOST_LETTERS):
                weights[NUMBER["letter", "NEW"]] = 0.0
            for token in np.flatnonzero(writer.cursor.allowed()):
                if _is_of_another_function(writer.cursor, int(token)):
                    weights[token] = 0.0
            idea = writer.cursor.idea_of(writer.draw(weights))
            if idea not in names:
                free = (letter_name(i) for i in range(60))
                names[idea] = next(x for x in free if x not in taken)
                taken.add(names[idea])
                letters[names[idea]] = idea
            letter = names[idea]
        else:
            letter = asked.letter
            base = letter.rstrip("'")
            _push_letter(writer, letters, base)
            names.setdefault(letters[base], base)
        bars = asked.bars or int(TOKENS[choose(writer.odds(), rng)][1])
        writer.push(bars_token(bars))
        writer.push(UNKNOWN_OF["energy"])
        filled += bars
        drafted.append(dataclasses.replace(asked, label=label, letter=letter))
    return _settled(drafted)


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
