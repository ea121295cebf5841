"""The documentation: it builds, it is whole, and it needs nothing from elsewhere."""

import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typer.models

import hierarchy
import structure
from structure.plan import Section, SongPlan

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

needs_sphinx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sphinx", "furo", "myst_parser"))),
    reason="the documentation is built with the extra [docs]",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as docs/conf.py says."""
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [*(sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning"), DOCS, out],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return out


@pytest.fixture(scope="module")
def made_pages():
    """The module that reads pages off the code."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("made_pages")
    finally:
        sys.path.remove(str(DOCS))


@needs_sphinx
def test_the_site_builds_without_a_warning_and_fetches_nothing(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", text)
        assert not [tag for tag in fetched if re.search(r'="(?:https?:)?//', tag)], page
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text(encoding="utf-8"), sheet


@needs_sphinx
def test_every_command_option_and_public_name_is_on_the_site(site, made_pages):
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for name, function in made_pages.all_commands().items():
        assert f"<h2>{name}<" in commands
        hints = typing.get_type_hints(function, include_extras=True)
        for option in inspect.signature(function).parameters:
            info = typing.get_args(hints[option])[1]
            if isinstance(info, typer.models.OptionInfo):
                flags = info.param_decls or ["--" + option.replace("_", "-")]
                assert all(f">{flag}<" in commands for flag in flags), (name, flags)
    for module in (hierarchy, structure):
        page = (site / "api" / f"{module.__name__}.html").read_text(encoding="utf-8")
        for name in module.__all__:
            assert re.search(rf'id="{module.__name__}\.(\w+\.)*{name}"', page), name


@needs_sphinx
def test_a_plan_is_what_its_schema_says_and_a_slip_is_not(site):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((site / "plan.schema.json").read_text(encoding="utf-8"))
    verse = Section(label="verse", letter="A", chords=(("A:min",), ("F", "G")))
    plan = json.loads(SongPlan(key="A:min", sections=(verse,)).to_json())
    jsonschema.validate(plan, schema)
    for slip in ({"tempo": 900}, {"temp": 90}, {"meter": "7/13"}, {"sections": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(plan | slip, schema)


@pytest.mark.parametrize("module", [hierarchy, structure], ids=lambda m: m.__name__)
def test_every_public_name_is_typed_and_says_what_it_does(module):
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            assert len(inspect.getdoc(value)) > 20, name
        elif inspect.isfunction(value):
            assert len(inspect.getdoc(value)) > 20, name
            hints = value.__annotations__
            for parameter in inspect.signature(value).parameters:
                assert parameter in hints, f"{name}: {parameter} has no type"
            assert "return" in hints, f"{name} does not say what it returns"


@needs_sphinx
def test_every_key_of_a_preset_and_of_a_plan_says_what_it_means(made_pages):
    for sections in made_pages.SECTIONS.values():
        for _, place in sections:
            module, _, name = place.partition(":")
            kind = getattr(importlib.import_module(module), name)
            meanings = made_pages.field_meanings(kind)
            assert meanings and all(meanings.values()), (name, meanings)
    for kind in (SongPlan, Section):
        assert made_pages.attributes(kind).keys() == kind.model_fields.keys()


@needs_sphinx
def test_a_docstring_of_ours_becomes_one_that_sphinx_reads():
    sys.path.insert(0, str(DOCS))
    try:
        from docstrings import translated
    finally:
        sys.path.remove(str(DOCS))
    ours = [
        "Turn `bars` into *beats*.",
        "",
        "    out/a.json   what came",
        "",
        "steps: how many.",
        "rate, gain: of it,",
        "    and more.",
    ]
    assert translated(ours) == [
        r"Turn ``bars`` into \*beats\*.",
        "",
        "::",
        "",
        "    out/a.json   what came",
        "",
        "Attributes:",
        "    steps: how many.",
        "    rate, gain: of it,",
        "        and more.",
    ]
