"""The folder of an album: what was asked, what is made, what is still to be made.

    album/
      01 Paper Harbour.flac  01 Paper Harbour.plan.json  ...
      cover.png  album.cue  album.m3u8  album.json  request.toml
      .album/            work in progress; nothing in it needs to be kept
        plan.json        what was asked and the plans of all songs
        grains/          of the songs that are being made
        mixes/           songs before mastering, float32, with their plans and notes
        claims/          which run makes what; see `hierarchy.album.claims`

A song's samples before mastering follow from its plan and the model; `sound_id` is a
hash of both, and names its mix. What else decides the bytes of its file (the album's
gain, tags, format, the silence after it) is hashed with it into its `identity`. A song
is finished when the manifest lists it with that identity and the hash of its file, and
from then on it is not written again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pydantic

from hierarchy.album.claims import claim
from hierarchy.album.manifest import Manifest, MissingSong, SongFacts
from hierarchy.album.planning import AlbumPlan, Track
from hierarchy.material.audio import content_hash, inspect_audio
from structure.errors import RequestError
from structure.files import DRAFT, whole_file
from structure.plan import SongPlan


class Recorded(pydantic.BaseModel):
    """What a folder is for: the album's plan, and the models that it is made with.

    Attributes:
        model, sequencer: see `hierarchy.album.planning.fingerprint`.
        own: hashes of the plans that people brought, by the number of the song.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    model: str
    sequencer: str
    plan: AlbumPlan
    own: dict[int, str] = pydantic.Field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class AlbumFolder:
    """A folder that an album is made in, by one run or by several at once."""

    path: Path

    @property
    def work(self) -> Path:
        """Where work in progress is kept."""
        return self.path / ".album"

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is."""
        return self.path / "album.json"

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Be the only one to decide or to finish something in this folder."""
        with claim(self.work / "lock", wait=True, waiting=waiting):
            yield

    @contextlib.contextmanager
    def presence(self) -> Iterator[Callable[[], bool]]:
        """Be at work here; yields what tells whether nobody else is."""
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / "present").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)

            def alone() -> bool:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    # Trying may have cost the share that was held.
                    fcntl.flock(file, fcntl.LOCK_SH)
                    return False
                fcntl.flock(file, fcntl.LOCK_SH)
                return True

            yield alone

    def claim(self, track: Track, model: str):
        """Claim the making of a song's mix; see `hierarchy.album.claims.claim`."""
        return claim(self.work / "claims" / sound_id(track, model))

    def mix_path(self, track: Track, model: str) -> Path:
        """Where the mix of a song is, once it is there."""
        return self.work / "mixes" / f"{sound_id(track, model)}.wav"

    def grains_path(self, track: Track, model: str) -> Path:
        """Where the grains of a song are kept until it is mixed."""
        return self.work / "grains" / sound_id(track, model)

    def recorded(self) -> Recorded | None:
        """What this folder is for, if anything yet."""
        path = self.work / "plan.json"
        if not path.exists():
            return None
        try:
            return Recorded.model_validate_json(path.read_text(encoding="utf-8"))
        except pydantic.ValidationError:
            # Of another version of this program; planning again costs little.
            return None

    def record(self, recorded: Recorded) -> None:
        """Say what this folder is for."""
        with whole_file(self.work / "plan.json") as draft:
            draft.write_text(recorded.model_dump_json(indent=1), encoding="utf-8")

    def manifest(self) -> Manifest | None:
        """The manifest, if there is one."""
        return (
            Manifest.read(self.manifest_path) if self.manifest_path.exists() else None
        )

    def has(self, song: SongFacts) -> bool:
        """Whether a listed song is there, and as it was when it was listed."""
        return (
            (self.path / song.file).is_file()
            and (self.path / song.plan).is_file()
            and content_hash(self.path / song.file) == song.sha256
        )

    def is_sound(self, song: SongFacts) -> bool:
        """Whether a listed song is there as a file that can be played."""
        try:
            return inspect_audio(self.path / song.file).samples > 0
        except RequestError:
            return False

    def is_mixed(self, track: Track, model: str) -> bool:
        """Whether a song's samples need not be made: it is mixed, or even finished."""
        if self.mix_path(track, model).exists():
            return True
        manifest = self.manifest()
        song = manifest.song(track.number) if manifest else None
        return song is not None and song.sound == sound_id(track, model)

    def standing(
        self, album: AlbumPlan, manifest: Manifest | None, model: str
    ) -> AlbumPlan:
        """The plan of an album as it lies here: songs that were kept are what they are.

        Args:
            album: as it is asked for now.
            manifest: of the songs that are there.
            model: fingerprint of the grain model.
        """
        tracks = {track.number: track for track in album.tracks}
        for song in manifest.songs if manifest else ():
            asked = tracks.get(song.number)
            if asked is None or sound_id(asked, model) != song.sound:
                tracks[song.number] = Track(
                    number=song.number,
                    plan=SongPlan.read(self.path / song.plan),
                    energy=song.energy,
                    gap=song.gap,
                    quotes=song.quotes,
                )
        absent = tuple(song for song in album.unplanned if song.number not in tracks)
        there = tuple(tracks[number] for number in sorted(tracks))
        return album.model_copy(update={"tracks": there, "unplanned": absent})

    def sweep(self) -> None:
        """Remove drafts that runs which were killed have left. Needs the lock."""
        for draft in self.path.glob(f".*{DRAFT}*"):
            if draft.is_file():
                draft.unlink(missing_ok=True)

    def forget_mixes(self) -> None:
        """Remove what is needed no more when an album is complete. Needs the lock."""
        for name in ("mixes", "grains", "claims"):
            shutil.rmtree(self.work / name, ignore_errors=True)


