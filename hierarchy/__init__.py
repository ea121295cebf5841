"""The two-level generator: sound in micro time, and the whole song in macro time.

The verbs of the commands as functions, arrays in and arrays out:

    from hierarchy import GrainModel, compose_song, render_song

    plan = compose_song(form="verse-chorus", key="A:min", seed=7)
    song = render_song(plan, GrainModel.default())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hierarchy.export.pictures import draw_grain, draw_plan, draw_song
    from hierarchy.macro.clips import make_clips
    from hierarchy.macro.learning import train_sequencer
    from hierarchy.macro.rendering import Song, compose_song, render_song
    from hierarchy.material.audio import read_waveform, write_waveform
    from hierarchy.material.corpus import Corpus, prepare_corpus
    from hierarchy.material.features import Features, measure
    from hierarchy.micro.grains import Grain, GrainModel, GrainRequest, make_grains
    from hierarchy.micro.learning import train_grains

_HOMES = {
    "Corpus": "material.corpus",
    "Features": "material.features",
    "Grain": "micro.grains",
    "GrainModel": "micro.grains",
    "GrainRequest": "micro.grains",
    "Song": "macro.rendering",
    "compose_song": "macro.rendering",
    "draw_grain": "export.pictures",
    "draw_plan": "export.pictures",
    "draw_song": "export.pictures",
    "make_clips": "macro.clips",
    "make_grains": "micro.grains",
    "measure": "material.features",
    "prepare_corpus": "material.corpus",
    "read_waveform": "material.audio",
    "render_song": "macro.rendering",
    "train_grains": "micro.learning",
    "train_sequencer": "macro.learning",
    "write_waveform": "material.audio",
}

__all__ = [
    "Corpus",
    "Features",
    "Grain",
    "GrainModel",
    "GrainRequest",
    "Song",
    "compose_song",
    "draw_grain",
    "draw_plan",
    "draw_song",
    "make_clips",
    "make_grains",
    "measure",
    "prepare_corpus",
    "read_waveform",
    "render_song",
    "train_grains",
    "train_sequencer",
    "write_waveform",
]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: a command's --help should not wait for JAX.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
