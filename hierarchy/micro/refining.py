"""A request with a grain's own sinusoids, made more like what was asked.

A grain that is told few sinusoids, or none, invents others. They are heard, each raised
or lowered as its pitch class and its octave lack or abound, and the strongest are told to
the next candidate beside those that were asked for: what was invented stays, what was
asked for comes out clearer.

Where a grain begins and ends, its neighbour sounds too. There neither is told what it
invented, but both the strongest of what the gestures have, which inside a section is the
same for both: so they join without having heard each other, and a grain depends on its
request alone.

Source: iterative refinement of a draft after Ghazvininejad et al., "Mask-Predict", 2019.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import (
    FLOOR,
    chroma_of,
    is_pitched,
    octave_number,
    octaves_of,
    pitch_of,
)
from hierarchy.material.sketch import HOP, Sketch, ranks
from hierarchy.micro.grains import LEAD, WARM_UP, GrainRequest

TOLD = 8  # sinusoids of a frame, asked for and own; measured in benchmarks/RESULTS.md
CLASS_GAIN, OCTAVE_GAIN = 3.0, 4.0  # at most; an octave is lowered by as much at most
CLASS_EASE, OCTAVE_EASE = 0.02, 0.05  # added to what is asked and to what is heard
BESIDE = 0.03, 15.0  # of a frequency, and Hz: what lies closer is the same sinusoid
REFINING = (TOLD, CLASS_GAIN, OCTAVE_GAIN, CLASS_EASE, OCTAVE_EASE, BESIDE, LEAD)
"""What tells grains that were refined otherwise apart."""


def refined(request: GrainRequest, heard: Sketch, sample_rate: int) -> GrainRequest:
    """The same request, with a few sinusoids of a grain that answered it.

    Args:
        request: that is told less than `TOLD` sinusoids a frame.
        heard: sinusoids of its grain, 1 + frames // 2 frames; see `features.measure`.
        sample_rate: Hz.

    Returns:
        A request with `TOLD` sinusoids, or as many as it has room for: its own and the
        strongest others; at the edges, before and after, its own alone.
    """
    width = request.frequency.shape[1]
    told, given = min(TOLD, width), min(request.peaks, width)
    order = np.argsort(ranks(request.frequency, request.amplitude), axis=1)[:, :told]
    frequency = np.take_along_axis(request.frequency, order, axis=1)
    drawn = np.arange(len(frequency)) - (WARM_UP // 2 + 1)  # frames of the grain's own
    edge = edge_frames(sample_rate)
    at_edge = (drawn < edge) | (drawn > request.frames // 2 - edge)
    own = heard.strongest(width)[np.clip(drawn, 0, len(heard) - 1)]
    own = own.times(_class_gains(request, own) * _octave_gains(request, own))
    own = _no_louder(own, request.levels, sample_rate)
    own = own.times(~_beside(own.frequency, frequency[:, :given]))
    own = own.strongest(told - given)
    pair = np.stack([own.middle, own.side])

    def both(asked: np.ndarray, invented: np.ndarray) -> np.ndarray:
        asked = np.take_along_axis(asked, np.broadcast_to(order, (*asked.shape[:-1], told)), axis=-1)  # fmt: skip
        together = np.concatenate([asked[..., :given], invented], axis=-1)
        together = np.where(at_edge[:, None], asked, together)
        room = [(0, 0)] * (together.ndim - 1) + [(0, width - told)]
        return np.pad(together, room).astype(np.float32)

    return dataclasses.replace(
        request,
        frequency=both(request.frequency, own.frequency),
        amplitude=both(request.amplitude, np.abs(pair)),
        phase=both(request.phase, np.angle(pair)),
        peaks=told,
    )


def edge_frames(sample_rate: int) -> int:
    """Frames at either end of a grain that sound while its neighbour may sound too.

    Both begin and end on frames, so at most so many whole ones lie in two leads and what
    rounds them; one more is heard in the last of these.
    """
    return int((2 * LEAD * sample_rate + 2 * (HOP - 1)) // HOP) + 1


def _asked(values: np.ndarray, count: int) -> np.ndarray:
    """What is asked, [..., frames, numbers], at `count` frames of a request's sketch."""
    return values[..., np.minimum(2 * np.arange(count), values.shape[-2] - 1), :]


def _class_gains(request: GrainRequest, heard: Sketch) -> np.ndarray:
    """By how much each sinusoid's pitch class is to grow, [frames, peaks]."""
    asked = _asked(request.chroma, len(heard))
    gains = (asked + CLASS_EASE) / (chroma_of(heard) + CLASS_EASE)
    gains = np.minimum(gains, CLASS_GAIN)
    pitch_class = np.rint(pitch_of(heard.frequency)).astype(int) % 12
    gains = np.take_along_axis(gains, pitch_class, axis=1)
    return np.where(is_pitched(heard.frequency), gains, 1.0)


def _octave_gains(request: GrainRequest, heard: Sketch) -> np.ndarray:
    """By how much each sinusoid's octave is to grow, [frames, peaks]."""
    asked = _asked(request.octaves[0], len(heard))
    gains = (asked + OCTAVE_EASE) / (octaves_of(heard)[0] + OCTAVE_EASE)
    gains = np.clip(gains, 1 / OCTAVE_GAIN, OCTAVE_GAIN)
    return np.take_along_axis(gains, octave_number(heard.frequency), axis=1)


def _no_louder(sketch: Sketch, levels: np.ndarray, sample_rate: int) -> Sketch:
    """Lowered where a band would be louder than it is asked to be."""
    bands = levels.shape[-1]
    power = drawn_power(sketch, bands, sample_rate)
    most = np.square(_asked(levels, len(sketch)))
    gains = np.sqrt(np.minimum(most / np.maximum(power, FLOOR**2), 1.0))
    band = np.floor(sketch.frequency / (sample_rate / 2) * bands).astype(int)
    middle, side = (
        np.take_along_axis(gain, np.clip(band, 0, bands - 1), axis=1) for gain in gains
    )
    return Sketch(
        sketch.frequency,
        (sketch.middle * middle).astype(np.complex64),
        (sketch.side * side).astype(np.complex64),
    )


def _beside(frequency: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of [frames, peaks] are one of others [frames, some], bool."""
    share, hertz = BESIDE
    apart = np.abs(frequency[:, :, None] - others[:, None])
    return (apart < np.maximum(hertz, share * frequency[:, :, None])).any(axis=2)
