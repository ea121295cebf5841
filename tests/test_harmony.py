"""Chords and keys, as musicians write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structure.errors import RequestError
from structure.harmony import PITCH_CLASSES, SHORTHANDS, Chord, Key, pitch_class

chords = st.builds(
    lambda root, kind, degrees, bass: (
        f"{root}:{kind}" + (f"({','.join(degrees)})" if degrees else "") + bass
    ),
    st.sampled_from([*PITCH_CLASSES, "C#", "Gb", "B#"]),
    st.sampled_from(list(SHORTHANDS)),
    st.lists(st.sampled_from(["9", "#11", "b13", "*5"]), max_size=2, unique=True),
    st.sampled_from(["", "/3", "/b7", "/5"]),
)


@pytest.mark.parametrize(
    "text, notes",
    [
        ("C", "C E G"),
        ("Am", "A C E"),
        ("A:min7/b3", "A C E G"),
        ("F#m7", "F# A C# E"),
        ("Bb", "Bb D F"),
        ("C/E", "C E G"),
        ("Am/G", "A C E G"),
        ("G7sus4", "G C D F"),
        ("Bm7b5", "B D F A"),
        ("D:sus2", "D E A"),
        ("C:7(*5)", "C E Bb"),
        ("E:(1,5)", "E B"),
        ("C6/9", "C E G A D"),
    ],
)
def test_a_chord_has_the_notes_that_its_name_says(text, notes):
    assert set(Chord.parse(text).pitch_classes) == set(map(pitch_class, notes.split()))


@pytest.mark.parametrize(
    "text, quality",
    [
        ("C:maj7", "maj"),
        ("C:9", "maj"),
        ("C:min11", "min"),
        ("C:hdim7", "dim"),
        ("C:aug", "aug"),
        ("C:sus4(b7)", "sus"),
        ("C:5", "power"),
        ("N", "none"),
        ("X", "unknown"),
    ],
)
def test_a_chord_has_a_quality(text, quality):
    assert Chord.parse(text).quality == quality


@given(chords)
def test_a_chord_survives_its_name(text):
    chord = Chord.parse(text)
    assert Chord.parse(str(chord)) == chord


@given(chords, st.integers(-24, 24))
def test_transposing_moves_every_note_alike(text, semitones):
    chord = Chord.parse(text)
    moved = [(note + semitones) % 12 for note in chord.pitch_classes]
    assert list(chord.transposed(semitones).pitch_classes) == moved
    np.testing.assert_array_equal(
        chord.transposed(semitones).chroma(), np.roll(chord.chroma(), semitones)
    )


@given(chords)
def test_the_root_is_the_strongest_note_and_only_chord_notes_sound(text):
    chord = Chord.parse(text)
    chroma = chord.chroma()
    assert chroma.dtype == np.float32 and chroma.max() == chroma[chord.root] == 1
    assert set(np.flatnonzero(chroma)) == set(chord.pitch_classes) | {chord.root}


def test_no_chord_is_silent():
    assert Chord.parse("N").root is None
    assert not Chord.parse("N").chroma().any()
    assert str(Chord.parse("N").transposed(3)) == "N"


@pytest.mark.parametrize("text", ["", "H", "C:", "C:blue", "C/x", "C(z)", "min", "c"])
def test_what_is_no_chord_is_refused_with_what_came(text):
    with pytest.raises(RequestError) as refusal:
        Chord.parse(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    "text, name",
    [
        ("A:min", "A:min"),
        ("Am", "A:min"),
        ("a minor", "A:min"),
        ("C", "C:maj"),
        ("F# major", "F#:maj"),
        ("Bb:maj", "Bb:maj"),
        ("bb", "Bb:maj"),
        ("b", "B:maj"),
        ("C#m", "C#:min"),
    ],
)
def test_a_key_is_read_however_it_is_written(text, name):
    assert str(Key.parse(text)) == name


@pytest.mark.parametrize("text", ["", "H", "A:dorian", "maj", "A minor key"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(RequestError, match="a key is"):
        Key.parse(text)


def test_relative_keys_share_their_notes():
    assert set(Key.parse("A:min").scale) == set(Key.parse("C").scale)


@pytest.mark.parametrize(
    "key, names",
    [
        ("E", "E F# G# A B C# D#"),
        ("F", "F G A Bb C D E"),
        ("C#m", "C# D# E F# G# A B"),
        ("Eb:min", "Eb F Gb Ab Bb Cb Db"),
    ],
)
def test_a_key_spells_its_own_notes(key, names):
    key = Key.parse(key)
    spelled = [key.spell(note) for note in key.scale]
    assert list(map(pitch_class, spelled)) == list(map(pitch_class, names.split()))
    sharps = sum("#" in name for name in spelled)
    assert sharps == 0 or not any("b" in name for name in spelled)
