"""Our docstrings, which read as plain text, to the reStructuredText that Sphinx reads.

`code` stands in single backticks, an indented stretch after a blank line is code, and
lines such as `steps: how many to take.` name the fields of a dataclass.
"""

from __future__ import annotations

import re

_FIELD = re.compile(r"[a-z_][a-z_0-9]*(, [a-z_][a-z_0-9]*)*: \S")
_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Source|Examples?):")


def setup(app):
    """Have Sphinx ask before it hands a docstring on."""
    # Before napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", _translate, priority=400)
    return {"parallel_read_safe": True}


def _translate(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = translated(lines)


def translated(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText, for napoleon to go on with."""
    out: list[str] = []
    in_code = in_fields = in_section = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        blank_before = number == 0 or not lines[number - 1].strip()
        if not text:
            out.append("")
            continue
        if indent == 0:
            in_code = in_fields and not blank_before and in_code
            in_section = bool(_SECTION.fullmatch(text))
            if in_section or not in_fields or blank_before:
                in_fields = False
            if blank_before and number and _FIELD.match(text):
                out += ["Attributes:"]
                in_fields = True
        elif blank_before and not in_section and not text.startswith(">>>"):
            if not in_code:
                out += ["::", ""]
            in_code = True
        if in_code or text.startswith(">>>"):
            out.append(line)
        else:
            out.append(("    " if in_fields else "") + _inline(line))
    return out


def _inline(line: str) -> str:
    """Backticks doubled; what would be markup to Sphinx and is none to us, escaped."""
    parts = re.split(r"(`+[^`]+`+)", line)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = "``" + part.strip("`") + "``"
        else:
            part = re.sub(r"([*|])", r"\\\1", part)
            parts[place] = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", part)
    joined = "".join(parts)
    # "``code``s" is no end of code to Sphinx.
    return re.sub(r"(``[^`]+``)(?=\w)", r"\1\\ ", joined)
