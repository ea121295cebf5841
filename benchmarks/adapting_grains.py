"""What does the grain model learn from an album that it has never heard?

    python benchmarks/adapting_grains.py work/album --minutes 15
    python benchmarks/adapting_grains.py work/album --adapted work/grains

The default is adapted with the preset that `train-grains --from default` takes (or one
that was adapted before is judged), and both are asked the same of the album:

bits       a sample of its held-out songs, in 256 and in 4,096 bins (see `bits.py`); the
           default's are those of the style of its own that suits the album best, or of
           none, told as many sinusoids as it knows and as many as the adapted model,
           which tells what is learnt from what is told
fidelity   held-out moments and bars as they are rendered (see `fidelity.py`)
distance   of songs from the album's recordings (see `frechet.py`): songs of the
           default's nearest style, of its weights with the album's gestures, and of
           the adapted model
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import frechet
import numpy as np
from bits import READINGS, model_bits
from command import parsed, parser_of, takes_report, write_report
from fidelity import answers, medians_of
from flax import nnx

from hierarchy.configs import find_config
from hierarchy.material.companding import BINS, LIMIT
from hierarchy.material.corpus import Corpus
from hierarchy.micro.grains import PRETRAINED, GrainModel
from hierarchy.micro.learning import (
    LessonConfig,
    lessons_of,
    take_over,
    train_grains,
    validation_windows,
)
from hierarchy.micro.wavenet import WaveNet

ASKED = ("freedom 0", "freedom 1", "as rendered")


def unadapted(adapted: GrainModel, peaks: int) -> GrainModel:
    """The model as adapting found it: the default's weights, the album's gestures."""
    config = dataclasses.replace(adapted.config, peaks=peaks)
    net = WaveNet(config, rngs=nnx.Rngs(0))
    take_over(net, PRETRAINED)
    return GrainModel(net, adapted.books)


def held_out_windows(model: GrainModel, corpus: Corpus, batches: int) -> list:
    """Windows of the songs that adapting never hears, as a model is told them."""
    lessons, config = LessonConfig(), dataclasses.replace(model.config, styles=("",))
    _, held_out, _ = lessons_of({"": corpus}, config, lessons)
    return validation_windows(held_out, lessons, peaks=config.peaks, batches=batches)


def sketch_bits(model: GrainModel, windows: list, style: str, bins: int) -> float:
    """Bits of a sample with the sketch, told one of its styles or "none"."""
    styles = model.config.styles
    number = styles.index(style) if style in styles else -1
    told = [w._replace(style=np.full_like(w.style, number)) for w in windows]
    return model_bits(model.net, told, 2 * LIMIT / bins)["sketch"]


def moments(model: GrainModel, style: str, count: int) -> np.ndarray:
    """Statistics of songs of a style, for `frechet.distance`."""
    songs = frechet.composed(model, style, count)
    return np.concatenate(frechet.moments_of(songs))


def main() -> None:
    """Adapt, ask both, print the tables."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("corpus", type=Path, help="a prepared corpus, named as its style")
    add("--minutes", type=float, default=15.0, help="of training")
    add("--config", default="adapt", help="a preset or a TOML file, as train-grains")
    add("--adapted", type=Path, help="judge this model instead of adapting one")
    add("--out", type=Path, help="keep the adapted model here")
    add("--count", type=int, default=40, help="grains of each kind")
    add("--songs", type=int, default=4, help="of each model; 0 leaves the distance out")
    add("--batches", type=int, default=16, help="of held-out windows")
    takes_report(parser)
    asked = parsed(parser)
    album, corpus = asked.corpus.name, Corpus.read(asked.corpus)
    report: dict = {}
    with tempfile.TemporaryDirectory() as draft:
        out = asked.adapted or asked.out or Path(draft, "adapted")
        if not asked.adapted:
            result = train_grains(
                [asked.corpus],
                out,
                config=find_config(asked.config),
                start_from=PRETRAINED,
                minutes=asked.minutes,
                report=print,
            )
            report |= {"steps": result.steps, "seconds": result.seconds}
        after = GrainModel.read(out)
    default = GrainModel.default()
    before = unadapted(after, default.config.peaks)

    windows = held_out_windows(default, corpus, asked.batches)
    richer = held_out_windows(after, corpus, asked.batches)
    suits = {
        style: sketch_bits(default, windows, style, BINS)
        for style in (*default.config.styles, "none")
    }
    style = min(suits, key=suits.__getitem__)
    report["bits"] = {"default by style": suits}
    told = f"told {after.config.peaks}"
    print(f"{'bins':>6}{'default':>10} {'as':12}{told:>10}{'adapted':>10}{'saved':>8}")
    for bins in READINGS:
        known = sketch_bits(default, windows, style, bins)
        richly = sketch_bits(default, richer, style, bins)
        learnt = sketch_bits(after, richer, album, bins)
        report["bits"][bins] = {"default": known, told: richly, "adapted": learnt}
        print(
            f"{bins:6}{known:10.3f} {style:12}{richly:10.3f}{learnt:10.3f}"
            f"{1 - learnt / known:8.1%}"
        )

    report["fidelity"] = {
        name: {
            kind: medians_of(rows)
            for kind, rows in answers(
                model, asked.corpus, ASKED, count=asked.count
            ).items()
        }
        for name, model in (("default", before), ("adapted", after))
    }
    print()
    for kind, found in report["fidelity"]["default"].items():
        print(f"{kind}: default to adapted")
        adapted = report["fidelity"]["adapted"][kind]
        print(
            "  " + "  ".join(f"{c} {v:.3f} {adapted[c]:.3f}" for c, v in found.items())
        )

    if asked.songs:
        real = np.concatenate(frechet.recordings(asked.corpus)[0])
        own = {
            style: frechet.distance(moments(default, style, asked.songs), real)
            for style in default.styles
        }
        nearest = min(own, key=own.__getitem__)
        report["distance"] = {f"default, {nearest}": own[nearest]} | {
            name: frechet.distance(moments(model, album, asked.songs), real)
            for name, model in (("its gestures", before), ("adapted", after))
        }
        print("distance of songs from the album:", report["distance"])
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
