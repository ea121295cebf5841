"""Who may know of whom, and what a command may cost before it is asked to work."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = [
    "material",
    "training",
    "micro",
    "macro",
    "export",
    "album",
    "studio",
    "commands",
]
"""The folders of hierarchy; each imports only those before it."""

COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def imports(file: Path) -> set[str]:
    """The modules that a file names in its imports, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def python_files(*folders: str) -> list[Path]:
    return [
        file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_structure_never_imports_hierarchy():
    files = python_files("structure")
    assert files
    for file in files:
        offenders = {name for name in imports(file) if name.startswith("hierarchy")}
        assert not offenders, f"{file.relative_to(ROOT)} imports {offenders}"


@pytest.mark.parametrize("layer", LAYERS)
def test_each_folder_of_hierarchy_imports_only_those_before_it(layer):
    later = LAYERS[LAYERS.index(layer) + 1 :] + ["cli"] * (layer != "commands")
    for file in python_files(f"hierarchy/{layer}"):
        for name in imports(file):
            top, _, rest = name.partition(".")
            if top == "hierarchy":
                place = rest.partition(".")[0]
                assert place not in later, f"{file.relative_to(ROOT)} imports {name}"


def test_every_folder_of_hierarchy_has_its_place():
    places = {file.parent.name for file in (ROOT / "hierarchy").glob("*/__init__.py")}
    assert places - {"configs", "pretrained"} <= set(LAYERS)


def test_nothing_that_could_run_code_is_read_from_files():
    for file in python_files("structure", "hierarchy"):
        names = {name.partition(".")[0] for name in imports(file)}
        assert not names & {"pickle", "cloudpickle", "dill", "joblib", "torch"}, file


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_there_before_anything_heavy_is_imported(name):
    module, _, function = COMMANDS[name].partition(":")
    code = f"""
import sys
sys.argv = ["{name}", "--help"]
from {module} import {function}
try:
    {function}()
finally:
    heavy = {{"jax", "librosa", "matplotlib", "scipy", "numba"}} & set(sys.modules)
    assert not heavy, heavy
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert f"Usage: {name}" in shown.stdout
    assert "Examples" in shown.stdout and shown.stdout.count(f"{name} ") >= 3
