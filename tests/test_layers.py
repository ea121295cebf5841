"""A grain comes apart into bass, harmonic and percussive, and adds up again."""

import numpy as np
import pytest

from hierarchy.macro.layers import HUSHED, LAYERS, automate, split_layers
from hierarchy.macro.mixing import (
    add_up,
    curve_gains,
    layer_blocks,
    mix_blocks,
    parts,
)
from tests.small_worlds import RATE, rendered, small_plan

TIME = np.arange(44_100) / 44_100


def shares(sound):
    """Level of each layer beside the whole's."""
    levels = np.sqrt(np.mean(split_layers(sound, 44_100) ** 2, axis=(1, 2)))
    return levels / np.sqrt(np.mean(sound**2))


def stereo(mono):
    return np.stack([mono, 0.5 * mono]).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("samples", [300, 5_000, 30_001])
def test_the_layers_of_a_sound_add_up_to_it(rate, samples):
    sound = np.random.default_rng(0).normal(size=[2, samples]).astype(np.float32)
    layers = split_layers(sound, rate)
    assert layers.shape == (3, 2, samples) and layers.dtype == np.float32
    np.testing.assert_allclose(layers.sum(axis=0), sound, atol=2e-6)


def test_what_lasts_is_harmonic_what_strikes_percussive_what_is_low_bass():
    tone = stereo(np.sin(2 * np.pi * 440 * TIME))
    strokes = np.random.default_rng(1).normal(size=TIME.size)
    strokes = stereo(strokes * np.exp(-(TIME % 0.25) / 0.01))
    low = stereo(np.sin(2 * np.pi * 60 * TIME))
    assert shares(tone)[1] > 0.98 and max(shares(tone)[[0, 2]]) < 0.05
    assert shares(strokes)[2] > 0.85 and shares(strokes)[1] < 0.4
    assert shares(low)[0] > 0.98 and max(shares(low)[1:]) < 0.05


def test_tones_and_strokes_that_sound_together_are_told_apart():
    tone = np.sin(2 * np.pi * 440 * TIME) + np.sin(2 * np.pi * 1250 * TIME)
    strokes = np.random.default_rng(1).normal(size=TIME.size)
    strokes *= np.exp(-(TIME % 0.25) / 0.01)
    _, harmonic, percussive = split_layers(stereo(tone + strokes), 44_100)[:, 0]
    assert np.corrcoef(harmonic, tone)[0, 1] > 0.98
    assert np.corrcoef(percussive, strokes)[0, 1] > 0.85


def test_what_asks_for_little_is_heard_with_little_drums_and_bass():
    plan = small_plan("ABC")
    verse, chorus = automate(plan, 0), automate(plan, 1)
    assert (verse.gain[:, 0] <= chorus.gain[:, 0]).all()
    for place, name in enumerate(LAYERS):
        asked = HUSHED[name] * (1 - plan.sections[0].energy)
        assert verse.gain[place, 0] == pytest.approx(asked)
    # Wider where there is more energy, and in the middle on the whole.
    assert np.abs(chorus.pan).max() > np.abs(verse.pan).max() > 0
    np.testing.assert_allclose(chorus.pan.sum(axis=1), 0, atol=1e-9)


def test_drums_lead_into_what_comes_and_nothing_leads_out_of_the_song():
    plan = small_plan("AB")
    assert automate(plan, 0).gain[2, -1] > automate(plan, 0).gain[2, -2]
    assert automate(plan, 1).gain[2, -1] == automate(plan, 1).gain[2, -2]


def test_a_curve_is_a_line_between_its_points():
    curve = automate(small_plan("AB"), 0)
    gains = curve_gains(curve, curve.seconds)
    np.testing.assert_allclose(gains, curve.sides(), rtol=1e-6)
    middle = (curve.seconds[0] + curve.seconds[1]) / 2
    np.testing.assert_allclose(
        curve_gains(curve, np.array([middle]))[..., 0],
        curve.sides()[..., :2].mean(axis=-1),
        rtol=1e-6,
    )


@pytest.fixture(scope="module")
def song(small_song):
    return rendered(small_song, small_plan("ABABC", tempo=200))


def test_the_layers_of_a_song_add_up_to_its_mix(song):
    layers = np.concatenate(list(layer_blocks(song.score)), axis=-1)
    assert layers.shape == (3, 2, song.score.length)
    residual = np.abs(layers.sum(axis=0) - song.mix).max()
    assert residual < 10 ** (-90 / 20)
    assert all(np.abs(layer).max() > 1e-4 for layer in layers)


def test_a_mix_in_pieces_is_the_mix(song):
    blocks = list(mix_blocks(song.score))
    assert len(blocks) > song.plan.bars
    # No piece is much longer than a bar: that is all that memory holds.
    bar = song.plan.beats_per_bar * song.plan.beat_seconds * RATE
    assert max(block.shape[1] for block in blocks[:-1]) < 1.5 * bar
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), song.mix)


def test_parts_come_in_the_order_of_time_and_know_their_sections(song):
    found = list(parts(song.score))
    begins = [part.sounding.begin for part in found]
    assert begins == sorted(begins)
    assert [part.section for part in found] == list(song.score.sections)


def test_pieces_that_overlap_are_summed_and_gaps_are_silent():
    one = np.ones([2, 4], np.float32)
    pieces = [(1, one), (3, 2 * one), (9, one)]
    blocks = list(add_up(iter(pieces), end=14))
    summed = np.concatenate(blocks, axis=1)
    expected = [0, 1, 1, 3, 3, 2, 2, 0, 0, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(summed, [expected, expected])
    later = np.concatenate(list(add_up(iter(pieces), start=1)), axis=1)
    np.testing.assert_array_equal(later, summed[:, 1:13])
