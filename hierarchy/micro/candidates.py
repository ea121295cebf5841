"""Several grains for a request that leaves the pitch open, and the best of them.

Told its sinusoids, a model answers nearly alike whatever the seed. Told few of them or
none, but how loud and bright it should be and which pitches are heard, it sometimes plays
others: then a few candidates are sampled and heard with the measures that requests are
made with, and the one is kept whose chroma is most like the chroma that was asked for and
whose brightness moves most as it was asked to. Each after the first is told a few
sinusoids of the best so far, made more like what was asked, and joins its neighbours
(`refining`); the first is a draft.

Source: best of n samples by a measure, as by Nakano et al., "WebGPT", 2021; a draft
that is heard and mended after Madaan et al., "Self-Refine", 2023.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from hierarchy.material.features import Features, chroma_of, measure
from hierarchy.material.sketch import Sketch
from hierarchy.micro.grains import (
    CONTEXT,
    TEMPERATURE,
    WARM_UP,
    Grain,
    GrainModel,
    GrainRequest,
    make_grains,
    seed_from,
)
from hierarchy.micro.refining import TOLD, refined

CANDIDATES = 3  # of a request with few sinusoids; measured in benchmarks/RESULTS.md
BRIGHT = 0.2  # what brightness counts, where chroma counts 1
LOUD = 40.0  # dB below the loudest frame; what is heard of quieter ones does not count
STILL = 1e-3  # octaves of brightness that are no movement


def candidates_of(request: GrainRequest) -> int:
    """How many grains are sampled for a request, of which one is kept."""
    few = request.peaks < min(TOLD, request.frequency.shape[-1])
    return CANDIDATES if request.coarse and few else 1


def best_grains(
    model: GrainModel,
    requests: Sequence[GrainRequest],
    *,
    temperature: float = TEMPERATURE,
    progress: Callable[[int, int], None] | None = None,
    listener: Callable[[int, Candidate], None] | None = None,
) -> list[Grain]:
    """As `make_grains`, but the best of `candidates_of` each request.

    Each candidate has a seed of its own that follows from its request's, so a grain
    still depends on its request alone. Its `request` is the one that was asked.

    Args:
        model, requests, temperature, progress: see `make_grains`.
        listener: called with the place of a request and each of its candidates.
    """
    counts = [candidates_of(request) for request in requests]
    rounds = [
        [place for place, count in enumerate(counts) if count > number]
        for number in range(max(counts, default=0))
    ]
    work = [sum(requests[place].frames for place in places) for places in rounds]
    heard: list[list[Candidate]] = [[] for _ in requests]
    for number, places in enumerate(rounds):
        before, share = sum(work[:number]), work[number]

        def report(done: int, of: int, *, before=before, share=share) -> None:
            if progress:
                progress(before + share * done // max(of, 1), sum(work))

        grains = make_grains(
            model,
            [_attempt(requests[place], number, heard[place]) for place in places],
            temperature=temperature,
            progress=report,
        )
        for place, grain in zip(places, grains, strict=True):
            grain = dataclasses.replace(grain, request=requests[place])
            made = Candidate.of(grain) if counts[place] > 1 else Candidate(grain)
            if listener:
                listener(place, made)
            heard[place].append(made)
    return [best_of(candidates).grain for candidates in heard]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A grain that may be kept; heard if there are others.

    Attributes:
        grain: with the request that was asked.
        sketch: its sinusoids.
        in_chroma, in_brightness: how like what was asked it is.
    """

    grain: Grain
    sketch: Sketch | None = None
    in_chroma: float = 0.0
    in_brightness: float = 0.0

    @property
    def worth(self) -> float:
        """What candidates are chosen by."""
        return self.in_chroma + BRIGHT * self.in_brightness

    @classmethod
    def of(cls, grain: Grain) -> Candidate:
        """Hear a grain; one with a sample that is no number is worth nothing."""
        if not np.isfinite(grain.waveform).all():
            return cls(grain, in_chroma=-np.inf)
        bands = grain.request.levels.shape[-1]
        heard = measure(grain.waveform, grain.sample_rate, bands=bands)
        return cls(
            grain,
            heard.sketch,
            chroma_likeness(grain.request, heard),
            brightness_likeness(grain.request, heard),
        )


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The best answer of those that were mended, which join their neighbours.

    The first, which was told nothing at its edges, only where no other is a number.
    """
    draft, *mended = candidates
    best = max(mended, key=_worth, default=draft)
    return best if np.isfinite(best.worth) else draft


def _worth(candidate: Candidate) -> float:
    return candidate.worth


def chroma_likeness(request: GrainRequest, heard: Features) -> float:
    """How like the asked chroma the heard one is: the median cosine of loud frames.

    Args:
        request: what was asked.
        heard: features of its grain, with as many bands; see `features.measure`.
    """
    inside, loud = _loud_frames(request)
    chroma = _heard_chroma(request, heard)
    asked, found = request.chroma[inside][loud], chroma[loud]
    norms = np.linalg.norm(asked, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (asked * found).sum(axis=1)[norms > 0] / norms[norms > 0]
    return float(np.median(cosines)) if len(cosines) else 0.0


def brightness_likeness(request: GrainRequest, heard: Features) -> float:
    """Correlation of the asked brightness and the heard one over loud frames.

    Args: as for `chroma_likeness`. 0 where one of them does not move.
    """
    inside, loud = _loud_frames(request)
    asked = request.brightness[inside][loud]
    found = heard.brightness[: request.frames][loud]
    if len(asked) < 3 or min(asked.std(), found.std()) < STILL:
        return 0.0
    return float(np.corrcoef(asked, found)[0, 1])


def _loud_frames(request: GrainRequest) -> tuple[slice, np.ndarray]:
    """Frames of a request that come out, and which of them are loud, bool."""
    inside = slice(WARM_UP + CONTEXT, WARM_UP + CONTEXT + request.frames)
    level = np.square(request.levels[0, inside]).mean(axis=1)
    return inside, level > level.max() * 10 ** (-LOUD / 10)


def _heard_chroma(request: GrainRequest, heard: Features) -> np.ndarray:
    sketch = heard.sketch.strongest(request.frequency.shape[-1])
    return chroma_of(sketch).repeat(2, axis=0)[: request.frames]


def _attempt(
    request: GrainRequest, number: int, heard: Sequence[Candidate]
) -> GrainRequest:
    """What the next candidate is asked; the best of those before is its draft."""
    if not heard:
        return request
    draft = max(heard, key=_worth)
    if draft.sketch is not None:
        request = refined(request, draft.sketch, draft.grain.sample_rate)
    seed = seed_from(request.seed, "candidate", number)
    return dataclasses.replace(request, seed=seed)
