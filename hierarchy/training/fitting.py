"""A model, a loss and batches become a trained model.

    OUT/fit.json         config, settings and how the training ended or stands
    OUT/log.jsonl        training means, validations
    OUT/checkpoints/     the newest state and the best one

A step's batch and random key follow from its number, so a training that was
stopped goes on as if it had not been: on a CPU to the last bit.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import optax
from flax import nnx

from hierarchy.training.batches import Batch, ahead_of_time
from hierarchy.training.checkpoint import Checkpoints
from hierarchy.training.stepping import Devices, Loss, State, Stepper, batch_size
from hierarchy.training.watching import Log, Pace, Progress, StopSignals, Sums
from structure.errors import RequestError
from structure.files import whole_file

STEPS_IN_FLIGHT = 2
"""Steps handed to the devices before the scalars of the first are looked at."""

FREE_TO_CHANGE = {"minutes", "patience", "checkpoint_every", "log_every"}
"""What may differ when a training is resumed: none of it alters a step."""


class Diverged(RequestError):
    """The loss or its gradient is no longer a number; what was asked does not learn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How to train. Learning rate: linear warmup, then a cosine over all steps.

    steps: how many to take.
    minutes: stop after this time though steps are left; resume goes on.
    final_fraction: share of the learning rate left at the last step.
    weight_decay: of AdamW; on matrices and kernels, not on biases and gains.
    clip_norm: longest gradient; None lets all pass.
    ema_decay: validate and ship a running average of the weights; None does not.
    validate_every, checkpoint_every, log_every: in steps.
    patience: validations without a better one before stopping; None goes on.
    """

    steps: int = 10_000
    minutes: float | None = None
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_fraction: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    ema_decay: float | None = 0.999
    validate_every: int = 250
    checkpoint_every: int = 500
    log_every: int = 50
    patience: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "validate_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} starts at 1, got {getattr(self, name)}")
        for name in ("minutes", "learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is above 0, got {value}")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup_steps is below steps, got {self.warmup_steps} of {self.steps}"
            )
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} is from 0 to below 1, got {value}")
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction is 0 to 1, got {self.final_fraction}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay starts at 0, got {self.weight_decay}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience starts at 1, got {self.patience}")
        if self.seed < 0:
            raise ValueError(f"seed starts at 0, got {self.seed}")

    def schedule(self) -> optax.Schedule:
        """Step to learning rate."""
        return optax.warmup_cosine_decay_schedule(
            init_value=self.learning_rate / max(1, self.warmup_steps),
            peak_value=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.steps,
            end_value=self.learning_rate * self.final_fraction,
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Clipped AdamW.

        Source: Loshchilov and Hutter, arXiv:1711.05101.
        """
        clip = (
            optax.identity()
            if self.clip_norm is None
            else optax.clip_by_global_norm(self.clip_norm)
        )
        return optax.chain(
            clip,
            optax.adamw(
                self.schedule(),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=self.weight_decay,
                mask=lambda weights: jax.tree.map(lambda x: x.ndim > 1, weights),
            ),
        )


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
            would ship, whenever a checkpoint was taken, in the first process.

    Returns:
        FitResult.

    Raises:
        RequestError: if a batch does not divide among the devices, or the folder
            holds another training.
        Diverged: if the loss stops being a number; the last checkpoint stays.
    """
    validation_loss = validation_loss or loss
    stepper = Stepper(
        model,
        loss,
        validation_loss=validation_loss,
        optimizer=config.optimizer(),
        schedule=config.schedule(),
        ema_decay=config.ema_decay,
        seed=config.seed,
        trainable=trainable,
        devices=Devices.all(),
    )
    out = Path(out)
    described = {
        "config": dataclasses.asdict(config),
        # There and back, so that tuples and lists compare as the file has them.
        "settings": json.loads(json.dumps(dict(settings or {}))),
    }
    _check_folder(out, described, resume=resume)
    with Checkpoints(out / "checkpoints") as checkpoints:
        run = _Run(
            stepper, batches, validation, config, out, described, checkpoints, items
        )
        run.on_progress, run.on_checkpoint = on_progress, on_checkpoint
        result, shipped = run.go()
    nnx.update(model, shipped)
    return result


@dataclasses.dataclass
class _Standing:
    """What a checkpoint's record carries beside the arrays."""

    seconds: float = 0.0
    best_step: int | None = None
    best_loss: float | None = None
    best_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    stale: int = 0  # validations since the best one
    validated: int | None = None  # the step of the last validation
    stopped: str | None = None


