"""Named arcs: how energy and tempo run through an album, song by song.

An arc is a curve over the album from its first song (0) to its last (1). Its height
goes from -1 (the calmest) to 1 (the strongest moment); a song between two points of
the curve lies on the line between them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from structure.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Arc:
    """A curve for energy and one for tempo: (place, height) points.

    Tempo need not follow energy: what is loudest is not what is fastest.
    """

    energy: tuple[tuple[float, float], ...]
    tempo: tuple[tuple[float, float], ...]


ARCS = {
    # Opens with a hand held out, peaks after two thirds, ends at home.
    "journey": Arc(
        energy=((0, 0.1), (0.2, 0.5), (0.45, -0.5), (0.72, 1.0), (1, -0.7)),
        tempo=((0, 0.0), (0.15, 0.7), (0.45, -0.6), (0.65, 1.0), (1, -0.8)),
    ),
    "rise": Arc(energy=((0, -1.0), (1, 1.0)), tempo=((0, -1.0), (1, 1.0))),
    "fall": Arc(energy=((0, 1.0), (1, -1.0)), tempo=((0, 1.0), (1, -1.0))),
    "arch": Arc(
        energy=((0, -0.8), (0.5, 1.0), (1, -0.8)),
        tempo=((0, -0.8), (0.5, 1.0), (1, -0.8)),
    ),
    "valley": Arc(
        energy=((0, 0.9), (0.5, -1.0), (1, 0.9)),
        tempo=((0, 0.9), (0.5, -1.0), (1, 0.9)),
    ),
    "waves": Arc(
        energy=((0, 0.6), (0.25, -0.8), (0.5, 1.0), (0.75, -0.8), (1, 0.6)),
        tempo=((0, 0.5), (0.25, -0.7), (0.5, 1.0), (0.75, -0.7), (1, 0.5)),
    ),
    "level": Arc(energy=((0, 0.0), (1, 0.0)), tempo=((0, 0.0), (1, 0.0))),
}
"""What `arc` in an album.toml can be."""


def follow_arc(name: str, songs: int) -> tuple[list[float], list[float]]:
    """Heights of energy and of tempo, -1 to 1, one a song.

    Raises:
        RequestError: if there is no such arc.

    >>> follow_arc("rise", 3)
    ([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    """
    if name not in ARCS:
        raise RequestError(f"arc {name!r}; there are {', '.join(ARCS)}")
    arc = ARCS[name]
    places = np.linspace(0, 1, songs) if songs > 1 else np.zeros(1)
    heights = (
        np.interp(places, *zip(*curve, strict=True))
        for curve in (arc.energy, arc.tempo)
    )
    energy, tempo = ([round(float(x), 3) for x in curve] for curve in heights)
    return energy, tempo
