"""Who visits, and what is theirs: songs, styles, albums, and a folder of their own.

A visitor is whoever sends a secret that the studio once gave. All that a request
names (a song, a version, an album) is looked up among that visitor's own things by a
number; no path is ever made of what came in a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from hierarchy.studio.lanes import OVER, Job, Lane
from structure.errors import RequestError

MOST_VISITORS = 100
MOST_SONGS = 12  # of one visitor; the oldest goes when there is one more
MOST_ALBUMS = 4
MOST_WAITING = 4  # jobs of one visitor
FORGOTTEN_AFTER = 2 * 3600.0  # seconds without a word

_PREFIX = "song-studio-"


@dataclasses.dataclass
class Version:
    """One state of a song: its folder and what the worker said of it."""

    folder: Path
    facts: dict[str, Any]
    changed: str | None = None  # the section that was taken again


@dataclasses.dataclass
class Song:
    """A song of a visitor.

    Attributes:
        wish: what the worker was told when it was first made.
        sketch: sections as asked; composed ones replace them.
        first: sound of its first sections, until there is a version.
        versions, at: all states, and which of them is heard.
        jobs: not yet over.
    """

    number: int
    folder: Path
    title: str
    wish: dict[str, Any]
    sketch: list[dict]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    first: dict[str, Any] | None = None
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)
    line: list[int] = dataclasses.field(default_factory=list)
    at: int = 0
    made: int = 0
    job: Job | None = None

    def new_version(self) -> int:
        """A number that no version has had."""
        self.made += 1
        return self.made

    @property
    def version(self) -> Version | None:
        """The one that is heard."""
        return self.versions[self.line[self.at]] if self.line else None

    def add(self, number: int, version: Version) -> None:
        """Make a version the one that is heard; what was undone before it goes."""
        for gone in self.line[self.at + 1 :]:
            shutil.rmtree(self.versions.pop(gone).folder, ignore_errors=True)
        self.line = [*self.line[: self.at + 1], number]
        self.versions[number] = version
        self.at = len(self.line) - 1

    def view(self, lane: Lane) -> dict[str, Any]:
        """What the page is told."""
        now = self.version
        facts = now.facts if now else self.facts
        return {
            "song": self.number,
            "title": self.title,
            "style": self.wish["name"],
            "sketch": self.sketch,
            "first": self.first,
            "version": self.line[self.at] if now else None,
            "changed": now.changed if now else None,
            "can_undo": self.at > 0,
            "can_redo": self.at + 1 < len(self.line),
            "job": _job_view(self.job, lane),
            **facts,
        }


@dataclasses.dataclass
class Album:
    """Recordings that a visitor uploaded, on their way to a style.

    Attributes:
        files: stored name to the name it came with.
        found: what looking at them gave; see `albums.inspect_album`.
        style: the number of the style that it became.
    """

    number: int
    folder: Path
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    size: int = 0
    found: dict[str, Any] | None = None
    name: str = ""
    style: int | None = None
    job: Job | None = None

    def view(self, lane: Lane) -> dict[str, Any]:
        """What the page is told."""
        return {
            "album": self.number,
            "name": self.name,
            "files": len(self.files),
            "size": self.size,
            "found": self.found,
            "style": self.style,
            "job": _job_view(self.job, lane),
        }


@dataclasses.dataclass(frozen=True)
class Style:
    """Whose sound a song may have.

    Attributes:
        name: as the page shows it.
        model: folder of its grain model; None is the one that ships.
        style: its name in that model.
        album: number of the visitor's album that it comes from.
    """

    name: str
    model: str | None
    style: str
    album: int | None = None


class Visitor:
    """One visitor's things."""

    def __init__(self, folder: Path, styles: list[Style]):
        self.folder = folder
        self.songs: dict[int, Song] = {}
        self.albums: dict[int, Album] = {}
        self.exports: dict[Path, Job] = {}
        self.styles = list(styles)
        self.seen = time.monotonic()
        self._numbers = itertools.count(1)
        self._listeners: set[asyncio.Event] = set()

    def changed(self) -> None:
        """Tell the pages that are open."""
        for listener in self._listeners:
            listener.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set when something changes."""
        listener = asyncio.Event()
        listener.set()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self.seen = time.monotonic()

    @property
    def is_here(self) -> bool:
        """Whether a page of theirs is open."""
        return bool(self._listeners)

    def jobs(self) -> list[Job]:
        """Those of theirs that are not over."""
        things = [*self.songs.values(), *self.albums.values()]
        jobs = [*(one.job for one in things), *self.exports.values()]
        return [job for job in jobs if job and job.state not in OVER]

    def room(self, kind: Literal["songs", "albums"]) -> tuple[int, Path]:
        """A number and an empty folder for something new."""
        number = next(self._numbers)
        folder = self.folder / f"{kind}-{number}"
        folder.mkdir()
        return number, folder

    def forget_old(self) -> None:
        """Let the oldest songs go that are too many."""
        idle = [s for s in self.songs.values() if not s.job or s.job.state in OVER]
        for song in idle[: max(0, len(self.songs) - MOST_SONGS)]:
            self.drop_song(song)

    def drop_song(self, song: Song) -> None:
        """Remove a song and its files."""
        del self.songs[song.number]
        shutil.rmtree(song.folder, ignore_errors=True)

    def view(self, songs: Lane, albums: Lane) -> dict[str, Any]:
        """All that the page is told."""
        return {
            "awake": songs.awake,
            "styles": [
                {"style": number, "name": style.name, "album": style.album}
                for number, style in enumerate(self.styles)
            ],
            "songs": [song.view(songs) for song in self.songs.values()],
            "albums": [album.view(albums) for album in self.albums.values()],
            "preparing": [job.about for job in self.exports.values()],
        }


def _job_view(job: Job | None, lane: Lane) -> dict[str, Any] | None:
    if job is None:
        return None
    return {
        "job": job.number,
        "do": job.order["do"],
        "about": job.about,
        "state": job.state,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "message": job.message,
        "ahead": lane.ahead(job),
        "seconds": time.monotonic() - job.began if job.began else 0.0,
    }


class Visitors:
    """All visitors of a studio, and the folder that goes when the studio does."""

    def __init__(self, styles: list[Style]):
        self.root = _own_folder()
        self._styles = styles
        self._visitors: dict[str, Visitor] = {}
        self._numbers = itertools.count(1)

    def find(self, secret: str | None) -> Visitor | None:
        """Whose secret this is."""
        visitor = self._visitors.get(secret or "")
        if visitor is not None:
            visitor.seen = time.monotonic()
        return visitor

    def welcome(self) -> tuple[str, Visitor]:
        """A new visitor and their secret.

        Raises:
            RequestError: if there are too many.
        """
        if len(self._visitors) >= MOST_VISITORS:
            self.forget(longest=True)
        if len(self._visitors) >= MOST_VISITORS:
            raise RequestError("the studio is full; come back in a while")
        folder = self.root / f"visitor-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        secret = secrets.token_urlsafe(32)
        visitor = self._visitors[secret] = Visitor(folder, self._styles)
        return secret, visitor

    def forget(self, *, longest: bool = False) -> None:
        """Let go of those who have gone; with `longest`, of one more if need be."""
        now = time.monotonic()
        absent = [
            (visitor.seen, secret)
            for secret, visitor in self._visitors.items()
            if not visitor.is_here and not visitor.jobs()
        ]
        gone = [secret for seen, secret in absent if now - seen > FORGOTTEN_AFTER]
        if longest and absent and not gone:
            gone = [min(absent)[1]]
        for secret in gone:
            shutil.rmtree(self._visitors.pop(secret).folder, ignore_errors=True)

    def close(self) -> None:
        """Remove every file."""
        self._visitors.clear()
        shutil.rmtree(self.root, ignore_errors=True)


def _own_folder() -> Path:
    """A private folder that stays locked as long as this process lives.

    Folders of studios that are no more, killed before they could tidy up, are
    recognised by their locks being free, and removed.
    """
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            handle = os.open(left / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Held until the process ends, however it ends.
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    _locks.append(handle)
    return folder


_locks: list[int] = []
