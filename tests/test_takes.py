"""One section is played again and all else stays; a return is as like as was asked."""

import numpy as np
import pytest

from hierarchy.macro.grain_store import GrainStore
from hierarchy.macro.performing import border
from hierarchy.macro.rendering import arrange, redo, render_song
from structure.errors import RequestError
from structure.plan import SongPlan
from tests.small_worlds import RATE, rendered, small_plan, tiny_model

BEFORE, AFTER = border(RATE)


def decibels(difference, sound):
    power = np.mean(np.square(difference, dtype=np.float64))
    return 10 * np.log10(power / np.mean(np.square(sound, dtype=np.float64)) + 1e-30)


def plan_of(form="ABABC", **changes):
    return small_plan(form, tempo=200, **changes)


@pytest.fixture(scope="module")
def song(small_song):
    return rendered(small_song, plan_of())


@pytest.mark.parametrize(
    "name, number", [("chorus 2", 3), ("verse 1", 0), ("outro", 4)]
)
def test_a_section_played_again_leaves_all_other_samples_as_they_were(
    small_song, song, name, number
):
    again = rendered(small_song, redo(song.plan, name))
    first, last = (round(song.section_starts[n] * RATE) for n in (number, number + 1))
    if number == 4:
        last = song.score.length  # it rings on
    before, after = slice(0, max(first - BEFORE, 0)), slice(last + AFTER, None)
    for outside in (before, after):
        assert again.mix[:, outside].tobytes() == song.mix[:, outside].tobytes()
    inside = slice(first + AFTER, last - BEFORE)
    difference = again.mix[:, inside] - song.mix[:, inside]
    assert decibels(difference, song.mix[:, inside]) > -20
    assert again.plan.sections[number].take == 1
    assert again.plan.mastering_gain == song.plan.mastering_gain


def test_even_mastered_what_is_some_seconds_away_stays_as_it_was(small_song, song):
    again = rendered(small_song, redo(song.plan, "verse 1"))
    assert again.waveform.tobytes() != song.waveform.tobytes()
    away = slice(round((song.section_starts[1] + 3) * RATE), None)
    assert again.waveform[:, away].tobytes() == song.waveform[:, away].tobytes()


def test_a_section_played_again_samples_its_own_grains_and_no_others(small_song, song):
    known = GrainStore()
    model = tiny_model(small_song)
    first = render_song(plan_of(), model, known=known)
    count = len(known)
    second = render_song(redo(first.plan, "chorus 2"), model, known=known)
    assert len(known) == count + 4
    assert second.mix.tobytes() == rendered(small_song, second.plan).mix.tobytes()


def test_a_take_can_be_had_again_and_taken_back(small_song, song):
    seventh = redo(song.plan, "chorus 2", seed=7)
    assert seventh.sections[3].take == 7
    assert redo(seventh, "chorus 2", seed=0) == song.plan
    assert redo(seventh, "chorus 2").sections[3].take == 8
    with pytest.raises(RequestError, match="chorus 2 is take 7 already"):
        redo(seventh, "chorus 2", seed=7)
    with pytest.raises(
        RequestError, match="verse 1, chorus 1, verse 2, chorus 2, outro"
    ):
        redo(song.plan, "bridge")
    back = rendered(small_song, redo(seventh, "chorus 2", seed=0))
    assert back.waveform.tobytes() == song.waveform.tobytes()


def test_a_section_can_have_other_gestures_over_its_chords(small_song, song):
    plan = redo(song.plan, "chorus 2", gestures=True)
    again = rendered(small_song, plan)
    old, new = (one.plan.sections for one in (song, again))
    assert new[3].gestures != old[3].gestures and new[3].chords == old[3].chords
    assert [new[n].gestures for n in (0, 1, 2, 4)] == [
        old[n].gestures for n in (0, 1, 2, 4)
    ]
    first, last = (round(song.section_starts[n] * RATE) for n in (3, 4))
    for outside in (slice(0, first - BEFORE), slice(last + AFTER, None)):
        assert again.mix[:, outside].tobytes() == song.mix[:, outside].tobytes()


def test_a_section_with_other_gestures_changes_no_other_return(small_song):
    # All returns vary; the first chorus gets other gestures, the second stays.
    song = rendered(small_song, plan_of(chorus_variation=1.0))
    again = rendered(small_song, redo(song.plan, "chorus 1", gestures=True))
    after = round(song.section_starts[2] * RATE) + AFTER
    assert again.mix[:, after:].tobytes() == song.mix[:, after:].tobytes()


def test_a_section_with_other_gestures_leaves_the_colour_of_its_return(small_song):
    # The return is a little brighter, too little to be sampled anew.
    plan = plan_of()
    sections = [
        section.model_copy(update={"brightness": 0.5 + 0.01 * number})
        for number, section in enumerate(plan.sections)
    ]
    plan = plan.model_copy(update={"sections": tuple(sections)})
    model = tiny_model(small_song)
    song = arrange(plan, model)
    again = arrange(redo(song.plan, "chorus 1", gestures=True), model)
    assert again.plan.sections[1].gestures != song.plan.sections[1].gestures
    for number in (0, 2, 3, 4):
        assert grains_of(again, number) == grains_of(song, number)


