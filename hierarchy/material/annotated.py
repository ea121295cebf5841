"""What a person wrote about a recording, in the files that lie beside it.

`song.flac` may have beside it song.jams (sections, chords, beats, keys), or lists
such as song.lab, song.txt, song.csv, or several: song.sections.txt,
song.chords.lab, song.beats.txt.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from structure.errors import RequestError
from structure.heard import Heard
from structure.jams import read_jams
from structure.listening import listen
from structure.markup import Markup
from structure.section_lists import read_list

SUFFIXES = (".jams", ".lab", ".txt", ".csv", ".tsv", ".beats", ".chords", ".sections")
"""Of files that are looked at; where several say the same, the first is believed."""


@dataclasses.dataclass(frozen=True)
class Beside:
    """Annotations of a recording.

    Attributes:
        markup: all that they say; empty if there are none.
        files: names of those that were used.
        digest: of their contents; "" if there are none.
        flaws: name and reason of each that could not be used.
    """

    markup: Markup
    files: tuple[str, ...] = ()
    digest: str = ""
    flaws: tuple[tuple[str, str], ...] = ()


def annotations_beside(recording: Path) -> Beside:
    """Read whatever annotations lie beside a recording."""
    markup, files, flaws = Markup(), [], []
    digest = hashlib.sha256()
    for path in _candidates(recording):
        try:
            read = (
                read_jams(path) if path.suffix.lower() == ".jams" else read_list(path)
            )
            if read.is_empty:
                raise RequestError("it holds no sections, chords or beats")
        except RequestError as error:
            flaws.append((path.name, str(error).replace(str(path), "").strip(" :")))
            continue
        markup = markup.joined(read)
        files.append(path.name)
        digest.update(path.read_bytes())
    return Beside(
        markup, tuple(files), digest.hexdigest()[:16] if files else "", tuple(flaws)
    )


def _candidates(recording: Path) -> list[Path]:
    """Files named like the recording, its ending replaced or followed by another."""
    found = [
        path
        for path in recording.parent.iterdir()
        if path.name.startswith(f"{recording.stem}.")
        and path.suffix.lower() in SUFFIXES
        and path.is_file()
    ]
    return sorted(
        found, key=lambda path: (SUFFIXES.index(path.suffix.lower()), path.name)
    )


def hear(
    waveform: np.ndarray, sample_rate: int, beside: Beside, *, offset: float = 0.0
) -> tuple[Heard, str, tuple[tuple[str, str], ...]]:
    """Listen, and believe what was written.

    Args:
        waveform: float32 [channels, samples] of the recording or a part of it.
        sample_rate: in Hz.
        beside: annotations of the whole recording.
        offset: seconds into the recording at which the waveform starts.

    Returns:
        what was heard; what was believed, in words; and names and reasons where it
        could not be, in which case all is heard.
    """
    seconds = waveform.shape[1] / sample_rate
    marked = beside.markup.within(offset, offset + seconds)
    if marked.is_empty:
        return listen(waveform, sample_rate), "", ()
    names = " and ".join(beside.files)
    try:
        heard = listen(waveform, sample_rate, known=marked)
    except RequestError as error:
        return listen(waveform, sample_rate), "", ((names, str(error)),)
    return heard, f"{marked.parts} by {names}", ()
