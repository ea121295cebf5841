"""How well are melodies known? Learns from lead sheets and scores songs held out.

    python -m benchmarks.melody MELODIES.jsonl [--write MODEL.json] [--json OUT.json]

Bits for each pitch, given rhythm and chords, among the 25 intervals within an octave; of
the melodies that are then composed, shares of steps, leaps and notes of the chord beside
those of the songs. The format of MELODIES.jsonl is told in structure/melody_learning.py.
`--write` makes the file that comes with the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from command import parser_of

from structure.harmony import Chord, Key
from structure.melody import MelodyModel, add_melody, chord_at, strength
from structure.melody_learning import LeadSheet, learn, read_lead_sheets, score
from structure.plan import BEATS_PER_BAR, Section, SongPlan


def habits(notes: Iterable[tuple[int, bool, bool]]) -> dict[str, float]:
    """Shares of (pitch, whether of its chord, whether on a strong beat)."""
    pitch, inside, strong = (np.array(x) for x in zip(*notes, strict=True))
    leap = np.abs(np.diff(pitch))
    return {
        "repeated": float(np.mean(leap == 0)),
        "steps": float(np.mean((leap > 0) & (leap <= 2))),
        "leaps above a fourth": float(np.mean(leap > 5)),
        "of the chord": float(np.mean(inside)),
        "of the chord on strong beats": float(np.mean(inside[strong])),
        "range, semitones": float(np.ptp(np.quantile(pitch, [0.05, 0.95]))),
    }


def sung(sheet: LeadSheet) -> list[tuple[int, bool, bool]]:
    """The notes of a lead sheet."""
    notes = []
    for bar, chords in zip(sheet.bars, sheet.chords, strict=True):
        for onset, pitch, _ in bar:
            units = {"4/4": 16, "3/4": 12, "6/8": 12, "2/4": 8}[sheet.meter]
            chord = chords[onset * len(chords) // units]
            inside = pitch % 12 in chord.pitch_classes
            notes.append((pitch, inside, strength(onset, sheet.meter) == 2))
    return notes


def composed(sheet: LeadSheet, model: MelodyModel, seed: int) -> list:
    """The notes that we write over its chords."""
    chords = tuple(tuple(str(chord) for chord in bar) for bar in sheet.chords)
    section = Section(label="verse", letter="A", chords=chords)
    key = Key(sheet.home or 0, "maj")
    plan = SongPlan(meter=sheet.meter, key=str(key), sections=(section,))
    section = add_melody(plan, model, seed=seed).sections[0]
    per_bar = BEATS_PER_BAR[sheet.meter]
    units = {"4/4": 16, "3/4": 12, "6/8": 12, "2/4": 8}[sheet.meter]
    notes = []
    for note in section.melody:
        bar, within = divmod(note.beat + 1e-6, per_bar)
        onset = round(within * units / per_bar)
        chord: Chord = chord_at(section, int(bar), onset, sheet.meter)
        inside = note.pitch % 12 in chord.pitch_classes
        notes.append((note.pitch, inside, strength(onset, sheet.meter) == 2))
    return notes


def main() -> None:
    """Learn, score, compose and print."""
    parser = parser_of(__doc__)
    parser.add_argument("melodies", type=Path)
    parser.add_argument("--write", type=Path, help="write the model here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    splits = {
        name: read_lead_sheets(asked.melodies, split=name)
        for name in ("train", "valid", "test")
    }
    model = learn(splits["train"])
    if asked.write:
        asked.write.write_text(model.to_json(), encoding="utf-8")
        model = MelodyModel.from_json(asked.write.read_text(encoding="utf-8"))
    scores = {name: score(model, sheets) for name, sheets in splits.items()}
    for name, figures in scores.items():
        print(name, {key: round(value, 3) for key, value in figures.items()})
    kept = [sheet for sheet in splits["test"] if sheet.home is not None]
    both = {
        "songs held out": habits(n for sheet in kept for n in sung(sheet)),
        "composed over their chords": habits(
            n for seed, sheet in enumerate(kept) for n in composed(sheet, model, seed)
        ),
    }
    for name, shares in both.items():
        print(name, {key: round(value, 3) for key, value in shares.items()})
    if asked.json:
        asked.json.write_text(json.dumps({"scores": scores, "habits": both}, indent=1))


if __name__ == "__main__":
    main()
