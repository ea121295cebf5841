"""The notebooks run from top to bottom, on settings that are small."""

import ast
import importlib
import importlib.util
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SMALL = {
    # Few steps and bars: what is learnt in them is not the question here.
    "MACROTIME_STEPS": "4",
    "MACROTIME_MINUTES": "0.25",
    "MACROTIME_SONGS": str(FOLDER / "songs.jsonl"),
}
MOST_BYTES = 1_500_000


def cells(path: Path, kind: str) -> list[dict]:
    """The cells of a notebook that are of one kind."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def compiled_programs(tmp_path_factory):
    """A folder for what XLA compiles, which the notebooks share."""
    return tmp_path_factory.mktemp("compiled")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path, compiled_programs, tmp_path, monkeypatch
):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MACROTIME_CACHE", str(compiled_programs))
    # From a folder of its own a notebook finds the packages as this test does.
    home = Path(importlib.util.find_spec("hierarchy").origin).parent.parent
    monkeypatch.setenv("PYTHONPATH", str(home))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in said if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in said)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_what_it_showed_in_few_bytes(path):
    code = cells(path, "code")
    assert any(cell["outputs"] for cell in code), "it was never run"
    assert all(cell["execution_count"] for cell in code)
    assert path.stat().st_size < MOST_BYTES
    opening = "".join(cells(path, "markdown")[0]["source"])
    assert re.match(r"# \w.*\n\n\S", opening), "a title, and what it is about"
    shown = path.read_text(encoding="utf-8")
    assert not re.search(r"/(work|root|home)/", shown), "a path of its maker's"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_what_the_packages_hold(path):
    source = "\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    names = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    ours = [(m, n) for m, n in names if m.split(".")[0] in ("hierarchy", "structure")]
    for module, name in ours:
        assert not name.startswith("_"), f"{name} of {module} is private"
        assert hasattr(importlib.import_module(module), name)
    public = [m for m, _ in ours if m in ("hierarchy", "structure")]
    assert len(public) >= 0.5 * len(ours)


def test_the_notebooks_are_numbered_without_a_gap():
    numbers = [int(path.stem[:2]) for path in NOTEBOOKS]
    assert numbers == list(range(1, len(NOTEBOOKS) + 1)) and numbers
