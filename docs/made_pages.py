"""What a page can ask to be read off the code, so that the two cannot differ.

    ```{made} commands
    ```

The argument is the name of one of the functions in `PAGES`; what follows it goes to
the function.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path

import typer.models
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent


def setup(app):
    """Add the directive, and the schema as a file to download."""
    app.add_directive("made", Made)
    app.connect("build-finished", _write_schema)
    return {"parallel_read_safe": True}


class Made(SphinxDirective):
    """Puts a page that was made into the page that asks for it."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the Markdown and have it read as if it stood there."""
        page, *rest = self.arguments
        text = PAGES[page](*rest)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _write_schema(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        text = json.dumps(plan_schema(), indent=2) + "\n"
        Path(app.outdir, "plan.schema.json").write_text(text, encoding="utf-8")


# ---- Commands --------------------------------------------------------------------


def all_commands() -> dict[str, Callable]:
    """The function behind every command, by the name that a person types."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for name, place in sorted(about["project"]["scripts"].items()):
        module, _, attribute = place.partition(":")
        app = getattr(importlib.import_module(module), attribute)
        found[name] = inspect.unwrap(app.registered_commands[0].callback)
    return found


def commands() -> str:
    """The help of every command, as Markdown."""
    return "\n\n".join(
        f"## {name}\n\n{_command(one)}" for name, one in all_commands().items()
    )


def _command(function: Callable) -> str:
    prose, _, examples = inspect.getdoc(function).partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    hints = typing.get_type_hints(function, include_extras=True)
    rows = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        default = parameter.default
        flags = _flags(name, info)
        rows.append((flags, _takes(kind, info), _says(info, default)))
    table = _table(("option", "takes", "says"), rows)
    return "\n\n".join([prose.strip(), "```sh\n" + "\n".join(lines) + "\n```", table])


def _flags(name: str, info: typer.models.ParameterInfo) -> str:
    if isinstance(info, typer.models.ArgumentInfo):
        return f"`{info.metavar or name.upper()}`"
    flags = info.param_decls or ("--" + name.replace("_", "-"),)
    return ", ".join(f"`{flag}`" for flag in flags)


def _takes(kind: object, info: typer.models.ParameterInfo) -> str:
    inner = [one for one in typing.get_args(kind) if one is not type(None)] or [kind]
    names = {str: "text", int: "integer", float: "number", Path: "path", bool: ""}
    said = names.get(inner[0], "")
    if typing.get_origin(inner[0]) is list or typing.get_origin(kind) is list:
        said = "paths"
    low, high = info.min, info.max
    if low is not None and high is not None:
        said += f", {low:g} to {high:g}"
    elif low is not None:
        said += f", from {low:g}"
    return said


def _says(info: typer.models.ParameterInfo, default: object) -> str:
    text = " ".join((info.help or "").split())
    if default is inspect.Parameter.empty:
        text += " *Required.*"
    elif isinstance(default, str | int | float) and not isinstance(default, bool):
        text += f" *Default: {default}.*"
    return text.strip()


# ---- Presets ---------------------------------------------------------------------

SECTIONS = {
    "train-grains": (
        ("model", "hierarchy.micro.wavenet:WaveNetConfig"),
        ("lessons", "hierarchy.micro.learning:LessonConfig"),
        ("fit", "hierarchy.training.recipe:FitConfig"),
        ("book", "hierarchy.micro.learning:BookConfig"),
    ),
    "train-sequencer": (
        ("model", "structure.sequencer:SequencerConfig"),
        ("data", "hierarchy.macro.learning:SequencerData"),
        ("fit", "hierarchy.training.recipe:FitConfig"),
    ),
}
"""The sections of a preset, and the dataclass that each fills."""


def configs() -> str:
    """What a preset may say, section by section, as Markdown; and the presets."""
    parts = []
    for command, sections in SECTIONS.items():
        parts.append(f"## Presets of {command}")
        for section, place in sections:
            module, _, name = place.partition(":")
            kind = getattr(importlib.import_module(module), name, None)
            if kind is not None:
                parts += [f"### [{section}] of {command}", _fields(kind)]
    folder = ROOT / "hierarchy" / "configs"
    parts.append("## The presets as they are")
    for file in sorted(folder.glob("*.toml")):
        parts += [f"### {file.stem}", f"```toml\n{file.read_text(encoding='utf-8')}```"]
    return "\n\n".join(parts)


def _fields(kind: type) -> str:
    said = field_meanings(kind)
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = "" if default is dataclasses.MISSING else f"`{default}`"
        rows.append((f"`{field.name}`", f"`{field.type}`", shown, said[field.name]))
    opening = inspect.cleandoc(kind.__doc__).split("\n\n")[0].replace("\n", " ")
    return opening + "\n\n" + _table(("key", "type", "default", "means"), rows)


def field_meanings(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass, or the comment beside a field, says of it.

    Raises:
        KeyError: if a field is described in neither place and its name is not enough.
    """
    said: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(kind.__doc__).splitlines():
        match = re.match(r" *([a-z_][\w, ]*): (\S.*)", line)
        if match and all(part in _names(kind) for part in match[1].split(", ")):
            names = match[1].split(", ")
            said |= dict.fromkeys(names, match[2])
        elif names and line.startswith(" "):
            said |= {name: f"{said[name]} {line.strip()}" for name in names}
        else:
            names = []
    for line in inspect.getsource(kind).splitlines():
        match = re.match(r" +(\w+): [^#]*# +(.*)", line)
        if match and match[1] in _names(kind):
            said.setdefault(match[1], match[2])
    return {name: said.get(name, "") for name in _names(kind)}


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


# ---- Plans -----------------------------------------------------------------------


def plan_schema() -> dict:
    """The JSON schema of a plan, as pydantic has it."""
    from structure.plan import SongPlan

    return SongPlan.model_json_schema(mode="validation")


def schema() -> str:
    """What a plan may say, as Markdown."""
    whole = plan_schema()
    parts = ["## The song", _properties(whole)]
    for name, part in whole.get("$defs", {}).items():
        has_keys = "properties" in part
        parts += [f"## {name}", _properties(part) if has_keys else _json_type(part)]
    parts += [
        "## The schema",
        'For editors and programs, as <a href="plan.schema.json">plan.schema.json</a>:',
        "```json\n" + json.dumps(whole, indent=1) + "\n```",
    ]
    return "\n\n".join(parts)


def _properties(part: dict) -> str:
    from structure import plan

    # pydantic keeps a class' docstring as the description of its object.
    meanings = attributes(getattr(plan, part["title"]))
    rows = []
    for name, value in part["properties"].items():
        default = value.get("default")
        shown = f"`{json.dumps(default)}`" if "default" in value else "required"
        rows.append((f"`{name}`", _json_type(value), shown, meanings.get(name, "")))
    return _table(("key", "takes", "default", "means"), rows)


def attributes(kind: type) -> dict[str, str]:
    """What a model's docstring says of each of its fields."""
    said: dict[str, str] = {}
    name = None
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        match = re.match(r" {4}(\w+(?:, \w+)*): (\S.*)", line)
        if match:
            name = match[1]
            said |= dict.fromkeys(name.split(", "), match[2])
        elif name and line.startswith("     "):
            said |= {one: f"{said[one]} {line.strip()}" for one in name.split(", ")}
        else:
            name = None
    return said


def _json_type(value: dict) -> str:
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "prefixItems" in value:
        return "[" + ", ".join(_json_type(one) for one in value["prefixItems"]) + "]"
    if "anyOf" in value:
        return " or ".join(_json_type(one) for one in value["anyOf"])
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if value.get("type") == "array":
        return f"list of {_json_type(value.get('items', {}))}"
    said = value.get("type", "anything")
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        said += f", {low:g} to {high:g}"
    elif low is not None:
        said += f", from {low:g}"
    if "pattern" in value:
        said += f" matching `{value['pattern']}`"
    return said


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in lines
    )


