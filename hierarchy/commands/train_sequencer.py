"""train-sequencer: annotated songs, and a corpus, to a model of how songs go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking, training
from hierarchy.configs import find_config


def train_sequencer(
    out: training.Out,
    corpus: Annotated[
        Path | None,
        typer.Argument(help="A folder from prepare-corpus, if you have one."),
    ] = None,
    annotations: Annotated[
        list[Path] | None,
        typer.Option(help="A file of annotated songs; may be given again."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help='A preset or a TOML file.  \n*Default: "sequencer"; '
            '"adapt-sequencer" with --from.*'
        ),
    ] = None,
    start_from: training.From = None,
    resume: training.Resume = False,
    minutes: training.Minutes = None,
    steps: training.Steps = None,
    seed: training.Seed = 0,
    as_json: asking.Json = False,
) -> None:
    """Train the model that decides what happens when.

    It learns from the songs of a corpus as macrotime hears them, from annotated
    songs, or from both. With `--from default` the model that comes with macrotime is
    adapted to your songs, seven to twenty of them, in a minute or two.

    Examples:

        train-sequencer work/corpus --from default --out work/sequencer

        train-sequencer --annotations songs.jsonl --out work/sequencer

        train-sequencer work/corpus --annotations songs.jsonl --out work/sequencer
    """
    training.check_out(out, resume=resume)
    if corpus is None and not annotations:
        raise cli.RequestError(
            "nothing to learn from: give a corpus, --annotations or both"
        )
    start_from = training.start(start_from, ours="sequencer")
    preset = "adapt-sequencer" if start_from else "sequencer"
    config = find_config(config or preset)
    with cli.stages("Starting") as stage:
        cli.wake_jax()
        from hierarchy.macro.learning import SequencerRecipe
        from hierarchy.macro.learning import train_sequencer as train

        recipe = SequencerRecipe.read(config)
        try:
            fit = recipe.fit.limited(steps=steps, minutes=minutes)
        except ValueError as error:
            raise cli.RequestError(f"{config} with these options: {error}") from None
        result = train(
            out,
            annotations=annotations or (),
            corpus=corpus,
            config=dataclasses.replace(recipe, fit=fit),
            start_from=start_from,
            resume=resume,
            seed=seed,
            progress=training.watched(stage),
        )
    training.finish(out, result, as_json=as_json)


main = cli.command(train_sequencer)
