"""Routes of the studio: a request to an answer, and nothing more.

GET  /                              the page; a cookie says who comes back
GET  /events                        all that the visitor has, whenever it changes
POST /songs                         a wish; answered with the song's number
POST /songs/7/again                 another take of {"section": "chorus 2"}
POST /songs/7/undo, /songs/7/redo
DELETE /songs/7
GET  /songs/7/first.wav, /songs/7/2/song.wav, plan.json, peaks.json, ...
POST /jobs/9/stop
POST /albums                        then POST /albums/3/files, one file a body,
POST /albums/3/inspect, /albums/3/learn; DELETE /albums/3
GET  /albums/3/model.zip            to keep a style that was learned
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hierarchy.studio import albums as uploads
from hierarchy.studio.exports import DOWNLOADS, file_name
from hierarchy.studio.guards import Guard, HostNames
from hierarchy.studio.lanes import OVER, Job, Lane
from hierarchy.studio.visitors import (
    MOST_ALBUMS,
    MOST_WAITING,
    Album,
    Song,
    Style,
    Version,
    Visitor,
    Visitors,
)
from hierarchy.studio.wishes import AgainWish, AlbumWish, SongWish, choices, read_wish
from structure.errors import RequestError

PAGE = Path(__file__).parent / "page"
MOST_JSON = 64 << 10
LEAST_FREE = 1 << 30  # bytes of the disk that are left alone
BEAT = 15.0  # seconds between signs of life on a quiet line
PACE = 0.08  # seconds between two views

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Missing(Exception):
    """Nothing of this visitor's has that number."""


