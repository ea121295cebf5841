"""No grain repeats the recordings: copies are found out and sampled again.

A grain follows gestures that were heard, so it may come close to the moment that they
are from. How close is measured for every grain; what is closer than is allowed is
asked for again with another seed and, where that is not enough, with fewer and fewer of
the sinusoids that tie it to the recording. Its chord, rhythm and loudness stay asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from hierarchy.material.moments import Moments, Nearest
from hierarchy.micro.grains import Grain, GrainModel, GrainRequest, seed_from
from structure.errors import RequestError

COPY = 0.95
"""Likeness from which a second of sound passes for a copy; see benchmarks/RESULTS.md."""


def nearest_moments(
    grains: Sequence[Grain], moments: Moments | None
) -> list[Nearest | None]:
    """The moment of the recordings that each grain is most like; None if none is."""
    if moments is None:
        return [None] * len(grains)
    return [moments.nearest(grain.waveform, grain.sample_rate) for grain in grains]


def without_copies(
    model: GrainModel,
    grains: Sequence[Grain],
    *,
    most: float,
    sample: Callable[[dict[int, GrainRequest]], Sequence[Grain]],
) -> tuple[dict[int, GrainRequest], list[Nearest | None]]:
    """What to ask for instead, so that no grain is more like a recording than `most`.

    Args:
        model: with its moments.
        grains: that were sampled.
        most: likeness that is still allowed, 0 to 1.
        sample: requests, by the number of the grain that each is to replace, to grains.

    Returns:
        By the number of its grain, the request whose answer is to take its place; and
        the moment that each grain is then most like.

    Raises:
        RequestError: if the model has no moments, or a grain stays too like one of
            them whatever is tried.
    """
    if model.moments is None:
        raise RequestError(
            "this model keeps no prints of its recordings, so copies cannot be found "
            "out; train it again with train-grains, or leave out --max-similarity"
        )
    nearest = nearest_moments(grains, model.moments)
    instead: dict[int, GrainRequest] = {}
    for attempt in range(len(_LOOSER)):
        copies = [i for i, found in enumerate(nearest) if _over(found, most)]
        if not copies:
            break
        asked = {
            i: _looser(grains[i].request, attempt, model.config.peaks) for i in copies
        }
        found = nearest_moments(sample(asked), model.moments)
        for (i, request), now in zip(asked.items(), found, strict=True):
            if not _over(now, most) or now.likeness < nearest[i].likeness:
                instead[i], nearest[i] = request, now
    worst = max((n for n in nearest if n), key=lambda n: n.likeness, default=None)
    if _over(worst, most):
        raise RequestError(
            f"a grain stays {worst.likeness:.3f} like {worst.song} at "
            f"{worst.seconds:.1f} s whatever is tried; allow more than "
            f"--max-similarity {most:g}, or ask for another seed or more --freedom"
        )
    return instead, nearest


class Instead(Sequence[GrainRequest]):
    """Requests, some of them replaced."""

    def __init__(
        self, requests: Sequence[GrainRequest], instead: Mapping[int, GrainRequest]
    ):
        self._requests, self._instead = requests, instead

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self._instead.get(index) or self._requests[index]


_LOOSER = (1.0, 0.5, 0.25, 0.0, 0.0)  # share of the sinusoids that an attempt is given


def _looser(request: GrainRequest, attempt: int, peaks: int) -> GrainRequest:
    share = _LOOSER[attempt]
    return dataclasses.replace(
        request,
        seed=seed_from(request.seed, "another", attempt),
        peaks=int(share * min(request.peaks, peaks)),
    )


def _over(found: Nearest | None, most: float) -> bool:
    return found is not None and found.likeness > most
