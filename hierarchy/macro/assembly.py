"""Grains and their places to one stereo waveform without a click.

One call joins one voice: grains that follow one another. Voices that sound
together (layers, stems) are assembled one by one and summed. Places are counted
in samples from the start of the song, never from the grain before, so that
nothing drifts however long the song is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.signal

from hierarchy.macro.fades import ONE_BAND, Bands, fade_gains, likeness

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
        anchored: whether it stays on its sample wherever its neighbours would join
            better.
    """

    grain: int
    start: int
    lead_in: int
    lead_out: int
    gain: float = 1.0
    pan: float = 0.0
    anchored: bool = False

    def __post_init__(self):
        if self.lead_in < 0 or self.lead_out < 0:
            raise ValueError(
                f"lead-in of {self.lead_in} and lead-out of {self.lead_out} samples; "
                "neither can be negative"
            )
        if not -1 <= self.pan <= 1:
            raise ValueError(f"pan of {self.pan}; it goes from -1 to 1")

    @property
    def sides(self) -> np.ndarray:
        """Linear gains of left and right, [2, 1]."""
        return self.gain * pan_gains(self.pan)


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


@dataclasses.dataclass(frozen=True)
class Sounding:
    """A grain as it is heard: where, and under which fades.

    Attributes:
        number: of its placement, an index of the placements as they were given.
        placement: where it was to sound.
        first: sample of the song on which its array begins; its placement's, moved by
            the alignment.
        begin, end: samples of the song between which it is heard.
        gains: of the fades alone, float32 [bands, end - begin].
        fade_in, fade_out: samples of the fades inside that.
        bands: those of `gains`.
        likeness_in, likeness_out: to its neighbours in the fades; 0 without one.
    """

    number: int
    placement: Placement
    first: int
    begin: int
    end: int
    gains: np.ndarray
    fade_in: int
    fade_out: int
    bands: Bands
    likeness_in: float = 0.0
    likeness_out: float = 0.0

    def heard(self, waveform: np.ndarray) -> np.ndarray:
        """Of an array as long as the grain's, [..., samples], what is heard of it."""
        return waveform[..., self.begin - self.first : self.end - self.first]

    def faded(self, waveform: np.ndarray) -> np.ndarray:
        """What is heard of such an array, under the fades."""
        return self.bands.weighted(self.heard(waveform), self.gains)


def soundings(
    grains: Sequence[np.ndarray],
    placements: Sequence[Placement],
    *,
    length: int,
    max_shift: int = 0,
    bands: Bands = ONE_BAND,
) -> Iterator[Sounding]:
    """The grains of one voice, one after the other, each with its fades.

    The fade between neighbours is centred on the start of the later one and as
    long as both leads allow; its law follows how alike the two sounds are there.
    Where bodies do not meet, each grain fades within its own leads. A fade looks at
    its two grains alone, so that another grain changes its two joins and nothing else.

    Args:
        grains: float32 [channels, samples] each, 1 or 2 channels; looked up when they
            are needed, two at a time.
        placements: in any order; the body of one ends where the next starts, or
            before. What would sound under the next grain is cut.
        length: samples of the whole.
        max_shift: how many samples a grain may move from its place so that it joins
            like with like, unless it is anchored; shifts never add up.
        bands: in which fades go by their own likeness.

    Raises:
        ValueError: if a grain is missing, shorter than its leads or has more
            than two channels, or two grains start at once.
    """
    order = sorted(range(len(placements)), key=lambda number: placements[number].start)
    voice = [placements[number] for number in order]
    joint, shift, sound = None, 0, None
    for index, (number, placement) in enumerate(zip(order, voice, strict=True)):
        sound = placed(grains, placement) if sound is None else sound
        first = placement.start - placement.lead_in + shift
        end = first + sound.shape[1]
        before, joint, following, shift = joint, None, None, 0
        if index + 1 < len(voice):
            following = placed(grains, voice[index + 1])
            joint = _join(
                sound, first, placement, following, voice[index + 1], max_shift, bands
            )
            shift = joint.shift if joint else 0

        low = max(first, 0) if before is None else before.begin
        high = min(end, length) if joint is None else joint.end
        gains = np.ones([len(bands), max(high - low, 0)], np.float32)
        if before is None:
            fade_in = _fade_alone(gains, placement.lead_in, hidden=max(-first, 0))
        else:
            # What the song's end cuts off is not faded.
            fade_in = min(before.end - before.begin, gains.shape[1])
            gains[:, :fade_in] *= before.rising[:, :fade_in]
        if joint is None:
            hidden = max(end - length, 0)
            fade_out = _fade_alone(gains[:, ::-1], placement.lead_out, hidden=hidden)
        else:
            fade_out = joint.end - joint.begin
            gains[:, gains.shape[1] - fade_out :] *= joint.falling

        begin, stop = max(low, 0), min(high, length)
        if begin < stop < high:
            # Cut in the middle of its fade, it would click.
            _fade_alone(gains[:, begin - low : stop - low][:, ::-1], 0, hidden=0)
        if begin < stop:
            yield Sounding(
                number=number,
                placement=placement,
                first=first,
                begin=begin,
                end=stop,
                gains=gains[:, begin - low : stop - low],
                fade_in=min(max(low + fade_in - begin, 0), stop - begin),
                fade_out=min(max(stop - high + fade_out, 0), stop - begin),
                bands=bands,
                likeness_in=before.likeness if before else 0.0,
                likeness_out=joint.likeness if joint else 0.0,
            )
        sound = following


