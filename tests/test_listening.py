import dataclasses

import mir_eval
import numpy as np
import pytest

from structure.errors import RequestError
from structure.harmony import Key
from structure.listening import Heard, listen
from tests.made_songs import RATE, Idea, make_song

VERSE = ("A:min", "F:maj", "C:maj", "G:maj")
CHORUS = ("F:maj", "G:maj", "A:min", "C:maj")
BRIDGE = ("D:min", "A:min", "E:maj", "E:maj")
OPENING = ("A:min", "A:min", "F:maj", "F:maj")

BAND = {
    "A": Idea(OPENING, 0.5, 0.3, "none", melody=False, pulse=1),
    "B": Idea(VERSE, 0.6, 0.5, "back"),
    "C": Idea(CHORUS, 0.75, 0.8, "four"),
    "D": Idea(BRIDGE, 0.4, 0.5, "none", pulse=1),
}
ORGAN = {letter: dataclasses.replace(i, drums="none") for letter, i in BAND.items()}
POP = [("A", 4), ("B", 8), ("C", 8), ("B", 8), ("C", 8), ("D", 8), ("C", 8), ("A", 4)]


def section_scores(song, heard):
    """Boundary F at 0.5 s and pairwise F of the letters."""
    asked = np.stack([song.boundaries[:-1], song.boundaries[1:]], axis=1)
    bounds = np.array(heard.boundaries)
    found = np.stack([bounds[:-1], bounds[1:]], axis=1)
    _, _, hits = mir_eval.segment.detection(asked, found, window=0.5)
    end = max(song.boundaries[-1], bounds[-1])
    asked, true = mir_eval.util.adjust_intervals(asked, list(song.letters), 0, end)
    found, said = mir_eval.util.adjust_intervals(found, list(heard.letters), 0, end)
    return hits, mir_eval.segment.pairwise(asked, true, found, said)[2]


@pytest.fixture(scope="module", params=["band", "organ"])
def pop_song(request):
    ideas = BAND if request.param == "band" else ORGAN
    song = make_song(POP, ideas, tempo=118.7, detune=0.2)
    return song, listen(song.waveform, RATE)


def test_a_song_on_a_grid_has_exact_beats_and_bars(pop_song):
    song, heard = pop_song
    assert heard.tempo == pytest.approx(118.7, rel=0.0005)
    assert heard.steady and heard.meter == "4/4"
    times = np.array(heard.beat_times)
    off = np.abs(times[:, None] - song.beat_times[None]).min(axis=0)
    assert np.quantile(off, 0.95) < 0.025
    downbeats = times[list(heard.downbeats)]
    assert mir_eval.beat.f_measure(song.beat_times[song.downbeats], downbeats) > 0.97


def test_sections_are_found_where_they_are_and_returns_are_heard(pop_song):
    song, heard = pop_song
    hits, pairs = section_scores(song, heard)
    assert hits > 0.85 and pairs > 0.8
    assert heard.letters[2] == heard.letters[4] != heard.letters[3]


def test_the_loud_idea_that_returns_is_the_chorus(pop_song):
    _, heard = pop_song
    assert heard.labels[2] == heard.labels[4] == "chorus"
    assert heard.labels[1] == heard.labels[3] == "verse"
    assert heard.labels[0] == "intro" and heard.labels[-1] == "outro"
    assert all(0 < sure < 1 for sure in heard.label_confidence)


def test_chords_and_key_are_named(pop_song):
    song, heard = pop_song
    times = np.array(heard.beat_times)
    middle = song.beat_times + 0.25
    said = [heard.chords[np.searchsorted(times, t) - 1] for t in middle]
    right = np.mean([a == b for a, b in zip(said, song.chords, strict=True)])
    assert right > 0.95
    # A minor and C major have the same notes; F major is a neighbour of both.
    assert Key.parse(heard.key).tonic in (9, 0, 5)


def test_what_was_heard_survives_its_file_and_makes_a_plan(pop_song, tmp_path):
    _, heard = pop_song
    heard.write(tmp_path / "heard.json")
    assert Heard.read(tmp_path / "heard.json") == heard
    plan = heard.plan(title="Pop", style="band")
    assert len(plan.sections) == len(heard.labels)
    assert plan.bars == len(heard.downbeats)
    assert plan.sections[1].chords[:4] == tuple((chord,) for chord in VERSE)
    lengths = np.diff(plan.starts())
    np.testing.assert_allclose(lengths, np.diff(heard.boundaries), atol=0.01)


@pytest.mark.parametrize("tempo", [75.0, 93.3, 128.0, 150.5])
@pytest.mark.parametrize("drums", ["back", "none"])
def test_the_tempo_is_right_or_a_clear_octave(tempo, drums):
    idea = Idea(VERSE, drums=drums)
    song = make_song([("A", 8)], {"A": idea}, tempo=tempo, seed=1)
    octave = np.log2(listen(song.waveform, RATE).tempo / tempo)
    assert abs(octave - np.rint(octave)) < 0.007 and abs(octave) < 1.1


def test_a_waltz_has_three_beats():
    idea = Idea(VERSE, drums="back", melody=False, pulse=1)
    song = make_song([("A", 24)], {"A": idea}, tempo=140, beats_per_bar=3)
    assert listen(song.waveform, RATE).meter == "3/4"


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros([1, RATE * 5], np.float32),
        np.zeros([2, 1], np.float32),
        np.ones([1, 200], np.float32),
        np.random.default_rng(0).normal(0, 0.1, [2, RATE * 6]).astype(np.float32),
    ],
    ids=["silence", "one sample", "a blink of direct current", "noise"],
)
def test_what_is_no_music_is_still_one_plan(sound):
    heard = listen(sound, RATE)
    assert heard.plan().bars >= 1
    assert len(heard.beat_times) == len(heard.chords)
    assert len(heard.boundaries) == len(heard.labels) + 1


def test_a_waveform_that_cannot_be_heard_is_refused():
    for sound in (np.zeros([1, 0]), np.zeros(100), np.full([1, 100], np.nan)):
        with pytest.raises(RequestError):
            listen(sound, RATE)
