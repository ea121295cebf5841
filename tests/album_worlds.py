"""A small model on disk, a small album to ask for, and a run that can be killed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from hierarchy.album.request import AlbumRequest, album_request
from hierarchy.micro.grains import GrainModel
from tests.small_worlds import small_plan, tiny_model

ROOT = Path(__file__).parent.parent


def write_tiny_model(small_song, folder: Path) -> GrainModel:
    """The tiny grain model, as train-grains would leave it."""
    model = tiny_model(small_song)
    folder.mkdir(parents=True, exist_ok=True)
    model.write(folder)
    return model


def small_request(folder: Path, songs: int, **changes) -> AlbumRequest:
    """An album of short songs that nobody needs to compose."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(songs):
        plan = small_plan("AB"[: 1 + number % 2] + "C", tempo=200 + 10 * number)
        path = folder / f"{number}.json"
        plan.model_copy(update={"seed": number}).write(path)
        entries.append({"plan": str(path), "title": f"Song {number + 1}"})
    values = {"title": "Small", "seed": 5, "date": "2026", "song": entries, "gap": 0.1}
    return album_request(values | changes)


def small_album_file(folder: Path, songs: int, **changes) -> Path:
    """The same as an album.toml."""
    path = folder / "album.toml"
    path.write_text(small_request(folder, songs, **changes).to_toml())
    return path


_COMMAND = """
import sys
from hierarchy.commands.render_album import main
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def start(*arguments, cache: Path, **environment) -> subprocess.Popen:
    """Start render-album as a process of its own, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, arguments)],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "MACROTIME_CACHE": str(cache)}
        | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hashes(folder: Path) -> dict[str, str]:
    """What lies in an album's folder, but for work in progress: name to hash."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".")
    }