def grains_of(arranged, number):
    """Names of the grains of one section."""
    performance = arranged.performance
    return [
        arranged.names[placement.grain]
        for placement, where in zip(
            performance.placements, performance.sections, strict=True
        )
        if where == number
    ]


def returned(song):
    """The first chorus and its return, between their fades."""
    starts = song.section_starts
    length = round((starts[2] - starts[1]) * RATE)
    return [
        song.mix[:, at + AFTER : at + length - BEFORE]
        for at in (round(starts[1] * RATE), round(starts[3] * RATE))
    ]


def test_without_variation_a_return_is_the_same_sound(song):
    first, again = returned(song)
    assert np.abs(first - again).max() < 1e-5  # -100 dBFS
    assert np.abs(first).max() > 0.05


def test_even_the_return_that_ends_the_song_is_the_same_sound(small_song):
    song = rendered(small_song, plan_of("ABAB"), chorus_variation=0.0)
    starts = song.section_starts
    length = round((starts[2] - starts[1]) * RATE)
    first, last = (
        song.mix[:, round(starts[number] * RATE) + AFTER :][:, : length - BEFORE]
        for number in (1, 3)
    )
    assert np.abs(first - last).max() < 1e-5 < np.abs(first).max()
    # And then it rings: no louder than it was, and down to nothing.
    ring = song.mix[:, round(starts[4] * RATE) :]
    assert decibels(ring[:, : RATE // 2], first[:, -RATE // 2 :]) < 3
    assert np.abs(ring[:, -RATE // 20 :]).max() < 1e-3


def test_the_more_variation_is_asked_the_more_a_return_differs(small_song):
    apart = []
    for dial in (0.0, 0.25, 0.5, 0.75, 1.0):
        song = rendered(small_song, plan_of(), chorus_variation=dial)
        first, again = returned(song)
        apart.append(decibels(again - first, first))
        once = rendered(small_song, plan_of())
        # The first time is as it would have been.
        assert first.tobytes() == returned(once)[0].tobytes()
        assert song.plan.chorus_variation == dial
    assert apart == sorted(apart) and len(set(apart)) == 5
    assert apart[0] < -100 and apart[-1] > -10


def test_the_dials_stay_with_the_plan(small_song):
    song = rendered(small_song, plan_of(), chorus_variation=0.5, loudness=-20)
    again = rendered(small_song, SongPlan.from_json(song.plan.to_json()))
    assert again.waveform.tobytes() == song.waveform.tobytes()


def test_grains_have_a_seed_of_their_own(small_song, song):
    other = rendered(small_song, plan_of(grain_seed=99))
    assert other.mix.tobytes() != song.mix.tobytes()
    gestures = [[s.gestures for s in one.plan.sections] for one in (song, other)]
    assert gestures[0] == gestures[1]
    same = rendered(small_song, plan_of(grain_seed=song.plan.seed))
    assert same.mix.tobytes() == song.mix.tobytes()


def test_another_loudness_needs_another_gain(small_song, song):
    louder = rendered(small_song, song.plan, loudness=-20)
    assert louder.plan.mastering_gain < song.plan.mastering_gain - 4
    assert louder.master.loudness == pytest.approx(-20, abs=0.5)


def test_a_gain_that_fits_no_more_is_found_anew(small_song, song):
    plan = song.plan.model_copy(update={"mastering_gain": 50.0})
    assert rendered(small_song, plan).master.loudness == pytest.approx(-14, abs=0.5)


def test_an_exact_return_is_as_loud_and_has_the_chords_of_the_first_time(small_song):
    plan = plan_of()
    sections = list(plan.sections)
    last = (*sections[3].chords[:-1], ("A:min",))
    lifted = {"energy": 1.0, "brightness": 0.9, "chords": last}
    sections[3] = sections[3].model_copy(update=lifted)
    plan = plan.model_copy(update={"sections": tuple(sections)})
    left = rendered(small_song, plan)
    assert left.plan.sections[3].energy == 1.0
    song = rendered(small_song, plan, chorus_variation=0.0)
    first, again = returned(song)
    assert np.abs(first - again).max() < 1e-5
    assert song.plan.sections[3].label == "chorus"
    # And it stays so when one of them is played again.
    other = rendered(small_song, redo(song.plan, "chorus 2"))
    assert other.plan.sections[3].take == 1
    assert other.plan.sections[1] == song.plan.sections[1]
    # Asked of a song that is there already, it is made so too.
    made = rendered(small_song, left.plan, chorus_variation=0.0)
    assert made.plan.sections[3].chords == made.plan.sections[1].chords
