"""Jobs wait in a lane and are done one after another, each by a process of ours.

Making songs and learning styles have a lane each, so that nobody waits half an hour
for a song because somebody else's album is being learned.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import hierarchy
from structure.errors import RequestError

log = logging.getLogger("song-studio")

State = Literal["waiting", "working", "done", "refused", "stopped", "failed"]
OVER = ("done", "refused", "stopped", "failed")

GRACE = 3.0  # seconds that a process has to give up a job before it is ended
_LONGEST_LINE = 8 << 20

FAULT = (
    "Something went wrong inside the studio; it is not what you asked. Please try "
    "again, and if it comes back, report what the terminal says."
)

_numbers = itertools.count(1)


@dataclasses.dataclass(eq=False)
class Job:
    """A piece of work, and how far it is.

    Attributes:
        order: what the worker is told; "do" names a verb of `worker.VERBS`.
        about: which song or album it belongs to, for the page.
        changed: called whenever something here changes.
        on_part: called with what the worker shows before it is done.
        on_end: called with what came out.
        silence: seconds without a word from the worker after which it is given up.
    """

    order: dict[str, Any]
    about: str = ""
    changed: Callable[[], None] = lambda: None
    on_part: Callable[[dict], None] = lambda part: None
    on_end: Callable[[dict], None] = lambda result: None
    silence: float = 600.0
    number: int = dataclasses.field(default_factory=lambda: next(_numbers))
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    unwanted: bool = False
    began: float | None = None
    result: dict[str, Any] | None = None
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def end(self, state: State, message: str = "", result: dict | None = None) -> None:
        """Settle its fate, once."""
        if self.state not in OVER:
            self.state, self.message, self.result = state, message, result
            self.over.set()
            if result is not None:
                self.on_end(result)
            self.changed()

    async def outcome(self) -> dict[str, Any]:
        """What came out.

        Raises:
            RequestError: with a sentence, if nothing did.
        """
        await self.over.wait()
        if self.result is None:
            raise RequestError(self.message or "it was stopped")
        return self.result


class Lane:
    """One worker and those who wait for it.

    Args:
        keep: keep the process for the next job, with all that it has in memory.
        wake: an order to give to a new process before any job.
        nice: how much the process stands back for others, 0 to 19.
        command: what to run instead of `worker`, for tests.
    """

    def __init__(
        self,
        *,
        keep: bool,
        wake: dict | None = None,
        nice: int = 0,
        command: tuple[str, ...] | None = None,
    ):
        self.awake = False
        self._keep, self._wake = keep, wake
        # Not from the folder that the studio was started in: what lies there is not
        # ours, so -P.
        worker = ("-P", "-m", "hierarchy.studio.worker", str(nice))
        self._command = command or (sys.executable, *worker)
        self._waiting: list[Job] = []
        self._now: Job | None = None
        self._waking: Job | None = None
        self._new = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    def put(self, job: Job) -> Job:
        """Let a job wait for its turn."""
        self._waiting.append(job)
        self._new.set()
        if self._waking is not None and self._process is not None:
            # Rather this one than what was only to be ready for it.
            self._send({"stop": self._waking.number})
        job.changed()
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs come before it."""
        if job not in self._waiting:
            return 0
        return self._waiting.index(job) + (self._now is not None)

    def stop(self, job: Job) -> None:
        """Give a job up, whether it waits or is worked on."""
        if job in self._waiting:
            self._waiting.remove(job)
            job.end("stopped")
            for other in self._waiting:
                other.changed()
        elif job is self._now:
            job.unwanted = True
            if self._keep and self._process is not None:
                self._send({"stop": job.number})
                asyncio.get_running_loop().call_later(GRACE, self._insist, job)
            else:
                self._kill()

    async def run(self) -> None:
        """Work until cancelled; then nothing of it is left running."""
        try:
            if self._wake is not None:
                self._waking = Job(dict(self._wake))
                await self._work(self._waking)
                self._waking = None
                self.awake = True
            while True:
                await self._new.wait()
                self._new.clear()
                while self._waiting:
                    job = self._waiting.pop(0)
                    for other in self._waiting:
                        other.changed()
                    await self._work(job)
        finally:
            await self._end()

    async def _work(self, job: Job) -> None:
        self._now, job.state, job.began = job, "working", time.monotonic()
        job.changed()
        try:
            if self._process is None or self._process.returncode is not None:
                await self._start()
            if job.unwanted:
                job.end("stopped")
                return
            self._send(job.order | {"id": job.number})
            while job.state == "working":
                line = await asyncio.wait_for(
                    self._process.stdout.readline(), job.silence
                )
                if not line:
                    await self._process.wait()
                    raise ConnectionError(f"ended with {self._process.returncode}")
                self._hear(job, json.loads(line))
        except TimeoutError:
            log.error("%s: nothing heard for %.0f s", job.order["do"], job.silence)
            job.end("failed", "It took too long without getting further; try again.")
        except (OSError, ValueError) as error:
            if job.unwanted:
                job.end("stopped")
            else:
                log.error("%s: the worker %s", job.order["do"], error)
                job.end("failed", FAULT)
        finally:
            self._now = None
            if not self._keep or job.state in ("working", "failed"):
                await self._end()

    def _hear(self, job: Job, said: dict) -> None:
        if said.get("id") != job.number:
            return
        if "stage" in said:
            job.stage, job.done, job.total = said["stage"], said["done"], said["total"]
            job.changed()
        elif "part" in said:
            job.on_part(said["part"])
        elif "end" in said:
            job.end("done", result=said["end"])
        elif "refused" in said:
            job.end("refused", said["refused"])
        elif "stopped" in said:
            job.end("stopped")
        elif "fault" in said:
            log.error("%s\n%s", job.order["do"], said["fault"])
            job.end("failed", FAULT)

    async def _start(self) -> None:
        home = str(Path(hierarchy.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
            limit=_LONGEST_LINE,
            # Ctrl-C is for the studio; the worker ends when its input does.
            start_new_session=True,
        )
        self._process = process

    def _send(self, order: dict) -> None:
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _insist(self, job: Job) -> None:
        if job is self._now and job.state == "working":
            self._kill()

    async def _end(self) -> None:
        """Let nothing of the process be left."""
        if self._process is None:
            return
        self._kill()
        self._process.stdin.close()
        await self._process.wait()
        self._process = None

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
