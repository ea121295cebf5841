"""Grains and their places to one stereo waveform without a click.

One call joins one voice: grains that follow one another. Voices that sound
together (layers, stems) are assembled one by one and summed. Places are counted
in samples from the start of the song, never from the grain before, so that
nothing drifts however long the song is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.signal

# A sound that starts or stops with nothing beside it is faded over this many
# samples at least: too short to soften an attack, long enough not to click.
_DECLICK = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a grain sounds. Times are in samples.

    The array of a grain holds `lead_in` samples before its body and `lead_out`
    after it; they sound only under the fades to its neighbours.

    Attributes:
        grain: which grain, an index.
        start: where its body starts, from the start of the song.
        lead_in: samples before the body.
        lead_out: samples after the body.
        gain: linear.
        pan: -1 (left) to 1 (right); 0 leaves the two sides as they are.
    """

    grain: int
    start: int
    lead_in: int
    lead_out: int
    gain: float = 1.0
    pan: float = 0.0

    def __post_init__(self):
        if self.lead_in < 0 or self.lead_out < 0:
            raise ValueError(
                f"lead-in of {self.lead_in} and lead-out of {self.lead_out} samples; "
                "neither can be negative"
            )
        if not -1 <= self.pan <= 1:
            raise ValueError(f"pan of {self.pan}; it goes from -1 to 1")


def beat_grid(beats: int, *, tempo: float, sample_rate: int) -> np.ndarray:
    """The sample on which each beat falls, and last the end: int64 [beats + 1].

    Each beat is rounded by itself; rounded beat lengths would add up to a drift.

    >>> beat_grid(3, tempo=90, sample_rate=1000)
    array([   0,  667, 1333, 2000])
    """
    return np.rint(np.arange(beats + 1) * (60.0 / tempo * sample_rate)).astype(np.int64)


