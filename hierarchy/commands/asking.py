"""Options that several commands share, and what of them is asked of the sequencer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hierarchy import cli

if TYPE_CHECKING:
    from structure.plan import SongPlan
    from structure.requests import SongRequest
    from structure.sequencer import Sequencer

PICTURES = (".png", ".svg")


def _forms() -> list[str]:
    """What a shell offers after --form."""
    from structure.forms import NAMED_FORMS

    return list(NAMED_FORMS)


def _meters() -> list[str]:
    """What a shell offers after --meter."""
    return ["2/4", "3/4", "4/4", "5/4", "6/8", "9/8", "12/8"]


def _styles() -> list[str]:
    """What a shell offers after --style: the styles of the model that ships."""
    facts = json.loads((cli.PRETRAINED / "grains" / "config.json").read_text())
    return facts["config"]["styles"]


Form = Annotated[
    str | None,
    typer.Option(
        help="verse-chorus, verse-chorus-bridge, aaba, strophic, through-composed or "
        'free; or in words ("intro verse chorus outro") or in letters with bars '
        '("I4 V8 C8 O4"), with chords if you like ("V8 C8[Am F C G]").  \n'
        "*Default: verse-chorus.*",
        autocompletion=_forms,
    ),
]
Key = Annotated[str | None, typer.Option(help='Such as "A:min", "F# major" or "Bb".')]
Mode = Annotated[
    str | None, typer.Option(help="maj or min, where the tonic is left open.")
]
Tempo = Annotated[float | None, typer.Option(help="Beats per minute.")]
Minutes = Annotated[float | None, typer.Option(help="How long, to the nearest bar.")]
Bars = Annotated[int | None, typer.Option(help="How many bars, in place of minutes.")]
Chords = Annotated[
    list[str] | None,
    typer.Option(
        help='Chords of a section, a bar each: "chorus: Am F C G", or "B: Dm G | C" '
        'with bar lines; "%" repeats a bar, "?" leaves one open. They go round until '
        "the section is full. May be given several times."
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0, max=4, help="0 is the likeliest song, above 1 a strange one."),
]
TopP = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=1, help="Draw from the likeliest choices of this share only."
    ),
]
Meter = Annotated[
    str | None,
    typer.Option(help='Such as "4/4", "3/4" or "6/8".', autocompletion=_meters),
]
Style = Annotated[
    str | None,
    typer.Option(
        help="Which of the model's styles: whose sound it has.", autocompletion=_styles
    ),
]
Title = Annotated[str | None, typer.Option(help="Written into the song and its plan.")]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, help="The same seed gives the same song. *Default: another each time.*"
    ),
]
Model = Annotated[
    Path | None, typer.Option(help="A folder from train-grains. *Default: ours.*")
]
SequencerFolder = Annotated[
    Path | None,
    typer.Option("--sequencer", help="A folder from train-sequencer. *Default: ours.*"),
]
Picture = Annotated[Path | None, typer.Option(help="Draw it too: a .png or .svg file.")]
Variation = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="How many of the sections that return are free to differ from the first "
        "time: 0 repeats all, 1 leaves all to the sequencer, which repeats most.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object.")
]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a person wants of a song; None leaves it to the sequencer."""

    form: str | None
    key: str | None
    tempo: float | None
    minutes: float | None
    meter: str | None
    bars: int | None = None
    chords: list[str] | None = None
    mode: str | None = None

    def names(self) -> str:
        """The options that were given, as they are typed."""
        given = (f.name for f in dataclasses.fields(self) if getattr(self, f.name))
        return ", ".join(f"--{name}" for name in given)

    def request(self, **more: Any) -> SongRequest:
        """What is asked of the sequencer; what is None is left to it.

        Raises:
            RequestError: if something asked cannot be.
        """
        from structure.requests import SongRequest

        return SongRequest(**self.fields(**more))

    def fields(self, **more: Any) -> dict[str, Any]:
        """The fields of a SongRequest that were given.

        Raises:
            RequestError: if chords cannot be read.
        """
        from structure.chord_rows import parse_section_chords

        asked = dataclasses.asdict(self) | more
        if self.chords:
            asked["chords"] = dict(parse_section_chords(row) for row in self.chords)
            if len(asked["chords"]) < len(self.chords):
                raise cli.RequestError("--chords twice for one section")
        return {k: v for k, v in asked.items() if v not in (None, [])}


def compose(request: SongRequest, sequencer: Path | None, *, seed: int) -> SongPlan:
    """A plan that has all that is asked, by the sequencer in a folder or by ours."""
    from structure.composing import compose

    return compose(open_sequencer(sequencer), request, seed=seed)


def open_sequencer(folder: Path | None) -> Sequencer:
    """The sequencer in a folder, or ours."""
    from structure.sequencer import Sequencer

    return Sequencer.read(folder or cli.PRETRAINED / "sequencer")


def described(plan: SongPlan) -> str:
    """A song in one line, for the person who asked for it.

    >>> from structure.plan import Section, SongPlan
    >>> verse = Section(label="verse", letter="A", chords=(("C",),) * 8)
    >>> described(SongPlan(key="C", tempo=120, sections=(verse, verse), seed=3))
    '0:32, C:maj, 120 BPM, 4/4, seed 3: verse A8, verse A8'
    """
    whole = round(plan.seconds)
    sections = ", ".join(f"{s.label} {s.letter}{s.bars}" for s in plan.sections)
    return (
        f"{whole // 60}:{whole % 60:02d}, {plan.key}, {plan.tempo:.4g} BPM, {plan.meter}, "
        f"seed {plan.seed}: {sections}"
    )
