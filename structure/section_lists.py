"""Plain lists of sections, chords or beats, as other tools write them, and back.

    Audacity labels      start<TAB>end<TAB>label
    Isophonics, MIREX    start end label
    SALAMI               start<TAB>label, the last one "End"
    Sonic Visualiser     time,label or time,value,duration,label
    beats                time, or time and position in the bar

Reading tells them apart by what is in them. Times are seconds or minutes:seconds,
with a point or, in columns apart by tabs, blanks or semicolons, a comma (16,3).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from structure.errors import RequestError
from structure.files import whole_file
from structure.functions import function_of
from structure.harmony import Chord
from structure.heard import Heard
from structure.markup import OPEN_END, Beat, Markup, Span
from structure.plan import SongPlan

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)")
# One or two times at the start of a line, before anything but another comma.
_COMMA_TIME = r"(?:\d+:){0,2}\d+(?:[.,]\d+)?"
_COMMA_TIMES = re.compile(rf"{_COMMA_TIME}(?:[\t; ]+{_COMMA_TIME})?(?=[\t; ]|$)")
_ROUNDED = 0.05
"""Seconds by which a section may reach into the next: tools round each time."""
_LARGE = re.compile(r"[A-Z]'*")
_SMALL = re.compile(r"[a-z]'*")


def read_list(path: str | Path) -> Markup:
    """Read a list of sections, chords or beats.

    Labels that are all Harte chords make a list of chords, numbers from 1 to 12 a
    list of beats; everything else is sections. "A, Verse" says letter and function.

    Raises:
        RequestError: if it is no such list; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read {path}: {error}") from None
    try:
        rows = _rows(text)
        if not rows:
            raise RequestError("it has no line with a time")
        if all(_is_position(row.label) and row.end is None for row in rows):
            return Markup(
                beats=tuple(
                    Beat(row.start, int(float(row.label)) if row.label else None)
                    for row in rows
                )
            )
        if _are_chords([row.label for row in rows], path):
            return Markup(chords=_spans(rows, lambda x: str(Chord.parse(x or "N"))))
        return Markup(sections=_sections(rows))
    except RequestError as error:
        raise RequestError(f"{path} is no list of sections: {error}") from None


@dataclasses.dataclass(frozen=True)
class _Row:
    start: float
    end: float | None
    label: str


def _rows(text: str) -> list[_Row]:
    """Every line as start, end (None if only the next start tells) and label."""
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        # Audacity puts frequencies in lines of their own; comments start with #.
        if line.strip() and not line.lstrip().startswith(("\\", "#"))
    ]
    cells = [(number, _cells(line)) for number, line in _with_points(lines)]
    if cells and _seconds(cells[0][1][0]) is None and len(cells) > 1:
        cells = cells[1:]  # A header.
    for number, row in cells:
        if _seconds(row[0]) is None:
            raise RequestError(
                f"line {number} starts with {row[0]!r}, which is no time"
            )
    columns = [row for _, row in cells]
    if all(_is_region(row) for row in columns):
        # Regions of Sonic Visualiser: time, value, duration, label.
        return [
            _Row(t := _seconds(row[0]), t + _seconds(row[2]), row[3]) for row in columns
        ]
    if all(len(row) >= 2 and _seconds(row[1]) is not None for row in columns):
        spans = [
            _Row(_seconds(row[0]), _seconds(row[1]), _label(row[2:])) for row in columns
        ]
        some_last = 2 * sum(row.end > row.start for row in spans) > len(spans)
        flaw = _flaw(cells, spans)
        if some_last and flaw is None:
            return _apart(spans)
        if all(len(row) == 2 and _is_position(row[1]) for row in columns):
            return [_Row(_seconds(row[0]), None, row[1]) for row in columns]
        if flaw and (some_last or not all(len(row) == 3 for row in columns)):
            raise RequestError(flaw)
        # Layers of time, value and label: the value is a plotted number.
        return [_Row(_seconds(row[0]), None, _label(row[2:])) for row in columns]
    rows = [_Row(_seconds(row[0]), None, _label(row[1:])) for row in columns]
    for (number, _), (before, after) in zip(
        cells[1:], itertools.pairwise(rows), strict=True
    ):
        if after.start < before.start:
            raise RequestError(
                f"line {number} starts at {after.start:g} s, before the line above it "
                f"({before.start:g} s)"
            )
    return rows