def assemble(
    grains: Sequence[np.ndarray],
    placements: Sequence[Placement],
    *,
    length: int,
    max_shift: int = 0,
    bands: Bands = ONE_BAND,
) -> np.ndarray:
    """Put the grains of one voice in their places and fade each into the next.

    Args and errors as in `soundings`.

    Returns:
        float32 [2, length].
    """
    out = np.zeros([2, length], np.float32)
    voice = soundings(
        grains, placements, length=length, max_shift=max_shift, bands=bands
    )
    for one in voice:
        out[:, one.begin : one.end] += one.faded(placed(grains, one.placement))
    return out


def placed(grains: Sequence[np.ndarray], placement: Placement) -> np.ndarray:
    """The grain that is placed, at its gain and pan, float32 [2, samples]."""
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
    return grain * placement.sides.astype(np.float32)


def pan_gains(pan: float | np.ndarray) -> np.ndarray:
    """Gains of left and right, [2, ...]: constant power, and unity in the middle."""
    angle = (np.asarray(pan) + 1) * np.pi / 4
    return 2**0.5 * np.stack([np.cos(angle), np.sin(angle)]).reshape(2, -1)


@dataclasses.dataclass(frozen=True)
class _Joint:
    begin: int
    end: int
    falling: np.ndarray  # [bands, samples], as `rising`
    rising: np.ndarray
    likeness: float
    shift: int


def _join(
    sound: np.ndarray,
    first: int,
    placement: Placement,
    following: np.ndarray,
    later: Placement,
    max_shift: int,
    bands: Bands,
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
    spare = 0 if later.anchored else min(max_shift, later.lead_in // 4)
    # Half a body at most, so that the fades at its two ends do not meet.
    body = following.shape[1] - later.lead_in - later.lead_out
    longest = min((boundary - placement.start) // 2, body // 2)
    half = min(reserve, later.lead_in - spare, longest)
    spare = min(spare, following.shape[1] - later.lead_in - half)

    ending = sound[:, boundary - half - first : boundary + half - first]
    low, high = later.lead_in - half, later.lead_in + half
    shift = best_shift(ending, following[:, low - spare : high + spare])
    starting = following[:, low - shift : high - shift]
    fades = [
        fade_gains(2 * half, correlation=alike)
        for alike in bands.likeness(ending, starting)
    ]
    falling, rising = np.stack(fades, axis=1)
    whole = likeness(ending, starting)
    return _Joint(boundary - half, boundary + half, falling, rising, whole, shift)


def _fade_alone(gains: np.ndarray, lead: int, *, hidden: int) -> int:
    """Raise the start of `gains` from 0, in place, over what is heard of the lead.

    Returns over how many samples; `hidden` of the lead lie outside and are not in
    `gains`.
    """
    heard = min(max(lead - hidden, _DECLICK), gains.shape[1])
    if heard > 0:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(heard) + 0.5) / heard)
        gains[:, :heard] *= ramp.astype(np.float32)
    return heard