def album() -> str:
    """What an album.toml may say, as Markdown."""
    from hierarchy.album.arcs import ARCS
    from hierarchy.album.keys import PATHS
    from hierarchy.album.request import AlbumRequest, SongEntry

    parts = []
    for title, kind in (("The album", AlbumRequest), ("A [[song]]", SongEntry)):
        rows = [
            (f"`{name}`", _default(kind.model_fields[name]), meaning)
            for name, meaning in attributes(kind).items()
        ]
        parts += [f"## {title}", _table(("key", "default", "means"), rows)]
    paths, arcs = (", ".join(f"`{name}`" for name in names) for names in (PATHS, ARCS))
    parts += [f"Paths of keys are {paths}. Arcs are {arcs}."]
    return "\n\n".join(parts)


def _default(field) -> str:
    value = field.default
    if value is None:
        return "decided"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


# ---- Forms, exit codes, notebooks ------------------------------------------------


def forms() -> str:
    """The named forms, as Markdown."""
    from structure.forms import NAMED_FORMS

    rows = [
        (f"`{name}`", "whatever the sequencer thinks of" if name == form else form)
        for name, form in NAMED_FORMS.items()
    ]
    return _table(("name", "sections"), rows)


def exit_codes() -> str:
    """What each exit code means, as Markdown."""
    from hierarchy import cli

    meanings = {
        cli.DONE: "Done; everything that was asked for is written.",
        cli.FAULT: "A fault of the program. The traceback above the message belongs "
        "into a report.",
        cli.REQUEST: "What was asked cannot be: a flaw in an option, a plan, a preset "
        "or a file. The message says what fits.",
        cli.INTERRUPTED: "Stopped by Ctrl-C.",
    }
    rows = [(f"`{code}`", said) for code, said in sorted(meanings.items())]
    return _table(("code", "means"), rows)


