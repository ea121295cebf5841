"""The README: its commands can be typed, its links lead somewhere, its code runs."""

import ast
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "hierarchy" / "pretrained").glob("*/README.md")),
    ROOT / "structure" / "pretrained" / "README.md",
]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed_commands():
    """Every line of every page that calls one of our commands, with its place."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in SCRIPTS:
                    if ">" in words:
                        words = words[: words.index(">")]
                    yield pytest.param(words, id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("words", list(typed_commands()))
def test_a_command_on_a_page_is_one_that_can_be_typed(words):
    module, _, function = SCRIPTS[words[0]].partition(":")
    command = typer.main.get_command(getattr(importlib.import_module(module), function))
    # Reads the line as the command would, and does nothing.
    assert command.make_context(words[0], words[1:]).params


def test_every_command_is_shown_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in SCRIPTS if name not in text]
    assert missing in ([], ["score-sequencer"])


def test_what_is_checked_is_what_the_readme_says():
    install, *_, test = blocks(ROOT / "README.md", "sh")
    checked = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install" in install and "render-song" in install
    for line in test.splitlines():
        # Quietly, and within an environment of its own; otherwise the same.
        assert line in checked.replace("pip install --quiet", "pip install")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tree_in_the_readme_is_the_tree():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## What is where")[1].split("\n## ")[0]
    parent, listed = None, set()
    for line in re.findall(r"^    ( *\S.*)$", section, re.MULTILINE):
        names = re.match(r" *(.*?)(?:  +|$)", line)[1].split()
        if line.startswith(" "):
            names = [f"{parent}{name}" for name in names]
        else:
            parent = names[0]
        for name in names:
            assert (ROOT / name).exists(), f"{name} is in the README alone"
            listed.add(name)
    for folder in ("hierarchy", "."):
        for path in (ROOT / folder).iterdir():
            if path.is_dir() and any(path.glob("*.*")) and path.name[0] not in "._":
                name = path.relative_to(ROOT).as_posix() + "/"
                if name not in ("work/", "build/", "dist/"):
                    assert name in listed, f"{name} is not in the README"


def test_the_python_on_our_pages_can_be_imported():
    for page in PAGES:
        for block in blocks(page, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module)
                    for alias in node.names:
                        assert hasattr(module, alias.name), f"{page.name}: {alias.name}"


def test_the_citation_and_the_package_speak_of_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.MULTILINE)
    assert re.search(r"^cff-version: 1\.2\.0$", citation, re.MULTILINE)
    assert re.search(r"^license: Apache-2\.0$", citation, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version}" in changes
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "Version 2.0" in licence
