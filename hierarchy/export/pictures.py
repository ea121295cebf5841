"""Songs, plans and grains to pictures; the suffix (.png, .svg) chooses the format.

Colour means idea: sections with one letter have one colour in every picture.
Figures are made without pyplot, which would keep each of them in memory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hierarchy.export.panels import (
    INK,
    draw_chords,
    draw_energy,
    draw_returns,
    draw_spectrogram,
    draw_waveform,
    label_minutes,
    mark_sections,
)
from hierarchy.export.returns import asked_likeness, heard_likeness
from structure.files import whole_file
from structure.plan import SongPlan
from structure.spectra import measure_spectra

STYLE = {
    "font.size": 9,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    # Without this every SVG of one song would differ.
    "svg.hashsalt": "macrotime",
}
DOTS_PER_INCH = 110


def draw_song(
    path: str | Path, waveform: np.ndarray, sample_rate: int, plan: SongPlan
) -> None:
    """Draw a song over what was asked: waveform, spectrogram, returns asked and heard.

    Args:
        path: a .png or .svg file.
        waveform: float32 [channels, samples], full scale at ±1; the plan's first
            beat is its first sample.
        sample_rate: in Hz.
        plan: what was asked.
    """
    seconds = waveform.shape[1] / sample_rate
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 11), dpi=DOTS_PER_INCH, layout="constrained")
        grid = figure.add_gridspec(3, 2, height_ratios=[1.1, 1.5, 3.4])
        figure.suptitle(headline(plan), x=0.01, ha="left", fontsize=12)

        wave = figure.add_subplot(grid[0, :])
        draw_waveform(wave, waveform, seconds)
        wave.set_xlim(0, max(seconds, plan.seconds))
        mark_sections(wave, plan)
        wave.tick_params(labelbottom=False)

        colours = figure.add_subplot(grid[1, :], sharex=wave)
        draw_spectrogram(colours, waveform, sample_rate)
        for start in plan.starts()[1:-1]:
            colours.axvline(start, color="white", lw=0.8, alpha=0.7)
        label_minutes(colours)

        asked = figure.add_subplot(grid[2, 0])
        draw_returns(asked, asked_likeness(plan), plan)
        asked.set_title("Asked: bright where the plan returns to an idea")
        heard = figure.add_subplot(grid[2, 1])
        spectra = measure_spectra(waveform, sample_rate)
        draw_returns(heard, heard_likeness(spectra, plan), plan)
        heard.set_title("Heard: bright where the sound resembles itself")
        save(figure, path)


def draw_plan(path: str | Path, plan: SongPlan) -> None:
    """Draw a plan: sections as wide as they last and as high as their energy.

    Args:
        path: a .png or .svg file.
        plan: the song; a long one is drawn in several rows.
    """
    rows = _rows(plan)
    bar_seconds = plan.beats_per_bar * plan.beat_seconds
    widest = max(last - first for first, last in rows)
    with mpl.rc_context(STYLE):
        width = max(11.0, 0.34 * widest)
        figure = Figure(
            figsize=(width, 0.5 + 4.1 * len(rows)),
            dpi=DOTS_PER_INCH,
            layout="constrained",
        )
        figure.suptitle(headline(plan), x=0.01, ha="left", fontsize=12)
        panels = figure.subplots(
            2 * len(rows), 1, squeeze=False, height_ratios=[2.2, 1] * len(rows)
        )
        for row, energy, harmony in zip(
            rows, panels[::2, 0], panels[1::2, 0], strict=True
        ):
            for axes in (energy, harmony):
                axes.set_xlim(row[0] * bar_seconds, (row[0] + widest) * bar_seconds)
            draw_energy(energy, plan, row)
            size = min(8.0, width * 72 * 0.9 / widest / 3.2)
            draw_chords(harmony, plan, row, size=size)
            label_minutes(harmony)
        panels[0, 0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8
        )
        save(figure, path)


def draw_grain(
    path: str | Path,
    asked: np.ndarray | None,
    heard: np.ndarray,
    sample_rate: int,
    *,
    title: str = "",
) -> None:
    """Draw a grain, beside the sound it was asked to resemble if there is one.

    Args:
        path: a .png or .svg file.
        asked: float32 [channels, samples], or None for a grain that was free.
        heard: float32 [channels, samples], what came.
        sample_rate: in Hz.
        title: what was asked, in words.
    """
    sounds = {"Asked": asked, "Heard": heard}
    sounds = {name: sound for name, sound in sounds.items() if sound is not None}
    highest = max(np.abs(sound).max(initial=1e-3) for sound in sounds.values())
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(5.2 * len(sounds), 4.6), dpi=DOTS_PER_INCH, layout="constrained"
        )
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        panels = figure.subplots(
            2, len(sounds), sharex="col", squeeze=False, height_ratios=[1, 2]
        )
        for (name, sound), (wave, colours) in zip(
            sounds.items(), panels.T, strict=True
        ):
            seconds = sound.shape[1] / sample_rate
            draw_waveform(wave, sound, seconds)
            wave.set(title=name, ylim=(-highest, highest))
            wave.yaxis.set_major_locator(mpl.ticker.MaxNLocator(3, symmetric=True))
            draw_spectrogram(colours, sound, sample_rate)
            colours.set(xlabel="seconds", xlim=(0, seconds))
        save(figure, path)


def _rows(plan: SongPlan, *, most: int = 48) -> list[tuple[int, int]]:
    """First and last bar of each row, about even; breaks between sections if it can."""
    starts = np.cumsum([0] + [section.bars for section in plan.sections])
    rows, first = [], 0
    while first < plan.bars:
        left = plan.bars - first
        even = first + left / -(-left // most)
        fitting = starts[(starts > first) & (starts <= first + most)]
        last = first + min(most, left)
        if fitting.size:
            last = int(fitting[np.argmin(np.abs(fitting - even))])
        rows.append((first, last))
        first = last
    return rows


def headline(plan: SongPlan) -> str:
    """A song in one line: title, key, tempo, metre, style, length, seed."""
    whole = round(plan.seconds)
    facts = [plan.key, f"{plan.tempo:.4g} BPM", plan.meter, plan.style]
    facts += [f"{whole // 60}:{whole % 60:02d}", f"seed {plan.seed}"]
    return f"{plan.title}   ·   " + "   ".join(fact for fact in facts if fact)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; equal pictures are equal files."""
    kind = Path(path).suffix.lower().lstrip(".")
    # A date inside would make equal songs unequal files.
    metadata = {"Date": None} if kind == "svg" else {"Software": "macrotime"}
    _settle(figure)
    with whole_file(path) as draft:
        figure.savefig(draft, format=kind, metadata=metadata)


def _settle(figure: Figure) -> None:
    """Lay a figure out for good, its axes at places of a few digits.

    The solver behind the layout goes through its constraints in the order of their
    addresses in memory, so that the last digits differ from one run to the next.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        axes.set_position([round(value, 5) for value in bounds])
