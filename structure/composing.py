"""A request and a trained sequencer to a SongPlan that has all that was asked.

The form comes first: labels and ideas, then lengths that fill the song, then
energies, then chords bar by bar. What is asked is written into the sequencer's
past as if it had chosen it, so the rest answers to it; what cannot be is
refused before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from structure.cursor import Cursor
from structure.dynamics import brightness, energies
from structure.errors import RequestError
from structure.harmony import Chord, Key
from structure.lengths import Group, Lengths, plan_lengths
from structure.plan import BEATS_PER_BAR, Section, SongPlan
from structure.requests import MOST_BARS_IN_ALL, SectionRequest, SongRequest
from structure.sequencer import Sequencer
from structure.tonal_centre import clarity, welcome
from structure.vocabulary import (
    END,
    FIRST_OF,
    LABELS,
    MOST_BARS,
    MOST_LETTERS,
    NUMBER,
    PARTS,
    TEMPO_EDGES,
    TOKENS,
    UNKNOWN_OF,
    bar_tokens,
    bars_token,
    chord_of,
    energy_token,
    letter_name,
    tempo_token,
)
from structure.writing import Writer, choose

__all__ = ["SectionRequest", "SongRequest", "compose"]

DEFAULT_SECONDS = 120.0
"""About how long a song is if nothing is asked."""

_DRAFTS = 6  # forms drawn, where the form is free, to choose a fitting one from
_EDGES = ("intro", "outro", "interlude", "instrumental", "solo", "silence")
"""Functions that may go over another's chords."""

_REDRAWS = 5  # times that a section is written, until it differs and moves
_STRICTNESS = (1.0, 2.0)  # taste for the key's own chords, until they make it plain


def compose(sequencer: Sequencer, request: SongRequest, *, seed: int) -> SongPlan:
    """Write a plan.

    Args:
        sequencer: trained on whatever songs.
        request: what is asked; all of it is kept exactly.
        seed: another seed, another song; the same one, the same.

    Raises:
        RequestError: if the request cannot be kept; the message says why.
    """
    if seed < 0:
        raise RequestError(f"seed {seed}; seeds start at 0")
    rng = np.random.default_rng(seed)
    header = _header(sequencer, request, rng)
    goal = _goal(request, header)
    if request.is_free:
        form, lengths = _free_form(sequencer, request, header, goal, rng)
    else:
        form, lengths = _asked_form(request, goal, rng)
        if any(s.label is None or s.letter is None for s in form):
            form = _drafted(sequencer, request, header, rng, form)
            lengths = _lengths(form, goal)
    if lengths.mass(_given_bars(form)) <= 0:
        _refuse_length(form, goal)
    writer = _writer(sequencer, request, header, rng, len(goal))
    written = _write_form(writer, request, form, lengths, seed)
    start = writer.mark()
    best = None
    for strictness in _STRICTNESS:
        writer.back(start)
        sections = _write_chords(writer, request, written, header.key, strictness)
        plainness = _plainness(sections, header.key)
        if best is None or plainness > best[0]:
            best = (plainness, sections)
        if plainness > 0:
            break
    return SongPlan(
        title=request.title,
        style=request.style,
        key=str(header.key),
        tempo=header.tempo,
        meter=request.meter,
        seed=seed,
        sections=best[1],
    )


# ---- Header and length -------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Header:
    """What holds for the whole song."""

    source: int
    meter: str
    tempo: float
    key: Key


def _header(sequencer: Sequencer, request: SongRequest, rng) -> _Header:
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
    return _Header(source, request.meter, tempo, key)


def _goal(request: SongRequest, header: _Header) -> np.ndarray:
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


def _refuse_length(form: Sequence[SectionRequest], goal: np.ndarray) -> None:
    given, asked = _given_bars(form), len(goal) - 1
    groups = _groups(form)
    if not groups:
        raise RequestError(
            f"the sections of the form have {given} bars together; {asked} were asked"
        )
    least = given + sum(group.times for _, group in groups)
    most = given + MOST_BARS * sum(group.times for _, group in groups)
    if least <= asked <= most:
        raise RequestError(
            f"{asked} bars cannot be shared out among the sections of the form so that "
            "returning sections are as long as the first time; a single section more, "
            "or bars for one of them, would do"
        )
    raise RequestError(
        f"{asked} bars for a form of {len(form)} sections; "
        f"{least} to {most} bars fit (1 to {MOST_BARS} a section)"
    )


# ---- Form ----------------------------------------------------------------------


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


def _groups(form: Sequence[SectionRequest]) -> list[tuple[tuple, Group]]:
    """Sections that share an open length, by what they share."""
    counts: dict[tuple, int] = {}
    for section in form:
        if section.bars is None:
            counts[_open_key(section)] = counts.get(_open_key(section), 0) + 1
    return [
        (key, Group(_known_label(key[0] or "other"), times))
        for key, times in counts.items()
    ]


