import itertools

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from hierarchy.macro.assembly import (
    Placement,
    assemble,
    best_shift,
    soundings,
)
from hierarchy.macro.fades import Bands, fade_gains, likeness

RATE = 24_000


def noise(samples, *, seed, channels=2):
    rng = np.random.default_rng(seed)
    return (0.2 * rng.normal(size=[channels, samples])).astype(np.float32)


def level(waveform):
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


@given(overlap=st.integers(1, 500), correlation=st.floats(0, 1))
def test_the_level_is_one_all_through_a_fade_of_any_likeness(overlap, correlation):
    falling, rising = fade_gains(overlap, correlation=correlation)
    power = falling**2 + rising**2 + 2 * correlation * falling * rising
    np.testing.assert_allclose(power, 1, atol=1e-5)
    np.testing.assert_allclose(falling, rising[::-1], atol=1e-6)


def test_likeness_is_one_with_oneself_and_none_with_silence():
    sound = noise(1_000, seed=3)
    assert likeness(sound, 0.1 * sound) == pytest.approx(1)
    assert likeness(sound, -sound) == pytest.approx(-1)
    assert likeness(sound, np.zeros_like(sound)) == 0
    assert abs(likeness(sound, noise(1_000, seed=4))) < 0.1


@pytest.mark.parametrize("delay", [-40, -7, 0, 3, 40])
def test_a_sound_that_is_late_is_moved_earlier(delay):
    source = noise(2_000, seed=5)
    left = source[:, 500:1_500]
    right = source[:, 500 - 50 - delay : 1_500 + 50 - delay]
    # `right` sounds `delay` samples late, so it has to come that much earlier.
    assert best_shift(left, right) == -delay


def test_unrelated_sounds_stay_where_they_were_put():
    assert best_shift(noise(4_000, seed=6), noise(4_100, seed=7)) == 0


def tiled(source, *, cuts, lead):
    """Grains cut from one sound so that together they are that sound."""
    grains, placements = [], []
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        lead_in, lead_out = min(lead, start), min(lead, source.shape[1] - end)
        grains.append(source[:, start - lead_in : end + lead_out])
        placements.append(
            Placement(grain=number, start=start, lead_in=lead_in, lead_out=lead_out)
        )
    return grains, placements


def test_bands_add_up_to_the_sound():
    sound, bands = noise(4_000, seed=12), Bands.of_rate(RATE)
    alone = [
        bands.weighted(sound, np.repeat(row[:, None], 4_000, axis=1))
        for row in np.eye(len(bands), dtype=np.float32)
    ]
    np.testing.assert_allclose(sum(alone), sound, atol=1e-5)
    even = np.linspace(0, 1, 4_000, dtype=np.float32)[None].repeat(len(bands), axis=0)
    np.testing.assert_array_equal(bands.weighted(sound, even), sound * even[0])
    for number, one in enumerate(alone):
        middle = np.mean([0, *bands.edges, 0.5][number : number + 2])
        spectrum = np.abs(np.fft.rfft(one))[0]
        assert np.argmax(spectrum > 0.5 * spectrum.max()) < 4_000 * middle
    assert len(Bands.of_rate(8_000)) == 3  # what lies above is not there


