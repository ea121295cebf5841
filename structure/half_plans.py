"""Half-filled plans: a plan's JSON with whatever a person wants to leave open left out.

    {
      "key": "A:min", "minutes": 2,
      "sections": [
        {"label": "intro"},
        {"label": "verse", "bars": 8},
        {"label": "chorus", "chords": "Am F C G"},
        {"letter": "B", "energy": 0.9},
        {"label": "bridge", "chords": [["D:min"], null, ["E:maj"], null]}
      ]
    }

All keys of a plan and its sections may stand here, null or missing where they are
open, and also `bars` or `minutes`, `mode`, `form` in place of `sections`, and
`chords` by section. What is given stands in the finished plan as it was given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from structure.chord_rows import parse_bars
from structure.errors import RequestError
from structure.harmony import Key
from structure.plan import BEATS_PER_BAR, Section, SongPlan
from structure.requests import SectionRequest, SongRequest
from structure.vocabulary import MOST_BARS

_ASKED_OF_SECTIONS = ("label", "letter", "energy", "brightness", "gestures", "melody")
_ASKED = ("style", "title", "key", "tempo", "meter")
_ONLY_HALF = ("mode", "bars", "minutes", "form", "chords")

_METRES = ("4/4", "3/4", "6/8", "5/4", "9/8", "2/4", "12/8")
"""Where the metre is open, the first in which all that is given fits."""

_Chords = tuple[tuple[str, ...] | str | None, ...] | str | None


def _left_open(
    model: type[pydantic.BaseModel], **more: Any
) -> type[pydantic.BaseModel]:
    """The same model with every field optional."""
    fields = {
        name: (field.annotation | None, None)
        for name, field in model.model_fields.items()
        if name not in more
    }
    return pydantic.create_model(
        f"Half{model.__name__}",
        __config__=pydantic.ConfigDict(
            frozen=True, extra="forbid", allow_inf_nan=False
        ),
        **fields,
        **{name: (kind, None) for name, kind in more.items()},
    )


_HalfSection = _left_open(Section, chords=_Chords, bars=int | None)
_HalfPlan = _left_open(
    SongPlan,
    sections=tuple[_HalfSection, ...] | None,
    mode=str | None,
    bars=int | None,
    minutes=float | None,
    form=str | None,
    chords=dict[str, _Chords] | None,
)


@dataclasses.dataclass(frozen=True)
class HalfPlan:
    """What a person wrote, read.

    Attributes:
        asked: what the sequencer is asked for, by the names of a SongRequest.
        kept: values that stand in the plan as they are, by the names of a SongPlan.
        kept_sections: likewise of each section.
        source: where it was read, for messages.
    """

    asked: Mapping[str, Any]
    kept: Mapping[str, Any]
    kept_sections: tuple[Mapping[str, Any], ...]
    source: str = "plan"

    def request(self, **more: Any) -> SongRequest:
        """What is asked, and `more` where the file leaves it open.

        Raises:
            RequestError: if `more` contradicts the file, or something cannot be.
        """
        both = dict(self.asked)
        for name, value in more.items():
            if name in both and not _is_same(name, both[name], value):
                raise RequestError(
                    f"{name} {value!r}; {self.source} says {both[name]!r} already"
                )
            both[name] = value
        if "sections" in both and "form" in more:
            raise RequestError(
                f"a form, and sections in {self.source}; give one of them"
            )
        if both.get("meter") is None:
            fitting = [m for m in _METRES if _holds(m, both.get("sections") or ())]
            # Where none fits, what does not is refused with the reason, as it is in 4/4.
            both["meter"] = (fitting or _METRES)[0]
        return SongRequest(**both)

    def finished(self, plan: SongPlan) -> SongPlan:
        """A composed plan with all that was given in it, as it was given."""
        values = plan.model_dump() | dict(self.kept)
        for section, kept in zip(values["sections"], self.kept_sections, strict=False):
            section |= kept
        try:
            return SongPlan.model_validate(values)
        except pydantic.ValidationError as error:
            raise RequestError(f"{self.source}: {_flaws(error)}") from None

    @classmethod
    def read(cls, path: str | Path) -> HalfPlan:
        """Read one from a JSON file.

        Raises:
            RequestError: if it is not JSON, or a key or a value is not a plan's.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read the plan {path}: {error}") from None
        return cls.from_json(text, source=str(path))

    @classmethod
    def from_json(cls, text: str, *, source: str = "plan") -> HalfPlan:
        """Read one from text; see `read`."""
        try:
            half = _HalfPlan.model_validate_json(text)
        except pydantic.ValidationError as error:
            raise RequestError(f"{source}: {_flaws(error)}") from None
        try:
            return _read(half, source)
        except RequestError as error:
            raise RequestError(f"{source}: {error}") from None


def _is_same(name: str, one: Any, other: Any) -> bool:
    """Whether two values say the same, however they are spelled: "Am" is "A:min"."""
    if name == "key":
        return Key.parse(one) == Key.parse(other)
    return one == other


def _read(half: pydantic.BaseModel, source: str) -> HalfPlan:
    given = _given(half)
    given.pop("sections", None)
    asked = {name: given[name] for name in (*_ASKED, *_ONLY_HALF) if name in given}
    if "chords" in asked:
        asked["chords"] = {name: _bars(row) for name, row in given["chords"].items()}
    if half.sections is not None:
        asked["sections"] = tuple(_section(section) for section in half.sections)
    kept = {name: value for name, value in given.items() if name not in _ONLY_HALF}
    kept_sections = [
        {k: v for k, v in _given(section).items() if k not in ("chords", "bars")}
        for section in half.sections or ()
    ]
    return HalfPlan(asked, kept, tuple(kept_sections), source)


def _holds(meter: str, sections: Sequence[SectionRequest]) -> bool:
    """Whether the melodies and gestures that are given fit into bars of a metre."""
    beats = BEATS_PER_BAR[meter]
    return all(
        max((note.beat + note.beats for note in section.melody or ()), default=0.0)
        <= beats * (section.bars or MOST_BARS) + 0.01
        and all(len(bar) == beats for bar in section.gestures or ())
        for section in sections
    )


def _given(model: pydantic.BaseModel) -> dict[str, Any]:
    return {name: value for name, value in model if value is not None}


def _section(section: pydantic.BaseModel) -> SectionRequest:
    given = {name: getattr(section, name) for name in (*_ASKED_OF_SECTIONS, "bars")}
    return SectionRequest(**given, chords=_bars(section.chords))


def _bars(chords: Any) -> Any:
    if isinstance(chords, str):
        return parse_bars(chords)
    return chords


def _flaws(error: pydantic.ValidationError) -> str:
    lines = [
        f"{'.'.join(str(part) for part in flaw['loc']) or 'file'}: {flaw['msg'].removeprefix('Value error, ')}"
        for flaw in error.errors()
    ]
    return "; ".join(lines)
