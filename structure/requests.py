"""What is asked of a song, checked; what is not said is left to the sequencer."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from structure.errors import RequestError
from structure.forms import FormSection, longer_forms, parse_form
from structure.functions import LABELS
from structure.harmony import Chord, Key
from structure.plan import BEATS_PER_BAR, FASTEST, SLOWEST, Note, SongPlan
from structure.vocabulary import MOST_BARS

MOST_BARS_IN_ALL = 2000

Bars = Sequence[Sequence[str] | None]
"""Chords bar by bar; None leaves a bar open."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionRequest:
    """What is asked of one section; None leaves it open.

    Attributes:
        label: its function.
        letter: its idea; sections that share a letter share their idea.
        bars: its length.
        energy, brightness: 0 to 1.
        chords: for each bar its chords, or None for an open bar.
        gestures: kept as they are where the chords are kept.
        melody: of the lead; empty where it shall be silent.
        unlike: chords, bar by bar, that its own shall not repeat.
    """

    label: str | None = None
    letter: str | None = None
    bars: int | None = None
    energy: float | None = None
    brightness: float | None = None
    chords: tuple[tuple[str, ...] | None, ...] | None = None
    gestures: tuple[tuple[int, ...], ...] | None = None
    melody: tuple[Note, ...] | None = None
    unlike: tuple[tuple[str, ...], ...] | None = None

    def __post_init__(self):
        if self.label is not None and self.label not in LABELS:
            raise RequestError(f"label {self.label!r}; there are {', '.join(LABELS)}")
        if self.letter is not None and not re.fullmatch(r"[A-Z]'*", self.letter):
            raise RequestError(f"letter {self.letter!r}; a letter is A, B, C', ...")
        for name in ("energy", "brightness"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise RequestError(f"{name} {value}; it goes from 0 to 1")
        if self.chords is not None:
            chords = _checked_bars(self.chords, f"the {self.label or 'section'}")
            if self.bars is not None and self.bars != len(chords):
                raise RequestError(
                    f"chords for {len(chords)} bars in a {self.label or 'section'} of "
                    f"{self.bars}; they must be as many"
                )
            object.__setattr__(self, "chords", chords)
            object.__setattr__(self, "bars", len(chords))
        if self.bars is not None and not 1 <= self.bars <= MOST_BARS:
            raise RequestError(
                f"a {self.label or 'section'} of {self.bars} bars; 1 to {MOST_BARS} fit"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SongRequest:
    """What is asked of a song. Everything given is kept exactly or refused.

    Attributes:
        form: in the language of structure.forms; "verse-chorus" if neither it
            nor `sections` is given.
        sections: the form section by section, as an alternative to `form`.
        key: such as "A:min".
        mode: "maj" or "min", where the tonic is free.
        tempo: felt beats a minute.
        meter: such as "4/4".
        bars: length of the song; `minutes` is the alternative, in whole bars.
        chords: for a label or a letter the chords of its sections, bar by bar;
            they are repeated in a section that is some times as long.
        style, title: written into the plan.
        temperature: 0 takes the likeliest, 1 draws as songs are, above is wilder.
        top_p: share of the likeliest choices that are drawn from.
        variation: share of the returning sections that are free to depart from their
            idea as those of songs do, 0 to 1; most of them still repeat it.
        melody: whether a lead melody is written too.
    """

    form: str | None = None
    sections: tuple[SectionRequest, ...] | None = None
    key: str | None = None
    mode: str | None = None
    tempo: float | None = None
    meter: str = "4/4"
    bars: int | None = None
    minutes: float | None = None
    chords: Mapping[str, Bars] = dataclasses.field(default_factory=dict)
    style: str | None = None
    title: str = "Untitled"
    temperature: float = 0.95
    top_p: float = 0.99
    variation: float = 1.0
    melody: bool = True

    def __post_init__(self):
        if self.form is not None and self.sections is not None:
            raise RequestError("both a form and sections; give one of them")
        if self.sections is not None and not self.sections:
            raise RequestError("no sections; a song has at least one")
        if self.mode not in (None, "maj", "min"):
            raise RequestError(f"mode {self.mode!r}; there are maj and min")
        if self.key is not None:
            key = Key.parse(self.key)
            if self.mode not in (None, key.mode):
                raise RequestError(f"key {key} and mode {self.mode} contradict")
        if self.tempo is not None and not SLOWEST <= self.tempo <= FASTEST:
            raise RequestError(
                f"tempo {self.tempo:g}; {SLOWEST:g} to {FASTEST:g} beats a minute fit"
            )
        if self.meter not in BEATS_PER_BAR:
            raise RequestError(
                f"metre {self.meter!r}; there are {', '.join(BEATS_PER_BAR)}"
            )
        for section in self.sections or ():
            for bar in section.gestures or ():
                if len(bar) != BEATS_PER_BAR[self.meter]:
                    raise RequestError(
                        f"a bar of {len(bar)} gestures; {self.meter} has "
                        f"{BEATS_PER_BAR[self.meter]} beats"
                    )
        if self.bars is not None and self.minutes is not None:
            raise RequestError("both bars and minutes; give one of them")
        if self.bars is not None and not 1 <= self.bars <= MOST_BARS_IN_ALL:
            raise RequestError(f"{self.bars} bars; 1 to {MOST_BARS_IN_ALL} fit")
        if self.minutes is not None and not 0 < self.minutes <= 120:
            raise RequestError(f"{self.minutes:g} minutes; above 0 and up to 120 fit")
        if not 0 <= self.temperature <= 10:
            raise RequestError(f"temperature {self.temperature:g}; 0 to 10 fit")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p {self.top_p:g}; above 0 and up to 1 fit")
        if not 0 <= self.variation <= 1:
            raise RequestError(f"variation {self.variation:g}; 0 to 1 fit")
        self.forms()

    @classmethod
    def like(
        cls, plan: SongPlan, *, renew: Sequence[str] = (), **changes
    ) -> SongRequest:
        """Ask for a plan again, but with some sections new.

        Args:
            plan: what to keep.
            renew: labels, letters or names of sections ("chorus 2") whose chords are
                composed anew.
            changes: any other field of a SongRequest.

        Raises:
            RequestError: if a section to renew is not in the plan.
        """
        new = set().union(*(places_of(plan, name) for name in renew))
        sections = tuple(
            SectionRequest(
                label=section.label,
                letter=section.letter,
                bars=section.bars,
                energy=section.energy,
                brightness=section.brightness,
                chords=None if place in new else section.chords,
                gestures=None if place in new else section.gestures,
                melody=None if place in new else section.melody,
                unlike=section.chords if place in new else None,
            )
            for place, section in enumerate(plan.sections)
        )
        kept = {
            "key": plan.key,
            "tempo": plan.tempo,
            "meter": plan.meter,
            "style": plan.style,
            "title": plan.title,
            "melody": any(section.melody for section in plan.sections),
        }
        return cls(sections=sections, **(kept | changes))

    @property
    def is_free(self) -> bool:
        """Whether the sequencer chooses the sections."""
        return self.form is not None and parse_form(self.form) == "free"

    def forms(self) -> list[tuple[SectionRequest, ...]]:
        """The rows of sections that would do, the plainest first; none if free.

        Raises:
            RequestError: if the form cannot be read or chords do not fit it.
        """
        if self.sections is not None:
            per_bar = BEATS_PER_BAR[self.meter]
            return [
                self._with_chords(tuple(_as_long(s, per_bar) for s in self.sections))
            ]
        text = "verse-chorus" if self.form is None else self.form
        if parse_form(text) == "free":
            if self.chords:
                raise RequestError("chords for a free form; name its sections")
            return []
        try:
            rows = longer_forms(text)
        except RequestError:
            rows = (parse_form(text),)
        return [
            self._with_chords(tuple(_section_request(one) for one in row))
            for row in rows
        ]

    def _with_chords(self, row: tuple[SectionRequest, ...]) -> tuple:
        names = {s.label for s in row} | {s.letter for s in row} - {None}
        for name in self.chords:
            if name not in names:
                raise RequestError(
                    f"chords for {name!r}, which is not in the form; "
                    f"it has {', '.join(sorted(filter(None, names)))}"
                )
        filled = []
        for section in row:
            for name in {section.letter, section.label} & set(self.chords):
                chords = _checked_bars(self.chords[name], f"the {section.label}")
                chords = _fitted(chords, section.bars, section.label)
                if section.chords not in (None, chords):
                    raise RequestError(
                        f"chords for {name!r}, and others that say the same "
                        f"{section.label}; give one of them"
                    )
                section = dataclasses.replace(section, bars=len(chords), chords=chords)
            filled.append(section)
        return tuple(filled)


def _as_long(section: SectionRequest, beats_per_bar: int) -> SectionRequest:
    """A section of open length lasts as long as its gestures or its melody, in bars."""
    if section.gestures:
        bars = len(section.gestures)
        if section.bars not in (None, bars):
            raise RequestError(
                f"gestures for {bars} bars in a {section.label} of {section.bars}"
            )
        return dataclasses.replace(section, bars=bars)
    if section.bars is not None or not section.melody:
        return section
    last = section.melody[-1]
    bars = math.ceil((last.beat + last.beats - 0.01) / beats_per_bar)
    return dataclasses.replace(section, bars=max(1, bars))


def _section_request(one: FormSection) -> SectionRequest:
    chords = one.chords
    if chords is not None:
        chords = _fitted(chords, one.bars, one.label)
    return SectionRequest(
        label=one.label, letter=one.letter, bars=one.bars, chords=chords
    )


def _fitted(chords: tuple, bars: int | None, label: str) -> tuple:
    """Chords as often as they fit into a section."""
    bars = bars or len(chords)
    if bars % len(chords):
        raise RequestError(
            f"chords for {len(chords)} bars in a {label} of {bars}; "
            "they fit some whole number of times"
        )
    return chords * (bars // len(chords))


def places_of(plan: SongPlan, name: str) -> set[int]:
    """The places of the sections that a label, a letter or a name speaks of.

    >>> from structure.plan import Section
    >>> verse = Section(label="verse", letter="A", chords=(("C",),))
    >>> bridge = Section(label="bridge", letter="B", chords=(("F",),))
    >>> plan = SongPlan(sections=(verse, bridge, verse))
    >>> [sorted(places_of(plan, name)) for name in ("verse", "verse 2", "B")]
    [[0, 2], [2], [1]]
    """
    places = {
        place
        for place, section in enumerate(plan.sections)
        if name in (section.label, section.letter)
    }
    return places or {plan.find(name)}


def _checked_bars(bars: Bars, where: str) -> tuple[tuple[str, ...] | None, ...]:
    if not bars:
        raise RequestError(f"no chords for {where}; leave them out to have them made")
    checked = []
    for number, bar in enumerate(bars):
        if isinstance(bar, str):
            bar = (bar,)
        if bar is not None and not bar:
            raise RequestError(f"bar {number} of {where} has no chord; N is silence")
        for chord in bar or ():
            Chord.parse(chord)
        checked.append(None if bar is None else tuple(bar))
    return tuple(checked)
