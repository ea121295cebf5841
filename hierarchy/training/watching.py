"""What a person sees of a training, and how they stop it."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from structure.files import whole_file


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    step: steps done, of `steps`.
    loss, metrics: of that step; loss is None before the first.
    seconds: spent in all, earlier runs of a resumed training included.
    items_per_second: None until two steps were timed.
    eta: seconds left at this pace, or until the time limit if that is sooner.
    validation: latest validation loss, None before the first.
    """

    step: int
    steps: int
    loss: float | None
    metrics: Mapping[str, float]
    seconds: float
    items_per_second: float | None
    eta: float | None
    validation: float | None


class Pace:
    """Items per second over the last steps, pauses left out."""

    def __init__(self, items: int, *, over: int = 32):
        self._items, self._times = items, deque(maxlen=over + 1)

    def tick(self) -> None:
        """A step was done."""
        self._times.append(time.monotonic())

    def pause(self) -> None:
        """Something other than a step comes next."""
        self._times.clear()

    @property
    def items_per_second(self) -> float | None:
        """None until two steps in a row were seen."""
        if len(self._times) < 2:
            return None
        passed = self._times[-1] - self._times[0]
        return self._items * (len(self._times) - 1) / max(passed, 1e-9)


class Log:
    """A file of JSON lines, one a report; only ever appended to.

    A resumed training drops what was written after the step it resumes from.
    """

    def __init__(self, path: Path | None, *, from_step: int):
        self._path = path
        if path is None:
            return
        kept = [line for line in _lines(path) if line.get("step", 0) <= from_step]
        with whole_file(path) as draft:
            draft.write_text("".join(map(_dumped, kept)), encoding="utf-8")

    def write(self, **line: Any) -> None:
        """Append one line."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_dumped(line))


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # a line that a crash cut short
    return lines


def _dumped(line: Mapping) -> str:
    return json.dumps(line, default=float) + "\n"


class Sums:
    """Means of scalars over the steps since the last report."""

    def __init__(self):
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, scalars: Mapping[str, float], weight: int = 1) -> None:
        """Count one more set of scalars."""
        for name, value in scalars.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
        self._count += weight

    def means(self) -> dict[str, float]:
        """The means; counting starts anew. Empty if nothing was added."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return {name: x if math.isfinite(x) else None for name, x in means.items()}


class StopSignals:
    """While open, the first SIGINT or SIGTERM is noted instead of obeyed.

    A second one does what it always does.
    """

    def __init__(self):
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python delivers signals to the main thread; elsewhere they are its affair.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def __exit__(self, *_) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # None: a handler that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
