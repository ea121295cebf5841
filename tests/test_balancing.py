"""Sections sound as loud as their energy asks."""

import numpy as np
import pytest

from hierarchy.macro.assembly import Placement
from hierarchy.macro.balancing import FULL, balance
from hierarchy.macro.mastering import loudness_lufs
from hierarchy.macro.performing import Performance
from hierarchy.micro.grains import Grain
from structure.plan import Section, SongPlan
from tests.small_worlds import RATE

LEAD, RANGE = 320, 12.0


def played(energies, volumes):
    """Sections of two bars, each one grain of noise: plan, performance and grains."""
    random = np.random.default_rng(0)
    sections = [
        Section(label="verse", letter="A", energy=energy, chords=(("C",), ("C",)))
        for energy in energies
    ]
    plan = SongPlan(tempo=120, sections=sections)
    bar = 2 * RATE
    grains = [
        Grain(
            (volume * random.normal(size=[2, bar + 2 * LEAD])).astype(np.float32),
            RATE,
            None,
        )
        for volume in volumes
    ]
    placements = tuple(
        Placement(
            grain=number // 2, start=number * bar, lead_in=LEAD, lead_out=LEAD, gain=1.0
        )
        for number in range(2 * len(energies))
    )
    where = tuple(number // 2 for number in range(2 * len(energies)))
    return plan, Performance((), placements, where, 4 * bar, RANGE), grains


def loudness(placement, grains):
    sound = placement.gain * grains[placement.grain].waveform[:, LEAD:-LEAD]
    return loudness_lufs(np.concatenate([sound, sound], axis=1), RATE)


def test_energy_becomes_loudness_whatever_was_sampled():
    plan, performance, grains = played([0.25, 1.0], [0.2, 0.05])
    soft, _, loud, _ = balance(plan, performance, grains)
    assert loudness(soft, grains) == pytest.approx(FULL - 0.75 * RANGE, abs=0.1)
    assert loudness(loud, grains) == pytest.approx(FULL, abs=0.1)


def test_a_section_is_one_level_throughout():
    gains = [p.gain for p in balance(*played([0.25, 1.0], [0.2, 0.05]))]
    assert gains[0] == gains[1]
    assert gains[2] == gains[3]


def test_how_loud_a_section_is_depends_on_no_other_section():
    one = balance(*played([0.5, 0.5], [0.1, 0.01]))
    other = balance(*played([0.5, 1.0], [0.1, 0.3]))
    assert one[0].gain == other[0].gain


def test_places_stay_where_they_are():
    plan, performance, grains = played([0.5, 0.5], [0.1, 0.01])
    for was, now in zip(
        performance.placements, balance(plan, performance, grains), strict=True
    ):
        assert (now.start, now.grain) == (was.start, was.grain)


def test_silence_is_not_raised():
    gains = [p.gain for p in balance(*played([0.5, 0.5], [0.0, 1e-9]))]
    assert np.isfinite(gains).all()
    assert max(gains) <= 10 ** (24 / 20)
