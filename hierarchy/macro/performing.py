"""A SongPlan with gestures to the grains that will sound it, and where they go.

Each section is a timeline of conditions, cut into grains, a bar each. Sections with the
same chords and gestures share their grains, so that a chorus that returns costs nothing.

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
from hierarchy.macro.loudness_range import range_of
from hierarchy.macro.timeline import EARLY, RING, Timeline, timeline_of
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.gestures import Book
from hierarchy.micro.grains import CONTEXT, LEAD, WARM_UP, GrainRequest, seed_from
from structure.plan import Section, SongPlan

SAME_COLOUR = 0.09
"""A return whose brightness differs by less is a return; those that are composed do."""


@dataclasses.dataclass(frozen=True)
class Performance:
    """All that a song needs: different grains, and where each sounds.

    Attributes:
        requests: what to sample; each is made when it is looked at, so that a long
            song's requests are never in memory together.
        placements: of the grains, in samples, at unit gain; see `balancing`.
        sections: number of the section that each placement is in.
        length: of the song, in samples.
        loudness_range: LU between sections of energy 0 and of energy 1.
    """

    requests: Sequence[GrainRequest]
    placements: tuple[Placement, ...]
    sections: tuple[int, ...]
    length: int
    loudness_range: float


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
        # Both of these go by what no redone section changes.
        words = (section.letter, section.chords)
        colour = colours.setdefault(words, section.brightness)
        if abs(colour - section.brightness) < SAME_COLOUR:
            section = section.model_copy(update={"brightness": colour})
        idea = (section.chords, section.gestures, section.brightness)
        visit = visits[words] = visits.get(words, -1) + 1
        anew = _bars_anew(section.bars, chorus_variation, seed=seed, number=number)
        # The song's last bar hears what rings on after it, and takes no breath.
        leads_over = not last or plan.ends_as_before
        for bar, (begin, end) in enumerate(_cuts(plan, section, sample_rate, last)):
            # What rings on belongs to the last bar.
            take = visit if anew[min(bar, section.bars - 1)] else 0
            ringing = last and (bar >= section.bars or not leads_over)
            rings = ringing and bar >= section.bars - 1
            name = (idea, rings, bar, take, section.take, begin, end)
            if name not in numbers:
                numbers[name] = len(requests)
                grain_seed = seed_from(seed, idea, bar, take, section.take)
                requests.append(
                    section, (ringing, leads_over), begin, end, seed=grain_seed
                )
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
    return Performance(
        requests, tuple(placements), tuple(sections), length, range_of(book)
    )


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
        def timeline(section: Section, ends: tuple[bool, bool]) -> Timeline:
            ring, breath = ends
            return timeline_of(
                plan, section, book, sample_rate, ring=ring, breath=breath
            )

        self._timeline = timeline

    def append(self, section, ends, begin, end, *, seed) -> None:
        """Another one: some samples of a section, which rings or takes a breath."""
        # These change neither conditions nor which timeline this is.
        section = section.model_copy(update=_UNHEARD)
        self._cuts.append((section, ends, begin, end, seed))

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        section, ends, begin, end, seed = self._cuts[index]
        return _cut(self._timeline(section, ends), begin, end, seed=seed, **self._asked)


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
        octaves=timeline.octaves[:, here],
        style=style,
        seed=seed,
        coarse=coarse,
        peaks=peaks,
    )
