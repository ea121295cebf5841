"""One gain for a whole album, so that its songs keep how loud they are to each other.

The loudness of an album is that of its songs one after the other (ITU-R BS.1770: the
gate hears them all together, and silence between them is below it). Each song is turned
up by the same gain, and then only its own peaks are lowered to the ceiling. Limiting
takes away loudness; how much, is told by notes that were taken while each song was
mixed, so that no song is read again to find the gain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hierarchy.macro.limiting import STEP, gain_of, peaks_of
from hierarchy.macro.mastering import HighPass
from hierarchy.material.loudness import (
    SILENCE,
    LoudnessMeter,
    gated_loudness,
    powers_of,
)
from structure.files import whole_file

MOST_DRIVE = 24.0  # decibels beyond which songs would be crushed rather than loud
_FAINTEST = 1e-20  # power of a tenth of a second below which nothing is heard
_NEAR = 0.01  # LU at which the search for the gain ends
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Notes:
    """How loud each tenth of a second of a mix is, and how high its peaks are.

    Attributes:
        tenths: K-weighted power, summed over each tenth of a second, float64.
        peaks: the highest true peak in each `limiting.STEP` samples, float32.
        samples: of the mix.
        sample_rate: in Hz.
    """

    tenths: np.ndarray
    peaks: np.ndarray
    samples: int
    sample_rate: int

    def powers(self, gain: float | None = None, true_peak: float = 0.0) -> np.ndarray:
        """Powers of the blocks that the meter hears, float64 [blocks].

        Args:
            gain: decibels, after which what passes `true_peak` is limited; None
                leaves the mix as it is.
            true_peak: in dBTP.
        """
        tenths = self.tenths
        if gain is not None:
            factor = 10 ** (gain / 20)
            left = gain_of(
                self.peaks * np.float32(factor), self.sample_rate, true_peak=true_peak
            )
            tenth = max(1, round(0.1 * self.sample_rate))
            where = np.arange(left.size) * STEP // tenth
            where = np.minimum(where, len(tenths) - 1)
            # What is limited is what is loud, and counts for more than the rest.
            power = np.square(self.peaks, dtype=np.float64)
            share = np.bincount(where, power * np.square(left), len(tenths))
            share /= np.maximum(np.bincount(where, power, len(tenths)), _FAINTEST)
            tenths = tenths * factor**2 * share
        return powers_of(tenths, self.samples, self.sample_rate)

    def write(self, path: str | Path) -> None:
        """Write the notes as an .npz file, whole or not at all."""
        with whole_file(path) as draft, draft.open("wb") as file:
            np.savez(
                file,
                tenths=self.tenths,
                peaks=self.peaks,
                samples=self.samples,
                sample_rate=self.sample_rate,
            )

    @classmethod
    def read(cls, path: str | Path) -> Notes:
        """Read notes from an .npz file."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                file["tenths"],
                file["peaks"],
                int(file["samples"]),
                int(file["sample_rate"]),
            )


class NoteTaker:
    """Takes notes of a mix that passes by, as mastering will hear it."""

    def __init__(self, sample_rate: int):
        self._filter = HighPass(sample_rate)
        self._meter = LoudnessMeter(sample_rate)
        self._first = sample_rate  # samples that the filter wants to see at first
        self._waiting = np.zeros([2, 0], np.float32)
        self._peaks: list[np.ndarray] = []
        self._held = np.zeros([2, 0], np.float32)
        self._known = 0  # steps at the start of what is held whose peaks are taken

    def listen(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass on float32 [2, samples] at a time: the same notes, however it is cut."""
        for block in blocks:
            yield block
            self._waiting = np.concatenate([self._waiting, block], axis=1)
            if self._waiting.shape[1] >= self._first:
                self._hear()

    def _hear(self) -> None:
        heard, self._first = self._filter(self._waiting), 0
        self._waiting = self._waiting[:, :0]
        self._meter.hear(heard)
        self._held = np.concatenate([self._held, heard], axis=1)
        # A piece rings where it is cut off: its last steps are seen with the next.
        ready = self._held.shape[1] // STEP - 2
        if ready > self._known:
            seen = peaks_of(self._held[:, : (ready + 2) * STEP])
            self._peaks.append(seen[self._known : ready])
            first = max(ready - 4, 0)
            self._held, self._known = self._held[:, first * STEP :], ready - first

    def notes(self) -> Notes:
        """What was heard."""
        if self._waiting.size:
            self._hear()
        peaks = np.concatenate([*self._peaks, peaks_of(self._held)[self._known :]])
        meter = self._meter
        return Notes(meter.tenths, peaks, meter.samples, meter.sample_rate)


def highest_peak(blocks: Iterable[np.ndarray]) -> float:
    """The highest true peak, linear, of float32 [channels, samples] at a time."""
    highest, before = 0.0, None
    for block in blocks:
        # A peak may lie between two blocks; and where a piece is cut off, it rings in
        # a way that the whole does not. What is left out here is seen with the next.
        piece = block if before is None else np.concatenate([before, block], axis=1)
        seen = peaks_of(piece)[0 if before is None else 1 : -2]
        highest = max(highest, float(seen.max(initial=0)))
        before = piece[:, -4 * STEP :]
    if before is not None:
        end = np.zeros([before.shape[0], STEP], np.float32)
        seen = peaks_of(np.concatenate([before, end], axis=1))[1:]
        highest = max(highest, float(seen.max(initial=0)))
    return highest


def album_loudness(blocks: Sequence[np.ndarray]) -> float | None:
    """Integrated loudness of songs one after the other, in LUFS; None for silence.

    Args:
        blocks: of each song, what `hierarchy.material.loudness.block_powers` gives.
    """
    heard = gated_loudness(np.concatenate(blocks))
    return heard if heard > SILENCE else None


def album_gain(songs: Sequence[Notes], *, loudness: float, true_peak: float) -> float:
    """The gain at which an album is as loud as asked, in decibels.

    Args:
        songs: notes of their mixes.
        loudness: asked for the whole album, in LUFS; reached unless that takes more
            than 24 dB of limiting.
        true_peak: to which each song is limited, in dBTP.
    """
    highest = max(float(song.peaks.max(initial=0)) for song in songs)
    if highest <= 0:
        return 0.0
    # The meter does not hear below -70 LUFS, however quiet the mixes were meant to be.
    level = -20 * float(np.log10(highest))
    before = album_loudness([song.powers(level, true_peak) for song in songs])
    if before is None:
        return round(level, 4)
    gain = level + loudness - before
    most = gain + MOST_DRIVE
    for _ in range(_TRIES):
        heard = album_loudness([song.powers(gain, true_peak) for song in songs])
        if heard is None or abs(loudness - heard) < _NEAR or gain >= most:
            break
        # Each decibel into a working limiter comes out as less than one.
        gain = min(gain + 1.3 * (loudness - heard), most)
    # As many digits as are written down, so that what is read is what was used.
    return round(gain, 4)