class Studio:
    """What the routes share.

    Args:
        styles: that every visitor can choose from.
        base: folder of the model that albums are learned with; None is ours.
        most_bytes: of one album.
    """

    def __init__(
        self,
        styles: list[Style],
        *,
        base: str | None = None,
        most_bytes: int = uploads.MOST_BYTES,
    ):
        # Studios on one machine share its name, and so their visitors' cookies.
        self.cookie = f"song-studio-{secrets.token_hex(4)}"
        self.visitors = Visitors(styles)
        self.base, self.most_bytes = base, most_bytes
        self.songs = Lane(keep=True, wake={"do": "wake", "model": styles[0].model})
        self.albums = Lane(keep=False, nice=10)

    @contextlib.asynccontextmanager
    async def open(self, app: Starlette) -> AsyncIterator[None]:
        """Work while the studio is open; leave nothing when it closes."""
        tasks = [
            asyncio.create_task(work)
            for work in (self.songs.run(), self.albums.run(), self._forget())
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.visitors.close()

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(60)
            self.visitors.forget()

    # The page and its files.

    async def page(self, request: Request) -> Response:
        """The page, and a secret for who has none."""
        answer = _page_file("index.html")
        if self.visitors.find(request.cookies.get(self.cookie)) is None:
            secret, _ = self.visitors.welcome()
            answer.set_cookie(
                self.cookie,
                secret,
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return answer

    async def page_file(self, request: Request) -> Response:
        """A file of the page, out of a fixed list."""
        name = request.path_params["name"]
        if name not in _PAGE_FILES:
            raise Missing
        return _page_file(name)

    async def events(self, request: Request) -> Response:
        """A view of all that is the visitor's, now and after each change."""
        visitor = self._visitor(request)

        async def views() -> AsyncIterator[str]:
            with visitor.listening() as changed:
                while True:
                    try:
                        await asyncio.wait_for(changed.wait(), BEAT)
                    except TimeoutError:
                        yield ": still here\n\n"
                        continue
                    changed.clear()
                    view = _CHOICES | visitor.view(self.songs, self.albums)
                    yield f"data: {json.dumps(view)}\n\n"
                    await asyncio.sleep(PACE)

        return StreamingResponse(views(), media_type="text/event-stream")

    # Songs.

    async def make(self, request: Request) -> Response:
        """A wish becomes a job."""
        visitor = self._visitor(request)
        wish = read_wish(SongWish, await _body(request))
        if not 0 <= wish.style < len(visitor.styles):
            raise RequestError("that style is not here any more; choose another")
        self._check_room(visitor)
        self._check_disk()
        style = visitor.styles[wish.style]
        number, folder = visitor.room("songs")
        order = {
            "do": "song",
            "folder": str(folder),
            "model": style.model,
            "style": style.style,
            "name": style.name,
            "asked": wish.asked(),
            "mood": wish.mood,
            "freedom": wish.freedom,
            "chorus_variation": wish.chorus_variation,
            "seed": secrets.randbelow(2**31) if wish.seed is None else wish.seed,
        }
        song = Song(number, folder, wish.title, order, wish.sketch())
        visitor.songs[number] = song
        visitor.forget_old()

        def show(part: dict) -> None:
            if "first" in part:
                song.first = part["first"]
            else:
                song.sketch, song.facts = part["sections"], part
            visitor.changed()

        def made(facts: dict) -> None:
            song.add(1, Version(folder / "1", facts))

        song.made = 1
        song.job = self._put(
            *(visitor, self.songs, order, "song"), on_part=show, on_end=made
        )
        return JSONResponse({"song": number})

    async def again(self, request: Request) -> Response:
        """Another take of one section becomes a job."""
        visitor = self._visitor(request)
        song = self._song(visitor, request)
        name = read_wish(AgainWish, await _body(request)).section
        now = song.version
        if now is None or (song.job and song.job.state not in OVER):
            raise RequestError("the song is not ready; wait for it or stop it")
        if name not in [section["name"] for section in now.facts["sections"]]:
            raise RequestError("the song has no such section")
        self._check_room(visitor)
        number = song.new_version()
        folder = song.folder / str(number)
        order = song.wish | {
            "do": "again",
            "version": str(now.folder),
            "into": str(folder),
            "section": name,
        }

        def made(facts: dict) -> None:
            song.add(number, Version(folder, facts, name))

        song.job = self._put(visitor, self.songs, order, name, on_end=made)
        return JSONResponse({"version": number})

    async def undo(self, request: Request) -> Response:
        """Hear the version before."""
        return self._step(request, -1)

    async def redo(self, request: Request) -> Response:
        """Hear the version that was undone."""
        return self._step(request, 1)

    def _step(self, request: Request, by: int) -> Response:
        visitor = self._visitor(request)
        song = self._song(visitor, request)
        if song.job and song.job.state not in OVER:
            raise RequestError("a section is being made; wait for it or stop it")
        if not 0 <= song.at + by < len(song.line):
            raise RequestError(
                "there is nothing to undo" if by < 0 else "nothing undone"
            )
        song.at += by
        visitor.changed()
        return JSONResponse({"version": song.line[song.at]})

    async def drop_song(self, request: Request) -> Response:
        """Forget a song."""
        visitor = self._visitor(request)
        song = self._song(visitor, request)
        if song.job:
            self.songs.stop(song.job)
            await song.job.over.wait()
        visitor.drop_song(song)
        visitor.changed()
        return JSONResponse({})

    async def first(self, request: Request) -> Response:
        """The sound of a song's first sections, while the rest is made."""
        song = self._song(self._visitor(request), request)
        if song.first is None:
            raise Missing
        return FileResponse(song.folder / "1" / "first.wav", media_type="audio/wav")

    async def download(self, request: Request) -> Response:
        """A version's sound, plan or exports; what is not there yet is made first."""
        visitor = self._visitor(request)
        song = self._song(visitor, request)
        version = song.versions.get(request.path_params["version"])
        wanted = DOWNLOADS.get(request.path_params["what"])
        if version is None or wanted is None:
            raise Missing
        path = version.folder / wanted.file
        if not path.exists():
            what = request.path_params["what"]
            order = song.wish | {
                "do": "export",
                "version": str(version.folder),
                "what": what,
            }
            await self._made(visitor, path, order, f"{song.number}/{what}")
        name = None if wanted.inline else file_name(song.title, song.number, wanted)
        return FileResponse(path, media_type=wanted.media_type, filename=name)

    # Albums.

    async def new_album(self, request: Request) -> Response:
        """A place to upload to."""
        visitor = self._visitor(request)
        for old in [
            a for a in visitor.albums.values() if a.found is None and not a.job
        ]:
            self._drop_album(visitor, old)
        if len(visitor.albums) >= MOST_ALBUMS:
            raise RequestError(
                f"{MOST_ALBUMS} albums are as many as fit; remove one of them"
            )
        self._check_disk()
        number, folder = visitor.room("albums")
        (folder / "uploads").mkdir()
        visitor.albums[number] = Album(number, folder)
        return JSONResponse({"album": number})

    async def upload(self, request: Request) -> Response:
        """One file, as the body of the request; its name is in a header."""
        visitor = self._visitor(request)
        album = self._album(visitor, request)
        if album.job is not None:
            raise RequestError("this album is complete; begin another")
        name = unquote(request.headers.get("x-file-name", ""))[:400]
        suffix = uploads.suffix_of(name)
        if len(album.files) >= uploads.MOST_FILES:
            raise RequestError(f"an album has at most {uploads.MOST_FILES} files")
        stored = f"{len(album.files) + 1}{suffix}"
        album.files[stored] = name
        most = min(self.most_bytes - album.size, uploads.MOST_FILE_BYTES)
        path = album.folder / "uploads" / stored
        try:
            album.size += await _receive(request, path, name, suffix, most)
        except BaseException:
            path.unlink(missing_ok=True)
            del album.files[stored]
            raise
        return JSONResponse({"files": len(album.files), "size": album.size})

    async def inspect(self, request: Request) -> Response:
        """Look at what was uploaded, and say how long learning it will take."""
        visitor = self._visitor(request)
        album = self._album(visitor, request)
        if not album.files:
            raise RequestError("no files were uploaded")
        if album.job is not None:
            raise RequestError("this album was looked at already")
        self._check_room(visitor)
        order = {"do": "inspect", "folder": str(album.folder), "files": album.files}

        def found(what: dict) -> None:
            album.found = what
            shutil.rmtree(album.folder / "uploads", ignore_errors=True)

        album.job = self._put(visitor, self.albums, order, "album", on_end=found)
        return JSONResponse({})

    async def learn(self, request: Request) -> Response:
        """Make a style of an album."""
        visitor = self._visitor(request)
        album = self._album(visitor, request)
        wish = read_wish(AlbumWish, await _body(request))
        if not album.found or not album.found["kept"]:
            raise RequestError("there is no music in this album")
        if album.style is not None or (album.job and album.job.state not in OVER):
            raise RequestError("this album is being learned, or was")
        if not (album.folder / "music").is_dir():
            raise RequestError("the recordings are gone; upload them again")
        album.name = wish.name
        order = {
            "do": "learn",
            "folder": str(album.folder),
            "model": self.base,
            "minutes": wish.minutes,
            "seconds_before": album.found["seconds_before"],
        }

        def learned(facts: dict) -> None:
            visitor.styles.append(
                Style(album.name, facts["model"], facts["style"], album.number)
            )
            album.style = len(visitor.styles) - 1

        album.job = self._put(
            *(visitor, self.albums, order, "album"), on_end=learned, silence=3600.0
        )
        return JSONResponse({})

    async def drop_album(self, request: Request) -> Response:
        """Forget an album; a style that it became stays as long as its visitor."""
        visitor = self._visitor(request)
        album = self._album(visitor, request)
        if album.style is not None:
            raise RequestError("songs may be made with this style; it stays")
        if album.job:
            self.albums.stop(album.job)
            await album.job.over.wait()
        self._drop_album(visitor, album)
        visitor.changed()
        return JSONResponse({})

    def _drop_album(self, visitor: Visitor, album: Album) -> None:
        del visitor.albums[album.number]
        shutil.rmtree(album.folder, ignore_errors=True)

    async def model(self, request: Request) -> Response:
        """A style that was learned, as a model to keep."""
        visitor = self._visitor(request)
        album = self._album(visitor, request)
        if album.style is None:
            raise Missing
        path = album.folder / "model.zip"
        if not path.exists():
            order = {"do": "pack", "folder": str(album.folder / "model")}
            order["into"] = str(path)
            await self._made(visitor, path, order, f"{album.number}/model.zip")
        name = file_name(album.name, album.number, DOWNLOADS["model.zip"])
        return FileResponse(path, media_type="application/zip", filename=name)

    # Jobs.

    async def stop(self, request: Request) -> Response:
        """Give up a job."""
        visitor = self._visitor(request)
        for job in visitor.jobs():
            if job.number == request.path_params["job"]:
                lane = self.albums if job.order["do"] in _ALBUM_VERBS else self.songs
                lane.stop(job)
                return JSONResponse({})
        raise Missing

    def _put(
        self, visitor: Visitor, lane: Lane, order: dict, about: str, **more: Any
    ) -> Job:
        return lane.put(Job(order, about=about, changed=visitor.changed, **more))

    async def _made(
        self, visitor: Visitor, path: Path, order: dict, about: str
    ) -> None:
        """Wait for a file that a visitor wants to download to be made."""
        job = visitor.exports.get(path)
        if job is None or job.state in OVER:
            self._check_room(visitor)
            job = self._put(visitor, self.songs, order, about)
            visitor.exports[path] = job
        try:
            await job.outcome()
        finally:
            visitor.exports.pop(path, None)
            visitor.changed()
        if not path.exists():
            raise Missing  # the song was removed in the meantime

    def _check_disk(self) -> None:
        if shutil.disk_usage(self.visitors.root).free < LEAST_FREE:
            raise RequestError("the disk is nearly full; remove something first")

    def _check_room(self, visitor: Visitor) -> None:
        if len(visitor.jobs()) >= MOST_WAITING:
            raise RequestError(
                f"{MOST_WAITING} things of yours are being made already; wait for one, "
                "or stop one"
            )

    def _visitor(self, request: Request) -> Visitor:
        visitor = self.visitors.find(request.cookies.get(self.cookie))
        if visitor is None:
            raise Missing
        return visitor

    def _song(self, visitor: Visitor, request: Request) -> Song:
        song = visitor.songs.get(request.path_params["song"])
        if song is None:
            raise Missing
        return song

    def _album(self, visitor: Visitor, request: Request) -> Album:
        album = visitor.albums.get(request.path_params["album"])
        if album is None:
            raise Missing
        return album


_CHOICES = choices()
_ALBUM_VERBS = ("inspect", "learn")
_PAGE_FILES = tuple(
    sorted(path.name for path in PAGE.iterdir() if path.suffix in _KINDS)
)


def _page_file(name: str) -> Response:
    path = PAGE / name
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix])