def missing_songs(album: AlbumPlan) -> dict[int, MissingSong]:
    """What a manifest says of each song of an album as long as it is not there."""
    songs = [
        MissingSong(number=track.number, title=track.title, reason="not made yet")
        for track in album.tracks
    ] + [
        MissingSong(number=song.number, title=song.title, reason=song.reason)
        for song in album.unplanned
    ]
    return {song.number: song for song in songs}


def sound_id(track: Track, model: str) -> str:
    """A name for a song's samples before mastering.

    Args:
        track: the song; its title does not sound.
        model: fingerprint of the grain model.
    """
    silent = {"title", "loudness", "mastering_gain"}
    plan = track.plan.model_dump(mode="json", exclude=silent)
    return f"{track.number:02d}-{_hash([plan, model])[:20]}"


def identity(album: AlbumPlan, track: Track, model: str, *, gain: float) -> str:
    """A name for the bytes of a song's file."""
    asked = album.request
    said = [album.title, asked.artist, asked.genre, asked.date, track.title]
    finish = [track.gap, asked.true_peak, asked.format, asked.bits, gain]
    return _hash([sound_id(track, model), said, finish])


def file_name(track: Track, suffix: str) -> str:
    """What a song's file is called: its number and title, on any file system.

    >>> from structure.plan import Section, SongPlan
    >>> plan = SongPlan(
    ...     title="AC/DC: live?", sections=(Section(label="verse", letter="A", chords=(("C",),)),)
    ... )
    >>> file_name(Track(number=3, plan=plan, energy=None, gap=0), ".flac")
    '03 AC-DC- live.flac'
    """
    title = re.sub(r"[/\\|:]", "-", track.title)
    title = re.sub(r'[<>*?"\x00-\x1f\x7f]', "", title)
    title = " ".join(title.split()).strip(". ")
    # Names of files have 255 bytes at most, and some letters have four.
    title = title.encode()[:180].decode(errors="ignore").strip(". ")
    return f"{track.number:02d} {title or 'Untitled'}{suffix}"


def _hash(parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def clashes(folder: AlbumFolder, names: list[str]) -> None:
    """See that an album does not write over somebody's files.

    Raises:
        RequestError: if the folder holds one of `names` and is no album's folder.
    """
    if folder.recorded() is not None or folder.manifest_path.exists():
        return
    if there := [name for name in names if (folder.path / name).exists()]:
        raise RequestError(
            f"{folder.path} holds {there[0]} and no album that was made here; choose "
            "an empty folder"
        )
