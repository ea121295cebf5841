"""Macro time: what happens when in a song.

Knows arrays and music, and no files of sound.

    from structure import SongPlan, SongRequest, Sequencer, compose, listen
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structure.annotations import AnnotatedSong, read_annotations
    from structure.composing import complete, compose, compose_anew
    from structure.errors import RequestError
    from structure.forms import NAMED_FORMS, parse_form
    from structure.half_plans import HalfPlan
    from structure.harmony import Chord, Key
    from structure.listening import Heard, listen
    from structure.plan import Section, SongPlan
    from structure.requests import SectionRequest, SongRequest
    from structure.sequencer import Sequencer

_HOMES = {
    "AnnotatedSong": "annotations",
    "Chord": "harmony",
    "HalfPlan": "half_plans",
    "Heard": "listening",
    "Key": "harmony",
    "NAMED_FORMS": "forms",
    "RequestError": "errors",
    "Section": "plan",
    "SectionRequest": "requests",
    "Sequencer": "sequencer",
    "SongPlan": "plan",
    "SongRequest": "requests",
    "complete": "composing",
    "compose": "composing",
    "compose_anew": "composing",
    "listen": "listening",
    "parse_form": "forms",
    "read_annotations": "annotations",
}

__all__ = [
    "NAMED_FORMS",
    "AnnotatedSong",
    "Chord",
    "HalfPlan",
    "Heard",
    "Key",
    "RequestError",
    "Section",
    "SectionRequest",
    "Sequencer",
    "SongPlan",
    "SongRequest",
    "complete",
    "compose",
    "compose_anew",
    "listen",
    "parse_form",
    "read_annotations",
]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: a plan can be read without librosa.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
