"""Whatever is asked of a song is in its plan, whatever the weights."""

import collections

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from structure.composing import SectionRequest, SongRequest, compose
from structure.dynamics import energies
from structure.errors import RequestError
from structure.forms import NAMED_FORMS, parse_form
from structure.harmonizing import faithfulness, taste_for
from structure.harmony import Chord, Key
from structure.lengths import Group, plan_lengths
from structure.plan import BEATS_PER_BAR, SongPlan
from structure.sequencer import Sequencer, SequencerConfig
from structure.tonal_centre import clarity
from structure.vocabulary import NUMBER

# It has learned nothing: what holds of its songs holds because it is enforced.
UNTRAINED = Sequencer.untrained(
    SequencerConfig(width=8, layers=1, heads=1, hidden=8, hint_width=2), seed=0
)

some_songs = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
keys = st.builds(
    lambda tonic, mode: str(Key(tonic, mode)),
    *[
        st.integers(0, 11),
        st.sampled_from(["maj", "min"]),
    ],
)
asked_sections = st.builds(
    SectionRequest,
    label=st.sampled_from(["intro", "verse", "chorus", "bridge", None]),
    letter=st.sampled_from(["A", "B", "C'", None]),
    bars=st.one_of(st.none(), st.integers(1, 9)),
    energy=st.one_of(st.none(), st.floats(0, 1)),
)


@some_songs
@given(
    form=st.sampled_from([*NAMED_FORMS, "verse chorus", "I V C8 V C8 B4 O2", "ABAC"]),
    key=keys,
    tempo=st.floats(40, 200),
    meter=st.sampled_from(list(BEATS_PER_BAR)),
    bars=st.integers(40, 90),
    seed=st.integers(0, 1000),
)
def test_form_key_tempo_metre_and_bars_are_kept(form, key, tempo, meter, bars, seed):
    request = SongRequest(form=form, key=key, tempo=tempo, meter=meter, bars=bars)
    plan = compose(UNTRAINED, request, seed=seed)
    assert (plan.key, plan.tempo, plan.meter) == (key, tempo, meter)
    assert (plan.bars, plan.seed) == (bars, seed)
    if form not in NAMED_FORMS:
        asked = parse_form(form)
        assert [(s.label, s.letter) for s in plan.sections] == [
            (s.label, s.letter) for s in asked
        ]
        for section, wanted in zip(plan.sections, asked, strict=True):
            assert wanted.bars in (None, section.bars)


@some_songs
@given(
    minutes=st.floats(0.5, 2),
    tempo=st.floats(60, 180),
    meter=st.sampled_from(["3/4", "4/4", "6/8"]),
    mode=st.sampled_from(["maj", "min"]),
)
def test_minutes_are_kept_to_the_bar(minutes, tempo, meter, mode):
    request = SongRequest(minutes=minutes, tempo=tempo, meter=meter, mode=mode)
    plan = compose(UNTRAINED, request, seed=1)
    bar = plan.beats_per_bar * plan.beat_seconds
    assert abs(plan.seconds - 60 * minutes) <= bar / 2 + 1e-6
    assert Key.parse(plan.key).mode == mode


@some_songs
@given(st.lists(asked_sections, min_size=1, max_size=6), st.integers(0, 1000))
def test_a_half_filled_plan_is_filled_and_not_changed(asked, seed):
    plan = compose(UNTRAINED, SongRequest(sections=tuple(asked)), seed=seed)
    assert len(plan.sections) == len(asked)
    for section, wanted in zip(plan.sections, asked, strict=True):
        for name in ("label", "letter", "bars", "energy"):
            value = getattr(wanted, name)
            assert value is None or getattr(section, name) == value


@some_songs
@given(
    st.lists(
        st.one_of(st.none(), st.sampled_from([("A:min7/b3",), ("C", "Bb:9"), ("N",)])),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 1000),
)
def test_fixed_chords_stand_as_they_were_written(chords, seed):
    request = SongRequest(form="verse chorus verse", chords={"chorus": chords})
    plan = compose(UNTRAINED, request, seed=seed)
    chorus = plan.sections[1]
    assert chorus.bars == len(chords)
    for bar, asked in zip(chorus.chords, chords, strict=True):
        assert asked is None or bar == asked


@pytest.mark.parametrize("form", [name for name in NAMED_FORMS if name != "free"])
@pytest.mark.parametrize("tempo", [44.0, 92.0, 140.0])
def test_a_song_of_no_asked_length_lasts_about_two_minutes(form, tempo):
    plan = compose(UNTRAINED, SongRequest(form=form, tempo=tempo), seed=3)
    # Eight sections of at least four bars are 153 seconds at 44 beats a minute.
    assert 95 <= plan.seconds <= (145 if tempo > 60 else 160)


