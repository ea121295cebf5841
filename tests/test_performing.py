"""A plan becomes grains that lie side by side on its beats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierarchy.macro.choosing import choose_gestures
from hierarchy.macro.performing import perform
from hierarchy.macro.timeline import EARLY, RING, _attack
from hierarchy.material.features import BANDS, HOP, chroma_of, octaves_of
from hierarchy.material.sketch import Sketch
from hierarchy.micro.grains import LEAD
from structure.harmony import Chord
from structure.plan import BEATS_PER_BAR, Section, SongPlan
from tests.small_worlds import RATE, features_and_book, small_plan


@pytest.fixture(scope="module")
def book(small_song):
    return features_and_book(small_song)[1]


def played(plan, book, **changes):
    plan = choose_gestures(plan, book, seed=plan.seed)
    values = {"style": 0, "seed": plan.seed, "sample_rate": RATE}
    return perform(plan, book, **(values | changes))


def bodies(performance):
    """Start and end of each placement's body, in order."""
    return [
        (
            p.start,
            p.start
            + HOP * performance.requests[p.grain].frames
            - p.lead_in
            - p.lead_out,
        )
        for p in performance.placements
    ]


plans = st.builds(
    lambda tempo, meter, bars: SongPlan(
        tempo=tempo,
        meter=meter,
        sections=[
            Section(label="verse", letter="ABC"[n % 3], chords=(("A:min",),) * count)
            for n, count in enumerate(bars)
        ],
    ),
    tempo=st.floats(40, 240),
    meter=st.sampled_from(sorted(BEATS_PER_BAR)),
    bars=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)


@settings(max_examples=8, deadline=None)
@given(plan=plans, rate=st.sampled_from([16_000, 44_100, 48_000]))
def test_grains_tile_the_song_on_its_bar_lines(book, plan, rate):
    performance = played(plan, book, sample_rate=rate)
    placed = bodies(performance)

    # A grain a bar, and one that rings on.
    assert len(placed) == plan.bars + 1
    # The song begins inside its first grain, on the first beat.
    assert placed[0][0] == round(-EARLY * rate)
    assert abs(placed[-1][1] - performance.length) <= 1
    bar_samples = plan.beats_per_bar * plan.beat_seconds * rate
    for bar, (start, end) in enumerate(placed):
        if bar:
            # Neither a gap nor an overlap but what two roundings may differ by.
            assert abs(start - placed[bar - 1][1]) <= 1
            # No drift: the last bar line is as exact as the first.
            assert abs(start - (bar * bar_samples - EARLY * rate)) <= 1.5
        assert end > start
    assert abs(performance.length - (plan.seconds + RING) * rate) <= 1.5
    for placement in performance.placements:
        assert min(placement.lead_in, placement.lead_out) >= round(LEAD * rate)
    for request in performance.requests:
        whole = 8 + request.frames + 4
        assert request.levels.shape == (2, whole, BANDS)
        assert request.chroma.shape == (whole, 12)
        assert request.beat.shape == (whole,)
        assert request.frequency.shape[0] == whole // 2 + 1
        assert request.amplitude.shape == request.phase.shape
        assert request.frames % 2 == 0
        for part in (request.levels, request.amplitude, request.phase, request.chroma):
            assert np.isfinite(part).all()


def test_sections_that_return_share_their_grains(book):
    performance = played(small_plan("ABABC"), book)
    names = [placement.grain for placement in performance.placements]
    # Bars 0-3 A, 4-7 B, 8-11 A, 12-15 B, 16 C, and its ring.
    assert names[8:12] == names[:4]
    assert names[12:16] == names[4:8]
    assert len(performance.requests) == 4 + 4 + 1 + 1
    assert len(set(names)) == len(performance.requests)


def test_a_chorus_that_ends_the_song_is_the_chorus_that_was(book):
    performance = played(small_plan("ABAB"), book)
    names = [placement.grain for placement in performance.placements]
    # All but its last bar, under which the end begins to ring.
    assert names[12:15] == names[4:7]
    last, once = (performance.requests[names[bar]] for bar in (15, 7))
    assert last.seed == once.seed
    np.testing.assert_array_equal(last.levels[:, :-16], once.levels[:, :-16])


