"""A SongPlan with gestures to the grains that will sound it, and where they go.

A section becomes one timeline of conditions: each beat's gesture, transposed to the
beat's chord, stretched to the tempo, levelled and coloured as the plan asks. The
timeline is cut into grains, a bar each. Sections with the same chords and gestures
share their grains, so that a chorus that returns costs nothing.

A grain's seed is made of the song's grain seed, the section's idea, the bar and the
take. So another take of one section (`Section.take`) changes no other grain, and a
return that is to differ (`chorus_variation`) has a take of its own in some of its bars.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from hierarchy.macro.assembly import Placement
from hierarchy.macro.choosing import beat_chords, transpositions
from hierarchy.material import sketch as sinusoids
from hierarchy.material.features import FLOOR, chroma_of
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.gestures import Book
from hierarchy.material.sketch import Sketch
from hierarchy.micro.grains import CONTEXT, WARM_UP, GrainRequest, seed_from
from structure.harmony import Chord, Key
from structure.plan import Section, SongPlan

# Seconds by which a bar's grain begins before its bar line: the attack is all its own.
EARLY = 0.025
LEAD = 0.020  # seconds on each side of a join
BREATH, BREATH_BEATS = -6.0, 0.5  # decibels, and beats before a new section begins
RING = 2.5  # seconds after the last bar line in which the song dies away
RING_DECAY = 24.0  # decibels a second
SAME_COLOUR = 0.05  # a return whose brightness differs by less is a return
TILT = 1.2  # decibels a band, at brightness 1
OUTSIDE_KEY, OUTSIDE_CHORD = -18.0, -10.0  # decibels
MADE_UP = 9.0  # decibels by which what is left is raised at most
LOW, LOW_ROOT, LOW_OTHER = 200.0, 4.0, -4.0  # Hz and decibels: the bass says the root


@dataclasses.dataclass(frozen=True)
class Performance:
    """All that a song needs: different grains, and where each sounds.

    Attributes:
        requests: what to sample; each is made when it is looked at, so that a long
            song's requests are never in memory together.
        placements: of the grains, in samples, at unit gain; see `balancing`.
        sections: number of the section that each placement is in.
        length: of the song, in samples.
    """

    requests: Sequence[GrainRequest]
    placements: tuple[Placement, ...]
    sections: tuple[int, ...]
    length: int


@dataclasses.dataclass(frozen=True)
class _Timeline:
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


def perform(
    plan: SongPlan,
    book: Book,
    *,
    style: int,
    seed: int,
    sample_rate: int,
    peaks: int = 10_000,
    coarse: bool = True,
    chorus_variation: float = 0.0,
) -> Performance:
    """Say what to sample and where it goes.

    Args:
        plan: with gestures; see `choose_gestures`.
        book: that the gestures are from.
        style: number of the style in the grain model.
        seed: of the grains, apart from the plan's own.
        sample_rate: of the model, Hz.
        peaks: sinusoids given a frame; 0 gives no sketch.
        coarse: whether the coarse description is given.
        chorus_variation: share of the bars of a returning section that are another
            take. A bar that differs at one share differs at every larger one.
    """
    starts = [round(start * sample_rate) for start in plan.starts()]
    requests = _Requests(plan, book, sample_rate, style, coarse, peaks)
    numbers: dict[tuple, int] = {}
    placements, sections = [], []
    colours: dict[tuple, float] = {}
    visits: dict[tuple, int] = {}
    for number, section in enumerate(plan.sections):
        last = number == len(plan.sections) - 1
        colour = colours.setdefault(
            (section.chords, section.gestures), section.brightness
        )
        if abs(colour - section.brightness) < SAME_COLOUR:
            section = section.model_copy(update={"brightness": colour})
        idea = (section.chords, section.gestures, section.brightness)
        # Counted by what no redone section changes.
        words = (section.letter, section.chords)
        visit = visits[words] = visits.get(words, -1) + 1
        anew = _bars_anew(section.bars, chorus_variation, seed=seed, number=number)
        for bar, (begin, end) in enumerate(_cuts(plan, section, sample_rate, last)):
            # What rings on belongs to the last bar.
            take = visit if anew[min(bar, section.bars - 1)] else 0
            # Only the song's last bar hears what rings on after it.
            rings = last and bar >= section.bars - 1
            name = (idea, rings, bar, take, section.take, begin, end)
            if name not in numbers:
                numbers[name] = len(requests)
                grain_seed = seed_from(seed, idea, bar, take, section.take)
                requests.append(section, last, begin, end, seed=grain_seed)
            lead_in, lead_out = _leads(begin, end, sample_rate)
            placements.append(
                Placement(
                    grain=numbers[name],
                    start=starts[number] + begin,
                    lead_in=lead_in,
                    lead_out=lead_out,
                    # Nothing that changes in one section moves another.
                    anchored=bar == 0,
                )
            )
            sections.append(number)
    length = starts[-1] + round(RING * sample_rate)
    return Performance(requests, tuple(placements), tuple(sections), length)


def border(sample_rate: int) -> tuple[int, int]:
    """Samples before and after a section's downbeat that its border may reach.

    A bar's grain begins `EARLY` before its bar line, and half the fade between two
    grains lies on either side of that; the fade is as long as their leads allow.
    """
    early, half = round(EARLY * sample_rate), round(LEAD * sample_rate) + 2 * FRAME
    return early + half + 1, max(half - early, 0) + 1


def _bars_anew(bars: int, share: float, *, seed: int, number: int) -> np.ndarray:
    """Which bars of a section are another take when it returns, bool [bars].

    As many as the share says, and those of a smaller share are among them.
    """
    order = np.random.default_rng([seed, number]).permutation(bars)
    return (order + 0.5) / bars < share


_UNHEARD = {"take": 0, "energy": 0.5, "nearest": None}


class _Requests(Sequence):
    """Requests that are made when they are looked at, each time the same."""

    def __init__(self, plan, book, sample_rate, style, coarse, peaks):
        self._cuts: list[tuple] = []
        self._asked = {
            "sample_rate": sample_rate,
            "style": style,
            "coarse": coarse,
            "peaks": peaks,
        }

        # Neighbouring requests share a timeline; another section needs another.
        @functools.lru_cache(maxsize=2)
        def timeline(section: Section, ring: bool) -> _Timeline:
            return _timeline(plan, section, book, sample_rate, ring=ring)

        self._timeline = timeline

    def append(self, section, ring, begin, end, *, seed) -> None:
        """Another one: some samples of a section."""
        # These change neither conditions nor which timeline this is.
        section = section.model_copy(update=_UNHEARD)
        self._cuts.append((section, ring, begin, end, seed))

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        section, ring, begin, end, seed = self._cuts[index]
        return _cut(self._timeline(section, ring), begin, end, seed=seed, **self._asked)


def _cuts(plan, section, sample_rate, ring) -> list[tuple[int, int]]:
    """Samples from the section's downbeat at which each bar's grain begins and ends.

    What rings on after the last bar of the song is a grain of its own.
    """
    bar_samples = plan.beats_per_bar * plan.beat_seconds * sample_rate
    edges = [
        round(bar * bar_samples - EARLY * sample_rate)
        for bar in range(section.bars + 1)
    ]
    if ring:
        edges.append(round(section.bars * bar_samples + RING * sample_rate))
    return list(itertools.pairwise(edges))


def _leads(begin: int, end: int, sample_rate: int) -> tuple[int, int]:
    """Samples that a grain's array has before and after its body."""
    lead = round(LEAD * sample_rate)
    first = (begin - lead) // FRAME // 2 * 2 * FRAME
    frames = -(-(end + lead - first) // FRAME)
    frames += frames % 2
    return begin - first, first + frames * FRAME - end


def _cut(
    timeline, begin, end, *, sample_rate, style, seed, peaks, coarse
) -> GrainRequest:
    lead_in, lead_out = _leads(begin, end, sample_rate)
    first = (begin - lead_in) // FRAME - WARM_UP - CONTEXT + timeline.before
    last = (end + lead_out) // FRAME + CONTEXT + timeline.before
    here, drawn = slice(first, last), slice(first // 2, last // 2 + 1)
    sketch = timeline.sketch[drawn]
    return GrainRequest(
        levels=timeline.levels[:, here],
        brightness=timeline.brightness[here],
        onset=timeline.onset[here],
        tonality=timeline.tonality[here],
        beat=timeline.beat[here],
        frequency=sketch.frequency,
        amplitude=np.stack([np.abs(sketch.middle), np.abs(sketch.side)]),
        phase=timeline.phase[:, drawn],
        chroma=timeline.chroma[here],
        style=style,
        seed=seed,
        coarse=coarse,
        peaks=peaks,
    )


def _timeline(plan, section, book: Book, sample_rate, *, ring: bool) -> _Timeline:
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
    before_levels = _drawn_power(sketch, levels.shape[-1], sample_rate)
    sketch = _retune(
        sketch,
        shift[here],
        [Chord.parse(chords[b]) for b in here],
        plan.key,
        sample_rate,
    )
    sketch = _made_up(sketch, before_levels, sample_rate)
    sketch = _tilt_sketch(sketch, section.brightness, sample_rate, levels.shape[-1])
    tilt = 10 ** (_tilt(section.brightness, levels.shape[-1]) / 20)
    # What the sketch does not explain stays in its band; what it does moves with it.
    after = _drawn_power(sketch, levels.shape[-1], sample_rate)
    rest = np.maximum(levels**2 - before_levels.repeat(2, axis=1), (0.15 * levels) ** 2)
    levels = np.sqrt(rest * tilt**2 + after.repeat(2, axis=1))
    if not ring and section.bars >= 4:
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
    # What is said of a frame's colour has to agree with its levels.
    brightness = brightness + _octaves_brighter(levels[0], heard[0])
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
    chroma = chroma_of(sketch).repeat(2, axis=0)
    return _Timeline(
        before, levels, brightness, onset, tonality, place, sketch, phase, chroma
    )


def _octaves_brighter(levels: np.ndarray, than: np.ndarray) -> np.ndarray:
    """By how many octaves the centroid of levels [frames, bands] lies higher."""
    middle = np.arange(levels.shape[-1]) + 0.5
    now, before = (
        (x * middle).sum(axis=1) / np.maximum(x.sum(axis=1), FLOOR)
        for x in (levels, than)
    )
    return np.log2(now / np.maximum(before, FLOOR)).astype(np.float32)


def _attack(levels: np.ndarray, sample_rate: int) -> np.ndarray:
    """How strongly levels [frames, bands] rise, as `features` hears it: 0 to 1.

    There each mel band counts the same, so that a low band of ours, which holds many,
    counts for more.
    """
    edges = np.linspace(0, sample_rate / 2, levels.shape[-1] + 1)
    share = np.diff(np.log1p(edges / 700))
    decibels = 20 * np.log10(np.maximum(levels, 10 * FLOOR))
    rise = np.maximum(np.diff(decibels, axis=0, prepend=decibels[:1]), 0)
    return np.tanh(rise @ (share / share.sum()) / 5).astype(np.float32)


def _faded(levels, sketch: Sketch, gain: np.ndarray) -> tuple[np.ndarray, Sketch]:
    """Levels [2, frames, bands] and their sketch, times a gain for each frame."""
    drawn = gain[::2, None]
    sketch = Sketch(sketch.frequency, sketch.middle * drawn, sketch.side * drawn)
    return levels * gain[None, :, None], sketch


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


def _drawn_power(sketch: Sketch, bands: int, sample_rate: int) -> np.ndarray:
    """Square of the level that a sketch gives each band, [2, frames, bands]."""
    band = np.clip(
        (sketch.frequency / (sample_rate / 2) * bands).astype(int), 0, bands - 1
    )
    power = np.zeros([2, len(sketch), bands])
    row = np.broadcast_to(np.arange(len(sketch))[:, None], band.shape)
    for channel, part in enumerate((sketch.middle, sketch.side)):
        # A sinusoid has half its squared amplitude; a band has N times the power.
        np.add.at(power[channel], (row, band), 0.5 * bands * np.abs(part) ** 2)
    return power


def _retune(sketch: Sketch, shift, chords, key: str, sample_rate: int) -> Sketch:
    """Transpose each frame, and quieten what lies outside its chord and the key."""
    frequency = sketch.frequency * (2.0 ** (shift / 12))[:, None].astype(np.float32)
    pitch = np.rint(69 + 12 * np.log2(np.maximum(frequency, 20) / 440)).astype(int) % 12
    scale = set(Key.parse(key).scale)
    gain, root = np.zeros([len(chords), 12]), np.full([len(chords), 1], -1)
    for row, chord in enumerate(chords):
        tones = set(chord.pitch_classes)
        if tones:
            root[row] = chord.root
        for pc in range(12) if tones else ():
            inside = pc in tones
            gain[row, pc] = (
                0 if inside else OUTSIDE_CHORD if pc in scale else OUTSIDE_KEY
            )
    decibels = np.take_along_axis(gain, pitch, axis=1)
    bass = (frequency < LOW) & (root >= 0)
    decibels += bass * np.where(pitch == root, LOW_ROOT, LOW_OTHER)
    factor = 10 ** (decibels / 20)
    # Above some 2 kHz partials are colour more than harmony.
    factor = np.where(frequency < 2500, factor, 1.0)
    factor = np.where(frequency < 0.48 * sample_rate, factor, 0.0)
    return Sketch(
        frequency.astype(np.float32),
        (sketch.middle * factor).astype(np.complex64),
        (sketch.side * factor).astype(np.complex64),
    )


def _made_up(sketch: Sketch, before: np.ndarray, sample_rate: int) -> Sketch:
    """Raise what is left when notes were quietened, so that each band is as full.

    Otherwise the middle of the spectrum, where melodies lie, would be left hollow.

    Args:
        sketch: transposed to its chords, with some notes quieter.
        before: square of the level that it gave each band before, [2, frames, bands].
        sample_rate: Hz.
    """
    bands = before.shape[-1]
    after = _drawn_power(sketch, bands, sample_rate)
    lost = before.sum(axis=0) / np.maximum(after.sum(axis=0), FLOOR**2)
    gain = np.clip(np.sqrt(lost), 1.0, 10 ** (MADE_UP / 20))
    band = (sketch.frequency / (sample_rate / 2) * bands).astype(int)
    factor = np.take_along_axis(gain, np.clip(band, 0, bands - 1), axis=1)
    return Sketch(
        sketch.frequency,
        (sketch.middle * factor).astype(np.complex64),
        (sketch.side * factor).astype(np.complex64),
    )


def _tilt(brightness: float, bands: int) -> np.ndarray:
    """Decibels by which each band is raised."""
    return 2 * (brightness - 0.5) * TILT * np.arange(bands) * 8 / bands


def _tilt_sketch(
    sketch: Sketch, brightness: float, sample_rate: int, bands: int
) -> Sketch:
    place = sketch.frequency / (sample_rate / 2) * 8 - 0.5
    gain = 10 ** (2 * (brightness - 0.5) * TILT * np.maximum(place, 0) / 20)
    return Sketch(
        sketch.frequency,
        (sketch.middle * gain).astype(np.complex64),
        (sketch.side * gain).astype(np.complex64),
    )
