"""What a visitor may ask for, checked before anything is begun."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args

import pydantic

from structure.errors import RequestError
from structure.forms import MOST_BARS, NAMED_FORMS, parse_form
from structure.functions import Label
from structure.plan import FASTEST, SLOWEST, Meter

LONGEST_MINUTES = 15
MOST_SECTIONS = 32

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]


def choices() -> dict[str, Any]:
    """What the page offers: forms by name, functions of sections, metres."""
    forms = {name: parse_form(name) for name in NAMED_FORMS}
    return {
        "forms": {
            name: [
                {"label": one.label, "letter": one.letter, "bars": one.bars}
                for one in ([] if form == "free" else form)
            ]
            for name, form in forms.items()
        },
        "labels": [label for label in get_args(Label) if label != "silence"],
        "meters": list(get_args(Meter)),
    }


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class WishedSection(_Strict):
    """One row of the list of sections.

    Attributes:
        label: its function.
        letter: its idea; None shares that of others with its label.
        bars: its length; None leaves it to the sequencer.
    """

    label: Label
    letter: str | None = pydantic.Field(default=None, pattern=r"^[A-Z]'{0,3}$")
    bars: int | None = pydantic.Field(default=None, ge=1, le=MOST_BARS)


class SongWish(_Strict):
    """What the page asks of a song; None leaves it open.

    Attributes:
        style: number of a style in the list that the page was given.
        form: a name of `structure.forms`; None if `sections` says it.
        sections: one's own form.
        mood: 0 calm to 1 lively; see `hierarchy.studio.songs`.
        freedom, chorus_variation: see `render_song`.
    """

    style: int = 0
    form: str | None = None
    sections: tuple[WishedSection, ...] | None = pydantic.Field(
        default=None, min_length=1, max_length=MOST_SECTIONS
    )
    key: str | None = pydantic.Field(default=None, max_length=12)
    tempo: float | None = pydantic.Field(default=None, ge=SLOWEST, le=FASTEST)
    meter: Meter = "4/4"
    minutes: float | None = pydantic.Field(default=None, gt=0, le=LONGEST_MINUTES)
    mood: Share = 0.5
    freedom: Share = 0.0
    chorus_variation: Share = 0.0
    seed: Seed | None = None
    title: str = pydantic.Field(default="Untitled", min_length=1, max_length=80)

    @pydantic.field_validator("form")
    @classmethod
    def _a_form_has_a_name(cls, form):
        if form is not None and form not in NAMED_FORMS:
            raise ValueError(f"there are {', '.join(NAMED_FORMS)}")
        return form

    @pydantic.field_validator("title")
    @classmethod
    def _a_title_is_one_line(cls, title):
        title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        return title or "Untitled"

    @pydantic.model_validator(mode="after")
    def _one_form(self):
        if self.form is not None and self.sections is not None:
            raise ValueError("a form and sections; give one of them")
        return self

    def asked(self) -> dict[str, Any]:
        """Fields of a `structure.SongRequest`, as JSON."""
        found: dict[str, Any] = {
            "key": self.key,
            "tempo": self.tempo,
            "meter": self.meter,
            "minutes": self.minutes,
            "title": self.title,
            "variation": self.chorus_variation,
        }
        if self.sections is not None:
            found["form"] = " ".join(
                section.label
                + (f":{section.letter}" if section.letter else "")
                + str(section.bars or "")
                for section in self.sections
            )
            if all(section.bars for section in self.sections):
                # The list says how long the song is, to the bar.
                found["minutes"] = None
        else:
            found["form"] = self.form
        return {name: value for name, value in found.items() if value is not None}

    def sketch(self) -> list[dict[str, Any]]:
        """The form before it is composed, for the page to show at once."""
        form = parse_form(self.asked().get("form", "verse-chorus"))
        if form == "free":
            return []
        return [
            {"label": one.label, "letter": one.letter, "bars": one.bars or 8}
            for one in form
        ]


class AgainWish(_Strict):
    """Another take of a section, by the name that the page was given."""

    section: str = pydantic.Field(max_length=40)


class AlbumWish(_Strict):
    """A style to learn: what to call it, and how long to listen."""

    name: str = pydantic.Field(min_length=1, max_length=40)
    minutes: float = pydantic.Field(default=5, ge=0.02, le=120)

    @pydantic.field_validator("name")
    @classmethod
    def _a_name_is_one_line(cls, name):
        name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        if not name:
            raise ValueError("a name has letters in it")
        return name


Wish = TypeVar("Wish", bound=_Strict)


def read_wish(kind: type[Wish], text: bytes) -> Wish:
    """A wish from JSON.

    Raises:
        RequestError: a sentence for each thing that cannot be.
    """
    try:
        return kind.model_validate_json(text)
    except pydantic.ValidationError as error:
        flaws = [
            f"{' '.join(map(str, flaw['loc'])) or 'request'}: "
            + flaw["msg"].removeprefix("Value error, ")
            for flaw in error.errors()
        ]
        raise RequestError("; ".join(flaws)) from None
