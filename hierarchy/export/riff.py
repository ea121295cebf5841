"""More chunks at the end of a finished WAV file: markers, places, tempo."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from structure.errors import RequestError

Mark = tuple[int, int, str]
"""A stretch of a file: first sample, samples, name."""


def add_chunks(path: str | Path, chunks: Iterable[tuple[bytes, bytes]]) -> None:
    """Append chunks to a WAV file, in place.

    Args:
        path: a file of format RIFF/WAVE or RF64.
        chunks: name of four letters, and data.

    Raises:
        RequestError: if the file is none of these, or would pass 4 GiB.
    """
    with Path(path).open("r+b") as file:
        form = file.read(12)
        if form[:4] not in (b"RIFF", b"RF64") or form[8:] != b"WAVE":
            raise RequestError(f"{path} is no WAV file; only those hold chunks")
        size = file.seek(0, 2)
        added = b"".join(
            name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
            for name, data in chunks
        )
        added = b"\0" * (size % 2) + added
        if form[:4] == b"RIFF" and size + len(added) - 8 >= 2**32:
            raise RequestError(f"{path} has no room for markers below 4 GiB")
        file.write(added)
        size = size + len(added) - 8
        if form[:4] == b"RIFF":
            file.seek(4)
            file.write(struct.pack("<I", size))
        else:
            file.seek(20)  # The first chunk of RF64 is ds64, which begins with it.
            file.write(struct.pack("<Q", size))


def marker_chunks(marks: Sequence[Mark]) -> list[tuple[bytes, bytes]]:
    """Cue points with names and lengths: chunks `cue ` and `LIST adtl`.

    Source: Microsoft and IBM, "Multimedia Programming Interface and Data
    Specifications 1.0", 1991, pages 3-58 to 3-64.
    """
    points = b"".join(
        struct.pack("<II4sIII", number, start, b"data", 0, 0, start)
        for number, (start, _, _) in enumerate(marks, 1)
    )
    texts = b""
    for number, (_, samples, name) in enumerate(marks, 1):
        label = name.encode() + b"\0"
        for kind, data in (
            (b"labl", struct.pack("<I", number) + label),
            (b"ltxt", struct.pack("<II4sHHHH", number, samples, b"rgn ", 0, 0, 0, 0)),
        ):
            texts += (
                kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
            )
    return [
        (b"cue ", struct.pack("<I", len(marks)) + points),
        (b"LIST", b"adtl" + texts),
    ]


def place_chunk(start: int, *, description: str = "") -> tuple[bytes, bytes]:
    """The sample of the song on which a file begins, as broadcast WAV tells it.

    Source: EBU Tech 3285 version 1, "Specification of the Broadcast Wave Format".
    """
    data = struct.pack(
        "<256s32s32s10s8sQH254x",
        description.encode("ascii", "replace")[:255],
        b"macrotime",
        b"",
        b"0000-00-00",
        b"00:00:00",
        start,
        1,
    )
    return b"bext", data


def loop_chunk(
    *, beats: int, beats_per_bar: int, tempo: float, root: int
) -> tuple[bytes, bytes]:
    """That a file is a loop of so many beats at a tempo, as loop libraries tell it."""
    root_is_set, stretches = 2, 4
    data = struct.pack(
        "<IHHfIHHf",
        root_is_set | stretches,
        root,
        0x8000,
        0.0,
        beats,
        4,
        beats_per_bar,
        tempo,
    )
    return b"acid", data
