"""sample-grains: grains alone, as sound files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking

if TYPE_CHECKING:
    from hierarchy.material.moments import Nearest


def sample_grains(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the grains, as WAV files.")
    ],
    count: Annotated[int, typer.Option(min=1, max=999, help="How many.")] = 8,
    like: Annotated[
        str | None,
        typer.Option(
            help="What they should be like: a chord, and silent, quiet, medium or loud, "
            'and dark, warm or bright. Such as "A:min loud" or "soft dark".'
        ),
    ] = None,
    free: Annotated[
        bool,
        typer.Option(
            "--free",
            help="Ask for no chord, colour or attack: the model babbles, as loud from "
            "low to high as something that was heard.",
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=4, help="How long each of them lasts.")
    ] = 2.0,
    style: asking.Style = None,
    max_similarity: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1,
            help="Refuse copies: a grain more like a moment of the model's recordings "
            "is sampled again, more freely. 0.95 passes for a copy. Each grain's "
            "nearest moment is told either way.",
        ),
    ] = None,
    seed: asking.Seed = None,
    model: asking.Model = None,
    as_json: asking.Json = False,
) -> None:
    """Make grains alone: clips of up to four seconds, to listen to and to play with.

    With neither `--like` nor `--free`, each is like something that was heard.

    Examples:

        sample-grains --count 12 --like "A:min loud" --out grains

        sample-grains --free --style lofi --seconds 4 --out babble

        sample-grains --like "Cmaj7 soft dark" --seed 3 --model work/grains --out pads

        sample-grains --count 24 --max-similarity 0.9 --out originals
    """
    cli.check_folder("--out", out)
    if free and like is not None:
        raise cli.RequestError("--free and --like contradict each other; give one")
    with cli.stages("Starting") as stage:
        cli.wake_jax()
        import numpy as np

        from hierarchy.macro.clips import Wish, make_clips
        from hierarchy.macro.originality import nearest_moments
        from hierarchy.material.audio import write_waveform
        from hierarchy.micro.grains import GrainModel

        wish = None if free else Wish.parse(like or "")
        grain_model = GrainModel.read(model)
        seed = cli.chosen_seed(seed)
        grains = make_clips(
            grain_model,
            wish,
            count=count,
            seconds=seconds,
            style=style,
            seed=seed,
            max_similarity=max_similarity,
            progress=stage("Making grains"),
        )
        stage("Comparing with the recordings")
        nearest = nearest_moments(grains, grain_model.moments)
        stage("Writing")
        # Clips come at the levels of the music; a file is not to clip.
        highest = max(np.abs(grain.waveform).max(initial=0) for grain in grains)
        gain = np.float32(0.9 / max(highest, 0.9))
        files = []
        for number, (grain, near) in enumerate(
            zip(grains, nearest, strict=True), start=1
        ):
            files.append(out / f"grain-{number:03d}.wav")
            title = "free" if free else like or "as heard"
            told = f"; {_told(near)}" if near else ""
            write_waveform(
                files[-1],
                gain * grain.waveform,
                grain.sample_rate,
                tags={
                    "title": title,
                    "comment": f"seed {seed}{told}",
                    "software": "macrotime",
                },
            )
    cli.answer(
        {
            "grains": [str(file) for file in files],
            "nearest": [near and dataclasses.asdict(near) for near in nearest],
            "seconds": seconds,
            "seed": seed,
        },
        as_json=as_json,
        text="\n".join(
            [
                *(
                    f"{f.name}: {_told(n)}"
                    for f, n in zip(files, nearest, strict=True)
                    if n
                ),
                f"{out}: {count} grains of {seconds:g} s, seed {seed}",
            ]
        ),
    )


def _told(near: Nearest) -> str:
    return f"most like {near.song} at {near.seconds:.1f} s, {near.likeness:.2f}"


main = cli.command(sample_grains)
