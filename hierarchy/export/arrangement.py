"""A rendered song as a timeline: sections, chords, layers with their gains, grains."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hierarchy.export.panels import (
    INK,
    draw_chords,
    draw_energy,
    label_minutes,
    letter_colours,
)
from hierarchy.export.pictures import DOTS_PER_INCH, STYLE, headline, save
from hierarchy.macro.layers import LAYERS, automate
from hierarchy.macro.mixing import layer_blocks
from hierarchy.macro.rendering import Song

_COLUMNS = 1_200
_SHADES = ("#7a5195", "#2f6690", "#c8553d")


def draw_arrangement(path: str | Path, song: Song) -> None:
    """Draw what a song is put together from, before mastering.

    From above: how much energy each section was asked for; its chords; the level of
    each layer, with the gain that its automation gave it; and its grains, a bar each,
    numbered, lighter where a grain is heard again.

    Args:
        path: a .png or .svg file.
        song: rendered; it is gone through once, in the memory of a few bars.
    """
    plan = song.plan
    row = (0, plan.bars)
    levels = _levels(song)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 9), dpi=DOTS_PER_INCH, layout="constrained")
        figure.suptitle(headline(plan), x=0.01, ha="left", fontsize=12)
        panels = figure.subplots(6, 1, height_ratios=[1.9, 0.8, 1.1, 1.1, 1.1, 0.9])
        for axes in panels:
            axes.set_xlim(0, song.seconds)
        draw_energy(panels[0], plan, row)
        panels[0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8
        )
        draw_chords(panels[1], plan, row, size=8.0 if plan.bars <= 70 else 6.5)
        for number, name in enumerate(LAYERS):
            _draw_layer(panels[2 + number], song, number, name, levels[number])
        _draw_grains(panels[5], song)
        for axes in panels[:-1]:
            axes.tick_params(labelbottom=False)
        label_minutes(panels[-1])
        save(figure, path)


def _levels(song: Song) -> np.ndarray:
    """Decibels of each layer in each column, [3, columns]."""
    length = song.score.length
    power, counts = np.zeros([len(LAYERS), _COLUMNS]), np.zeros(_COLUMNS)
    at = 0
    for block in layer_blocks(song.score):
        column = (at + np.arange(block.shape[-1])) * _COLUMNS // length
        for layer, sound in enumerate(block):
            squares = np.mean(np.square(sound, dtype=np.float64), axis=0)
            power[layer] += np.bincount(column, squares, _COLUMNS)
        counts += np.bincount(column, minlength=_COLUMNS)
        at += block.shape[-1]
    # No finer than is seen, so that the last bit of a sum decides no picture.
    return np.round(10 * np.log10(power / np.maximum(counts, 1) + 1e-9), 2)


def _draw_layer(
    axes: Axes, song: Song, number: int, name: str, levels: np.ndarray
) -> None:
    quietest = -60.0
    times = (np.arange(_COLUMNS) + 0.5) * song.seconds / _COLUMNS
    shade = _SHADES[number]
    axes.fill_between(times, quietest, np.maximum(levels, quietest), color=shade, lw=0)
    axes.set(ylim=(quietest, 0), yticks=[-60, -30, 0], ylabel=f"{name}\ndB")
    gain = axes.twinx()
    gain.set(ylim=(-9, 6), yticks=[-6, 0, 6], ylabel="gain, dB")
    for place, start in enumerate(song.plan.starts()[:-1]):
        curve = automate(song.plan, place)
        gain.plot(start + curve.seconds, curve.gain[number], color=INK, lw=1.2)
        axes.axvline(start, color="white", lw=1.5)
    gain.spines["right"].set_visible(True)


def _draw_grains(axes: Axes, song: Song) -> None:
    rate, plan = song.sample_rate, song.plan
    colours = letter_colours(plan)
    seen: set[int] = set()
    inches_a_second = 12 / song.seconds
    for sounding in song.score.soundings():
        grain = sounding.placement.grain
        begin = sounding.placement.start / rate
        seconds = sounding.end / rate - begin
        section = plan.sections[song.score.sections[sounding.number]]
        axes.bar(
            max(begin, 0),
            1,
            seconds,
            align="edge",
            color=colours[section.letter],
            alpha=0.35 if grain in seen else 0.95,
            edgecolor="white",
            lw=0.8,
        )
        if inches_a_second * seconds > 0.16:
            axes.text(
                begin + seconds / 2,
                0.5,
                str(grain + 1),
                fontsize=min(7.5, 38 * inches_a_second * seconds),
                ha="center",
                va="center",
            )
        seen.add(grain)
    axes.set(ylim=(0, 1), yticks=[], ylabel="grains")
