"""What is asked of a song is in it, whatever is asked; benchmarks/constraints.py asks more."""

import collections
import json

import pytest

from structure.composing import complete, compose, compose_anew
from structure.errors import RequestError
from structure.half_plans import HalfPlan
from structure.harmony import Chord
from structure.plan import Section, SongPlan
from structure.requests import SongRequest
from tests.asked_songs import check_one
from tests.test_composing import UNTRAINED


def test_a_hundred_random_requests_are_kept_or_rightly_refused():
    seen = collections.Counter(check_one(UNTRAINED, number) for number in range(120))
    assert seen["kept"] > 100 and seen["refused"] > 3


HALF = """{
  "key": "Am", "tempo": 72, "meter": "6/8", "bars": 20, "grain_seed": 5, "title": "Half",
  "sections": [
    {"label": "intro", "bars": 2},
    {"label": "verse", "chords": "Am | F G | %"},
    {"label": "chorus", "chords": ["F", null, ["C", "G"]], "energy": 0.9},
    {"label": "verse", "letter": "B"},
    {}
  ]
}"""


def test_a_half_plan_is_finished():
    half = HalfPlan.from_json(HALF)
    plan = complete(UNTRAINED, half, seed=3)
    assert (plan.key, plan.tempo, plan.meter, plan.bars) == ("A:min", 72, "6/8", 20)
    assert (plan.grain_seed, plan.title, plan.seed) == (5, "Half", 3)
    intro, verse, chorus, again, last = plan.sections
    assert intro.bars == 2 and again.letter == "B" and last.bars >= 1
    assert verse.chords == (("Am",), ("F", "G"), ("F", "G"))
    assert chorus.chords[0] == ("F",) and chorus.chords[2] == ("C", "G")
    assert chorus.energy == 0.9
    assert complete(UNTRAINED, half, seed=3) == plan


def test_a_whole_plan_is_its_own_completion():
    plan = compose(UNTRAINED, SongRequest(form="V4 C4 V4"), seed=1)
    half = HalfPlan.from_json(plan.to_json())
    assert complete(UNTRAINED, half, seed=99) == plan


@pytest.mark.parametrize(
    "text, reason",
    [
        ("verse", "JSON"),
        ('{"sections": [{"label": "vers"}]}', "sections.0.label"),
        ('{"colour": "blue"}', "colour"),
        ('{"sections": [{"energy": "loud"}]}', "energy"),
        ('{"sections": [{"energy": 2}]}', "energy 2"),
        ('{"sections": [{"chords": "Am H"}]}', "'H'"),
        ('{"sections": [{"bars": 4, "chords": "Am F"}]}', "2 bars"),
        ('{"sections": [{"bars": 4}], "bars": 5}', "4 bars together"),
        ('{"sections": [], "bars": 5}', "no sections"),
        ('{"tempo": 10}', "tempo 10"),
        ('{"form": "V8", "sections": [{}]}', "one of them"),
        (
            '{"sections": [{"bars": 1, "gestures": [[1, 2, 3, 4, 5, 6, 7]]}]}',
            "7 gestures",
        ),
        ('{"sections": [{"bars": 3, "gestures": [[1, 2, 3, 4]]}]}', "verse of 3|of 3"),
        ('{"sections": [{"melody": [[NaN, 1, 60]]}]}', "melody"),
        (
            '{"sections": [{"label": "verse", "chords": "C"}], "chords": {"verse": "F"}}',
            "say the same verse",
        ),
    ],
)
def test_a_half_plan_that_cannot_be_is_refused_with_the_reason(text, reason):
    with pytest.raises(RequestError, match=reason):
        complete(UNTRAINED, HalfPlan.from_json(text, source="half.json"), seed=0)


def test_gestures_say_how_long_a_section_is():
    text = (
        '{"sections": [{"label": "verse", "gestures": [[1, 2, 3, 4], [5, 6, 7, 8]]}]}'
    )
    (verse,) = complete(UNTRAINED, HalfPlan.from_json(text), seed=0).sections
    assert verse.bars == 2 and verse.gestures == ((1, 2, 3, 4), (5, 6, 7, 8))


def test_letters_that_are_open_are_those_that_the_sequencer_draws():
    """A verse that returns as "the same" has the letter of the verse before it."""
    labels = ["intro", "verse", "chorus", "verse", "chorus", "outro"]
    text = json.dumps({"sections": [{"label": label, "bars": 2} for label in labels]})
    returns = 0
    for seed in range(12):
        plan = complete(UNTRAINED, HalfPlan.from_json(text), seed=seed)
        letters = [section.letter for section in plan.sections]
        of_label: dict[str, str] = {}
        for label, letter in zip(labels, letters, strict=True):
            if label in ("verse", "chorus"):
                # No idea is a verse here and a chorus there.
                assert of_label.setdefault(letter, label) == label
        returns += letters[3] == letters[1]
        # Letters are given in the order in which ideas come.
        assert list(dict.fromkeys(letters)) == sorted(set(letters))
    assert returns