@some_songs
@given(st.floats(60, 160), st.integers(0, 1000))
def test_a_free_form_is_as_long_as_songs_are(tempo, seed):
    plan = compose(UNTRAINED, SongRequest(form="free", tempo=tempo), seed=seed)
    assert 30 <= plan.seconds <= 360


@some_songs
@given(st.integers(1, 400), st.integers(0, 1000))
def test_a_free_form_of_an_asked_length_has_it(bars, seed):
    request = SongRequest(form="free", bars=bars, melody=False)
    assert compose(UNTRAINED, request, seed=seed).bars == bars


def test_a_draft_of_the_asked_length_keeps_the_bars_of_its_sections():
    groups = [Group("intro", 1, 5), Group("verse", 2, 7), Group("outro", 1, 3)]
    goal = np.zeros(23)
    goal[22] = 1
    lengths = plan_lengths(groups, goal, filled=0)
    filled = 0
    for place, group in enumerate(groups):
        odds = lengths.odds(place, filled)
        assert odds.argmax() == group.drafted
        filled += group.times * group.drafted
    stretched = plan_lengths(groups, np.eye(1, 25, 24)[0], filled=0)
    assert 0 < stretched.mass(0) < lengths.mass(0)


@pytest.mark.parametrize("tempo", [44.0, 84.0, 140.0])
def test_a_verse_chorus_song_has_both_twice_in_even_lengths(tempo):
    plan = compose(UNTRAINED, SongRequest(tempo=tempo), seed=5)
    count = collections.Counter(section.label for section in plan.sections)
    assert count["verse"] >= 2 and count["chorus"] >= 2
    assert all(section.bars in (2, 4, 6, 8, 12, 16, 24) for section in plan.sections)


@some_songs
@given(st.integers(0, 10_000), keys)
def test_a_song_opens_and_ends_on_its_tonic(seed, key):
    plan = compose(UNTRAINED, SongRequest(key=key, form="V8 C8 V8 C8"), seed=seed)
    tonic = Key.parse(key)
    for chord in (plan.sections[0].chords[0][0], plan.sections[-1].chords[-1][-1]):
        assert Chord.parse(chord).root == tonic.tonic
        assert Chord.parse(chord).quality == tonic.mode


def test_choruses_stand_above_verses_and_edges_below():
    for seed in range(20):
        labels = ["intro", "verse", "chorus", "verse", "chorus", "bridge", "outro"]
        energy = energies(labels, seed=seed)
        verses = [
            e for e, label in zip(energy, labels, strict=True) if label == "verse"
        ]
        for e, label in zip(energy, labels, strict=True):
            assert label != "chorus" or e > max(verses)
            assert label not in ("intro", "outro") or e < min(verses)


def test_an_exact_return_repeats_every_chord():
    request = SongRequest(form="V8 C8 V8 C8 V8", variation=0)
    plan = compose(UNTRAINED, request, seed=2)
    verse, chorus, again, _, last = (section.chords for section in plan.sections)
    assert verse == again != chorus
    assert last[:-1] == verse[:-1]


def test_a_return_is_exact_or_left_to_the_sequencer():
    rng = np.random.default_rng(0)
    pulls = [faithfulness("A", {"A", "B"}, 0.4, rng) for _ in range(2000)]
    assert set(pulls) == {0.0, 1.0}
    assert abs(np.mean(pulls) - 0.6) < 0.05
    assert faithfulness("A'", {"A"}, 0.0, rng) == 0.0  # a variation is one
    assert faithfulness("C", {"A"}, 0.0, rng) == 0.0  # nothing to be faithful to


def test_the_key_counts_for_more_the_stricter_and_divisions_as_before():
    free, strict = (taste_for(Key.parse("C"), strictness) for strictness in (0.2, 2.0))
    abroad, home = NUMBER["chord", "1:min"], NUMBER["chord", "0:maj"]
    assert free[home] == strict[home] == 1
    assert 0 < strict[abroad] < free[abroad] < 1
    assert free[NUMBER["chord", "HALVES"]] == strict[NUMBER["chord", "HALVES"]]


def test_equal_seeds_give_equal_songs_and_others_differ():
    plans = [compose(UNTRAINED, SongRequest(), seed=seed) for seed in (1, 1, 2)]
    assert plans[0] == plans[1]
    assert plans[0].sections != plans[2].sections


