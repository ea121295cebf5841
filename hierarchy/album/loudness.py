"""One gain for a whole album, so that its songs keep how loud they are to each other.

The loudness of an album is that of its songs one after the other (ITU-R BS.1770: the
gate hears them all together, and silence between them is below it). Each song is turned
up by the same gain and then only its own peaks are lowered to the ceiling. Limiting
takes away loudness, so the gain is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hierarchy.macro.mastering import fade, limit, remove_dc
from hierarchy.macro.rendering import FADE_OUT
from hierarchy.material.loudness import SILENCE, block_powers, gated_loudness

CLOSE = 0.1  # LU that the album may be off
MOST_DRIVE = 24.0  # decibels beyond which songs would be crushed rather than loud
_TRIES = 4

ReadMix = Callable[[], tuple[np.ndarray, int]]
"""Gives the mix of a song, float32 [2, samples], and its rate."""


def master_at(
    mix: np.ndarray, sample_rate: int, *, gain: float, true_peak: float
) -> np.ndarray:
    """A song of an album, mastered at the album's gain.

    Args:
        mix: float32 [2, samples].
        sample_rate: in Hz.
        gain: decibels from the mix to the limiter.
        true_peak: highest peak at four times the rate, in dBTP.

    Returns:
        float32 [2, samples].
    """
    if not np.isfinite(mix).all():
        raise ValueError("cannot master a mix with samples that are not finite")
    mix = fade(remove_dc(mix, sample_rate), sample_rate, fade_in=0.0, fade_out=FADE_OUT)
    return limit(mix * np.float32(10 ** (gain / 20)), sample_rate, true_peak=true_peak)


def album_loudness(blocks: Sequence[np.ndarray]) -> float | None:
    """Integrated loudness of songs one after the other, in LUFS; None for silence.

    Args:
        blocks: of each song, what `hierarchy.material.loudness.block_powers` gives.
    """
    heard = gated_loudness(np.concatenate(blocks))
    return heard if heard > SILENCE else None


def album_gain(
    mixes: Sequence[ReadMix],
    *,
    loudness: float,
    true_peak: float,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """The gain at which an album is as loud as asked, in decibels.

    Args:
        mixes: of its songs, read one by one and some times each.
        loudness: asked for the whole album, in LUFS; reached within 0.1 LU unless that
            takes more than 24 dB of limiting.
        true_peak: see `master_at`.
        progress: called with (songs measured, about how many will be).
    """
    total, done = 3 * len(mixes), 0

    def measured(gain: float | None) -> float | None:
        nonlocal done
        blocks = []
        for read in mixes:
            mix, rate = read()
            if gain is not None:
                mix = master_at(mix, rate, gain=gain, true_peak=true_peak)
            blocks.append(block_powers(mix, rate))
            done += 1
            if progress:
                progress(done, max(total, done))
        return album_loudness(blocks)

    before = measured(None)
    if before is None:
        return 0.0
    gain = loudness - before
    most = gain + MOST_DRIVE
    for _ in range(_TRIES):
        heard = measured(gain)
        if heard is None or abs(loudness - heard) < CLOSE or gain >= most:
            break
        # Each decibel into a working limiter comes out as less than one.
        gain = min(gain + 1.3 * (loudness - heard), most)
    # As many digits as are written down, so that what is read is what was used.
    return round(gain, 4)
