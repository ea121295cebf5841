"""prepare-corpus: a folder of recordings to a corpus that models learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hierarchy import cli


def prepare_corpus(
    folder: Annotated[
        Path, typer.Argument(help="Your recordings; folders within are walked too.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the corpus; may exist.")
    ],
    sample_rate: Annotated[
        int, typer.Option(min=8_000, max=192_000, help="Of the corpus, in Hz.")
    ] = 44_100,
) -> None:
    """Make a corpus of a folder of music.

    Reads wav, flac, ogg, opus, mp3, aiff and whatever else libsndfile knows, at
    any rate, with 1 to 8 channels; hears beats, chords and sections; measures
    what the models learn from. Says of each file what was kept and what was
    dropped, and why.

    Run it again after adding music: only what changed is done. Stopped half-way,
    it goes on where it was.

    Examples:

        prepare-corpus ~/Music/my-album --out work/corpus

        prepare-corpus ~/Music --out work/corpus --sample-rate 48000
    """
    cli.check_folder("--out", out)
    if not folder.is_dir():
        came = "is a file" if folder.exists() else "does not exist"
        raise cli.RequestError(f"{folder} {came}; give the folder of your recordings")
    with cli.stages("Starting") as stage:
        cli.wake_jax()
        from hierarchy.material.corpus import prepare_corpus as prepare

        manifest = prepare(
            folder,
            out,
            sample_rate=sample_rate,
            progress=stage("Listening"),
            report=cli.say,
        )
    print(f"{out}: {manifest.summary()}")


main = cli.command(prepare_corpus)
