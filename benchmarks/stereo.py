"""How wide are grains and songs, beside the recordings, and what does mono lose?

    python benchmarks/stereo.py work/pop work/lofi work/adventure

width        side over middle, dB: medians of the recordings, of songs that are rendered
             here, and of held-out moments as recorded and as the model has them
off, r       how far the width of a moment is off (median of the absolute difference, dB)
             and how it follows that of the recording (correlation over the moments)
mono         what the sum to mono loses of the loudness of both channels, dB; 3 dB are lost
             where left and right have nothing in common, and more where they cancel
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from fidelity import held_out
from frechet import composed
from sound_judges import judge_stereo

from hierarchy.material.corpus import Corpus
from hierarchy.micro.grains import GrainModel, make_grains

NARROWEST = -40.0  # dB; what is narrower is mono


def stereo_of(model: GrainModel, folder: Path, *, songs: int, count: int) -> dict:
    """The row of a style."""
    style = folder.name
    requests, sounds = held_out(folder, model, style=style, count=count, seed=0)
    grains = make_grains(model, requests, temperature=model.temperature(style))
    rate = model.config.sample_rate

    def judged(waveforms: Iterable[np.ndarray]) -> list[dict[str, float]]:
        found = [judge_stereo(waveform, rate) for waveform in waveforms]
        return [one | {"width": max(one["width"], NARROWEST)} for one in found]

    asked, heard = judged(sounds), judged(grain.waveform for grain in grains)
    real = judged(song.audio() for song in Corpus.read(folder).songs)
    made = judged(song.waveform for song in composed(model, style, songs))
    wide = np.array([[one["width"] for one in both] for both in (asked, heard)])
    return {
        "recordings": _median(real, "width"),
        "songs": _median(made, "width"),
        "moments": _median(asked, "width"),
        "grains": _median(heard, "width"),
        "off": float(np.median(np.abs(wide[0] - wide[1]))),
        "r": float(np.corrcoef(wide)[0, 1]),
        "mono, recordings": _median(real, "mono_loss"),
        "mono, songs": _median(made, "mono_loss"),
        "at most": max(one["mono_loss"] for one in made),
    }


def _median(rows: list[dict], name: str) -> float:
    return float(np.median([row[name] for row in rows]))


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--songs", type=int, default=8, help="of each style")
    add("--count", type=int, default=40, help="held-out moments of each style")
    takes_report(parser)
    asked = parsed(parser)
    model, report = GrainModel.read(asked.model), {}
    for folder in asked.corpora:
        row = stereo_of(model, folder, songs=asked.songs, count=asked.count)
        if not report:
            print(" " * 18 + "".join(f"{name:>18}" for name in row))
        report[folder.name] = row
        cells = "".join(f"{value:18.2f}" for value in row.values())
        print(f"{folder.name:18}{cells}", flush=True)
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
