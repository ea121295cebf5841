"""Songs to tokens and back, and what a cursor may know."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structure.annotations import read_annotations, song_from_plan
from structure.cursor import Cursor
from structure.encoding import decode, encode, read_sections, song_tokens
from structure.errors import RequestError
from structure.harmony import Chord, Key
from structure.plan import Section, SongPlan
from structure.vocabulary import (
    END,
    FEATURES,
    KINDS,
    NUMBER,
    OUTCOMES,
    TOKENS,
    bar_tokens,
    chord_of,
    chord_token,
)

plain_chords = st.builds(
    lambda root, kind: f"{root}:{kind}",
    st.sampled_from(["C", "C#", "E", "F", "G", "A", "Bb"]),
    st.sampled_from(["maj", "min", "7", "maj7", "min7", "sus4", "dim", "aug", "5"]),
)
bars = st.one_of(
    plain_chords.map(lambda chord: (chord,)),
    st.lists(plain_chords, min_size=2, max_size=3, unique=True).map(tuple),
)
sections = st.builds(
    lambda label, letter, energy, chords: Section(
        label=label, letter=letter, energy=energy, chords=tuple(chords)
    ),
    st.sampled_from(["intro", "verse", "chorus", "bridge", "outro"]),
    st.sampled_from("ABC"),
    st.floats(0, 1),
    st.lists(bars, min_size=1, max_size=6),
)
plans = st.builds(
    lambda parts, key, tempo: SongPlan(key=key, tempo=tempo, sections=tuple(parts)),
    st.lists(sections, min_size=1, max_size=6),
    st.sampled_from(["C", "A:min", "F#:maj", "Eb:min"]),
    st.floats(40, 200),
)


@settings(max_examples=60, deadline=None)
@given(plans)
def test_a_plan_survives_its_tokens(plan):
    key = Key.parse(plan.key)
    tokens = [token for token, _ in song_tokens(song_from_plan(plan, id="x"))]
    cursor = decode(tokens)
    assert cursor.done
    back = read_sections(cursor, key)
    assert [(s.label, s.bars) for s in back] == [
        (s.label, s.bars) for s in plan.sections
    ]
    # Letters may be renamed, but the same ideas return.
    renamed = dict(
        zip([s.letter for s in plan.sections], [s.letter for s in back], strict=True)
    )
    assert [renamed[s.letter] for s in plan.sections] == [s.letter for s in back]
    assert len(set(renamed.values())) == len(renamed)
    for one, other in zip(back, plan.sections, strict=True):
        assert abs(one.energy - other.energy) <= 1 / 16 + 1e-9
        for bar, asked in zip(one.chords, other.chords, strict=True):
            assert [Chord.parse(c).pitch_classes for c in bar] == [
                Chord.parse(c).pitch_classes for c in asked
            ]


@settings(max_examples=40, deadline=None)
@given(plans, st.data())
def test_what_is_known_before_a_token_comes_from_its_past(plan, data):
    encoded = encode(song_from_plan(plan, id="x"))
    cut = data.draw(st.integers(1, len(encoded.tokens) - 1))
    cursor = Cursor(int(encoded.tokens[0]))
    for place, token in enumerate(encoded.targets[:cut]):
        features, hints = cursor.tell()
        # Seconds come from the plan where it knows them, else from the tempo's
        # bucket; all else is the same however the song goes on.
        away = list(FEATURES).index("place")
        if encoded.kinds[place] != KINDS.index("chord"):
            features[away] = encoded.features[place, away]
        np.testing.assert_array_equal(features, encoded.features[place])
        np.testing.assert_array_equal(hints, encoded.hints[place])
        assert cursor.allowed()[token] or not encoded.known[place]
        cursor.push(int(token))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_whatever_is_allowed_makes_a_song(seed):
    rng = np.random.default_rng(seed)
    cursor = Cursor(NUMBER["source", "any"])
    while not cursor.done:
        features, hints = cursor.tell()
        assert all(f < n for f, n in zip(features, FEATURES.values(), strict=True))
        assert all(0 <= hint < len(TOKENS) for hint in hints)
        allowed = np.flatnonzero(cursor.allowed())
        if len(cursor.sections) > 6 and cursor.kind == "label":
            allowed = [END]
        elif cursor.kind == "bars":
            allowed = allowed[:5]
        cursor.push(int(rng.choice(allowed)))
    assert all(len(s.chords) == s.bars for s in cursor.sections)
    assert len(read_sections(cursor, Key(0))) == len(cursor.sections)


def test_a_fork_goes_its_own_way():
    plan = SongPlan(
        sections=(Section(label="verse", letter="A", chords=(("C",), ("F", "G"))),)
    )
    tokens = [token for token, _ in song_tokens(song_from_plan(plan, id="x"))]
    cursor = decode(tokens[:-2])
    fork = cursor.fork()
    fork.push(tokens[-1])
    fork.push(tokens[-1])
    before = cursor.sections[0].chords
    assert before == [tokens[-4:-3], tokens[-3:-2]] and not cursor.done
    assert fork.done
    for token in tokens[-2:]:
        cursor.push(token)
    assert cursor.sections[0].chords[1] == tokens[-3:]


def test_a_return_is_hinted_at_chord_by_chord():
    verse = Section(label="verse", letter="A", chords=(("C",), ("F", "G"), ("A:min",)))
    chorus = Section(label="chorus", letter="B", chords=(("F",),))
    plan = SongPlan(sections=(verse, chorus, verse))
    encoded = encode(song_from_plan(plan, id="x"))
    last = slice(-5, None)
    np.testing.assert_array_equal(encoded.hints[last, 0], encoded.targets[last])


@given(plain_chords, st.integers(0, 11))
def test_chords_are_relative_to_the_tonic(text, semitones):
    chord = Chord.parse(text)
    assert chord_token(chord, 4) == chord_token(
        chord.transposed(semitones), (4 + semitones) % 12
    )
    assert chord_of(chord_token(chord, 2), Key(2)).root == chord.root


def test_a_bar_that_repeats_its_chord_is_one_chord():
    assert bar_tokens(("C",) * 4, 0) == bar_tokens(("C",), 0)
    assert bar_tokens(("C", "C", "G", "G"), 0) == bar_tokens(("C", "G"), 0)


def test_no_outcome_is_unknown_and_every_kind_has_some():
    assert OUTCOMES.any(axis=1).all()
    for token, (_, name) in enumerate(TOKENS):
        assert name not in ("?", "PAD") or not OUTCOMES[:, token].any()


def test_the_end_of_a_song_is_not_given_away_by_what_is_unknown(tmp_path):
    ends = [{"label": "verse", "start_s": 0.0, "end_s": 20.0}]
    ends += [{"label": "chorus", "start_s": 20.0, "end_s": 44.0}]
    place = list(FEATURES).index("place")
    for timed in (True, False):
        rows = [{k: v for k, v in row.items() if timed or k != "end_s"} for row in ends]
        (song,) = read_annotations([annotated(tmp_path, sections=rows)])
        encoded = encode(song)
        labels = encoded.features[encoded.kinds == KINDS.index("label"), place]
        # Twelve-second buckets after 0, 20 and 44 seconds; 32 is unknown.
        assert list(labels - 33) == ([0, 1, 3] if timed else [0, 32, 32])


def annotated(tmp_path, **changes):
    song = {
        "id": "x:1",
        "source": "harmonix",
        "group": "g",
        "split": "train",
        "tempo_bpm": 100,
        "meter": "4/4",
        "sections": [
            {"label": "silence", "letter": None, "start_s": 0.0, "bars": 0},
            {"label": "verse", "letter": None, "start_s": 1.0, "bars": 8},
            {"label": "chorus", "letter": None, "start_s": 20.0, "bars": None},
        ],
    } | changes
    path = tmp_path / "songs.jsonl"
    path.write_text(json.dumps(song) + "\n")
    return path


def test_what_a_source_does_not_tell_is_not_learned(tmp_path):
    (song,) = read_annotations([annotated(tmp_path)])
    encoded = encode(song)
    known = {
        kind: int(encoded.known[encoded.kinds == number].sum())
        for number, kind in enumerate(KINDS)
    }
    assert known == {
        "meter": 1,
        "tempo": 1,
        "mode": 0,
        # Two labels and the end; silence is no section.
        "label": 3,
        "letter": 0,
        "bars": 1,
        "energy": 0,
        "chord": 0,
    }


def test_a_song_with_chords_is_kept_over_one_without(tmp_path):
    plain = annotated(tmp_path)
    rich = tmp_path / "harmony.jsonl"
    sections = [{"label": "verse", "letter": "A", "bars": [["C"], ["G:7", "C"]]}]
    song = {"id": "x:1", "source": "s", "split": "train", "tonic": "C", "mode": "maj"}
    rich.write_text(json.dumps(song | {"sections": sections}) + "\n")
    for order in ([plain, rich], [rich, plain]):
        (song,) = read_annotations(order)
        assert song.has_chords
    assert read_annotations([plain], split="test") == ()


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"split": "exam"}, "exam"),
        ({"sections": []}, "no sections"),
        ({"sections": [{"label": "rap"}]}, "rap"),
        ({"sections": [{"label": "verse", "bars": [["C"]]}]}, "tonic"),
        ({"tonic": "C", "sections": [{"label": "verse", "bars": [["H"]]}]}, "H"),
        ({"tempo_bpm": -1}, "tempo"),
    ],
)
def test_a_flaw_in_a_file_is_named_with_its_line(tmp_path, change, reason):
    with pytest.raises(RequestError, match=rf"songs.jsonl, line 1: .*{reason}"):
        read_annotations([annotated(tmp_path, **change)])


@pytest.mark.parametrize(
    "key, change",
    [
        ("tonic", {"tonic": 0}),
        ("tonic", {"tonic": "H"}),
        ("meter", {"meter": [4, 4]}),
        ("tempo_bpm", {"tempo_bpm": float("nan")}),
        ("sections.0.letter", {"letter": 1}),
        ("sections.0.bars.0", {"bars": [1, 2]}),
        ("sections.0.bars.0", {"bars": [None, ["C"]]}),
        ("sections.0.bars.1", {"bars": [["C"], []]}),
        ("sections.0.bars", {"bars": -8}),
        ("sections.0.end_s", {"end_s": "1:20"}),
        ("sections.0.end_s", {"end_s": float("nan")}),
        ("sections.0.energy", {"energy": "x"}),
        ("sections.0.energy", {"energy": float("nan")}),
        ("sections.0.tonic_changes.0", {"tonic_changes": [1, "D"]}),
        ("sections.0.tonic_changes.0.0", {"tonic_changes": [[-1, "D"]]}),
    ],
)
def test_what_is_no_music_is_refused_by_line_and_key(tmp_path, key, change):
    if key.startswith("sections"):
        verse = {"label": "verse", "letter": "A", "bars": [["C"], ["G"]]}
        change = {"tonic": "C", "sections": [verse | change]}
    with pytest.raises(RequestError) as refused:
        read_annotations([annotated(tmp_path, **change)])
    assert f"songs.jsonl, line 1: {key} " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_brackets_without_end_are_no_song(tmp_path):
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    with pytest.raises(RequestError, match=r"deep.jsonl, line 1: Invalid JSON"):
        read_annotations([tmp_path / "deep.jsonl"])


def test_a_mark_of_byte_order_and_rare_line_breaks_are_no_part_of_a_song(tmp_path):
    plain = annotated(tmp_path, group="one\u2028two")
    text = json.dumps(json.loads(plain.read_text()), ensure_ascii=False)
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    assert read_annotations([marked]) == read_annotations([plain])


def test_a_change_of_key_lasts_to_the_end_of_its_section(tmp_path):
    verse = {"label": "verse", "bars": [["C"]] * 4, "tonic_changes": [[1, "D"]]}
    rows = [verse, verse | {"tonic": "A", "tonic_changes": None}]
    (song,) = read_annotations([annotated(tmp_path, tonic="C", sections=rows)])
    assert [s.tonics for s in song.sections] == [(0, 2, 2, 2), (9, 9, 9, 9)]
