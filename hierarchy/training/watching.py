"""What a person sees of a training, and how they stop it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hierarchy.training.recipe import FitConfig
from structure.files import whole_file

_PACE_OVER = 32
"""Steps over which throughput is measured."""

_SECONDS_BETWEEN = 0.1
"""Between two calls of on_progress."""


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


class Reports:
    """Scalars of steps and validations on their way to the log and the screen.

    The log is a file of JSON lines. A resumed training drops what was written
    after the step that it resumes from.
    """

    def __init__(
        self,
        log: Path | None,
        on_progress: Callable[[Progress], None] | None,
        *,
        config: FitConfig,
        step: int,
        seconds_before: float,
        items: int | None,
    ):
        """Begin at `step`, which took `seconds_before`.

        Args:
            log: None writes none.
            on_progress: called at most ten times a second.
            config: says how many steps and minutes there are.
            step: steps done so far.
            seconds_before: time spent in earlier runs.
            items: in a batch; None leaves it to be set before the first step.
        """
        self.items = items
        self._log, self._on_progress, self._config = log, on_progress, config
        self._began, self._before = time.monotonic(), seconds_before
        self._means = Means()
        self._times: deque[float] = deque(maxlen=_PACE_OVER + 1)
        self._latest: dict[str, float] = {}
        self._validation: float | None = None
        self._shown = -math.inf
        if log is not None:
            kept = [line for line in read_log(log) if line.get("step", 0) <= step]
            with whole_file(log) as draft:
                draft.write_text("".join(map(_line, kept)), encoding="utf-8")
        self._show(step)

    @property
    def spent(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """Seconds spent in all runs."""
        return self._before + self.spent

    @property
    def items_per_second(self) -> float | None:
        """Over the last steps, pauses left out; None until two in a row were seen."""
        if len(self._times) < 2 or not self.items:
            return None
        passed = self._times[-1] - self._times[0]
        return self.items * (len(self._times) - 1) / max(passed, 1e-9)

    def step(self, step: int, scalars: Mapping[str, float]) -> None:
        """A step was done."""
        self._times.append(time.monotonic())
        self._means.add(scalars)
        self._latest = dict(scalars)
        last = step == self._config.steps
        if last or step % self._config.log_every == 0:
            self._write(
                step=step,
                train=self._means.take(),
                items_per_second=self.items_per_second,
            )
        if last or time.monotonic() - self._shown > _SECONDS_BETWEEN:
            self._show(step)

    def validation(
        self, step: int, loss: float, metrics: Mapping[str, float], *, best: bool
    ) -> None:
        """A validation was done."""
        self._validation = loss
        self._write(step=step, validation={"loss": loss, **metrics}, best=best)
        self._show(step)
        self.pause()

    def pause(self) -> None:
        """Something that is no step took time."""
        self._times.clear()

    def _write(self, **line: Any) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(_line({**line, "seconds": round(self.seconds, 3)}))

    def _show(self, step: int) -> None:
        if self._on_progress is None:
            return
        self._shown = time.monotonic()
        metrics = dict(self._latest)
        self._on_progress(
            Progress(
                step=step,
                steps=self._config.steps,
                loss=metrics.pop("loss", None),
                metrics=metrics,
                seconds=self.seconds,
                items_per_second=self.items_per_second,
                eta=self._eta(step),
                validation=self._validation,
            )
        )

    def _eta(self, step: int) -> float | None:
        pace, minutes = self.items_per_second, self._config.minutes
        if pace is None:
            return None
        left = (self._config.steps - step) * self.items / pace
        return left if minutes is None else max(0, min(left, 60 * minutes - self.spent))


class Means:
    """Running means of scalars."""

    def __init__(self):
        self._sums: dict[str, float] = {}
        self._weight = 0

    def add(self, scalars: Mapping[str, float], weight: int = 1) -> None:
        """Count in one more set of scalars."""
        for name, value in scalars.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
        self._weight += weight

    def take(self) -> dict[str, float]:
        """The means so far; counting starts anew."""
        means = {name: total / self._weight for name, total in self._sums.items()}
        self._sums, self._weight = {}, 0
        return means


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; a line that a crash cut short is left out."""
    path, lines = Path(path), []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
    return lines


def _line(content: Mapping) -> str:
    return json.dumps(_without_nan(content)) + "\n"


def _without_nan(content: Any) -> Any:
    """JSON knows no nan: None instead."""
    if isinstance(content, Mapping):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


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