async def _body(request: Request) -> bytes:
    """A small body.

    Raises:
        RequestError: if it is not small.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_JSON:
            raise RequestError(f"a request of more than {MOST_JSON} bytes")
        parts.append(part)
    return b"".join(parts)


async def _receive(
    request: Request, path: Path, name: str, suffix: str, most: int
) -> int:
    """Write the body of a request to a file of ours; returns its bytes."""
    too_much = RequestError(
        f"{uploads.shown(name)} is more than may be sent ({most >> 20} MB are left)"
    )
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > most:
        raise too_much
    size, beginning = 0, b""
    with path.open("xb") as file:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_much
            beginning = (beginning + part)[:4] if len(beginning) < 4 else beginning
            await asyncio.to_thread(file.write, part)
    uploads.check_beginning(name, suffix, beginning)
    return size


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _missing(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is no such thing here"}, status_code=404)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


def make_app(studio: Studio, names: HostNames) -> Starlette:
    """The studio as an ASGI application."""
    song, album = "/songs/{song:int}", "/albums/{album:int}"
    routes = [
        Route("/", studio.page),
        Route("/page/{name}", studio.page_file),
        Route("/events", studio.events),
        Route("/songs", studio.make, methods=["POST"]),
        Route(song, studio.drop_song, methods=["DELETE"]),
        Route(f"{song}/again", studio.again, methods=["POST"]),
        Route(f"{song}/undo", studio.undo, methods=["POST"]),
        Route(f"{song}/redo", studio.redo, methods=["POST"]),
        Route(f"{song}/first.wav", studio.first),
        Route(song + "/{version:int}/{what}", studio.download),
        Route("/jobs/{job:int}/stop", studio.stop, methods=["POST"]),
        Route("/albums", studio.new_album, methods=["POST"]),
        Route(album, studio.drop_album, methods=["DELETE"]),
        Route(f"{album}/files", studio.upload, methods=["POST"]),
        Route(f"{album}/inspect", studio.inspect, methods=["POST"]),
        Route(f"{album}/learn", studio.learn, methods=["POST"]),
        Route(f"{album}/model.zip", studio.model),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names=names)],
        exception_handlers={
            RequestError: _refused,
            Missing: _missing,
            ClientDisconnect: _gone,
        },
        lifespan=studio.open,
    )
