"""Chords to a lead melody: rhythms that come back, pitches that lean on the harmony.

Rhythm comes bar by bar from patterns of real songs, by their place in a phrase of
four bars; a bar often repeats the rhythm of one, two or four bars before. Pitches
follow a log-linear model: how likely a pitch is depends on its interval, on the
interval before, on its place in the chord and in the key, on the weight of the beat,
and on what the bar whose rhythm comes back had there. On strong beats only notes of
the chord sound. `pretrained/melody.json` holds what was learned from songs in the
public domain; benchmarks/melody.py learns and measures it.

Source: Conklin and Witten, "Multiple viewpoint systems for music prediction", JNMR
24(1), 1995, for viewpoints; here they are features of one convex model.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from structure.harmony import Chord, Key
from structure.plan import BEATS_PER_BAR, Note, Section, SongPlan

PRETRAINED = Path(__file__).parent / "pretrained" / "melody.json"

SUNG = ("verse", "prechorus", "chorus", "postchorus", "bridge", "solo", "instrumental")
"""Functions of sections that have a lead; "other" has one too."""

REACH = 12
"""Semitones that a melody leaps at most."""

LOWEST, HIGHEST = 55, 84
"""The range of a lead, in MIDI pitches: G3 to C6."""

UNITS = {"2/4": 8, "3/4": 12, "4/4": 16, "5/4": 20, "6/8": 12, "9/8": 18, "12/8": 24}
"""Sixteenths in a bar."""

LAGS = (4, 2, 1)
"""How many bars back a rhythm may be taken from, the likeliest first."""

_STRONG = {
    "2/4": (0,),
    "3/4": (0,),
    "4/4": (0, 8),
    "5/4": (0, 12),
    "6/8": (0, 6),
    "9/8": (0,),
    "12/8": (0, 12),
}
_MADE_OF = {"5/4": ("3/4", "2/4"), "9/8": ("6/8", "6/8"), "12/8": ("6/8", "6/8")}
"""Metres that too few songs have are put together from others; 9/8 from one and a half."""

_LIVELINESS = 0.8
"""How much a loud section prefers bars of many notes, and a soft one of few."""

_HELD = 0.3
"""How much a note that repeats the one before is held back on strong beats, where the
choice is small; so that notes are repeated as often as in the songs."""

_NUCLEUS = 0.98
"""Share of the likeliest pitches that are drawn from; what is beyond is error."""

Rhythm = tuple[tuple[int, int], ...]
"""Onset and length of each note of a bar, in sixteenths."""


def strength(onset: int, meter: str) -> int:
    """How heavy a place in the bar is: 2 on strong beats, 1 on other beats, else 0."""
    if onset in _STRONG[meter]:
        return 2
    beat = 6 if meter.endswith("/8") else 4
    return int(onset % beat == 0)


QUALITIES = ("maj", "min", "7", "dim", "other")


def quality_of(chord: Chord) -> int:
    """The chord's place in QUALITIES."""
    if chord.shorthand in ("7", "9", "11", "13"):
        return QUALITIES.index("7")
    quality = chord.quality
    return QUALITIES.index(quality if quality in ("maj", "min", "dim") else "other")


# ---- Pitches --------------------------------------------------------------------

_GROUPS = {
    "interval": 2 * REACH + 1,
    "after": (2 * REACH + 1) * 5,
    "in_chord": 12 * len(QUALITIES) * 3,
    "in_key": 12 * 3,
    "held": 12 * 2,
    "register": 9,
    "again": 4 * 2,
}
"""Features of a pitch by group, and how many values each has; one of each holds."""

FEATURES = sum(_GROUPS.values())
_FIRST = dict(zip(_GROUPS, np.cumsum([0, *_GROUPS.values()]), strict=False))


