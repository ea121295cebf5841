"""What can be downloaded of a song, by the name that a request may use."""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Download:
    """One kind of file.

    Attributes:
        file: its name in the folder of a version.
        ending: of the name that the visitor's copy gets, after the song's title.
        media_type: what it is.
        inline: for the page itself, not to be saved.
        kind: what `export_song` calls it; None is written with every version.
    """

    file: str
    ending: str
    media_type: str
    inline: bool = False
    kind: str | None = None


DOWNLOADS = {
    "play.wav": Download("song.wav", ".wav", "audio/wav", inline=True),
    "peaks.json": Download("peaks.json", ".json", "application/json", inline=True),
    "song.wav": Download("song.wav", ".wav", "audio/wav"),
    "song.ogg": Download("song.ogg", ".ogg", "audio/ogg", kind="ogg"),
    "plan.json": Download("plan.json", ".plan.json", "application/json"),
    "stems.zip": Download("stems.zip", "-stems.zip", "application/zip", kind="stems"),
    "session.zip": Download(
        "session.zip", "-session.zip", "application/zip", kind="session"
    ),
    "song.mid": Download("song.mid", ".mid", "audio/midi", kind="midi"),
    "model.zip": Download("model.zip", "-model.zip", "application/zip"),
}


def file_name(title: str, number: int, download: Download) -> str:
    """What a visitor's copy is called: plain letters, so that every system takes it.

    >>> file_name("Rain & Tea", 3, DOWNLOADS["stems.zip"])
    'rain-tea-3-stems.zip'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "song"
    return f"{plain}-{number}{download.ending}"
