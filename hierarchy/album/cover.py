"""A cover picture that is drawn from the album itself.

Each song is a ring, the first one innermost; it starts at the top and runs clockwise,
the longest song once around. Its colour is its key: keys that are near on the circle of
fifths have hues that are near. Sections are as high and as light as their energy. An
idea that comes back from an earlier song is drawn in white, and a line leads to where
it came from.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from hierarchy.album.keys import signature
from hierarchy.album.planning import AlbumPlan, Track
from structure.files import whole_file
from structure.harmony import Key

PIXELS = 1500
_GROUND, _INK, _MOTIF = "#15161d", "#f3efe6", "#fffaf0"
_HOLE, _SPAN = 0.20, 0.965  # of the radius; of the circle that the longest song fills


def draw_cover(path: str | Path, album: AlbumPlan, *, artist: str) -> None:
    """Draw the cover of an album as a square .png file.

    Args:
        path: where to.
        album: whose songs.
        artist: written under the title.
    """
    with mpl.rc_context({"font.family": "DejaVu Sans"}), warnings.catch_warnings():
        # A letter that the typeface lacks is drawn as an empty box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(10, 10), dpi=PIXELS / 10, facecolor=_GROUND)
        axes = figure.add_axes((0.11, 0.185, 0.78, 0.78), projection="polar")
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        axes.set(ylim=(0, 1))
        axes.axis("off")
        ring = (1 - _HOLE) / len(album.tracks)
        longest = max(track.plan.seconds for track in album.tracks)
        for place, track in enumerate(album.tracks):
            _draw_ring(axes, track, _HOLE + place * ring, ring, longest)
        _draw_quotes(axes, album, ring, longest)
        _write(figure, album.title, 0.105, 34, weight="bold")
        _write(figure, artist, 0.055, 17, alpha=0.75)
        with whole_file(path) as draft:
            figure.savefig(draft, format="png", metadata={"Software": "macrotime"})


def key_colour(key: str, *, lightness: float, chroma: float = 0.13) -> np.ndarray:
    """The colour of a key, sRGB [3]: round the circle of fifths, round the hues.

    Source: Ottosson, "A perceptual color space for image processing", 2020 (OKLCH).
    """
    hue = 2 * np.pi * (signature(Key.parse(key)) * 7 % 12) / 12 + 0.5
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cones = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    ) @ (cones**3)
    linear = np.clip(linear, 0, 1)
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )


def _draw_ring(axes, track: Track, inner: float, ring: float, longest: float) -> None:
    plan, turn = track.plan, 2 * np.pi * _SPAN / longest
    edges = [turn * start for start in plan.starts()]
    quoted = {quote.into for quote in track.quotes}
    major = Key.parse(plan.key).mode == "maj"
    # A thread under the whole song, so that hushed sections still belong to it.
    thread = key_colour(plan.key, lightness=0.42, chroma=0.06)
    around = np.linspace(edges[0], edges[-1], 300)
    axes.plot(around, np.full(300, inner + 0.06 * ring), color=thread, lw=1.2)
    for section, start, end in zip(plan.sections, edges[:-1], edges[1:], strict=True):
        seam = min(0.012, 0.15 * (end - start))
        light = 0.36 + 0.42 * section.energy + (0.05 if major else -0.02)
        colour = key_colour(plan.key, lightness=light)
        axes.bar(
            (start + end) / 2,
            ring * (0.16 + 0.72 * section.energy),
            width=end - start - seam,
            bottom=inner + 0.03 * ring,
            color=_MOTIF if section.letter in quoted else colour,
            alpha=0.93 if section.letter in quoted else 1.0,
            linewidth=0,
        )


def _draw_quotes(axes, album: AlbumPlan, ring: float, longest: float) -> None:
    """A curve from each quoted section to the first one that quotes it."""

    def middle(track: Track, letter: str) -> tuple[float, float]:
        starts = track.plan.starts()
        for number, section in enumerate(track.plan.sections):
            if section.letter == letter:
                angle = (starts[number] + starts[number + 1]) / 2 / longest
                height = _HOLE + (album.tracks.index(track) + 0.45) * ring
                return 2 * np.pi * _SPAN * angle, height
        raise ValueError(f"song {track.number} has no idea {letter}")

    def ideas(track: Track) -> set[str]:
        return {section.letter for section in track.plan.sections}

    sources = {
        (track.number, letter): track
        for track in album.tracks
        for letter in ideas(track)
    }
    for track in album.tracks:
        for quote in track.quotes:
            # A song that was kept may not know the idea that is quoted now.
            source = sources.get((quote.song, quote.letter))
            if source is None or quote.into not in ideas(track):
                continue
            (a, low), (b, high) = (
                middle(source, quote.letter),
                middle(track, quote.into),
            )
            way = np.linspace(0, 1, 80)
            smooth = way**2 * (3 - 2 * way)
            angles, heights = a + (b - a) * smooth, low + (high - low) * way
            axes.plot(angles, heights, color=_MOTIF, lw=1.1, alpha=0.6)
            axes.plot([a, b], [low, high], "o", color=_MOTIF, ms=4, alpha=0.9)


def _write(figure: Figure, text: str, height: float, size: float, **style) -> None:
    """A line of text in the middle, made smaller until it fits."""
    # A title may hold what matplotlib would take for mathematics.
    plain = text.replace("$", "S")
    width = TextPath((0, 0), plain, size=size).get_extents().width / 72
    size *= min(1.0, 0.84 * figure.get_figwidth() / max(width, 1e-6))
    figure.text(
        0.5,
        height,
        text,
        size=size,
        color=_INK,
        ha="center",
        va="center",
        parse_math=False,
        **style,
    )