@dataclasses.dataclass(frozen=True)
class Place:
    """What is known where a note is due.

    Attributes:
        before: the pitch before, or the middle of the range.
        step: the interval that led to it.
        chord: that sounds.
        home: pitch class of the key's major scale: the tonic, in minor the third.
        weight: of the beat, 0 to 2.
        long: whether the note lasts half a bar or more.
        middle: MIDI pitch around which the melody moves.
        model: the pitch, and the interval before it, of the note at the same place
            of the bar whose rhythm comes back; None where there is none.
        near: whether that bar is one or two bars back, and not four.
    """

    before: int
    step: int
    chord: Chord
    home: int
    weight: int
    long: bool
    middle: float
    model: tuple[int, int] | None
    near: bool = False


_INTERVALS = np.arange(-REACH, REACH + 1)


def features(place: Place) -> np.ndarray:
    """Feature numbers of every candidate, int [intervals, groups]."""
    pitch = place.before + _INTERVALS
    rows = np.empty([len(pitch), len(_GROUPS)], int)
    rows[:, 0] = _INTERVALS + REACH
    rows[:, 1] = (_INTERVALS + REACH) * 5 + _class_of(place.step)
    root = place.chord.root if place.chord.root is not None else place.home
    in_chord = (pitch - root) % 12
    rows[:, 2] = (
        in_chord * len(QUALITIES) + quality_of(place.chord)
    ) * 3 + place.weight
    degree = (pitch - place.home) % 12
    rows[:, 3] = degree * 3 + place.weight
    rows[:, 4] = degree * 2 + place.long
    rows[:, 5] = np.clip(np.rint((pitch - place.middle) / 3) + 4, 0, 8)
    rows[:, 6] = 0
    if place.model is not None:
        same_pitch = pitch == place.model[0]
        same_way = np.sign(_INTERVALS) == np.sign(place.model[1])
        same_step = place.model[1] == _INTERVALS
        kind = np.where(same_pitch, 3, np.where(same_step, 2, np.where(same_way, 1, 0)))
        rows[:, 6] = 2 * kind + place.near
    for group, first in enumerate(_FIRST.values()):
        rows[:, group] += first
    return rows


def _class_of(step: int) -> int:
    return (
        0 if step < -2 else 1 if step < 0 else 2 if step == 0 else 3 if step < 3 else 4
    )


@dataclasses.dataclass(frozen=True)
class MelodyModel:
    """What was learned of melodies.

    Attributes:
        rhythms: by metre the patterns of bars and how often each stood in the first
            to fourth bar of a phrase, [patterns, 4].
        copying: by metre, for each of LAGS and place in the phrase, how likely a bar
            takes over the rhythm from there beyond chance, [lags, 4].
        weights: of the features of pitches, [FEATURES].
    """

    rhythms: dict[str, tuple[tuple[Rhythm, ...], np.ndarray]]
    copying: dict[str, np.ndarray]
    weights: np.ndarray

    def to_json(self) -> str:
        """The model as text, a pattern a line."""
        rhythms = {
            meter: [
                {"notes": pattern, "counts": counts}
                for pattern, counts in zip(patterns, table.tolist(), strict=True)
            ]
            for meter, (patterns, table) in self.rhythms.items()
        }
        values = {
            "format": "macrotime-melody",
            "version": 1,
            "copying": {m: np.round(t, 3).tolist() for m, t in self.copying.items()},
            "weights": np.round(self.weights, 3).tolist(),
        }
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in values.items()]
        body = ",\n".join(
            f"{json.dumps(meter)}: [\n" + ",\n".join(map(_packed, rows)) + "\n]"
            for meter, rows in rhythms.items()
        )
        return "{" + ",\n".join(lines) + ',\n"rhythms": {\n' + body + "\n}}\n"

    @classmethod
    def from_json(cls, text: str) -> MelodyModel:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        rhythms = {
            meter: (
                tuple(tuple((o, n) for o, n in row["notes"]) for row in rows),
                np.array([row["counts"] for row in rows], float),
            )
            for meter, rows in values["rhythms"].items()
        }
        copying = {meter: np.array(table) for meter, table in values["copying"].items()}
        return cls(rhythms, copying, np.array(values["weights"]))

    @classmethod
    @functools.cache
    def default(cls) -> MelodyModel:
        """The one that comes with the package."""
        return cls.from_json(PRETRAINED.read_text(encoding="utf-8"))

    def odds(self, place: Place) -> np.ndarray:
        """Probabilities [intervals] of the intervals from -REACH to REACH."""
        scores = self.weights[features(place)].sum(axis=1)
        scores = np.exp(scores - scores.max())
        return scores / scores.sum()


