"""What a person marked up in a recording, on the grid of beats and bars.

People give sections in seconds, and not always at a bar line; beats that they
count in eighths; chords that change between beats. Here each becomes what
listening would have said in its place.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from structure.beats import Beats, extended
from structure.errors import RequestError
from structure.harmony import Key
from structure.markup import Beat, Markup
from structure.plan import BEATS_PER_BAR
from structure.vocabulary import letter_name

FEWEST_BEATS = 8
"""Beats that a person must have tapped to be followed."""

_COMPOUND = {6: "6/8", 9: "9/8", 12: "12/8"}
_UNMARKED = 2  # Bars without a section, from which on they are one of their own.
_STEADY = 0.012  # Seconds; see structure.beats.


@dataclasses.dataclass(frozen=True)
class Grid:
    """Beats and bars as a person gave them.

    Attributes:
        beats: felt beats.
        downbeats: which of them start a bar; empty if nobody said.
        meter: None if nobody said.
    """

    beats: Beats
    downbeats: np.ndarray
    meter: str | None


def grid_of(markup: Markup, seconds: float) -> Grid:
    """The beats of a recording as they were marked up, continued to both its ends.

    Raises:
        RequestError: if there are too few beats, or a bar has as many as no metre.
    """
    beats, meter = _felt(markup)
    if len(beats) < FEWEST_BEATS:
        raise RequestError(
            f"{len(beats)} felt beats; {FEWEST_BEATS} or more can be followed"
        )
    given = np.array([beat.time for beat in beats])
    times = extended(given, seconds)
    times = times[(times >= 0) & (times < seconds)]
    period = float(np.median(np.diff(times)))
    number = np.arange(len(times))
    slope, start = np.polyfit(number, times, 1)
    steady = bool(np.median(np.abs(times - start - slope * number)) < _STEADY)
    tempo = 60 / (float(slope) if steady else period)
    ones = [
        int(np.argmin(np.abs(times - beat.time)))
        for beat in beats
        if beat.position == 1
    ]
    if meter is None or not ones:
        return Grid(Beats(times, tempo, steady), np.zeros(0, int), meter)
    per_bar = BEATS_PER_BAR[meter]
    before = np.arange(ones[0] - per_bar, -1, -per_bar)[::-1]
    after = np.arange(ones[-1] + per_bar, len(times), per_bar)
    return Grid(
        Beats(times, tempo, steady),
        np.concatenate([before, ones, after]).astype(int),
        meter,
    )


def _felt(markup: Markup) -> tuple[tuple[Beat, ...], str | None]:
    """The beats that are felt, and their metre: of six eighths, two are."""
    beats, meter = markup.beats, markup.meter
    per_bar = markup.beats_per_bar
    positions = {beat.position for beat in beats} - {None}
    if per_bar is None:
        return beats, None
    if positions and per_bar in _COMPOUND:
        counted = [beat for beat in beats if beat.position and beat.position % 3 == 1]
        felt = (dataclasses.replace(b, position=b.position // 3 + 1) for b in counted)
        return tuple(felt), _COMPOUND[per_bar]
    if meter is None or BEATS_PER_BAR[meter] != per_bar:
        meter = {2: "2/4", 3: "3/4", 4: "4/4", 5: "5/4"}.get(per_bar)
    if meter is None:
        raise RequestError(
            f"{per_bar} beats in a bar; 2, 3, 4, 5, 6, 9 or 12 make a metre"
        )
    return beats, meter


def first_downbeat(markup: Markup, beat_times: np.ndarray, per_bar: int) -> int | None:
    """The place of the first downbeat, if most sections say the same; else None."""
    starts = [span.start for span in markup.sections if span.start > beat_times[0]]
    nearest = [int(np.argmin(np.abs(beat_times - start))) % per_bar for start in starts]
    counts = np.bincount(nearest, minlength=per_bar)
    if len(starts) < 2 or counts.max() <= len(starts) / 2:
        return None
    return int(counts.argmax())


def chords_of(markup: Markup, edges: np.ndarray, heard: list[str]) -> list[str]:
    """The chord of each beat between `edges`; where nobody said, what was heard."""
    middles = (edges[:-1] + edges[1:]) / 2
    starts = np.array([span.start for span in markup.chords])
    chords = list(heard)
    for beat, place in enumerate(np.searchsorted(starts, middles, side="right") - 1):
        if place >= 0 and middles[beat] < markup.chords[place].end:
            chords[beat] = markup.chords[place].value
    return chords


def key_of(markup: Markup) -> Key | None:
    """The key that lasts longest."""
    if not markup.keys:
        return None
    lasting: dict[str, float] = {}
    for span in markup.keys:
        lasting[span.value] = lasting.get(span.value, 0.0) + span.end - span.start
    return Key.parse(max(lasting, key=lasting.get))


@dataclasses.dataclass(frozen=True)
class Sections:
    """Sections on the bars; labels are None where only letters were given."""

    cuts: list[int]  # First bar of each, and the number of bars.
    ideas: list[int]
    letters: list[str]
    labels: list[str] | None
    confidence: list[float] | None


def sections_of(markup: Markup, bar_times: np.ndarray) -> Sections:
    """Sections as marked up, each moved to the nearest bar line.

    Args:
        markup: with sections.
        bar_times: seconds of each bar line, the end of the last bar among them.

    Raises:
        RequestError: if no section lasts a bar.
    """
    bars = len(bar_times) - 1
    rows: list[tuple[int, int, str, str, float]] = []
    for span, letter in zip(markup.sections, markup.letters(), strict=True):
        end = min(span.end, bar_times[-1])
        first, last = (int(np.argmin(np.abs(bar_times - t))) for t in (span.start, end))
        first = max(first, rows[-1][1] if rows else 0)
        if last > first:
            sure = 1.0 if span.confidence is None else span.confidence
            rows.append((first, last, span.function, letter, sure))
    if not rows:
        raise RequestError("no section lasts a bar of what is heard")
    taken = {row[3] for row in rows}
    free = (x for x in (letter_name(i) for i in range(200)) if x not in taken)
    filled: list[tuple[int, int, str, str, float]] = []
    for row in [*rows, (bars, bars, "", "", 0.0)]:
        end = filled[-1][1] if filled else 0
        gap = row[0] - end
        if gap >= _UNMARKED or (gap and not filled and row[0] == row[1]):
            filled.append((end, row[0], "other", next(free), 0.3))
        elif gap and filled:
            filled[-1] = (filled[-1][0], row[0], *filled[-1][2:])
        elif gap:
            row = (end, *row[1:])
        if row[1] > row[0]:
            filled.append(row)
    letters = [row[3] for row in filled]
    order = {letter: number for number, letter in enumerate(dict.fromkeys(letters))}
    named = any(row[2] != "other" for row in rows)
    return Sections(
        cuts=[row[0] for row in filled] + [bars],
        ideas=[order[letter] for letter in letters],
        letters=letters,
        labels=[row[2] for row in filled] if named else None,
        confidence=[row[4] for row in filled] if named else None,
    )
