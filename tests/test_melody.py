"""A lead that goes with the chords, comes back with its section, and can be learned."""

import json

import numpy as np
import pytest

from structure.composing import compose, compose_anew
from structure.errors import RequestError
from structure.harmony import Chord, Key
from structure.melody import HIGHEST, LOWEST, UNITS, MelodyModel, add_melody, strength
from structure.melody_learning import learn, read_lead_sheets, score
from structure.plan import BEATS_PER_BAR, Note, Section, SongPlan
from structure.requests import SectionRequest, SongRequest
from tests.test_composing import UNTRAINED

VERSE = (("A:min",), ("F:maj",), ("C:maj", "G:maj"), ("E:7",)) * 2
CHORUS = (("F:maj",), ("G:maj",), ("A:min",), ("N",))


def song(meter="4/4", **changes):
    kinds = {
        "I": Section(label="intro", letter="I", chords=VERSE[:2]),
        "V": Section(label="verse", letter="A", energy=0.4, chords=VERSE),
        "C": Section(label="chorus", letter="B", energy=0.8, chords=CHORUS),
        "S": Section(label="solo", letter="A", energy=0.7, chords=VERSE),
    }
    return SongPlan(
        key="A:min", meter=meter, sections=[kinds[x] for x in "IVCVSC"], **changes
    )


def sixteenths(note, meter):
    per_bar = BEATS_PER_BAR[meter]
    bar, within = divmod(note.beat + 1e-6, per_bar)
    return int(bar), round(within * UNITS[meter] / per_bar)


