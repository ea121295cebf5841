"""What an album costs beside its songs one by one, and whether its motifs are heard.

    python benchmarks/album.py [--songs 8] [--minutes 2] [--alone 2] [--json OUT.json]
    python benchmarks/album.py --measure ALBUM [--json OUT.json]

First `render-album` as one command; then some of the very same songs, from the plans that
it left, each by a `render-song` command of its own. Both find compiled programs of an
earlier run. Wall time, processor time of all cores, and the most memory: the second
does not depend on what else the machine is doing, so ratios are of that. With
--measure, an album that is there already is looked at and nothing is timed.

A motif is heard if the section that quotes it has the theme's harmony in its own key:
constant-Q chroma, beat by beat, turned by the quote's semitones; beside it stand the
same theme and the other sections of that song, turned in the same way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_RUN = """
import sys
from hierarchy.commands.{module} import main
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--alone", type=int, default=2, help="songs rendered alone too")
    parser.add_argument("--style", default="lofi")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--measure", type=Path, help="an album that is there")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
    }
    if asked.measure:
        found["album"] = heard(asked.measure)
    else:
        with tempfile.TemporaryDirectory() as folder:
            album = Path(folder, "album")
            found["cost"] = cost(asked, album)
            found["album"] = heard(album)
    for group in ("cost", "album"):
        if group in found:
            print(group)
            for name, value in found[group].items():
                print(f"    {name:52s} {value:10.3f}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def cost(asked, album: Path) -> dict[str, float]:
    """Seconds and memory of an album, and of its songs one by one."""
    # So that neither pays for compiling.
    words = ["--songs", "1", "--minutes", "0.2", "--style", asked.style]
    with tempfile.TemporaryDirectory() as folder:
        timed("render_album", [*words, "--seed", "1", "--out", folder])
    words = ["--songs", str(asked.songs), "--minutes", str(asked.minutes)]
    words += ["--style", asked.style, "--seed", str(asked.seed)]
    whole = timed("render_album", [*words, "--out", str(album)])
    manifest = json.loads((album / "album.json").read_text())
    songs = manifest["songs"][: asked.alone]
    alone = []
    with tempfile.TemporaryDirectory() as folder:
        for song in songs:
            plan = str(album / song["plan"])
            out = str(Path(folder, "song.flac"))
            alone.append(timed("render_song", ["--plan", plan, "--out", out]))
    music = sum(song["seconds"] for song in manifest["songs"])
    share = sum(song["seconds"] for song in songs) / music
    by_one = {key: sum(one[key] for one in alone) / share for key in ("wall", "cpu")}
    return {
        "songs": asked.songs,
        "minutes of music": music / 60,
        "album, s of wall time": whole["wall"],
        "album, s of processor time": whole["cpu"],
        "album, GiB at most": whole["memory"],
        "songs one by one, s of wall time": by_one["wall"],
        "songs one by one, s of processor time": by_one["cpu"],
        "album / songs one by one, processor time": whole["cpu"] / by_one["cpu"],
        "processor time a minute of music, album, s": 60 * whole["cpu"] / music,
    }


def timed(module: str, words: list[str]) -> dict[str, float]:
    """Run a command; seconds of wall and processor time, and GiB of memory at most."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", _RUN.format(module=module), *words],
        check=True,
        capture_output=True,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    scale = 1 if sys.platform == "darwin" else 1024
    # The most of any command so far; the first one here is the smallest.
    return {"wall": wall, "cpu": spent, "memory": after.ru_maxrss * scale / 2**30}


def heard(folder: Path) -> dict[str, float]:
    """An album's loudness, arcs and motifs, from its files."""
    manifest = json.loads((folder / "album.json").read_text())
    songs = {song["number"]: song for song in manifest["songs"]}
    plans = {n: json.loads((folder / s["plan"]).read_text()) for n, s in songs.items()}
    energy = [
        statistics.fmean(section["energy"] for section in plan["sections"])
        for plan in plans.values()
    ]
    loud = [song["loudness"] for song in songs.values()]
    asked = [song["energy"] for song in songs.values() if song["energy"] is not None]
    out = {
        "loudness, LUFS": manifest["loudness"],
        "asked, LUFS": manifest["loudness_asked"],
        "true peak, dBTP": manifest["true_peak"],
        "softest song, LUFS": min(loud),
        "loudest song, LUFS": max(loud),
        "motifs": sum(len(song["quotes"]) for song in songs.values()),
    }
    if len(asked) == len(songs) > 2:
        out["correlation of arc and energy"] = float(np.corrcoef(asked, energy)[0, 1])
        out["correlation of arc and loudness"] = float(np.corrcoef(asked, loud)[0, 1])
    quoted, others = motifs(folder, songs, plans)
    if quoted:
        out["chroma, theme and quote"] = statistics.fmean(quoted)
        out["chroma, theme and other sections there"] = statistics.fmean(others)
    return out


def motifs(folder: Path, songs: dict, plans: dict) -> tuple[list[float], list[float]]:
    """Likeness of themes to the sections that quote them, and to the others there."""
    chromas: dict[int, list[np.ndarray]] = {}

    def sections(number: int) -> list[np.ndarray]:
        if number not in chromas:
            chromas[number] = section_chroma(folder, songs[number], plans[number])
        return chromas[number]

    quoted, others = [], []
    for number, song in songs.items():
        for quote in song["quotes"]:
            source = plans[quote["song"]]["sections"]
            places = [i for i, s in enumerate(source) if s["letter"] == quote["letter"]]
            place = max(places, key=lambda i: source[i]["energy"])
            theme = np.roll(sections(quote["song"])[place], quote["semitones"], axis=0)
            for section, chroma in zip(
                plans[number]["sections"], sections(number), strict=True
            ):
                count = min(theme.shape[1], chroma.shape[1])
                alike = np.sum(theme[:, :count] * chroma[:, :count], axis=0)
                into = quoted if section["letter"] == quote["into"] else others
                into.append(float(alike.mean()))
    return quoted, others


def section_chroma(folder: Path, song: dict, plan: dict) -> list[np.ndarray]:
    """Constant-Q chroma of each section, one unit vector a beat: [12, beats]."""
    import librosa
    import soundfile

    sound, rate = soundfile.read(folder / song["file"], dtype="float32")
    hop = 2048
    chroma = librosa.feature.chroma_cqt(
        y=sound.mean(axis=1), sr=rate, hop_length=hop, bins_per_octave=36
    )
    beats_per_bar = int(plan["meter"].split("/")[0])
    if plan["meter"] in ("6/8", "9/8", "12/8"):
        beats_per_bar //= 3
    beat = 60 / plan["tempo"]
    starts = [0, *itertools.accumulate(len(s["chords"]) for s in plan["sections"])]
    out = []
    for first, last in itertools.pairwise(starts):
        edges = np.arange(first * beats_per_bar, last * beats_per_bar + 1) * beat
        frames = np.minimum((edges * rate / hop).astype(int), chroma.shape[1] - 1)
        beats = [
            chroma[:, a : max(b, a + 1)].mean(axis=1)
            for a, b in itertools.pairwise(frames)
        ]
        beats = np.stack(beats, axis=1)
        out.append(beats / np.maximum(np.linalg.norm(beats, axis=0), 1e-9))
    return out


if __name__ == "__main__":
    main()
