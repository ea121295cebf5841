"""Annotated songs, one JSON object a line, to values the sequencer learns from.

Files of forms have sections with labels, times and perhaps bars; files of
harmony have sections with one list of chords a bar. What a source does not
tell (letters, bars, chords, a tempo) stays None and is never made up.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import reprlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from structure.errors import RequestError
from structure.functions import Label
from structure.harmony import PITCH_CLASSES, Chord, Key, pitch_class
from structure.plan import BEATS_PER_BAR, SongPlan

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSection:
    """One section as a source describes it.

    Attributes:
        label: its function.
        letter: its idea, primes kept; None where the source has none.
        bars: its length; None where unknown.
        end: seconds from the start of the song; None where unknown.
        energy: 0 to 1; None where unknown.
        chords: one tuple of Harte chords a bar; None where unknown.
        tonics: the tonic of each bar, pitch classes; None without chords.
    """

    label: str
    letter: str | None = None
    bars: int | None = None
    end: float | None = None
    energy: float | None = None
    chords: tuple[tuple[str, ...], ...] | None = None
    tonics: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSong:
    """One song as a source describes it.

    Attributes:
        id: unique within its file.
        source: who annotated it; sources differ in how finely they cut.
        group: the same for every version of one song.
        split: "train", "valid" or "test".
        genre: the source's class of music ("popular", "jazz"), "" where unknown.
        tempo: beats a minute; None where unknown.
        meter: such as "4/4"; None where unknown or not one of a plan's.
        mode: "maj", "min", "mixed" or None.
    """

    id: str
    source: str
    group: str
    split: str
    sections: tuple[AnnotatedSection, ...]
    genre: str = ""
    tempo: float | None = None
    meter: str | None = None
    mode: str | None = None

    @property
    def has_chords(self) -> bool:
        """Whether every section has its chords."""
        return all(section.chords for section in self.sections)

    @property
    def is_pop(self) -> bool:
        """Whether it belongs to the pop subset on which scores are also given."""
        return self.source != "salami" or self.genre == "popular"


def read_annotations(
    paths: Iterable[str | Path], *, split: str | None = None
) -> tuple[AnnotatedSong, ...]:
    """Read annotation files, in order; a song that two files hold is kept once.

    The version with chords is kept, whichever file it comes from.

    Args:
        paths: JSON Lines files.
        split: keep only "train", "valid" or "test".

    Raises:
        RequestError: if a file cannot be read or a line is not a song; the
            message names the file, the line and the key.
    """
    if split is not None and split not in SPLITS:
        raise RequestError(f"split {split!r}; there are {', '.join(SPLITS)}")
    songs: dict[str, AnnotatedSong] = {}
    for path in paths:
        try:
            # Not splitlines, which also cuts at rarer breaks that JSON allows in text.
            lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read the annotations {path}: {error}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                song = song_from_json(line)
            except RequestError as error:
                raise RequestError(f"{path}, line {number}: {error}") from None
            if split is not None and song.split != split:
                continue
            if song.id not in songs or (
                song.has_chords and not songs[song.id].has_chords
            ):
                songs[song.id] = song
    return tuple(songs.values())


def song_from_json(line: str) -> AnnotatedSong:
    """One line of an annotation file to a song.

    Raises:
        RequestError: saying which key is missing or wrong.
    """
    try:
        raw = _Song.model_validate_json(line)
    except pydantic.ValidationError as error:
        raise RequestError(_flaw(error)) from None
    return AnnotatedSong(
        id=raw.id,
        source=raw.source,
        group=raw.id if raw.group is None else raw.group,
        split=raw.split,
        genre=raw.genre or "",
        tempo=raw.tempo_bpm,
        meter=raw.meter if raw.meter in BEATS_PER_BAR else None,
        mode=raw.mode,
        sections=tuple(section.annotated(raw.tonic) for section in raw.sections),
    )


def song_to_json(song: AnnotatedSong) -> str:
    """One line of an annotation file that `song_from_json` reads as this song."""
    line = {
        "id": song.id,
        "source": song.source,
        "group": song.group,
        "split": song.split,
        "class": song.genre or None,
        "tempo_bpm": song.tempo,
        "meter": song.meter,
        "mode": song.mode,
        "sections": [_section_json(section) for section in song.sections],
    }
    return json.dumps(_known(line))


def _section_json(section: AnnotatedSection) -> dict[str, object]:
    tonics = section.tonics or ()
    changes = [
        (bar, PITCH_CLASSES[after])
        for bar, (before, after) in enumerate(itertools.pairwise(tonics), 1)
        if after != before
    ]
    return _known(
        {
            "label": section.label,
            "letter": section.letter,
            "end_s": section.end,
            "bars": section.chords or section.bars,
            "energy": section.energy,
            "tonic": PITCH_CLASSES[tonics[0]] if tonics else None,
            "tonic_changes": changes or None,
        }
    )


def _known(values: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


# ---- What a line may say ----------------------------------------------------------


def _read_by(parse: Callable[[str], object]) -> pydantic.AfterValidator:
    """Text that `parse` understands; it stays as it was written."""

    def checked(text: str) -> str:
        parse(text)
        return text

    return pydantic.AfterValidator(checked)


def _some(what: str) -> pydantic.AfterValidator:
    """At least one; pydantic's own check speaks up beside every flaw within."""

    def checked(items: tuple) -> tuple:
        if not items:
            raise ValueError(what)
        return items

    return pydantic.AfterValidator(checked)


