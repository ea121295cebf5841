"""An album as asked to a folder of finished songs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hierarchy.album.agreeing import agree
from hierarchy.album.finishing import finish
from hierarchy.album.folder import AlbumFolder
from hierarchy.album.manifest import Manifest
from hierarchy.album.mixing import Doing, Failure, Watch, make_mixes
from hierarchy.album.planning import AlbumPlan
from hierarchy.album.request import AlbumRequest
from hierarchy.macro.rendering import PRETRAINED as SEQUENCER
from hierarchy.micro.grains import PRETRAINED as GRAINS
from hierarchy.micro.grains import GrainModel
from structure.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Album:
    """An album in its folder.

    Attributes:
        folder: where.
        plan: of all songs; those that were kept as they are.
        manifest: what is there; None if not one song is.
        failures: songs that could not be made in this run.
        kept: numbers of the songs that were there before.
    """

    folder: Path
    plan: AlbumPlan
    manifest: Manifest | None
    failures: tuple[Failure, ...]
    kept: tuple[int, ...]


def render_album(
    request: AlbumRequest,
    out: str | Path,
    *,
    model: str | Path | None = None,
    sequencer: str | Path | None = None,
    replace: bool = False,
    skip_existing: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    watch: Watch | None = None,
) -> Album:
    """Make an album, or what is missing of it.

    Finished songs are kept byte for byte, whether this run is the first into its folder,
    goes on where another was killed, or works beside others.

    Args:
        request: what is asked; see `hierarchy.album.request`.
        out: folder of the album.
        model, sequencer: folders of trained models; those that come with the package
            if None.
        replace: make finished songs anew that are now asked for differently.
        skip_existing: keep every finished song, whatever is asked now.
        jobs: processes that mix songs side by side, each with its share of the cores.
        cluster: address of a Ray cluster whose machines mix the songs.
        watch: called with what is being done.

    Raises:
        RequestError: if what is asked cannot be, or the folder holds another album.
            Errors of single songs are in the result.
    """
    if jobs < 1:
        raise RequestError(f"{jobs} jobs; at least one does the work")
    if replace and skip_existing:
        raise RequestError("replace and skip_existing contradict; give one of them")
    watch = watch or (lambda doing: None)
    folder = AlbumFolder(Path(out))
    model = Path(model) if model else GRAINS
    sequencer = Path(sequencer) if sequencer else SEQUENCER
    with folder.presence() as alone:

        def waiting(who: str) -> None:
            watch(Doing(f"Waiting for {who}, which is busy in {folder.path}"))

        with folder.lock(waiting):
            plan, fingerprint = agree(
                folder,
                request,
                model=model,
                sequencer=sequencer,
                replace=replace,
                skip_existing=skip_existing,
                alone=alone,
                progress=lambda done, total: watch(Doing("Composing", done, total)),
            )
            manifest = folder.manifest()
        kept = tuple(song.number for song in manifest.songs) if manifest else ()
        wanted = {track.number for track in plan.tracks} - set(kept)
        if not wanted and manifest.complete and _is_listed(folder, manifest):
            plan = folder.standing(plan, manifest, fingerprint)
            return Album(folder.path, plan, manifest, (), kept)
        for number in kept:
            watch(Doing("There already", 1, 1, song=number, mixed=number))
        failures = _mix(folder, plan, model, fingerprint, wanted, jobs, cluster, watch)
        with folder.lock(waiting):
            manifest = finish(folder, plan, fingerprint, failures, watch=watch)
    unplanned = [song for song in plan.unplanned if song.number not in kept]
    failures += [Failure(song.number, song.reason) for song in unplanned]
    failures += _new_failures(manifest, failures)
    failures.sort(key=lambda failure: failure.number)
    plan = folder.standing(plan, manifest, fingerprint)
    return Album(folder.path, plan, manifest, tuple(failures), kept)


def _is_listed(folder: AlbumFolder, manifest: Manifest) -> bool:
    names = (manifest.cover, manifest.cue, manifest.playlist, manifest.request)
    return all((folder.path / name).exists() for name in names)


def _mix(folder, plan, model, fingerprint, wanted, jobs, cluster, watch):
    if not wanted:
        return []
    if cluster:
        from hierarchy.album.cluster import mix_on_cluster

        return mix_on_cluster(
            folder,
            plan,
            model,
            fingerprint,
            wanted=wanted,
            address=cluster,
            watch=watch,
        )
    if jobs > 1:
        from hierarchy.album.jobs import mix_in_processes

        return mix_in_processes(
            folder, model, fingerprint, wanted=wanted, jobs=jobs, watch=watch
        )
    grains = GrainModel.read(model)
    return make_mixes(folder, plan, grains, fingerprint, wanted=wanted, watch=watch)


def _new_failures(manifest: Manifest | None, known: list[Failure]) -> list[Failure]:
    """Songs that were mixed and then could not be written."""
    numbers = {failure.number for failure in known}
    missing = manifest.missing if manifest else ()
    return [
        Failure(song.number, song.reason)
        for song in missing
        if song.number not in numbers
    ]
