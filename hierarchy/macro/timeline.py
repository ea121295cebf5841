"""A section of a plan to its timeline: what is asked of the sound, frame by frame.

Each beat's gesture is transposed to the beat's chord, stretched to the tempo, levelled
and coloured as the plan asks. What is said of a frame stays true of it: partials that
were quietened leave no hollow, colour and attacks agree with the levels.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hierarchy.macro.brightness import brightness_of
from hierarchy.macro.choosing import beat_chords, transpositions
from hierarchy.macro.retuning import WIDE, made_up, retune
from hierarchy.material import sketch as sinusoids
from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import FLOOR, chroma_of, octaves_of
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.gestures import Book
from hierarchy.material.sketch import Sketch
from hierarchy.micro.grains import CONTEXT, WARM_UP
from structure.harmony import Chord
from structure.plan import Section, SongPlan

# Seconds by which a bar's grain begins before its bar line: the attack is all its own.
EARLY = 0.025
BREATH, BREATH_BEATS = -6.0, 0.5  # decibels, and beats before a new section begins
RING = 2.5  # seconds after the last bar line in which the song dies away
RING_DECAY = 24.0  # decibels a second
TILT = 1.2  # decibels a band, at brightness 1


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Conditions of a section; frame 0 lies `before` frames before its downbeat."""

    before: int
    levels: np.ndarray  # [2, frames, bands]
    brightness: np.ndarray
    onset: np.ndarray
    tonality: np.ndarray
    beat: np.ndarray
    sketch: Sketch  # frames // 2
    phase: np.ndarray  # [2, frames // 2, peaks]
    chroma: np.ndarray  # [frames, 12]
    octaves: np.ndarray  # [2, frames, octaves]


def timeline_of(
    plan: SongPlan,
    section: Section,
    book: Book,
    sample_rate: int,
    *,
    ring: bool,
    breath: bool,
) -> Timeline:
    """The conditions of one section, with some frames on either side.

    Args:
        plan: tempo, metre and key.
        section: with its gestures.
        book: that the gestures are from.
        sample_rate: Hz.
        ring: whether the song ends with it and dies away.
        breath: whether it grows quieter before its end, if it is long enough.
    """
    beats = plan.beats_per_bar * section.bars
    beat_frames = plan.beat_seconds * sample_rate / FRAME
    tail = RING * sample_rate / FRAME if ring else 0
    before = 2 * WARM_UP + 2 * CONTEXT + 4
    count = before + int(np.ceil(beats * beat_frames + tail)) + 2 * CONTEXT + 12
    count += count % 2
    # The middle of each frame, and where in which beat's gesture that is.
    middle = (np.arange(count) - before + 0.5) / beat_frames
    early = EARLY * sample_rate / FRAME / beat_frames
    beat = np.clip(np.floor(middle + early), 0, beats - 1).astype(int)
    inside = middle - beat
    gestures = np.ravel(section.gestures)
    source = _source_frames(book, gestures, beat, inside, count=count)

    chords = beat_chords(section, plan.beats_per_bar)
    shift = transpositions(book, gestures, chords)

    low, high = int(source.min()) // 2 * 2, int(source.max()) // 2 * 2 + 4
    clips = _Reader(book, low, high)
    levels, brightness, onset, tonality = clips.frames(source)
    heard = levels
    drawn = np.clip(np.rint(source[::2] / 2 - 0.25).astype(int), 0, None)
    sketch = clips.sketch(drawn)
    here = beat[::2]
    heard_sketch = sketch
    sketch = retune(
        sketch,
        shift,
        [Chord.parse(chord) for chord in chords],
        here,
        within=((middle >= 0) & (middle < beats))[::2],
        key=plan.key,
        sample_rate=sample_rate,
    )
    sketch = made_up(sketch, heard_sketch, sample_rate)
    sketch = _tilt_sketch(sketch, section.brightness, sample_rate)
    tilt = 10 ** (_tilt(section.brightness, levels.shape[-1]) / 20)
    # What the sketch does not explain stays in its band; what it does moves with it.
    drawn_before, drawn_after = (
        drawn_power(x, levels.shape[-1], sample_rate).repeat(2, axis=1)
        for x in (heard_sketch, sketch)
    )
    rest = np.maximum(levels**2 - drawn_before, (0.15 * levels) ** 2)
    levels = np.sqrt(rest * tilt**2 + drawn_after)
    if breath and section.bars >= 4:
        # A breath before what comes: where a drummer would lift the sticks.
        inside_breath = np.clip((middle - beats + BREATH_BEATS) / BREATH_BEATS, 0, 1)
        quieter = 10 ** (BREATH * inside_breath / 20)
        levels, sketch = _faded(levels, sketch, quieter)
    if ring:
        over = np.maximum(middle - beats, 0) * plan.beat_seconds
        decay = 10 ** (
            -(RING_DECAY * over + 60 * np.maximum(over - RING + 0.3, 0)) / 20
        )
        levels, sketch = _faded(levels, sketch, decay)
        onset = np.where(over > 0.1, 0.0, onset)
    levels = np.maximum(levels, FLOOR).astype(np.float32)
    # What is said of a frame's colour has to agree with what will sound.
    brightness = brightness + (
        brightness_of(levels[0], sketch, sample_rate)
        - brightness_of(heard[0], heard_sketch, sample_rate)
    )
    joined = np.abs(np.diff(source, prepend=source[:1] - 1)) > 2.5
    onset = np.where(joined, np.maximum(onset, _attack(levels[0], sample_rate)), onset)

    jumps = np.zeros(len(drawn), bool)
    jumps[1:] = (np.abs(np.diff(source[::2])) > 6) & (onset[2::2] > 0.3)
    phase = np.stack(
        [
            sinusoids.carry_phases(
                sketch.frequency, np.angle(part), sample_rate=sample_rate, restart=jumps
            )
            for part in (sketch.middle, sketch.side)
        ]
    )
    place = (middle % 1.0).astype(np.float32)
    return Timeline(
        before,
        levels,
        brightness,
        onset,
        tonality,
        place,
        sketch,
        phase,
        chroma_of(sketch).repeat(2, axis=0),
        octaves_of(sketch).repeat(2, axis=1),
    )


