"""SongPlan: what happens when in a song, as a documented JSON file.

The plan is the hinge between macro and micro time. Listening writes one from a
recording, the sequencer writes new ones, a person can edit one, and rendering
needs nothing else.

    {
      "format": "macrotime-plan", "version": 1,
      "title": "Untitled", "style": "lofi", "key": "A:min", "tempo": 84.0,
      "meter": "4/4", "seed": 7,
      "sections": [
        {"label": "verse", "letter": "A", "energy": 0.45, "brightness": 0.5,
         "chords": [["A:min"], ["F:maj"], ["C:maj", "G:maj"]],
         "gestures": null, "take": 0}
      ]
    }

`chords` has one list per bar; the chords of a bar share it evenly, so
["C:maj", "G:maj"] changes half-way. Chords are in Harte syntax
(Harte et al., "Symbolic representation of musical chords", ISMIR 2005).
Two sections with the same letter are the same idea: the later one returns.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, NamedTuple

import pydantic

from structure.errors import RequestError
from structure.files import whole_file
from structure.functions import Label
from structure.harmony import Chord, Key

BEATS_PER_BAR = {"2/4": 2, "3/4": 3, "4/4": 4, "5/4": 5, "6/8": 2, "9/8": 3, "12/8": 4}
"""Felt beats: the dotted quarter in compound metres. The tempo counts these."""

Meter = Literal["2/4", "3/4", "4/4", "5/4", "6/8", "9/8", "12/8"]

SLOWEST, FASTEST = 30.0, 300.0


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Moment(_Strict):
    """A second of a recording that a grain was made from or sounds like.

    Attributes:
        song: which recording, by the name that its corpus has for it.
        seconds: where in it.
        likeness: 1 is the same sound at any gain; unlike music lies near 0.7.
    """

    song: str
    seconds: float
    likeness: float


class Note(NamedTuple):
    """A note of a melody: when, how long, how high.

    Attributes:
        beat: felt beats from the start of its section.
        beats: how long it lasts.
        pitch: MIDI; 60 is middle C.
    """

    beat: float
    beats: float
    pitch: int


class Section(_Strict):
    """A stretch of bars with one function in the song.

    Attributes:
        label: its function.
        letter: its idea; the same letter again means that the idea returns.
        energy: 0 (hushed) to 1 (the loudest moment of the song).
        brightness: 0 (dark) to 1 (bright); 0.5 leaves the sound as it was heard.
        chords: one list per bar; the chords of a bar share it evenly.
        gestures: which clip of the style's gesture book sounds on each beat,
            [bars][beats]; null leaves the choice to the renderer.
        melody: of the lead, as [beat, beats, pitch]: felt beats from the start of the
            section, how many it lasts, and its MIDI pitch; one note at a time. Empty
            where the lead is silent, null where nobody has said.
        take: another take is other samples of the same bars; 0 is the first.
        nearest: for each bar as it was rendered, the moment of all that the model
            learned from that it is most like; null before, and for silent bars.
    """

    label: Label
    letter: str = pydantic.Field(pattern=r"^[A-Z]'*$")
    energy: float = pydantic.Field(default=0.5, ge=0, le=1)
    brightness: float = pydantic.Field(default=0.5, ge=0, le=1)
    chords: tuple[tuple[str, ...], ...] = pydantic.Field(min_length=1)
    gestures: tuple[tuple[int, ...], ...] | None = None
    melody: tuple[Note, ...] | None = None
    take: int = pydantic.Field(default=0, ge=0)
    nearest: tuple[Moment | None, ...] | None = None

    @property
    def bars(self) -> int:
        """How many bars it lasts."""
        return len(self.chords)

    @pydantic.field_validator("chords")
    @classmethod
    def _chords_can_be_read(cls, bars):
        for number, bar in enumerate(bars):
            if not bar:
                raise ValueError(f"bar {number} has no chord; a silent bar is ['N']")
            for chord in bar:
                Chord.parse(chord)
        return bars

    @pydantic.model_validator(mode="after")
    def _a_gesture_for_each_bar(self):
        if self.gestures is not None and len(self.gestures) != self.bars:
            raise ValueError(
                f"gestures for {len(self.gestures)} bars; the section has {self.bars}"
            )
        return self


class SongPlan(_Strict):
    """A whole song, before any sound. Times derive from tempo and metre alone.

    Attributes:
        format, version: say what kind of file this is.
        title: of the song.
        style: which of the model's styles sounds; null takes its first.
        key: such as "A:min"; lead-sheet names such as "Am" are read too.
        tempo: felt beats a minute.
        meter: such as "4/4"; a beat of 6/8, 9/8 and 12/8 is a dotted quarter.
        sections: in order.
        seed: of what is composed and of the gestures; macro time.
        grain_seed: of the samples of the grains, micro time; null takes `seed`.
        freedom: 0 keeps to what was heard in the recordings, 1 invents.
        chorus_variation: how much a section differs when it returns; 0 is an exact
            return, as loud as the first time, 1 a new take of the same chords and
            gestures. Null is the same take, at the energy that the plan gives it.
        max_similarity: how like a moment of its recordings a bar may be; what is more
            like it is sampled again, more freely. Null allows all.
        loudness: of the mastered song, in LUFS.
        mastering_gain: decibels from the mix to the master's limiter, as the song was
            first rendered. It is kept as long as the song then comes out within half
            a LU of `loudness`, so that one redone section moves no other; null, or a
            gain that no longer fits, is measured anew.
    """

    format: Literal["macrotime-plan"] = "macrotime-plan"
    version: Literal[1] = 1
    title: str = "Untitled"
    style: str | None = None
    key: str = "C:maj"
    tempo: float = pydantic.Field(default=120.0, ge=SLOWEST, le=FASTEST)
    meter: Meter = "4/4"
    seed: int = pydantic.Field(default=0, ge=0)
    grain_seed: int | None = pydantic.Field(default=None, ge=0)
    freedom: float = pydantic.Field(default=0.0, ge=0, le=1)
    chorus_variation: float | None = pydantic.Field(default=None, ge=0, le=1)
    max_similarity: float | None = pydantic.Field(default=None, gt=0, le=1)
    loudness: float = pydantic.Field(default=-14.0, ge=-70, le=0)
    mastering_gain: float | None = pydantic.Field(default=None, allow_inf_nan=False)
    sections: tuple[Section, ...] = pydantic.Field(min_length=1)

    @pydantic.field_validator("key")
    @classmethod
    def _key_can_be_read(cls, key):
        return str(Key.parse(key))

    @pydantic.model_validator(mode="after")
    def _gestures_fit_the_metre(self):
        for number, section in enumerate(self.sections):
            for bar in section.gestures or ():
                if len(bar) != self.beats_per_bar:
                    raise ValueError(
                        f"section {number} has a bar of {len(bar)} gestures; "
                        f"{self.meter} has {self.beats_per_bar} beats"
                    )
        return self

    @pydantic.model_validator(mode="after")
    def _notes_lie_within_their_sections(self):
        for number, section in enumerate(self.sections):
            end, length = 0.0, section.bars * self.beats_per_bar
            for note in section.melody or ():
                if not (0 < note.beats and 0 <= note.pitch <= 127):
                    raise ValueError(
                        f"section {number} has a note {list(note)}; [beat, beats, "
                        "pitch] with a length and a pitch from 0 to 127 fits"
                    )
                # Thirds of a beat are rounded.
                if note.beat < end - 0.01 or note.beat + note.beats > length + 0.01:
                    raise ValueError(
                        f"section {number} has a note from beat {note.beat:g} to "
                        f"{note.beat + note.beats:g}; notes follow one another within "
                        f"its {length} beats"
                    )
                end = note.beat + note.beats
        return self

    @property
    def beats_per_bar(self) -> int:
        """Felt beats in a bar."""
        return BEATS_PER_BAR[self.meter]

    @property
    def bars(self) -> int:
        """Bars in the whole song."""
        return sum(section.bars for section in self.sections)

    @property
    def beat_seconds(self) -> float:
        """How long one beat lasts."""
        return 60.0 / self.tempo

    @property
    def seconds(self) -> float:
        """How long the song lasts, from its first downbeat to its last bar line."""
        return self.bars * self.beats_per_bar * self.beat_seconds

    def starts(self) -> list[float]:
        """Seconds at which each section starts, and last the song's end."""
        bar_seconds = self.beats_per_bar * self.beat_seconds
        bars = [0]
        for section in self.sections:
            bars.append(bars[-1] + section.bars)
        return [bar * bar_seconds for bar in bars]

    @property
    def ends_as_before(self) -> bool:
        """Whether it ends with a return that is to be the very sound it was before."""
        *before, last = self.sections
        idea = (last.letter, last.bars)
        return self.chorus_variation == 0 and any(
            (section.letter, section.bars) == idea for section in before
        )

    def names(self) -> tuple[str, ...]:
        """What each section is called: its label, numbered where there are several.

        >>> verse = Section(label="verse", letter="A", chords=(("C",),))
        >>> bridge = Section(label="bridge", letter="B", chords=(("F",),))
        >>> SongPlan(sections=(verse, bridge, verse)).names()
        ('verse 1', 'bridge', 'verse 2')
        """
        labels = [section.label for section in self.sections]
        return tuple(
            label
            if labels.count(label) == 1
            else f"{label} {labels[: number + 1].count(label)}"
            for number, label in enumerate(labels)
        )

    def find(self, name: str) -> int:
        """The place in `sections` of the one that is called so.

        Args:
            name: "chorus 2" is the second chorus and "bridge" the only one; "A 2" is
                the second section with letter A; "3" is the third of all.

        Raises:
            RequestError: if there is none or more than one; the message names them.

        >>> verse = Section(label="verse", letter="A", chords=(("C",),))
        >>> bridge = Section(label="bridge", letter="B", chords=(("F",),))
        >>> plan = SongPlan(sections=(verse, bridge, verse))
        >>> [plan.find(name) for name in ("verse 2", "Bridge", "A1", "3")]
        [2, 1, 0, 2]
        """
        wanted = "".join(name.lower().split())
        word, count = re.fullmatch(r"(.*?)(\d*)", wanted).groups()
        found = [
            number
            for number, section in enumerate(self.sections)
            if word in ("", section.label, section.letter.lower())
        ]
        if count:
            found = found[int(count) - 1 : int(count)] if int(count) else []
        if len(found) == 1 and wanted:
            return found[0]
        names = ", ".join(self.names())
        reason = "there is none" if not (found and wanted) else "there are several"
        raise RequestError(
            f"section {name!r}: {reason}; the sections are {names}, or 1 to "
            f"{len(self.sections)}"
        )

    def to_json(self) -> str:
        """The plan as text, one line a bar list, so that a person can edit it."""
        plan = self.model_dump(mode="json")
        sections = plan.pop("sections")
        head = [
            f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in plan.items()
        ]
        body = ",\n".join("    " + json.dumps(section) for section in sections)
        return "{\n" + ",\n".join(head) + ',\n  "sections": [\n' + body + "\n  ]\n}\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "plan") -> SongPlan:
        """Read a plan from JSON.

        Raises:
            RequestError: if it is not JSON or not a plan; the message names each key.
        """
        try:
            return cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            lines = [
                f"{'.'.join(str(part) for part in flaw['loc']) or 'file'}: {flaw['msg'].removeprefix('Value error, ')}"
                for flaw in error.errors()
            ]
            raise RequestError(f"{source}: " + "; ".join(lines)) from None

    def write(self, path: str | Path) -> None:
        """Write the plan as JSON, whole or not at all."""
        with whole_file(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> SongPlan:
        """Read a plan from a JSON file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read the plan {path}: {error}") from None
        return cls.from_json(text, source=str(path))
