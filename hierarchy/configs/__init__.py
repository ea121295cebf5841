"""Presets as TOML files: each opens with its command, its cost and what to expect."""

from __future__ import annotations

from pathlib import Path

from structure.errors import RequestError

_FOLDER = Path(__file__).parent


def preset_names() -> tuple[str, ...]:
    """What `--config` takes beside the path of a file."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def find_config(name: str | Path) -> Path:
    """The TOML file of a preset, or the file that `name` is a path to.

    A file of one's own wins over a preset only if its name is not bare: "small"
    is always the preset, "./small" or "small.toml" a file.

    Raises:
        RequestError: if there is neither.
    """
    if str(name) in preset_names():
        return _FOLDER / f"{name}.toml"
    if Path(name).is_file():
        return Path(name)
    raise RequestError(
        f"no config file {name}; give the path of a TOML file or one of "
        f"{', '.join(preset_names())}"
    )
