"""A grain's own sinusoids, told again as they were asked for."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro.choosing import choose_gestures
from hierarchy.macro.performing import _leads, perform
from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import HOP, chroma_of, measure
from hierarchy.material.sketch import HOP as SKETCH
from hierarchy.material.sketch import Sketch, render
from hierarchy.micro.grains import CONTEXT, WARM_UP, GrainRequest, request_like
from hierarchy.micro.refining import OCTAVE_GAIN, TOLD, edge_frames, refined
from structure.plan import Section, SongPlan
from tests.small_worlds import RATE, features_and_book

FIRST, FRAMES = 24, 40  # of the sound that is asked for
EDGE = edge_frames(RATE)
OWN = slice(WARM_UP // 2 + 1 + EDGE, (WARM_UP + FRAMES) // 2 + 2 - EDGE)
"""Frames of a request's sketch that are not at its edges."""


def chord(third: float, *, bass: float = 0.0) -> np.ndarray:
    """C, E and G for two and a half seconds; how loud E and a low C are."""
    time = np.arange(80 * HOP) / RATE
    tones = [(261.63, 0.2), (329.63, third), (392.0, 0.2), (65.41, bass)]
    sound = sum(loud * np.sin(2 * np.pi * hertz * time) for hertz, loud in tones)
    return np.stack([sound, sound]).astype(np.float32)


def asked_for(sound: np.ndarray) -> GrainRequest:
    request = request_like(measure(sound, RATE), FIRST, FRAMES, style=0, seed=5)
    return dataclasses.replace(request, peaks=0)


def heard_in(sound: np.ndarray) -> Sketch:
    return measure(sound[:, FIRST * HOP : (FIRST + FRAMES) * HOP], RATE).sketch


def drawn(request: GrainRequest) -> np.ndarray:
    """What the middle's sinusoids sound like, warm-up and all."""
    return np.asarray(
        render(
            request.frequency,
            request.amplitude[0],
            request.phase[0],
            sample_rate=RATE,
        )
    )


