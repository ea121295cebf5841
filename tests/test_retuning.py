"""Sinusoids brought to the chords that a plan asks for."""

import numpy as np
import pytest

from hierarchy.macro.retuning import (
    IN_TUNE,
    OUTSIDE_CHORD,
    OUTSIDE_KEY,
    RAISED,
    made_up,
    retune,
)
from hierarchy.material.bands import split
from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import chroma_of
from hierarchy.material.sketch import Sketch
from structure.harmony import Chord

RATE = 44100


def notes(*midi: float, amplitude=None, frames: int = 4) -> Sketch:
    """The same sinusoids in every frame."""
    frequency = 440 * 2 ** ((np.float32(midi) - 69) / 12)
    loud = np.ones(len(midi)) if amplitude is None else np.asarray(amplitude)
    middle = np.tile(loud, (frames, 1)).astype(np.complex64)
    return Sketch(np.tile(frequency, (frames, 1)), middle, 0 * middle)


def to_chord(
    sketch: Sketch, chord: str, *, shift: int = 0, key: str = "C:maj"
) -> Sketch:
    return retune(
        sketch,
        np.array([shift]),
        [Chord.parse(chord)],
        np.zeros(len(sketch), int),
        within=np.ones(len(sketch), bool),
        key=key,
        sample_rate=RATE,
    )


def midi_of(sketch: Sketch) -> np.ndarray:
    return 69 + 12 * np.log2(sketch.frequency[0] / 440)


def decibels(sketch: Sketch) -> np.ndarray:
    return 20 * np.log10(np.abs(sketch.middle[0]))


def test_what_sounds_its_chord_stays_as_it_is():
    chord = notes(60, 64, 67)
    retuned = to_chord(chord, "C:maj")
    np.testing.assert_allclose(midi_of(retuned), [60, 64, 67], atol=1e-4)
    np.testing.assert_allclose(decibels(retuned), 0, atol=1e-5)


def test_a_note_beside_one_that_is_lacking_becomes_it():
    # A fourth, where the third should be: C, F, G as C major.
    retuned = to_chord(notes(60, 65, 67), "C:maj")
    np.testing.assert_allclose(midi_of(retuned), [60, 64, 67], atol=1e-4)
    np.testing.assert_allclose(decibels(retuned), 0, atol=1e-5)
    # Where the third sounds, the fourth stays a fourth, and is quieter.
    full = to_chord(notes(60, 64, 65, 67), "C:maj")
    np.testing.assert_allclose(midi_of(full), [60, 64, 65, 67], atol=1e-4)
    assert decibels(full)[2] <= OUTSIDE_CHORD


def test_a_note_alone_becomes_a_chord_note_and_so_do_those_that_drown_the_chord():
    np.testing.assert_allclose(midi_of(to_chord(notes(65), "C:maj")), 64, atol=1e-4)
    # E flat and B flat are a semitone and two from what C major lacks.
    moved = midi_of(to_chord(notes(63, 70), "C:maj"))
    assert {round(note) % 12 for note in moved} < {0, 4, 7}
    drowned = to_chord(notes(60, 64, 65, 67, amplitude=[0.01, 0.01, 1, 0.01]), "C:maj")
    assert round(midi_of(drowned)[2]) in (64, 67)


def test_rumble_goes_where_its_overtones_go():
    # An F below what is listened to, with its octaves.
    moved = midi_of(to_chord(notes(29, 41, 53, 60, 67), "C:maj"))
    np.testing.assert_allclose(moved, [28, 40, 52, 60, 67], atol=1e-4)


def test_faint_chord_notes_are_raised_but_not_beyond_measure():
    retuned = to_chord(notes(60, 64, 67, amplitude=[1, 0.5, 0.01]), "C:maj")
    np.testing.assert_allclose(np.abs(retuned.middle[0, :2]), [1, 0.7], rtol=1e-3)
    raised = decibels(retuned)[2] - 20 * np.log10(0.01)
    assert raised == pytest.approx(RAISED, abs=1e-3)


def test_notes_outside_the_key_are_the_quietest():
    # B is of the key, B flat is not; neither has a chord note to become.
    retuned = to_chord(notes(60, 64, 67, 70, 71), "C:maj")
    quiet = decibels(retuned)[3:]
    assert quiet[0] < quiet[1] <= OUTSIDE_CHORD


def test_only_what_would_drown_a_chord_of_clean_notes_is_quietened():
    # B and B flat are faint already.
    faint = [1, 1, 1, 0.05, 0.05]
    retuned = to_chord(notes(60, 64, 67, 70, 71, amplitude=faint), "C:maj")
    np.testing.assert_allclose(np.abs(retuned.middle[0]), faint, rtol=1e-5)


