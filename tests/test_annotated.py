"""A person's own annotation of a recording stands in place of what would be heard."""

import numpy as np
import pytest

from hierarchy.material.audio import write_waveform
from hierarchy.material.corpus import Corpus, prepare_corpus
from structure.jams import write_jams
from structure.listening import listen
from structure.markup import OPEN_END, Beat, Markup, Span
from tests.made_songs import RATE, Idea, make_song

CHORDS = ("A:min", "F:maj", "C:maj", "G:maj")
IDEAS = {"A": Idea(CHORDS, drums="back"), "B": Idea(CHORDS[::-1], drums="four")}


@pytest.fixture(scope="module")
def song():
    return make_song([("A", 4), ("B", 4), ("A", 4)], IDEAS, tempo=120.0)


def test_sections_stand_at_the_bar_line_nearest_to_where_they_were_put(song):
    # 8 s are 4 bars; the song starts at 0.3 s.
    said = Markup(
        sections=(
            Span(0.0, 4.5, "Intro"),
            Span(4.5, 12.1, "Verse 1"),
            Span(12.1, OPEN_END, "Refrain"),
        )
    )
    heard = listen(song.waveform, RATE, known=said)
    assert heard.labels == ("intro", "verse", "chorus")
    assert heard.letters == ("A", "B", "C")
    np.testing.assert_allclose(heard.boundaries[:-1], [0.3, 4.3, 12.3], atol=0.05)
    assert heard.label_confidence == (1.0, 1.0, 1.0)
    assert [section.bars for section in heard.plan().sections][:2] == [2, 4]


def test_letters_without_words_get_functions_that_are_guessed(song):
    spans = (Span(0, 8.3, "", "C"), Span(8.3, 16.3, "", "A"), Span(16.3, 30, "", "C"))
    heard = listen(song.waveform, RATE, known=Markup(sections=spans))
    assert heard.letters == ("C", "A", "C")
    assert all(0 < sure < 1 for sure in heard.label_confidence)


def test_beats_in_eighths_make_a_song_in_six_eight():
    song = make_song([("A", 8)], IDEAS, tempo=180.0, beats_per_bar=6)
    tapped = [
        Beat(float(time) + 0.004 * (-1) ** number, number % 6 + 1)
        for number, time in enumerate(song.beat_times)
    ]
    # The first and last bars are left out; listening goes on counting there.
    said = Markup(beats=tuple(tapped[6:42]), meter="6/8")
    heard = listen(song.waveform, RATE, known=said)
    assert heard.meter == "6/8" and heard.tempo == pytest.approx(60, rel=0.005)
    np.testing.assert_allclose(
        np.array(heard.beat_times)[list(heard.downbeats)][:8],
        song.beat_times[song.downbeats],
        atol=0.05,
    )
    assert heard.plan().beats_per_bar == 2


def test_chords_that_were_given_are_kept_and_the_rest_is_heard(song):
    said = Markup(chords=(Span(0.0, 4.3, "D:min7"),), keys=(Span(0, 20, "D:min"),))
    heard = listen(song.waveform, RATE, known=said)
    assert set(heard.chords[:8]) == {"D:min7"} and heard.key == "D:min"
    assert set(heard.chords[9:16]) <= {"C:maj", "G:maj"}


def test_a_corpus_takes_what_lies_beside_a_recording(song, tmp_path):
    album = tmp_path / "album"
    for name in ("one", "two", "three"):
        shift = {"one": 0, "two": 1, "three": 2}[name]
        write_waveform(album / f"{name}.flac", song.waveform[:, shift:], RATE)
    beats = tuple(Beat(float(t), i % 4 + 1) for i, t in enumerate(song.beat_times))
    said = Markup(
        sections=(Span(0.3, 8.3, "verse"), Span(8.3, 16.3, "solo")),
        beats=beats,
        seconds=26.0,
    )
    write_jams(album / "one.jams", said)
    (album / "two.txt").write_text("These are the words\nof the song\n")
    (album / "two.sections.lab").write_text("0.3 8.3 bridge\n8.3 24.3 chorus\n")
    (album / "three.beats.txt").write_text("0.3\n0.8\n1.3\n")

    lines = []
    out = tmp_path / "corpus"
    manifest = prepare_corpus(album, out, sample_rate=RATE, report=lines.append)
    songs = {song.source: song for song in Corpus.read(out).songs}
    assert len(songs) == 3
    assert songs["one.flac"].heard().labels == ("verse", "solo", "other")
    assert songs["two.flac"].heard().labels == ("bridge", "chorus")
    text = "\n".join(lines)
    assert "2 sections and 48 beats by one.jams" in text
    assert "2 sections by two.sections.lab" in text
    skipped = {file.source: file.reason for file in manifest.dropped}
    assert "line 2" in skipped["two.txt"]
    assert "3 felt beats" in skipped["three.beats.txt"]

    # A second run does what changed: one annotation.
    (album / "two.sections.lab").write_text("0.3 8.3 solo\n8.3 24.3 chorus\n")
    lines.clear()
    prepare_corpus(album, out, sample_rate=RATE, report=lines.append)
    assert sum("unchanged" in line for line in lines) == 2
    songs = {song.source: song for song in Corpus.read(out).songs}
    assert songs["two.flac"].plan().sections[0].label == "solo"
