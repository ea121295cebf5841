"""The two-level generator: sound in micro time, and the whole song in macro time.

The verbs of the commands as functions, arrays in and arrays out:

    from hierarchy import GrainModel, compose_song, render_song

    plan = compose_song(form="verse-chorus", key="A:min", seed=7)
    song = render_song(plan, GrainModel.default())
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hierarchy.album.planning import plan_album
    from hierarchy.album.rendering import Album, render_album
    from hierarchy.album.request import AlbumRequest, read_album
    from hierarchy.configs import find_config
    from hierarchy.devices import keep_compiled_programs, use_all_cores
    from hierarchy.export.arrangement import draw_arrangement
    from hierarchy.export.pictures import draw_grain, draw_plan, draw_song
    from hierarchy.export.session import export_song
    from hierarchy.export.showing import hear, see, watch
    from hierarchy.macro.choosing import natural_tempo
    from hierarchy.macro.clips import make_clips
    from hierarchy.macro.grain_store import GrainStore
    from hierarchy.macro.learning import train_sequencer
    from hierarchy.macro.rendering import Song, compose_song, redo, render_song
    from hierarchy.material.audio import read_waveform, write_waveform
    from hierarchy.material.bands import join as join_bands
    from hierarchy.material.bands import split as split_bands
    from hierarchy.material.companding import from_shape, to_shape
    from hierarchy.material.corpus import Corpus, prepare_corpus
    from hierarchy.material.features import Features, measure
    from hierarchy.material.sketch import Sketch
    from hierarchy.material.sketch import render as render_sinusoids
    from hierarchy.micro.grains import (
        Grain,
        GrainModel,
        GrainRequest,
        make_grains,
        request_like,
    )
    from hierarchy.micro.learning import train_grains
    from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
    from hierarchy.training.fitting import fit
    from hierarchy.training.recipe import FitConfig

PRETRAINED = Path(__file__).parent / "pretrained"
"""The models that come with the package, in its folders grains and sequencer."""

_HOMES = {
    "Album": "album.rendering",
    "AlbumRequest": "album.request",
    "Corpus": "material.corpus",
    "Features": "material.features",
    "FitConfig": "training.recipe",
    "Grain": "micro.grains",
    "GrainModel": "micro.grains",
    "GrainRequest": "micro.grains",
    "GrainStore": "macro.grain_store",
    "Sketch": "material.sketch",
    "Song": "macro.rendering",
    "WaveNet": "micro.wavenet",
    "WaveNetConfig": "micro.wavenet",
    "compose_song": "macro.rendering",
    "draw_arrangement": "export.arrangement",
    "draw_grain": "export.pictures",
    "draw_plan": "export.pictures",
    "draw_song": "export.pictures",
    "export_song": "export.session",
    "find_config": "configs",
    "fit": "training.fitting",
    "from_shape": "material.companding",
    "hear": "export.showing",
    "join_bands": "material.bands:join",
    "keep_compiled_programs": "devices",
    "make_clips": "macro.clips",
    "make_grains": "micro.grains",
    "measure": "material.features",
    "natural_tempo": "macro.choosing",
    "plan_album": "album.planning",
    "prepare_corpus": "material.corpus",
    "read_album": "album.request",
    "read_waveform": "material.audio",
    "redo": "macro.rendering",
    "render_sinusoids": "material.sketch:render",
    "render_album": "album.rendering",
    "render_song": "macro.rendering",
    "request_like": "micro.grains",
    "see": "export.showing",
    "split_bands": "material.bands:split",
    "to_shape": "material.companding",
    "train_grains": "micro.learning",
    "train_sequencer": "macro.learning",
    "use_all_cores": "devices",
    "watch": "export.showing",
    "write_waveform": "material.audio",
}
"""Where each name lives; after a colon, what it is called there."""

__all__ = [
    "PRETRAINED",
    "Album",
    "AlbumRequest",
    "Corpus",
    "Features",
    "FitConfig",
    "Grain",
    "GrainModel",
    "GrainRequest",
    "GrainStore",
    "Sketch",
    "Song",
    "WaveNet",
    "WaveNetConfig",
    "compose_song",
    "draw_arrangement",
    "draw_grain",
    "draw_plan",
    "draw_song",
    "export_song",
    "find_config",
    "fit",
    "from_shape",
    "hear",
    "join_bands",
    "keep_compiled_programs",
    "make_clips",
    "make_grains",
    "measure",
    "natural_tempo",
    "plan_album",
    "prepare_corpus",
    "read_album",
    "read_waveform",
    "redo",
    "render_album",
    "render_sinusoids",
    "render_song",
    "request_like",
    "see",
    "split_bands",
    "to_shape",
    "train_grains",
    "train_sequencer",
    "use_all_cores",
    "watch",
    "write_waveform",
]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: a command's --help should not wait for JAX.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
