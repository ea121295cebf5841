"""Sinusoids found in a waveform, and drawn again."""

import jax.numpy as jnp
import numpy as np
import pytest

from hierarchy.material.sketch import (
    HOP,
    WINDOW,
    Sketch,
    analyse,
    carry_phases,
    render,
)

RATE = 44_100


def tone(frequency, *, seconds=0.5, amplitude=0.5, phase=0.3, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.cos(2 * np.pi * frequency * time + phase)).astype(np.float32)


def drawn(sketch, rate=RATE, *, phase=None):
    phase = np.angle(sketch.middle) if phase is None else phase
    parts = sketch.frequency, np.abs(sketch.middle), phase
    return np.asarray(render(*map(jnp.asarray, parts), sample_rate=rate))


def signal_to_noise(heard, wanted):
    return 10 * np.log10(np.square(wanted).sum() / np.square(heard - wanted).sum())


@pytest.mark.parametrize("frequency", [110.0, 440.0, 443.21, 1234.5, 9000.0])
def test_a_tone_is_found_at_its_frequency_amplitude_and_phase(frequency):
    waveform = tone(frequency)
    sketch = analyse(waveform, np.zeros_like(waveform), RATE)

    frame = 8
    strongest = np.abs(sketch.middle[frame]).argmax()
    assert sketch.frequency[frame, strongest] == pytest.approx(frequency, abs=0.3)
    assert np.abs(sketch.middle[frame, strongest]) == pytest.approx(0.5, rel=0.02)
    turns = frequency * frame * HOP / RATE + 0.3 / (2 * np.pi)
    away = np.angle(sketch.middle[frame, strongest]) / (2 * np.pi) - turns
    assert abs(away - round(away)) < 0.01


def test_a_frame_every_hop_and_one_at_either_end():
    assert len(analyse(*np.zeros([2, 10 * HOP], np.float32), RATE)) == 11


def test_long_recordings_are_analysed_like_short_ones():
    # More frames than are analysed at once.
    random = np.random.default_rng(0)
    waveform = random.normal(size=530 * HOP).astype(np.float32)
    whole = analyse(waveform, 0 * waveform, RATE)
    late = analyse(waveform[500 * HOP :], 0 * waveform[500 * HOP :], RATE)
    np.testing.assert_allclose(whole.middle[505:525], late.middle[5:25], atol=1e-5)


def test_silence_has_no_sinusoids():
    sketch = analyse(*np.zeros([2, 5 * HOP], np.float32), RATE)
    assert not sketch.frequency.any()
    assert not sketch.middle.any()


def test_rendering_what_was_analysed_gives_it_back():
    chord = sum(tone(f, amplitude=0.2) for f in (220, 277.2, 329.6, 1760.3))
    sketch = analyse(chord, np.zeros_like(chord), RATE)
    again = drawn(sketch)

    assert len(again) == (len(sketch) - 1) * HOP
    inside = slice(WINDOW, len(again) - WINDOW)
    assert signal_to_noise(again[inside], chord[: len(again)][inside]) > 25


def test_side_and_middle_are_kept_apart():
    middle, side = tone(300), tone(500, amplitude=0.25)
    sketch = analyse(middle, side, RATE)
    at = [np.abs(sketch.frequency[8] - hertz).argmin() for hertz in (300, 500)]
    np.testing.assert_allclose(np.abs(sketch.middle[8, at]), [0.5, 0], atol=0.02)
    np.testing.assert_allclose(np.abs(sketch.side[8, at]), [0, 0.25], atol=0.02)


def test_a_partial_is_drawn_at_its_frequency_amplitude_and_phase():
    # Frequencies that fit a hop in whole turns need no phase carried.
    frequency = 10 * RATE / HOP
    ones = jnp.ones([6, 1])
    again = render(frequency * ones, 0.3 * ones, 0.7 * ones, sample_rate=RATE)
    time = np.arange(5 * HOP) / RATE
    wanted = 0.3 * np.cos(2 * np.pi * frequency * time + 0.7)
    np.testing.assert_allclose(again, wanted, atol=1e-3)


