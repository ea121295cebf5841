"""A song as a session for Reaper: grains are items, crossfades are fades.

Each layer is a track with a volume envelope; on it each grain is an item that plays the
grain's layer from a file in `media`. A grain that returns is one file and many items.
Sections are regions. One more track, muted, has the finished song to compare.

Curves of fades and pans are the nearest that Reaper has, so that the session sounds
like the mix rather than being it to the last bit; stems are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hierarchy.macro.assembly import Sounding
from hierarchy.macro.layers import LAYERS, Automation, automate, split_layers
from hierarchy.macro.rendering import SOFTWARE, Song
from hierarchy.macro.timeline import EARLY
from hierarchy.material.audio import write_waveform
from structure.files import whole_folder
from structure.plan import SongPlan

LINEAR, EQUAL_POWER = 0, 1
"""Shapes of fades: for sounds that are alike, and for sounds that are not."""

ALIKE = 0.5
"""Likeness of neighbours from which a fade is linear."""

SESSION = "song.rpp"
_COLOURS = ("4a6fa5", "b5651d", "5b8c5a", "8e6c8a", "a05252", "6b7f8c", "9a8b4f")


def write_session(
    song: Song,
    folder: str | Path,
    *,
    master: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a folder with song.rpp and the files that it plays.

    Args:
        song: rendered.
        folder: made, or replaced if it is there.
        master: the finished song's file, for a muted track of its own.
        progress: called with (grains written, in all).

    Returns:
        The files that were written.
    """
    folder = Path(folder)
    with whole_folder(folder) as draft:
        for number, waveform in enumerate(song.grains.waveforms):
            layers = split_layers(waveform, song.sample_rate)
            for name, layer in zip(LAYERS, layers, strict=True):
                write_waveform(
                    draft / _media(number, name),
                    layer,
                    song.sample_rate,
                    subtype="FLOAT",
                    tags={"title": f"grain {number + 1} {name}", "software": SOFTWARE},
                )
            if progress:
                progress(number + 1, len(song.grains))
        way = None
        if master is not None:
            way = os.path.relpath(Path(master).absolute(), folder.absolute())
        text = "\n".join(_project(song, way)) + "\n"
        (draft / SESSION).write_text(text, encoding="utf-8")
        files = sorted(p.relative_to(draft) for p in draft.rglob("*") if p.is_file())
    return [folder / file for file in files]


def _media(number: int, layer: str) -> str:
    return f"media/{number + 1:04d} {layer}.wav"


def _project(song: Song, master: str | None) -> Iterator[str]:
    plan, rate = song.plan, song.sample_rate
    beats, unit = (int(part) for part in plan.meter.split("/"))
    yield f'<REAPER_PROJECT 0.1 "7.0/{SOFTWARE}" 0'
    yield "  RIPPLE 0"
    yield "  AUTOXFADE 1"
    yield "  PANLAW 1"
    yield "  PANMODE 3"
    yield f"  SAMPLERATE {rate} 1 0"
    yield f"  TEMPO {quarters_per_minute(plan):.10g} {beats} {unit}"
    yield f"  TITLE {_quoted(plan.title)}"
    yield from _regions(plan)
    everything = list(song.score.soundings())
    curves = [automate(plan, number) for number in range(len(plan.sections))]
    for layer, name in enumerate(LAYERS):
        yield f"  <TRACK {_guid(name)}"
        yield f"    NAME {name}"
        yield f"    PEAKCOL {_colour(layer)}"
        yield "    VOLPAN 1 0 -1 -1 1"
        yield "    MUTESOLO 0 0 0"
        yield "    NCHAN 2"
        yield f"    TRACKID {_guid(name)}"
        yield from _volume(song, curves, layer)
        for place, sounding in enumerate(everything):
            yield from _item(song, curves, layer, place, sounding)
        yield "  >"
    if master is not None:
        yield from _master_track(song, master)
    yield ">"


def quarters_per_minute(plan: SongPlan) -> float:
    """The tempo in quarter notes, which programs count even where people do not."""
    beats, unit = (int(part) for part in plan.meter.split("/"))
    return plan.tempo * beats * 4 / unit / plan.beats_per_bar


def _regions(plan: SongPlan) -> Iterator[str]:
    starts, letters = plan.starts(), sorted({s.letter for s in plan.sections})
    for number, name in enumerate(plan.names()):
        letter = plan.sections[number].letter
        colour = _colour(letters.index(letter))
        begin, end = starts[number], starts[number + 1]
        guid = _guid(f"region {number}")
        yield (
            f"  MARKER {number + 1} {begin:.10f} {_quoted(name)} 1 {colour} 1 R {guid} 0"
        )
        yield f'  MARKER {number + 1} {end:.10f} "" 1'


