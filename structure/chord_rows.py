"""Rows of chords as people type them: "Am F C G", or bars apart, "Am F | C | G".

Without bar lines each chord fills a bar. "%" is the bar before once more, "?" a bar
that is left open.
"""

from __future__ import annotations

import re

from structure.errors import RequestError
from structure.harmony import Chord

Row = tuple[tuple[str, ...] | None, ...]


def parse_bars(text: str) -> Row:
    """Read a row of chords; an open bar is None.

    Raises:
        RequestError: if a chord cannot be read; the message says what fits.

    >>> parse_bars("A:min F | C | %")
    (('A:min', 'F'), ('C',), ('C',))
    >>> parse_bars("Am F ? G")
    (('Am',), ('F',), None, ('G',))
    """
    if "|" in text:
        bars = [bar.split() for bar in text.strip().strip("|").split("|")]
    else:
        bars = [[chord] for chord in text.replace(",", " ").split()]
    if not bars or not all(bars):
        raise RequestError(
            f'chords {text!r} have an empty bar; "?" leaves one open, "%" repeats the '
            "one before, N is silence"
        )
    row: list[tuple[str, ...] | None] = []
    for bar in bars:
        if bar == ["%"]:
            if not row:
                raise RequestError(
                    f"chords {text!r} begin with % and nothing to repeat"
                )
            row.append(row[-1])
        elif bar == ["?"]:
            row.append(None)
        else:
            for chord in bar:
                Chord.parse(chord)
            row.append(tuple(bar))
    return tuple(row)


def parse_section_chords(text: str) -> tuple[str, Row]:
    """Read the chords of a section: "chorus: Am F C G" to its name and bars.

    >>> parse_section_chords("chorus: A:min F")
    ('chorus', (('A:min',), ('F',)))
    """
    match = re.fullmatch(r"\s*([A-Za-z]+'*)\s*:\s+(\S.*)", text, re.DOTALL)
    if not match:
        raise RequestError(
            f'chords {text!r}; a section and its chords fit, such as "chorus: Am F C G"'
        )
    return match[1], parse_bars(match[2])
