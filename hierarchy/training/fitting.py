"""A model, a loss and batches become a trained model.

    OUT/fit.json         config, settings and how the training ended or stands
    OUT/log.jsonl        training means, validations
    OUT/checkpoints/     the newest state and the best one

A step's batch and random key follow from its number, so a training that was
stopped goes on as if it had not been: on a CPU to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx
from jax.experimental import multihost_utils

from hierarchy.training.batches import Batch, ahead_of_time
from hierarchy.training.checkpoint import Checkpoints
from hierarchy.training.recipe import FitConfig
from hierarchy.training.stepping import Devices, Loss, Stepper, batch_size
from hierarchy.training.watching import Means, Progress, Reports, StopSignals
from structure.errors import RequestError
from structure.files import whole_file

STEPS_IN_FLIGHT = 2
"""How many steps the devices may have before them that nobody looked at yet."""

FREE_TO_CHANGE = {"minutes", "patience", "checkpoint_every", "log_every"}
"""What may differ when a training is resumed: none of it alters a step."""


_HALTS = (None, "time", "signal")
_GO, _TIME_IS_UP, _SIGNAL = range(3)


class Diverged(RequestError):
    """The loss or its gradient is no longer a number; what was asked does not learn."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """How a training ended.

    steps: taken in all.
    stopped: "steps" and "patience" are ends; after "time" or "signal" it can be
        resumed.
    best_step, best_loss, best_metrics: the validation whose weights the model
        now has; None and {} without validation, then it has the last weights.
    seconds: spent in all.
    """

    steps: int
    stopped: Literal["steps", "patience", "time", "signal"]
    best_step: int | None
    best_loss: float | None
    best_metrics: Mapping[str, float]
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether there is nothing to resume."""
        return self.stopped in ("steps", "patience")


def fit(
    model: nnx.Module,
    loss: Loss,
    batches: Callable[[int], Batch],
    *,
    validation: Sequence[Batch] = (),
    config: FitConfig,
    out: str | Path,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    validation_loss: Loss | None = None,
    trainable: Any = nnx.Param,
    items: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_checkpoint: Callable[[int, nnx.Module], None] | None = None,
) -> FitResult:
    """Train a model in place, on all devices of all processes.

    Args:
        model: where training starts; at the end it has the best weights.
        loss: (model, batch, key) to the mean loss over the batch and a dict of
            further scalars; jitted, in float32 or whatever the model computes in.
            If it is an `additive.Additive`, devices have it in parts, CPUs item by
            item and others as much as their memory holds, which gives the same
            but for rounding.
        batches: step to a global batch, a pytree of numpy arrays with a common
            first axis; a pure function, called from threads.
        validation: batches of held-out material, the same each time.
        out: a folder; see above. With several processes, one that all can see.
        resume: go on from the newest checkpoint, if there is one.
        settings: what else makes this training what it is (the model's config, a
            hash of the corpus), as JSON; a resumed one must have the same.
        validation_loss: what to judge by, if not by `loss`.
        trainable: an NNX filter; what it leaves out stays as it is.
        items: how many items a batch counts as for throughput; its first axis
            if None.
        on_progress: called with a Progress at the start and after steps, at most
            ten times a second, in the first process.
        on_checkpoint: called with the step and a model of the weights as they
            would ship, every `checkpoint_every` steps and at the end, in the
            first process; a place for previews.

    Returns:
        FitResult.

    Raises:
        RequestError: if a batch does not divide among the devices, or the folder
            holds another training.
        Diverged: if the loss stops being a number; the last checkpoint stays.
    """
    first = jax.process_index() == 0
    folder = _Folder(Path(out), config, settings or {}, writes=first)
    folder.check(resume=resume)
    stepper = Stepper(
        model,
        loss,
        validation_loss=validation_loss or loss,
        optimizer=config.optimizer(),
        schedule=config.schedule(),
        ema_decay=config.ema_decay,
        start_share=config.start_share,
        seed=config.seed,
        trainable=trainable,
        devices=Devices.all(),
    )
    with Checkpoints(folder.path / "checkpoints") as checkpoints:
        run = _Run(
            config,
            stepper,
            validation,
            checkpoints,
            folder,
            on_checkpoint if first else None,
        )
        result = run.go(batches, items, on_progress if first else None)
        nnx.update(model, run.best())
    return result


