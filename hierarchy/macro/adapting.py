"""For how many steps an album of a few songs teaches a sequencer anything.

A handful of songs is soon known by heart, and how soon differs: recordings with
chords go on teaching for dozens of steps, ten annotated forms for three or four, and
songs that have nothing in common for none. So the album says so itself: a part of it
at a time is held out, the rest is learned, and the step at which the held-out songs
cost the fewest bits is where learning from all of them will stop. If that is before
the first one, the sequencer stays what it was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
from flax import nnx

from hierarchy.macro.song_batches import (
    SequencerData,
    SongBatches,
    fitting_size,
    padded,
)
from hierarchy.training.recipe import FitConfig
from hierarchy.training.stepping import Devices, Loss, Stepper
from hierarchy.training.watching import Progress
from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.vocabulary import KINDS

JUDGED = ("label", "letter", "bars", "chord")
"""What held-out songs are judged by; a sequencer may never have heard of energies."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caution:
    """How an album is asked for how long it teaches.

    Attributes:
        folds: parts that are held out in turn; 0 does not ask.
        sureness: standard errors by which the mean gain of held-out songs has to be
            above none; what a few songs say is uncertain.
        outcomes_a_step: no album is learned for more steps than it has labels,
            letters, lengths and chords for at this rate.
    """

    folds: int = 0
    sureness: float = 1.0
    outcomes_a_step: int = 50

    def __post_init__(self):
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"folds are 0 or at least 2, got {self.folds}")
        if self.sureness < 0:
            raise ValueError(f"sureness starts at 0, got {self.sureness}")
        if self.outcomes_a_step < 1:
            raise ValueError(f"outcomes_a_step starts at 1, got {self.outcomes_a_step}")


def steps_that_teach(
    model: nnx.Module,
    album: Sequence[AnnotatedSong],
    *,
    caution: Caution,
    data: SequencerData,
    fit: FitConfig,
    loss: Loss,
    judge: Loss,
    progress: Callable[[Progress], None] | None = None,
) -> int:
    """For how many steps the songs of an album make each other cheaper.

    Args:
        model: where learning begins; it is left as it is.
        album: at least three songs, else 0.
        caution: see there.
        data, fit: how all of it will be learned; the learning rate must not depend on
            how many steps there are.
        loss, judge: of training and of held-out songs.
        progress: called with a Progress now and then.

    Returns:
        0 to fit.steps.
    """
    songs = [encode(song) for song in album]
    most = min(fit.steps, sum(map(_outcomes, songs)) // caution.outcomes_a_step)
    folds = min(caution.folds, len(album))
    if len(album) < 3 or most < 1:
        return 0
    stepper = Stepper(
        model,
        loss,
        validation_loss=judge,
        optimizer=fit.optimizer(),
        schedule=fit.schedule(),
        ema_decay=fit.ema_decay,
        seed=fit.seed,
        trainable=nnx.Param,
        devices=Devices.all(),
    )
    order = np.random.default_rng((fit.seed, 5)).permutation(len(album)).tolist()
    parts = [order[fold::folds] for fold in range(folds)]
    learned = [
        SongBatches(
            [],
            [album[i] for i in range(len(album)) if i not in part],
            data=data,
            seed=fit.seed,
        )
        for part in parts
    ]
    # A batch for each song, which is neither padded to eight nor averaged with others.
    judged = [[_alone(songs[i], data) for i in part] for part in parts]
    states = [stepper.start() for _ in parts]
    flag, began = stepper.devices.flag(0), time.monotonic()
    before, gains = _bits(stepper, states, judged), {0: 0.0}
    for step in range(most):
        for fold, batches in enumerate(learned):
            batch = stepper.devices.place(batches(step))
            states[fold], _ = stepper.step(states[fold], batch, flag)
        done = step + 1
        if _is_mark(done) or done == most:
            after = _bits(stepper, states, judged)
            gains[done] = _surely(before - after, caution.sureness)
            if progress is not None:
                seconds = time.monotonic() - began
                progress(_told(done, most, float(after.mean()), seconds))
            best = max(gains, key=gains.get)
            if sum(mark > best for mark in gains) >= 3:
                break
    return max(gains, key=gains.get)


def _surely(gains: np.ndarray, sureness: float) -> float:
    """The mean of gains [songs] less some standard errors of it."""
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return float(gains.mean() - sureness * error)


def _outcomes(song: Encoded) -> int:
    return int((song.known * _is_judged(song.features)).sum())


def _is_judged(features: np.ndarray) -> np.ndarray:
    return np.isin(features[..., 0], [KINDS.index(kind) for kind in JUDGED])


def _alone(song: Encoded, data: SequencerData) -> dict[str, np.ndarray]:
    batch = padded([song], *fitting_size(song, data))
    known = batch["known"] * _is_judged(batch["features"])
    return batch | {"known": known.astype(batch["known"].dtype)}


def _bits(stepper: Stepper, states: Sequence, judged: Sequence) -> np.ndarray:
    """Bits of an outcome [songs], each song foreseen by who has not learned it."""
    place = stepper.devices.place
    return np.array(
        [
            stepper.evaluate(state, place(song, or_whole=True), 0)["loss"]
            for state, songs in zip(states, judged, strict=True)
            for song in songs
        ],
        float,
    )


def _is_mark(step: int) -> bool:
    """Whether to look at the held-out songs: at 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    power = 2 ** (step.bit_length() - 1)
    return step in (power, power * 3 // 2)


def _told(step: int, steps: int, bits: float, seconds: float) -> Progress:
    return Progress(
        step=step,
        steps=steps,
        loss=None,
        metrics={},
        seconds=seconds,
        items_per_second=None,
        eta=seconds / step * (steps - step),
        validation=bits,
    )
