"""Does a grain ever die, or drown in noise? Many long grains, of every kind.

    python benchmarks/endurance.py --count 1000 --seconds 4 --json endurance.json

A third of the grains are asked for as songs ask for them, a third by the coarse
description alone, a third are free, at the temperatures of each. Counted are those with samples that are no numbers;
that are silent in their last second though they were asked for sound; that are louder
there by more than 12 dB than they were asked to be; and that drown: where the last second
is flatter (spectral flatness, noise is 0 dB) than -10 dB, and flatter than the first by
10 dB more than the levels that were asked of its bands became. A bass that gives way to a
cymbal, as asked, has not drowned.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import librosa
import numpy as np

import hierarchy.devices
from hierarchy.macro.clips import Wish, ask_for_clips
from hierarchy.material.features import HOP as FRAME
from hierarchy.micro.grains import (
    CONTEXT,
    TEMPERATURE,
    WARM_UP,
    GrainModel,
    make_grains,
)

AT_ONCE = 64
SILENT, LOUD, DROWNED, FLAT = -40.0, 12.0, 10.0, -10.0  # dB
KINDS = {
    "as songs ask": {},
    "coarse": {"peaks": 0},
    "free": {"peaks": 0, "coarse": False},
}
FLAWS = ("not a number", "silent", "loud", "drowned")


def flatness(mono: np.ndarray) -> float:
    """Median spectral flatness, dB; 0 is white noise."""
    found = librosa.feature.spectral_flatness(y=mono, power=1.0)
    return float(20 * np.log10(np.median(found) + 1e-9))


def flatness_asked(levels: np.ndarray) -> float:
    """The same of levels that bands were asked to have, [frames, bands]."""
    power = np.square(levels) + 1e-12
    flat = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    return float(10 * np.log10(np.median(flat)))


def judge(waveform: np.ndarray, asked: np.ndarray, rate: int) -> dict[str, bool]:
    """What is wrong with a grain.

    Args:
        waveform: float32 [2, samples].
        asked: levels of the middle, [frames, bands].
        rate: Hz.
    """
    if not np.isfinite(waveform).all():
        return dict.fromkeys(FLAWS, False) | {"not a number": True}
    mono, second = waveform.mean(axis=0), rate // FRAME
    first, last = mono[:rate], mono[-rate:]
    bands = asked.shape[-1]
    wanted = float(np.sqrt(np.square(asked[-second:]).sum(axis=1).mean() / bands))
    level = float(np.sqrt(np.square(last).mean()))
    short = 20 * np.log10(max(level, 1e-9) / max(wanted, 1e-9))
    flat, was = flatness(last), flatness(first)
    told = flatness_asked(asked[-second:]) - flatness_asked(asked[:second])
    return {
        "not a number": False,
        "silent": bool(wanted > 1e-3 and short < SILENT),
        "loud": bool(level > 1e-3 and short > LOUD),
        "drowned": bool(flat > FLAT and flat - was - max(told, 0) > DROWNED),
    }


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    hierarchy.devices.use_all_cores()
    hierarchy.devices.keep_compiled_programs()
    model = (
        GrainModel.read(arguments.model) if arguments.model else GrainModel.default()
    )
    rate, began = model.config.sample_rate, time.monotonic()
    report = {"grains": 0, **dict.fromkeys(FLAWS, 0)}
    names, flawed = list(KINDS), []
    while report["grains"] < arguments.count:
        number = report["grains"]
        style = model.styles[number // AT_ONCE % len(model.styles)]
        count = min(AT_ONCE, arguments.count - number)
        clips, _ = ask_for_clips(
            model,
            Wish(),
            count=count,
            seconds=arguments.seconds,
            style=style,
            seed=number,
        )
        requests = [
            dataclasses.replace(clip, **KINDS[names[(number + i) % 3]])
            for i, clip in enumerate(clips)
        ]
        warmth = {
            "as songs ask": model.temperature(style),
            "coarse": 1.0,
            "free": TEMPERATURE,
        }
        grains: list = [None] * count
        for kind, temperature in warmth.items():
            places = [i for i in range(count) if names[(number + i) % 3] == kind]
            these = [requests[i] for i in places]
            found = make_grains(model, these, temperature=temperature)
            for place, grain in zip(places, found, strict=True):
                grains[place] = grain
        for grain in grains:
            request = grain.request
            inside = slice(WARM_UP + CONTEXT, WARM_UP + CONTEXT + request.frames)
            asked = request.levels[0, inside]
            kind = names[report["grains"] % 3]
            for flaw, found in judge(grain.waveform, asked, rate).items():
                report[flaw] += found
                if found:
                    flawed.append([report["grains"], style, kind, flaw])
            report["grains"] += 1
        print(f"\r{report}", end="", flush=True)
    report["seconds"] = round(time.monotonic() - began)
    print(f"\r{report}")
    for number, style, kind, flaw in flawed:
        print(f"grain {number}, {style}, {kind}: {flaw}")
    report["flawed"] = flawed
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
