"""Annotated songs and heard plans become a trained sequencer.

    OUT/config.json, OUT/weights.safetensors   the sequencer (Sequencer.read)
    OUT/training/                              log, checkpoints: what resume needs

What a step sees is in `song_batches`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hierarchy.macro.adapting import Caution, steps_that_teach
from hierarchy.macro.song_batches import (
    SequencerData,
    SongBatches,
    validation_batches,
)
from hierarchy.material.corpus import Corpus
from hierarchy.training.checkpoint import load_weights, write_model
from hierarchy.training.configuration import read_config
from hierarchy.training.fitting import FitConfig, FitResult, fit
from hierarchy.training.watching import Progress
from structure.annotations import AnnotatedSong, read_annotations, song_from_plan
from structure.errors import RequestError
from structure.files import whole_file
from structure.sequencer import Sequencer, SequencerConfig
from structure.transformer import Dropout, SequencerNetwork
from structure.vocabulary import FIRST_OF, KINDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencerRecipe:
    """All that makes a sequencer: its model, its data and its training."""

    model: SequencerConfig = dataclasses.field(default_factory=SequencerConfig)
    data: SequencerData = dataclasses.field(default_factory=SequencerData)
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    caution: Caution = dataclasses.field(default_factory=Caution)

    @classmethod
    def read(cls, path: str | Path) -> SequencerRecipe:
        """Read a TOML file with the sections [model], [data], [fit] and [caution]."""
        parts = {
            "model": SequencerConfig,
            "data": SequencerData,
            "fit": FitConfig,
            "caution": Caution,
        }
        return cls(**read_config(path, parts))


def train_sequencer(
    out: str | Path,
    *,
    annotations: Sequence[str | Path] = (),
    corpus: str | Path | None = None,
    config: SequencerRecipe | str | Path | None = None,
    start_from: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Train a sequencer and write it to a folder.

    Args:
        out: what to write; see above.
        annotations: files for structure.annotations; their "train" songs are
            learned, their "valid" songs choose the best weights.
        corpus: a prepared corpus, whose heard plans are learned too.
        config: a recipe or its TOML file; None takes the defaults.
        start_from: a sequencer to adapt; its shape replaces the recipe's.
        resume: go on where an earlier call with the same arguments stopped.
        seed: another seed, other weights and another order.
        progress: called with a hierarchy.training.watching.Progress.

    Raises:
        RequestError: if there is nothing to learn from, or a file is wrong.
    """
    if config is None:
        recipe = SequencerRecipe()
    elif isinstance(config, SequencerRecipe):
        recipe = config
    else:
        recipe = SequencerRecipe.read(config)
    return train_on_songs(
        out,
        read_annotations(annotations),
        corpus_songs(corpus) if corpus is not None else (),
        recipe=recipe,
        start_from=start_from,
        resume=resume,
        seed=seed,
        progress=progress,
    )


