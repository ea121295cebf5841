"""The grains of a song as a sample library: tagged WAV files and an SFZ instrument.

Each file is one bar, from just before its bar line to just before the next, at the gain
that it has in the song, and says what it is: section, bar, chord, key, tempo. The
instrument has one grain a key; the sections are chosen by keys of their own.

Source: SFZ format, sfzformat.com.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hierarchy.export.reaper import quarters_per_minute
from hierarchy.export.riff import add_chunks, loop_chunk
from hierarchy.macro.assembly import placed
from hierarchy.macro.rendering import SOFTWARE, Song
from hierarchy.material.audio import write_waveform
from structure.files import whole_folder
from structure.harmony import Chord

INSTRUMENT = "grains.sfz"
FIRST_SWITCH, FIRST_KEY, LAST_KEY = 0, 36, 127
"""MIDI notes: keys below the first one choose the section."""

_DECLICK = 64


def write_bank(
    song: Song,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write each different grain of a song once, grains.sfz and grains.json.

    Args:
        song: rendered.
        folder: made, or replaced if it is there.
        progress: called with (grains written, in all).

    Returns:
        The files that were written.
    """
    folder, plan = Path(folder), song.plan
    first = _first_uses(song)
    about = []
    with whole_folder(folder) as draft:
        for number, use in sorted(first.items()):
            entry = _describe(song, number, use)
            placement = song.placements[use]
            waveform = placed(song.grains.waveforms, placement)
            end = waveform.shape[1] - placement.lead_out
            body = _declicked(waveform[:, placement.lead_in : end])
            write_waveform(
                draft / entry["file"],
                body,
                song.sample_rate,
                subtype="FLOAT",
                tags={
                    "title": f"{entry['section']} bar {entry['bar']}",
                    "album": plan.title,
                    "genre": plan.style or "",
                    "comment": entry["comment"],
                    "tracknumber": str(number + 1),
                    "software": SOFTWARE,
                },
            )
            root = Chord.parse(entry["chords"][0]).root
            loop = loop_chunk(
                beats=plan.beats_per_bar,
                beats_per_bar=plan.beats_per_bar,
                tempo=quarters_per_minute(plan),
                root=60 + (root or 0),
            )
            if not entry["rings"]:
                add_chunks(draft / entry["file"], [loop])
            entry["samples"] = body.shape[1]
            about.append(entry)
            if progress:
                progress(len(about), len(first))
        facts = {
            "title": plan.title,
            "style": plan.style,
            "key": plan.key,
            "tempo": plan.tempo,
            "meter": plan.meter,
            "sample_rate": song.sample_rate,
            "grains": about,
        }
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        (draft / "grains.json").write_text(text, encoding="utf-8")
        (draft / INSTRUMENT).write_text(_instrument(song, about), encoding="utf-8")
        files = sorted(p.relative_to(draft) for p in draft.rglob("*") if p.is_file())
    return [folder / file for file in files]


def _first_uses(song: Song) -> dict[int, int]:
    """Of each grain, the first placement that plays it."""
    first: dict[int, int] = {}
    for number, placement in enumerate(song.placements):
        first.setdefault(placement.grain, number)
    return first


def _describe(song: Song, grain: int, use: int) -> dict:
    plan, where = song.plan, song.score.sections[use]
    section, name = plan.sections[where], plan.names()[where]
    bar = use - song.score.sections.index(where)
    rings = bar >= section.bars
    chords = list(section.chords[min(bar, section.bars - 1)])
    comment = f"{' '.join(chords)}, {plan.key}, {plan.tempo:.4g} BPM, {plan.meter}"
    if rings:
        comment += ", what rings on"
    nearest = (section.nearest or [None] * section.bars)[min(bar, section.bars - 1)]
    entry = {
        "file": f"{grain + 1:04d} {name} bar {bar + 1} {_file_name(chords[0])}.wav",
        "section": name,
        "letter": section.letter,
        "bar": bar + 1,
        "chords": chords,
        "rings": rings,
        "comment": comment,
    }
    if nearest is not None and not rings:
        entry["nearest"] = nearest.model_dump(mode="json")
    return entry


def _file_name(chord: str) -> str:
    """A chord in letters that every file system takes."""
    return chord.replace(":", "").replace("/", " over ").replace("#", "s")


def _declicked(waveform: np.ndarray) -> np.ndarray:
    waveform = waveform.copy()
    fade = min(_DECLICK, waveform.shape[1] // 2)
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
    waveform[:, :fade] *= ramp
    waveform[:, waveform.shape[1] - fade :] *= ramp[::-1]
    return waveform


def _instrument(song: Song, about: list[dict]) -> str:
    groups: dict[str, list[dict]] = {}
    for entry in about:
        groups.setdefault(entry["section"], []).append(entry)
    switches = min(len(groups), FIRST_KEY - FIRST_SWITCH)
    last = FIRST_SWITCH + switches - 1
    lines = [
        f"// {song.plan.title}",
        f"// One grain a key from {FIRST_KEY} on;",
        f"// keys {FIRST_SWITCH} to {last} choose the section.",
        "<global>",
        "loop_mode=one_shot pitch_keytrack=0",
        f"sw_lokey={FIRST_SWITCH} sw_hikey={last} sw_default={FIRST_SWITCH}",
    ]
    # More sections than keys to choose them share the last one.
    key = {}
    for number, (name, entries) in enumerate(groups.items()):
        switch = FIRST_SWITCH + min(number, switches - 1)
        lines += ["", "<group>", f"sw_last={switch} sw_label={name}"]
        for entry in entries:
            note = key[switch] = key.get(switch, FIRST_KEY - 1) + 1
            if note > LAST_KEY:
                lines.append(f"// no key is left for {entry['file']}")
                continue
            lines += [
                "<region>",
                f"key={note} pitch_keycenter={note}",
                f"region_label={entry['section']} bar {entry['bar']} "
                + " ".join(entry["chords"]),
                f"sample={entry['file']}",
            ]
    return "\n".join(lines) + "\n"
