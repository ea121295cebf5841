"""How to train: the numbers, and the optimizer that they make."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from structure.errors import RequestError

MUON_SPREAD = 0.2  # of Muon's updates before the learning rate: as large as Adam's are


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How to train. Learning rate: linear warmup, then a cosine over all steps.

    steps: how many to take.
    minutes: stop after this time though steps are left; resume goes on.
    learning_rate: at its highest, after the warmup.
    warmup_steps: over which it rises from nothing.
    final_fraction: share of the learning rate left at the last step.
    beta1, beta2: of AdamW: how long gradients, and their squares, are remembered.
    weight_decay: of AdamW; on matrices and kernels, not on biases and gains.
    muon: parts of the model whose matrices Muon trains instead, as they are named in
        its weights up to the first dot; best for what lies between hidden layers.
    clip_norm: longest gradient; None lets all pass.
    ema_decay: validate and ship a running average of the weights; None does not.
    start_share: share of the weights that training began with in those that are
        validated and shipped: who learns from a few songs forgets less (Wortsman et
        al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    validate_every, checkpoint_every, log_every: in steps.
    patience: validations without a better one before stopping; None goes on.
    seed: of the order of batches and of what is drawn in a step.
    """

    steps: int = 10_000
    minutes: float | None = None
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_fraction: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.01
    muon: tuple[str, ...] = ()
    clip_norm: float | None = 1.0
    ema_decay: float | None = 0.999
    start_share: float = 0.0
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
        if not 0 <= self.start_share < 1:
            raise ValueError(
                f"start_share is from 0 to below 1, got {self.start_share}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction is 0 to 1, got {self.final_fraction}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay starts at 0, got {self.weight_decay}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience starts at 1, got {self.patience}")
        if self.seed < 0:
            raise ValueError(f"seed starts at 0, got {self.seed}")

    def limited(self, *, steps: int | None, minutes: float | None) -> FitConfig:
        """The same with other limits, where given; a warmup fits into few steps.

        Raises:
            ValueError: if a limit is not above 0.
        """
        changes = {}
        if minutes is not None:
            changes["minutes"] = minutes
        if steps is not None:
            changes["steps"] = steps
            changes["warmup_steps"] = min(self.warmup_steps, max(steps - 1, 0))
        return dataclasses.replace(self, **changes)

    def schedule(self) -> optax.Schedule:
        """Step to learning rate."""
        if self.final_fraction == 1:
            # The same whatever the number of steps, and compiled once for all.
            rise = max(1, self.warmup_steps)
            return optax.linear_schedule(
                self.learning_rate / rise, self.learning_rate, self.warmup_steps
            )
        return optax.warmup_cosine_decay_schedule(
            init_value=self.learning_rate / max(1, self.warmup_steps),
            peak_value=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.steps,
            end_value=self.learning_rate * self.final_fraction,
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Clipped AdamW, or Muon for the parts that are named; on weights by name.

        Beside Muon, AdamW looks ahead as Nesterov does.

        Source: Loshchilov and Hutter, arXiv:1711.05101; Jordan et al., "Muon: An
        optimizer for hidden layers in neural networks", 2024, its updates of Adam's
        size after Liu et al., arXiv:2502.16982.
        """
        clip = (
            optax.identity()
            if self.clip_norm is None
            else optax.clip_by_global_norm(self.clip_norm)
        )

        def matrices(weights):
            return jax.tree.map(lambda x: x.ndim > 1, weights)

        if not self.muon:
            adam = optax.adamw(
                self.schedule(),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=self.weight_decay,
                mask=matrices,
            )
            return optax.chain(clip, adam)

        def turned(weights):
            lacking = set(self.muon) - {name.split(".")[0] for name in weights}
            if lacking:
                raise RequestError(
                    f"muon: the model has no {', '.join(sorted(lacking))}; its parts are "
                    + ", ".join(sorted({name.split(".")[0] for name in weights}))
                )

            # What belongs to the other optimizer is masked there, and no array.
            def of_part(name, x):
                chosen = x.ndim == 2 and name.split(".")[0] in self.muon
                return MuonDimensionNumbers() if chosen else None

            return {
                name: jax.tree.map(functools.partial(of_part, name), array)
                for name, array in weights.items()
            }

        both = muon(
            self.schedule(),
            consistent_rms=MUON_SPREAD,
            weight_decay=self.weight_decay,
            weight_decay_mask=matrices,
            adam_b1=self.beta1,
            adam_b2=self.beta2,
            adam_weight_decay=self.weight_decay,
            muon_weight_dimension_numbers=turned,
        )
        return optax.chain(clip, both)
