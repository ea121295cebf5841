"""Songs mixed by several processes of one machine, each with its share of the cores.

Each process does what a run into the folder does: it claims songs that nobody has, and
mixes them. So they need no other way to agree, and one that dies leaves its songs to
the others.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from pathlib import Path

from hierarchy.album.folder import AlbumFolder
from hierarchy.album.mixing import Failure, Watch, make_mixes
from structure.errors import RequestError


def mix_in_processes(
    folder: AlbumFolder,
    model: Path,
    fingerprint: str,
    *,
    wanted: set[int],
    jobs: int,
    watch: Watch,
) -> list[Failure]:
    """Mix songs in several processes.

    Args:
        folder: that knows its album.
        model: folder of the grain model.
        fingerprint: of it.
        wanted: numbers of the songs to be mixed.
        jobs: processes.
        watch: called with what each of them is doing.

    Returns:
        What failed; all other songs that are wanted have their mix.
    """
    # JAX runs threads, which a forked process would not have but believe in.
    context = multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    workers = [
        context.Process(
            target=_work,
            args=(folder.path, model, fingerprint, wanted, cores, os.getpid(), reports),
            daemon=True,
        )
        for cores in share_cores(min(jobs, len(wanted)))
    ]
    for worker in workers:
        worker.start()
    threading.Thread(target=_pass_on, args=(reports, inbox), daemon=True).start()
    failed: dict[int, Failure] = {}
    try:
        while any(worker.is_alive() for worker in workers) or not inbox.empty():
            try:
                said = inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if isinstance(said, Failure):
                failed[said.number] = said
            else:
                watch(said)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
        reports.put(None)
    return [
        *failed.values(),
        *_died(folder, fingerprint, wanted - set(failed), workers),
    ]


def share_cores(jobs: int) -> list[list[int]]:
    """The cores of this process, dealt out to jobs; more jobs than cores share them.

    >>> [len(cores) for cores in share_cores(1)] == [len(share_cores(1)[0])]
    True
    """
    if not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    return [cores[job::jobs] or [cores[job % len(cores)]] for job in range(jobs)]


def _pass_on(reports, inbox) -> None:
    # A process that is killed while it writes leaves half a message behind; then no
    # more can be read, and what is missing is seen in the folder.
    try:
        while (said := reports.get()) is not None:
            inbox.put(said)
    except (EOFError, OSError, ValueError, TypeError):
        return


def _died(folder, fingerprint, wanted, workers) -> list[Failure]:
    """Songs that nobody mixed and nobody said why."""
    album = folder.recorded().plan
    left = [
        track
        for track in album.tracks
        if track.number in wanted and not folder.is_mixed(track, fingerprint)
    ]
    codes = sorted({worker.exitcode for worker in workers if worker.exitcode})
    reason = f"its process ended with code {', '.join(map(str, codes)) or 0}"
    return [Failure(track.number, reason) for track in left]


def _work(path, model, fingerprint, wanted, cores, parent, reports) -> None:
    """What each process does."""
    # Ctrl-C is for the process that a person started; it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cores:
        os.sched_setaffinity(0, cores)
    # Several processes on one graphics card cannot each take most of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    from hierarchy.devices import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    use_all_cores()
    from hierarchy.micro.grains import GrainModel

    folder = AlbumFolder(path)
    recorded = folder.recorded()
    if recorded is None or recorded.model != fingerprint:
        raise RequestError(f"{path} is for another album by now")
    failures = make_mixes(
        folder,
        recorded.plan,
        GrainModel.read(model),
        fingerprint,
        wanted=wanted,
        watch=reports.put,
    )
    for failure in failures:
        reports.put(failure)


def _end_with(parent: int) -> None:
    """End this process soon after the one that started it, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
