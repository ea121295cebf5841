"""How loud each section sounds, by what its energy asks and what was sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hierarchy.macro.assembly import Placement
from hierarchy.macro.mastering import loudness_lufs
from hierarchy.macro.performing import Performance
from hierarchy.micro.grains import Grain
from structure.plan import SongPlan

RANGE = 12.0  # LU between energy 0 and energy 1
FULL = -14.0  # LUFS before mastering at energy 1
MOST = 24.0  # decibels that a section is raised or lowered at most


def balance(
    plan: SongPlan, performance: Performance, grains: Sequence[Grain]
) -> tuple[Placement, ...]:
    """Placements with gains that bring each section to its loudness.

    What is measured is the sound itself, K-weighted (ITU-R BS.1770): levels asked for
    say little about how loud a section is heard. A section's gain depends on its own
    grains and energy alone, so that changing one leaves the others as they were.
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
            bodies = [_body(grains[place.grain], place) for place in mine]
            rate = grains[mine[0].grain].sample_rate
            measured[name] = loudness_lufs(np.concatenate(bodies, axis=1), rate)
        asked = FULL - RANGE * (1 - section.energy)
        lacking = asked - measured[name] if np.isfinite(measured[name]) else 0.0
        gains.append(float(10 ** (np.clip(lacking, -MOST, MOST) / 20)))
    return tuple(
        dataclasses.replace(placement, gain=gains[where])
        for placement, where in zip(
            performance.placements, performance.sections, strict=True
        )
    )


def _body(grain: Grain, placement: Placement) -> np.ndarray:
    end = grain.waveform.shape[1] - placement.lead_out
    return grain.waveform[:, placement.lead_in : end]
