"""compose-song: a half plan is finished, a bridge composed anew, chords asked in words."""

import json

import pytest

from hierarchy import cli
from structure.plan import SongPlan
from tests.test_cli import run, said


def test_a_song_with_asked_chords_is_written_and_kept_but_for_a_bridge(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    form = "I2 V4 C B4 C"
    chords = "chorus: Am F | C | % | ?"
    asked = ["--form", form, "--chords", chords, "--meter", "6/8", "--seed", 3]
    result = run("compose-song", *asked, "--no-melody", "--out", first, "--json")
    assert result.exit_code == cli.DONE, result.output
    plan = SongPlan.read(first)
    assert plan.meter == "6/8" and plan.bars == 18
    for place in (2, 4):
        assert plan.sections[place].chords[:3] == (("Am", "F"), ("C",), ("C",))
    assert all(section.melody is None for section in plan.sections)
    assert json.loads(result.stdout)["seed"] == 3

    changed = ["--like", first, "--anew", "bridge", "--title", "Other", "--out", second]
    assert run("compose-song", *changed).exit_code == cli.DONE
    new = SongPlan.read(second)
    assert new.title == "Other" and new.sections[3].chords != plan.sections[3].chords
    assert new.sections[:3] == plan.sections[:3] and new.sections[4] == plan.sections[4]


def test_a_half_plan_is_finished_to_the_bar(tmp_path):
    half = {"key": "D", "seed": 12, "sections": [{"label": "verse"}, {"bars": 4}, {}]}
    (tmp_path / "half.json").write_text(json.dumps(half))
    out = tmp_path / "plan.json"
    options = ["--plan", tmp_path / "half.json", "--bars", 21, "--tempo", 99]
    result = run("compose-song", *options, "--out", out)
    assert result.exit_code == cli.DONE, result.output
    plan = SongPlan.read(out)
    assert (plan.key, plan.bars, plan.tempo, plan.seed) == ("D:maj", 21, 99, 12)
    assert plan.sections[1].bars == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ("--anew bridge", "--anew without --like"),
        ("--like plan.json", "--like without --anew"),
        ("--like plan.json --anew solo", "solo"),
        ("--like plan.json --anew verse --key C", "--key with --like"),
        ("--like plan.json --anew verse --plan plan.json", "give one of them"),
        ("--plan plan.json --key F", "says 'C:maj' already"),
        ("--plan plan.json --form V8", "a form, and sections"),
        ("--chords chorus", "a section and its chords fit"),
        ("--chords chorus:H", "a section and its chords fit"),
        ("--form V4 --chords solo:.C", "which is not in the form"),
        ("--form V4[C.E", "other half"),
        ("--bars 8 --minutes 2", "give one of them"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    small_song, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    small_song.plan.write("plan.json")
    words = [
        word.replace(".", " ").replace("plan json", "plan.json")
        for word in options.split()
    ]
    result = run("compose-song", *words, "--out", "out.json")
    assert result.exit_code == cli.REQUEST and message in said(result)
    assert not (tmp_path / "out.json").exists()
