"""What is known of a song goes into a JAMS file and comes out again."""

import json

import numpy as np
import pytest

from structure.errors import RequestError
from structure.harmony import SHORTHANDS, Chord
from structure.jams import read_jams, write_jams
from structure.markup import Beat, Markup, Span
from structure.plan import Section, SongPlan
from tests.small_worlds import heard_in

# The jams package calls jsonschema in a way that is going out of use.
pytestmark = pytest.mark.filterwarnings("ignore:Passing a schema:DeprecationWarning")

PLAN = SongPlan(
    title="Rain",
    key="A:min",
    tempo=90,
    meter="6/8",
    sections=(
        Section(label="intro", letter="C", chords=(("N",), ("A:min",))),
        Section(label="prechorus", letter="A", chords=(("A:min", "F:maj"),) * 4),
        Section(label="other", letter="B'", chords=(("D:sus2(b7)/5",), ("X",))),
        Section(label="prechorus", letter="A", chords=(("A:min", "F:maj"),) * 4),
    ),
)


def test_a_plan_comes_back_from_its_jams(tmp_path):
    write_jams(tmp_path / "rain.jams", PLAN, artist="Nobody", seconds=30.0)
    markup = read_jams(tmp_path / "rain.jams")
    assert [span.value for span in markup.sections] == [
        section.label for section in PLAN.sections
    ]
    assert markup.letters() == ("C", "A", "B'", "A")
    starts = [span.start for span in markup.sections]
    np.testing.assert_allclose(starts, PLAN.starts()[:-1], atol=1e-6)
    assert len(markup.beats) == 24 and markup.beats[3] == Beat(2.0, 2)
    assert (markup.tempo, markup.meter, markup.seconds) == (90, "6/8", 30)
    assert (markup.title, markup.artist) == ("Rain", "Nobody")
    assert markup.keys[0].value == "A:min" and markup.beats_per_bar == 2
    # The unknown chord is left out: JAMS has no word for it.
    assert [span.value for span in markup.chords[:3]] == ["N", "A:min", "F:maj"]
    assert Chord.parse(markup.chords[-9].value).pitch_classes == (2, 4, 9, 0)


def test_what_was_heard_comes_back_with_its_confidence(tmp_path, small_song):
    heard = heard_in(small_song)
    write_jams(tmp_path / "small.jams", heard)
    markup = read_jams(tmp_path / "small.jams")
    assert markup == Markup.of(heard)
    assert {span.confidence for span in markup.sections} == {1.0}


@pytest.mark.parametrize("song", ["plan", "heard"])
def test_other_peoples_tools_accept_our_files(tmp_path, small_song, song):
    jams = pytest.importorskip("jams", reason="the jams package checks the files")
    song = PLAN if song == "plan" else heard_in(small_song)
    write_jams(tmp_path / "song.jams", song)
    file = jams.load(str(tmp_path / "song.jams"), validate=True, strict=True)
    assert len(file.search(namespace="segment_open")[0].data) == 4
    assert file.search(namespace="beat")[0].data[0].value == 1
    ours = Markup.of(song)
    intervals, labels = file.search(namespace="segment_open")[0].to_interval_values()
    assert labels == [span.value for span in ours.sections]
    assert intervals[-1, 1] == pytest.approx(ours.sections[-1].end)


def test_every_chord_we_know_has_a_name_in_jams(tmp_path):
    jams = pytest.importorskip("jams", reason="the jams package checks the files")
    names = [f"Eb:{shorthand}" for shorthand in SHORTHANDS]
    names += ["C:maj(9)/3", "F#:min7(11)/b7", "G:(1,5)", "B:13(*5)"]
    spans = tuple(Span(i, i + 1, name) for i, name in enumerate(names))
    write_jams(tmp_path / "chords.jams", Markup(chords=spans))
    jams.load(str(tmp_path / "chords.jams"), validate=True, strict=True)
    read = read_jams(tmp_path / "chords.jams").chords
    for written, back in zip(spans, read, strict=True):
        written, back = Chord.parse(written.value), Chord.parse(back.value)
        assert (written.root, written.intervals) == (back.root, back.intervals)


def test_files_of_other_tools_are_read(tmp_path):
    def observations(*rows):
        fields = ("time", "duration", "value", "confidence")
        return [dict(zip(fields, row, strict=True)) for row in rows]

    beats = {
        "time": [0.0, 0.5, 1.0],
        "duration": [0.0, 0.0, 0.0],
        "value": [
            {"position": p, "measure": 1, "num_beats": 3, "beat_units": 4}
            for p in (1, 2, 3)
        ],
        "confidence": [None] * 3,
    }
    both = [
        {"namespace": "beat_position", "annotation_metadata": {}, "data": beats},
        {
            "namespace": "segment_salami_upper",
            "annotation_metadata": {},
            "data": observations((0, 4, "A", 1), (4, 4, "B", 1), (8, 0, "End", 1)),
        },
        {
            "namespace": "segment_salami_function",
            "annotation_metadata": {},
            "data": observations((4, 4, "post-chorus", 1), (0, 4, "verse", 1)),
        },
        {
            "namespace": "key_mode",
            "annotation_metadata": {},
            "data": observations((0, 8, "D:dorian", None)),
        },
    ]
    path = tmp_path / "other.jams"
    path.write_text(json.dumps({"annotations": both, "sandbox": {}}))
    markup = read_jams(path)
    assert [span.function for span in markup.sections] == ["verse", "postchorus"]
    assert markup.letters() == ("A", "B")
    assert markup.meter == "3/4" and markup.keys[0].value == "D:min"
    assert [beat.position for beat in markup.beats] == [1, 2, 3]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("verse 0 10", "not a JAMS"),
        ("[1, 2]", "not a JAMS"),
        ('{"annotations": [{"data": []}]}', "namespace"),
        (
            (
                '{"annotations": [{"namespace": "segment_open", "data": [{"time": "soon", '
                '"duration": 1, "value": "verse"}]}]}'
            ),
            "segment_open",
        ),
        (
            (
                '{"annotations": [{"namespace": "chord_harte", "data": [{"time": 0, '
                '"duration": 1, "value": "H:maj"}]}]}'
            ),
            "H:maj",
        ),
    ],
)
def test_what_is_no_jams_is_refused_by_name(tmp_path, text, reason):
    (tmp_path / "song.jams").write_text(text)
    with pytest.raises(RequestError, match=reason) as refused:
        read_jams(tmp_path / "song.jams")
    assert "song.jams" in str(refused.value)
