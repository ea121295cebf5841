"""A request with a grain's own sinusoids, made more like what was asked.

A grain that is told no sinusoid invents some. They are heard, each raised or lowered as
its pitch class and its octave lack or abound, and the strongest few are told to the next
candidate: what was invented stays, what was asked for comes out clearer.

Source: iterative refinement of a draft after Ghazvininejad et al., "Mask-Predict", 2019.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hierarchy.material.features import OCTAVES, chroma_of, octaves_of
from hierarchy.material.sketch import HOP, Sketch
from hierarchy.micro.grains import CONTEXT, WARM_UP, GrainRequest

KEPT = 8  # sinusoids of a frame that are told; measured in benchmarks/RESULTS.md
CLASS_GAIN, OCTAVE_GAIN = 3.0, 4.0  # at most; an octave is lowered by as much at most
CLASS_EASE, OCTAVE_EASE = 0.02, 0.05  # added to what is asked and to what is heard


def refined(request: GrainRequest, heard: Sketch, sample_rate: int) -> GrainRequest:
    """The same request, with a few sinusoids of a grain that answered it.

    Args:
        request: that is told no sinusoid.
        heard: sinusoids of its grain, 1 + frames // 2 frames; see `features.measure`.
        sample_rate: Hz.

    Returns:
        A request with `KEPT` sinusoids; before and after the grain, and where half of
        what a frame looked at was not of it, the nearest ones sound on.
    """
    heard = heard.strongest(request.frequency.shape[-1])
    heard = heard.times(_class_gains(request, heard) * _octave_gains(request, heard))
    drawn = np.arange(len(request.frequency)) - (WARM_UP // 2 + 1)
    nearest = np.clip(drawn, min(1, len(heard) - 1), max(len(heard) - 2, 0))
    near = heard[nearest]
    turns = near.frequency * (HOP / sample_rate) * (drawn - nearest)[:, None]
    pair = np.stack([near.middle, near.side])
    return dataclasses.replace(
        request,
        frequency=near.frequency,
        amplitude=np.abs(pair),
        phase=(np.angle(pair) + 2 * np.pi * turns).astype(np.float32),
        peaks=KEPT,
    )


def _asked(values: np.ndarray, request: GrainRequest, count: int) -> np.ndarray:
    """What is asked [frames, ...] at `count` frames of a sketch from the grain's start."""
    first = WARM_UP + CONTEXT
    at = np.minimum(2 * np.arange(count), request.frames - 1)
    return values[first + at]


def _class_gains(request: GrainRequest, heard: Sketch) -> np.ndarray:
    """By how much each sinusoid's pitch class is to grow, [frames, peaks]."""
    asked = _asked(request.chroma, request, len(heard))
    gains = (asked + CLASS_EASE) / (chroma_of(heard) + CLASS_EASE)
    gains = np.minimum(gains, CLASS_GAIN)
    pitch = 69 + 12 * np.log2(np.maximum(heard.frequency, 20.0) / 440)
    pitch_class = np.rint(pitch).astype(int) % 12
    told = (heard.frequency > 55) & (heard.frequency < 2500)  # as `chroma_of` hears
    return np.where(told, np.take_along_axis(gains, pitch_class, axis=1), 1.0)


def _octave_gains(request: GrainRequest, heard: Sketch) -> np.ndarray:
    """By how much each sinusoid's octave is to grow, [frames, peaks]."""
    asked = _asked(request.octaves[0], request, len(heard))
    gains = (asked + OCTAVE_EASE) / (octaves_of(heard)[0] + OCTAVE_EASE)
    gains = np.clip(gains, 1 / OCTAVE_GAIN, OCTAVE_GAIN)
    octave = np.searchsorted(OCTAVES, heard.frequency, side="right")
    return np.take_along_axis(gains, octave, axis=1)
