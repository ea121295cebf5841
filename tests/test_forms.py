"""The little language of forms."""

import pytest

from structure.errors import RequestError
from structure.forms import NAMED_FORMS, longer_forms, parse_form


def spelled(text):
    return " ".join(f"{s.label}:{s.letter}{s.bars or ''}" for s in parse_form(text))


@pytest.mark.parametrize("name", [n for n in NAMED_FORMS if n != "free"])
def test_a_named_form_has_a_letter_for_each_section(name):
    assert all(section.letter for section in parse_form(name))


def test_free_leaves_the_sections_open():
    assert parse_form("free") == parse_form("Free") == "free"


def test_a_verse_chorus_song_returns_to_both():
    letters = [s.letter for s in parse_form("verse-chorus")]
    assert letters == ["A", "B", "C", "B", "C", "D"]


@pytest.mark.parametrize("text", ["AABA", "A A B A", "aaba", "A-A-B-A"])
def test_thirty_two_bar_form_has_two_ideas(text):
    assert spelled(text) == "verse:A verse:A bridge:B verse:A"


def test_an_idea_as_frequent_as_the_first_is_the_chorus():
    labels = [s.label for s in parse_form("ABABCB")]
    assert labels == ["verse", "chorus", "verse", "chorus", "bridge", "chorus"]


@pytest.mark.parametrize(
    "text",
    [
        "I V8 C8 O4",
        "intro verse8 chorus8 outro4",
        "Intro, Verse 8, Chorus 8, Outro 4",
        "intro -> verse 8 -> refrain 8 -> coda 4",
    ],
)
def test_words_and_initials_say_the_same(text):
    assert spelled(text) == "intro:A verse:B8 chorus:C8 outro:D4"


def test_functions_of_two_words_are_one_section():
    assert spelled("pre-chorus, post chorus, middle 8") == (
        "prechorus:A postchorus:B bridge:C"
    )


def test_letters_can_be_said_with_words():
    assert spelled("verse:A8 verse:B chorus verse:A") == (
        "verse:A8 verse:B chorus:C verse:A"
    )


def test_a_long_song_goes_round_once_more():
    rows = longer_forms("verse-chorus", most=3)
    assert [len(row) for row in rows] == [6, 8, 10]
    assert [s.label for s in rows[1]] == [
        *["intro", "verse", "chorus", "verse", "chorus", "verse", "chorus", "outro"]
    ]


def test_through_composed_songs_never_return():
    for row in longer_forms("through-composed"):
        letters = [section.letter for section in row]
        assert len(set(letters)) == len(letters)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "no section"),
        ("verse foo", "'foo' is no section"),
        ("V0", "0 bars"),
        ("V99", "99 bars"),
        ("A verse", "mixes"),
        ("V " * 200, "200 sections"),
    ],
)
def test_what_is_no_form_is_refused_with_the_reason(text, reason):
    with pytest.raises(RequestError, match=reason):
        parse_form(text)


def test_two_functions_in_words_are_no_name():
    assert spelled("verse chorus") == "verse:A chorus:B"
    assert len(parse_form("verse-chorus")) == 6
    assert parse_form("through composed") == parse_form("Through-Composed")