def _packed(row: dict) -> str:
    return json.dumps(row, separators=(",", ":"))


# ---- Writing --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Bar:
    rhythm: Rhythm
    copied: int  # How many bars back its rhythm is from; 0 if it is its own.


def add_melody(
    plan: SongPlan,
    model: MelodyModel | None = None,
    *,
    seed: int,
    keep: Sequence[bool] | None = None,
) -> SongPlan:
    """The plan with a lead melody in the sections that have one.

    Sections of one letter share their melody; where a return has another chord, the
    notes on strong beats move to the nearest notes of that chord.

    Args:
        plan: with chords.
        model: learned from songs; ours, if None.
        seed: another seed, another melody; the chords stay.
        keep: for each section whether its own melody, or its silence, stays; by
            default those with a melody are kept.
    """
    model = model or MelodyModel.default()
    keep = keep or [section.melody is not None for section in plan.sections]
    # Those that are kept are the models of the sections that return.
    ideas = {
        section.letter: section
        for section, kept in zip(plan.sections, keep, strict=True)
        if kept and section.melody is not None
    }
    sections = []
    for section, kept in zip(plan.sections, keep, strict=True):
        if not kept and section.label in (*SUNG, "other"):
            if section.letter in ideas:
                melody = _returned(ideas[section.letter], section, plan)
            else:
                rng = np.random.default_rng([seed, *section.letter.encode()])
                melody = _new(section, plan, model, rng)
            section = section.model_copy(update={"melody": melody})
            ideas.setdefault(section.letter, section)
        sections.append(section)
    return plan.model_copy(update={"sections": tuple(sections)})


def _new(
    section: Section, plan: SongPlan, model: MelodyModel, rng: np.random.Generator
) -> tuple[Note, ...]:
    bars = _rhythms(section, plan.meter, model, rng)
    key = Key.parse(plan.key)
    home = key.tonic if key.mode == "maj" else (key.tonic + 3) % 12
    # Louder sections lie higher, as voices do.
    middle = 64.0 + 7.0 * section.energy
    before, step = round(middle), 0
    sounding: list[dict[int, tuple[int, int]]] = []
    notes: list[Note] = []
    half = UNITS[plan.meter] // 2
    for number, bar in enumerate(bars):
        there = sounding[number - bar.copied] if bar.copied else {}
        here: dict[int, tuple[int, int]] = {}
        for onset, length in bar.rhythm:
            chord = chord_at(section, number, onset, plan.meter)
            if chord.root is None:
                continue
            place = Place(
                before=before,
                step=step,
                chord=chord,
                home=home,
                weight=strength(onset, plan.meter),
                long=length >= half,
                middle=middle,
                model=there.get(onset),
                near=bar.copied in (1, 2),
            )
            pitch = _draw(model, place, rng)
            step, before = pitch - before, pitch
            here[onset] = (pitch, step)
            notes.append(_note(number, onset, length, pitch, plan.meter))
        sounding.append(here)
    return tuple(notes)


def _draw(model: MelodyModel, place: Place, rng: np.random.Generator) -> int:
    odds = model.odds(place)
    pitch = place.before + _INTERVALS
    odds = odds * ((pitch >= LOWEST) & (pitch <= HIGHEST))
    if place.weight == 2:
        tones = np.isin(pitch % 12, place.chord.pitch_classes)
        odds = odds * tones
        # With the others gone, the note before would be held too often.
        odds[REACH] *= _HELD
    order = np.argsort(-odds, kind="stable")
    before = np.cumsum(odds[order]) - odds[order]
    odds[order[before > _NUCLEUS * odds.sum()]] = 0.0
    rising = np.cumsum(odds)
    return int(pitch[np.searchsorted(rising, rng.random() * rising[-1], side="right")])


