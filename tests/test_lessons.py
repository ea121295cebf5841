"""Recordings cut into windows, and what a model is told in each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hierarchy.material import bands as filterbank
from hierarchy.material.companding import BIN, from_shape
from hierarchy.material.features import BANDS, HOP, middle_and_side
from hierarchy.micro import conditions, grains
from hierarchy.micro.baselines import baseline_bits
from hierarchy.micro.grains import WARM_UP, request_like
from hierarchy.micro.learning import LessonConfig, validation_windows, window_batches
from hierarchy.micro.lessons import Lesson, audible, lesson
from hierarchy.micro.objective import (
    UNHEARD,
    band_weights,
    doubtful,
    validation_loss,
)
from tests.small_worlds import features_and_book, tiny_config, tiny_net

STEPS = HOP // BANDS  # in a frame


@pytest.fixture(scope="module")
def taught(small_song):
    features, _ = features_and_book(small_song)
    return lesson("small", small_song.waveform, features, tiny_config(), style=0)


def drawn(window):
    """A window's sketch as shape."""
    batch = jax.tree.map(lambda part: part[None], window)
    return np.asarray(
        jax.jit(conditions.draw, static_argnames="sample_rate")(
            batch.frequency,
            batch.amplitude,
            batch.phase,
            batch.levels,
            sample_rate=16_000,
        )
    )[0]


def test_a_lesson_is_its_recording(taught, small_song):
    assert taught.channels == 2
    assert taught.seconds(tiny_config()) == pytest.approx(
        small_song.plan.seconds, abs=0.1
    )
    levels = taught.levels[0, 2:-2]
    again = np.asarray(
        filterbank.join(from_shape(jnp.float32(taught.shape[0]), jnp.asarray(levels)))
    )
    middle = middle_and_side(small_song.waveform)[0]
    error = np.square(again[: len(middle)] - middle).sum()
    # The shape of the hardest attacks is clipped, and the rest has 11 bits.
    assert error < 1e-2 * np.square(middle).sum()


def test_the_sketch_lies_over_the_sound(taught):
    window = taught.cut(40, 8, channel=0, coarse=1.0, peaks=8, of=8)
    sketch, shape = drawn(window)[:, 0], window.shape[:, 0]
    assert np.corrcoef(sketch, shape)[0, 1] > 0.8
    late = np.corrcoef(sketch[:-3], shape[3:])[0, 1]
    assert late < 0.5 * np.corrcoef(sketch, shape)[0, 1]


def test_a_window_does_not_depend_on_what_was_cut_off_before(taught):
    part = taught.between(10, 60)
    one = part.cut(20, 8, channel=1, coarse=1.0, peaks=5, of=8)
    other = taught.cut(30, 8, channel=1, coarse=1.0, peaks=5, of=8)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_fewer_peaks_are_the_strongest_ones(taught):
    few, many = (
        taught.cut(30, 8, channel=0, coarse=1.0, peaks=n, of=8) for n in (2, 8)
    )
    assert ((few.amplitude > 0).sum(axis=1) <= 2).all()
    kept = few.amplitude > 0
    np.testing.assert_array_equal(few.amplitude[kept], many.amplitude[kept])
    assert few.share == 0.25


def test_a_side_that_is_hardly_there_is_not_learnt(small_song):
    features, _ = features_and_book(small_song)
    faint = np.array(features.levels)
    faint[1] = 0.01 * faint[0]
    mono = dataclasses.replace(features, levels=faint)
    assert lesson("m", small_song.waveform, mono, tiny_config(), style=0).channels == 1


