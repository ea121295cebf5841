"""Tracks of public data sets become songs to learn from.

Each test runs on mirdata's own classes, where they are installed, and on objects that
have the same attributes.
"""

import types

import numpy as np
import pytest

from structure.annotations import song_from_json, song_to_json
from structure.encoding import encode
from structure.errors import RequestError
from structure.markup import OPEN_END, Beat, Markup, Span
from structure.public_sets import read_track, song_from_markup


@pytest.fixture(params=["mirdata", "alike"])
def data(request):
    """The classes of mirdata, by the names of their annotations."""
    if request.param == "alike":
        return Alike
    pytest.importorskip("mirdata", reason="mirdata comes with the extra [mirdata]")
    from mirdata import annotations

    return annotations


class Alike:
    """What mirdata's classes keep of what they are given."""

    @staticmethod
    def SectionData(intervals, interval_unit, labels=None, label_unit=None):
        return types.SimpleNamespace(
            intervals=intervals, interval_unit=interval_unit, labels=labels
        )

    @staticmethod
    def ChordData(intervals, interval_unit, labels, label_unit):
        return types.SimpleNamespace(intervals=intervals, labels=labels)

    @staticmethod
    def KeyData(intervals, interval_unit, keys, key_unit):
        return types.SimpleNamespace(
            intervals=intervals, interval_unit=interval_unit, keys=keys
        )

    @staticmethod
    def BeatData(times, time_unit, positions, position_unit):
        return types.SimpleNamespace(
            times=times,
            time_unit=time_unit,
            positions=positions,
            position_unit=position_unit,
        )

    @staticmethod
    def TempoData(intervals, interval_unit, tempos, tempo_unit):
        return types.SimpleNamespace(
            intervals=intervals, interval_unit=interval_unit, tempos=tempos
        )

    @staticmethod
    def MultiAnnotator(annotators, annotations, dtype):
        return types.SimpleNamespace(annotators=annotators, annotations=annotations)


def spans(*edges):
    return np.array([edges[:-1], edges[1:]], float).T


START, BEAT = 0.5, 0.5  # seconds; 120 BPM


def at(bar):
    return START + 4 * BEAT * bar


def track(data, **changes):
    """Twelve bars after half a second, the last four of them in D."""
    count = 48
    parts = dict(
        sections=data.SectionData(
            # A person's marks do not lie on the beat.
            spans(0, START, at(4) + 0.12, at(8) - 0.1, at(12), at(12) + 2),
            "s",
            ["silence", "verse_(acoustic)", "refrain", "verse 2", "silence"],
            "open",
        ),
        chords=data.ChordData(
            spans(0, START, at(1.5), at(2), at(8), at(12)),
            "s",
            ["N", "C", "G:7", "A:min", "D:maj/3"],
            "harte",
        ),
        key=data.KeyData(
            spans(0, at(8), at(12)), "s", ["C", "D:mixolydian"], "key_mode"
        ),
        beats=data.BeatData(
            START + BEAT * np.arange(count), "s", np.arange(count) % 4 + 1, "bar_index"
        ),
    )
    return types.SimpleNamespace(**parts | changes)


def song_of(track, **parts):
    return song_from_markup(read_track(track, **parts), id="x:1", source="beatles")


def test_bars_chords_and_keys_of_a_track_are_read_at_its_beats(data):
    song = song_of(track(data))
    assert (song.meter, song.tempo, song.mode) == ("4/4", 120.0, "maj")
    verse, chorus, again = song.sections
    assert [s.label for s in song.sections] == ["verse", "chorus", "verse"]
    assert [s.bars for s in song.sections] == [4, 4, 4]
    assert verse.chords == (("C:maj",), ("C:maj", "G:7"), ("A:min",), ("A:min",))
    assert verse.tonics == chorus.tonics == (0,) * 4
    assert again.chords == (("D:maj/3",),) * 4 and again.tonics == (2,) * 4
    assert again.end == at(12) and again.letter is None
    assert len(encode(song).chords) == 13 + 1  # and how the second bar is divided


def test_a_song_survives_its_line(data):
    song = song_of(track(data))
    assert song_from_json(song_to_json(song)) == song


def test_a_key_that_changes_within_a_section_survives_too(data):
    key = data.KeyData(spans(0, at(2), at(12)), "s", ["A:minor", "C:major"], "key_mode")
    song = song_of(track(data, key=key))
    assert song.sections[0].tonics == (9, 9, 0, 0) and song.mode == "mixed"
    assert song_from_json(song_to_json(song)) == song


def test_what_a_track_does_not_tell_stays_unknown(data):
    plain = song_of(track(data), chords=None, key=None, beats=None)
    assert (plain.meter, plain.tempo, plain.mode) == (None, None, None)
    assert [(s.bars, s.chords) for s in plain.sections] == [(None, None)] * 3
    # Chords mean little without a key.
    assert not song_of(track(data), key=None).has_chords
    assert song_of(track(data), key="C").has_chords
    counted = data.BeatData(np.arange(1.0, 9.0), "s", np.arange(1, 9), "global_index")
    assert song_of(track(data, beats=counted)).sections[0].bars is None


def test_six_beats_a_bar_leave_the_metre_open(data):
    beats = data.BeatData(
        START + BEAT * np.arange(48), "s", np.arange(48) % 6 + 1, "bar_index"
    )
    song = song_of(track(data, beats=beats))
    assert song.meter is None and song.tempo is None
    assert sum(s.bars for s in song.sections) == 8


def test_letters_may_lie_apart_and_the_first_annotator_is_believed(data):
    letters = data.SectionData(
        spans(START, at(4), at(8), at(12)), "s", ["A", "B", "A'"], "open"
    )
    several = data.MultiAnnotator(["1", "2"], [None, letters], data.SectionData)
    for given in (letters, several):
        song = song_of(track(data), letters=given)
        assert [s.letter for s in song.sections] == ["A", "B", "A'"]
    tempo = data.TempoData(spans(0, 4, 30), "s", np.array([90.0, 118.0]), "bpm")
    assert song_of(track(data), tempo=tempo).tempo == 118
    assert song_of(track(data), tempo="Allegro").tempo == 120


def test_what_is_no_track_is_refused(data):
    with pytest.raises(RequestError, match=r"no sections.*named_sections"):
        read_track(types.SimpleNamespace())
    with pytest.raises(RequestError, match="part 'section' of a track"):
        read_track(track(data), section=None)
    with pytest.raises(RequestError, match="mine has no sections but silence"):
        song_from_markup(Markup(sections=(Span(0, 9, "Silence"),)), id="mine")
    ticks = data.SectionData(spans(0, 9), "ticks", ["verse"], "open")
    with pytest.raises(RequestError, match="'ticks'"):
        read_track(track(data, sections=ticks))


def test_a_list_of_sections_is_a_song_too():
    beats = tuple(Beat(at(0) + BEAT * n, n % 4 + 1) for n in range(32))
    markup = Markup(
        sections=(Span(0, at(4), "intro"), Span(at(4), OPEN_END, "verse", "A")),
        beats=beats,
        seconds=at(8),
    )
    song = song_from_markup(markup, id="mine")
    assert [(s.label, s.bars, s.end) for s in song.sections] == [
        ("intro", 4, at(4)),
        ("verse", 4, at(8)),
    ]
