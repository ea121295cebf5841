"""The songs of an album to their mixes: grains of many songs sampled side by side.

A song leaves the last batch of its grains half empty. So an album takes the grains of
its songs in one row, and the batch that ends one song begins the next. A song is mixed
as soon as its own grains are there, so that memory holds two songs or three, however
many there are, and a run that is killed has lost one batch.

Grains do not depend on what they are sampled with: each song has the same samples as
if it were rendered alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, MutableMapping

import numpy as np

from hierarchy.album.folder import AlbumFolder
from hierarchy.album.loudness import NoteTaker
from hierarchy.album.planning import AlbumPlan, Track
from hierarchy.macro.grain_store import AT_ONCE, GrainStore, sample_missing
from hierarchy.macro.mixing import mix_blocks
from hierarchy.macro.rendering import Arrangement, arrange, score_song
from hierarchy.material.audio import write_blocks
from hierarchy.micro.grains import GrainModel
from structure.errors import RequestError
from structure.files import whole_file
from structure.plan import SongPlan


@dataclasses.dataclass(frozen=True)
class Doing:
    """What a run is at, for whoever watches.

    Attributes:
        what: in words.
        done, total: how far it is with that.
        song: number of the song that this is about; None for the album as a whole.
        mixed: number of a song that has just been mixed.
    """

    what: str
    done: int = 0
    total: int = 1
    song: int | None = None
    mixed: int | None = None


Watch = Callable[[Doing], None]


@dataclasses.dataclass(frozen=True)
class Failure:
    """A song that could not be made.

    Attributes:
        number: of the song.
        reason: in one line.
        details: a traceback, where the fault is the program's.
    """

    number: int
    reason: str
    details: str = ""

    @classmethod
    def of(cls, number: int, error: Exception) -> Failure:
        """What an error says of a song."""
        if isinstance(error, RequestError):
            return cls(number, str(error))
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return cls(number, reason, "".join(traceback.format_exception(error)))


def make_mixes(
    folder: AlbumFolder,
    album: AlbumPlan,
    model: GrainModel,
    fingerprint: str,
    *,
    wanted: set[int],
    at_once: int = AT_ONCE,
    watch: Watch | None = None,
) -> list[Failure]:
    """Mix the songs that nobody has mixed yet, and wait for those that others mix.

    Args:
        folder: where mixes go.
        album: its plan.
        model: whose sound.
        fingerprint: of the model.
        wanted: numbers of the songs that are to be there in the end.
        at_once: grains sampled side by side.
        watch: called with what is being done.

    Returns:
        What failed; all other songs that are wanted have their mix.
    """
    watch = watch or (lambda doing: None)
    failed: dict[int, Failure] = {}
    under_way: list[_Song] = []

    def missing() -> list[Track]:
        return [
            track
            for track in album.tracks
            if track.number in wanted - set(failed)
            and all(song.track != track for song in under_way)
            and not folder.is_mixed(track, fingerprint)
        ]

    try:
        while True:
            others = _take_up(
                folder, missing(), model, fingerprint, under_way, failed, at_once, watch
            )
            for song in [song for song in under_way if not song.lacking]:
                under_way.remove(song)
                _finish(folder, song, model, fingerprint, failed, watch)
            if under_way:
                _sample(under_way, model, at_once, failed, watch)
            elif not missing():
                return list(failed.values())
            elif others:
                watch(
                    Doing(
                        f"Waiting for song {others[0].number}, which is mixed elsewhere"
                    )
                )
                time.sleep(0.3)
    finally:
        for song in under_way:
            song.claim.close()


@dataclasses.dataclass
class _Song:
    """A song whose grains are being sampled."""

    track: Track
    arranged: Arrangement
    store: GrainStore
    lacking: list[int]
    claim: contextlib.ExitStack


def _take_up(
    folder, tracks, model, fingerprint, under_way, failed, at_once, watch
) -> list[Track]:
    """Claim and arrange songs until a batch is full; returns those that others have."""
    others = []
    for track in tracks:
        if sum(len(song.lacking) for song in under_way) >= at_once:
            break
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(folder.claim(track, fingerprint)):
                others.append(track)
                continue
            # Whoever had the claim before may have mixed it by now.
            if folder.is_mixed(track, fingerprint):
                continue
            watch(Doing("Arranging", song=track.number))
            try:
                arranged = arrange(track.plan, model)
            except Exception as error:  # noqa: BLE001, the other songs go on
                failed[track.number] = Failure.of(track.number, error)
                continue
            store = GrainStore(folder.grains_path(track, fingerprint))
            names = arranged.names
            first = {name: place for place, name in reversed(list(enumerate(names)))}
            lacking = sorted(p for name, p in first.items() if name not in store)
            under_way.append(_Song(track, arranged, store, lacking, stack.pop_all()))
    return others


def _sample(under_way, model, at_once, failed, watch) -> None:
    """Sample one batch, of the grains that come next in the row of songs."""
    # What is sampled together is sampled at one temperature.
    temperature = under_way[0].arranged.temperature
    batch: list[tuple[_Song, list[int]]] = []
    room = at_once
    for song in under_way:
        if room and song.arranged.temperature == temperature:
            places = song.lacking[:room]
            batch.append((song, places))
            room -= len(places)
    try:
        _sample_together(batch, model, temperature, watch)
    except Exception:  # noqa: BLE001, whose fault it is shows when each is alone
        for song, places in batch:
            try:
                _sample_together([(song, places)], model, temperature, watch)
            except Exception as error:  # noqa: BLE001, the other songs go on
                failed[song.track.number] = Failure.of(song.track.number, error)
                under_way.remove(song)
                song.claim.close()


def _sample_together(batch, model, temperature, watch) -> None:
    requests, names, stores = [], [], {}
    for song, places in batch:
        for place in places:
            requests.append(song.arranged.performance.requests[place])
            names.append(song.arranged.names[place])
            stores[names[-1]] = song.store
    what = f"Making {len(requests)} grains"

    def report(done: int, total: int) -> None:
        for song, places in batch:
            whole = len(set(song.arranged.names))
            before = whole - len(song.lacking)
            now = before + len(places) * done / max(total, 1)
            watch(Doing(what, round(1000 * now), 1000 * whole, song.track.number))

    report(0, 1)
    sample_missing(
        model,
        requests,
        names,
        _Apart(stores),
        temperature=temperature,
        progress=report,
    )
    for song, places in batch:
        song.lacking = song.lacking[len(places) :]


def _finish(folder, song: _Song, model, fingerprint, failed, watch) -> None:
    number = song.track.number
    watch(Doing("Mixing", song=number))
    with song.claim:
        try:
            score, _, _ = score_song(song.arranged, model, song.store)
            keep_mix(
                folder,
                song.track,
                fingerprint,
                score.plan,
                mix_blocks(score),
                samples=score.length,
                sample_rate=score.sample_rate,
            )
        except Exception as error:  # noqa: BLE001, the other songs go on
            failed[number] = Failure.of(number, error)
            return
        shutil.rmtree(song.store.folder, ignore_errors=True)
    watch(Doing("Mixed", 1, 1, song=number, mixed=number))


def keep_mix(
    folder: AlbumFolder,
    track: Track,
    fingerprint: str,
    plan: SongPlan,
    blocks: Iterable[np.ndarray],
    *,
    samples: int,
    sample_rate: int,
) -> None:
    """Keep a mix, not a bit of it rounded, until the album's gain is known.

    Args:
        folder: where to.
        track: whose mix.
        fingerprint: of the grain model.
        plan: as it was rendered.
        blocks: the mix from start to end, float32 [2, samples] at a time.
        samples: of all blocks.
        sample_rate: in Hz.
    """
    path, notes = folder.mix_path(track, fingerprint), NoteTaker(sample_rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mix takes its name last: where it is, all is.
    with whole_file(path) as draft:
        write_blocks(
            draft,
            notes.listen(blocks),
            sample_rate,
            channels=2,
            samples=samples,
            subtype="FLOAT",
        )
        notes.notes().write(path.with_suffix(".npz"))
        plan.write(path.with_suffix(".plan.json"))


class _Apart(MutableMapping[str, np.ndarray]):
    """The stores of several songs as one."""

    def __init__(self, stores: dict[str, GrainStore]):
        self._stores = stores

    def __getitem__(self, name: str) -> np.ndarray:
        return self._stores[name][name]

    def __setitem__(self, name: str, waveform: np.ndarray) -> None:
        self._stores[name][name] = waveform

    def __delitem__(self, name: str) -> None:
        del self._stores[name][name]

    def __contains__(self, name: object) -> bool:
        return name in self._stores and name in self._stores[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._stores if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
