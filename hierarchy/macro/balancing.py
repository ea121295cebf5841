"""How loud each section sounds, by what its energy asks and what was sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hierarchy.macro.assembly import Placement
from hierarchy.macro.performing import Performance
from hierarchy.material.loudness import (
    SILENCE,
    LoudnessMeter,
    gated_loudness,
    powers_of,
)
from hierarchy.micro.grains import Grain
from structure.plan import SongPlan

FULL = -14.0  # LUFS before mastering at energy 1
MOST = 24.0  # decibels that a section is raised or lowered at most


def balance(
    plan: SongPlan, performance: Performance, grains: Sequence[Grain]
) -> tuple[Placement, ...]:
    """Placements with gains that bring each section to its loudness.

    What is measured is the sound itself, K-weighted (ITU-R BS.1770): levels asked for
    say little about how loud a section is heard. A section's gain depends on its own
    grains and energy and on the style, so that changing one leaves the others as they
    were.
    """
    measured: dict[tuple[int, ...], float] = {}
    gains = []
    for number, section in enumerate(plan.sections):
        mine = [
            placement
            for placement, where in zip(
                performance.placements, performance.sections, strict=True
            )
            if where == number
        ][: section.bars]
        name = tuple(placement.grain for placement in mine)
        if name not in measured:
            measured[name] = _loudness(grains, mine)
        asked = FULL - performance.loudness_range * (1 - section.energy)
        lacking = asked - measured[name] if measured[name] > SILENCE else 0.0
        gains.append(float(10 ** (np.clip(lacking, -MOST, MOST) / 20)))
    return tuple(
        dataclasses.replace(placement, gain=gains[where])
        for placement, where in zip(
            performance.placements, performance.sections, strict=True
        )
    )


def _loudness(grains: Sequence[Grain], placements: Sequence[Placement]) -> float:
    """Of the bodies of grains one after the other, in LUFS; one grain at a time."""
    meter = LoudnessMeter(grains[placements[0].grain].sample_rate)
    for place in placements:
        waveform = grains[place.grain].waveform
        end = waveform.shape[1] - place.lead_out
        meter.hear(waveform[:, place.lead_in : end])
    return gated_loudness(powers_of(meter.tenths, meter.samples, meter.sample_rate))
