"""compose-song: a form to a plan, which a person can edit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking


def compose_song(
    out: Annotated[Path, typer.Option("--out", "-o", help="The plan: a .json file.")],
    form: asking.Form = None,
    key: asking.Key = None,
    tempo: asking.Tempo = None,
    minutes: asking.Minutes = None,
    meter: asking.Meter = None,
    style: asking.Style = None,
    title: asking.Title = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0, max=4, help="0 is the likeliest song, above 1 a strange one."
        ),
    ] = None,
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
    """
    cli.check_file("--out", out, (".json",))
    if picture:
        cli.check_file("--picture", picture, asking.PICTURES)
    with cli.stages("Composing"):
        from structure.files import whole_file

        request = asking.Asked(form, key, tempo, minutes, meter).request(
            style=style, title=title, temperature=temperature, variation=variation
        )
        plan = asking.compose(request, sequencer, seed=cli.chosen_seed(seed))
        with contextlib.ExitStack() as files:
            plan.write(files.enter_context(whole_file(out)))
            if picture:
                from hierarchy.export.pictures import draw_plan

                draw_plan(files.enter_context(whole_file(picture)), plan)
    cli.answer(
        {
            "plan": str(out),
            "picture": str(picture) if picture else None,
            "seconds": round(plan.seconds, 3),
            "seed": plan.seed,
        },
        as_json=as_json,
        text=f"{out}: {asking.described(plan)}",
    )


main = cli.command(compose_song)