def test_variation_samples_returns_anew_and_leaves_the_first_time_alone(book):
    plan = small_plan("ABABC")
    same, new = (played(plan, book, chorus_variation=share) for share in (0.0, 1.0))
    assert len(new.requests) == plan.bars + 1
    first, returned = (new.requests[new.placements[bar].grain] for bar in (4, 12))
    once = same.requests[same.placements[4].grain]
    assert first.seed == once.seed != returned.seed
    np.testing.assert_array_equal(first.levels, returned.levels)
    some = played(plan, book, chorus_variation=0.5)
    assert len(same.requests) < len(some.requests) < len(new.requests)


def test_placements_know_their_sections_and_leave_loudness_to_others(book):
    performance = played(small_plan("ABC"), book)
    assert performance.sections == (0,) * 4 + (1,) * 4 + (2, 2)
    assert all(placement.gain == 1 for placement in performance.placements)


def test_the_chords_that_were_asked_are_what_is_asked_of_the_grains(book):
    plan = SongPlan(
        key="D:min",
        tempo=100,
        sections=[
            Section(
                label="verse",
                letter="A",
                chords=(("D:min",), ("Bb:maj",), ("G:min",), ("D:min",)),
            ),
            Section(label="outro", letter="B", chords=(("D:min",),)),
        ],
    )
    performance = played(plan, book)
    for bar, (name,) in enumerate(plan.sections[0].chords):
        request = performance.requests[performance.placements[bar].grain]
        strongest = np.argsort(request.chroma[14:-6].mean(axis=0))[-3:]
        assert set(strongest.tolist()) == set(Chord.parse(name).pitch_classes)
        sketch = Sketch(request.frequency, *request.amplitude.astype(np.complex64))
        np.testing.assert_allclose(
            chroma_of(sketch)[2:-3].repeat(2, axis=0),
            request.chroma[4:-4][: 2 * (len(sketch) - 5)],
            atol=1e-3,
        )
        np.testing.assert_allclose(
            octaves_of(sketch)[:, 2:-3].repeat(2, axis=1),
            request.octaves[:, 4:-4][:, : 2 * (len(sketch) - 5)],
            atol=1e-3,
        )


def test_the_beat_turns_once_in_every_beat(book):
    performance = played(small_plan("AC", tempo=100), book)
    request, placement = performance.requests[1], performance.placements[1]
    # Sample of the middle of each frame, from the song's start.
    frames = np.arange(len(request.beat)) - 8 - 2 + 0.5
    seconds = (placement.start - placement.lead_in + frames * HOP) / RATE
    wanted = seconds * 100 / 60
    away = request.beat - wanted
    np.testing.assert_allclose(away - np.rint(away), 0, atol=2e-3)


def test_seeds_change_the_noise_and_nothing_else(book):
    plan = choose_gestures(small_plan("AC"), book, seed=3)
    one, same, other = (
        perform(plan, book, style=0, seed=seed, sample_rate=RATE) for seed in (1, 1, 2)
    )
    assert [r.seed for r in one.requests] == [r.seed for r in same.requests]
    assert all(
        a.seed != b.seed for a, b in zip(one.requests, other.requests, strict=True)
    )
    for a, b in zip(one.requests, other.requests, strict=True):
        np.testing.assert_array_equal(a.levels, b.levels)
    assert len({r.seed for r in one.requests}) == len(one.requests)


def test_how_much_is_asked_goes_through_to_the_grains(book):
    performance = played(small_plan("C"), book, peaks=3, coarse=False, style=2)
    assert all(
        (r.peaks, r.coarse, r.style) == (3, False, 2) for r in performance.requests
    )


def test_the_song_dies_away_after_its_last_bar(book):
    performance = played(small_plan("C"), book)
    ringing = performance.requests[-1].levels[0].max(axis=1)
    assert ringing[-6] < 0.1 * performance.requests[0].levels[0].max()
    # 24 dB a second, and then to nothing.
    assert ringing[-6] < 0.1 * ringing[20:].max()


@pytest.mark.parametrize("bands", [8, 16, 64])
def test_an_attack_is_where_levels_rise_and_only_there(bands):
    levels = np.full([20, bands], 0.001, np.float32)
    levels[8:] = 0.1
    strength = _attack(levels, 44100)
    assert strength.argmax() == 8
    assert strength[8] > 0.9
    assert np.delete(strength, 8).max() == 0