@pytest.mark.parametrize("loudness", [0.3, 0.0003])
def test_notes_and_noise_each_keep_their_level_where_they_meet(loudness):
    """Grains of one note, which goes on, under noise that each has drawn anew."""
    body, lead, count = 12_000, 1_200, 12
    times = np.arange(count * body + 2 * lead) / RATE
    note = 0.2 * np.sqrt(2) * np.sin(2 * np.pi * 330 * times).astype(np.float32)
    high = scipy.signal.butter(8, 5_000, "high", fs=RATE, output="sos")
    grains = []
    for number in range(count):
        hiss = scipy.signal.sosfilt(high, noise(body + 2 * lead, seed=30 + number))
        part = note[number * body :][: body + 2 * lead]
        grains.append((part + loudness * hiss).astype(np.float32))
    placements = [
        Placement(grain=n, start=lead + n * body, lead_in=lead, lead_out=lead)
        for n in range(count)
    ]
    joins = [lead + n * body for n in range(1, count)]

    def levels(bands):
        song = assemble(grains, placements, length=times.size, bands=bands)
        hiss = scipy.signal.sosfiltfilt(high, song)
        at = np.concatenate([song[:, j - 300 : j + 300] for j in joins], axis=1)
        above = [hiss[:, j - 300 : j + 300] for j in joins]
        beside = [hiss[:, j + 3_000 : j + 3_600] for j in joins]
        return level(at), level(np.concatenate(above)) / level(np.concatenate(beside))

    one, dip = levels(Bands())
    many, even = levels(Bands.of_rate(RATE))
    assert dip < 0.8 and even == pytest.approx(1, abs=0.06)
    assert many == pytest.approx(one, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(
    cuts=st.lists(st.integers(100, 4_900), min_size=1, max_size=8, unique=True),
    lead=st.integers(0, 400),
    max_shift=st.sampled_from([0, 20]),
    bands=st.sampled_from([Bands(), Bands.of_rate(RATE)]),
)
def test_a_sound_cut_into_grains_and_assembled_is_the_same_sound(
    cuts, lead, max_shift, bands
):
    source = noise(5_000, seed=8)
    grains, placements = tiled(source, cuts=[0, *sorted(cuts), 5_000], lead=lead)
    song = assemble(
        grains, placements[::-1], length=5_000, max_shift=max_shift, bands=bands
    )
    # The two ends of a song are faded over 64 samples so that they do not click.
    np.testing.assert_allclose(song[:, 64:-64], source[:, 64:-64], atol=1e-5)
    assert np.abs(song[:, [0, -1]]).max() < 0.002


def test_unrelated_grains_keep_their_level_where_they_meet():
    beats = RATE // 2 * np.arange(41)
    lead = 2_400
    body = beats[1]
    grains = [noise(body + 2 * lead, seed=seed) for seed in range(40)]
    placements = [
        Placement(grain=n, start=int(beats[n]), lead_in=lead, lead_out=lead)
        for n in range(40)
    ]
    song = assemble(grains, placements, length=int(beats[-1]))
    joints = [song[:, b - 600 : b + 600] for b in beats[1:-1]]
    assert level(np.concatenate(joints, axis=1)) == pytest.approx(0.2, rel=0.02)


def test_a_click_on_each_beat_is_heard_on_each_beat():
    beats = np.rint(np.arange(301) * (60 / 131.3 * RATE)).astype(int)
    lead = 500
    grains, placements = [], []
    for number in range(300):
        grain = np.zeros([1, 2 * lead + beats[number + 1] - beats[number]], np.float32)
        grain[:, lead + 100] = 1  # after the fade that begins the song
        grains.append(grain)
        placements.append(
            Placement(
                grain=number, start=int(beats[number]), lead_in=lead, lead_out=lead
            )
        )
    song = assemble(grains, placements, length=int(beats[-1]), max_shift=50)
    heard = np.flatnonzero(song[0] > 0.4)
    np.testing.assert_array_equal(heard, beats[:-1] + 100)


def test_grains_out_of_phase_are_aligned_before_they_are_joined():
    time = np.arange(20_000) / RATE
    tone = np.sin(2 * np.pi * 220 * time).astype(np.float32)[None]
    half_period = round(RATE / 220 / 2)
    left, right = tone[:, :8_000], tone[:, half_period : half_period + 8_000]
    placements = [
        Placement(grain=0, start=0, lead_in=0, lead_out=1_000),
        Placement(grain=1, start=7_000, lead_in=1_000, lead_out=0),
    ]
    right = right[:, : 7_000 + 1_000]
    apart = assemble([left, right], placements, length=14_000)
    aligned = assemble([left, right], placements, length=14_000, max_shift=100)
    near = slice(6_500, 7_500)
    assert level(aligned[:, near]) > 0.98 * level(tone)
    assert level(apart[:, near]) < level(aligned[:, near])


def test_a_grain_alone_fades_in_and_out_within_its_leads():
    one = np.ones([1, 3_000], np.float32)
    where = Placement(grain=0, start=2_000, lead_in=1_000, lead_out=500, gain=0.5)
    song = assemble([one], [where], length=6_000)
    assert not song[:, :1_000].any() and not song[:, 4_000:].any()
    np.testing.assert_allclose(song[:, 2_000:3_500], 0.5)
    assert np.abs(np.diff(song)).max() < 0.01


def test_grains_that_do_not_meet_leave_silence_between_them_without_a_click():
    one = np.ones([1, 1_000], np.float32)
    placements = [
        Placement(grain=0, start=start, lead_in=0, lead_out=0) for start in (0, 2_000)
    ]
    song = assemble([one], placements, length=3_000)
    assert not song[:, 1_000:2_000].any()
    assert np.abs(np.diff(song)).max() < 0.05


@pytest.mark.parametrize("length", [4_000, 3_980, 3_900, 3_700, 1_000])
def test_a_song_may_end_before_its_last_grains_or_in_a_fade(length):
    source = noise(6_000, seed=9)
    grains, placements = tiled(source, cuts=[0, 2_000, 3_900, 5_000, 6_000], lead=200)
    song = assemble(grains, placements, length=length)
    whole = assemble(grains, placements, length=6_000)
    np.testing.assert_array_equal(song[:, :-64], whole[:, : length - 64])
    assert np.abs(song[:, -1]).max() < 0.002
    for one in soundings(grains, placements, length=length):
        heard = one.end - one.begin
        assert one.gains.shape == (1, heard) and max(one.fade_in, one.fade_out) <= heard


def test_panning_moves_a_sound_and_keeps_its_power():
    one = np.ones([1, 3_000], np.float32)
    for pan in (-1.0, -0.3, 0.0, 0.8):
        where = Placement(grain=0, start=0, lead_in=0, lead_out=0, pan=pan)
        left, right = assemble([one], [where], length=3_000)[:, 1_500]
        assert left**2 + right**2 == pytest.approx(2)
        assert np.sign(right - left) == np.sign(pan)


def test_nothing_placed_is_silence():
    assert not assemble([], [], length=100).any()


@pytest.mark.parametrize(
    "grains, placements, message",
    [
        ([], [dict(grain=0, start=0)], "there are 0 grains"),
        ([np.ones([3, 9])], [dict(grain=0, start=0)], r"shape \[3, 9\]"),
        ([np.ones([1, 3])], [dict(grain=0, start=0, lead_in=4)], "at least 4 samples"),
        ([np.ones([1, 9])], [dict(grain=0, start=5)] * 2, "start at sample 5"),
    ],
)
def test_what_cannot_be_assembled_is_said(grains, placements, message):
    leads = dict(lead_in=0, lead_out=0)
    with pytest.raises(ValueError, match=message):
        assemble(grains, [Placement(**{**leads, **p}) for p in placements], length=10)