def _volume(song: Song, curves: list[Automation], layer: int) -> Iterator[str]:
    yield "    <VOLENV2"
    yield f"      EGUID {_guid(f'volume {layer}')}"
    yield "      ACT 1 -1"
    yield "      VIS 1 1 1"
    yield "      LANEHEIGHT 0 0"
    yield "      ARM 0"
    yield "      DEFSHAPE 0 -1 -1"
    starts = song.plan.starts()
    for number, curve in enumerate(curves):
        gains = 10 ** (curve.gain[layer] / 20)
        times = starts[number] + curve.seconds
        # A section's last point lies just before the next one's first.
        times[-1] = max(times[-2], times[-1] - 1e-4) if len(times) > 1 else times[-1]
        shown = None
        for point, (time, gain) in enumerate(zip(times, gains, strict=True)):
            if gain != shown or point == len(gains) - 1:
                yield f"      PT {time:.10f} {gain:.8f} 0"
            # Held where nothing moves: the last point before a change is needed too.
            later = gains[point + 1] if point + 1 < len(gains) else None
            shown = gain if later == gain else None
    yield "    >"


def _item(
    song: Song,
    curves: list[Automation],
    layer: int,
    place: int,
    sounding: Sounding,
) -> Iterator[str]:
    rate, placement = song.sample_rate, sounding.placement
    number = song.score.sections[sounding.number]
    bar_line = song.score.downbeats[number]
    bars = sum(where == number for where in song.score.sections[: sounding.number])
    middle = ((sounding.begin + sounding.end) / 2 - bar_line) / rate
    curve = curves[number]
    pan = float(np.interp(middle, curve.seconds, curve.pan[layer])) + placement.pan
    # What snaps to the grid is the bar line, and not the fade before it.
    snap = (placement.start - sounding.begin) / rate + EARLY
    guid = _guid(f"{layer} {place}")
    yield "    <ITEM"
    yield f"      POSITION {sounding.begin / rate:.10f}"
    yield f"      SNAPOFFS {max(snap, 0.0):.10f}"
    yield f"      LENGTH {(sounding.end - sounding.begin) / rate:.10f}"
    yield "      LOOP 0"
    yield "      ALLTAKES 0"
    for side, samples, alike in (
        ("FADEIN", sounding.fade_in, sounding.likeness_in),
        ("FADEOUT", sounding.fade_out, sounding.likeness_out),
    ):
        shape = LINEAR if alike > ALIKE else EQUAL_POWER
        seconds = f"{samples / rate:.10f}"
        yield f"      {side} {shape} {seconds} 0 {shape} 0 0 0"
    yield "      MUTE 0 0"
    yield f"      IGUID {guid}"
    yield f"      NAME {_quoted(f'{song.plan.names()[number]} bar {bars + 1}')}"
    yield f"      VOLPAN {placement.gain:.8f} {np.clip(pan, -1, 1):.6f} 1 -1"
    yield f"      SOFFS {(sounding.begin - sounding.first) / rate:.10f}"
    yield "      PLAYRATE 1 1 0 -1 0 0.0025"
    yield "      CHANMODE 0"
    yield f"      GUID {_guid(f'take {layer} {place}')}"
    yield "      <SOURCE WAVE"
    yield f"        FILE {_quoted(_media(placement.grain, LAYERS[layer]))}"
    yield "      >"
    yield "    >"


def _master_track(song: Song, master: str) -> Iterator[str]:
    yield f"  <TRACK {_guid('master')}"
    yield '    NAME "finished song"'
    yield "    VOLPAN 1 0 -1 -1 1"
    yield "    MUTESOLO 1 0 0"
    yield "    NCHAN 2"
    yield f"    TRACKID {_guid('master')}"
    yield "    <ITEM"
    yield "      POSITION 0"
    yield f"      LENGTH {song.seconds:.10f}"
    yield "      LOOP 0"
    yield f"      NAME {_quoted(song.plan.title)}"
    yield "      VOLPAN 1 0 1 -1"
    yield "      SOFFS 0"
    yield f"      <SOURCE {_SOURCES.get(Path(master).suffix.lower(), 'WAVE')}"
    yield f"        FILE {_quoted(Path(master).as_posix())}"
    yield "      >"
    yield "    >"
    yield "  >"


_SOURCES = {".flac": "FLAC", ".ogg": "VORBIS"}


def _quoted(text: str) -> str:
    """A text as Reaper reads it: in whichever quotation mark it does not hold itself."""
    text = " ".join(text.split())
    for mark in "\"'`":
        if mark not in text:
            return f"{mark}{text}{mark}"
    return "`" + text.replace("`", "'") + "`"


def _guid(name: str) -> str:
    # By name, so that equal songs make equal sessions.
    found = uuid.uuid5(uuid.NAMESPACE_URL, f"{SOFTWARE}/{name}")
    return "{" + str(found).upper() + "}"


def _colour(number: int) -> int:
    """A colour as Reaper stores it: red in the lowest byte, and a bit that says so."""
    text = _COLOURS[number % len(_COLOURS)]
    red, green, blue = (int(text[at : at + 2], 16) for at in (0, 2, 4))
    return 0x1000000 | red | green << 8 | blue << 16
