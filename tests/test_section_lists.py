"""Lists of sections, chords and beats as other tools write them."""

import pytest

from structure.errors import RequestError
from structure.functions import function_of
from structure.markup import OPEN_END, Beat, Markup, Span
from structure.plan import Section, SongPlan
from structure.section_lists import LIST_FORMS, read_list, write_list


def plan_of(*sections):
    bars = (("C:maj",), ("F:maj",))
    return SongPlan(
        sections=tuple(Section(label=x, letter=y, chords=bars) for x, y in sections)
    )


def partition(letters):
    return [letters.index(letter) for letter in letters]


@pytest.mark.parametrize("form", LIST_FORMS)
@pytest.mark.parametrize(
    "plan",
    [
        plan_of(("intro", "A"), ("verse", "B"), ("chorus", "C"), ("verse", "B")),
        plan_of(("verse", "A"), ("verse", "B"), ("solo", "A"), ("chorus", "C'")),
    ],
)
def test_sections_come_back_from_every_list(tmp_path, form, plan):
    write_list(tmp_path / "song.txt", plan, form=form)
    markup = read_list(tmp_path / "song.txt")
    starts = [span.start for span in markup.sections]
    assert starts == pytest.approx(plan.starts()[:-1], abs=1e-3)
    assert markup.sections[-1].end == pytest.approx(plan.seconds, abs=1e-3)
    letters = [section.letter for section in plan.sections]
    assert partition(markup.letters()) == partition(letters)
    if form != "mirex":
        labels = [section.label for section in plan.sections]
        assert [span.function for span in markup.sections] == labels


SALAMI = """\
0.000000000\tSilence
0.464399092\tA, a, Intro, (guitar
14.50\tb
20.0\tB, a, Verse, (voice
40.0\tB', a, Verse
60.0\tC, a, Pre-Chorus, voice)
70.0\tC
80.0\tSilence
81.0\tEnd
"""


def test_salami_has_large_and_small_sections(tmp_path):
    (tmp_path / "textfile1.txt").write_text(SALAMI)
    sections = read_list(tmp_path / "textfile1.txt").sections
    assert [(s.start, s.letter) for s in sections] == [
        (0.0, None),
        (0.464399092, "A"),
        (20.0, "B"),
        (40.0, "B'"),
        (60.0, "C"),
        (70.0, "C"),
        (80.0, None),
    ]
    functions = ["silence", "intro", "verse", "verse", "prechorus", "other", "silence"]
    assert [section.function for section in sections] == functions
    assert sections[-1].end == 81.0


@pytest.mark.parametrize(
    "text, ends",
    [
        ("0.0\t10.5\tverse\n10.5\t20\trefrain\n", [10.5, 20]),  # Audacity
        ("\\\t0\t0\n0.0\t10.5\tverse\n10.5\t20\tchorus\n", [10.5, 20]),  # with spectra
        ("0.000 10.500 verse 1\n10.500 20.000 chorus_(half)\n", [10.5, 20]),  # .lab
        ('"TIME","LABEL"\n0.0,"verse"\n10.5,"chorus"\n', [10.5, OPEN_END]),
        ("0.0,verse\n10.5,chorus\n20.0,end\n", [10.5, 20]),
        ("0.0,1.0,10.5,verse\n10.5,2.0,9.5,chorus\n", [10.5, 20]),  # with values
        ("# mine\n0:00 Verse\n0:10.5 Chorus\n0:20 end\n", [10.5, 20]),  # by hand
        ("\ufeff0\tVerse A\r\n10.5\tChorus A\r\n", [10.5, OPEN_END]),
        ("0\t10,5\tverse\n10,5\t20,0\tchorus\n", [10.5, 20]),  # decimal commas
        ("0.0\t10,5\tverse\n10,5\t20\tchorus, loud\n", [10.5, 20]),
        ("start;end;label\n0,0;10,5;verse\n10,5;20,0;chorus\n", [10.5, 20]),
        ("0,00 Verse\n0:10,5 Chorus\n0:20 end\n", [10.5, 20]),
        ("0,0 10,5 verse 1,2\n10,5 20 chorus\n", [10.5, 20]),
        ("0\t10.54\tverse\n10.5\t20\tchorus\n", [10.5, 20]),  # rounded ends
        ("0\t0\tverse\n10.5\t10.5\tchorus\n", [10.5, OPEN_END]),  # points
        ("0 10.5 verse\n10.5 20 chorus\n20 20 end\n", [10.5, 20]),
        ("0.0,1.0,verse\n10.5,2.0,chorus\n", [10.5, OPEN_END]),  # plotted values
    ],
)
def test_verse_and_chorus_in_many_forms(tmp_path, text, ends):
    path = tmp_path / "song.txt"
    path.write_bytes(text.encode())
    markup = read_list(path)
    assert [span.function for span in markup.sections] == ["verse", "chorus"]
    assert [span.start for span in markup.sections] == [0, 10.5]
    assert [span.end for span in markup.sections] == ends
    assert markup.letters() == ("A", "B")