def _attack(levels: np.ndarray, sample_rate: int) -> np.ndarray:
    """How strongly levels [frames, bands] rise, as `features` hears it: 0 to 1.

    There each mel band counts the same, so that a low band of ours, which holds many,
    counts for more.
    """
    # Narrow bands of noise rise and fall by themselves: together they do not.
    bands = min(levels.shape[-1], WIDE)
    power = np.square(levels).reshape(len(levels), bands, -1).mean(axis=2)
    edges = np.linspace(0, sample_rate / 2, bands + 1)
    share = np.diff(np.log1p(edges / 700))
    decibels = 10 * np.log10(np.maximum(power, (10 * FLOOR) ** 2))
    rise = np.maximum(np.diff(decibels, axis=0, prepend=decibels[:1]), 0)
    return np.tanh(rise @ (share / share.sum()) / 5).astype(np.float32)


def _faded(levels, sketch: Sketch, gain: np.ndarray) -> tuple[np.ndarray, Sketch]:
    """Levels [2, frames, bands] and their sketch, times a gain for each frame."""
    return levels * gain[None, :, None], sketch.times(gain[::2, None])


def _source_frames(book, gestures, beat, inside, *, count) -> np.ndarray:
    """Where in the book each frame of a timeline is read, float [frames]."""
    used = gestures[beat]
    at = book.beat_start[used] + inside * book.beat_frames[used]
    phrase = book.beat_phrase[used]
    low, high = book.phrase_start[phrase], book.phrase_start[phrase + 1] - 2
    return np.clip(at, low, high)


class _Reader:
    """Reads frames of a book between two bounds at fractional places."""

    def __init__(self, book: Book, low: int, high: int):
        high = min(high, int(book.phrase_start[-1]))
        self.low, self.clip = low, book.clip(low, high)

    def frames(self, source: np.ndarray):
        """Levels [2, frames, bands], brightness, onset and tonality [frames]."""
        at = source - self.low - 0.5
        top = len(self.clip.brightness) - 1
        below = np.clip(np.floor(at).astype(int), 0, top)
        above = np.minimum(below + 1, top)
        share = np.clip(at - below, 0, 1).astype(np.float32)
        log = np.log(np.maximum(self.clip.levels, FLOOR))
        levels = (
            log[:, below] * (1 - share)[None, :, None]
            + log[:, above] * share[None, :, None]
        )
        nearest = np.where(share < 0.5, below, above)
        clip = self.clip
        return (
            np.exp(levels),
            clip.brightness[nearest],
            clip.onset[nearest],
            clip.tonality[nearest],
        )

    def sketch(self, frames: np.ndarray) -> Sketch:
        """Sketch frames, by their number in the book."""
        sketch = self.clip.sketch
        return sketch[np.clip(frames - self.low // 2, 0, len(sketch) - 1)]


def _tilt(brightness: float, bands: int) -> np.ndarray:
    """Decibels by which each band is raised."""
    return _raised((np.arange(bands) + 0.5) / bands, brightness)


def _tilt_sketch(sketch: Sketch, brightness: float, sample_rate: int) -> Sketch:
    raised = _raised(sketch.frequency / (sample_rate / 2), brightness)
    return sketch.times(10 ** (raised / 20))


def _raised(place: np.ndarray, brightness: float) -> np.ndarray:
    """Decibels by which sound is raised, by its place between 0 Hz and the highest."""
    return 2 * (brightness - 0.5) * TILT * np.maximum(8 * place - 0.5, 0)
