"""Titles for songs that were given none, and for albums."""

from __future__ import annotations

import numpy as np

_FIRST = (
    *("Paper", "Copper", "Slow", "Second", "Borrowed", "Quiet", "Last", "Salt"),
    *("Winter", "Amber", "Hollow", "Northern", "Glass", "Early", "Blue", "Distant"),
    *("Rusty", "Open", "Half", "Silver", "Low", "Wooden", "Small", "Painted"),
)
_SECOND = (
    *(
        "Lantern",
        "Harbour",
        "Window",
        "Orchard",
        "Staircase",
        "Radio",
        "Tide",
        "Garden",
    ),
    *(
        "Compass",
        "Meadow",
        "Signal",
        "Bicycle",
        "Postcard",
        "Ferry",
        "Cinema",
        "Kitchen",
    ),
    *("Avenue", "Satellite", "Mirror", "Umbrella", "Station", "River", "Attic", "Moon"),
)
_SHAPES = ("{0} {1}", "{0} {1}", "{0} {1}", "The {0} {1}", "{1} at Night", "{1} Song")


def make_titles(count: int, *, seed: int, taken: tuple[str, ...] = ()) -> list[str]:
    """Titles, no two alike, the same ones for the same seed.

    >>> len(set(make_titles(40, seed=1)))
    40
    """
    random = np.random.default_rng([seed, 31])
    titles: list[str] = []
    used: set[str] = set()
    while len(titles) < count:
        first, second = random.choice(_FIRST), random.choice(_SECOND)
        title = str(random.choice(_SHAPES)).format(first, second)
        # A word should not come twice while there are others.
        fresh = not used & {first, second} or len(titles) >= len(_FIRST) // 2
        if fresh and title not in titles and title not in taken:
            titles.append(title)
            used |= {str(first), str(second)}
    return titles