class _Run:
    """One call of `fit`: the loop and what it counts."""

    on_progress: Callable[[Progress], None] | None = None
    on_checkpoint: Callable[[int, nnx.Module], None] | None = None

    def __init__(
        self, stepper, batches, validation, config, out, described, checkpoints, items
    ):
        self.stepper: Stepper = stepper
        self.batches, self.validation = batches, validation
        self.config: FitConfig = config
        self.out, self.described = out, described
        self.checkpoints: Checkpoints = checkpoints
        self.first = jax.process_index() == 0
        self.began = time.monotonic()
        self.state: State = stepper.start()
        self.standing = _Standing()
        self.done = 0
        if checkpoints.steps:
            self.done = checkpoints.steps[-1]
            self.standing = _Standing(**checkpoints.record(self.done))
            self.state = checkpoints.restore(self.done, self.state)
            checkpoints.best_step = self.standing.best_step
        self.saved = self.done
        self.seconds_before = self.standing.seconds
        self.log = Log(
            out / "log.jsonl" if self.first else None,
            from_step=self.done,
        )
        self.sums = Sums()
        self.pending: deque[tuple[int, dict]] = deque()
        self.items = items
        self.pace = Pace(items or 1)
        self.shown = -math.inf
        self.halt = False
        self.latest: dict[str, float] = {}
        self.latest_validation: float | None = None

    # ---- The loop --------------------------------------------------------------

    def go(self) -> tuple[FitResult, nnx.State]:
        stopped = self.standing.stopped
        if stopped not in ("steps", "patience"):
            self._note("running")
            try:
                stopped = self._train()
            except BaseException:
                self._note("unfinished")
                raise
        return self._result(stopped)

    def _train(self) -> str:
        config = self.config
        devices = self.stepper.devices
        flags = [devices.flag(raised) for raised in (False, True)]
        self._show(force=True)
        with StopSignals() as signals:
            stream = ahead_of_time(
                lambda step: self._placed(step), self.done, config.steps
            )
            try:
                for batch in stream:
                    raised = bool(signals.received) or self._out_of_time()
                    if raised and jax.process_count() == 1:
                        break
                    self.state, scalars = self.stepper.step(
                        self.state, batch, flags[raised]
                    )
                    jax.tree.map(lambda x: x.copy_to_host_async(), scalars)
                    self.done += 1
                    self.pending.append((self.done, scalars))
                    self._settle(STEPS_IN_FLIGHT)
                    # All processes look at the same step's flags, so they stop
                    # together, though a signal or a clock reached only one.
                    if self.halt:
                        break
                    if self._rounded_off() and self._patience_is_over():
                        self._save("patience")
                        return "patience"
            finally:
                stream.close()
            self._settle(0)
            if self.done >= config.steps:
                self._validate()
                self._save("steps")
                return "steps"
            # Someone who waits for the program to end wants it to end.
            if not signals.received:
                self._validate(counts=False)
            self._save("signal" if signals.received else "time")
            return "signal" if signals.received else "time"

    def _rounded_off(self) -> bool:
        """Validate, save and log where due; whether it validated."""
        config, validated = self.config, False
        if self.done % config.validate_every == 0:
            self._settle(0)
            validated = self._validate()
        if self.done % config.checkpoint_every == 0:
            self._save()
        return validated

    def _patience_is_over(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.standing.stale >= patience

    def _out_of_time(self) -> bool:
        minutes = self.config.minutes
        return minutes is not None and time.monotonic() - self.began > 60 * minutes

    def _placed(self, step: int) -> Batch:
        batch = self.batches(step)
        if self.items is None:
            self.items = batch_size(batch)
            self.pace = Pace(self.items)
        return self.stepper.devices.place(batch)

    # ---- Scalars come back -------------------------------------------------------

    def _settle(self, at_most: int) -> None:
        """Take in the scalars of steps until no more than `at_most` are out."""
        while len(self.pending) > at_most:
            step, scalars = self.pending.popleft()
            values = {name: float(x) for name, x in jax.device_get(scalars).items()}
            self.halt = self.halt or values.pop("flag") > 0
            for name in ("loss", "grad_norm"):
                if not math.isfinite(values[name]):
                    raise self._divergence(step, name, values)
            self.pace.tick()
            self.sums.add(values)
            self.latest = values
            if step % self.config.log_every == 0 or step == self.config.steps:
                self.log.write(
                    step=step,
                    train=self.sums.means(),
                    seconds=round(self._seconds(), 3),
                    items_per_second=self.pace.items_per_second,
                )
            self._show(step)

    def _divergence(self, step: int, name: str, values: Mapping) -> Diverged:
        self.checkpoints.wait()
        kept = self.checkpoints.steps
        rescue = (
            f"the checkpoint of step {kept[-1]} stays in {self.checkpoints.folder}"
            if kept
            else "there was no checkpoint yet"
        )
        what = {"loss": "the loss", "grad_norm": "the gradient"}[name]
        return Diverged(
            f"at step {step} {what} became {values[name]} (learning rate "
            f"{values['learning_rate']:.3g}); {rescue}. A lower learning_rate or "
            "clip_norm, or a longer warmup, usually helps"
        )

    def _validate(self, *, counts: bool = True) -> bool:
        """Judge the weights as they would ship; saves them if they are the best."""
        if not self.validation or self.standing.validated == self.done:
            return False
        self.pace.pause()
        sums = Sums()
        place = self.stepper.devices.place
        for index, batch in enumerate(self.validation):
            size = batch_size(batch)
            placed = place(batch, or_whole=True)
            values = jax.device_get(self.stepper.evaluate(self.state, placed, index))
            sums.add({name: float(x) for name, x in values.items()}, weight=size)
        means = sums.means()
        loss = means.pop("loss")
        standing = self.standing
        standing.validated = self.done
        self.latest_validation = loss
        best = standing.best_loss
        better = loss is not None and (best is None or loss < best)
        if better:
            standing.best_step, standing.best_loss = self.done, loss
            standing.best_metrics = means
            standing.stale = 0
        elif counts:
            standing.stale += 1
        self.log.write(
            step=self.done,
            validation={"loss": loss, **means},
            best=better,
            seconds=round(self._seconds(), 3),
        )
        self._show(force=True)
        if better:
            self.checkpoints.best_step = self.done
            self._save()
        return True

    # ---- Files and reports -------------------------------------------------------

    def _save(self, stopped: str | None = None) -> None:
        self._settle(0)
        self.pace.pause()
        self.standing.seconds = self._seconds()
        self.standing.stopped = stopped
        if self.saved != self.done:
            record = dataclasses.asdict(self.standing)
            self.checkpoints.save(self.done, self.state, record)
            self.saved = self.done
            if self.on_checkpoint and self.first and stopped != "signal":
                self.on_checkpoint(self.done, self.stepper.model(self.state))
        if stopped:
            self.checkpoints.wait()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def _show(self, step: int | None = None, *, force: bool = False) -> None:
        now = time.monotonic()
        if not (self.on_progress and self.first):
            return
        if not force and now - self.shown < 0.1 and step != self.config.steps:
            return
        self.shown = now
        step = self.done if step is None else step
        pace = self.pace.items_per_second
        eta = None
        if pace and self.items:
            eta = (self.config.steps - step) * self.items / pace
            if self.config.minutes is not None:
                left = 60 * self.config.minutes - (now - self.began)
                eta = max(0.0, min(eta, left))
        metrics = dict(self.latest)
        self.on_progress(
            Progress(
                step=step,
                steps=self.config.steps,
                loss=metrics.pop("loss", None),
                metrics=metrics,
                seconds=self._seconds(),
                items_per_second=pace,
                eta=eta,
                validation=self.latest_validation,
            )
        )

    def _note(self, state: str) -> None:
        if self.first:
            note = {**self.described, "state": state, "step": self.done}
            note |= dataclasses.asdict(self.standing)
            with whole_file(self.out / "fit.json") as draft:
                draft.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")

    def _result(self, stopped: str) -> tuple[FitResult, nnx.State]:
        standing, state = self.standing, self.state
        standing.stopped = stopped
        if standing.best_step not in (None, self.done):
            state = self.checkpoints.restore(standing.best_step, state)
        result = FitResult(
            steps=self.done,
            stopped=stopped,
            best_step=standing.best_step,
            best_loss=standing.best_loss,
            best_metrics=standing.best_metrics,
            seconds=self._seconds() if self.saved == self.done else standing.seconds,
        )
        self._note("finished" if result.finished else "unfinished")
        return result, self.stepper.shipped(state)


def _check_folder(out: Path, described: Mapping, *, resume: bool) -> None:
    path = out / "fit.json"
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise RequestError(f"{path} is damaged; begin in another folder") from None
    if not resume:
        raise RequestError(
            f"{out} holds a training ({before.get('state')}, step "
            f"{before.get('step')}); resume it or choose another folder"
        )
    differences = []
    for part in ("config", "settings"):
        old, new = before.get(part, {}), described[part]
        for key in sorted({*old, *new} - FREE_TO_CHANGE):
            if old.get(key) != new.get(key):
                differences.append(f"{key} was {old.get(key)!r}, is {new.get(key)!r}")
    if differences:
        raise RequestError(f"cannot resume {out}: {'; '.join(differences)}")
