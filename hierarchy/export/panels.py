"""The parts that pictures are made of: each draws one thing on one pair of axes.

Times are in seconds from the first beat of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from structure.harmony import Chord
from structure.plan import Section, SongPlan

# Tol's muted scheme and three more: told apart by people who see no red or green.
_COLOURS = (
    *("#88ccee", "#cc6677", "#ddcc77", "#44aa99", "#aa4499", "#999933"),
    *("#6688cc", "#ee8866", "#bbbbbb"),
)
INK = "#333333"


def mark_sections(axes: Axes, plan: SongPlan) -> None:
    """Name each section and colour its background by its idea."""
    colours = letter_colours(plan)
    for section, start, end in _shown(plan, 0, plan.seconds):
        axes.axvspan(start, end, color=colours[section.letter], alpha=0.45, lw=0)
        axes.axvline(start, color="white", lw=1.5)
    _name_sections(axes, plan, 0, plan.seconds, height=1.02, with_bars=False)


def draw_waveform(axes: Axes, waveform: np.ndarray, seconds: float) -> None:
    """Highest, lowest and root-mean-square amplitude of each column of pixels."""
    mono = waveform.mean(axis=0)
    columns = min(1_400, max(mono.size, 1))
    edges = np.linspace(0, mono.size, columns + 1).astype(int)[:-1]
    if mono.size:
        high = np.maximum.reduceat(waveform.max(axis=0), edges)
        low = np.minimum.reduceat(waveform.min(axis=0), edges)
        counts = np.diff(np.append(edges, mono.size))
        level = np.sqrt(np.add.reduceat(np.mean(waveform**2, axis=0), edges) / counts)
        times = np.linspace(0, seconds, columns)
        axes.fill_between(times, low, high, color=INK, alpha=0.55, lw=0)
        axes.fill_between(times, -level, level, color=INK, lw=0)
    axes.set(ylim=(-1, 1), yticks=[-1, 0, 1], ylabel="amplitude")


def draw_spectrogram(axes: Axes, waveform: np.ndarray, sample_rate: int) -> None:
    """Level over time and pitch, the upper 80 dB of it."""
    mono = waveform.mean(axis=0)
    window = 1 << max(6, round(np.log2(0.06 * sample_rate)))
    hop = max(window // 8, mono.size // 1_800)
    padded = np.pad(mono, window // 2 + 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2  # [t, bins]

    top = min(16_000, sample_rate / 2)
    pitches = np.geomspace(40, top, 220)
    # Between bins where they are sparse, over all of them where they are dense.
    places = np.geomspace(40, top, 221) / sample_rate * window
    sums = np.concatenate([np.zeros([len(power), 1]), np.cumsum(power, axis=1)], axis=1)
    sums = np.stack([np.interp(places, np.arange(sums.shape[1]), row) for row in sums])
    band = np.diff(sums, axis=1)
    level = 10 * np.log10(band / max(band.max(), 1e-12) + 1e-12)
    axes.imshow(
        level.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-80,
        vmax=0,
        extent=(0, mono.size / sample_rate, 0, len(pitches)),
        interpolation="bilinear",
    )
    marks = [f for f in (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000) if f < top]
    axes.set_yticks(
        [np.interp(f, pitches, np.arange(len(pitches))) for f in marks],
        [f"{f // 1000}k" if f >= 1000 else str(f) for f in marks],
    )
    axes.set_ylabel("Hz")


def draw_energy(axes: Axes, plan: SongPlan, row: tuple[int, int]) -> None:
    """The sections of a row of bars, as high as their energy, and their brightness."""
    colours, bar = letter_colours(plan), plan.beats_per_bar * plan.beat_seconds
    shown = list(_shown(plan, row[0] * bar, row[1] * bar))
    for section, start, end in shown:
        axes.bar(
            start,
            max(section.energy, 0.02),
            end - start,
            align="edge",
            color=colours[section.letter],
            edgecolor="white",
        )
    brightness = [section.brightness for section, _, _ in shown]
    axes.step(
        [*(start for _, start, _ in shown), shown[-1][2]],
        [*brightness, brightness[-1]],
        where="post",
        color=INK,
        lw=1,
        ls=":",
        label="brightness",
    )
    axes.set(ylim=(0, 1.3), yticks=[0, 0.5, 1], ylabel="energy")
    axes.tick_params(labelbottom=False)
    _name_sections(axes, plan, row[0] * bar, row[1] * bar, height=0.98, with_bars=True)


def draw_chords(
    axes: Axes, plan: SongPlan, row: tuple[int, int], *, size: float
) -> None:
    """One row of chords, coloured by root; names where there is room for them."""
    bar_seconds = plan.beats_per_bar * plan.beat_seconds
    bars = [bar for section in plan.sections for bar in section.chords]
    wheel = mpl.colormaps["twilight"]
    openings = set(np.cumsum([0] + [section.bars for section in plan.sections]))
    shown, names = None, []  # of each lane: when, which, and how high
    for number, bar in enumerate(bars):
        # A chord that lasts is named once, and again in each new section.
        shown = None if number in openings or number == row[0] else shown
        if not row[0] <= number < row[1]:
            continue
        share = bar_seconds / len(bar)
        for place, name in enumerate(bar):
            chord = Chord.parse(name)
            start = number * bar_seconds + place * share
            # Round the circle of fifths, so that near keys have near colours.
            fifths = None if chord.root is None else chord.root * 7 % 12
            colour = "#eeeeee" if fifths is None else wheel(0.1 + 0.8 * fifths / 12)
            axes.bar(start, 1, share, align="edge", color=colour, alpha=0.35, lw=0)
            if name != shown:
                height = 0.5 if len(bar) == 1 else (0.75, 0.25)[place % 2]
                names.append((start + 0.04 * bar_seconds, _lead_sheet(name), height))
            shown = name
    inches = axes.figure.get_size_inches()[0] * 0.93 / np.ptp(axes.get_xlim())
    taken = dict.fromkeys((0.25, 0.5, 0.75), -np.inf)
    for place, (start, name, height) in enumerate(names):
        # What would run into the next name of its lane, or is run into, is left out.
        end = start + (len(name) * 0.62 + 0.4) * size / 72 / inches
        later = (s for s, _, h in names[place + 1 :] if abs(h - height) < 0.4)
        if start >= max(taken[h] for h in taken if abs(h - height) < 0.4) and (
            end <= next(later, np.inf) or end <= start + 4 * bar_seconds
        ):
            axes.text(start, height, name, fontsize=size, va="center", clip_on=True)
            taken[height] = end
    for _, start, _ in _shown(plan, row[0] * bar_seconds, row[1] * bar_seconds):
        axes.axvline(start, color="white", lw=2)
    axes.set(ylim=(0, 1), yticks=[], ylabel="chords")


def draw_returns(axes: Axes, likeness: np.ndarray, plan: SongPlan) -> None:
    """A square of likenesses [half bars, half bars], its sides named by section."""
    low, high = np.percentile(likeness, [5, 98])
    starts = plan.starts()
    axes.imshow(
        likeness,
        origin="upper",
        cmap="cividis",
        vmin=low,
        vmax=max(high, low + 1e-6),
        extent=(0, starts[-1], starts[-1], 0),
        interpolation="nearest",
    )
    colours = letter_colours(plan)
    for start in starts[1:-1]:
        axes.axhline(start, color="white", lw=0.6, alpha=0.8)
        axes.axvline(start, color="white", lw=0.6, alpha=0.8)
    middles = (np.array(starts[:-1]) + np.array(starts[1:])) / 2
    names = [f"{s.label} {s.letter}" for s in plan.sections]
    axes.set_yticks(middles, names, fontsize=8)
    axes.set_xticks(middles, names, fontsize=8, rotation=60, ha="right")
    axes.tick_params(length=0)
    for section, label, other in zip(
        plan.sections, axes.get_yticklabels(), axes.get_xticklabels(), strict=True
    ):
        for text in (label, other):
            text.set_bbox(
                {"facecolor": colours[section.letter], "alpha": 0.45, "lw": 0, "pad": 1}
            )


def label_minutes(axes: Axes) -> None:
    """Write times below as a player shows them."""
    axes.xaxis.set_major_locator(
        mpl.ticker.MaxNLocator(12, steps=[1, 1.5, 2, 3, 6, 10])
    )
    axes.xaxis.set_major_formatter(lambda x, _: f"{int(x) // 60}:{int(x) % 60:02d}")
    axes.set_xlabel("minutes and seconds")


def _name_sections(
    axes: Axes,
    plan: SongPlan,
    left: float,
    right: float,
    *,
    height: float,
    with_bars: bool,
) -> None:
    """Write the names of the sections over what of them sounds between two times."""
    inches = axes.figure.get_size_inches()[0] * 0.93
    inches_a_second = inches / np.ptp(axes.get_xlim())
    for section, start, end in _shown(plan, left, right):
        name = f"{section.label} {section.letter}"
        if with_bars:
            name += f"\n{section.bars} bar{'s' if section.bars > 1 else ''}"
        # A name that does not fit over its section stands upright, or is its letter.
        room = inches_a_second * (end - start)
        narrow = room < 0.075 * max(map(len, name.split("\n")))
        if room < 0.2:
            name = section.letter if room > 0.09 * len(section.letter) else ""
            narrow = False
        axes.text(
            (start + end) / 2,
            height,
            name.replace("\n", ", ") if narrow else name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top" if with_bars else "bottom",
            rotation=90 if narrow else 0,
            fontsize=8,
        )


def letter_colours(plan: SongPlan) -> dict[str, str]:
    """The colour of each idea, the same in every picture of a plan."""
    letters = sorted({section.letter for section in plan.sections})
    return {x: _COLOURS[n % len(_COLOURS)] for n, x in enumerate(letters)}


def _shown(
    plan: SongPlan, left: float, right: float
) -> Iterator[tuple[Section, float, float]]:
    """The sections that sound between two times, in seconds, and when."""
    starts = plan.starts()
    for section, start, end in zip(plan.sections, starts[:-1], starts[1:], strict=True):
        if min(end, right) - max(start, left) > 1e-6:
            yield section, max(start, left), min(end, right)


def _lead_sheet(chord: str) -> str:
    """A chord as musicians write it: "A:min7/b3" is short as "Am7/b3".

    >>> [_lead_sheet(chord) for chord in ("A:min", "C:maj", "G:7", "D:min7", "N")]
    ['Am', 'C', 'G7', 'Dm7', 'N']
    """
    root, _, rest = chord.partition(":")
    if rest.startswith("maj") and not rest[3:4].isdigit():
        rest = rest[3:]
    return root + (rest.replace("min", "m", 1) if rest.startswith("min") else rest)
