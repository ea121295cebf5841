"""What of a song returns: as its plan says, and as its sound has it.

Both are squares over half bars, so that they can be laid side by side.
"""

from __future__ import annotations

import numpy as np

from structure.harmony import Chord
from structure.plan import SongPlan
from structure.spectra import Spectra, over_beats
from structure.tonality import fold_octaves


def asked_likeness(plan: SongPlan) -> np.ndarray:
    """How alike any two half bars should be: same idea, same chords, same energy."""
    chroma, idea, energy = [], [], []
    for section in plan.sections:
        for bar in section.chords:
            for half in (0, 1):
                chord = Chord.parse(bar[half * len(bar) // 2])
                chroma.append(chord.chroma())
                idea.append(section.letter)
                energy.append(section.energy)
    same = np.array(idea)[:, None] == np.array(idea)[None, :]
    near = 1 - np.abs(np.subtract.outer(energy, energy))
    return (_cosines(np.stack(chroma)) + 1.5 * same + 0.5 * near) / 3


def heard_likeness(spectra: Spectra, plan: SongPlan) -> np.ndarray:
    """How alike any two half bars sound, in harmony and in colour, -1 to 1."""
    edges = _bar_edges(plan)
    pitch = over_beats(np.sqrt(spectra.pitch), spectra.pitch_times, edges)
    mel = np.log(over_beats(spectra.mel, spectra.mel_times, edges) + 1e-7)
    chroma, colour = fold_octaves(pitch), mel - mel.mean(axis=0, keepdims=True)
    # What all of a song has in common says nothing about its form.
    chroma = chroma - chroma.mean(axis=0, keepdims=True)
    likeness = _cosines(chroma) + 2 * _cosines(colour)
    # Over a bar and a half along the diagonal: a return is a run, not a moment.
    return _along_diagonals(likeness / 3, reach=1)


def _bar_edges(plan: SongPlan) -> np.ndarray:
    """Seconds of each half bar and of the end, [2 * bars + 1]."""
    half = plan.beats_per_bar * plan.beat_seconds / 2
    return np.arange(2 * plan.bars + 1) * half


def _cosines(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows @ rows.T


def _along_diagonals(square: np.ndarray, *, reach: int) -> np.ndarray:
    """Average each value with its neighbours `reach` before and after on its diagonal."""
    padded = np.pad(square, reach, mode="edge")
    size = len(square)
    shifted = [padded[k : k + size, k : k + size] for k in range(2 * reach + 1)]
    return np.mean(shifted, axis=0)