def train_on_songs(
    out: str | Path,
    songs: Sequence[AnnotatedSong],
    own: Sequence[AnnotatedSong] = (),
    *,
    recipe: SequencerRecipe,
    start_from: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """The same as `train_sequencer`, from songs instead of files.

    Args:
        songs: as annotated.
        own: as heard in one's own recordings; they tell energies too.

    Raises:
        RequestError: if there is nothing to learn from.
    """
    if not songs and not own:
        raise RequestError("no songs to learn from: give annotations, a corpus or both")
    model_config = recipe.model
    if start_from is not None:
        model_config = _config_of(start_from)
    if own:
        model_config = dataclasses.replace(model_config, knows_energy=True)
    model = SequencerNetwork(model_config, rngs=nnx.Rngs(seed))
    if start_from is not None:
        load_weights(model, start_from)
    trainable = nnx.Param
    if recipe.data.chords_alone:
        songs = [song for song in songs if song.has_chords]
        own = [song for song in own if song.has_chords]
        trainable = nnx.All(nnx.Param, nnx.PathContains("chords"))
    fit_config = dataclasses.replace(recipe.fit, seed=seed)
    if start_from is not None and recipe.caution.folds and not (songs and own):
        # The songs judge one another, so that none has to be held out for good.
        songs, own = _all_learned(songs), _all_learned(own)
        steps = steps_that_teach(
            model,
            [*songs, *own],
            caution=recipe.caution,
            data=recipe.data,
            fit=fit_config,
            loss=sequencer_loss,
            judge=_loss_without_dropout,
            progress=progress,
        )
        if steps == 0:
            _write_unchanged(Path(out), start_from)
            return FitResult(0, "steps", None, None, {}, 0.0)
        fit_config = fit_config.limited(steps=steps, minutes=None)
    batches = SongBatches(
        [song for song in songs if song.split == "train"],
        [song for song in own if song.split == "train"],
        data=recipe.data,
        seed=seed,
    )
    # One's own held-out songs decide alone: they are what the sequencer is for.
    judges = [song for song in own or songs if song.split == "valid"]
    out = Path(out)
    result = fit(
        model,
        sequencer_loss,
        batches,
        validation=validation_batches(judges, recipe.data),
        config=fit_config,
        out=out / "training",
        resume=resume,
        settings={
            "model": dataclasses.asdict(model_config),
            "data": dataclasses.asdict(recipe.data),
            "songs": _fingerprint([*songs, *own]),
        },
        validation_loss=_loss_without_dropout,
        trainable=trainable,
        items=recipe.data.batch_tokens,
        on_progress=progress,
    )
    write_model(
        out / "model",
        model,
        model_config,
        dtype="float16",
        extra={"steps": result.steps, "validation": dict(result.best_metrics)},
    )
    # The folder of a training holds more than the model, so that it cannot be
    # replaced whole; the config comes last and makes it complete.
    for name in ("weights.safetensors", "config.json"):
        with whole_file(out / name) as draft:
            shutil.copyfile(out / "model" / name, draft)
    shutil.rmtree(out / "model")
    return result


def _all_learned(songs: Sequence[AnnotatedSong]) -> list[AnnotatedSong]:
    return [
        dataclasses.replace(song, split="train")
        for song in songs
        if song.split in ("train", "valid")
    ]


def _write_unchanged(out: Path, start_from: str | Path) -> None:
    """Songs that teach nothing leave the sequencer as it is."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("weights.safetensors", "config.json"):
        with whole_file(out / name) as draft:
            shutil.copyfile(Path(start_from) / name, draft)


def sequencer_loss(model: SequencerNetwork, batch: dict, key: jax.Array | None):
    """Mean bits a known token, and bits by kind.

    Args:
        model: the network.
        batch: from `song_batches.padded`.
        key: drops activations; None keeps all.
    """
    form_key, chord_key = (None, None) if key is None else jax.random.split(key)
    dropout = model.config.dropout
    logits, _ = model(
        batch["tokens"],
        batch["features"],
        batch["hints"],
        drop=Dropout(dropout, form_key),
    )
    kinds, known = batch["features"][..., 0], batch["known"]
    bits = _bits(jax.nn.log_softmax(logits), batch["targets"], known)
    metrics = {}
    for kind in ("label", "letter", "bars"):
        these = known * (kinds == KINDS.index(kind))
        metrics[f"{kind}_bits"] = (bits * these).sum() / jnp.maximum(these.sum(), 1.0)
    total, count = bits.sum(), known.sum()
    metrics["chord_bits"] = jnp.zeros([])
    if batch["sources"].shape[1]:
        odds = model.chords(
            batch["setting"],
            batch["relations"],
            batch["sources"],
            Dropout(dropout, chord_key),
        )
        known = batch["chords_known"]
        chords = jnp.maximum(batch["sources"] - FIRST_OF["chord"], 0)
        bits = _bits(odds, chords, known)
        metrics["chord_bits"] = bits.sum() / jnp.maximum(known.sum(), 1.0)
        total, count = total + bits.sum(), count + known.sum()
    return total / jnp.maximum(count, 1.0), metrics


def _bits(odds: jax.Array, targets: jax.Array, known: jax.Array) -> jax.Array:
    """What each target costs by log odds [..., outcomes]; nothing if it is unknown."""
    surprise = -jnp.take_along_axis(odds, targets[..., None], axis=-1)[..., 0]
    return jnp.where(known > 0, surprise, 0.0) / np.log(2)


def _loss_without_dropout(model: SequencerNetwork, batch: dict, key: jax.Array):
    return sequencer_loss(model, batch, None)


def corpus_songs(folder: str | Path) -> list[AnnotatedSong]:
    """The songs of a corpus as they were heard, with its splits."""
    return [
        song_from_plan(song.plan(), id=song.id, split=song.split)
        for song in Corpus.read(folder).songs
    ]


def _config_of(folder: str | Path) -> SequencerConfig:
    return Sequencer.read(folder).config


def _fingerprint(songs: Sequence[AnnotatedSong]) -> str:
    digest = hashlib.sha256()
    for song in songs:
        digest.update(repr(song).encode())
    return digest.hexdigest()[:16]
