"""Shells can complete what a person types."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from hierarchy.commands import asking
from structure.plan import Meter

ROOT = Path(__file__).parent.parent
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def run(name: str, *arguments: str, **environment: str) -> str:
    """What a command prints, in an environment."""
    module, _, function = COMMANDS[name].partition(":")
    code = f"import sys; sys.argv[0] = '{name}'; from {module} import {function}; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}{function}()", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def completed(line: str) -> list[str]:
    """What a shell offers when a person has typed so far."""
    name, *words = line.split(" ")
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    return run(name, **{variable: "complete_bash"} | words).split()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_every_command_are_completed(name):
    assert "--help" in completed(f"{name} --")


def test_what_fits_an_option_is_offered():
    assert completed("render-song --form aa") == ["aaba"]
    assert "lofi" in completed("render-song --style ")
    assert completed("compose-song --meter 12") == ["12/8"]
    assert asking._meters() == list(get_args(Meter))


def test_completion_is_installed_for_a_shell_by_one_option(tmp_path):
    # What shell asks is found out otherwise; a test has none.
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    run("render-song", "--install-completion", "bash", **home)
    written = tmp_path / ".bash_completions" / "render-song.sh"
    assert "complete -o default" in written.read_text()
    assert str(written) in (tmp_path / ".bashrc").read_text()
