"""Random things to ask of a song, and whether a plan has them: shared with a benchmark."""

from __future__ import annotations

import json

import numpy as np

from structure.composing import complete, compose, compose_anew
from structure.errors import RequestError
from structure.half_plans import HalfPlan
from structure.harmony import Chord, Key
from structure.plan import SongPlan
from structure.requests import SongRequest

BEATS = {"3/4": 3, "4/4": 4, "6/8": 2}
LABELS = [
    "intro",
    "verse",
    "prechorus",
    "chorus",
    "bridge",
    "solo",
    "interlude",
    "outro",
]
CHORDS = [
    "Am",
    "F",
    "C",
    "G",
    "D:min7",
    "E:7",
    "Bb:maj7/3",
    "N",
    "A:sus4(b7)",
    "F#:hdim7",
]


def check_one(sequencer, number: int) -> str:
    """Ask for the song of this number and see whether it has what was asked.

    Returns:
        "kept", or "refused" where it rightly was; anything else is an AssertionError.
    """
    rng = np.random.default_rng([7, number])
    kind = [_whole_request, _half_plan, _new_section][number % 3]
    return kind(sequencer, rng)


def _whole_request(sequencer, rng) -> str:
    """A form with bars and chords here and there, key, tempo, metre, length."""
    sections, text = [], []
    ideas: dict[str, tuple[int | None, list]] = {}
    for _ in range(rng.integers(1, 6)):
        label = str(rng.choice(LABELS))
        if label not in ideas:
            bars = int(rng.integers(1, 13)) if rng.random() < 0.5 else None
            row = []
            if rng.random() < 0.3:
                row = [str(c) for c in rng.choice(CHORDS, rng.integers(1, 5))]
                if rng.random() < 0.3:
                    row[rng.integers(len(row))] = "?"
                bars = len(row) * int(rng.integers(1, 4)) if bars else None
            ideas[label] = (bars, row)
        bars, row = ideas[label]
        sections.append((label, bars or (len(row) or None), row))
        brackets = f"[{' '.join(row)}]" if row else ""
        text.append(f"{label}{bars or ''}{brackets}")
    asked = {"form": " ".join(text), "meter": str(rng.choice(list(BEATS)))}
    if rng.random() < 0.5:
        asked["key"] = str(Key(int(rng.integers(12)), str(rng.choice(["maj", "min"]))))
    elif rng.random() < 0.5:
        asked["mode"] = str(rng.choice(["maj", "min"]))
    asked["tempo"] = round(float(rng.uniform(50, 180)), 2)
    length = rng.random()
    if length < 0.4:
        asked["bars"] = int(rng.integers(1, 60))
    elif length < 0.6:
        asked["minutes"] = round(float(rng.uniform(0.2, 1.5)), 3)
    asked["temperature"] = float(rng.choice([0.0, 0.5, 1.0, 2.0]))
    asked["top_p"] = float(rng.choice([0.2, 0.9, 1.0]))
    seed = int(rng.integers(1000))

    bar_seconds = BEATS[asked["meter"]] * 60 / asked["tempo"]
    total = asked.get("bars")
    if "minutes" in asked:
        total = round(asked["minutes"] * 60 / bar_seconds)
    possible = total is None or _can_be(sections, total)
    try:
        plan = compose(sequencer, SongRequest(**asked), seed=seed)
    except RequestError as error:
        assert not possible and "bars" in str(error), (asked, error)
        return "refused"
    assert possible, asked
    _has(plan, sections, asked, total, seed)
    return "kept"


def _can_be(sections, total: int) -> bool:
    """Whether some lengths of the open sections make the total; equal ones stay equal."""
    given = sum(bars or 0 for _, bars, _ in sections)
    open_ = [label for label, bars, _ in sections if bars is None]
    reached = {given}
    for label in set(open_):
        times = open_.count(label)
        reached = {one + times * bars for one in reached for bars in range(1, 65)}
    return total in reached


