"""A few words, or none, to grains alone: clips of sound to sample and play with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from hierarchy.macro.assembly import Placement
from hierarchy.macro.originality import without_copies
from hierarchy.macro.performing import perform
from hierarchy.macro.timeline import EARLY
from hierarchy.material.gestures import Book, fit_to_chords
from hierarchy.micro.candidates import best_grains
from hierarchy.micro.grains import (
    UNTOLD,
    Grain,
    GrainModel,
    GrainRequest,
    seed_from,
)
from structure.errors import RequestError
from structure.harmony import Chord
from structure.plan import FASTEST, SLOWEST, Section, SongPlan

SHORTEST, LONGEST = 0.1, 4.0
"""Seconds that a clip may last."""

_ENERGIES = {"silent": 0.0, "quiet": 0.15, "soft": 0.15, "medium": 0.5, "loud": 0.95}
_COLOURS = {"dark": 0.15, "warm": 0.35, "bright": 0.85}
_FADE_SECONDS = 0.008
_BEATS = {2: "2/4", 3: "3/4", 4: "4/4", 5: "5/4"}


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a clip should be like; None where anything will do.

    Attributes:
        chord: in Harte's syntax.
        energy: 0 (hushed) to 1 (loud).
        brightness: 0 (dark) to 1 (bright).
    """

    chord: str | None = None
    energy: float | None = None
    brightness: float | None = None

    @classmethod
    def parse(cls, words: str) -> Wish:
        """Read a wish such as "A:min loud", "Cmaj7 soft dark" or "bright".

        Raises:
            RequestError: for a word that is neither a chord nor one of ours, or two
                that contradict each other.

        >>> Wish.parse("Am loud")
        Wish(chord='A:min', energy=0.95, brightness=None)
        """
        found = {}
        for word in words.split():
            if word.lower() in _ENERGIES:
                name, value = "energy", _ENERGIES[word.lower()]
            elif word.lower() in _COLOURS:
                name, value = "brightness", _COLOURS[word.lower()]
            else:
                name, value = "chord", _chord(word)
            if name in found:
                raise RequestError(
                    f"{words!r} says two things about the {name}; one fits"
                )
            found[name] = value
        return cls(**found)


def ask_for_clips(
    model: GrainModel,
    wish: Wish | None,
    *,
    count: int,
    seconds: float,
    style: str | None = None,
    seed: int = 0,
) -> tuple[list[GrainRequest], list[Placement]]:
    """What to sample for clips, and where in each grain its clip lies.

    Args and errors: as for `make_clips`.
    """
    if not SHORTEST <= seconds <= LONGEST:
        raise RequestError(
            f"clips of {seconds:g} seconds; {SHORTEST:g} to {LONGEST:g} can be made"
        )
    style, book = model.book(style)
    rate = model.config.sample_rate
    rng = np.random.default_rng([seed, 0])
    chosen = _gestures(book, wish or Wish(), count, rng)
    requests, places = [], []
    for number, gesture in enumerate(chosen):
        plan = _one_bar(book, gesture, wish or Wish(), seconds)
        performance = perform(
            plan,
            book,
            style=model.config.styles.index(style),
            seed=seed_from(seed, number),
            sample_rate=rate,
            peaks=0 if wish is None else model.config.peaks,
            coarse=wish is not None,
        )
        place = performance.placements[0]
        requests.append(performance.requests[place.grain])
        places.append(place)
    return requests, places


