"""Is a song a session? Redo, returns, stems, drift, mastering, and memory over length.

    python benchmarks/session.py [--model DIR] [--style lofi] [--json OUT.json]
    python benchmarks/session.py --memory 3 30      # minutes; each in a process of its own

One song of the model is rendered and played again in one section; rendered with more
and more variation; taken apart and added up. Numbers are before mastering unless they
say otherwise. With --memory, songs of so many minutes are rendered by the command and
the most memory that each process ever had is told, with time and grains.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORM = "I4 V8 C8 V8 C8 B4 C8 O4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    parser.add_argument("--style", default=None)
    parser.add_argument("--form", default=FORM)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--grains", type=Path, help="keeps grains between runs")
    parser.add_argument("--memory", type=float, nargs="+", metavar="MINUTES")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one_process(asked)))
        return
    found = {
        "machine": platform.processor() or platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if asked.memory:
        found["memory"] = {f"{m:g} min": memory(m, asked) for m in asked.memory}
    else:
        found |= session(asked)
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def show(found: dict, indent: str = "") -> None:
    """Print numbers, one a line."""
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, indent + "    ")
        else:
            text = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{indent}{name:44s} {text}")


def decibels(difference: np.ndarray, sound: np.ndarray | float = 1.0) -> float:
    """Level of one beside another."""
    power = np.mean(np.square(difference, dtype=np.float64))
    return float(10 * np.log10(power / np.mean(np.square(sound)) + 1e-30))


def session(asked) -> dict:
    """Everything but memory."""
    from hierarchy.devices import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    use_all_cores()
    from hierarchy import (
        GrainModel,
        GrainStore,
        compose_song,
        natural_tempo,
        redo,
        render_song,
    )

    model = GrainModel.read(asked.model)
    style, book = model.book(asked.style)
    plan = compose_song(
        form=asked.form,
        tempo=natural_tempo(book, asked.seed),
        style=style,
        seed=asked.seed,
        variation=0.0,
    )
    known = GrainStore(asked.grains)
    began = time.perf_counter()
    song = render_song(plan, model, known=known)
    first = time.perf_counter() - began
    out = {"style": style, "song, s": song.seconds, "first rendering, s": first}
    out["redo"] = redone(song, model, known, redo, render_song)
    out["returns, dB of their difference"] = returns(plan, model, known, render_song)
    out["stems, dBFS of what is left over"] = stems(song)
    out["beats"] = beats(song)
    out["mastering"] = mastering(song)
    return out


def redone(song, model, known, redo, render_song) -> dict:
    """What another take of each named section changes, inside it and outside."""
    rate, out = song.sample_rate, {}
    for name in ("chorus 2", "bridge"):
        if name not in song.plan.names():
            continue
        began = time.perf_counter()
        again = render_song(redo(song.plan, name), model, known=known)
        seconds = time.perf_counter() - began
        number = song.plan.find(name)
        first, last = (
            round(song.section_starts[n] * rate) for n in (number, number + 1)
        )
        changed = np.flatnonzero((again.mix != song.mix).any(axis=0))
        inside = slice(first + rate // 10, last - rate // 10)
        out[name] = {
            "seconds": seconds,
            "other samples that differ": int(
                ((changed < first) | (changed >= last)).sum()
            ),
            "ms changed before its downbeat": 1000 * (first - changed[0]) / rate,
            "ms changed after its last bar line": 1000
            * (changed[-1] + 1 - last)
            / rate,
            "its difference, dB": decibels(
                again.mix[:, inside] - song.mix[:, inside], song.mix[:, inside]
            ),
            "mastering gain kept": again.plan.mastering_gain
            == song.plan.mastering_gain,
            "loudness, LUFS": again.master.loudness,
        }
    return out


def returns(plan, model, known, render_song) -> dict:
    """How far the second chorus is from the first, over the dial."""
    # As loud as the first, or its gain would be all that is measured.
    first = plan.find("chorus 1")
    sections = [
        section.model_copy(update={"energy": plan.sections[first].energy})
        if section.letter == plan.sections[first].letter
        else section
        for section in plan.sections
    ]
    plan = plan.model_copy(update={"sections": tuple(sections)})
    out = {}
    for dial in (0.0, 0.25, 0.5, 0.75, 1.0):
        song = render_song(plan, model, known=known, chorus_variation=dial)
        rate, starts = song.sample_rate, song.section_starts
        length, edge = round((starts[first + 1] - starts[first]) * rate), rate // 10
        once, again = (
            song.mix[:, round(starts[n] * rate) + edge :][:, : length - 2 * edge]
            for n in (first, plan.find("chorus 2"))
        )
        highest = float(np.abs(once - again).max())
        out[f"{dial:g}"] = decibels(again - once, once)
        if dial == 0:
            out["0, highest sample, dBFS"] = 20 * float(np.log10(highest + 1e-30))
    return out


def stems(song) -> dict:
    """What is left of the mix when the files of the stems are taken away."""
    from hierarchy.export import export_song
    from hierarchy.material.audio import read_waveform

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        export_song(song, folder, kinds=["stems"])
        seconds = time.perf_counter() - began
        about = json.loads(Path(folder, "stems", "stems.json").read_text())
        read = lambda one: read_waveform(Path(folder, "stems", one["file"]))[0]
        layers = sum(read(one) for one in about["layers"])
        sections = np.zeros_like(song.mix)
        for one in about["sections"]:
            stem = read(one)
            sections[:, one["start"] : one["start"] + stem.shape[1]] += stem
        level = lambda x: 20 * float(np.log10(np.abs(x - song.mix).max() + 1e-30))
        return {
            "by layer, highest sample": level(layers),
            "by section, highest sample": level(sections),
            "seconds to write": seconds,
        }


def beats(song) -> dict:
    """How far bars lie from where the plan has them, and how alike neighbours are."""
    from hierarchy.macro.timeline import EARLY

    plan, rate = song.plan, song.sample_rate
    bar = plan.beats_per_bar * plan.beat_seconds * rate
    shown = list(song.score.soundings())
    away = [
        one.first + one.placement.lead_in + EARLY * rate - place * bar
        for place, one in enumerate(shown[: plan.bars])
    ]
    inside = [one.likeness_in for one in shown[1:] if not one.placement.anchored]
    borders = [one.likeness_in for one in shown[1:] if one.placement.anchored]
    return {
        "bars": plan.bars,
        "farthest bar, samples": float(np.abs(away).max()),
        "last bar, samples": float(away[-1]),
        "likeness in fades, inside sections": float(np.mean(inside)),
        "likeness in fades, at borders": float(np.mean(borders)),
    }


def mastering(song) -> dict:
    """Of the finished song, by other meters than its own."""
    import pyloudnorm
    import scipy.signal

    meter = pyloudnorm.Meter(song.sample_rate)
    fine = max(
        np.abs(scipy.signal.resample_poly(channel, 4, 1)).max()
        for channel in song.waveform
    )
    return {
        "integrated loudness, LUFS": float(meter.integrated_loudness(song.waveform.T)),
        "true peak at 4 times, dBTP": 20 * float(np.log10(fine)),
        "samples at full scale": int((np.abs(song.waveform) >= 1).sum()),
        "gain, dB": song.plan.mastering_gain,
    }


def memory(minutes: float, asked) -> dict:
    """The command in a process of its own."""
    import subprocess

    words = [sys.executable, __file__, "--one", str(minutes), "--seed", str(asked.seed)]
    words += ["--model", str(asked.model)] if asked.model else []
    words += ["--style", asked.style] if asked.style else []
    words += ["--grains", str(asked.grains)] if asked.grains else []
    told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(told.splitlines()[-1])


def one_process(asked) -> dict:
    """A song of so many minutes by the command; what it took."""
    from hierarchy.commands.render_song import main as command

    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--minutes",
            str(asked.one),
            "--seed",
            str(asked.seed),
            "--tempo",
            "90",
        ]
        words += ["--out", f"{folder}/song.wav", "--json"]
        for option in ("model", "style", "grains"):
            value = getattr(asked, option)
            words += [f"--{option}", str(value)] if value else []
        began = time.perf_counter()
        sys.argv = ["render-song", *words]
        try:
            command()
        except SystemExit as ended:
            if ended.code:
                raise
        seconds = time.perf_counter() - began
        size = Path(folder, "song.wav").stat().st_size
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "most memory, MB": most / (2**20 if sys.platform == "darwin" else 2**10),
        "seconds": seconds,
        "file, MB": size / 2**20,
    }


if __name__ == "__main__":
    main()
