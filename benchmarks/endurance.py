"""Does a grain ever die, or drown in noise? Many long grains, of every kind.

    python benchmarks/endurance.py --count 1000 --seconds 4 --json endurance.json

A third of the grains are asked for as songs ask for them, a third by the coarse
description alone, a third are free. Counted are those with samples that are no numbers;
that are silent in their last second though they were asked for sound; and that drown:
where the last second is flatter (spectral flatness, noise is 0 dB) by more than 10 dB
than the first, and flatter than -10 dB.
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
from hierarchy.micro.grains import CONTEXT, WARM_UP, GrainModel, make_grains

AT_ONCE = 64
SILENT, DROWNED, FLAT = -40.0, 10.0, -10.0  # dB


def flatness(mono: np.ndarray) -> float:
    """Median spectral flatness, dB; 0 is white noise."""
    found = librosa.feature.spectral_flatness(y=mono, power=1.0)
    return float(20 * np.log10(np.median(found) + 1e-9))


def judge(waveform: np.ndarray, asked: np.ndarray, rate: int) -> dict[str, bool]:
    """What is wrong with a grain.

    Args:
        waveform: float32 [2, samples].
        asked: level of each frame of the middle, [frames].
        rate: Hz.
    """
    if not np.isfinite(waveform).all():
        return {"not a number": True, "silent": False, "drowned": False}
    mono = waveform.mean(axis=0)
    first, last = mono[:rate], mono[-rate:]
    wanted = float(np.sqrt(np.square(asked[-rate // FRAME :]).mean()))
    level = float(np.sqrt(np.square(last).mean()))
    short = 20 * np.log10(max(level, 1e-9) / max(wanted, 1e-9))
    flat, was = flatness(last), flatness(first)
    return {
        "not a number": False,
        "silent": bool(wanted > 1e-3 and short < SILENT),
        "drowned": bool(flat > FLAT and flat - was > DROWNED),
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
    report = {"grains": 0, "not a number": 0, "silent": 0, "drowned": 0}
    kinds = ({}, {"peaks": 0}, {"peaks": 0, "coarse": False})
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
            dataclasses.replace(clip, **kinds[i % 3]) for i, clip in enumerate(clips)
        ]
        for grain in make_grains(model, requests):
            request = grain.request
            inside = slice(WARM_UP + CONTEXT, WARM_UP + CONTEXT + request.frames)
            bands = request.levels.shape[-1]
            asked = np.sqrt(np.square(request.levels[0, inside]).sum(axis=1) / bands)
            for flaw, found in judge(grain.waveform, asked, rate).items():
                report[flaw] += found
            report["grains"] += 1
        print(f"\r{report}", end="", flush=True)
    report["seconds"] = round(time.monotonic() - began)
    print(f"\r{report}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
