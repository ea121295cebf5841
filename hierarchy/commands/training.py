"""What the two training commands share: their options, and what a person sees."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hierarchy import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from hierarchy.training.fitting import FitResult
    from hierarchy.training.watching import Progress

Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the model and its training.")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help='Adapt this model instead of starting anew: a folder, or "default" for '
        "ours.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what stopped in --out.")
]


def _above_zero(minutes: float | None) -> float | None:
    if minutes is not None and not 0 < minutes < math.inf:
        raise typer.BadParameter(f"{minutes:g} minutes; a time above 0 fits")
    return minutes


Minutes = Annotated[
    float | None,
    typer.Option(
        callback=_above_zero,
        help="Stop after this time; --resume goes on from there.",
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="How many steps. *Default: as --config says.*")
]
Seed = Annotated[int, typer.Option(min=0, help="Another seed, other weights.")]
Hosts = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS:PORT,NUMBER,COUNT",
        help="Train on several machines: the address of the first, which of them this "
        "is, from 0, and how many they are. Start the same command on each, with --out "
        "in a folder that all can see.",
    ),
]


def join_hosts(hosts: str | None) -> None:
    """Meet the other processes of a training on several machines.

    Has to come before JAX is used.

    Args:
        hosts: what came with --hosts; None trains alone.

    Raises:
        RequestError: if it is not an address and two numbers that fit.
    """
    if hosts is None:
        return
    address, *numbers = hosts.split(",")
    try:
        process, count = map(int, numbers)
    except ValueError:
        process, count = 0, 0
    if not address.rpartition(":")[2].isdigit() or not 0 <= process < count:
        raise cli.RequestError(
            f"--hosts {hosts}: expected ADDRESS:PORT,NUMBER,COUNT such as "
            "10.0.0.1:9911,0,2, with NUMBER from 0 to COUNT - 1"
        )
    import jax

    # Between CPUs JAX needs to be told how to talk.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, count, process)


def start(name: str | None, *, ours: str) -> Path | None:
    """The folder of the model to start from; None starts anew.

    Args:
        name: what came with --from.
        ours: which of our models "default" means, "grains" or "sequencer".

    Raises:
        RequestError: if there is no model in that folder.
    """
    if name is None:
        return None
    folder = cli.PRETRAINED / ours if name == "default" else Path(name)
    if not (folder / "config.json").is_file():
        raise cli.RequestError(f"--from {name}: there is no model in {folder}")
    return folder


def check_out(out: Path, *, resume: bool) -> None:
    """See that a training can begin, or go on, in `out`.

    Raises:
        RequestError: if it would overwrite a training, or there is none to resume.
    """
    cli.check_folder("--out", out)
    begun = any(out.glob("**/checkpoints")) if out.is_dir() else False
    if begun and not resume:
        raise cli.RequestError(
            f"--out {out} holds a training already; add --resume to go on with it, "
            "or name another folder"
        )
    if resume and not begun:
        raise cli.RequestError(
            f"--resume: no training has begun in {out}; leave out --resume"
        )


def watched(stage: cli.Stages, *, every_seconds: float = 30.0) -> Callable:
    """What a training reports to: a bar with loss and speed, or lines in a log."""
    show = None
    spoken = -every_seconds

    def report(progress: Progress) -> None:
        nonlocal show, spoken
        # Not before the first report: until then something else is going on.
        show = show or stage("Training")
        show(progress.step, progress.steps)
        facts = []
        if progress.loss is not None:
            facts.append(f"loss {progress.loss:.4f}")
        if progress.validation is not None:
            facts.append(f"held out {progress.validation:.4f}")
        if progress.items_per_second is not None:
            facts.append(f"{progress.items_per_second:,.0f} a second")
        stage.note(", ".join(facts))
        if stage.plain and progress.seconds - spoken >= every_seconds:
            spoken = progress.seconds
            cli.say(
                f"step {progress.step} of {progress.steps}, {progress.seconds:.0f} s: "
                + ", ".join(facts)
            )

    return report


def finish(out: Path, result: FitResult, *, as_json: bool) -> None:
    """Say how a training ended and what to do with it."""
    why = {
        "steps": "all steps are done",
        "patience": "it had stopped getting better",
        "time": "the time was up; --resume goes on",
        "signal": "it was told to stop; --resume goes on",
    }[result.stopped]
    best = (
        ""
        if result.best_loss is None
        else (
            f", best on held-out songs {result.best_loss:.4f} at step {result.best_step}"
        )
    )
    text = (
        f"{out}: {result.steps} steps in {result.seconds / 60:.1f} minutes, {why}{best}"
    )
    if as_json:
        print(
            json.dumps(
                {
                    "model": str(out),
                    "steps": result.steps,
                    "stopped": result.stopped,
                    "best_step": result.best_step,
                    "best_loss": result.best_loss,
                    "metrics": dict(result.best_metrics),
                    "seconds": result.seconds,
                }
            )
        )
    else:
        print(text)