def notebooks() -> str:
    """Title and first words of each notebook, as Markdown."""
    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cell = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        title, _, rest = "".join(cell["source"]).partition("\n")
        opening = rest.strip().split("\n\n")[0].replace("\n", " ")
        link = f"{{download}}`{path.name} <../notebooks/{path.name}>`"
        rows.append((link, f"**{title.lstrip('# ')}.** {opening}"))
    return _table(("notebook", "about"), rows)


# ---- The API ---------------------------------------------------------------------

GROUPS = {
    "Songs": ("compose_song", "render_song", "redo", "Song", "GrainStore"),
    "Albums": ("read_album", "plan_album", "render_album", "AlbumRequest", "Album"),
    "Recordings and corpora": ("prepare_corpus", "Corpus", "measure", "Features"),
    "Training": (
        *("train_grains", "train_sequencer", "find_config", "PRETRAINED"),
        *("fit", "FitConfig", "WaveNet", "WaveNetConfig"),
    ),
    "Grains": (
        *("GrainModel", "make_clips", "make_grains", "request_like"),
        *("GrainRequest", "Grain"),
    ),
    "Sound": ("read_waveform", "write_waveform", "hear"),
    "Pictures": ("draw_song", "draw_plan", "draw_grain", "see", "watch"),
    "Inside a grain": (
        *("split_bands", "join_bands", "to_shape", "from_shape"),
        *("Sketch", "render_sinusoids"),
    ),
    "The machine": ("use_all_cores", "keep_compiled_programs"),
    "Plans": ("SongPlan", "Section", "parse_form", "NAMED_FORMS", "Chord", "Key"),
    "Composing": (
        *("compose", "complete", "compose_anew", "SongRequest", "SectionRequest"),
        *("HalfPlan", "Sequencer", "read_annotations", "AnnotatedSong"),
    ),
    "Listening": ("listen", "Heard"),
}
"""How the names of a package are grouped; what is in no group comes last."""


def api(package: str) -> str:
    """Every public name of a package with its docstring, as Markdown."""
    module = importlib.import_module(package)
    left = dict.fromkeys(module.__all__)
    parts = []
    for title, names in GROUPS.items():
        here = [name for name in names if name in left]
        if here:
            parts += [f"## {title}", *(_documented(module, name) for name in here)]
        for name in here:
            del left[name]
    if left:
        parts += ["## More", *(_documented(module, name) for name in left)]
    return "\n\n".join(parts)


def _documented(module, name: str) -> str:
    value = getattr(module, name)
    if inspect.isclass(value):
        how = "autoclass"
    elif inspect.isfunction(value):
        how = "autofunction"
    else:
        how = "autodata"
    if how == "autodata":
        # What is documented beside its definition is found there, not here.
        home, _, attribute = module._HOMES.get(name, "").partition(":")
        where = f"{module.__name__}.{home}" if home else module.__name__
        return (
            f"```{{eval-rst}}\n.. autodata:: {where}.{attribute or name}\n"
            "   :no-value:\n```"
        )
    return f"```{{eval-rst}}\n.. {how}:: {module.__name__}.{name}\n```"


def parts(package: str) -> str:
    """Every module of a package: what it is for, and what it holds in a line each.

    Read off the source, since importing all of it takes longer than reading.
    """
    folder = ROOT.joinpath(*package.split("."))
    out = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem == "__init__":
            continue
        rows = [
            (f"`{node.name}`", _first_sentence(node))
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
        ]
        opening = (ast.get_docstring(tree) or "").split("\n\n")[0]
        out += [f"## {package}.{path.stem}", opening]
        if rows:
            out.append(_table(("name", "does"), rows))
    return "\n\n".join(out)


def _first_sentence(node: ast.FunctionDef | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")


PAGES = {
    "album": album,
    "api": api,
    "commands": commands,
    "configs": configs,
    "exit-codes": exit_codes,
    "forms": forms,
    "notebooks": notebooks,
    "parts": parts,
    "schema": schema,
}
"""What a page can ask for."""
