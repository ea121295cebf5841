"""How many bits a song costs, and the command that says so."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hierarchy.commands.score_sequencer import main
from structure.annotations import read_annotations
from structure.counting import counted_bits
from structure.encoding import encode
from structure.scoring import SCORED, Costs, measure, score, sequencer_bits, summary
from structure.sequencer import Sequencer, SequencerConfig
from structure.vocabulary import KINDS, OUTCOMES, PARTS

TINY = SequencerConfig(
    width=16, layers=1, heads=2, hidden=16, hint_width=4, recall_width=4, chord_hidden=8
)
VERSE = [["C"], ["F", "G"], ["A:min"], ["G"]]
CHORUS = [["F"], ["G"], ["C"], ["C", "C", "F", "G"]]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def harmony(path, songs=6, last="A"):
    form = [("verse", "A", VERSE), ("chorus", "B", CHORUS), ("verse", last, VERSE)]
    sections = [dict(zip(("label", "letter", "bars"), s, strict=True)) for s in form]
    return written(
        path,
        [
            {
                "id": f"song {number}",
                "source": "mcgill-billboard",
                "split": ("train", "test")[number % 2],
                "tonic": "C",
                "mode": "maj",
                "meter": "4/4",
                "tempo_bpm": 90 + 10 * number,
                "sections": sections[: 2 + number % 2],
            }
            for number in range(songs)
        ],
    )


def evenly(_, song):
    """What a die costs that has a side for each outcome of the kind."""
    sides = OUTCOMES.sum(axis=1)[song.kinds]
    return Costs(np.log2(sides), np.log2(sides))


def test_a_die_costs_the_logarithm_of_its_sides(tmp_path):
    songs = read_annotations([harmony(tmp_path / "h.jsonl")])
    scores = score(evenly, songs)
    for kind in ("label", "letter", "bars"):
        sides = OUTCOMES[KINDS.index(kind)].sum()
        assert scores[kind].bits == pytest.approx(np.log2(sides))
        assert scores[kind].low == pytest.approx(scores[kind].high)
    # A bar's division is paid for and is no chord.
    chords = [token for token in encode(songs[0]).targets if token in PARTS]
    assert len(chords) == 2
    sides = OUTCOMES[KINDS.index("chord")].sum()
    assert scores["chord"].bits == pytest.approx(np.log2(sides) * 14 / 12, rel=0.02)


def test_a_section_that_returns_is_not_new(tmp_path):
    songs = read_annotations([harmony(tmp_path / "h.jsonl")], split="test")
    scores = score(evenly, songs)
    new = len(VERSE) + 1 + len(CHORUS) + 3
    assert scores["new_letter"].outcomes == new * len(songs)
    assert scores["chord"].outcomes == (new + len(VERSE) + 1) * len(songs)


def test_a_variation_is_a_new_letter_and_no_new_idea(tmp_path):
    (song,) = read_annotations(
        [harmony(tmp_path / "h.jsonl", songs=2, last="A'")], split="test"
    )
    scores = score(evenly, [song])
    verse, chorus = len(VERSE) + 1, len(CHORUS) + 3
    assert scores["new_letter"].outcomes == 2 * verse + chorus
    assert scores["new_idea"].outcomes == scores["timed_new_idea"].outcomes
    assert scores["new_idea"].outcomes == verse + chorus


def test_knowing_how_bars_are_divided_helps_and_divisions_are_free_then(tmp_path):
    songs = read_annotations([harmony(tmp_path / "h.jsonl")])
    sequencer = Sequencer.untrained(TINY, seed=1)
    encoded = encode(songs[1])
    for foresee in (sequencer_bits(sequencer), counted_bits(songs[:1], songs[2:3])):
        costs = foresee(songs[1], encoded)
        chords = encoded.kinds == KINDS.index("chord")
        divides = np.isin(encoded.targets, list(PARTS))
        assert (costs.bits[divides] > 0).all()
        assert (costs.timed[divides] == 0).all()
        assert (costs.timed[chords & ~divides] <= costs.bits[chords & ~divides]).all()
        # What is left of the odds of a first chord once no division can be.
        assert costs.timed[encoded.first_chord] > 0


def test_the_interval_tells_how_much_songs_differ():
    alike = summary([{**blank(), "label": (20.0, 10)}] * 9)["label"]
    apart = summary(
        [{**blank(), "label": (bits, 10)} for bits in np.linspace(0, 40, 9)]
    )["label"]
    assert alike.low == alike.bits == alike.high == 2.0
    assert apart.low < apart.bits < apart.high


def blank():
    return dict.fromkeys(SCORED, (0.0, 0))


def test_songs_are_measured_one_by_one(tmp_path):
    songs = read_annotations([harmony(tmp_path / "h.jsonl")])
    told = []
    sums = measure(evenly, songs, progress=lambda *now: told.append(now))
    assert told == [(number, len(songs)) for number in range(len(songs))]
    assert len(sums) == len(songs)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path):
    from safetensors.numpy import save_file

    sequencer = Sequencer.untrained(TINY, seed=0)
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"config": vars(TINY)}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(sequencer.weights, folder / "weights.safetensors")
    return folder


def test_the_command_says_the_same_as_the_library(tmp_path, model):
    file = harmony(tmp_path / "h.jsonl")
    forms = written(tmp_path / "f.jsonl", [form(0), form(1, **{"class": "jazz"})])
    result = run(
        "--model", model, "--forms", forms, "--harmony", file, "--baseline", "--json"
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["songs"] == {"forms": 2, "harmony": 3, "pop": 1}
    songs = read_annotations([file], split="test")
    expected = score(sequencer_bits(Sequencer.read(model)), songs)
    assert set(said["sequencer"]["harmony"]) == set(SCORED[3:])
    found = said["sequencer"]["harmony"]["new_letter"]
    assert found["bits"] == pytest.approx(expected["new_letter"].bits)
    assert found["low"] <= found["bits"] <= found["high"]
    assert set(said["counting"]["forms"]) == {"label", "bars"}


def form(number, **changes):
    labels = ("intro", "verse", "chorus", "verse", "chorus", "outro")
    return {
        "id": f"form {number}",
        "source": "salami",
        "class": "popular",
        "split": "test",
        "sections": [{"label": label, "bars": 8} for label in labels],
    } | changes


def lasting(bars):
    section = {"label": "verse", "letter": "A", "bars": [["C"]] * bars}
    return form(0, id=f"of {bars} bars", tonic="C", sections=[section])


def test_songs_that_are_too_long_to_be_scored_are_named_and_not_counted(
    tmp_path, model
):
    file = written(tmp_path / "h.jsonl", [form(0), lasting(64), lasting(65)])
    asked = ("--model", model, "--harmony", file, "--forms", file)
    said = json.loads(run(*asked, "--json").stdout)
    assert said["songs"]["harmony"] == 1 and said["songs"]["forms"] == 3
    assert said["left_out"] == {
        "no chords in some section": ["form 0"],
        "a section of more than 64 bars": ["of 65 bars"],
    }
    chord, bars = (
        said["sequencer"][group][row]
        for group, row in (("harmony", "chord"), ("forms", "bars"))
    )
    assert (chord["songs"], chord["outcomes"]) == (1, 64)
    assert (bars["songs"], bars["outcomes"]) == (2, 7)
    *rows, last = run(*asked).stdout.splitlines()
    assert last == (
        "chords of 1 of 3 songs; 1 has no chords in some section, "
        "1 has a section of more than 64 bars"
    )
    of = {row.split("  ")[0]: row.split("  ")[-1] for row in rows}
    assert of["chords"] == "1 of 3 songs"
    assert of["bars of a section, 1 to 64"] == "2 of 3 songs"
    assert of["section labels and the end"] == "3 songs"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "give --forms, --harmony or both"),
        (["--forms", "f.jsonl", "--split", "exam"], "train, valid, test and all"),
        (["--forms", "f.jsonl", "--split", "valid"], "0 train, 0 valid, 1 test"),
        (["--forms", "f.jsonl", "--baseline"], "no song of the split train"),
        (
            ["--harmony", "f.jsonl"],
            "none of 1 songs can be scored; 1 has no chords in some section",
        ),
        (
            ["--harmony", "long.jsonl"],
            "none of 1 songs can be scored; 1 has a section of more than 64 bars",
        ),
        (["--harmony", "none.jsonl"], "none.jsonl"),
    ],
)
def test_what_cannot_be_scored_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "f.jsonl", [form(0)])
    written(tmp_path / "long.jsonl", [lasting(65)])
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
