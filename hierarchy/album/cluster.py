"""Songs mixed by the machines of a Ray cluster; the album is still made in one folder.

A task is one song: its plan and the model go there, its mix comes back. A task follows
from what goes into it alone, so that a machine that is lost costs time and nothing
else: Ray runs its tasks again elsewhere, and a song that was mixed twice is the same
song. This run claims the songs that it has given away, so that others leave them alone.

Source: Moritz et al., "Ray: a distributed framework for emerging AI applications",
OSDI 2018.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hierarchy.album.folder import AlbumFolder
from hierarchy.album.mixing import Doing, Failure, Watch, keep_mix
from hierarchy.album.planning import AlbumPlan, Track
from structure.errors import RequestError
from structure.plan import SongPlan

RETRIES = 8
"""How often a song is tried again when its machine or process is lost."""

CORES = 2
"""Processor cores that a task asks of its machine."""


def mix_on_cluster(
    folder: AlbumFolder,
    album: AlbumPlan,
    model: Path,
    fingerprint: str,
    *,
    wanted: set[int],
    address: str,
    watch: Watch,
) -> list[Failure]:
    """Mix songs on a Ray cluster that is running already.

    Args:
        folder: where mixes go.
        album: its plan.
        model: folder of the grain model; its files are sent along.
        fingerprint: of it.
        wanted: numbers of the songs to be mixed.
        address: of the cluster, as `ray.init` takes it.
        watch: called with what is being done.

    Returns:
        What failed; all other songs that are wanted have their mix.

    Raises:
        RequestError: if Ray is not installed or there is no such cluster.
    """
    ray = _connect(address)
    try:
        return _Round(ray, folder, album, model, fingerprint, watch).mix(wanted)
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise RequestError(
            "--cluster needs Ray; pip install 'macrotime[cluster]' here and on every "
            "machine of the cluster"
        ) from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = str(error).strip().splitlines()
        raise RequestError(
            f"no Ray cluster at {address}: {reason[0] if reason else error!r}; "
            '"ray start --head" starts one'
        ) from None
    return ray


class _Round:
    """Songs given away, and what comes back."""

    def __init__(self, ray, folder, album, model, fingerprint, watch):
        self.ray, self.folder, self.album = ray, folder, album
        self.fingerprint, self.watch = fingerprint, watch
        self.model = ray.put(pack_model(model))
        # What a machine without processors is there for is not songs.
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [node for node in nodes if node.get("CPU", 0) >= 1] or [{"CPU": 1}]
        self.cores = int(min(CORES, max(node["CPU"] for node in nodes)))
        # Songs of one album are made on one kind of device.
        self.graphics = all(node.get("GPU", 0) >= 1 for node in nodes)
        self.task = ray.remote(
            num_cpus=self.cores, num_gpus=int(self.graphics), max_retries=RETRIES
        )(mix_remotely)
        self.given: dict[Any, tuple[Track, contextlib.ExitStack]] = {}
        self.failed: dict[int, Failure] = {}

    def mix(self, wanted: set[int]) -> list[Failure]:
        try:
            while True:
                others = self._give(wanted)
                if self.given:
                    self._take()
                elif others:
                    self.watch(
                        Doing(
                            f"Waiting for song {others[0].number}, which is mixed elsewhere"
                        )
                    )
                    time.sleep(0.3)
                else:
                    return list(self.failed.values())
        finally:
            for task, (_, claim) in self.given.items():
                self.ray.cancel(task, force=True)
                claim.close()

    def _give(self, wanted: set[int]) -> list[Track]:
        """Give away what nobody has; returns what other runs have."""
        others = []
        here = {track.number for track, _ in self.given.values()} | set(self.failed)
        for track in self.album.tracks:
            if track.number not in wanted - here:
                continue
            if self.folder.is_mixed(track, self.fingerprint):
                continue
            with contextlib.ExitStack() as claim:
                if not claim.enter_context(self.folder.claim(track, self.fingerprint)):
                    others.append(track)
                    continue
                if self.folder.is_mixed(track, self.fingerprint):
                    continue
                plan, asked = track.plan.to_json(), (self.cores, self.graphics)
                task = self.task.remote(plan, self.model, self.fingerprint, *asked)
                self.given[task] = track, claim.pop_all()
                self.watch(Doing("On the cluster", song=track.number))
        return others

    def _take(self) -> None:
        """Keep what has come back by now, or wait a while for the next."""
        ready, _ = self.ray.wait(list(self.given), num_returns=1, timeout=1.0)
        for task in ready:
            track, claim = self.given.pop(task)
            with claim:
                try:
                    plan, mix, rate = self.ray.get(task)
                    keep_mix(
                        self.folder,
                        track,
                        self.fingerprint,
                        SongPlan.from_json(plan),
                        [mix],
                        samples=mix.shape[1],
                        sample_rate=rate,
                    )
                except Exception as error:  # noqa: BLE001, the other songs go on
                    self.failed[track.number] = _failure(track.number, error)
                    continue
            self.watch(Doing("Mixed", 1, 1, song=track.number, mixed=track.number))


def _failure(number: int, error: Exception) -> Failure:
    """A failure on another machine, in the words that it was raised with there."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RequestError):
        return Failure.of(number, cause)
    return Failure.of(number, error)


def pack_model(folder: str | Path) -> dict[str, bytes]:
    """The files of a model, by their names in its folder."""
    folder = Path(folder)
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.suffix in (".json", ".safetensors")
    }


def mix_remotely(
    plan: str,
    model: dict[str, bytes],
    fingerprint: str,
    cores: int,
    graphics: bool = False,
) -> tuple[str, np.ndarray, int]:
    """What a machine of the cluster does: one song, from its plan to its mix.

    Args:
        plan: as JSON.
        model: what `pack_model` gave.
        fingerprint: of the model.
        cores: of the processor, to be used.
        graphics: whether a graphics card is to be used.

    Returns:
        The plan as rendered, the mix float32 [2, samples], and its rate.
    """
    import jax

    from hierarchy.devices import keep_compiled_programs, use_all_cores

    if not graphics:
        jax.config.update("jax_platforms", "cpu")
    keep_compiled_programs()
    use_all_cores(most=cores)
    from hierarchy.macro.grain_store import GrainStore
    from hierarchy.macro.mixing import mix
    from hierarchy.macro.rendering import arrange, score_song

    grains = _unpacked(fingerprint, _Files(model))
    arranged = arrange(SongPlan.from_json(plan), grains)
    score, _, _ = score_song(arranged, grains, GrainStore())
    return score.plan.to_json(), mix(score), score.sample_rate


class _Files:
    """A model's files, which count as equal: the fingerprint beside them tells."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=1)
def _unpacked(fingerprint: str, model: _Files) -> Any:
    """The model; kept, since a process of the cluster mixes many songs."""
    from hierarchy.album.planning import fingerprint as fingerprint_of
    from hierarchy.micro.grains import GrainModel

    with tempfile.TemporaryDirectory(prefix="macrotime-model-") as folder:
        for name, content in model.files.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if fingerprint_of(folder) != fingerprint:
            raise ValueError("the model did not arrive as it was sent")
        return GrainModel.read(folder)
