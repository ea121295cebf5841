"""Where sections begin: as markers inside a WAV file, and as a cue sheet beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hierarchy.export.riff import Mark, add_chunks, marker_chunks
from structure.files import whole_file
from structure.plan import SongPlan

MOST_TRACKS = 99
"""That a cue sheet can number."""


def section_marks(plan: SongPlan, sample_rate: int, *, length: int) -> list[Mark]:
    """First sample, samples and name of each section; the last one rings to the end."""
    edges = [round(start * sample_rate) for start in plan.starts()[:-1]]
    ends = [*edges[1:], length]
    return [
        (start, end - start, name)
        for start, end, name in zip(edges, ends, plan.names(), strict=True)
    ]


def mark_sections(path: str | Path, plan: SongPlan, sample_rate: int) -> None:
    """Put the sections into a WAV file as markers with names, in place.

    Args:
        path: of the song, whose first sample is the plan's first beat.
        plan: of the song.
        sample_rate: of the file, in Hz.

    Raises:
        RequestError: if it is no WAV file.
    """
    length = round(plan.seconds * sample_rate)
    marks = section_marks(plan, sample_rate, length=length)
    add_chunks(path, marker_chunks(marks))


def write_cue_sheet(
    path: str | Path,
    plan: SongPlan,
    sound: str | Path,
    *,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a cue sheet in which each section is a track.

    Args:
        path: a .cue file.
        plan: of the song.
        sound: the song; named by its way from the cue sheet.
        tags: of the song; its artist, date and genre are told.
    """
    tags = dict(tags or {})
    title, artist = tags.get("title", plan.title), tags.get("artist", "")
    way = os.path.relpath(Path(sound).absolute(), Path(path).absolute().parent)
    lines = [
        f"REM {name.upper()} {_quoted(tags[name])}"
        for name in ("genre", "date", "comment")
        if tags.get(name)
    ]
    lines += [f"PERFORMER {_quoted(artist)}"] * bool(artist)
    lines += [f"TITLE {_quoted(title)}", f"FILE {_quoted(Path(way).as_posix())} WAVE"]
    starts = plan.starts()[:-1][:MOST_TRACKS]
    for number, (start, name) in enumerate(
        zip(starts, plan.names(), strict=False), start=1
    ):
        # Frames are 75ths of a second.
        frames = round(start * 75)
        minutes, frames = divmod(frames, 60 * 75)
        lines += [
            f"  TRACK {number:02d} AUDIO",
            f"    TITLE {_quoted(name)}",
            f"    INDEX 01 {minutes:02d}:{frames // 75:02d}:{frames % 75:02d}",
        ]
    with whole_file(path) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    # The format has no way to escape a quotation mark.
    return '"' + " ".join(text.replace('"', "'").split()) + '"'