def _has(plan: SongPlan, sections, asked: dict, total: int | None, seed: int) -> None:
    assert [s.label for s in plan.sections] == [label for label, _, _ in sections]
    letters = {label: s.letter for s, (label, *_) in zip(plan.sections, sections)}  # noqa: B905
    assert len(set(letters.values())) == len(letters)
    for section, (_, bars, row) in zip(plan.sections, sections, strict=True):
        assert bars in (None, section.bars)
        for number, bar in enumerate(section.chords):
            if row and row[number % len(row)] != "?":
                assert bar == (row[number % len(row)],)
    assert plan.seed == seed and plan.tempo == asked["tempo"]
    assert plan.meter == asked["meter"]
    if "key" in asked:
        assert plan.key == asked["key"]
    if "mode" in asked:
        assert Key.parse(plan.key).mode == asked["mode"]
    if total is not None:
        assert plan.bars == total
    if "minutes" in asked:
        bar_seconds = plan.seconds / plan.bars
        assert abs(plan.seconds - 60 * asked["minutes"]) <= bar_seconds / 2 + 1e-6


def _small_plan(sequencer, rng) -> SongPlan:
    rows = ["V4 C4 V4 B2 C4 O2", "intro2 verse4 chorus4 verse4 chorus4", "A4 A4 B4 A4"]
    request = SongRequest(
        form=str(rng.choice(rows)), meter=str(rng.choice(list(BEATS)))
    )
    return compose(sequencer, request, seed=int(rng.integers(1000)))


def _half_plan(sequencer, rng) -> str:
    """A plan with holes anywhere: what is left of it stands in the finished one."""
    plan = json.loads(_small_plan(sequencer, rng).to_json())
    plan["sections"] = [s | {"bars": len(s["chords"])} for s in plan["sections"]]
    holes = dict(plan)
    for name in ("key", "tempo", "meter", "title", "style", "seed"):
        if rng.random() < 0.4:
            del holes[name]
    sections = []
    for section in plan["sections"]:
        section = {k: v for k, v in section.items() if v is not None}
        for name in list(section):
            if name != "chords" and rng.random() < 0.4:
                del section[name]
        if rng.random() < 0.4:
            del section["chords"]
        elif rng.random() < 0.3:
            section["chords"] = [
                bar if rng.random() < 0.5 else None for bar in section["chords"]
            ]
        sections.append(section)
    holes["sections"] = sections
    half = HalfPlan.from_json(json.dumps(holes))
    whole = complete(sequencer, half, seed=int(rng.integers(1000)))
    for name, value in holes.items():
        if name != "sections" and value is not None:
            assert getattr(whole, name) == value, name
    assert len(whole.sections) == len(sections)
    for section, given in zip(whole.sections, sections, strict=True):
        for name, value in given.items():
            if name == "chords":
                for bar, asked in zip(section.chords, value, strict=True):
                    assert asked is None or list(bar) == asked
            else:
                is_ = json.loads(section.model_dump_json()).get(name, section.bars)
                assert is_ == value, name
    return "kept"


def _new_section(sequencer, rng) -> str:
    """As in this plan, but one section is new: every other one is the very same."""
    plan = _small_plan(sequencer, rng)
    place = int(rng.integers(len(plan.sections)))
    name = plan.names()[place] if rng.random() < 0.7 else str(place + 1)
    dials = {"temperature": float(rng.choice([0.0, 0.9]))}
    seed = int(rng.integers(1000))
    new = compose_anew(sequencer, plan, [name], seed=seed, **dials)
    assert new.model_copy(update={"sections": plan.sections}) == plan
    for number, (was, is_) in enumerate(zip(plan.sections, new.sections, strict=True)):
        if number != place:
            assert was == is_
            continue
        assert (is_.label, is_.bars, is_.energy) == (was.label, was.bars, was.energy)
        assert is_.chords != was.chords
        others = {s.letter for i, s in enumerate(plan.sections) if i != place}
        assert is_.letter not in others
        for bar in is_.chords:
            for chord in bar:
                Chord.parse(chord)
    return "kept"
