"""Grains in their places to the mix, piece by piece: memory holds a few grains.

All that is put together is a sum of parts: one grain, faded into its neighbours, taken
apart into layers, each at the gain and in the place that its section's automation says.
Summed over all it is the mix; over the grains of one section, that section's stem; over
one layer, that layer's.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from hierarchy.macro.assembly import Placement, Sounding, soundings
from hierarchy.macro.fades import Bands
from hierarchy.macro.layers import LAYERS, Automation, automate, split_layers
from structure.plan import SongPlan

X, Y = TypeVar("X"), TypeVar("Y")

MOST_SHIFT_SECONDS = 0.001
"""How far a grain may move from its place, inside a section, to join like with like."""


@dataclasses.dataclass(frozen=True)
class Score:
    """All that a mix is made of.

    Attributes:
        plan: of the song.
        waveforms: of its grains, float32 [2, samples] each, looked up when needed.
        placements: with gains.
        sections: number of the section that each placement is in.
        length: of the song, in samples.
        sample_rate: in Hz.
    """

    plan: SongPlan
    waveforms: Sequence[np.ndarray]
    placements: tuple[Placement, ...]
    sections: tuple[int, ...]
    length: int
    sample_rate: int

    @property
    def downbeats(self) -> list[int]:
        """Samples on which sections start, and last the end of the last bar."""
        return [round(start * self.sample_rate) for start in self.plan.starts()]

    def soundings(self) -> Iterator[Sounding]:
        """Where each grain is heard, and under which fades, in the order of time."""
        return soundings(
            self.waveforms,
            self.placements,
            length=self.length,
            max_shift=round(MOST_SHIFT_SECONDS * self.sample_rate),
            bands=Bands.of_rate(self.sample_rate),
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """What one grain gives to the mix.

    Attributes:
        sounding: where it is heard.
        section: number of its section.
        layers: float32 [3, 2, end - begin], in the order of `LAYERS`.
    """

    sounding: Sounding
    section: int
    layers: np.ndarray


def parts(score: Score) -> Iterator[Part]:
    """What each grain gives, in the order of time."""
    curves = [automate(score.plan, n) for n in range(len(score.plan.sections))]
    downbeats = score.downbeats

    def part(sounding: Sounding) -> Part:
        section = score.sections[sounding.number]
        waveform = score.waveforms[sounding.placement.grain]
        layers = sounding.faded(split_layers(waveform, score.sample_rate))
        times = np.arange(sounding.begin, sounding.end) - downbeats[section]
        gains = curve_gains(curves[section], times / score.sample_rate)
        # A placement's own pan is not of a layer: it is moved as a whole.
        gains *= sounding.placement.sides.astype(np.float32)
        return Part(sounding, section, layers * gains)

    return _ahead(part, score.soundings())


def curve_gains(curve: Automation, seconds: np.ndarray) -> np.ndarray:
    """Gains of each layer's sides at some times, float32 [3, 2, times]."""
    sides = curve.sides()
    out = np.empty([*sides.shape[:2], len(seconds)], np.float32)
    for layer in range(len(LAYERS)):
        for side in range(2):
            out[layer, side] = np.interp(seconds, curve.seconds, sides[layer, side])
    return out


def mix_blocks(score: Score) -> Iterator[np.ndarray]:
    """The mix from start to end, float32 [2, samples] at a time."""
    pieces = ((p.sounding.begin, _sum(p.layers)) for p in parts(score))
    return add_up(pieces, end=score.length)


def layer_blocks(score: Score) -> Iterator[np.ndarray]:
    """The layers from start to end, float32 [3, 2, samples] at a time."""
    pieces = ((p.sounding.begin, p.layers) for p in parts(score))
    return add_up(pieces, end=score.length, shape=(len(LAYERS), 2))


def mix(score: Score) -> np.ndarray:
    """The whole mix, float32 [2, length]."""
    out = np.zeros([2, score.length], np.float32)
    at = 0
    for block in mix_blocks(score):
        out[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return out


def add_up(
    pieces: Iterable[tuple[int, np.ndarray]],
    *,
    start: int = 0,
    end: int | None = None,
    shape: tuple[int, ...] = (2,),
) -> Iterator[np.ndarray]:
    """Sum overlapping pieces into blocks that lie end to end.

    Args:
        pieces: (first sample, [*shape, samples]), in the order of their first samples.
        start: sample on which the first block begins.
        end: sample on which the last one ends; None takes the end of what is heard.
        shape: of the blocks but for time.
    """
    at, waiting = start, np.zeros([*shape, 0], np.float32)
    for begin, piece in pieces:
        # What lies before this piece hears nothing more.
        if begin > at:
            ready = min(begin - at, waiting.shape[-1])
            if ready:
                yield waiting[..., :ready]
            if begin - at > ready:
                yield np.zeros([*shape, begin - at - ready], np.float32)
            at, waiting = begin, waiting[..., ready:]
        lacking = begin + piece.shape[-1] - at - waiting.shape[-1]
        if lacking > 0:
            silence = np.zeros([*shape, lacking], np.float32)
            waiting = np.concatenate([waiting, silence], axis=-1)
        waiting[..., begin - at : begin - at + piece.shape[-1]] += piece
    if waiting.shape[-1]:
        yield waiting
    if end is not None and (rest := end - at - waiting.shape[-1]) > 0:
        yield np.zeros([*shape, rest], np.float32)


def _sum(layers: np.ndarray) -> np.ndarray:
    return layers[0] + layers[1] + layers[2]


def _ahead(
    function: Callable[[X], Y], items: Iterable[X], *, workers: int = 2
) -> Iterator[Y]:
    """`map` that works on the next few items while the first is looked at."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