def test_what_is_asked_when_sampling_is_what_was_taught(small_song):
    features, _ = features_and_book(small_song)
    # As `features_of` gives them to a model.
    features = dataclasses.replace(features, sketch=features.sketch.strongest(8))
    taught = lesson("small", small_song.waveform, features, tiny_config(), style=0)
    units, start = 8, 30
    request = request_like(features, 2 * start, 2 * units, style=0, seed=1)
    assert request.frames == 2 * units
    warm = WARM_UP // 2
    window = taught.cut(
        start - warm, units + warm, channel=0, coarse=1.0, peaks=8, of=8
    )

    row = grains._row(request, 0, WARM_UP + request.frames, 8)
    # All but how far the past can be trusted: windows are cut before it is in doubt.
    np.testing.assert_allclose(row["frames"][:, :-1], window.frames[:, :-1], atol=1e-6)
    assert 0 == window.frames[0, -1] < row["frames"][0, -1] < 1
    np.testing.assert_allclose(row["levels"], window.levels, rtol=1e-5)
    asked = window._replace(
        frequency=row["frequency"], amplitude=row["amplitude"], phase=row["phase"]
    )
    np.testing.assert_allclose(drawn(asked), drawn(window), atol=1e-3)

    # With no sinusoids to follow, and only then, chroma is asked for more clearly.
    alone = dataclasses.replace(request, peaks=0)
    louder = grains._row(alone, 0, WARM_UP + request.frames, 8)["frames"]
    np.testing.assert_allclose(louder[:, :12], 1.5 * row["frames"][:, :12])
    np.testing.assert_array_equal(louder[:, 12:-4], row["frames"][:, 12:-4])


def test_batches_are_a_function_of_the_step(taught):
    config = LessonConfig(frames=16, batch_size=4)
    first, again = (
        window_batches([taught], config, peaks=8, seed=5)(7) for _ in range(2)
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first.shape.shape == (4, 16 * STEPS, BANDS)
    other = window_batches([taught], config, peaks=8, seed=5)(8)
    assert np.abs(first.shape - other.shape).max() > 0


def test_conditions_are_withheld_as_often_as_asked(taught):
    config = LessonConfig(
        frames=8,
        batch_size=400,
        without_sketch=0.25,
        without_coarse=0.4,
        without_style=0.1,
        thinned=0.5,
    )
    batch = window_batches([taught], config, peaks=8, seed=0)(0)
    assert np.mean(batch.share == 0) == pytest.approx(0.25, abs=0.07)
    assert np.mean(batch.coarse == 0) == pytest.approx(0.4, abs=0.08)
    assert np.mean(batch.style == -1) == pytest.approx(0.1, abs=0.05)
    # Half of those with a sketch are thinned, to 1 to 8 of 8 peaks.
    assert np.mean(batch.share == 1) == pytest.approx(0.75 * (0.5 + 0.5 / 8), abs=0.08)
    assert not batch.amplitude[batch.share == 0].any()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": 9}, "even and at least 8, got 9"),
        ({"batch_size": -1}, "batch_size starts at 0, got -1"),
        ({"thinned": 1.5}, "thinned is from 0 to 1, got 1.5"),
    ],
)
def test_lessons_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LessonConfig(**changes)


def test_the_bands_count_1_on_average_and_the_lower_ones_more():
    for bands in (1, 4, 8):
        weights = band_weights(bands)
        assert weights.mean() == pytest.approx(1)
        assert (np.diff(weights) < 0).all()


def test_what_cannot_be_heard_hardly_counts():
    assert audible(jnp.float32([1e-5, 0.1])).tolist() == pytest.approx([0.02, 1])


@jax.jit
def _bits(weights, window):
    model = nnx.merge(nnx.split(tiny_net())[0], weights)
    return validation_loss(model, window, jax.random.key(0))


def test_bits_without_conditions_do_not_depend_on_them(taught):
    config = LessonConfig(frames=16, batch_size=2)
    window = validation_windows([taught], config, peaks=8, batches=1)[0]
    weights = nnx.split(tiny_net())[1]
    _, bits = _bits(weights, window)
    # The last FLAGS say which channel it is and what is given; they are no secret.
    louder = np.array(window.frames)
    louder[..., : -conditions.FLAGS] += 0.5
    _, changed = _bits(
        weights, window._replace(frames=louder, amplitude=0.5 * window.amplitude)
    )
    assert changed["bits_free"] == bits["bits_free"]
    assert changed["bits_coarse"] != bits["bits_coarse"]
    assert changed["bits_sketch"] != bits["bits_sketch"]
    # A sketch given at half its strength is all the coarse bits do not see.
    _, thinner = _bits(weights, window._replace(amplitude=0.5 * window.amplitude))
    assert thinner["bits_coarse"] == bits["bits_coarse"]
    assert thinner["bits_sketch"] != bits["bits_sketch"]


