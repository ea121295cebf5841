"""The plan, the hinge between macro and micro time."""

import json

import pytest

from structure.errors import RequestError
from structure.plan import Section, SongPlan


def song(**changes):
    verse = Section(label="verse", letter="A", chords=(("A:min",), ("F", "G:7/3")))
    chorus = Section(
        label="chorus",
        letter="B",
        energy=0.9,
        chords=(("C",),),
        gestures=((1, 2, 3, 4),),
    )
    return SongPlan(
        **({"key": "Am", "tempo": 90.0, "sections": (verse, chorus, verse)} | changes)
    )


def test_a_plan_survives_its_file(tmp_path):
    plan = song(title='A "song"', style="lofi", seed=7)
    plan.write(tmp_path / "song.plan.json")
    assert SongPlan.read(tmp_path / "song.plan.json") == plan


def test_a_plan_in_text_has_one_line_a_section():
    lines = song().to_json().splitlines()
    assert sum('"label"' in line for line in lines) == 3


def test_times_follow_from_bars_and_tempo():
    plan = song()
    assert plan.bars == 5
    assert plan.starts() == pytest.approx([0, 16 / 3, 8, 40 / 3])
    assert plan.seconds == plan.starts()[-1]


def test_compound_metres_count_dotted_quarters():
    assert song(meter="6/8", sections=song().sections[:1]).beats_per_bar == 2


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"tempo": 1000}, "tempo"),
        ({"key": "H"}, "key"),
        ({"meter": "7/8"}, "meter"),
        ({"sections": []}, "sections"),
        ({"sections": [{"label": "verse", "letter": "A", "chords": [["H"]]}]}, "H"),
        ({"sections": [{"label": "verse", "letter": "A", "chords": [[]]}]}, "bar 0"),
        ({"sections": [{"label": "rap", "letter": "A", "chords": [["C"]]}]}, "label"),
        ({"version": 2}, "version"),
        ({"mood": "sad"}, "mood"),
    ],
)
def test_a_flaw_in_a_plan_is_named(change, reason):
    text = json.dumps(json.loads(song().to_json()) | change)
    with pytest.raises(RequestError, match=reason):
        SongPlan.from_json(text, source="song.json")


def test_gestures_must_fill_the_bar():
    with pytest.raises(ValueError, match="3 beats"):
        song(meter="3/4")


def test_a_missing_plan_is_a_mistake_of_the_asker(tmp_path):
    with pytest.raises(RequestError, match="cannot read"):
        SongPlan.read(tmp_path / "none.json")
