"""prepare-corpus: a folder of recordings to a corpus that models learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking


def prepare_corpus(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Your recordings, with all folders within; or one recording."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the corpus; may exist.")
    ],
    sample_rate: Annotated[
        int, typer.Option(min=8_000, max=192_000, help="Of the corpus, in Hz.")
    ] = 44_100,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A recording, as its path within FOLDER, that models are judged by and "
            "never learn from; again for each. Default: those of an earlier run, or "
            "every eighth.",
        ),
    ] = None,
    as_json: asking.Json = False,
) -> None:
    """Make a corpus of a folder of music.

    Reads wav, flac, ogg, opus, mp3, aiff and whatever else libsndfile knows, at
    any rate, with 1 to 8 channels; hears beats, chords and sections; measures
    what the models learn from. Says of each file what was kept and what was
    dropped, and why.

    Your own annotation of a recording is believed in place of what is heard: put
    song.jams, or a list of sections such as song.lab or song.txt (labels exported
    from Audacity or Sonic Visualiser, SALAMI, Isophonics; or lines such as "0:15
    verse"), beside song.flac. Chords and beats can be given too (song.chords.lab,
    song.beats.txt).

    Run it again after adding music: only what changed is done. Stopped half-way,
    it goes on where it was.

    Examples:

        prepare-corpus ~/Music/my-album --out work/corpus

        prepare-corpus ~/Music --out work/corpus --sample-rate 48000

        prepare-corpus album --out work/album --held-out 03.flac --held-out 07.flac
    """
    cli.check_folder("--out", out)
    if not folder.exists():
        raise cli.RequestError(
            f"{folder} does not exist; give the folder of your recordings"
        )
    with cli.stages("Starting") as stage:
        cli.wake_jax()
        from hierarchy.material.corpus import prepare_corpus as prepare

        manifest = prepare(
            folder,
            out,
            sample_rate=sample_rate,
            held_out=held_out or None,
            progress=stage("Listening"),
            report=cli.say,
        )
    minutes = sum(song.seconds for song in manifest.songs) / 60
    cli.answer(
        {
            "corpus": str(out),
            "minutes": round(minutes, 3),
            "songs": [song.id for song in manifest.songs],
            "held_out": [s.source for s in manifest.songs if s.split == "valid"],
            "annotated": {s.source: s.annotated for s in manifest.songs if s.annotated},
            "dropped": {file.source: file.reason for file in manifest.dropped},
        },
        as_json=as_json,
        text=f"{out}: {len(manifest.songs)} songs, {minutes:.1f} minutes; "
        f"{len(manifest.dropped)} files dropped",
    )


main = cli.command(prepare_corpus)