def test_the_start_of_a_window_only_warms_up(taught):
    config = LessonConfig(frames=16, batch_size=2)
    window = validation_windows([taught], config, peaks=8, batches=1)[0]
    weights = nnx.split(tiny_net())[1]
    _, bits = _bits(weights, window)
    shape = np.array(window.shape)
    # As far back as the network's reach nothing of the window's start is left.
    shape[:, : UNHEARD * STEPS - tiny_net().config.reach - 1] = 0
    _, warmed = _bits(weights, window._replace(shape=shape))
    assert warmed["bits_free"] == pytest.approx(float(bits["bits_free"]), abs=1e-5)


def made_of(signal):
    """A lesson of one band with this shape."""
    frames = len(signal) // 64
    none = np.zeros([1, frames, 1], np.float32)
    drawn = np.zeros([1, frames // 2 + 3, 1], np.float32)
    return Lesson(
        "made",
        0,
        signal[None, :, None].astype(np.float16),
        none,
        np.ones([1, frames + 4, 1], np.float32),
        drawn[0],
        drawn,
        drawn,
        drawn[0].astype(np.int16),
    )


def windows_of(lesson, batches=8):
    config = LessonConfig(frames=48, batch_size=8)
    return validation_windows([lesson], config, peaks=1, batches=batches)


def test_gaussian_noise_needs_its_entropy_and_no_model_helps():
    random = np.random.default_rng(0)
    train, held_out = (made_of(random.normal(size=64_000)) for _ in range(2))
    bits = baseline_bits([train], windows_of(held_out))
    entropy = np.log2(np.sqrt(2 * np.pi * np.e) / BIN)
    assert bits["marginal"] == pytest.approx(entropy, abs=0.03)
    assert bits["linear_prediction"] == pytest.approx(entropy, abs=0.03)


def test_linear_prediction_gains_what_theory_says():
    random = np.random.default_rng(1)

    def resonance():
        noise, signal = random.normal(size=64_000), np.zeros(64_000)
        for now in range(1, len(noise)):
            signal[now] = 0.9 * signal[now - 1] + (1 - 0.81) ** 0.5 * noise[now]
        return made_of(signal)

    bits = baseline_bits([resonance()], windows_of(resonance()))
    gain = -0.5 * np.log2(1 - 0.81)
    assert bits["marginal"] - bits["linear_prediction"] == pytest.approx(gain, abs=0.05)


def test_adaptive_prediction_follows_what_changes_and_pays_for_it():
    random = np.random.default_rng(2)

    def turning(signs):
        """A resonance that lies at the bottom or at the top of the band by turns."""
        noise, signal = random.normal(size=64_000), np.zeros(64_000)
        sign = np.resize(np.repeat(signs, 16_000), len(noise))
        for now in range(1, len(noise)):
            past = 0.9 * sign[now] * signal[now - 1]
            signal[now] = past + (1 - 0.81) ** 0.5 * noise[now]
        return made_of(signal)

    counted = (48 - UNHEARD) * 64
    sent = 33 / 2 * np.log2(counted) / counted
    lesson = turning([1, -1])
    turns = baseline_bits([lesson], windows_of(lesson))
    gain = -0.5 * np.log2(1 - 0.81)
    # One filter for both can only tell from every second step.
    of_both = -0.5 * np.log2(1 - 0.81**2)
    saved = {name: turns["marginal"] - turns[name] for name in turns}
    assert saved["linear_prediction"] == pytest.approx(of_both, abs=0.05)
    assert saved["adaptive"] == pytest.approx(gain - sent, abs=0.1)

    steady = turning([1, 1])
    same = baseline_bits([steady], windows_of(steady))
    assert 0 < same["adaptive"] - same["linear_prediction"] < sent + 0.01


def test_silence_has_no_baseline():
    silent = made_of(np.zeros(6400))
    silent.levels[:] = 1e-5
    with pytest.raises(ValueError, match="nothing audible"):
        baseline_bits([silent], windows_of(silent))


def test_baselines_count_what_a_model_is_judged_by():
    """Neither the start of a window, which only warms up, nor what none can hear."""
    random = np.random.default_rng(0)
    lesson = made_of(random.normal(size=64_000))
    (window,) = windows_of(lesson, batches=1)
    steps = window.shape.shape[1] // window.frames.shape[1]
    bits = baseline_bits([lesson], [window])

    warming_up = np.array(window.shape)
    warming_up[:, : UNHEARD * steps - 32] = 7.0
    assert baseline_bits([lesson], [window._replace(shape=warming_up)]) == bits

    louder, silent = np.array(window.shape), np.array(window.levels)
    louder[0, UNHEARD * steps :] = 7.0
    assert baseline_bits([lesson], [window._replace(shape=louder)])["marginal"] > (
        bits["marginal"] + 1
    )
    silent[0] = 1e-6
    unheard = baseline_bits([lesson], [window._replace(shape=louder, levels=silent)])
    assert unheard["marginal"] == pytest.approx(bits["marginal"], abs=0.1)


def test_windows_leave_out_recordings_that_are_too_short():
    random = np.random.default_rng(0)
    long, short = (made_of(random.normal(size=size)) for size in (6400, 640))
    config = LessonConfig(frames=48, batch_size=4)
    made = validation_windows([short, long], config, peaks=1)
    alone = validation_windows([long], config, peaks=1)
    for one, other in zip(made, alone, strict=True):
        assert np.array_equal(one.shape, other.shape)
    assert validation_windows([short], config, peaks=1) == []


@pytest.mark.parametrize("true_past", [0.0, 0.5, 1.0])
def test_a_share_of_windows_hears_the_true_past(true_past):
    shape, keys = jnp.ones([200, 2]), jax.random.split(jax.random.key(0), 1000)
    past, doubt = jax.vmap(
        lambda key: doubtful(shape, key, past_noise=0.4, true_past=true_past)
    )(keys)
    heard_true = np.asarray(doubt) == 0
    assert heard_true.mean() == pytest.approx(true_past, abs=0.06)
    np.testing.assert_array_equal(past[heard_true], 1)
    if true_past < 1:
        noisy = np.asarray(doubt)[~heard_true]
        # Any amount up to the most, alike, and the model is told how much.
        assert noisy.max() <= 0.4
        assert noisy.mean() == pytest.approx(0.2, abs=0.02)
        spread = np.std(past[~heard_true] - 1, axis=(1, 2))
        np.testing.assert_allclose(spread / noisy, 1, atol=0.2)


def of_colours(shape, *, most=20.0, count=100, noise=0.0):
    """Pasts in which the lows are other than they were, [count, steps, bands]."""
    keys = jax.random.split(jax.random.key(0), count)
    return jax.vmap(
        lambda key: doubtful(
            shape, key, past_noise=noise, past_colour=most, true_past=0.0
        )
    )(keys)


def test_lows_of_the_past_are_raised_and_lowered_and_its_level_stays():
    shape = jax.random.normal(jax.random.key(1), [1024, 2])
    past, _ = of_colours(shape)
    for one in np.asarray(past):
        level = np.square(shape).mean(axis=0)
        np.testing.assert_allclose(np.square(one).mean(axis=0), level, rtol=1e-3)

    def lows(x):
        power = np.square(np.abs(np.fft.rfft(np.asarray(x), axis=-2)))
        share = power[..., 1:12, :].sum(axis=-2) / power.sum(axis=-2)
        return 10 * np.log10(share.mean(axis=-1))

    changed = lows(past) - lows(shape)
    assert -20 < changed.min() < -10 and 5 < changed.max() <= 10
    np.testing.assert_array_equal(of_colours(shape, most=0.0)[0][0], shape)


def test_a_coloured_past_says_nothing_of_what_is_to_come():
    shape = jax.random.normal(jax.random.key(1), [512, 1])
    past, _ = of_colours(shape, count=20)
    other, _ = of_colours(shape.at[256:].multiply(-3.0), count=20)
    # But for its level, one number for all of it.
    ratio = np.asarray(past[:, :256] / other[:, :256])
    np.testing.assert_allclose(ratio / ratio[:, :1], 1, rtol=1e-3)


def test_the_more_doubt_the_more_colour():
    shape = jax.random.normal(jax.random.key(1), [512, 1])
    past, doubt = of_colours(shape, count=400, noise=1e-3)
    off = np.abs(np.asarray(past) - np.asarray(shape)).mean(axis=(1, 2))
    little, much = (off[np.asarray(x)] for x in (doubt < 3e-4, doubt > 7e-4))
    assert little.mean() < 0.6 * much.mean()


def test_colour_is_in_decibels_from_0_up():
    assert LessonConfig(past_colour=20.0).past_colour == 20.0
    with pytest.raises(ValueError, match="past_colour"):
        LessonConfig(past_colour=-1.0)