@pytest.mark.parametrize("meter", list(UNITS))
def test_strong_beats_sing_notes_of_the_chord_in_every_metre(meter):
    strong = notes = 0
    for seed in range(4):
        plan = add_melody(song(meter), seed=seed)
        for section in plan.sections:
            for note in section.melody or ():
                bar, onset = sixteenths(note, meter)
                chords = section.chords[bar]
                chord = Chord.parse(chords[onset * len(chords) // UNITS[meter]])
                assert chord.root is not None  # Silence is not sung over.
                assert LOWEST - 6 <= note.pitch <= HIGHEST + 6
                notes += 1
                if strength(onset, meter) == 2:
                    strong += 1
                    assert note.pitch % 12 in chord.pitch_classes
    assert strong > 20 and notes > 1.5 * strong


def test_the_same_letter_has_the_same_melody_and_edges_have_none():
    plan = add_melody(song(), seed=3)
    intro, verse, chorus, again, solo, last = plan.sections
    assert intro.melody is None
    assert verse.melody == again.melody == solo.melody != chorus.melody
    assert chorus.melody == last.melody
    assert add_melody(song(), seed=3) == plan != add_melody(song(), seed=4)


def test_a_return_with_another_chord_moves_its_strong_notes_onto_it():
    plan = song()
    other = (("B:dim",), *VERSE[1:])
    sections = list(plan.sections)
    sections[3] = sections[3].model_copy(update={"chords": other})
    plan = add_melody(plan.model_copy(update={"sections": tuple(sections)}), seed=1)
    first, again = plan.sections[1].melody, plan.sections[3].melody
    assert [n.beat for n in first] == [n.beat for n in again]
    for one, two in zip(first, again, strict=True):
        if one.beat >= 4:
            assert one == two
        elif one.beat in (0.0, 2.0):
            assert two.pitch % 12 in (11, 2, 5)


def test_choruses_sing_higher_and_as_melodies_do():
    low, high, steps, outside = [], [], [], 0
    for seed in range(12):
        plan = add_melody(song(), seed=seed)
        low += [n.pitch for n in plan.sections[1].melody]
        high += [n.pitch for n in plan.sections[2].melody]
        pitches = [n.pitch for n in plan.sections[1].melody]
        steps += list(np.abs(np.diff(pitches)))
        outside += sum(n.pitch % 12 not in Key.parse("C").scale for n in low_of(plan))
    assert np.mean(high) > np.mean(low) + 1
    # Of the songs that it learned from, 62% of the intervals are no larger than a tone.
    assert 0.5 < np.mean(np.array(steps) <= 2) < 0.85 and max(steps) <= 12
    # E major has a G sharp; there is little else beside the key.
    assert outside < 0.15 * len(low)


def low_of(plan):
    return plan.sections[1].melody


def test_rhythms_come_back_within_a_section():
    same = bars = 0
    for seed in range(12):
        verse = add_melody(song(), seed=seed).sections[1]
        rhythms = [
            tuple(
                (n.beat - 4 * bar, n.beats) for n in verse.melody if n.beat // 4 == bar
            )
            for bar in range(8)
        ]
        same += sum(a == b for a, b in zip(rhythms[:4], rhythms[4:], strict=True))
        bars += 4
    # By chance two bars of the songs that it learned from are alike in one of 24 cases.
    assert same / bars > 0.15


def test_a_melody_is_in_the_plan_and_survives_its_file(tmp_path):
    asked = {"form": "I2 V4 C4 V4", "meter": "6/8", "variation": 0.0}
    plan = compose(UNTRAINED, SongRequest(**asked), seed=1)
    # The song ends on its tonic; there a return may differ.
    first, again = plan.sections[1], plan.sections[3]
    before = [n for n in first.melody if n.beat < 6]
    assert before and before == [n for n in again.melody if n.beat < 6]
    assert isinstance(plan.sections[1].melody[0], Note)
    plan.write(tmp_path / "plan.json")
    assert SongPlan.read(tmp_path / "plan.json") == plan
    silent = compose(UNTRAINED, SongRequest(**asked, melody=False), seed=1)
    assert all(section.melody is None for section in silent.sections)
    assert [s.chords for s in silent.sections] == [s.chords for s in plan.sections]


def test_a_melody_that_was_given_is_kept_and_returns():
    tune = (Note(0.0, 1.0, 69), Note(1.0, 3.0, 72))
    asked = [
        SectionRequest(label="verse", letter="A", chords=(("A:min",),), melody=tune),
        SectionRequest(label="chorus", letter="B", bars=2, melody=()),
        SectionRequest(label="verse", letter="A", chords=(("A:min",),)),
    ]
    plan = compose(UNTRAINED, SongRequest(sections=tuple(asked), key="Am"), seed=1)
    assert plan.sections[0].melody == plan.sections[2].melody == tune
    assert plan.sections[1].melody == ()
    late = SectionRequest(label="verse", bars=1, melody=(Note(3.5, 1.0, 60),))
    with pytest.raises(RequestError, match=r"3.5 to 4.5"):
        compose(UNTRAINED, SongRequest(sections=(late,)), seed=1)


def test_a_new_bridge_has_a_new_melody_and_no_other_section_has():
    plan = compose(UNTRAINED, SongRequest(form="V4 C4 B4 C4"), seed=1)
    new = compose_anew(UNTRAINED, plan, ["bridge"], seed=2)
    assert new.sections[2].melody != plan.sections[2].melody
    assert new.sections[:2] == plan.sections[:2] and new.sections[3] == plan.sections[3]
    silent = plan.model_copy(
        update={
            "sections": tuple(
                s.model_copy(update={"melody": None}) for s in plan.sections
            )
        }
    )
    assert (
        compose_anew(UNTRAINED, silent, ["bridge"], seed=2).sections[2].melody is None
    )


def scales(split, seed):
    """Songs that walk up and down the scale, a step at a time."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(6):
        degrees = np.cumsum(rng.choice([-1, 1], 64)) % 7
        pitches = [60 + (0, 2, 4, 5, 7, 9, 11)[d] for d in degrees]
        bars = [
            [[4 * i, pitches[4 * bar + i], 4] for i in range(4)] for bar in range(16)
        ]
        lines.append(
            {
                "id": f"{split}{number}",
                "split": split,
                "tonic": "C",
                "mode": "maj",
                "meter": "4/4",
                "chords": [["C:maj"]] * 16,
                "melody": bars,
            }
        )
    return lines


def test_walking_along_the_scale_is_learned_from_lead_sheets(tmp_path):
    lines = scales("train", 0) + scales("test", 1)
    path = tmp_path / "melodies.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    model = learn(read_lead_sheets(path, split="train"))
    figures = score(model, read_lead_sheets(path, split="test"))
    # A coin says up or down: one bit, and a little that is not known.
    assert 0.9 < figures["bits"] < 1.4 < figures["bits_of_intervals_alone"]
    assert model.rhythms["4/4"][0] == (((0, 4), (4, 4), (8, 4), (12, 4)),)
    assert MelodyModel.from_json(model.to_json()).to_json() == model.to_json()


def test_a_note_over_the_last_bar_line_of_an_idea_ends_with_the_section():
    tune = (Note(0.0, 2.0, 69), Note(3.0, 3.0, 72))  # over the line of two bars of 4/4
    bars = (("C",), ("F",), ("C",))
    idea = Section(label="verse", letter="A", chords=bars[:2], melody=tune)
    again = Section(label="verse", letter="A", chords=bars)
    plan = add_melody(SongPlan(key="C", sections=(idea, again)), seed=0)
    ends = [note.beat + note.beats for note in plan.sections[1].melody]
    assert max(ends) == 12.0
    assert SongPlan.model_validate(plan.model_dump()) == plan