@pytest.mark.parametrize("semitones", [12, -12, 7])
def test_transposing_multiplies_every_frequency_and_keeps_the_level(semitones):
    factor = 2 ** (semitones / 12)
    chord = tone(440) + tone(660, amplitude=0.2)
    sketch = analyse(chord, np.zeros_like(chord), RATE).strongest(2)
    frequency = sketch.frequency * np.float32(factor)
    phase = carry_phases(frequency, np.angle(sketch.middle), sample_rate=RATE)
    moved = drawn(Sketch(frequency, sketch.middle, sketch.side), phase=phase)

    heard = analyse(moved, np.zeros_like(moved), RATE).strongest(2)
    for frame in range(4, len(heard) - 4):
        np.testing.assert_allclose(
            heard.frequency[frame], [440 * factor, 660 * factor], atol=1
        )
        np.testing.assert_allclose(np.abs(heard.middle[frame]), [0.5, 0.2], rtol=0.05)


def test_carried_phases_leave_no_holes_in_the_amplitude():
    sketch = analyse(tone(440), 0 * tone(440), RATE).strongest(1)
    sketch = sketch[2:-3]
    # A fourth up, the phases that were heard contradict each other.
    moved = Sketch(
        sketch.frequency * np.float32(2 ** (5 / 12)), sketch.middle, sketch.side
    )
    phase = carry_phases(moved.frequency, np.angle(moved.middle), sample_rate=RATE)

    def softest(waveform):
        return (
            np.abs(waveform[: len(waveform) // 256 * 256]).reshape(-1, 256).max(1).min()
        )

    assert softest(drawn(moved)) < 0.4
    assert softest(drawn(moved, phase=phase)) > 0.48


def test_carrying_the_phases_of_an_untouched_tone_detunes_it_by_little():
    sketch = analyse(tone(441.7), 0 * tone(441.7), RATE).strongest(1)[2:-3]
    carried = carry_phases(sketch.frequency, np.angle(sketch.middle), sample_rate=RATE)
    away = np.unwrap(carried[:, 0] - np.angle(sketch.middle)[:, 0])
    # Less than a third of a hertz is left of what the parabola does not see.
    seconds = (len(sketch) - 1) * HOP / RATE
    assert abs(away[-1] - away[0]) / (2 * np.pi) / seconds < 0.33


def test_phases_start_anew_where_they_are_told_to():
    frequency = np.full([6, 1], 440.0)
    heard = np.linspace(0.1, 0.6, 6)[:, None]
    restart = np.arange(6) == 3
    phase = carry_phases(frequency, heard, sample_rate=RATE, restart=restart)
    assert phase[3, 0] == pytest.approx(heard[3, 0])
    assert phase[0, 0] == pytest.approx(heard[0, 0])
    assert abs(phase[2, 0] - heard[2, 0]) > 0.01


def test_a_new_partial_starts_with_the_phase_that_was_heard():
    frequency = np.array([[440.0, 0.0], [440.0, 900.0]])
    heard = np.array([[0.1, 0.0], [0.2, 1.5]])
    phase = carry_phases(frequency, heard, sample_rate=RATE)
    assert phase[1, 1] == pytest.approx(1.5)
    assert phase[1, 0] != pytest.approx(0.2)


def test_the_strongest_sinusoids_are_those_that_stay():
    frequency = np.float32([[100, 200, 400, 800]])
    middle = np.complex64([[0.1, 0.5, 0.01, 0.4j]])
    few = Sketch(frequency, middle, 0 * middle).strongest(2)
    np.testing.assert_array_equal(few.frequency, [[200, 800]])
    np.testing.assert_array_equal(few.middle, np.complex64([[0.5, 0.4j]]))


def test_more_sinusoids_than_there_are_come_as_silence():
    time = np.arange(RATE) / RATE
    chord = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    sketch = analyse(chord, np.zeros_like(chord), RATE, peaks=4)
    more = sketch.strongest(7)
    assert more.frequency.shape == more.middle.shape == (len(sketch), 7)
    np.testing.assert_array_equal(more.middle[:, :4], sketch.middle)
    assert not more.middle[:, 4:].any() and not more.frequency[:, 4:].any()
