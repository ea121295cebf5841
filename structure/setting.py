"""Where a chord is due: its section, bar and beat, and the chords just before it.

The sequencer's odds of a chord rest on these few facts and on how the song's
earlier chords stand to it (`structure.recall`); what they are worth is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from structure.vocabulary import FEATURES, FIRST_OF, TOKENS

CHORDS = len(TOKENS) - FIRST_OF["chord"]
"""Tokens that stand in bars; they are the last of all tokens."""

LATEST = 3
"""How many chords before the one that is due are looked at."""

_FEATURES = (
    "meter",
    "mode",
    "label",
    "section",
    "returns",
    "place",
    "bars_left",
    "slot",
)
SETTING = {
    **{name: FEATURES[name] for name in _FEATURES},
    "beat": 4,
    **{f"chord_{ago}": CHORDS + 1 for ago in range(1, LATEST + 1)},
}
"""What is told of the place of a chord and how many values each takes."""

_OFFSETS = dict(
    zip(SETTING, np.cumsum([0, *SETTING.values()])[:-1].tolist(), strict=True)
)
INSIDE = _OFFSETS["slot"] + 1
"""The first row that says that a bar has begun."""
SLOT = list(SETTING).index("slot")


def setting(features: Mapping[str, Any], latest: Any, *, xp=np):
    """Rows of one table for all that is told of a place.

    Args:
        features: by name, int [...], as in vocabulary.FEATURES.
        latest: int [..., LATEST], tokens before the chord, the last one first;
            PAD where there was none.
        xp: numpy or jax.numpy.

    Returns:
        int32 [..., SETTING], rows of a table of all values after one another.
    """
    told = {name: features[name] for name in _FEATURES}
    told["beat"] = features["place"] % 4
    chords = xp.maximum(xp.asarray(latest) - FIRST_OF["chord"] + 1, 0)
    told |= {f"chord_{ago + 1}": chords[..., ago] for ago in range(LATEST)}
    rows = [xp.asarray(told[name]) + _OFFSETS[name] for name in SETTING]
    return xp.stack(rows, axis=-1).astype(xp.int32)


def latest(tokens: np.ndarray) -> np.ndarray:
    """The chords before each of a song's and before the next: [chords + 1, LATEST]."""
    padded = np.concatenate([np.zeros(LATEST, np.int32), tokens])
    length = len(tokens) + 1
    return np.stack(
        [padded[LATEST - ago : LATEST - ago + length] for ago in range(1, LATEST + 1)],
        axis=-1,
    )
