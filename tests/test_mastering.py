import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from hierarchy.macro.mastering import (
    Dither,
    dither,
    fade,
    finish,
    limit,
    loudness_lufs,
    master,
    remove_dc,
    true_peak_db,
)

RATE = 44_100


def music(seconds, *, rate=RATE, seed=0):
    """Plucked notes and hits, soft and loud by turns: [2, samples]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    beat = time % 0.5
    notes = np.sin(2 * np.pi * 110 * time) + 0.5 * np.sin(2 * np.pi * 331 * time)
    hits = rng.normal(size=[2, time.size]) * np.exp(-beat / 0.02)
    loud = 0.2 + 0.8 * (time // 3 % 2)
    return (0.2 * loud * (notes * np.exp(-beat / 0.3) + 2 * hits)).astype(np.float32)


def oversampled_peak_db(waveform):
    """The peak at four times the rate, by another interpolator than ours."""
    fine = scipy.signal.resample_poly(waveform.astype(np.float64), 4, 1, axis=1)
    return 20 * np.log10(np.abs(fine).max())


@pytest.mark.parametrize("level", [0.001, 1.0, 30.0])
@pytest.mark.parametrize("target", [-23.0, -14.0, -9.0])
def test_a_song_comes_out_at_its_loudness_and_under_its_peak(level, target):
    song = master(level * music(12), RATE, loudness=target)
    assert loudness_lufs(song, RATE) == pytest.approx(target, abs=0.5)
    assert oversampled_peak_db(song) <= -1


@settings(deadline=None, max_examples=15)
@given(
    level_db=st.floats(-60, 20),
    target=st.floats(-30, -8),
    true_peak=st.floats(-6, -0.1),
    rate=st.sampled_from([8_000, 24_000, 48_000]),
    seed=st.integers(0, 99),
)
def test_no_peak_ever_passes_the_limit(level_db, target, true_peak, rate, seed):
    waveform = np.float32(10 ** (level_db / 20)) * music(1.5, rate=rate, seed=seed)
    song = master(waveform, rate, loudness=target, true_peak=true_peak)
    assert oversampled_peak_db(song) <= true_peak + 0.05
    assert true_peak_db(song) <= true_peak + 1e-3


def test_full_scale_sine_at_997_hz_has_minus_3_lufs_in_one_channel():
    # The reference of ITU-R BS.1770: 0 dBFS, 997 Hz, one of two channels.
    time = np.arange(5 * 48_000) / 48_000
    sine = np.sin(2 * np.pi * 997 * time).astype(np.float32)
    stereo = np.stack([sine, np.zeros_like(sine)])
    assert loudness_lufs(stereo, 48_000) == pytest.approx(-3.01, abs=0.05)


def test_a_peak_between_samples_is_found():
    # A quarter of the rate, sampled at 45 degrees: every sample stands at 0.707.
    phases = np.pi / 2 * np.arange(4_000) + np.pi / 4
    sine = np.sin(phases).astype(np.float32)[None]
    assert np.abs(sine).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peak_db(sine[:, 100:-100]) == pytest.approx(0, abs=0.3)


def test_the_interpolator_follows_a_sine_between_its_samples():
    from hierarchy.macro.limiting import _PHASES, _REACH

    frequency = 0.3 * 2 * np.pi  # three fifths of the way to half the rate
    sine = np.sin(frequency * np.arange(400))
    for quarter, taps in enumerate(_PHASES):
        between = np.convolve(sine, taps)[_REACH : _REACH + 400]
        exact = np.sin(frequency * (np.arange(400) + quarter / 4))
        np.testing.assert_allclose(between[30:-30], exact[30:-30], atol=2e-3)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.39, 3.0])
def test_silence_stays_silent(seconds):
    silence = np.zeros([2, round(seconds * RATE)], np.float32)
    mastered = master(silence, RATE, fade_in=0.1, fade_out=1)
    assert mastered.shape == silence.shape and not mastered.any()
    assert loudness_lufs(silence, RATE) == -np.inf == true_peak_db(silence)


def test_what_nobody_can_hear_is_not_blown_up():
    hiss = (1e-7 * np.random.default_rng(0).normal(size=[2, RATE])).astype(np.float32)
    assert np.abs(master(hiss, RATE)).max() < 1e-5


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_a_clip_shorter_than_the_meter_looks_is_mastered_too(seconds):
    clip = music(seconds)
    mastered = master(clip, RATE, loudness=-20)
    assert mastered.shape == clip.shape
    assert loudness_lufs(mastered, RATE) == pytest.approx(-20, abs=0.5)


def test_no_dc_is_left_and_its_removal_does_not_thump():
    waveform = 0.1 * music(4) + np.array([[0.4], [-0.2]], np.float32)
    mastered = master(waveform, RATE)
    assert np.abs(mastered.mean(axis=1)).max() < 1e-4
    still = remove_dc(np.full([2, RATE], 0.4, np.float32), RATE)
    assert np.abs(still).max() < 1e-6


def test_what_can_be_heard_passes_the_removal_of_dc():
    time = np.arange(RATE) / RATE
    bass = np.sin(2 * np.pi * 55 * time).astype(np.float32)[None]
    after = remove_dc(bass, RATE)[:, RATE // 2 :]
    assert np.abs(after).max() == pytest.approx(1, abs=0.02)


def test_fades_begin_and_end_in_silence_and_leave_the_middle_alone():
    ones = np.ones([2, 1_000], np.float32)
    faded = fade(ones, 100, fade_in=2, fade_out=3)
    assert faded[:, [0, -1]].max() < 1e-3
    assert np.all(np.diff(faded[:, :200]) >= 0) and np.all(np.diff(faded[:, 700:]) <= 0)
    np.testing.assert_array_equal(faded[:, 200:700], 1)
    np.testing.assert_array_equal(ones, 1)


def test_a_fade_longer_than_the_song_fades_all_of_it():
    assert fade(np.ones([1, 50], np.float32), 100, fade_in=9, fade_out=9).max() < 1


def test_a_song_under_the_limit_is_not_touched():
    quiet = 0.1 * music(1)
    np.testing.assert_array_equal(limit(quiet, RATE), quiet)


def test_the_limiter_keeps_the_stereo_image():
    left = music(2)[:1]
    stereo = np.concatenate([left, 0.25 * left])
    limited = limit(4 * stereo, RATE)
    np.testing.assert_allclose(limited[1], 0.25 * limited[0], atol=1e-6)


def test_the_limiter_turns_down_before_a_peak_and_recovers_after_it():
    waveform = np.full([1, RATE], 0.1, np.float32)
    waveform[:, 20_000] = 2
    gain = limit(waveform, RATE)[0] / waveform[0]
    assert gain[20_000] < 0.5 and gain[20_000 - 30] < 0.6
    assert gain[19_000] == 1 and gain[40_000] == 1
    assert np.abs(np.diff(gain)).max() < 0.03


def test_mastering_is_the_same_each_time():
    np.testing.assert_array_equal(master(music(1), RATE), master(music(1), RATE))


def test_samples_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        master(np.array([[0.0, np.nan]], np.float32), RATE)


def test_dither_makes_the_error_as_loud_as_theory_says_and_unrelated_to_the_sound():
    soft = 3e-5 * music(2)
    error = dither(soft, 16, seed=1) - soft
    # Rounding (1/12) and triangular noise (2/12) of a step squared.
    assert np.std(error) * 2**15 == pytest.approx(0.5, rel=0.02)
    assert abs(np.corrcoef(error[0], soft[0])[0, 1]) < 0.02


def test_dither_lands_on_the_steps_of_the_file_and_leaves_silence_silent():
    sound = music(0.2)
    sound[:, :500] = 0
    rounded = dither(sound, 16)
    np.testing.assert_array_equal(rounded * 2**15, np.rint(rounded * 2**15))
    assert not rounded[:, :500].any()
    assert np.abs(rounded).max() <= 1


def pieces_of(waveform, sizes):
    at = 0
    for size in sizes:
        yield waveform[:, at : at + size]
        at += size
    yield waveform[:, at:]


def test_a_song_that_comes_in_pieces_is_mastered_like_one_that_comes_whole():
    song, rate = music(40, rate=8_000), 8_000
    values = dict(length=song.shape[1], loudness=-12, fade_in=1, fade_out=2)
    whole = finish([song], rate, **values)
    cut = finish(pieces_of(song, [1, 70_000, 33, 99_999]), rate, **values)
    assert whole.waveform.tobytes() == cut.waveform.tobytes()
    assert whole.gain == cut.gain
    assert whole.loudness == pytest.approx(
        loudness_lufs(whole.waveform, rate), abs=0.05
    )
    blocks = list(whole.blocks())
    assert len(blocks) == 3
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole.waveform)


def test_blocks_of_mastering_cannot_be_heard():
    # Louder than the limiter lets pass, across the border of two blocks.
    rate = 8_000
    time = np.arange(40 * rate) / rate
    sine = np.sin(2 * np.pi * 220 * time).astype(np.float32)[None]
    song = finish([sine], rate, length=sine.shape[1], loudness=-6).waveform[0]
    border = 15 * rate // 16 * 16
    period = song[border - 200 : border + 200]
    before = song[border - 200 - 4_000 : border + 200 - 4_000]
    np.testing.assert_allclose(period, before, atol=1e-3)


def test_a_gain_that_fits_is_kept_to_the_last_digit():
    song = music(12)
    first = finish([song], RATE, length=song.shape[1])
    again = finish([song], RATE, length=song.shape[1], gain=first.gain + 0.3)
    assert again.gain == first.gain + 0.3
    far = finish([song], RATE, length=song.shape[1], gain=first.gain + 3)
    assert far.gain == first.gain


def test_what_changes_in_one_place_leaves_a_mastered_song_as_it_was_elsewhere():
    song = music(20, rate=8_000)
    other = song.copy()
    other[:, 16_000:24_000] *= 0.9
    master = finish([song], 8_000, length=song.shape[1])
    assert master.waveform.max() > 0.85  # the limiter works
    changed = finish([other], 8_000, length=song.shape[1], gain=master.gain)
    same = changed.waveform == master.waveform
    assert same[:, : 16_000 - 800].all() and same[:, 24_000 + 16_000 :].all()
    assert not same[:, 16_000:24_000].all()


def test_blocks_that_do_not_add_up_to_the_song_are_refused():
    with pytest.raises(ValueError, match="blocks of 5 samples for a song of 9"):
        finish([np.ones([2, 5], np.float32)], RATE, length=9)


@pytest.mark.parametrize("bits", [16, 24])
def test_dither_in_pieces_is_dither_of_the_whole(bits):
    sound = music(0.3)
    dithered = Dither(bits, seed=3)
    parts = [dithered(piece) for piece in pieces_of(sound, [7, 5_000, 1])]
    whole = dither(sound, bits, seed=3)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