def fade_gains(overlap: int, *, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Gains that fade one sound out and another in at constant power.

    Args:
        overlap: length of the fade, in samples.
        correlation: likeness of the two sounds in the fade, 0 to 1.

    Returns:
        float32 [overlap], twice: what the sound that ends and the one that
        starts are multiplied by.
    """
    correlation = min(max(correlation, 0.0), 1.0)
    rising = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    falling = 1 - rising
    level = np.sqrt(rising**2 + falling**2 + 2 * correlation * rising * falling)
    return falling / level, rising / level


def crossfade(
    left: np.ndarray, right: np.ndarray, *, overlap: int, correlation: float = 0.0
) -> np.ndarray:
    """Join two waveforms by fading one into the other at constant power.

    Linear gains are divided by the level they would leave, so unrelated
    sounds do not dip and identical ones do not swell.

    Args:
        left: float32 [channels, samples_left], full scale at ±1.
        right: float32 [channels, samples_right], same rate as `left`.
        overlap: length of the fade, in samples; 0 butts the ends together.
        correlation: likeness of the two sounds in the fade, 0 to 1.

    Returns:
        float32 [channels, samples_left + samples_right - overlap].

    Raises:
        ValueError: if `overlap` is negative or outlasts either waveform.

    Source: Fink, Holters and Zölzer, "Signal-matched power-complementary
    cross-fading and dry-wet mixing", DAFx 2016.

    >>> one = np.ones([1, 4], np.float32)
    >>> crossfade(one, one, overlap=2, correlation=1.0).shape
    (1, 6)
    """
    shortest = min(left.shape[1], right.shape[1])
    if not 0 <= overlap <= shortest:
        raise ValueError(
            f"overlap of {overlap} samples; the shorter waveform has {shortest}"
        )
    falling, rising = fade_gains(overlap, correlation=correlation)
    seam = left.shape[1] - overlap
    joint = left[:, seam:] * falling + right[:, :overlap] * rising
    return np.concatenate([left[:, :seam], joint, right[:, overlap:]], axis=1)


def likeness(left: np.ndarray, right: np.ndarray) -> float:
    """Normalised correlation of two waveforms [channels, samples], -1 to 1.

    0 if either is silent: what is not there resembles nothing.
    """
    energy = float(np.vdot(left, left)) * float(np.vdot(right, right))
    return float(np.vdot(left, right)) / energy**0.5 if energy > 0 else 0.0


def best_shift(left: np.ndarray, right: np.ndarray) -> int:
    """By how many samples to delay a sound so that it joins like with like.

    Args:
        left: float32 [channels, samples], the sound that ends, in the fade.
        right: float32 [channels, samples + 2 * reach], the sound that starts,
            in the fade and `reach` samples to either side.

    Returns:
        -reach to reach; positive means that `right` has to come later. 0 unless
        another place is clearly more alike, since 0 is what was asked.
    """
    width = left.shape[1]
    reach = (right.shape[1] - width) // 2
    if reach <= 0 or not left.any():
        return 0
    products = sum(
        scipy.signal.correlate(r, l, mode="valid", method="auto")
        for l, r in zip(left.astype(np.float64), right.astype(np.float64), strict=True)
    )
    power = np.concatenate([[0.0], np.cumsum(np.sum(right.astype(np.float64) ** 2, 0))])
    power = np.maximum(power[width:] - power[:-width], 1e-12)
    alike = products / np.sqrt(power * np.vdot(left, left))
    # A sample of delay costs a little, so that equals are decided for the beat.
    delays = reach - np.arange(alike.size)
    chosen = int(np.argmax(alike - 0.05 * np.abs(delays) / reach))
    return int(delays[chosen]) if alike[chosen] > alike[reach] + 0.05 else 0


def assemble(
    grains: Sequence[np.ndarray],
    placements: Sequence[Placement],
    *,
    length: int,
    max_shift: int = 0,
) -> np.ndarray:
    """Put the grains of one voice in their places and fade each into the next.

    The fade between neighbours is centred on the start of the later one and as
    long as both leads allow; its law follows how alike the two sounds are there.
    Where bodies do not meet, each grain fades within its own leads.

    Args:
        grains: float32 [channels, samples] each, 1 or 2 channels.
        placements: in any order; the body of one ends where the next starts, or
            before. What would sound under the next grain is cut.
        length: samples of the whole.
        max_shift: how many samples a grain may move from its place so that it
            joins like with like; shifts never add up.

    Returns:
        float32 [2, length].

    Raises:
        ValueError: if a grain is missing, shorter than its leads or has more
            than two channels, or two grains start at once.
    """
    out = np.zeros([2, length], np.float32)
    voice = sorted(placements, key=lambda placement: placement.start)
    sounds = [_stereo(grains, placement) for placement in voice]
    # Where the first sample of each array falls; moves with the alignment.
    firsts = [placement.start - placement.lead_in for placement in voice]

    joint = None
    for index, (placement, sound) in enumerate(zip(voice, sounds, strict=True)):
        first, end = firsts[index], firsts[index] + sound.shape[1]
        gains = np.ones(sound.shape[1], np.float32)
        if joint is None:
            _fade_alone(gains, placement.lead_in, hidden=max(-first, 0))
        else:
            gains[: joint.begin - first] = 0
            gains[joint.begin - first : joint.end - first] *= joint.rising

        joint = None
        if index + 1 < len(voice):
            joint = _join(
                sound,
                first,
                placement,
                sounds[index + 1],
                voice[index + 1],
                max_shift=max_shift,
            )
        if joint is None:
            _fade_alone(gains[::-1], placement.lead_out, hidden=max(end - length, 0))
        else:
            gains[joint.begin - first : joint.end - first] *= joint.falling
            gains[joint.end - first :] = 0
            firsts[index + 1] += joint.shift

        low, high = max(first, 0), min(end, length)
        if low < high:
            part = slice(low - first, high - first)
            out[:, low:high] += sound[:, part] * gains[part]
    return out


@dataclasses.dataclass(frozen=True)
class _Joint:
    begin: int
    end: int
    falling: np.ndarray
    rising: np.ndarray
    shift: int


def _join(
    sound: np.ndarray,
    first: int,
    placement: Placement,
    following: np.ndarray,
    later: Placement,
    *,
    max_shift: int,
) -> _Joint | None:
    """The fade from one grain to the next; None if the first is over by then."""
    boundary = later.start
    if boundary <= placement.start:
        raise ValueError(
            f"two grains start at sample {boundary}; a voice plays one after the other"
        )
    reserve = first + sound.shape[1] - boundary
    if reserve < 0:
        return None
    spare = min(max_shift, later.lead_in // 4)
    # Half a body at most, so that the fades at its two ends do not meet.
    body = following.shape[1] - later.lead_in - later.lead_out
    longest = min((boundary - placement.start) // 2, body // 2)
    half = min(reserve, later.lead_in - spare, longest)
    spare = min(spare, following.shape[1] - later.lead_in - half)

    ending = sound[:, boundary - half - first : boundary + half - first]
    low, high = later.lead_in - half, later.lead_in + half
    shift = best_shift(ending, following[:, low - spare : high + spare])
    starting = following[:, low - shift : high - shift]
    falling, rising = fade_gains(2 * half, correlation=likeness(ending, starting))
    return _Joint(boundary - half, boundary + half, falling, rising, shift)


def _fade_alone(gains: np.ndarray, lead: int, *, hidden: int) -> None:
    """Raise the start of `gains` from 0, in place, over what is heard of the lead."""
    heard = max(lead - hidden, min(_DECLICK, gains.size - hidden))
    if heard > 0:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(heard) + 0.5) / heard)
        gains[hidden : hidden + heard] *= ramp.astype(np.float32)


def _stereo(grains: Sequence[np.ndarray], placement: Placement) -> np.ndarray:
    """The grain that is placed, at its gain and pan, [2, samples]."""
    if not 0 <= placement.grain < len(grains):
        raise ValueError(
            f"grain {placement.grain} is placed; there are {len(grains)} grains"
        )
    grain = grains[placement.grain]
    leads = placement.lead_in + placement.lead_out
    if grain.ndim != 2 or grain.shape[0] not in (1, 2) or grain.shape[1] < leads:
        raise ValueError(
            f"grain {placement.grain} has shape {list(grain.shape)}; expected [1 or 2, "
            f"at least {leads} samples of lead-in and lead-out]"
        )
    # Constant power as the sound moves, and unity in the middle.
    angle = (placement.pan + 1) * np.pi / 4
    sides = 2**0.5 * np.array([[np.cos(angle)], [np.sin(angle)]])
    return grain * (placement.gain * sides).astype(np.float32)
