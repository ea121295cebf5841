"""compose-song: a form, or a plan half filled, to a plan that a person can edit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking

if TYPE_CHECKING:
    from structure.plan import SongPlan


def compose_song(
    out: Annotated[Path, typer.Option("--out", "-o", help="The plan: a .json file.")],
    form: asking.Form = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A half-filled plan: JSON in which sections may lack whatever is to "
            "be composed. What is in it is kept exactly."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="A finished plan, kept but for the sections named by --anew."
        ),
    ] = None,
    anew: Annotated[
        list[str] | None,
        typer.Option(
            help='Sections of --like to compose anew: "bridge", "chorus 2", or the '
            "letter of an idea. May be given several times."
        ),
    ] = None,
    key: asking.Key = None,
    mode: asking.Mode = None,
    tempo: asking.Tempo = None,
    minutes: asking.Minutes = None,
    bars: asking.Bars = None,
    meter: asking.Meter = None,
    chords: asking.Chords = None,
    melody: Annotated[
        bool, typer.Option(help="Whether a lead melody is written too.")
    ] = True,
    style: asking.Style = None,
    title: asking.Title = None,
    temperature: asking.Temperature = None,
    top_p: asking.TopP = None,
    variation: asking.Variation = None,
    seed: asking.Seed = None,
    sequencer: asking.SequencerFolder = None,
    picture: asking.Picture = None,
    as_json: asking.Json = False,
) -> None:
    """Write the plan of a song: its sections, bars, chords and energy, no sound yet.

    The plan is a JSON file with one line a section. Edit what you like and turn
    it into sound with `render-song --plan`. What you ask for is kept exactly;
    what you leave out is composed.

    Examples:

        compose-song --form verse-chorus --out plan.json

        compose-song --form AABA --key "F major" --tempo 132 --seed 4 -o plan.json

        compose-song --form "I V8 C8 V8 C8 B C8 O" --picture plan.png -o plan.json

        compose-song --chords "chorus: Am F C G" --meter 6/8 --minutes 3 -o plan.json

        compose-song --plan half.json --out plan.json

        compose-song --like plan.json --anew bridge --seed 8 --out another.json
    """
    cli.check_file("--out", out, (".json",))
    if picture:
        cli.check_file("--picture", picture, asking.PICTURES)
    asked = asking.Asked(form, key, tempo, minutes, meter, bars, chords, mode)
    dials = {"temperature": temperature, "top_p": top_p, "variation": variation}
    with cli.stages("Composing"):
        from structure.files import whole_file

        if like or anew:
            _check_like(like, anew, plan, asked)
            if not melody:
                dials["melody"] = False
            composed = _anew(like, anew, seed, sequencer, **dials)
            composed = composed.model_copy(
                update={k: v for k, v in (("style", style), ("title", title)) if v}
            )
        else:
            more = asked.fields(style=style, title=title, melody=melody, **dials)
            composed = _composed(plan, more, seed, sequencer)
        with contextlib.ExitStack() as files:
            composed.write(files.enter_context(whole_file(out)))
            if picture:
                from hierarchy.export.pictures import draw_plan

                draw_plan(files.enter_context(whole_file(picture)), composed)
    cli.answer(
        {
            "plan": str(out),
            "picture": str(picture) if picture else None,
            "seconds": round(composed.seconds, 3),
            "seed": composed.seed,
        },
        as_json=as_json,
        text=f"{out}: {asking.described(composed)}",
    )


def _check_like(
    like: Path | None, anew: list[str] | None, plan: Path | None, asked: asking.Asked
) -> None:
    if like is None:
        raise cli.RequestError("--anew without --like; --like names the plan to keep")
    if not anew:
        raise cli.RequestError(
            '--like without --anew; --anew names what is composed anew, such as "bridge"'
        )
    if plan:
        raise cli.RequestError("both --plan and --like; give one of them")
    if given := asked.names():
        raise cli.RequestError(f"{given} with --like: {like} says that already")


def _anew(
    like: Path, anew: list[str], seed: int | None, sequencer: Path | None, **dials
) -> SongPlan:
    from structure.composing import compose_anew
    from structure.plan import SongPlan

    dials = {name: value for name, value in dials.items() if value is not None}
    return compose_anew(
        asking.open_sequencer(sequencer),
        SongPlan.read(like),
        anew,
        seed=cli.chosen_seed(seed),
        **dials,
    )


def _composed(
    plan: Path | None, more: dict, seed: int | None, sequencer: Path | None
) -> SongPlan:
    from structure.composing import complete, compose
    from structure.half_plans import HalfPlan
    from structure.requests import SongRequest

    if plan is None:
        request = SongRequest(**more)
        return compose(
            asking.open_sequencer(sequencer), request, seed=cli.chosen_seed(seed)
        )
    half = HalfPlan.read(plan)
    written = half.kept.get("seed")
    if seed is None:
        seed = written
    elif written is not None and seed != written:
        raise cli.RequestError(f"--seed {seed}; {plan} says {written} already")
    return complete(
        asking.open_sequencer(sequencer), half, seed=cli.chosen_seed(seed), **more
    )


main = cli.command(compose_song)
