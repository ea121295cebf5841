"""Labels to energies: choruses stand above verses, edges below, and songs grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ABOVE_AVERAGE = {
    "intro": -1.05,
    "verse": -0.08,
    "prechorus": 0.01,
    "chorus": 0.25,
    "postchorus": 0.25,
    "bridge": 0.12,
    "solo": 0.26,
    "instrumental": 0.12,
    "interlude": -0.08,
    "outro": -0.63,
    "other": 0.0,
    "silence": -2.0,
}
"""How far each label stands above its song, in the song's standard deviations.

The mean of level (rms_z) and of what listeners felt (arousal_z) over 99 songs
of CoCoPops/Billboard (Arthur and Condit-Schultz 2023), from energy_priors.json;
a postchorus, not among them, goes with the chorus.
"""

_STEP = 0.08
"""How much a chorus stands above the loudest verse at least, and an edge below."""


def energies(labels: Sequence[str], *, seed: int) -> list[float]:
    """An energy, 0 to 1, for each section of a song.

    >>> verse, chorus = energies(["verse", "chorus"], seed=1)
    >>> chorus >= verse + 0.08
    True
    """
    rng = np.random.default_rng((seed, 17))
    above = np.array([_ABOVE_AVERAGE[label] for label in labels])
    energy = 0.2 + 0.8 / (1 + np.exp(-(0.25 + 3 * above)))
    growth = np.linspace(-0.05, 0.05, len(labels)) if len(labels) > 1 else 0.0
    energy = energy + growth + rng.uniform(-0.02, 0.02, len(labels))
    verses = [e for e, label in zip(energy, labels, strict=True) if label == "verse"]
    if verses:
        for place, label in enumerate(labels):
            if label == "chorus":
                energy[place] = max(energy[place], max(verses) + _STEP)
            elif label in ("intro", "outro"):
                energy[place] = min(energy[place], min(verses) - _STEP)
    return [round(float(e), 3) for e in np.clip(energy, 0.05, 0.98)]


def brightness(energy: float) -> float:
    """Louder sections are a little brighter than they were heard, hushed ones darker.

    >>> brightness(0.6), brightness(0.9)
    (0.5, 0.59)
    """
    return round(float(np.clip(0.5 + 0.3 * (energy - 0.6), 0, 1)), 3)
