"""The process that works for the studio: jobs as lines of JSON in, their fate out.

    in   {"id": 3, "do": "song", ...}        a job; one is worked on at a time
         {"stop": 3}                         give it up
    out  {"ready": true}                     it may begin
         {"id": 3, "stage": "Sampling", "done": 2, "total": 9}
         {"id": 3, "part": {...}}            something to show already
         {"id": 3, "end": {...}}             it is done
         {"id": 3, "refused": "sentence"}    what was asked cannot be
         {"id": 3, "stopped": true}
         {"id": 3, "fault": "traceback"}     a fault of ours

A process of its own, since JAX and decoders of strangers' files may take the memory
or the life of the process that they run in, and since the page must answer while they
work. It ends when its input does: nothing is left when the studio is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from structure.errors import RequestError

VERBS = {
    "wake": "songs:wake",
    "song": "songs:make_song",
    "again": "songs:make_again",
    "export": "songs:export",
    "pack": "songs:pack_model",
    "inspect": "albums:inspect_album",
    "learn": "learning:learn_style",
}
"""What a job may do, to the module of the studio and the function that does it."""

_SECONDS_BETWEEN = 0.1  # between two lines about how far a stage is


class Stopped(Exception):
    """The job was given up."""


class Told:
    """One job's line to the studio; every call sees whether the job is still wanted."""

    def __init__(self, number: int, write: Callable[[dict], None]):
        self.number, self._write = number, write
        self._wanted = threading.Event()
        self._wanted.set()

    def stop(self) -> None:
        """Make the next call raise Stopped."""
        self._wanted.clear()

    def check(self) -> None:
        """Raise Stopped if the job was given up."""
        if not self._wanted.is_set():
            raise Stopped

    def stage(self, name: str) -> Callable[[int, int], None]:
        """Begin a stage; returns what is to be called with (done, total)."""
        self._say(name, 0, 0)
        shown = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal shown
            self.check()
            if done >= total or time.monotonic() - shown > _SECONDS_BETWEEN:
                shown = time.monotonic()
                self._say(name, int(done), int(total))

        return report

    def part(self, **found: Any) -> None:
        """Show something before the job is done."""
        self.check()
        self._write({"id": self.number, "part": found})

    def _say(self, name: str, done: int, total: int) -> None:
        self.check()
        self._write({"id": self.number, "stage": name, "done": done, "total": total})


class Worker:
    """Reads jobs in one thread, does them in the main one."""

    def __init__(self, source: TextIO, sink: TextIO):
        self._source, self._sink = source, sink
        self._jobs: queue.Queue[tuple[dict, Told]] = queue.Queue()
        self._open: dict[int, Told] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Work until the process ends."""
        threading.Thread(target=self._read, daemon=True).start()
        self._write({"ready": True})
        while True:
            job, told = self._jobs.get()
            self._write(self._do(job, told))
            del self._open[told.number]

    def _read(self) -> None:
        for line in self._source:
            order = json.loads(line)
            if "stop" in order:
                if told := self._open.get(order["stop"]):
                    told.stop()
                continue
            told = Told(order["id"], self._write)
            self._open[told.number] = told
            self._jobs.put((order, told))
        # Whoever gave us work is gone.
        os._exit(0)

    def _do(self, job: dict, told: Told) -> dict:
        number = told.number
        try:
            told.check()
            module, _, name = VERBS[job["do"]].partition(":")
            work = getattr(importlib.import_module(f"hierarchy.studio.{module}"), name)
            return {"id": number, "end": work(job, told)}
        except Stopped:
            return {"id": number, "stopped": True}
        except RequestError as error:
            return {"id": number, "refused": str(error)}
        except MemoryError:
            return {"id": number, "refused": "there is not enough memory for that"}
        except OSError as error:
            if error.errno == 28:
                return {"id": number, "refused": "the disk is full"}
            return {"id": number, "fault": traceback.format_exc()}
        except Exception:  # noqa: BLE001, a job's fault is not the worker's end
            return {"id": number, "fault": traceback.format_exc()}

    def _write(self, message: dict) -> None:
        with self._lock:
            self._sink.write(json.dumps(message) + "\n")
            self._sink.flush()


def main() -> None:
    """Work on what comes from standard input; the argument is how nice to be."""
    os.nice(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    # Whatever else is printed must not get between the lines of our own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with os.fdopen(os.dup(0), encoding="utf-8") as orders:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        Worker(orders, answers).run()


if __name__ == "__main__":
    sys.exit(main())
