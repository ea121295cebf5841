"""Contestants that take turns, each in processes of its own, bound to given cores."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def one_thread_each() -> None:
    """Let every process have BLAS and OpenMP of one thread. Before any starts."""
    # Read when a process first imports NumPy: its BLAS starts threads at once.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def cores(count: int) -> list[int]:
    """The first so many cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))[:count]
    return list(range(count))


def _work(pipe, module: str, name: str, arguments: dict, bound: Sequence[int]) -> None:
    """A process: builds one, then runs as much as it is told."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, bound)
    sys.path.insert(0, str(Path(__file__).parent))
    one = getattr(importlib.import_module(module), name)(**arguments)
    least = getattr(one, "least", 1)
    one.run(least)
    pipe.send(least)
    while (amount := pipe.recv()) is not None:
        began = time.perf_counter()
        one.run(amount)
        seconds = time.perf_counter() - began
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send((seconds, most * (1 if platform.system() == "Darwin" else 1024)))


class Contestant:
    """Something that can be run for a while, in one or several processes at once.

    Attributes:
        amount: what `run` is given, so that a turn lasts `seconds` at least.
        turns: seconds of each turn so far, all processes done.
        bytes: most memory that its processes have held, summed.
    """

    def __init__(
        self,
        module: str,
        name: str,
        shards: Sequence[tuple[dict, Sequence[int]]],
        *,
        seconds: float = 1.0,
    ):
        """Start it.

        Args:
            module, name: of a class with `run(amount)`, and `least` if amounts are
                multiples of something.
            shards: arguments and cores of each process.
            seconds: that a turn lasts at least.
        """
        spawn = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for arguments, bound in shards:
            here, there = spawn.Pipe()
            process = spawn.Process(
                target=_work, args=(there, module, name, arguments, list(bound))
            )
            process.start()
            there.close()  # so that a process that dies is noticed
            self._pipes.append(here)
            self._processes.append(process)
        self.amount, self.turns, self.bytes = 0, [], 0
        self.amount = max(pipe.recv() for pipe in self._pipes)
        # As much as lasts long enough, found by growing.
        while (took := self.turn()) < seconds:
            self.amount *= min(16, max(2, round(seconds / took)))
        self.turns.clear()

    def turn(self) -> float:
        """One turn of all processes at once; seconds until the last is done."""
        began = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(self.amount)
        told = [pipe.recv() for pipe in self._pipes]
        self.bytes = sum(most for _, most in told)
        self.turns.append(time.perf_counter() - began)
        return self.turns[-1]

    def end(self) -> None:
        """Let its processes end."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()