def _with_points(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines with points in their times, where all write decimal commas."""
    found = [_COMMA_TIMES.match(line) for _, line in lines]
    first = 0 if found and found[0] else 1  # A header may come before.
    times = found[first:]
    if not all(times) or not any("," in match[0] for match in times):
        return lines
    if all(match.end() == len(match.string) for match in times) and not any(
        re.search(r"[\t; ]", match[0]) for match in times
    ):
        # Beats write a time and a position, apart by a comma.
        number, line = lines[first]
        if all(_is_position(match[0].partition(",")[2]) for match in times):
            return lines
        raise RequestError(
            f"line {number}, {line!r}, may be one time or two columns; write the times "
            "with points"
        )
    return lines[:first] + [
        (number, match[0].replace(",", ".") + line[match.end() :])
        for (number, line), match in zip(lines[first:], times, strict=True)
    ]


def _flaw(cells: Sequence[tuple[int, list[str]]], spans: Sequence[_Row]) -> str | None:
    """Which line ends before it starts, or starts before the one above it ends."""
    last, before = None, None
    for (number, _), row in zip(cells, spans, strict=True):
        if row.end < row.start:
            return (
                f"line {number} lasts from {row.start:g} to {row.end:g} s; sections "
                "end after they start"
            )
        if before is not None and row.start < max(before.start, before.end - _ROUNDED):
            return (
                f"line {number} starts at {row.start:g} s, while line {last} lasts from "
                f"{before.start:g} to {before.end:g} s; sections do not overlap"
            )
        last, before = number, row
    return None


def _cells(line: str) -> list[str]:
    if ";" in line and _seconds(line.split(";")[0].strip()) is not None:
        cells = next(csv.reader(io.StringIO(line), delimiter=";"))
    elif "," in line and _seconds(line.split(",")[0]) is not None:
        cells = next(csv.reader(io.StringIO(line)))
    elif "\t" in line:
        cells = line.split("\t")
    else:
        cells = line.split(maxsplit=1)
        more = cells[-1].split(maxsplit=1)
        if len(cells) == 2 and _seconds(more[0]) is not None:
            cells = [cells[0], *more]
    return [cell.strip() for cell in cells]


def _label(cells: Sequence[str]) -> str:
    return ", ".join(cell for cell in cells if cell)


def _seconds(text: str) -> float | None:
    """Seconds of "12.5" or "1:02.5"; None if it is no time."""
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def _is_region(cells: Sequence[str]) -> bool:
    """Whether these are time, value, duration and label."""
    if len(cells) < 4:
        return False
    time, value, duration = cells[:3]
    number = re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", value)
    return None not in (_seconds(time), number, _seconds(duration))


def _apart(rows: Sequence[_Row]) -> list[_Row]:
    """The same, each until the next at most; what lasts no time lasts until then."""
    ends = [*(row.start for row in rows[1:]), OPEN_END]
    return [
        dataclasses.replace(row, end=min(row.end, end) if row.end > row.start else None)
        for row, end in zip(rows, ends, strict=True)
    ]


def _is_position(label: str) -> bool:
    return not label or bool(re.fullmatch(r"(?:1[0-2]|[1-9])(?:\.0*)?", label))


def _are_chords(labels: Sequence[str], path: Path) -> bool:
    """Whether all are chords; bare letters are ideas, unless the file's name says so."""
    named = re.search(r"chord|akkord|harm", path.name.lower()) is not None
    said = [label for label in labels if label and not _is_end(label)]
    if not said or not (named or any(":" in label for label in said)):
        return False
    try:
        for label in said:
            Chord.parse(label)
    except RequestError as error:
        if named:
            raise RequestError(str(error)) from None
        return False
    return True


def _spans(rows: Sequence[_Row], value: Callable[[str], str]) -> tuple[Span, ...]:
    ends = [*(row.start for row in rows[1:]), OPEN_END]
    return tuple(
        Span(row.start, row.end if row.end is not None else end, value(row.label))
        for row, end in zip(rows, ends, strict=True)
        if not (row.end is None and _is_end(row.label) and end == OPEN_END)
        and (row.end if row.end is not None else end) > row.start
    )


def _is_end(label: str) -> bool:
    return label.strip().lower() == "end"


def _sections(rows: list[_Row]) -> tuple[Span, ...]:
    """Sections with letter and function apart, as in SALAMI's "A, Verse, (voice"."""
    said = [read_label(row.label) for row in rows]
    if any(letter and letter[0].isupper() for letter, _ in said):
        # Small letters are phrases within the sections of large ones.
        kept = [
            i
            for i, (letter, label) in enumerate(said)
            if label or letter is None or letter[0].isupper()
        ]
        if all(row.end is None for row in rows):
            rows, said = [rows[i] for i in kept], [said[i] for i in kept]
    spans = _spans(rows, lambda label: label)
    of_start = {row.start: one for row, one in zip(rows, said, strict=True)}
    return tuple(
        dataclasses.replace(
            span,
            value=of_start[span.start][1] or span.value,
            letter=(of_start[span.start][0] or "").upper() or None,
        )
        for span in spans
    )


def read_label(label: str) -> tuple[str | None, str]:
    """Letter and function of "A, a, Verse, (voice"; either may be missing."""
    letter, words = None, []
    for part in (part.strip() for part in label.split(",")):
        if _LARGE.fullmatch(part):
            letter = part
        elif _SMALL.fullmatch(part):
            letter = letter or part
        elif part and not part.startswith("(") and not part.endswith(")"):
            words.append(part)
    known = [word for word in words if function_of(word) != "other"]
    return letter, (known or words or [""])[0]


# ---- Writing --------------------------------------------------------------------


def _full(letter: str, span: Span) -> str:
    return f"{letter}, {span.value}"


_FORMS: dict[str, Callable[[Span, str, str], str]] = {
    "audacity": lambda s, letter, label: f"{s.start:.6f}\t{s.end:.6f}\t{label}",
    "isophonics": lambda s, letter, label: f"{s.start:.3f}\t{s.end:.3f}\t{label}",
    "mirex": lambda s, letter, label: f"{s.start:.3f}\t{s.end:.3f}\t{letter}",
    "salami": lambda s, letter, label: f"{s.start:.6f}\t{_full(letter, s)}",
    "sonic-visualiser": lambda s, letter, label: f'{s.start:.9f},"{label}"',
}

LIST_FORMS = tuple(_FORMS)
"""Forms in which a list of sections can be written."""


def write_list(
    path: str | Path, song: SongPlan | Heard | Markup, *, form: str = "audacity"
) -> None:
    """Write the sections of a song as a plain list, whole or not at all.

    Args:
        path: of a text file.
        song: a plan, what was heard, or a Markup with sections.
        form: one of LIST_FORMS.

    Raises:
        RequestError: if there is no such form, or nothing to write.
    """
    if form not in _FORMS:
        raise RequestError(f"list form {form!r}; there are {', '.join(_FORMS)}")
    markup = Markup.of(song)
    if not markup.sections:
        raise RequestError("no sections to write")
    markup = markup.within(0.0, markup.seconds or markup.sections[-1].end)
    letters = markup.letters()
    bare = [dataclasses.replace(span, letter=None) for span in markup.sections]
    plain = _alike(Markup(sections=tuple(bare)).letters()) == _alike(letters)
    lines = [
        # Where labels alone would lose which section returns, letters are written too.
        _FORMS[form](span, letter, span.value if plain else _full(letter, span))
        for span, letter in zip(markup.sections, letters, strict=True)
    ]
    end = markup.sections[-1].end
    if form == "salami":
        lines.append(f"{end:.6f}\tEnd")
    elif form == "sonic-visualiser":
        lines.append(f'{end:.9f},"end"')
    with whole_file(path) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _alike(letters: Sequence[str]) -> list[int]:
    return [letters.index(letter) for letter in letters]
