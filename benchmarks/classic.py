"""Bits per sample beside a classic WaveNet: one band, mu-law classes, of equal cost.

    python benchmarks/classic.py work/pop work/lofi work/adventure --minutes 8

Both are trained from the start, one after the other, for as many minutes (or with
--steps for as many steps, since one step of the classic takes longer) on the same
recordings, with the same windows and conditions; the classic has the width at which a
second of sound takes as many multiplications, and dilations up to 512. Then both say
what held-out recordings cost, told in the steps of 16-bit sound: a value of ours is that
of a band, whose energies add up to those of the waveform, and a class of mu-law is as
many such steps as it is wide.
"""

from __future__ import annotations

import dataclasses
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from command import parsed, parser_of, takes_corpora, takes_report, write_report
from flax import nnx

from hierarchy.configs import find_config
from hierarchy.material.companding import gain_by_step
from hierarchy.material.corpus import Corpus
from hierarchy.micro.learning import (
    GrainRecipe,
    fit_grains,
    lessons_of,
    validation_windows,
)
from hierarchy.micro.objective import UNHEARD, predicted
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from hierarchy.training.fitting import FitConfig

STEP = 2.0**-15  # of 16-bit sound
TOLD = {"sketch": (1.0, 1.0), "coarse": (1.0, 0.0), "free": (0.0, 0.0)}


def classic_of(config: WaveNetConfig) -> WaveNetConfig:
    """The widest classic WaveNet that costs no more for a second of sound."""
    allowed = cost(config)
    for width in range(128, 3, -1):
        classic = dataclasses.replace(
            config,
            bands=1,
            classes=256,
            dilations=tuple(2**n for n in range(10)) * 2,
            residual=width,
            gate=width,
            skip=2 * width,
            head=2 * width,
        )
        if cost(classic) <= allowed:
            return classic
    raise ValueError("no classic WaveNet is as cheap")


def cost(config: WaveNetConfig) -> float:
    """Multiplications that a second of sound takes."""
    r, g, s = config.residual, config.gate, config.skip
    n = config.bands
    layers = len(config.dilations) * (4 * r * g + g * (r + s))
    ends = 4 * n * r + s * config.head + config.head * n * config.likelihood.outputs
    linear = 0 if config.classes else (config.linear + 3) * n * n
    return (layers + ends + linear) * config.sample_rate / n


def bits(net: WaveNet, window, coarse: float, share: float) -> jax.Array:
    """Mean bits of a sample of the waveform, in steps of 16-bit sound."""
    config = net.config
    one = jnp.ones_like(window.share)
    asked = window._replace(coarse=coarse * one, share=share * one)
    parameters = predicted(net, asked, window.shape, 0 * one)
    gain = gain_by_step(window.levels[:, 2:-2], config.steps_per_frame)
    width = STEP / gain
    if config.classes:
        log = config.likelihood.log_likelihood(parameters, window.shape)
        steps = jnp.maximum(config.likelihood.width(window.shape) / width, 1)
        found = jnp.log2(steps) - log / jnp.log(2.0)
    else:
        log = config.likelihood.log_likelihood(
            parameters, window.shape, width[..., None]
        )
        found = -log / jnp.log(2.0)
    return found[:, UNHEARD * config.steps_per_frame :].mean()


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a training may cost: minutes, or steps and no limit of minutes."""

    minutes: float
    steps: int | None = None
    batches: int = 12  # of held-out windows that are asked

    def of(self, fitting: FitConfig) -> FitConfig:
        """A recipe's training within it: nobody knows how many steps there will be,
        so the learning rate stays as it is."""
        return dataclasses.replace(
            fitting,
            minutes=None if self.steps else self.minutes,
            steps=self.steps or fitting.steps,
            final_fraction=1.0,
            learning_rate=fitting.learning_rate / 2,
        )


def trained(
    config: WaveNetConfig,
    recipe: GrainRecipe,
    opened: dict[str, Corpus],
    budget: Budget,
) -> tuple[WaveNet, dict[str, float]]:
    """A network that was trained from the start, and what it costs and knows."""
    train, held_out, _ = lessons_of(opened, config, recipe.lessons)
    net = WaveNet(config, rngs=nnx.Rngs(0))
    with tempfile.TemporaryDirectory() as out:
        result = fit_grains(
            net,
            train,
            held_out,
            out,
            lessons=recipe.lessons,
            fitting=budget.of(recipe.fit),
        )
    windows = validation_windows(
        held_out or train, recipe.lessons, peaks=config.peaks, batches=budget.batches
    )
    graph, weights = nnx.split(net)
    said = jax.jit(
        lambda weights, window, coarse, share: bits(
            nnx.merge(graph, weights), window, coarse, share
        )
    )
    return net, {
        "residual": config.residual,
        "gigamultiplications_a_second": cost(config) / 1e9,
        "steps": result.steps,
    } | {
        told: float(np.mean([said(weights, one, *level) for one in windows]))
        for told, level in TOLD.items()
    }


def main() -> None:
    """Train both, ask both, print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    add("--minutes", type=float, default=8.0, help="of training, each")
    add("--steps", type=int, help="of training, each, and no limit of minutes")
    add("--config", default="default", help="a recipe, as for train-grains")
    add("--batches", type=int, default=12, help="of held-out windows")
    takes_report(parser)
    asked = parsed(parser, keep_programs=False)
    recipe = GrainRecipe.read(find_config(asked.config))
    opened = {folder.name: Corpus.read(folder) for folder in asked.corpora}
    ours = dataclasses.replace(recipe.model, styles=tuple(opened))
    budget = Budget(asked.minutes, asked.steps, asked.batches)
    report = {}
    for name, config in (("ours", ours), ("classic", classic_of(ours))):
        report[name] = trained(config, recipe, opened, budget)[1]
        print(f"{name}: {report[name]}", flush=True)
    columns = list(report["ours"])
    print(f"{'':9}" + "".join(f"{column:>30}" for column in columns))
    for name, row in report.items():
        print(f"{name:9}" + "".join(f"{row[column]:30.3f}" for column in columns))
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