def test_options_fill_a_half_plan_and_may_not_contradict_it():
    half = HalfPlan.from_json(HALF)
    plan = complete(UNTRAINED, half, seed=1, style="lofi")
    assert plan.style == "lofi"
    assert complete(UNTRAINED, half, seed=1, key="A:min").key == "A:min"
    with pytest.raises(RequestError, match="says 'Am' already"):
        complete(UNTRAINED, half, seed=1, key="C")
    with pytest.raises(RequestError, match="a form, and sections"):
        complete(UNTRAINED, half, seed=1, form="verse-chorus")


def test_a_new_bridge_leaves_the_rest_and_a_new_chorus_stays_one_idea():
    request = SongRequest(form="V4 C4 V4 B4 C4 O2", title="Song")
    plan = compose(UNTRAINED, request, seed=2)
    bridged = compose_anew(UNTRAINED, plan, ["bridge"], seed=3)
    assert bridged.sections[3].letter == plan.sections[3].letter
    assert bridged.sections[3].chords != plan.sections[3].chords
    assert bridged.sections[:3] == plan.sections[:3]

    both = compose_anew(UNTRAINED, plan, ["chorus"], seed=3, variation=0.0)
    assert both.sections[1].chords == both.sections[4].chords
    assert both.sections[1].chords != plan.sections[1].chords
    assert both.sections[1].letter == plan.sections[1].letter

    one = compose_anew(UNTRAINED, plan, ["chorus 2"], seed=3)
    assert one.sections[4].letter == plan.sections[1].letter + "'"
    with pytest.raises(RequestError, match="solo"):
        compose_anew(UNTRAINED, plan, ["solo"], seed=3)


def test_even_the_likeliest_bridge_is_another_when_it_shall_be_new():
    plan = compose(UNTRAINED, SongRequest(form="V4 B4 V4", temperature=0.0), seed=2)
    for seed in range(3):
        new = compose_anew(UNTRAINED, plan, ["bridge"], seed=seed, temperature=0.0)
        assert new.sections[1].chords != plan.sections[1].chords


def test_a_section_is_new_however_its_chords_were_spelled():
    plan = compose(
        UNTRAINED, SongRequest(form="V4 C[F | G | Em | Am]", key="Am"), seed=2
    )
    for seed in range(3):
        new = compose_anew(UNTRAINED, plan, ["chorus"], seed=seed, temperature=0.0)
        old, other = (
            [Chord.parse(bar[0]) for bar in one.sections[1].chords]
            for one in (plan, new)
        )
        assert old != other


def test_the_form_language_says_chords():
    request = SongRequest(form="V4 C[F | C G] V4 C", key="C")
    plan = compose(UNTRAINED, request, seed=0)
    for place in (1, 3):
        assert plan.sections[place].chords == (("F",), ("C", "G"))
    longer = compose(UNTRAINED, SongRequest(form="V4 C8[F C] C V4"), seed=0)
    assert longer.sections[2].chords == (("F",), ("C",)) * 4
    for form, reason in [
        ("V4 [C", "other half"),
        ("[C] V4", "follow"),
        ("V3[C F]", "2 bars in a verse of 3"),
        ("V4[C|]x", "no section"),
        ("V[C | | F]", "empty bar"),
    ]:
        with pytest.raises(RequestError, match=reason):
            SongRequest(form=form)


def test_a_plan_in_six_eight_has_two_felt_beats_a_bar():
    request = SongRequest(form="V4 C4", meter="6/8", tempo=60, minutes=0.5)
    with pytest.raises(RequestError, match="8 bars together; 15 were asked"):
        compose(UNTRAINED, request, seed=0)
    plan = compose(UNTRAINED, SongRequest(form="V4 C4", meter="6/8", tempo=60), seed=0)
    assert plan.seconds == 16.0 and plan.starts() == [0.0, 8.0, 16.0]
    waltz = compose(UNTRAINED, SongRequest(form="V4 C4", meter="3/4", tempo=60), seed=0)
    assert waltz.starts() == [0.0, 12.0, 24.0]


def test_a_plan_written_by_an_older_macrotime_is_still_read():
    text = json.dumps(
        {
            "format": "macrotime-plan",
            "version": 1,
            "sections": [{"label": "verse", "letter": "A", "chords": [["C:maj"]]}],
        }
    )
    section = Section(label="verse", letter="A", chords=(("C:maj",),))
    assert SongPlan.from_json(text) == SongPlan(sections=(section,))


def test_an_open_metre_is_one_that_holds_what_is_given():
    five = {"label": "verse", "bars": 1, "melody": [[0.0, 5.0, 69]]}
    three = {"label": "verse", "chords": "C F", "gestures": [[0, 1, 2], [0, 1, 2]]}
    for section, meter in ((five, "5/4"), (three, "3/4"), ({"label": "verse"}, "4/4")):
        half = HalfPlan.from_json(json.dumps({"sections": [section]}))
        assert half.request().meter == meter
    assert half.request(meter="3/4").meter == "3/4"