def likeness(chroma: np.ndarray, request: GrainRequest) -> float:
    """Cosine of two chords, mean frames of a sketch and of a request."""
    one = chroma[3:-3].mean(axis=0)
    two = request.chroma[WARM_UP + CONTEXT : WARM_UP + CONTEXT + FRAMES].mean(axis=0)
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_what_answered_rightly_is_told_as_it_is():
    sound = chord(0.2)
    request = asked_for(sound)
    told = refined(request, heard_in(sound), RATE)
    one, two = drawn(request), drawn(told)
    assert np.corrcoef(one, two)[0, 1] > 0.98
    middle = slice(len(one) // 3, 2 * len(one) // 3)
    assert np.abs(one - two)[middle].max() < 0.05 * np.abs(one).max()


@pytest.mark.parametrize("heard", [0.05, 0.6])
def test_a_pitch_that_lacks_is_raised_and_one_that_abounds_lowered(heard):
    request, sketch = asked_for(chord(0.2)), heard_in(chord(heard))
    told = refined(request, sketch, RATE)
    inside = slice(WARM_UP // 2 + 1, (WARM_UP + FRAMES) // 2)
    pair = told.amplitude.astype(np.complex64)
    after = chroma_of(Sketch(told.frequency, *pair)[inside])
    before = likeness(chroma_of(sketch), request)
    assert before < 0.93 and likeness(after, request) > 1 - 0.3 * (1 - before)


def test_an_octave_that_lacks_is_raised():
    request, sketch = asked_for(chord(0.2, bass=0.2)), heard_in(chord(0.2, bass=0.08))
    told = refined(request, sketch, RATE)

    def bass(frequency, amplitude):
        low = (frequency > 40) & (frequency < 100)
        return np.where(low, amplitude, 0).max(axis=1)[6:-6].mean()

    before = bass(sketch.frequency, np.abs(sketch.middle))
    raised = bass(told.frequency, told.amplitude[0]) / before
    assert 1.5 < raised <= OCTAVE_GAIN


def test_only_the_strongest_are_told_and_all_else_stays():
    request = asked_for(chord(0.2))
    told = refined(request, heard_in(chord(0.1)), RATE)
    assert told.peaks == TOLD and told.frequency.shape == request.frequency.shape
    for field in ("levels", "chroma", "octaves", "brightness", "onset"):
        np.testing.assert_array_equal(getattr(told, field), getattr(request, field))
    assert (told.style, told.seed, told.frames) == (0, 5, FRAMES)


def test_what_was_told_stays_told():
    request = dataclasses.replace(asked_for(chord(0.2)), peaks=2)
    told = refined(request, heard_in(chord(0.05)), RATE)
    strongest = np.sort(np.argsort(-request.amplitude[0], axis=1)[:, :2], axis=1)
    for field in ("frequency", "amplitude", "phase"):
        was, now = (np.array(getattr(one, field)) for one in (request, told))
        kept = np.take_along_axis(was, np.broadcast_to(strongest, (*was.shape[:-1], 2)), axis=-1)  # fmt: skip
        np.testing.assert_allclose(np.sort(now[..., :2]), np.sort(kept), rtol=1e-6)
    # Its own third is told beside them, and none of them twice.
    middle = told.frequency[6:-6], told.amplitude[0, 6:-6]
    for hertz in (261.63, 329.63, 392.0):
        near = np.abs(middle[0] - hertz) < 8
        assert (np.count_nonzero(near & (middle[1] > 0.02), axis=1) == 1).all()


def test_nothing_is_told_to_be_louder_than_it_is_asked_to_be():
    request = asked_for(chord(0.2))
    quiet = dataclasses.replace(request, levels=0.1 * request.levels)
    told = refined(quiet, heard_in(chord(0.05)), RATE)
    pair = told.amplitude.astype(np.complex64)
    drawn = drawn_power(Sketch(told.frequency, *pair), quiet.levels.shape[-1], RATE)
    # A tone between two bands counts for both, so all of them are summed.
    drawn, asked = drawn.sum(axis=2), np.square(quiet.levels[:, ::2]).sum(axis=2)
    drawn, most = drawn[:, OWN], asked[:, OWN]
    assert (drawn < 1.05 * most + 1e-9).all()
    assert drawn.max() > 0.5 * most.max()


def test_silence_is_told_as_silence():
    request = asked_for(chord(0.2))
    told = refined(request, heard_in(np.zeros([2, 80 * HOP], np.float32)), RATE)
    assert not told.amplitude[:, OWN].any() and np.isfinite(told.phase).all()


@pytest.mark.parametrize(("rate", "frames"), [(16_000, 3), (44_100, 4), (96_000, 6)])
def test_edges_are_as_long_as_two_bars_can_sound_together(rate, frames):
    shared = []
    for begin in range(0, 4096, 7):
        left, right = (
            _leads(begin - rate, begin, rate),
            _leads(begin, begin + rate, rate),
        )
        shared.append(left[1] + right[0])
    # A frame is heard from one before it to one after it.
    assert edge_frames(rate) == max(shared) // SKETCH + 1 == frames


@pytest.mark.parametrize("tempo", [84.0, 90.0, 97.0])
def test_neighbours_are_told_the_same_where_both_sound(small_song, tempo):
    """Whatever each of them invented, over the whole of what two bars share."""
    _, book = features_and_book(small_song)
    section = Section(label="verse", letter="A", chords=(("C:maj",),) * 3)
    plan = SongPlan(style="made", key="C:maj", tempo=tempo, sections=(section,))
    plan = choose_gestures(plan, book, seed=0)
    made = perform(plan, book, style=0, seed=0, sample_rate=RATE, peaks=0)
    inventions = (heard_in(chord(third)) for third in (0.6, 0.02))
    (left, one), (right, two) = (
        (place, drawn(refined(made.requests[place.grain], heard, RATE)))
        for place, heard in zip(made.placements, inventions, strict=False)
    )
    before = (WARM_UP + CONTEXT) * HOP
    shared = left.lead_out + right.lead_in
    end = before + made.requests[left.grain].frames * HOP
    ending, beginning = one[end - shared : end], two[before : before + shared]
    assert np.abs(ending).max() > 0.01
    np.testing.assert_allclose(ending, beginning, atol=1e-3 * np.abs(ending).max())
    inside = slice(end // 2, end // 2 + shared)
    assert np.abs(one[inside] - two[inside]).max() > 0.01
