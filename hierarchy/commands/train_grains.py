"""train-grains: a corpus to a model that sounds like it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking, training
from hierarchy.configs import find_config

if TYPE_CHECKING:
    import numpy as np


def train_grains(
    corpora: Annotated[
        list[Path],
        typer.Argument(
            metavar="CORPUS...",
            help="Folders from prepare-corpus; each is a style, named as its folder.",
        ),
    ],
    out: training.Out,
    config: Annotated[
        str | None,
        typer.Option(
            help='A preset or a TOML file.  \n*Default: "default"; "adapt" with --from.*'
        ),
    ] = None,
    start_from: training.From = None,
    resume: training.Resume = False,
    minutes: training.Minutes = None,
    steps: training.Steps = None,
    seed: training.Seed = 0,
    hosts: training.Hosts = None,
    as_json: asking.Json = False,
) -> None:
    """Train the model that makes the sound.

    With `--from default` the model that comes with macrotime is adapted to your
    recordings: ten minutes on a laptop are enough to hear it. Stopped by Ctrl-C
    or by `--minutes`, the model is written as far as it came, and `--resume`
    goes on. In `previews` are moments that it never learned from, asked and heard.

    Examples:

        train-grains work/corpus --from default --minutes 10 --out work/grains

        train-grains work/corpus --out work/grains

        train-grains work/pop work/lofi --out work/grains --resume
    """
    training.check_out(out, resume=resume)
    start_from = training.start(start_from, ours="grains")
    config = find_config(config or ("adapt" if start_from else "default"))
    with cli.stages("Starting") as stage:
        training.join_hosts(hosts)
        cli.wake_jax()
        from hierarchy.micro.learning import train_grains as train

        result = train(
            corpora,
            out,
            config=config,
            start_from=start_from,
            resume=resume,
            minutes=minutes,
            steps=steps,
            seed=seed,
            loading=stage("Making lessons"),
            progress=training.watched(stage),
            report=cli.say,
            preview=functools.partial(_keep_preview, out / "previews"),
        )
    training.finish(out, result, as_json=as_json)


def _keep_preview(
    folder: Path, name: str, asked: np.ndarray, heard: np.ndarray, sample_rate: int
) -> None:
    """Write a held-out moment as it was and as the model has it, to hear and to see."""
    from hierarchy.export.pictures import draw_grain
    from hierarchy.material.audio import write_waveform

    write_waveform(folder / f"{name}-asked.wav", asked, sample_rate)
    write_waveform(folder / f"{name}-heard.wav", heard, sample_rate)
    draw_grain(folder / f"{name}.png", asked, heard, sample_rate, title=name)


main = cli.command(train_grains)
