"""What is heard in a recording, frame by frame."""

import numpy as np
import pytest

from hierarchy.material.features import (
    BANDS,
    FLOOR,
    HOP,
    OCTAVES,
    Features,
    chroma_of,
    measure,
    middle_and_side,
    octaves_of,
    whole_frames,
    with_bands,
)
from hierarchy.material.sketch import DESCRIBING, PEAKS, Sketch

RATE = 44_100


def tones(*frequencies, seconds=1.0, amplitude=0.2):
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(amplitude * np.sin(2 * np.pi * f * time) for f in frequencies)
    return wave[None].astype(np.float32)


@pytest.fixture(scope="module")
def a_minor():
    """A3, C4 and E4 over a little noise, stereo, with beats at 120 BPM."""
    wave = tones(220.0, 261.63, 329.63)
    hiss = np.random.default_rng(0).normal(size=[2, wave.shape[1]]) * 0.002
    return measure(
        (wave + hiss).astype(np.float32), RATE, beat_times=np.arange(0.1, 1, 0.5)
    )


def test_features_survive_their_file(a_minor, tmp_path):
    a_minor.write(tmp_path / "song.npz")
    again = Features.read(tmp_path / "song.npz")

    assert again.frames == a_minor.frames
    assert again.sample_rate == RATE
    assert again.tuning == pytest.approx(a_minor.tuning, abs=1e-6)
    np.testing.assert_allclose(again.levels, a_minor.levels, rtol=0.01)
    for name in ("brightness", "onset", "tonality", "beat"):
        np.testing.assert_allclose(
            getattr(again, name), getattr(a_minor, name), atol=2e-3
        )
    np.testing.assert_array_equal(again.sketch.frequency, a_minor.sketch.frequency)
    for name in ("middle", "side"):
        was, now = getattr(a_minor.sketch, name), getattr(again.sketch, name)
        np.testing.assert_allclose(np.abs(now), np.abs(was), rtol=0.01, atol=2e-8)
        assert np.abs(now - was).max() < 0.01 * np.abs(was).max()
    np.testing.assert_allclose(again.chroma(), a_minor.chroma(), atol=0.01)


def test_the_three_pitch_classes_of_a_chord_are_the_strongest(a_minor):
    chroma = a_minor.chroma()[10:-10]
    assert chroma.max() == pytest.approx(1)
    strongest = np.sort(np.argsort(chroma, axis=1)[:, -3:], axis=1)
    np.testing.assert_array_equal(strongest, np.tile([0, 4, 9], (len(chroma), 1)))
    others = np.delete(chroma, [0, 4, 9], axis=1)
    assert others.max() < 0.2


def test_chroma_is_told_by_the_strongest_sinusoids_however_many_are_kept(a_minor):
    sketch = a_minor.sketch
    assert sketch.frequency.shape[1] == PEAKS > DESCRIBING
    fewer = sketch.strongest(DESCRIBING)
    np.testing.assert_array_equal(chroma_of(sketch), chroma_of(fewer))
    assert not np.allclose(chroma_of(sketch), chroma_of(sketch.strongest(2)), atol=0.1)


def test_chroma_rotates_as_the_music_is_transposed(a_minor):
    sketch = a_minor.sketch
    fourth = Sketch(
        sketch.frequency * np.float32(2 ** (5 / 12)), sketch.middle, sketch.side
    )
    rotated = np.roll(chroma_of(sketch), 5, axis=1)[5:-5]
    np.testing.assert_allclose(chroma_of(fourth)[5:-5], rotated, atol=0.05)


