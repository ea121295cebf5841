"""What a run and a folder agree on: which album is made there, and what is kept.

The first run into a folder writes down what was asked, with the seed and date that were
decided; a later run with the same words means that album and goes on with it. A run
that asks for something else is refused while there is work that it would undo.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable
from pathlib import Path

from hierarchy.album.folder import (
    AlbumFolder,
    Recorded,
    clashes,
    file_name,
    identity,
    missing_songs,
    sound_id,
)
from hierarchy.album.manifest import Manifest
from hierarchy.album.planning import AlbumPlan, fingerprint, plan_album
from hierarchy.album.request import AlbumRequest
from hierarchy.material.audio import content_hash
from structure.errors import RequestError

NAMES = ("album.json", "album.cue", "album.m3u8", "cover.png", "request.toml")
"""Files of every album, beside its songs."""


def agree(
    folder: AlbumFolder,
    request: AlbumRequest,
    *,
    model: Path,
    sequencer: Path,
    replace: bool = False,
    skip_existing: bool = False,
    alone: Callable[[], bool],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[AlbumPlan, str]:
    """Settle which album is made in a folder. Needs the folder's lock.

    Args:
        folder: where.
        request: what is asked.
        model, sequencer: folders of the models.
        replace: whether finished songs that are now asked for differently may go.
        skip_existing: whether finished songs stay even then.
        alone: tells whether no other run is at work in the folder.
        progress: of composing, if that is needed.

    Returns:
        The album's plan, and the fingerprint of the grain model. The folder's manifest
        then lists only songs that are there, whole, and to be kept.

    Raises:
        RequestError: if something asked cannot be, or the folder holds another album.
    """
    recorded = folder.recorded()
    before = recorded.plan.request if recorded else None
    asked = request.decided(
        seed=before.seed if before else secrets.randbelow(2**31),
        date=before.date if before else datetime.date.today().isoformat(),
    )
    prints = fingerprint(model), fingerprint(sequencer)
    own = _own_plans(asked)
    same = recorded and (recorded.model, recorded.sequencer) == prints
    if same and before == asked:
        changed = {n for n in own if own[n] != recorded.own.get(n)}
        absent = {song.number for song in recorded.plan.unplanned}
        if changed and changed <= absent and alone():
            # Songs that could not be planned may be there now; the others stay.
            plan = _plan(asked, model, sequencer, progress)
            recorded = _with_missing(recorded, plan, own)
            folder.record(recorded)
            changed = set()
        if not changed:
            keep = not replace
            _strike_off(folder, recorded, keep_unlike=keep, trusting=skip_existing)
            return recorded.plan, prints[0]
    if recorded and not alone():
        raise RequestError(
            f"another run is making {recorded.plan.title!r} in {folder.path}, which "
            "is not what is asked now; wait for it, or choose another folder"
        )
    new = Recorded(
        model=prints[0],
        sequencer=prints[1],
        plan=_plan(asked, model, sequencer, progress),
        own=own,
    )
    if recorded or folder.manifest_path.exists():
        if not (replace or skip_existing):
            _refuse_to_lose_work(folder, recorded, new)
    else:
        suffix = f".{asked.format}"
        songs = [file_name(track, suffix) for track in new.plan.tracks]
        clashes(folder, [*NAMES, *songs])
    folder.record(new)
    _strike_off(folder, new, keep_unlike=skip_existing, trusting=skip_existing)
    return new.plan, prints[0]


def _plan(asked: AlbumRequest, model: Path, sequencer: Path, progress) -> AlbumPlan:
    from hierarchy.micro.grains import GrainModel
    from structure.sequencer import Sequencer

    return plan_album(
        asked, GrainModel.read(model), Sequencer.read(sequencer), progress=progress
    )


def _own_plans(asked: AlbumRequest) -> dict[int, str]:
    """A hash of each plan that a person brought; "" for one that cannot be read."""
    found = {}
    for number, entry in enumerate(asked.song, 1):
        if entry.plan:
            found[number] = content_hash(entry.plan) if entry.plan.is_file() else ""
    return found


def _with_missing(recorded: Recorded, plan: AlbumPlan, own: dict[int, str]) -> Recorded:
    """What was recorded, and songs that could not be planned then and can be now."""
    known = {track.number: track for track in recorded.plan.tracks}
    found = {track.number: track for track in plan.tracks} | known
    merged = recorded.plan.model_copy(
        update={
            "tracks": tuple(found[number] for number in sorted(found)),
            "unplanned": tuple(u for u in plan.unplanned if u.number not in found),
        }
    )
    return recorded.model_copy(update={"plan": merged, "own": own})


def unlike(manifest: Manifest, recorded: Recorded) -> list[int]:
    """Numbers of the listed songs that are not those of a plan."""
    asked = recorded.plan.request
    finish = manifest.loudness_asked == asked.loudness
    tracks = {track.number: track for track in recorded.plan.tracks}
    return [
        song.number
        for song in manifest.songs
        if not finish
        or song.number not in tracks
        or song.identity
        != identity(
            recorded.plan, tracks[song.number], recorded.model, gain=manifest.gain
        )
    ]


def _refuse_to_lose_work(
    folder: AlbumFolder, recorded: Recorded, new: Recorded
) -> None:
    manifest = folder.manifest()
    finished = unlike(manifest, new) if manifest else []
    still = {sound_id(track, new.model) for track in new.plan.tracks}
    mixes = [
        track.number
        for track in (recorded.plan.tracks if recorded else ())
        if folder.mix_path(track, recorded.model).exists()
        and sound_id(track, recorded.model) not in still
    ]
    if lost := sorted({*finished, *mixes}):
        numbers = ", ".join(map(str, lost))
        reason = _difference(recorded, new) if recorded else "by another version"
        title = recorded.plan.title if recorded else manifest.title
        raise RequestError(
            f"{folder.path} holds {title!r}, asked for differently "
            f"({reason}); song{'s' * (len(lost) > 1)} {numbers} would be made anew. "
            "--replace does that, --skip-existing keeps the finished songs, another "
            "--out leaves all as it is"
        )


def _difference(recorded: Recorded, new: Recorded) -> str:
    before = recorded.plan.request.model_dump(mode="json")
    after = new.plan.request.model_dump(mode="json")
    keys = [
        f"{key} was {before[key]!r}, is {after[key]!r}"
        if key != "song"
        else "the entries of songs"
        for key in after
        if before[key] != after[key]
    ]
    if recorded.model != new.model:
        keys.append("another model")
    if recorded.sequencer != new.sequencer:
        keys.append("another sequencer")
    return "; ".join(keys) or "plans of songs have changed"


def _strike_off(
    folder: AlbumFolder, recorded: Recorded, *, keep_unlike: bool, trusting: bool
) -> None:
    """Strike from the manifest the songs that are not there, or are not to stay.

    Args:
        keep_unlike: whether songs stay that are not those of the plan.
        trusting: whether a file stays that has changed since it was listed.
    """
    folder.sweep()
    manifest = folder.manifest()
    if manifest is None:
        return
    gone = set() if keep_unlike else set(unlike(manifest, recorded))
    songs = []
    for song in manifest.songs:
        if song.number in gone or song.number > recorded.plan.request.count:
            continue
        if trusting and folder.is_sound(song):
            digest = content_hash(folder.path / song.file)
            songs.append(song.model_copy(update={"sha256": digest}))
        elif folder.has(song):
            songs.append(song)
    if tuple(songs) == manifest.songs:
        return
    standing = manifest.with_songs(songs, missing_songs(recorded.plan))
    standing.model_copy(update={"complete": False}).write(folder.manifest_path)
    # The files of songs that are struck off must not be taken for the new ones.
    kept = {name for song in songs for name in (song.file, song.plan)}
    for song in manifest.songs:
        for name in {song.file, song.plan} - kept:
            (folder.path / name).unlink(missing_ok=True)
