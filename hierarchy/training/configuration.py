"""TOML files become dataclasses; whatever is wrong is named with its place.

A config class says what is allowed by its own types and its `__post_init__`;
this module only carries values there and complaints back.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from structure.errors import RequestError

Config = TypeVar("Config")


def read_config(path: str | Path, classes: Mapping[str, type]) -> dict[str, Any]:
    """Read a TOML file whose sections fill dataclasses.

    Args:
        path: the file; it may leave out sections and keys, defaults then hold.
        classes: section name to the dataclass that it fills.

    Returns:
        One instance per entry of `classes`.

    Raises:
        RequestError: names the file, the section and the key, and says what
            would fit.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"no config file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{path} is not TOML: {error}") from None
    for name, value in content.items():
        if not isinstance(value, dict):
            raise RequestError(
                f"{path}: {name!r} stands outside a section; sections are "
                f"{_listed(classes)}"
            )
        if name not in classes:
            raise RequestError(
                f"{path}: no section [{name}]{_perhaps(name, classes)}; sections are "
                f"{_listed(classes)}"
            )
    return {
        section: dataclass_from(
            cls, content.get(section, {}), where=f"{path} [{section}]"
        )
        for section, cls in classes.items()
    }


def dataclass_from(
    cls: type[Config], values: Mapping[str, Any], *, where: str
) -> Config:
    """Build a dataclass from parsed TOML or JSON.

    Lists become tuples where the field is one, whole numbers become floats,
    nested tables nested dataclasses. Nothing else is converted: "3" is no 3.

    Args:
        cls: a dataclass; its type hints and `__post_init__` say what fits.
        values: field name to value.
        where: how a message names the place, e.g. "grains.toml [model]".

    Raises:
        RequestError: for an unknown or missing key, a wrong type, or a value
            that `cls` refuses by a ValueError.
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise RequestError(
                f"{where}: no key {key!r}{_perhaps(key, fields)}; keys are "
                f"{_listed(fields)}"
            )
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in values and not optional:
            raise RequestError(f"{where}: key {name!r} is missing")
    given = {
        key: _fitted(value, hints[key], where=f"{where} {key}")
        for key, value in values.items()
    }
    try:
        return cls(**given)
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None
    except ValueError as error:
        raise RequestError(f"{where}: {error}") from error


def _fitted(value: Any, hint: Any, *, where: str) -> Any:
    """`value` as `hint` asks for it, or a RequestError."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _fitted_to_one_of(value, inside, hint, where=where)
    if origin is typing.Literal:
        if value in inside and type(value) in {type(one) for one in inside}:
            return value
        raise RequestError(
            f"{where}: {value!r}; it is one of {', '.join(map(repr, inside))}"
        )
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return dataclass_from(hint, value, where=where)
    elif origin is tuple or hint is tuple:
        if isinstance(value, list | tuple):
            return _fitted_tuple(value, hint, inside, where=where)
    elif origin is dict or hint is dict:
        if isinstance(value, Mapping):
            of = inside[1] if inside else Any
            return {k: _fitted(v, of, where=f"{where}.{k}") for k, v in value.items()}
    elif origin is list or hint is list:
        if isinstance(value, list):
            of = inside[0] if inside else Any
            return [_fitted(v, of, where=f"{where}[{i}]") for i, v in enumerate(value)]
    elif hint is float:
        # True is an int to Python, but nobody means 1.0 by it.
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif hint is types.NoneType or hint is None:
        if value is None:
            return None
    elif isinstance(hint, type) and isinstance(value, hint):
        return value
    raise RequestError(
        f"{where}: {value!r} is a {_named(type(value))}; it takes a {_named(hint)}"
    )


def _fitted_to_one_of(value: Any, options: tuple, hint: Any, *, where: str) -> Any:
    complaints = []
    for option in options:
        try:
            return _fitted(value, option, where=where)
        except RequestError as error:
            complaints.append(error)
    real = [o for o in options if o is not types.NoneType]
    # With one real option its own complaint says more than "wrong type".
    if len(real) == 1:
        raise complaints[options.index(real[0])]
    raise RequestError(
        f"{where}: {value!r} is a {_named(type(value))}; it takes a {_named(hint)}"
    )


def _fitted_tuple(value: Any, hint: Any, inside: tuple, *, where: str) -> tuple:
    if not inside:
        return tuple(value)
    if inside[-1] is Ellipsis:
        kinds = [inside[0]] * len(value)
    elif len(inside) == len(value):
        kinds = list(inside)
    else:
        raise RequestError(f"{where}: {len(value)} values; it takes {len(inside)}")
    return tuple(
        _fitted(v, kind, where=f"{where}[{i}]")
        for i, (v, kind) in enumerate(zip(value, kinds, strict=True))
    )


_WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    list: "list",
    tuple: "list",
    dict: "table",
    types.NoneType: "nothing",
}


def _named(hint: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_named(h) for h in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "list"
    if dataclasses.is_dataclass(hint):
        return "table"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _perhaps(name: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (is {close[0]!r} meant?)" if close else ""


def _listed(names: typing.Iterable[str]) -> str:
    return ", ".join(names)