_Name = Annotated[
    str, pydantic.BeforeValidator(lambda x: str(x) if isinstance(x, int) else x)
]
_Tonic = Annotated[str, _read_by(lambda name: name and pitch_class(name))]
_ChordName = Annotated[str, _read_by(Chord.parse)]
_Bar = Annotated[
    tuple[_ChordName, ...], _some("a bar without a chord; a silent bar is ['N']")
]
_BarIndex = Annotated[int, pydantic.Field(ge=0)]
_Bars = Annotated[
    Annotated[_BarIndex, pydantic.Tag("count")]
    | Annotated[tuple[_Bar, ...], pydantic.Tag("list")],
    pydantic.Discriminator(lambda bars: "list" if isinstance(bars, list) else "count"),
]


class _Strict(pydantic.BaseModel):
    # Files say more about a song than is learned: other keys are left alone.
    model_config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)


class _Section(_Strict):
    label: Label
    letter: str | None = None
    bars: _Bars | None = None
    end_s: float | None = pydantic.Field(default=None, ge=0)
    energy: float | None = pydantic.Field(default=None, ge=0, le=1)
    tonic: _Tonic | None = None
    tonic_changes: tuple[tuple[_BarIndex, _Tonic], ...] | None = None

    def annotated(self, tonic: str | None) -> AnnotatedSection:
        """The section as a value, in a song with this tonic."""
        bars, chords, tonics = self.bars, None, None
        if isinstance(bars, tuple):
            chords, bars = bars, len(bars)
            tonics = [pitch_class(self.tonic or tonic)] * bars
            for first, changed in self.tonic_changes or ():
                tonics[first:] = [pitch_class(changed)] * (bars - first)
        return AnnotatedSection(
            label=self.label,
            letter=self.letter,
            # A section shorter than its first downbeat has no bars worth learning.
            bars=bars or None,
            end=self.end_s,
            energy=self.energy,
            chords=chords or None,
            tonics=tuple(tonics) if tonics else None,
        )


class _Song(_Strict):
    id: _Name
    source: _Name
    split: Literal["train", "valid", "test"]
    group: _Name | None = None
    genre: str | None = pydantic.Field(default=None, alias="class")
    tempo_bpm: float | None = pydantic.Field(default=None, gt=0)
    meter: str | None = None
    mode: Literal["maj", "min", "mixed"] | None = None
    tonic: _Tonic | None = None
    sections: Annotated[tuple[_Section, ...], _some("no sections; a song has some")]

    @pydantic.model_validator(mode="after")
    def _chords_have_a_tonic(self):
        for number, section in enumerate(self.sections):
            if isinstance(section.bars, tuple) and not (section.tonic or self.tonic):
                raise ValueError(f"sections.{number} has chords without a tonic")
        return self


def _flaw(error: pydantic.ValidationError) -> str:
    """The first flaw of a line, with its key and what came, and how many more."""
    first, *others = error.errors(include_url=False)
    # The names of the two ways to write bars are ours and no keys.
    keys = [str(key) for key in first["loc"] if key not in ("count", "list")]
    said = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    if not keys:
        return said + more
    came = "" if first["type"] == "missing" else f" {reprlib.repr(first['input'])}"
    return f"{'.'.join(keys)}{came}: {said}{more}"


def song_from_plan(
    plan: SongPlan, *, id: str, split: str = "train", source: str = "yours"
) -> AnnotatedSong:
    """A plan, heard or written, as a song to learn from."""
    key = Key.parse(plan.key)
    return AnnotatedSong(
        id=id,
        source=source,
        group=id,
        split=split,
        tempo=plan.tempo,
        meter=plan.meter,
        mode=key.mode,
        sections=tuple(
            AnnotatedSection(
                label=section.label,
                letter=section.letter,
                bars=section.bars,
                end=end,
                energy=section.energy,
                chords=section.chords,
                tonics=(key.tonic,) * section.bars,
            )
            for section, end in zip(plan.sections, plan.starts()[1:], strict=True)
        ),
    )


def count_by_source(songs: Sequence[AnnotatedSong]) -> dict[str, int]:
    """How many songs each source gave."""
    counts: dict[str, int] = {}
    for song in songs:
        counts[song.source] = counts.get(song.source, 0) + 1
    return counts