def _rhythms(
    section: Section, meter: str, model: MelodyModel, rng: np.random.Generator
) -> list[_Bar]:
    bars: list[_Bar] = []
    for number in range(section.bars):
        place = number % 4
        copying = model.copying.get(meter, model.copying["4/4"])[:, place]
        copied = 0
        for lag, chance in zip(LAGS, copying, strict=True):
            if number >= lag and rng.random() < chance and bars[number - lag].rhythm:
                copied = lag
                break
        if copied:
            bars.append(_Bar(bars[number - copied].rhythm, copied))
            continue
        rhythm = _draw_rhythm(model, meter, place, section.energy, rng)
        if not rhythm and not any(bar.rhythm for bar in bars[-1:]):
            # A lead that rests does so after a phrase, not at first or for two bars.
            rhythm = _draw_rhythm(model, meter, place, section.energy, rng, rests=False)
        bars.append(_Bar(rhythm, 0))
    return bars


def _draw_rhythm(
    model: MelodyModel,
    meter: str,
    place: int,
    energy: float,
    rng: np.random.Generator,
    *,
    rests: bool = True,
) -> Rhythm:
    if meter in _MADE_OF:
        first, second = _MADE_OF[meter]
        one = _draw_rhythm(model, first, place, energy, rng, rests=rests)
        two = _draw_rhythm(model, second, place, energy, rng, rests=rests)
        late = tuple((onset + UNITS[first], length) for onset, length in two)
        both = (*one, *late)
        room = UNITS[meter]
        return tuple((o, min(n, room - o)) for o, n in both if o < room)
    patterns, counts = model.rhythms[meter]
    sizes = np.array([len(pattern) for pattern in patterns])
    odds = counts[:, place] + 0.25 * counts.sum(axis=1)
    mean = odds @ sizes / odds.sum()
    odds = odds * np.exp(_LIVELINESS * (energy - 0.6) * (sizes - mean))
    odds = odds * (rests | (sizes > 0))
    rising = np.cumsum(odds)
    return patterns[
        int(np.searchsorted(rising, rng.random() * rising[-1], side="right"))
    ]


def _returned(idea: Section, section: Section, plan: SongPlan) -> tuple[Note, ...]:
    """The melody of an idea over the chords of a section that returns."""
    per_bar = BEATS_PER_BAR[plan.meter]
    unit = per_bar / UNITS[plan.meter]
    notes = []
    for start in range(0, section.bars, idea.bars):
        for note in idea.melody:
            bar, within = divmod(note.beat + 1e-6, per_bar)
            number = start + int(bar)
            if number >= section.bars:
                break
            chord = chord_at(section, number, round(within / unit), plan.meter)
            if chord.root is None:
                continue
            pitch = note.pitch
            heavy = strength(round(within / unit), plan.meter) == 2
            if heavy and pitch % 12 not in chord.pitch_classes:
                away = [
                    abs((pitch - tone + 6) % 12 - 6) for tone in chord.pitch_classes
                ]
                tone = chord.pitch_classes[int(np.argmin(away))]
                pitch += (tone - pitch + 6) % 12 - 6
            beat = round(note.beat + start * per_bar, 4)
            # A note over a bar line ends where the section does.
            beats = min(note.beats, section.bars * per_bar - beat)
            notes.append(Note(beat, round(beats, 4), pitch))
    return tuple(notes)


def chord_at(section: Section, bar: int, onset: int, meter: str) -> Chord:
    """The chord that sounds at a sixteenth of a bar."""
    chords = section.chords[bar]
    return Chord.parse(
        chords[min(onset * len(chords) // UNITS[meter], len(chords) - 1)]
    )


def _note(bar: int, onset: int, length: int, pitch: int, meter: str) -> Note:
    per_bar = BEATS_PER_BAR[meter]
    unit = per_bar / UNITS[meter]
    length = min(length, UNITS[meter] - onset)
    return Note(
        round(bar * per_bar + onset * unit, 4), round(length * unit, 4), int(pitch)
    )
