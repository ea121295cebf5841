"""How far apart in loudness the sections of a style are, as its recordings have it.

A song of one style falls to a whisper where another only breathes. What an energy of 0
means is therefore a matter of style, and a book of gestures tells it.
"""

from __future__ import annotations

import numpy as np

from hierarchy.material.gestures import Book

NARROWEST, WIDEST = 12.0, 18.0
"""LU between energy 0 and energy 1: with less, a form is hard to hear; with more, what is
soft is lost in a room."""

SPREAD = 0.226
"""Standard deviation of energy over the time of a composed song, rms of 36 songs."""


def range_of(book: Book) -> float:
    """LU between energy 0 and 1: sections spread as ideas do in the recordings.

    Args:
        book: of the style.
    """
    power = 10 ** (book.beat_level / 10)
    spreads = []
    for song in np.unique(book.beat_song):
        mine = book.beat_song == song
        _, idea, count = np.unique(
            book.beat_idea[mine], return_inverse=True, return_counts=True
        )
        mean = np.bincount(idea, power[mine]) / count
        spreads.append(np.std(10 * np.log10(mean + 1e-12)[idea]))
    spread = float(np.sqrt(np.mean(np.square(spreads)))) if spreads else 0.0
    return float(np.clip(spread / SPREAD, NARROWEST, WIDEST))
