"""Does a grain ever die, or drown in noise? Many long grains, of every kind.

    python benchmarks/endurance.py --count 1000 --seconds 4 --json endurance.json

Grains are asked for as songs ask for them, by the coarse description alone, or are free, in
turn and of each style, each kind at the temperature that it is sampled at.
Counted are those with samples that are no numbers; that are silent in their last second
though they were asked for sound; that are louder there by more than 12 dB than they were
asked to be; and that drown: where the last second is flatter (spectral flatness, noise is
0 dB) than -10 dB, and flatter than the first by 10 dB more than the levels that were asked
of its bands became. A bass that gives way to a cymbal, as asked, has not drowned.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import librosa
import numpy as np
from command import parsed, parser_of, takes_report, write_report

from hierarchy.macro.clips import Wish, ask_for_clips
from hierarchy.material.features import HOP as FRAME
from hierarchy.micro.candidates import best_grains
from hierarchy.micro.grains import (
    CONTEXT,
    UNTOLD,
    WARM_UP,
    Grain,
    GrainModel,
)

AT_ONCE = 28  # so that a thousand are four rounds of all styles and kinds
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


def grains_of(
    model: GrainModel, kind: str, style: str, *, count: int, seconds: float, seed: int
) -> list[Grain]:
    """Grains of a kind, at the temperature that it is sampled at."""
    clips, _ = ask_for_clips(
        model, Wish(), count=count, seconds=seconds, style=style, seed=seed
    )
    requests = [dataclasses.replace(clip, **KINDS[kind]) for clip in clips]
    told_all = kind == "as songs ask"
    warm = model.temperature(style) if told_all else UNTOLD
    return best_grains(model, requests, temperature=warm)


def flaws_of(grain: Grain) -> list[str]:
    """Which of FLAWS a grain has."""
    waveform, rate, request = grain.waveform, grain.sample_rate, grain.request
    if not np.isfinite(waveform).all():
        return ["not a number"]
    inside = slice(WARM_UP + CONTEXT, WARM_UP + CONTEXT + request.frames)
    asked = request.levels[0, inside]
    mono, second = waveform.mean(axis=0), rate // FRAME
    first, last = mono[:rate], mono[-rate:]
    bands = asked.shape[-1]
    wanted = float(np.sqrt(np.square(asked[-second:]).sum(axis=1).mean() / bands))
    level = float(np.sqrt(np.square(last).mean()))
    short = 20 * np.log10(max(level, 1e-9) / max(wanted, 1e-9))
    flat, was = flatness(last), flatness(first)
    told = flatness_asked(asked[-second:]) - flatness_asked(asked[:second])
    found = {
        "silent": wanted > 1e-3 and short < SILENT,
        "loud": level > 1e-3 and short > LOUD,
        "drowned": flat > FLAT and flat - was - max(told, 0) > DROWNED,
    }
    return [flaw for flaw, has in found.items() if has]


def main() -> None:
    """Print the counts."""
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    takes_report(parser)
    asked = parsed(parser)
    model, began = GrainModel.read(asked.model), time.monotonic()
    report = {"grains": 0, **dict.fromkeys(FLAWS, 0)}
    flawed = []
    while report["grains"] < asked.count:
        turn = report["grains"] // AT_ONCE
        style = model.styles[turn % len(model.styles)]
        kind = list(KINDS)[turn // len(model.styles) % len(KINDS)]
        for grain in grains_of(
            model,
            kind,
            style,
            count=min(AT_ONCE, asked.count - report["grains"]),
            seconds=asked.seconds,
            seed=report["grains"],
        ):
            for flaw in flaws_of(grain):
                report[flaw] += 1
                flawed.append([report["grains"], style, kind, flaw])
            report["grains"] += 1
        print(f"\r{report}", end="", flush=True)
    report["seconds"] = round(time.monotonic() - began)
    print(f"\r{report}")
    for number, style, kind, flaw in flawed:
        print(f"grain {number}, {style}, {kind}: {flaw}")
    report["flawed"] = flawed
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
