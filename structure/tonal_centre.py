"""How clearly chords establish a key, as a listener would find it from their notes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from structure.harmony import Chord, Key
from structure.vocabulary import TOKENS

_PROFILES = {
    # Krumhansl and Kessler, Psychological Review 89(4), 1982.
    "krumhansl": {
        "maj": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
        "min": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
    },
    # Albrecht and Shanahan, Music Perception 31(1), 2013; thousandths.
    "albrecht": {
        "maj": (238, 6, 111, 6, 137, 94, 16, 214, 9, 80, 8, 81),
        "min": (220, 6, 104, 123, 19, 103, 12, 214, 62, 22, 61, 52),
    },
}

_AT_HOME = {
    "maj": {
        "maj": {0: 1.0, 5: 1.0, 7: 1.0, 10: 0.3, 2: 0.15, 8: 0.1, 3: 0.1, 4: 0.1},
        "min": {9: 1.0, 2: 1.0, 4: 0.8, 5: 0.2},
        "7": {7: 0.8, 2: 0.15, 4: 0.15, 9: 0.1, 0: 0.15, 5: 0.15},
        "maj7": {0: 0.8, 5: 0.8},
        "min7": {9: 0.8, 2: 0.8, 4: 0.7},
        "sus4": {7: 0.7, 0: 0.5, 2: 0.3},
        "5": {0: 0.4, 5: 0.4, 7: 0.4, 9: 0.3, 2: 0.3},
        "dim": {11: 0.2},
    },
    "min": {
        "min": {0: 1.0, 5: 1.0, 7: 0.8},
        "maj": {8: 1.0, 3: 1.0, 10: 1.0, 7: 0.8, 5: 0.25, 1: 0.1},
        "7": {7: 0.8, 10: 0.5},
        "maj7": {8: 0.8, 3: 0.8},
        "min7": {0: 0.8, 5: 0.8, 7: 0.6},
        "sus4": {7: 0.6, 0: 0.5, 10: 0.4, 5: 0.3},
        "5": {0: 0.4, 5: 0.4, 7: 0.4, 8: 0.4, 10: 0.4, 3: 0.3},
        "dim": {2: 0.3},
    },
}
"""How welcome a chord is in a key: by mode and quality, semitones above the tonic."""

_ABROAD = 0.02


def welcome(mode: str) -> np.ndarray:
    """How welcome each chord token is in a mode, float64 [tokens]; divisions are free.

    Chords of the key have 1 or somewhat less, common loans (a flat seventh, a
    secondary dominant) a fraction, all others next to nothing.
    """
    weights = np.ones(len(TOKENS))
    for token, (kind, name) in enumerate(TOKENS):
        if kind == "chord" and ":" in name:
            root, quality = name.split(":")
            home = _AT_HOME[mode].get(quality, {})
            weights[token] = home.get(int(root), _ABROAD)
        elif (kind, name) == ("chord", "N"):
            weights[token] = 0.0
        elif name in ("THIRDS", "QUARTERS"):
            weights[token] = 0.3
    return weights


def clarity(bars: Sequence[Sequence[str]], key: Key) -> float:
    """By how much a key fits the notes of some chords better than any other key.

    Args:
        bars: Harte chords, bar by bar; the chords of a bar share it.
        key: the one that should be found.

    Returns:
        The margin of its correlation over the best rival's, at worst over two
        kinds of key profiles; negative if a rival fits better.
    """
    heard = np.zeros(12)
    for bar in bars:
        for chord in bar:
            heard += _chroma(chord) / len(bar)
    centred = heard - heard.mean()
    length = np.linalg.norm(centred)
    if length < 1e-9:
        return -1.0
    fits = _unit_profiles() @ (centred / length)
    ours = key.tonic + (12 if key.mode == "min" else 0)
    rivals = np.delete(fits, ours, axis=1).max(axis=1)
    return float((fits[:, ours] - rivals).min())


@functools.lru_cache(maxsize=4096)
def _chroma(chord: str) -> np.ndarray:
    return Chord.parse(chord).chroma()


@functools.cache
def _unit_profiles() -> np.ndarray:
    """Profiles [kinds, 24 keys, 12], centred and of length 1; minor keys come last."""
    profiles = np.array(
        [
            [
                np.roll(kind[mode], tonic)
                for mode in ("maj", "min")
                for tonic in range(12)
            ]
            for kind in _PROFILES.values()
        ],
        float,
    )
    profiles -= profiles.mean(axis=2, keepdims=True)
    return profiles / np.linalg.norm(profiles, axis=2, keepdims=True)