@dataclasses.dataclass
class _Standing:
    """What a checkpoint's record carries beside the arrays."""

    seconds: float = 0.0
    best_step: int | None = None
    best_loss: float | None = None
    best_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    stale: int = 0  # validations since the best one


class _Run:
    """One call of `fit`: the state between steps, and what is done with it."""

    def __init__(
        self,
        config: FitConfig,
        stepper: Stepper,
        validation: Sequence[Batch],
        checkpoints: Checkpoints,
        folder: _Folder,
        on_checkpoint: Callable[[int, nnx.Module], None] | None,
    ):
        self.config, self.stepper, self.validation = config, stepper, validation
        self.checkpoints, self.folder = checkpoints, folder
        self.on_checkpoint = on_checkpoint
        self.state, self.done, self.standing = stepper.start(), 0, _Standing()
        if checkpoints.steps:
            self.done = checkpoints.steps[-1]
            self.state = checkpoints.restore(self.done, self.state)
            self.standing = _Standing(**checkpoints.record(self.done))
            checkpoints.best_step = self.standing.best_step
        self.saved, self.shown = self.done, self.done
        self.pending: deque[tuple[int, dict]] = deque()
        self.halt: int = _GO

    def go(
        self,
        batches: Callable[[int], Batch],
        items: int | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> FitResult:
        """Train until something ends it."""
        self.reports = Reports(
            self.folder.log,
            on_progress,
            config=self.config,
            step=self.done,
            seconds_before=self.standing.seconds,
            items=items,
        )
        stopped = self._ended()
        if stopped is None:
            self._note("running")
            try:
                stopped = self._train(batches)
            except BaseException:
                self._note("broken off")
                raise
        result = FitResult(
            steps=self.done,
            stopped=stopped,
            best_step=self.standing.best_step,
            best_loss=self.standing.best_loss,
            best_metrics=self.standing.best_metrics,
            seconds=self.standing.seconds,
        )
        self._note("finished" if result.finished else f"unfinished ({stopped})")
        return result

    def best(self) -> nnx.State:
        """The weights to hand over: those that validated best, or the last."""
        state = self.state
        if self.standing.best_step not in (None, self.done):
            state = self.checkpoints.restore(self.standing.best_step, state)
        return self.stepper.shipped(state)

    def _train(self, batches: Callable[[int], Batch]) -> str:
        """Take steps, and say what ended them."""
        config, devices = self.config, self.stepper.devices
        flags = [devices.flag(kind) for kind in range(len(_HALTS))]
        stream = ahead_of_time(
            lambda step: devices.place(batches(step)), self.done, config.steps
        )
        with StopSignals() as signals, contextlib.closing(stream):
            for batch in stream:
                asked = self._asked_to_stop(signals)
                if asked and jax.process_count() == 1:
                    self.halt = asked
                    break
                self.state, scalars = self.stepper.step(self.state, batch, flags[asked])
                jax.tree.map(lambda x: x.copy_to_host_async(), scalars)
                self.done += 1
                self.pending.append((self.done, scalars))
                self.reports.items = self.reports.items or batch_size(batch)
                self._look(STEPS_IN_FLIGHT)
                # All processes look at the flags of the same step, so they stop
                # together, though a signal or a clock reached only one of them.
                if self.halt:
                    break
                last = self.done == config.steps
                if last or self.done % config.validate_every == 0:
                    self._validate()
                if last or self.done % config.checkpoint_every == 0:
                    self._save(show=True)
                if self._ended():
                    break
            self._look(0)
            # Whoever sent a signal wants an end, not another validation.
            if self.halt == _TIME_IS_UP and self.saved != self.done:
                self._validate(scheduled=False)
            self._save(show=self.halt != _SIGNAL)
            self.checkpoints.wait()
        self.standing.seconds = self.reports.seconds
        return self._ended() or _HALTS[self.halt]

    def _ended(self) -> Literal["steps", "patience"] | None:
        patience = self.config.patience
        if self.done >= self.config.steps:
            return "steps"
        if patience is not None and self.standing.stale >= patience:
            return "patience"
        return None

    def _asked_to_stop(self, signals: StopSignals) -> int:
        if signals.received:
            return _SIGNAL
        minutes = self.config.minutes
        return _TIME_IS_UP if minutes and self.reports.spent > 60 * minutes else _GO

    def _look(self, at_most: int) -> None:
        """Fetch the scalars of steps until no more than `at_most` are out."""
        while len(self.pending) > at_most:
            step, scalars = self.pending.popleft()
            values = {name: float(x) for name, x in jax.device_get(scalars).items()}
            self.halt = max(self.halt, int(values.pop("flag")))
            for name, what in (("loss", "the loss"), ("grad_norm", "the gradient")):
                if not math.isfinite(values[name]):
                    raise self._diverged(step, f"{what} became {values[name]}", values)
            self.reports.step(step, values)

    def _diverged(self, step: int, what: str, values: Mapping) -> Diverged:
        self.checkpoints.wait()
        kept = self.checkpoints.steps
        rescue = (
            f"the checkpoint of step {kept[-1]} stays in {self.checkpoints.folder}"
            if kept
            else "there was no checkpoint yet"
        )
        return Diverged(
            f"at step {step} {what}, at a learning rate of "
            f"{values['learning_rate']:.3g}; {rescue}. A lower learning_rate or "
            "clip_norm or a longer warmup usually helps"
        )

    def _validate(self, *, scheduled: bool = True) -> None:
        """Judge the weights as they would ship, and keep them if they are the best."""
        if not self.validation:
            return
        self._look(0)
        means = Means()
        for index, batch in enumerate(self.validation):
            placed = self.stepper.devices.place(batch, or_whole=True)
            values = jax.device_get(self.stepper.evaluate(self.state, placed, index))
            means.add(
                {name: float(x) for name, x in values.items()}, weight=batch_size(batch)
            )
        metrics = means.take()
        loss = metrics.pop("loss")
        standing = self.standing
        better = standing.best_loss is None or loss < standing.best_loss
        # A comparison with nan is False, but the very first has nothing to compare.
        better = better and math.isfinite(loss)
        self.reports.validation(self.done, loss, metrics, best=better)
        if better:
            standing.best_step, standing.best_loss = self.done, loss
            standing.best_metrics, standing.stale = metrics, 0
            self.checkpoints.best_step = self.done
            self._save()
        elif scheduled:
            standing.stale += 1

    def _save(self, *, show: bool = False) -> None:
        self._look(0)
        if self.saved != self.done:
            self.standing.seconds = self.reports.seconds
            record = dataclasses.asdict(self.standing)
            self.checkpoints.save(self.done, self.state, record)
            self.saved = self.done
        if show and self.on_checkpoint and self.shown != self.done:
            self.shown = self.done
            self.on_checkpoint(self.done, self.stepper.model(self.state))
        self.reports.pause()

    def _note(self, status: str) -> None:
        self.folder.note(status, step=self.done, **dataclasses.asdict(self.standing))


@dataclasses.dataclass(frozen=True)
class _Folder:
    """Where a training keeps its files, and what it is."""

    path: Path
    config: FitConfig
    settings: Mapping[str, Any]
    writes: bool

    @property
    def log(self) -> Path | None:
        """The log, in the process that writes it."""
        return self.path / "log.jsonl" if self.writes else None

    def check(self, *, resume: bool) -> None:
        """Refuse to overwrite a training, or to go on with another one."""
        if any((self.path / "checkpoints").glob("[0-9]*")):
            before = self._read()
            if not resume:
                raise RequestError(
                    f"{self.path} holds a training ({before.get('status')}, step "
                    f"{before.get('step')}); resume it or choose another folder"
                )
            if differences := list(self._differences(before)):
                raise RequestError(
                    f"cannot resume {self.path}: {'; '.join(differences)}"
                )
        if jax.process_count() > 1:
            # Nobody writes here before everybody has looked.
            multihost_utils.sync_global_devices("the folder of a training")

    def note(self, status: str, **standing: Any) -> None:
        """Write fit.json."""
        if self.writes:
            note = {"status": status, **standing, **self._described()}
            with whole_file(self.path / "fit.json") as draft:
                draft.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")

    def _read(self) -> dict:
        path = self.path / "fit.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{self.path} has checkpoints, but {path.name} cannot be read "
                f"({error}); choose another folder"
            ) from None

    def _described(self) -> dict:
        return {
            "config": dataclasses.asdict(self.config),
            "settings": dict(self.settings),
        }

    def _differences(self, before: Mapping) -> Iterator[str]:
        # Through JSON and back, since the file knows no tuples.
        now = json.loads(json.dumps(self._described()))
        for part in ("config", "settings"):
            old, new = before.get(part, {}), now[part]
            for key in sorted({*old, *new}):
                free = part == "config" and key in FREE_TO_CHANGE
                if old.get(key) != new.get(key) and not free:
                    yield f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