def test_between_notes_all_outside_is_quietened_and_chord_notes_are_tuned():
    # Spread over the semitone, as noise is: on average on no note.
    faint = [1, 1, 1, 0.05, 0.05]
    blurred = notes(59.7, 64.0, 67.3, 70.0, 71.0, amplitude=faint)
    retuned = to_chord(blurred, "C:maj")
    left = 0.3 * (1 - IN_TUNE)
    np.testing.assert_allclose(
        midi_of(retuned), [60 - left, 64, 67 + left, 70, 71], atol=1e-4
    )
    quieter = decibels(retuned) - 20 * np.log10(faint)
    np.testing.assert_allclose(
        quieter, [0, 0, 0, OUTSIDE_KEY, OUTSIDE_CHORD], atol=1e-3
    )
    # Clean notes keep the tuning that they have.
    played = notes(59.9, 64.0, 67.1)
    np.testing.assert_allclose(midi_of(to_chord(played, "C:maj")), midi_of(played))


def test_each_beat_goes_to_its_own_chord_and_none_where_there_is_none():
    sketch = notes(62, 65, 69, frames=6)
    retuned = retune(
        sketch,
        np.array([0, -2, 3]),
        [Chord.parse(name) for name in ("D:min", "C:min", "N")],
        np.repeat([0, 1, 2], 2),
        within=np.ones(len(sketch), bool),
        key="C:maj",
        sample_rate=RATE,
    )
    heard = 69 + 12 * np.log2(retuned.frequency[::2] / 440)
    np.testing.assert_allclose(
        heard, [[62, 65, 69], [60, 63, 67], [65, 68, 72]], atol=1e-4
    )


def test_what_rings_on_after_a_beat_does_not_change_it():
    # Two frames of C, F, G, and then two in which the third sounds after all.
    once, after = notes(60, 65, 67, frames=2), notes(60, 64, 67, frames=2)
    both = Sketch(
        *(
            np.concatenate([getattr(part, name) for part in (once, after)])
            for name in ("frequency", "middle", "side")
        )
    )
    retuned = retune(
        both,
        np.array([0]),
        [Chord.parse("C:maj")],
        np.zeros(4, int),
        within=np.array([True, True, False, False]),
        key="C:maj",
        sample_rate=RATE,
    )
    alone = to_chord(once, "C:maj")
    np.testing.assert_array_equal(retuned.frequency[:2], alone.frequency)
    np.testing.assert_array_equal(retuned.middle[:2], alone.middle)


@pytest.mark.parametrize("chord", ["A:min", "F:maj", "G:maj", "D:min", "E:min"])
def test_any_cluster_is_heard_as_its_chord(chord):
    random = np.random.default_rng(0)
    cluster = notes(*(60 + np.arange(12)), amplitude=random.uniform(0.05, 1, 12))
    heard = chroma_of(to_chord(cluster, chord))[0]
    tones = Chord.parse(chord).pitch_classes
    others = np.delete(heard, list(tones))
    assert heard[list(tones)].min() > 1.5 * others.max()


def test_bass_and_colour_are_no_harmony():
    # Above 2.5 kHz nothing is moved or quietened; beyond the rate nothing is left.
    high = Sketch(
        np.float32([[3000.0, 21500.0]]),
        np.ones([1, 2], np.complex64),
        np.zeros([1, 2], np.complex64),
    )
    retuned = to_chord(high, "C:maj")
    np.testing.assert_array_equal(np.abs(retuned.middle), [[1, 0]])
    low = decibels(to_chord(notes(36, 43), "C:maj"))
    assert low[0] > 0 > low[1]


def test_what_quietening_took_from_a_band_is_made_up():
    sketch = notes(60, 64, 67, 70)
    before = drawn_power(sketch, 16, RATE)
    retuned = to_chord(sketch, "C:maj")
    after = drawn_power(retuned, 16, RATE)
    again = drawn_power(made_up(retuned, sketch, RATE), 16, RATE)
    assert after.sum() < before.sum()
    np.testing.assert_allclose(again.sum(), before.sum(), rtol=1e-4)


@pytest.mark.parametrize("bands", [4, 16, 64])
@pytest.mark.parametrize("hertz", [0.0, 430.0, 1378.125, 1400.0, 11_025.0, 22_049.0])
def test_what_a_sketch_gives_a_band_is_what_is_heard_there(hertz, bands):
    sketch = Sketch(
        np.float32([[hertz]]), np.complex64([[0.5]]), np.complex64([[0.25j]])
    )
    power = drawn_power(sketch, bands, RATE)
    whole = power.sum(axis=2)[:, 0]
    np.testing.assert_allclose(whole, [bands / 8, bands / 32], rtol=2e-3)
    if 0 < hertz < 22_000:
        tone = 0.5 * np.cos(2 * np.pi * hertz / RATE * np.arange(1 << 14))
        heard = np.asarray(split(np.float32(tone), bands))[32:-32]
        np.testing.assert_allclose(
            power[0, 0], np.square(heard).mean(axis=0), atol=0.02 * bands / 8
        )