def test_chords_and_beats_are_told_from_sections(tmp_path):
    (tmp_path / "a.lab").write_text("0 2.6 N\n2.6 4 E:min7/b3\n4 5 A\n")
    chords = read_list(tmp_path / "a.lab").chords
    assert [span.value for span in chords] == ["N", "E:min7/b3", "A:maj"]
    (tmp_path / "b.lab").write_text("0 2 A\n2 4 B\n4 6 A\n")
    assert read_list(tmp_path / "b.lab").letters() == ("A", "B", "A")
    (tmp_path / "b.chords.txt").write_text("0 2 A\n2 4 Bm\n4 6 A\n")
    assert read_list(tmp_path / "b.chords.txt").chords[1].value == "B:min"
    (tmp_path / "c.txt").write_text("0.5\t3\n1.0\t1\n1.5\t2\n2.0\t3\n2.5\t1\n")
    markup = read_list(tmp_path / "c.txt")
    assert markup.beats[1] == Beat(1.0, 1) and markup.beats_per_bar == 3
    (tmp_path / "d.txt").write_text("0.5\n1.0\n1.5\n")
    assert len(read_list(tmp_path / "d.txt").beats) == 3


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "no line"),
        ("verse\nchorus\n", "no time"),
        ("0 10 verse\nten 20 chorus\n", "line 2"),
        ("0\t10\tverse\n5\t4\tchorus\n9\t8\tx\ty\n", "line 2"),
        ("10\tverse\n0\tchorus\n", "line 2"),
        ("0 10 verse\n5 15 chorus\n", "line 2 starts at 5 s, while line 1 lasts"),
        ("0 10 verse\n9.94 15 chorus\n", "line 2 starts at 9.94 s"),
        ("# mine\n0 9 a\n9 20 b\n8 30 c\n", "line 4 starts at 8 s, while line 3"),
        ("0\t10\ta\n10\t5\tb\n20\t30\tc\n", "line 2 lasts from 10 to 5 s"),
        ("0,25\n16,31\n32,64\n", "'0,25', may be one time or two columns"),
    ],
)
def test_malformed_lists_are_refused_by_name_and_line(tmp_path, text, reason):
    (tmp_path / "song.lab").write_text(text)
    with pytest.raises(RequestError, match=reason) as refused:
        read_list(tmp_path / "song.lab")
    assert "song.lab" in str(refused.value)


@pytest.mark.parametrize(
    "words, function",
    [
        ("Verse 2", "verse"),
        ("pre-chorus", "prechorus"),
        ("PreChorus", "prechorus"),
        ("post_chorus", "postchorus"),
        ("guitar solo", "solo"),
        ("fade-out", "outro"),
        ("instrumental break", "instrumental"),
        ("verse_(instrumental)", "verse"),
        ("Strophe 3", "verse"),
        ("pre-verse", "interlude"),
        ("zzz", "other"),
    ],
)
def test_words_for_functions_are_understood(words, function):
    assert function_of(words) == function


def test_a_part_of_a_marked_up_recording_keeps_what_lies_in_it():
    markup = Markup(
        sections=(Span(0, 10, "verse"), Span(10, OPEN_END, "chorus")),
        beats=tuple(Beat(float(t)) for t in range(20)),
    )
    part = markup.within(8, 15)
    assert part.sections == (Span(0, 2, "verse"), Span(2, 7, "chorus"))
    assert [beat.time for beat in part.beats] == [0, 1, 2, 3, 4, 5, 6]
    assert part.seconds == 7