def test_octaves_say_how_high_sinusoids_lie():
    frequency = np.float32([[50, 109, 111, 300, 2000], [0, 0, 0, 0, 0]])
    middle = np.complex64([[0, 3, 4j, 0, 0], [0, 0, 0, 0, 0]])
    side = np.complex64([[0, 0, 0, 0, -2], [0, 0, 0, 0, 0]])
    octaves = octaves_of(Sketch(frequency, middle, side))
    assert octaves.shape == (2, 2, 1 + len(OCTAVES))
    np.testing.assert_allclose(octaves[0, 0], [0.6, 0.8, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(octaves[1, 0], [0, 0, 0, 0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(octaves[:, 1], 0)


def test_octaves_rise_with_the_music_and_not_with_its_level(a_minor):
    octaves = a_minor.octaves()
    assert octaves.shape == (2, a_minor.frames, 1 + len(OCTAVES))
    sketch = a_minor.sketch
    higher = Sketch(2 * sketch.frequency, 0.1 * sketch.middle, 0.1 * sketch.side)
    lower = octaves[0, 10:-10]
    risen = octaves_of(higher).repeat(2, axis=1)[0, 10 : a_minor.frames - 10]
    np.testing.assert_allclose(risen[:, 1:5], lower[:, :4], atol=0.02)


def test_there_are_two_frames_for_each_frame_of_the_sketch(a_minor):
    assert a_minor.frames % 2 == 0
    assert len(a_minor.sketch) == 1 + a_minor.frames // 2
    assert a_minor.chroma().shape == (a_minor.frames, 12)
    assert a_minor.levels.shape == (2, a_minor.frames, BANDS)


def test_levels_follow_a_fade():
    wave = tones(1000.0, seconds=2.0)
    fade = np.linspace(0, -40, wave.shape[1])
    levels = measure(wave * 10 ** (fade / 20).astype(np.float32), RATE).levels
    loudest = 20 * np.log10(levels[0, 8:-8].max(axis=1))
    per_frame = -40 / wave.shape[1] * HOP
    np.testing.assert_allclose(np.diff(loudest[::8]), 8 * per_frame, atol=0.1)


def test_a_tone_is_as_loud_in_its_band_as_it_is():
    # 600 Hz lies in the lowest band; a band of N has N times the power.
    levels = measure(tones(600.0), RATE).levels[0, 20:-20]
    np.testing.assert_allclose(levels[:, 0], 0.2 * (BANDS / 2) ** 0.5, rtol=0.02)
    assert levels[:, 1:].max() < 1e-3


def test_silence_stays_at_the_floor():
    features = measure(np.zeros([2, RATE], np.float32), RATE)
    np.testing.assert_allclose(features.levels, FLOOR, rtol=0.01)
    assert not features.chroma().any()
    assert not features.onset.any()
    assert features.tuning == 0
    assert all(
        np.isfinite(part).all()
        for part in (features.brightness, features.tonality, features.levels)
    )


def test_the_side_is_silent_in_a_mono_recording():
    wave = tones(440.0)
    one, two = measure(wave, RATE), measure(np.concatenate([wave, wave]), RATE)
    np.testing.assert_allclose(one.levels, two.levels, rtol=1e-4)
    np.testing.assert_allclose(one.levels[1], FLOOR, rtol=0.01)


def test_middle_and_side_fold_back_to_left_and_right():
    pair = np.random.default_rng(1).normal(size=[2, 100])
    middle, side = middle_and_side(pair)
    np.testing.assert_allclose([middle + side, middle - side], pair)


def test_more_than_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"\[1 or 2, samples\], got \(3, 5\)"):
        middle_and_side(np.zeros([3, 5]))


@pytest.mark.parametrize(
    "samples, padded", [(0, 1024), (1, 1024), (1024, 1024), (1025, 2048)]
)
def test_recordings_are_padded_to_whole_frames(samples, padded):
    assert whole_frames(np.zeros([2, samples])).shape == (2, padded)


@pytest.mark.parametrize("samples", [1, 700, 1500])
def test_even_the_shortest_recording_can_be_measured(samples):
    features = measure(np.full([1, samples], 0.1, np.float32), RATE)
    assert features.frames == -(-samples // 1024) * 2
    assert np.isfinite(features.levels).all()


def test_the_beat_runs_from_0_to_1_between_known_beats_and_is_unknown_elsewhere(
    a_minor,
):
    times = (np.arange(a_minor.frames) + 0.5) * HOP / RATE
    inside = (times > 0.1) & (times < 0.6)
    np.testing.assert_allclose(
        a_minor.beat[inside], (times[inside] - 0.1) / 0.5, atol=1e-3
    )
    assert (a_minor.beat[times < 0.1] == -1).all()
    assert (a_minor.beat[times > 0.6] == -1).all()


def test_bright_sounds_are_brighter_than_dark_ones():
    dark, bright = (measure(tones(f), RATE).brightness[20:-20] for f in (250.0, 4000.0))
    assert np.median(dark) == pytest.approx(-2, abs=0.3)
    assert np.median(bright) == pytest.approx(2, abs=0.3)


def test_an_attack_is_heard_where_it_is():
    wave = np.zeros([1, RATE], np.float32)
    wave[0, 20_000:20_400] = np.random.default_rng(2).normal(size=400) * 0.5
    onset = measure(wave, RATE).onset
    assert abs(int(onset.argmax()) - 20_000 // HOP) <= 2
    assert onset.max() > 0.5


def test_a_chord_is_tonal_and_noise_is_not(a_minor):
    hiss = np.random.default_rng(3).normal(size=[1, RATE]).astype(np.float32) * 0.1
    assert np.median(a_minor.tonality) > 0.9
    assert np.median(measure(hiss, RATE).tonality) < 0.7


@pytest.mark.parametrize("cents", [-30, 0, 20])
def test_tuning_is_heard_to_a_few_cents(cents):
    factor = 2 ** (cents / 1200)
    features = measure(tones(220 * factor, 440 * factor, 554.37 * factor), RATE)
    assert features.tuning == pytest.approx(cents / 100, abs=0.05)
    # Chroma is measured in the recording's own tuning.
    assert features.chroma()[40].argmax() in (9, 1)


def test_the_classic_model_hears_one_band():
    levels = measure(tones(1000.0), RATE, bands=1).levels
    assert levels.shape[-1] == 1
    np.testing.assert_allclose(levels[0, 20:-20], 0.2 / 2**0.5, rtol=0.02)


def test_levels_can_be_had_for_any_number_of_bands():
    rng = np.random.default_rng(0)
    waveform = rng.normal(0, 0.1, (2, 8192)).astype(np.float32)
    heard = measure(waveform, 44_100, bands=16)
    fewer = with_bands(heard, waveform, 4)
    np.testing.assert_allclose(
        fewer.levels, measure(waveform, 44_100, bands=4).levels, rtol=1e-5
    )
    assert with_bands(heard, waveform, 16) is heard
