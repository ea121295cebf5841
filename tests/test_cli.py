"""The commands: what they refuse, with which words and exit codes, and what they leave."""

import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hierarchy import cli
from hierarchy.commands import asking, training
from hierarchy.configs import find_config, preset_names
from structure.errors import RequestError

ROOT = Path(__file__).parent.parent
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def run(name, *arguments):
    """Run a command in this process; its result has exit_code, stdout and stderr."""
    module, _, function = COMMANDS[name].partition(":")
    app = getattr(importlib.import_module(module), function)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result):
    """What was printed for the person, on one line and without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.fixture
def plan_file(small_song, tmp_path):
    path = tmp_path / "plan.json"
    small_song.plan.write(path)
    return path


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("render-song --out song.mp3", "'.mp3'; it takes .wav, .flac, .ogg"),
        ("render-song --out song", "has no ending; it takes .wav"),
        ("render-song --out folder.wav", "is a folder; it takes the name of a file"),
        ("render-song --out a.wav --picture a.jpg", "it takes .png, .svg"),
        ("render-song --out a.wav --date tomorrow", '"2026-11-21"'),
        ("render-song --out plan.json/a.wav", "is a file, not a folder"),
        ("render-song --out a.wav --plan plan.json --key C", "--key with --plan"),
        ("render-song --out a.wav --plan none.json", "none.json"),
        ("render-song --out a.wav --freedom 2", "'--freedom'"),
        ("render-song", "'--out'"),
        ("render-song --out a.wav --redo bridge", "--redo needs --plan"),
        ("render-song --out a.wav --plan plan.json --redo solo", "verse 1, chorus 1"),
        ("render-song --out a.wav --other-gestures", "needs --redo"),
        ("render-song --out a.wav --export mp3", "there are stems, session"),
        ("render-song --out a.wav --bits 12", "16 or 24"),
        ("render-song --out a.wav --arrangement a.jpg", "it takes .png, .svg"),
        ("compose-song --out plan.txt", "'.txt'; it takes .json"),
        ("compose-song --out p.json --form waltz", "waltz"),
        ("compose-song --out p.json --key H", "H"),
        ("compose-song --out p.json --tempo 1000", "1000"),
        ("compose-song --out p.json --minutes -1", "-1"),
        ("compose-song --out p.json --meter 7/13", "7/13"),
        ("compose-song --out p.json --seed -3", "'--seed'"),
        ("compose-song --out p.json --sequencer nowhere", "nowhere"),
        ("prepare-corpus nowhere --out corpus", "nowhere does not exist"),
        ("prepare-corpus folder.wav --out plan.json", "it takes the name of a folder"),
        ("prepare-corpus folder.wav --out corpus", "folder.wav"),
        ("train-grains nowhere --out m --config tiny", "no config file tiny"),
        ("train-grains nowhere --out m --from nobody", "no model in nobody"),
        ("train-grains nowhere --out m --resume", "no training has begun in m"),
        ("train-sequencer --out m", "nothing to learn from"),
        ("train-sequencer --out m --annotations none.jsonl", "none.jsonl"),
        ("sample-grains --out plan.json", "it takes the name of a folder"),
        ("sample-grains --out g --count 0", "'--count'"),
        ("sample-grains --out g --like purple", "purple"),
        ("sample-grains --out g --free --like A:min", "--free"),
    ],
)
def test_what_cannot_be_is_refused_with_code_2_and_the_reason(
    arguments, message, plan_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("folder.wav").mkdir()
    before = sorted(tmp_path.rglob("*"))
    result = run(*arguments.split())
    assert result.exit_code == cli.REQUEST, result.stderr
    assert message in said(result)
    assert "Traceback" not in result.stderr and not result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_form_becomes_a_plan_that_can_be_read_again(tmp_path):
    from structure.plan import SongPlan

    out = tmp_path / "plan.json"
    result = run(
        *("compose-song", "--form", "V8 C8 V8 C8", "--key", "A:min", "--tempo", 84),
        *("--seed", 7, "--title", "Rain", "--out", out, "--json"),
    )
    assert result.exit_code == cli.DONE, result.stderr
    plan = SongPlan.read(out)
    assert (plan.key, plan.tempo, plan.seed, plan.title) == ("A:min", 84, 7, "Rain")
    assert [(s.label, s.bars) for s in plan.sections] == 2 * [
        ("verse", 8),
        ("chorus", 8),
    ]
    answer = json.loads(result.stdout)
    assert answer["plan"] == str(out)
    assert answer["seconds"] == pytest.approx(plan.seconds, abs=1e-3)


def test_equal_seeds_give_equal_plans_and_no_seed_gives_another(tmp_path):
    texts = []
    for number, seed in enumerate([3, 3, 4, None]):
        out = tmp_path / f"{number}.json"
        seeded = [] if seed is None else ["--seed", seed]
        assert run("compose-song", "--out", out, *seeded).exit_code == cli.DONE
        texts.append(out.read_text())
    assert texts[0] == texts[1] and len(set(texts)) == 3


def test_a_plan_comes_with_its_picture(tmp_path):
    picture = tmp_path / "plan.png"
    result = run("compose-song", "--out", tmp_path / "p.json", "--picture", picture)
    assert result.exit_code == cli.DONE, result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def renders_at_once(small_song, monkeypatch):
    """render-song with a model that needs no sampling: the small song itself."""
    from types import SimpleNamespace

    from hierarchy.material.audio import write_waveform
    from hierarchy.micro.grains import GrainModel

    def render(plan, model, *, progress, **dials):
        progress(1, 1)
        waveform, rate = small_song.waveform, small_song.sample_rate

        def write(path, *, bits, tags, progress):
            tags = {"title": plan.title} | tags
            write_waveform(path, waveform, rate, subtype=f"PCM_{bits}", tags=tags)

        return SimpleNamespace(
            waveform=waveform,
            sample_rate=rate,
            seconds=waveform.shape[1] / rate,
            plan=plan,
            master=SimpleNamespace(loudness=-14.0),
            write=write,
        )

    monkeypatch.setattr("hierarchy.macro.rendering.render_song", render)
    monkeypatch.setattr(GrainModel, "default", classmethod(lambda cls: None))


def test_a_song_comes_with_its_plan_and_picture(renders_at_once, plan_file, tmp_path):
    from hierarchy.material.audio import inspect_audio, read_tags
    from structure.plan import SongPlan

    out, picture = tmp_path / "songs" / "rain.flac", tmp_path / "rain.svg"
    result = run(
        *("render-song", "--plan", plan_file, "--out", out, "--picture", picture),
        *("--title", "Rain", "--seed", 9, "--artist", "Me", "--track", 3, "--json"),
    )
    assert result.exit_code == cli.DONE, result.stderr
    assert inspect_audio(out).seconds == pytest.approx(32)
    tags = read_tags(out)
    assert (tags["title"], tags["artist"], tags["tracknumber"]) == ("Rain", "Me", "3")
    plan = SongPlan.read(out.with_name("rain.plan.json"))
    assert (plan.title, plan.seed) == ("Rain", 9)
    assert picture.read_text().startswith("<?xml")
    answer = json.loads(result.stdout)
    assert answer["song"] == str(out) and answer["seconds"] == pytest.approx(32)
    assert [s["start"] for s in answer["sections"]] == [0, 8, 16, 24]


def test_a_song_appears_whole_or_not_at_all(
    renders_at_once, plan_file, tmp_path, monkeypatch
):
    def no_ink(*_):
        raise OSError("no space left on the device")

    monkeypatch.setattr("hierarchy.export.pictures.draw_song", no_ink)
    out = tmp_path / "song.wav"
    arguments = ("--plan", plan_file, "--out", out, "--picture", tmp_path / "song.png")
    result = run("render-song", *arguments)
    assert result.exit_code == cli.FAULT
    assert sorted(tmp_path.iterdir()) == [plan_file]


def failing_command(error):
    def break_down():
        """Fail."""
        raise error

    return cli.command(break_down)


@pytest.mark.parametrize(
    "error, code, message",
    [
        (RequestError("seven; five to six fit"), cli.REQUEST, "seven; five to six fit"),
        (ZeroDivisionError("oh"), cli.FAULT, "a fault of macrotime"),
        (OSError(28, "No space left", "a.wav"), cli.FAULT, "a.wav: No space left"),
        (OSError("neither"), cli.FAULT, "a fault of macrotime"),
        (KeyboardInterrupt(), cli.INTERRUPTED, "stopped"),
    ],
)
def test_how_a_command_ends_says_whose_mistake_it_was(error, code, message):
    result = CliRunner().invoke(failing_command(error), [])
    assert result.exit_code == code
    assert f"break-down: {message}" in said(result) or message in said(result)
    assert ("Traceback" in said(result)) == (message == "a fault of macrotime")


def test_progress_is_lines_where_nobody_watches(capsys):
    with cli.stages("Starting") as stage:
        report = stage("Making grains")
        for done in range(101):
            report(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["Starting ...", "Making grains ..."]
    assert len(lines) == 12 and "100 of 100" in lines[-1]


def test_progress_is_a_bar_from_the_start_where_somebody_watches(monkeypatch):
    import io

    import rich.console

    screen = io.StringIO()
    terminal = rich.console.Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(cli, "console", terminal)
    with cli.stages("Starting") as stage:
        assert "Starting" in screen.getvalue()
        stage("Making grains")(5, 10)
        stage.note("loss 1.5")
    assert "Making grains" in screen.getvalue() and "loss 1.5" in screen.getvalue()


def test_a_preset_is_found_by_name_and_a_file_by_path(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text("[fit]\nsteps = 1\n")
    assert find_config(own) == own
    for name in preset_names():
        assert find_config(name).name == f"{name}.toml"
    with pytest.raises(RequestError, match=r"no config file huge; .* one of"):
        find_config("huge")


def test_every_preset_opens_with_its_command():
    assert preset_names()
    for name in preset_names():
        opening, _, _ = find_config(name).read_text().partition("[")
        assert re.search(r"^# +train-(grains|sequencer) ", opening, re.MULTILINE), name


def test_a_training_is_not_overwritten_by_accident(tmp_path):
    training.check_out(tmp_path, resume=False)
    with pytest.raises(RequestError, match="no training has begun"):
        training.check_out(tmp_path, resume=True)
    (tmp_path / "training" / "checkpoints").mkdir(parents=True)
    training.check_out(tmp_path, resume=True)
    with pytest.raises(RequestError, match="add --resume"):
        training.check_out(tmp_path, resume=False)


def test_what_was_asked_is_named_as_it_is_typed():
    asked = asking.Asked(form="aaba", key=None, tempo=90, minutes=None, meter=None)
    assert asked.names() == "--form, --tempo"


def test_a_seed_that_was_not_asked_for_is_another_each_time():
    assert cli.chosen_seed(5) == 5
    assert len({cli.chosen_seed(None) for _ in range(20)}) == 20


def test_commands_are_typer_apps_so_that_shells_find_them():
    for place in COMMANDS.values():
        module, _, function = place.partition(":")
        assert isinstance(
            getattr(importlib.import_module(module), function), typer.Typer
        )
