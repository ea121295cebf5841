"""Which grain model for the budget? Variants of the default, each trained as long.

    python benchmarks/choices.py work/pop work/lofi work/adventure --minutes 2.5

Each variant is the default's recipe with something changed, trained from the start on the
same recordings for as many minutes, whatever its steps cost. Printed are what a second of
sound costs, the steps that were had, bits of held-out music in the steps of 16-bit sound
(see `classic.py`; so they compare across bands and classes), and how truly grains answer
when they are told all, and no sinusoid (see `fidelity.py`; medians over all styles). The
rate is that of the corpora: bits a sample compare at one rate only. A few minutes tell
which way is better, not by how much in the end.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from classic import Budget, trained
from command import parsed, parser_of, takes_corpora, takes_report, write_report
from fidelity import answers, medians_of

from hierarchy.configs import find_config
from hierarchy.material.companding import LIMIT
from hierarchy.material.corpus import Corpus
from hierarchy.micro.grains import GrainModel
from hierarchy.micro.learning import GrainRecipe
from hierarchy.micro.likelihood import Classes
from hierarchy.micro.wavenet import WaveNetConfig

TOLD, UNTOLD = "freedom 0", "freedom 1"


class UniformClasses(Classes):
    """A softmax over classes that are all as wide."""

    def values(self) -> np.ndarray:
        """Shape of the middle of each class, float32 [classes]."""
        return np.linspace(-LIMIT, LIMIT, self.classes, dtype=np.float32)

    def nearest(self, shape: jax.Array) -> jax.Array:
        """Classes of shape [...], int32 [...]."""
        place = (shape / LIMIT + 1) / 2 * (self.classes - 1)
        return jnp.clip(jnp.round(place), 0, self.classes - 1).astype(jnp.int32)

    def width(self, shape: jax.Array) -> jax.Array:
        """How wide a class is, float32 [...]."""
        return jnp.full_like(shape, 2 * LIMIT / (self.classes - 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformConfig(WaveNetConfig):
    """A network whose classes are uniform."""

    @property
    def likelihood(self) -> UniformClasses:
        """What the outputs mean."""
        return UniformClasses(self.classes)


UNIFORM = "256 uniform classes"
VARIANTS = {
    "default": {},
    "4 bands": {"bands": 4},
    "8 bands": {"bands": 8},
    "32 bands": {"bands": 32},
    "one logistic": {"mixtures": 1},
    "six logistics": {"mixtures": 6},
    "256 mu-law classes": {"classes": 256},
    UNIFORM: {"classes": 256},
    "no linear path to speak of": {"linear": 1},
    "48 wide": {"residual": 48, "gate": 48},
    "96 wide": {"residual": 96, "gate": 96},
    "dilations to 256": {"dilations": (1, 2, 4, 8, 16, 32, 64, 128, 256) * 2},
    "dilations to 16": {"dilations": (1, 2, 4, 8, 16) * 4},
    "21 layers": {"dilations": (1, 2, 4, 8, 16, 32, 64) * 3},
    "28 layers": {"dilations": (1, 2, 4, 8, 16, 32, 64) * 4},
    "conditions through 16": {"context": 16},
    "conditions through 128": {"context": 128},
}
LESSONS = {
    "no sketch thinned": {"thinned": 0.0},
    "every sketch thinned": {"thinned": 1.0},
    "no noise over the past": {"past_noise": 0.0, "past_colour": 0.0},
    "no colour over the past": {"past_colour": 0.0},
    "no condition dropped": {
        "without_sketch": 0.0,
        "without_coarse": 0.0,
        "without_style": 0.0,
    },
    "half without a sketch": {"without_sketch": 0.5},
}
FITS = {
    "no running average": {"ema_decay": None},
    "a running average of 50 steps": {"ema_decay": 0.98},
}
HEARD = ("chroma", "onsets", "bright", "mel", "noise")


def main() -> None:
    """Train each, ask each, print the table."""
    parser = parser_of(__doc__)
    add, every = parser.add_argument, (*VARIANTS, *LESSONS, *FITS)
    takes_corpora(parser)
    add("--minutes", type=float, default=2.5, help="of training, each")
    add("--variants", nargs="+", choices=every, default=every, metavar="VARIANT")
    add("--config", default="default", help="a recipe, as for train-grains")
    add("--count", type=int, default=8, help="grains of each style")
    takes_report(parser)
    asked = parsed(parser, keep_programs=False)
    recipe = GrainRecipe.read(find_config(asked.config))
    opened = {folder.name: Corpus.read(folder) for folder in asked.corpora}
    rate = max(corpus.sample_rate for corpus in opened.values())
    report: dict[str, dict[str, float]] = {}
    for name in asked.variants:
        config = dataclasses.replace(
            recipe.model,
            styles=tuple(opened),
            sample_rate=rate,
            **VARIANTS.get(name, {}),
        )
        if name == UNIFORM:
            config = UniformConfig(**vars(config))
        fitting = dataclasses.replace(recipe.fit, **FITS.get(name, {}))
        lessons = dataclasses.replace(recipe.lessons, **LESSONS.get(name, {}))
        learnt = dataclasses.replace(recipe, fit=fitting, lessons=lessons)
        net, row = trained(config, learnt, opened, Budget(asked.minutes))
        model = GrainModel(net, {})
        rows: dict[str, list] = {}
        for folder in asked.corpora:
            heard = answers(model, folder, [TOLD, UNTOLD], count=asked.count)
            for kind, some in heard.items():
                rows.setdefault(kind, []).extend(some)
        told, untold = medians_of(rows[TOLD]), medians_of(rows[UNTOLD])
        report[name] = row | {column: told[column] for column in HEARD}
        report[name] |= {
            "untold chroma": medians_of(rows[f"{UNTOLD}, asked"])["chroma"],
            "untold bass": untold["bass"],
            "untold bright": untold["bright"],
        }
        print(f"\n{name}: {report[name]}", flush=True)
    columns = list(next(iter(report.values())))
    columns.remove("residual")
    print(" " * 28 + "".join(f"{column[:13]:>15}" for column in columns))
    for name, row in report.items():
        print(f"{name:28}" + "".join(f"{row[column]:15.3f}" for column in columns))
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
