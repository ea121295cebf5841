"""album.json: what of an album is there, song by song.

It lists only songs whose files are whole: a song is written under another name, takes
its own when it is complete, and is listed after that, with the hash of its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pydantic

from hierarchy.album.motifs import Quote
from structure.errors import RequestError
from structure.files import whole_file


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class SectionEntry(_Part):
    """Where a section of a song starts, in seconds."""

    start: float
    label: str
    letter: str


class SongFacts(_Part):
    """One finished song. Files are named as they lie beside the manifest.

    Attributes:
        sound: names its samples before mastering; see `hierarchy.album.folder`.
        identity: names the bytes of its file, likewise.
        sha256: of its file.
        start: seconds from the start of the album.
        seconds: of its file, the silence after it included.
        gap: of these, silence.
        energy: where the arc has it, -1 to 1; None if it brought its own plan.
        loudness: integrated, in LUFS.
        true_peak: in dBTP.
        quotes: what it takes from earlier songs.
    """

    number: int
    title: str
    file: str
    plan: str
    sound: str
    identity: str
    sha256: str
    start: float
    seconds: float
    gap: float
    style: str
    key: str
    tempo: float
    meter: str
    energy: float | None
    seed: int
    loudness: float | None
    true_peak: float | None
    sections: tuple[SectionEntry, ...]
    quotes: tuple[Quote, ...] = ()


class MissingSong(_Part):
    """A song that could not be made, and why."""

    number: int
    title: str
    reason: str


class Manifest(_Part):
    """What of an album is there.

    Attributes:
        complete: whether all its songs are.
        gain: decibels from each song's mix to its limiter, one for the whole album;
            decided when all songs were first mixed, and kept.
        loudness: of all finished songs together, in LUFS.
        loudness_asked: when the gain was decided.
        true_peak: the highest of any finished song, in dBTP.
        cover, cue, playlist, request: files beside the manifest.
    """

    format: Literal["macrotime-album"] = "macrotime-album"
    version: Literal[1] = 1
    title: str
    artist: str
    date: str
    seed: int
    software: str
    complete: bool
    sample_rate: int
    gain: float
    loudness: float | None
    loudness_asked: float
    true_peak: float | None
    cover: str | None
    cue: str | None
    playlist: str | None
    request: str
    songs: tuple[SongFacts, ...]
    missing: tuple[MissingSong, ...] = ()

    def with_songs(
        self, songs: Iterable[SongFacts], reasons: Mapping[int, MissingSong]
    ) -> Manifest:
        """The manifest of other songs, one after the other.

        Args:
            songs: those that are there.
            reasons: why others are missing; what it says of songs that are there is
                left out.
        """
        placed, start = [], 0.0
        for song in sorted(songs, key=lambda song: song.number):
            placed.append(song.model_copy(update={"start": round(start, 3)}))
            start += song.seconds
        there = {song.number for song in placed}
        missing = tuple(reasons[n] for n in sorted(reasons) if n not in there)
        peaks = [song.true_peak for song in placed if song.true_peak is not None]
        return self.model_copy(
            update={
                "songs": tuple(placed),
                "missing": missing,
                "true_peak": max(peaks, default=None),
            }
        )

    def song(self, number: int) -> SongFacts | None:
        """The song with this number, from 1, if it is finished."""
        return next((song for song in self.songs if song.number == number), None)

    def write(self, path: str | Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        with whole_file(path) as draft:
            draft.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a manifest.

        Raises:
            RequestError: if it is not one.
        """
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, pydantic.ValidationError) as error:
            raise RequestError(f"{path} is not an album's manifest: {error}") from None