def _given_bars(form: Sequence[SectionRequest]) -> int:
    return sum(section.bars or 0 for section in form)


def _lengths(form: Sequence[SectionRequest], goal: np.ndarray) -> Lengths:
    groups = [group for _, group in _groups(form)]
    return plan_lengths(groups, goal, filled=_given_bars(form))


def _known_label(label: str) -> str:
    return label if label in LABELS else "other"


def _asked_form(request: SongRequest, goal: np.ndarray, rng):
    """The asked row of sections; of a named form, as many cycles as the length asks."""
    rows = [_settled(row) for row in request.forms()]
    options = [(row, _lengths(row, goal)) for row in rows]
    masses = np.array([lengths.mass(_given_bars(row)) for row, lengths in options])
    if masses.max() <= 0:
        return options[0]
    # Once more round is rarer than a somewhat longer verse.
    masses *= 0.5 ** np.arange(len(rows))
    masses[masses < 0.2 * masses.max()] = 0.0
    return options[choose(masses, rng)]


def _writer(sequencer, request, header, rng, bars: int) -> Writer:
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


def _free_form(sequencer, request, header, goal, rng):
    """The best of some forms that the sequencer invents."""
    wanted = int(np.argmax(goal))
    best = None
    for _ in range(_DRAFTS):
        form = _drafted(sequencer, request, header, rng, None, wanted)
        lengths = _lengths(form, goal)
        mass = lengths.mass(0)
        if best is None or mass > best[0]:
            best = (mass, form, lengths)
    return best[1:]


def _drafted(sequencer, request, header, rng, form, wanted: int = 0):
    """Labels and letters where they are open, drawn section by section.

    Args:
        form: what is asked of each section; None invents the sections.
        wanted: about how many bars an invented form fills.
    """
    writer = _writer(sequencer, request, header, rng, 0)
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
    return now.label not in _EDGES and any(
        section.idea == idea and section.label not in (now.label, *_EDGES)
        for section in cursor.sections[:-1]
    )


def _push_letter(writer: Writer, letters: dict[str, int], base: str) -> None:
    cursor = writer.cursor
    if base not in letters:
        letters[base] = len(cursor.recent)
    token = cursor.letter_token(letters[base])
    # Too many ideas to name them all: the sequencer hears of an unknown one.
    writer.push(token)


def _write_form(
    writer: Writer,
    request: SongRequest,
    form: Sequence[SectionRequest],
    lengths: Lengths,
    seed: int,
) -> list[SectionRequest]:
    """Write the form; the result has label, letter, bars and energy everywhere."""
    labels = [section.label for section in form]
    loudness = energies(labels, seed=seed)
    letters: dict[str, int] = {}
    chosen: dict[tuple, int] = {}
    filled = _given_bars(form)
    groups = [key for key, _ in _groups(form)]
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


# ---- Chords --------------------------------------------------------------------


def _write_chords(
    writer: Writer,
    request: SongRequest,
    form: Sequence[SectionRequest],
    key: Key,
    strictness: float,
) -> tuple[Section, ...]:
    """Write every bar; a new idea is rewritten until it moves and differs."""
    taste = welcome(key.mode) ** strictness
    sections: list[Section] = []
    for place, asked in enumerate(form):
        first, last = place == 0, place == len(form) - 1
        # Of the same letter, primes and all; else of the same idea.
        returns = any(
            s.letter.rstrip("'") == asked.letter.rstrip("'") for s in sections
        )
        exact = any(s.letter == asked.letter for s in sections)
        variation = request.variation if exact else max(request.variation, 0.4)
        variation = 1.0 if not returns else variation
        mark = writer.mark()
        best = None
        for redraw in range(1 if returns or asked.chords else _REDRAWS):
            writer.back(mark)
            bars, tokens = _write_section(
                writer,
                asked,
                key,
                taste,
                first=first,
                last=last,
                faithful=1 - variation,
                restless=0.0 if returns else 0.5 + redraw / 2,
                unlike=() if returns else _others(writer, asked),
            )
            merit = _merit(asked, bars, sections, key, edge=first or last)
            if best is None or merit > best[0]:
                best = (merit, bars, tokens)
            if merit >= 1:
                break
        if best[1] is not bars:
            writer.back(mark)
            for token in best[2]:
                writer.push(token)
            bars = best[1]
        sections.append(
            Section(
                label=asked.label,
                letter=asked.letter,
                energy=asked.energy,
                brightness=asked.brightness,
                chords=tuple(bars),
                gestures=asked.gestures,
            )
        )
    return tuple(sections)