def make_clips(
    model: GrainModel,
    wish: Wish | None,
    *,
    count: int,
    seconds: float = 2.0,
    style: str | None = None,
    seed: int = 0,
    max_similarity: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Grain]:
    """Sample grains that are like a wish, or free ones.

    Args:
        model: whose sound.
        wish: what they should be like; None asks for nothing but the style, and the
            model babbles.
        count: how many.
        seconds: how long each lasts, 0.1 to 4.
        style: one of the model's; None takes its first.
        seed: another seed, other clips.
        max_similarity: how like a moment of the recordings a clip may be; what is more
            like one is sampled again, see `originality`. None refuses nothing.
        progress: called with (done, in all).

    Returns:
        Grains with waveforms float32 [2, samples], faded at both ends.

    Raises:
        RequestError: if the model has no such style, the length does not fit, or a
            clip stays more like a recording than it may.
    """
    requests, places = ask_for_clips(
        model, wish, count=count, seconds=seconds, style=style, seed=seed
    )
    rate = model.config.sample_rate
    length = round(seconds * rate)
    warm = UNTOLD if wish is None else model.temperature(model.book(style)[0])

    def sample(asked: dict[int, GrainRequest], **told) -> list[Grain]:
        grains = best_grains(model, list(asked.values()), temperature=warm, **told)
        cut = []
        for grain, place in zip(grains, (places[i] for i in asked), strict=True):
            first = place.lead_in - place.start
            waveform = _cut(grain.waveform, first, length, rate, place.gain)
            cut.append(dataclasses.replace(grain, waveform=waveform))
        return cut

    clips = sample(dict(enumerate(requests)), progress=progress)
    if max_similarity is not None:
        instead, _ = without_copies(model, clips, most=max_similarity, sample=sample)
        for number, clip in zip(instead, sample(instead), strict=True):
            clips[number] = clip
    return clips


def _chord(word: str) -> str:
    try:
        return str(Chord.parse(word))
    except ValueError:
        raise RequestError(
            f"{word!r} is no chord such as A:min or C, and none of "
            f"{', '.join([*_ENERGIES, *_COLOURS])}"
        ) from None


def _gestures(
    book: Book, wish: Wish, count: int, rng: np.random.Generator
) -> list[int]:
    """First beats of bars that come near the wish, all different while there are enough.

    A gesture is drawn by how well it can be turned into the chord, how near its level
    comes to the wanted place among all, and chance.
    """
    cost = rng.random(len(book))
    if wish.chord is not None:
        cost = cost + 6 * (1 - fit_to_chords(book, [wish.chord])[0].max(axis=1))
    if wish.energy is not None:
        place = np.argsort(np.argsort(book.beat_level)) / max(len(book) - 1, 1)
        cost = cost + 4 * np.abs(place - wish.energy)
    order = np.argsort(cost)
    return [int(order[number % len(order)]) for number in range(count)]


def _one_bar(book: Book, gesture: int, wish: Wish, seconds: float) -> SongPlan:
    """A plan whose first bar lasts `seconds` or more and begins with a gesture."""
    natural = float(np.clip(60 / book.beat_seconds[gesture], SLOWEST, FASTEST))
    seconds = seconds + EARLY  # by which a bar's grain ends before its bar line
    beats = int(np.clip(np.ceil(seconds * natural / 60), min(_BEATS), max(_BEATS)))
    tempo = float(np.clip(min(natural, 60 * beats / seconds), SLOWEST, FASTEST))
    # The beats that followed it where it was heard; the last one again at the end.
    mine = np.flatnonzero(book.beat_phrase == book.beat_phrase[gesture])
    run = np.minimum(gesture + np.arange(beats), mine[-1])
    section = Section(
        label="other",
        letter="A",
        energy=0.5 if wish.energy is None else wish.energy,
        brightness=0.5 if wish.brightness is None else wish.brightness,
        chords=((wish.chord or "N",),),
        gestures=(tuple(int(beat) for beat in run),),
    )
    # Twice, since the last bar of a song rings.
    return SongPlan(
        key=_key(wish.chord), tempo=tempo, meter=_BEATS[beats], sections=(section,) * 2
    )


def _key(chord: str | None) -> str:
    parsed = Chord.parse(chord or "N")
    if parsed.root is None:
        return "C:maj"
    root = str(parsed).partition(":")[0].partition("/")[0]
    return f"{root}:{'min' if parsed.quality in ('min', 'dim') else 'maj'}"


def _cut(
    waveform: np.ndarray, first: int, length: int, sample_rate: int, gain: float
) -> np.ndarray:
    """The body of a grain, at its gain, faded over a few milliseconds."""
    body = gain * waveform[:, first : first + length]
    fade = min(round(_FADE_SECONDS * sample_rate), body.shape[1] // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(fade, 1))
    body[:, :fade] *= ramp
    body[:, body.shape[1] - fade :] *= ramp[::-1]
    return body.astype(np.float32)
