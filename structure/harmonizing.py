"""The chords of a song whose form stands, bar by bar.

Chords of the key are somewhat more welcome than others; the song opens and ends on
its tonic. A section that returns takes over its idea's chords, bar by bar, or departs
from it as returns do; a new idea is rewritten until it moves, differs from the others
and makes the key plain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from structure.drafting import EDGES
from structure.harmony import Chord, Key
from structure.plan import Section
from structure.requests import SectionRequest, SongRequest
from structure.tonal_centre import clarity, welcome
from structure.vocabulary import NUMBER, PARTS, TOKENS, bar_tokens, chord_of
from structure.writing import Writer, choose

_REDRAWS = 5  # times that a section is written, until it differs and moves
_BANS_FROM = 3  # From here on a section that should be another has to be one.
STRICTNESS = (0.15, 0.6, 2.0)
"""Taste for the chords of the key: the next where a song leaves its key in doubt."""

RESTLESS = 0.05
"""How soon a chord that stands must move on, when a section is first written."""

_DIVIDED = {"HALVES": 1.0, "THIRDS": 0.7, "QUARTERS": 1.0}


def harmonize(
    writer: Writer, request: SongRequest, form: Sequence[SectionRequest], key: Key
) -> tuple[Section, ...]:
    """Write the chords of every section.

    Args:
        writer: that has written the form.
        request: what is asked of the song.
        form: with label, letter, bars and energy everywhere.
        key: of the song.
    """
    start = writer.mark()
    best = None
    for strictness in STRICTNESS:
        writer.back(start)
        sections = _write_chords(writer, request, form, key, strictness)
        plain = plainness(sections, key)
        if best is None or plain > best[0]:
            best = (plain, sections)
        if plain > 0:
            break
    return best[1]


def _write_chords(
    writer: Writer,
    request: SongRequest,
    form: Sequence[SectionRequest],
    key: Key,
    strictness: float,
) -> tuple[Section, ...]:
    """Write every bar; a new idea is rewritten until it moves and differs."""
    taste = taste_for(key, strictness)
    sections: list[Section] = []
    for place, asked in enumerate(form):
        first, last = place == 0, place == len(form) - 1
        # Of the same letter, primes and all; else of the same idea.
        returns = any(
            s.letter.rstrip("'") == asked.letter.rstrip("'") for s in sections
        )
        known = {s.letter for s in sections}
        faithful = faithfulness(asked.letter, known, request.variation, writer.rng)
        mark = writer.mark()
        best = None
        old = [_tokens_of(asked.unlike, key)] if asked.unlike else []
        once = (returns and not old) or asked.chords
        for redraw in range(1 if once else _REDRAWS):
            writer.back(mark)
            bars, tokens = _write_section(
                writer,
                asked,
                key,
                taste,
                first=first,
                last=last,
                faithful=faithful,
                restless=0.0 if returns else RESTLESS + redraw / 2,
                unlike=[*old, *(() if returns else _others(writer, asked))],
                banned=old[0] if old and redraw >= _BANS_FROM else None,
            )
            merit = _merit(asked, bars, sections, key, edge=first or last)
            repeats = asked.unlike and _alike(bars, asked.unlike)
            if repeats:
                merit -= 10.0
            if best is None or merit > best[0]:
                best = (merit, bars, tokens)
            # What returns is like its idea; that is no reason to write it again.
            if merit >= 1 or (returns and not repeats):
                break
        if best[1] is not bars:
            writer.back(mark)
            for token in best[2]:
                writer.push(token)
            bars = best[1]
        sections.append(harmonized(asked, bars))
    return tuple(sections)


def faithfulness(
    letter: str, known: Collection[str], variation: float, rng: np.random.Generator
) -> float:
    """Odds that a section takes each chord from its idea as it was before.

    Of real songs' returns seven in ten are exact, and the others leave their idea
    for almost half of their bars. So a return is exact, or is left as a whole to the
    sequencer, which knows how returns go.

    Args:
        letter: of the section.
        known: letters of the sections before.
        variation: share of the returns that are left to the sequencer; those with
            another prime always are.
        rng: draws which.
    """
    if letter.rstrip("'") not in {other.rstrip("'") for other in known}:
        return 0.0
    # Drawn in any case, so that the same seed goes on alike.
    departs = rng.random() < variation
    return 0.0 if departs or letter not in known else 1.0


def taste_for(key: Key, strictness: float) -> np.ndarray:
    """Weights [tokens] of chords and divisions; 0 takes no notice of the key."""
    weights = welcome(key.mode) ** strictness
    for name, weight in _DIVIDED.items():
        weights[NUMBER["chord", name]] = weight
    return weights


def harmonized(asked: SectionRequest, bars: Sequence[Sequence[str]]) -> Section:
    """A section of the form with its chords, a list of them for each bar."""
    return Section(
        label=asked.label,
        letter=asked.letter,
        energy=asked.energy,
        brightness=asked.brightness,
        chords=tuple(bars),
        gestures=asked.gestures,
        melody=asked.melody,
    )


def _alike(bars: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> bool:
    """Whether the chords are the same, however they are spelled: "Am" is "A:min"."""
    first, second = (
        [[Chord.parse(x) for x in bar] for bar in y] for y in (bars, others)
    )
    return first == second


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
    banned: list[list[int]] | None = None,
) -> tuple[list[tuple[str, ...]], list[int]]:
    """Write the bars of one section; the result is the bars and their tokens.

    Args:
        first, last: of the song; it opens and ends on its tonic.
        faithful: odds that a chord is taken over from the idea that returns.
        restless: how soon a chord that stands still must move on.
        unlike: bars, as tokens, of the ideas that this one should not repeat.
        banned: bars, as tokens; the first chord that is free differs from them.
    """
    cursor = writer.cursor
    bars: list[tuple[str, ...]] = []
    written: list[int] = []
    given = asked.chords or [None] * asked.bars
    free = [number for number in range(asked.bars) if given[number] is None]
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
        opens, closes = first and number == 0, last and number == asked.bars - 1
        # What is to be another bar is that somewhere, if need be at the song's end.
        if banned is not None and (number == free[-1] or not opens):
            weights = weights.copy()
            weights[banned[number][0]] = 0.0
            banned = None
        elif closes:
            weights = tonics(key.mode, ("maj", "min"))
        elif opens:
            weights = tonics(key.mode, ("maj", "maj7", "min", "min7"))
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


def _tokens_of(bars: Sequence[Sequence[str]], key: Key) -> list[list[int]]:
    return [bar_tokens(bar, key.tonic) for bar in bars]


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
    if asked.label in EDGES:
        return []
    cursor = writer.cursor
    ideas = {
        section.idea: section.chords
        for section in cursor.sections[: cursor.at]
        if section.label not in EDGES
    }
    return list(ideas.values())[-3:]


def tonics(mode: str, qualities: Sequence[str]) -> np.ndarray:
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
    wanted = 1 if len(bars) < 3 else 2 if len(bars) < 8 or asked.label in EDGES else 3
    merit = min(len(spans) / wanted, 1.0)
    # Even a drone moves once in a while: no root fills more than two thirds.
    merit -= max(0.0, max(spans.values()) / len(bars) - 2 / 3) if wanted > 1 else 0.0
    if asked.label not in EDGES:
        alike = [
            _likeness(bars, section.chords)
            for section in sections
            if section.label not in EDGES
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


def plainness(sections: Sequence[Section], key: Key) -> float:
    """How plainly the song, its first and its last section establish the key."""
    whole = [bar for section in sections for bar in section.chords]
    parts = [whole, sections[0].chords, sections[-1].chords]
    return min(clarity(part, key) for part in parts)