def _write_section(
    writer: Writer,
    asked: SectionRequest,
    key: Key,
    taste: np.ndarray,
    *,
    first: bool,
    last: bool,
    faithful: float,
    restless: float,
    unlike: Sequence[list[list[int]]],
) -> tuple[list[tuple[str, ...]], list[int]]:
    """Write the bars of one section; the result is the bars and their tokens.

    Args:
        first, last: of the song; it opens and ends on its tonic.
        faithful: odds that a chord is taken over from the idea that returns.
        restless: how soon a chord that stands still must move on.
        unlike: bars, as tokens, of the ideas that this one should not repeat.
    """
    cursor = writer.cursor
    bars: list[tuple[str, ...]] = []
    written: list[int] = []
    for number in range(asked.bars):
        fixed = asked.chords[number] if asked.chords else None
        if fixed is not None:
            for token in bar_tokens(fixed, key.tonic):
                writer.push(token)
                written.append(token)
            bars.append(fixed)
            continue
        tokens: list[int] = []
        weights = _moving_on(taste, cursor.sections[cursor.at].chords, restless)
        for other in unlike:
            weights = weights.copy()
            weights[other[number % len(other)][0]] *= 0.6 ** (0.5 + restless)
        if first and number == 0:
            weights = _tonics(key.mode, ("maj", "maj7", "min", "min7"))
        if last and number == asked.bars - 1:
            weights = _tonics(key.mode, ("maj", "min"))
        while not tokens or len(tokens) < 1 + PARTS.get(tokens[0], 0):
            hint = writer.hints[0]
            odds = writer.odds(weights)
            if faithful and hint and cursor.allowed()[hint] and weights[hint] > 0:
                odds = (1 - faithful) * odds
                odds[hint] += faithful
            token = choose(odds, writer.rng)
            writer.push(token)
            tokens.append(token)
        written += tokens
        chords = tokens if len(tokens) == 1 else tokens[1:]
        if len(set(chords)) == 1:
            chords = chords[:1]
        bars.append(tuple(str(chord_of(token, key)) for token in chords))
    return bars, written


def _moving_on(taste: np.ndarray, bars: list[list[int]], restless: float):
    """Less taste for a chord the longer it has filled whole bars."""
    if not bars or restless == 0 or len(bars[-1]) > 1:
        return taste
    run = 1
    while run < len(bars) and bars[-1 - run] == bars[-1]:
        run += 1
    weights = taste.copy()
    weights[bars[-1][0]] *= 0.5 ** (restless * run)
    return weights


def _others(writer: Writer, asked: SectionRequest) -> list[list[list[int]]]:
    """The ideas so far, edges left out, if a new one should stand apart from them."""
    if asked.label in _EDGES:
        return []
    cursor = writer.cursor
    ideas = {
        section.idea: section.chords
        for section in cursor.sections[: cursor.at]
        if section.label not in _EDGES
    }
    return list(ideas.values())[-3:]


def _tonics(mode: str, qualities: Sequence[str]) -> np.ndarray:
    """Weights [tokens] that leave only chords on the tonic, in its mode."""
    weights = np.zeros(len(TOKENS))
    for quality in qualities:
        if quality.startswith(mode):
            weights[NUMBER["chord", f"0:{quality}"]] = 1.0 if quality == mode else 0.3
    return weights


def _merit(
    asked: SectionRequest,
    bars: Sequence[tuple[str, ...]],
    sections: Sequence[Section],
    key: Key,
    *,
    edge: bool,
) -> float:
    """Whether an idea moves, differs from the others and keeps the key; 1 is enough."""
    spans: dict[int | None, float] = {}
    for bar in bars:
        for chord in bar:
            root = Chord.parse(chord).root
            spans[root] = spans.get(root, 0.0) + 1 / len(bar)
    wanted = 1 if len(bars) < 3 else 2 if len(bars) < 8 or asked.label in _EDGES else 3
    merit = min(len(spans) / wanted, 1.0)
    # Even a drone moves once in a while: no root fills more than two thirds.
    merit -= max(0.0, max(spans.values()) / len(bars) - 2 / 3) if wanted > 1 else 0.0
    if asked.label not in _EDGES:
        alike = [
            _likeness(bars, section.chords)
            for section in sections
            if section.label not in _EDGES
        ]
        merit -= max(0.0, max(alike, default=0.0) - 0.5)
    so_far = [bar for section in sections for bar in section.chords]
    if clarity([*so_far, *bars], key) <= 0:
        merit -= 0.3
    # A listener finds the key at the start, and keeps the end in mind.
    if edge and clarity(bars, key) <= 0:
        merit -= 0.2
    return merit


def _likeness(one: Sequence, other: Sequence) -> float:
    """Share of bars that are equal, the shorter idea going round."""
    length = max(len(one), len(other))
    same = sum(one[i % len(one)] == other[i % len(other)] for i in range(length))
    return same / length


def _plainness(sections: Sequence[Section], key: Key) -> float:
    """How plainly the song, its first and its last section establish the key."""
    whole = [bar for section in sections for bar in section.chords]
    parts = [whole, sections[0].chords, sections[-1].chords]
    return min(clarity(part, key) for part in parts)
