"""An album to a style: prepared, and the model adapted to it, in the background."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from hierarchy.configs import find_config
from hierarchy.devices import keep_compiled_programs, use_all_cores
from hierarchy.material.corpus import prepare_corpus
from hierarchy.micro.grains import PRETRAINED
from hierarchy.micro.learning import train_grains
from hierarchy.micro.wavenet import WaveNetConfig
from hierarchy.studio.worker import Told
from hierarchy.training.checkpoint import read_config

STYLE = "own"
"""What an album's style is called in its model, whatever its owner calls it."""


def learn_style(job: dict, told: Told) -> dict:
    """Make a style of the music in an album's folder.

    Args:
        job: folder of the album, model to start from (a folder, or None for ours),
            minutes of training, seconds that all else was said to take.
        told: the line to the studio; the total of its stages is seconds of work.
    """
    keep_compiled_programs()
    use_all_cores()
    folder = Path(job["folder"])
    start_from = Path(job["model"] or PRETRAINED)
    training = 60.0 * job["minutes"]
    expected = job["seconds_before"] + training
    listening = 0.4 * job["seconds_before"]

    tell = told.stage("Listening to your music")

    def heard(done: int, total: int) -> None:
        tell(round(listening * done / max(total, 1)), round(expected))

    manifest = prepare_corpus(
        folder / "music",
        folder / STYLE,
        sample_rate=read_config(start_from, WaveNetConfig).sample_rate,
        progress=heard,
    )
    shutil.rmtree(folder / "music")

    tell = told.stage("Getting ready to learn")

    def loaded(done: int, total: int) -> None:
        place = listening + (job["seconds_before"] - listening) * done / max(total, 1)
        tell(round(place), round(expected))

    learn = None
    began = time.monotonic()

    def learned(progress) -> None:
        nonlocal learn, began
        if learn is None:
            learn, began = told.stage("Learning how it sounds"), time.monotonic()
        by_steps = progress.step / max(progress.steps, 1)
        by_time = (time.monotonic() - began) / training
        place = min(max(by_steps, by_time), 1.0)
        learn(round(job["seconds_before"] + training * place), round(expected))

    result = train_grains(
        [folder / STYLE],
        folder / "model",
        config=find_config("adapt"),
        start_from=start_from,
        minutes=job["minutes"],
        loading=loaded,
        progress=learned,
    )
    # The recordings and the checkpoints are not needed any more.
    shutil.rmtree(folder / STYLE)
    shutil.rmtree(folder / "model" / "training", ignore_errors=True)
    return {
        "model": str(folder / "model"),
        "style": STYLE,
        "songs": len(manifest.songs),
        "minutes": sum(song.seconds for song in manifest.songs) / 60,
        "steps": result.steps,
    }
