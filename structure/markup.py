"""What is known of a song in seconds: its sections, chords, beats, keys and tempo.

A Markup is what annotations in files become (structure.jams,
structure.section_lists), and what a plan or a heard song becomes on its way into
such a file. Where a person has marked up a recording, listening takes their word.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Sequence

from structure.errors import RequestError
from structure.functions import function_of
from structure.harmony import Chord, Key
from structure.heard import Heard
from structure.plan import BEATS_PER_BAR, SongPlan
from structure.vocabulary import letter_name

OPEN_END = math.inf
"""The end of a last section of which only the start is known."""


@dataclasses.dataclass(frozen=True)
class Span:
    """Something that lasts.

    Attributes:
        start, end: seconds.
        value: a section's label as it was written, a Harte chord, or a key.
        letter: of a section, its idea; None where nobody said.
        confidence: 0 to 1; None where nobody said.
    """

    start: float
    end: float
    value: str
    letter: str | None = None
    confidence: float | None = None

    @property
    def function(self) -> str:
        """What a section of this label is for, one of macrotime's labels."""
        return function_of(self.value)


@dataclasses.dataclass(frozen=True)
class Beat:
    """A beat.

    Attributes:
        time: in seconds.
        position: in its bar, from 1; None where nobody said.
    """

    time: float
    position: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Markup:
    """What is known of a song; what is not known stays empty or None.

    Attributes:
        sections: in order and apart from each other.
        chords: likewise, in Harte's syntax.
        keys: likewise, such as "A:min".
        beats: in order.
        tempo: felt beats a minute.
        meter: such as "6/8".
        title, artist: "" where unknown.
        seconds: length of the recording.
    """

    sections: tuple[Span, ...] = ()
    chords: tuple[Span, ...] = ()
    keys: tuple[Span, ...] = ()
    beats: tuple[Beat, ...] = ()
    tempo: float | None = None
    meter: str | None = None
    title: str = ""
    artist: str = ""
    seconds: float | None = None

    def __post_init__(self):
        for name in ("sections", "chords", "keys"):
            _check_spans(getattr(self, name), name.rstrip("s"))
        for chord in self.chords:
            Chord.parse(chord.value)
        for key in self.keys:
            Key.parse(key.value)
        for one, other in itertools.pairwise(self.beats):
            if not 0 <= one.time < other.time < math.inf:
                raise RequestError(
                    f"a beat at {other.time:g} s after one at {one.time:g} s; "
                    "beats come in order"
                )
        if self.meter is not None and self.meter not in BEATS_PER_BAR:
            raise RequestError(
                f"metre {self.meter!r}; there are {', '.join(BEATS_PER_BAR)}"
            )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known that could replace what is heard."""
        return not (self.sections or self.chords or self.beats)

    @property
    def parts(self) -> str:
        """What it holds, in words: "12 sections and 88 chords"."""
        counts = [
            f"{len(found)} {name if len(found) != 1 else name.rstrip('s')}"
            for name in ("sections", "chords", "beats")
            if (found := getattr(self, name))
        ]
        return " and ".join(", ".join(counts).rsplit(", ", 1)) or "nothing"

    @property
    def beats_per_bar(self) -> int | None:
        """How many beats most bars have; None where positions do not tell."""
        ones = [i for i, beat in enumerate(self.beats) if beat.position == 1]
        lengths = collections.Counter(b - a for a, b in itertools.pairwise(ones))
        if lengths:
            return lengths.most_common(1)[0][0]
        return BEATS_PER_BAR[self.meter] if self.meter else None

    def letters(self) -> tuple[str, ...]:
        """The idea of each section: as written; else sections named alike are alike.

        >>> Markup(sections=[Span(0, 1, "verse 1"), Span(1, 2, "hook"),
        ...                  Span(2, 3, "verse 2")]).letters()
        ('A', 'B', 'A')
        """
        taken = {span.letter for span in self.sections if span.letter}
        free = (
            letter
            for number in itertools.count()
            if (letter := letter_name(number)) not in taken
        )
        of_idea: dict[tuple[str, str], str] = {}
        letters = []
        for span in self.sections:
            if span.letter:
                letters.append(span.letter)
                continue
            idea = _idea(span)
            if idea not in of_idea:
                of_idea[idea] = next(free)
            letters.append(of_idea[idea])
        return tuple(letters)

    def joined(self, other: Markup) -> Markup:
        """This, and what only `other` knows."""
        mine = dataclasses.asdict(self)
        return dataclasses.replace(
            self,
            **{
                field.name: getattr(other, field.name)
                for field in dataclasses.fields(self)
                if mine[field.name] in ((), None, "")
            },
        )

    def within(self, start: float, end: float) -> Markup:
        """What lies between two times of a recording, in seconds from the first."""

        def inside(spans: Iterable[Span]) -> tuple[Span, ...]:
            cut = (
                dataclasses.replace(
                    span,
                    start=max(span.start, start) - start,
                    end=min(span.end, end) - start,
                )
                for span in spans
            )
            return tuple(span for span in cut if span.end > span.start)

        return dataclasses.replace(
            self,
            sections=inside(self.sections),
            chords=inside(self.chords),
            keys=inside(self.keys),
            beats=tuple(
                dataclasses.replace(beat, time=beat.time - start)
                for beat in self.beats
                if start <= beat.time < end
            ),
            seconds=end - start,
        )

    @classmethod
    def of(cls, song: SongPlan | Heard | Markup) -> Markup:
        """Whatever is known of a song, as a Markup."""
        if isinstance(song, SongPlan):
            return _of_plan(song)
        return _of_heard(song) if isinstance(song, Heard) else song


def _check_spans(spans: Sequence[Span], what: str) -> None:
    before = 0.0
    for span in spans:
        if not 0 <= span.start < span.end:
            raise RequestError(
                f"a {what} from {span.start:g} to {span.end:g} s; it starts at 0 or "
                "later and ends after its start"
            )
        # Annotators' tools round each end by itself.
        if span.start < before - 0.02:
            raise RequestError(
                f"a {what} at {span.start:g} s where another lasts until {before:g} s; "
                "they come in order and do not overlap"
            )
        before = span.end


def _idea(span: Span) -> tuple[str, str]:
    """What sections of the same idea share, where no letter says it."""
    function = span.function
    if function == "other":
        return function, re.sub(r"[\W\d_]+", " ", span.value.lower()).strip()
    # "verse A" and "verse B" differ; "verse 1" and "verse 2" have other words only.
    variant = re.search(r"[\s_-]([A-Za-z]'*)$", span.value)
    return function, variant[1].upper() if variant else ""


def _of_plan(plan: SongPlan) -> Markup:
    starts = plan.starts()
    beats = [
        (bar * plan.beats_per_bar + beat) * plan.beat_seconds
        for bar in range(plan.bars)
        for beat in range(plan.beats_per_bar)
    ]
    chords = []
    bar_seconds = plan.beats_per_bar * plan.beat_seconds
    bars = [bar for section in plan.sections for bar in section.chords]
    for number, bar in enumerate(bars):
        for part, chord in enumerate(bar):
            start = (number + part / len(bar)) * bar_seconds
            end = (number + (part + 1) / len(bar)) * bar_seconds
            chords.append(Span(start, end, chord))
    return Markup(
        sections=tuple(
            Span(start, end, section.label, section.letter)
            for section, start, end in zip(
                plan.sections, starts, starts[1:], strict=False
            )
        ),
        chords=_merged(chords),
        keys=(Span(0.0, starts[-1], plan.key),),
        beats=tuple(
            Beat(time, number % plan.beats_per_bar + 1)
            for number, time in enumerate(beats)
        ),
        tempo=plan.tempo,
        meter=plan.meter,
        title=plan.title,
        seconds=plan.seconds,
    )


def _of_heard(heard: Heard) -> Markup:
    per_bar = BEATS_PER_BAR[heard.meter]
    edges = [*heard.beat_times, max(heard.seconds, heard.beat_times[-1] + 1e-3)]
    first = heard.downbeats[0] if heard.downbeats else 0
    chords = [
        Span(start, end, chord)
        for chord, (start, end) in zip(
            heard.chords, itertools.pairwise(edges), strict=False
        )
    ]
    spans = zip(
        itertools.pairwise(heard.boundaries),
        heard.labels,
        heard.letters,
        heard.label_confidence,
        strict=True,
    )
    return Markup(
        sections=tuple(
            Span(start, end, label, letter, sure)
            for (start, end), label, letter, sure in spans
        ),
        chords=_merged(chords),
        keys=(Span(0.0, heard.seconds, heard.key),),
        beats=tuple(
            Beat(time, (number - first) % per_bar + 1)
            for number, time in enumerate(heard.beat_times)
        ),
        tempo=heard.tempo,
        meter=heard.meter,
        seconds=heard.seconds,
    )


def _merged(chords: Sequence[Span]) -> tuple[Span, ...]:
    """Neighbours that are the same chord become one."""
    merged: list[Span] = []
    for chord in chords:
        if merged and merged[-1].value == chord.value:
            merged[-1] = dataclasses.replace(merged[-1], end=chord.end)
        else:
            merged.append(chord)
    return tuple(merged)