def test_temperature_zero_leaves_nothing_to_chance_in_the_chords():
    requests = SongRequest(form="V8 C8", key="C", tempo=100, temperature=0, variation=0)
    one, other = (compose(UNTRAINED, requests, seed=seed) for seed in (1, 2))
    assert [s.chords for s in one.sections] == [s.chords for s in other.sections]


def test_a_plan_can_be_kept_but_for_a_new_bridge():
    old = compose(UNTRAINED, SongRequest(form="verse-chorus-bridge"), seed=1)
    request = SongRequest.like(old, renew=["bridge"])
    new = compose(UNTRAINED, request, seed=2)
    for before, after in zip(old.sections, new.sections, strict=True):
        if before.label == "bridge":
            assert after.chords != before.chords and after.bars == before.bars
        else:
            assert after == before


@pytest.mark.parametrize("name, place", [("verse", 0), ("outro", 2)])
def test_even_a_section_of_one_bar_can_be_composed_anew(name, place):
    old = compose(UNTRAINED, SongRequest(form="V1 C4 O1", key="C"), seed=1)
    new = compose(UNTRAINED, SongRequest.like(old, renew=[name]), seed=2)
    assert new.sections[place].chords != old.sections[place].chords


@pytest.mark.parametrize(
    "asked, reason",
    [
        ({"form": "verse foo"}, "foo"),
        ({"form": ""}, "no section"),
        ({"key": "H"}, "key 'H'"),
        ({"key": "Am", "mode": "maj"}, "contradict"),
        ({"mode": "dorian"}, "dorian"),
        ({"tempo": 5}, "tempo 5"),
        ({"meter": "7/8"}, "7/8"),
        ({"bars": 0}, "0 bars"),
        ({"bars": 8, "minutes": 1}, "one of them"),
        ({"minutes": -1}, "-1 minutes"),
        ({"minutes": 0.01, "tempo": 40}, "0 bars"),
        ({"form": "V8 C8", "bars": 17}, "16 bars together; 17 were asked"),
        ({"form": "verse chorus", "bars": 1}, "2 to 128 bars fit"),
        ({"form": "verse verse", "bars": 9}, "cannot be shared out"),
        ({"form": "V C8[Am F]", "chords": {"chorus": [["C"]]}}, "say the same chorus"),
        ({"form": "through-composed", "bars": 1700}, "bars fit"),
        ({"form": "V8 C8", "chords": {"bridge": [["C"]]}}, "bridge"),
        ({"form": "V8 C8", "chords": {"chorus": [["C"]] * 3}}, "3 bars"),
        ({"form": "V8 C8", "chords": {"chorus": [["H"]]}}, "H"),
        ({"form": "free", "chords": {"chorus": [["C"]]}}, "free form"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"sections": ()}, "no sections"),
        ({"form": "V", "sections": (SectionRequest(),)}, "one of them"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(asked, reason):
    with pytest.raises(RequestError, match=reason):
        compose(UNTRAINED, SongRequest(**asked), seed=0)


@given(
    st.lists(
        st.builds(
            Group,
            st.sampled_from(["intro", "verse", "chorus", "outro"]),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 30),
    st.integers(1, 120),
)
@settings(max_examples=50, deadline=None)
def test_lengths_are_found_whenever_there_are_some(groups, given_bars, extra):
    total = given_bars + extra
    goal = np.zeros(total + 1)
    goal[total] = 1
    lengths = plan_lengths(groups, goal, filled=given_bars)
    reachable = {0}
    for group in groups:
        reachable = {
            done + group.times * bars
            for done in reachable
            for bars in range(1, 65)
            if done + group.times * bars <= extra
        }
    assert (lengths.mass(given_bars) > 0) == (extra in reachable)


@pytest.mark.parametrize("key", ["C", "A:min", "F#", "Bb:min"])
def test_a_cadence_establishes_its_key(key):
    key = Key.parse(key)
    quality = key.mode
    cadence = [
        (f"{key.spell(key.tonic)}:{quality}",),
        (f"{key.spell(key.tonic + 5)}:{quality}",),
        (f"{key.spell(key.tonic + 7)}:maj",),
        (f"{key.spell(key.tonic)}:{quality}",),
    ]
    assert clarity(cadence, key) > 0
    assert clarity(cadence, key.transposed(1)) < 0


def test_what_is_composed_is_a_plan_that_survives_its_file(tmp_path):
    request = SongRequest(title="Rain", style="lofi", form="aaba")
    plan = compose(UNTRAINED, request, seed=4)
    plan.write(tmp_path / "plan.json")
    assert SongPlan.read(tmp_path / "plan.json") == plan
    assert (plan.title, plan.style) == ("Rain", "lofi")
