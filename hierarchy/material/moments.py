"""Which moment of the recordings a sound is most like, and how like it is.

A moment is a second of sound. Its print is what a listener could name it by: how its
spectrum moves, whatever its level and the timbre that all of its recordings share. The
likeness of two moments is the cosine of their prints: 1 for the same recording at any
gain, near it after added noise or another encoder, lower for other music in the same
sound. Prints of all recordings that a model learned from travel with it, in one byte a
number, so that a grain that repeats one of them can be found out without the audio.

Source: after the log-mel landmarks of Haitsma and Kalker, "A highly robust audio
fingerprinting system", ISMIR 2002, with principal components in place of sign bits.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import safetensors.numpy

from structure.errors import RequestError
from structure.files import whole_file

SECONDS = 1.0
"""Length of a moment."""

STEP = 0.2  # seconds from one moment that is kept to the next
FINE = 0.05  # the same of what is looked for: half of STEP off, an attack is another
SHORTEST = 0.5  # seconds; what is shorter may be like anything
_LOOKS_A_SECOND = 40
_SLICES, _BANDS, _NUMBERS = 8, 40, 64
_RANGE_DB = 50.0  # what lies further below the loudest of a moment is not heard
TRANSPOSED = range(-6, 7)  # semitones
SPEEDS = (0.8, 0.9, 1.0, 1.1, 1.25)  # times as fast
LIKELY = 2  # of the transpositions, that are heard at all speeds
_FEWEST = 4  # slices that are compared
_SILENT = 1e-4  # rms; a moment quieter than this is like nothing


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The moment of the recordings that a sound is most like.

    Attributes:
        song: the recording, as its corpus names it.
        seconds: where in it.
        likeness: cosine of the two prints, -1 to 1.
    """

    song: str
    seconds: float
    likeness: float


@dataclasses.dataclass(frozen=True)
class Moments:
    """The prints of many recordings.

    Attributes:
        songs: names of the recordings.
        song: which of them, int16 [moments].
        seconds: where in it, float32 [moments].
        prints: int8 [moments, numbers].
        middle: what all have in common, float32 [slices * bands].
        basis: what prints are told apart by, float32 [slices * bands, numbers].
    """

    songs: tuple[str, ...]
    song: np.ndarray
    seconds: np.ndarray
    prints: np.ndarray
    middle: np.ndarray
    basis: np.ndarray

    def __len__(self) -> int:
        return len(self.prints)

    def nearest(self, waveform: np.ndarray, sample_rate: int) -> Nearest | None:
        """The moment that some second of a sound is most like.

        It is heard in every transposition up to a tritone, and in the likeliest of them
        as if it had been played faster or slower, so that a copy in another key or at
        another tempo is found out too. A sound shorter than a second, such as a quick
        bar of two beats, is compared with the beginnings of moments.

        Args:
            waveform: float32 [channels, samples].
            sample_rate: Hz.

        Returns:
            None if the sound is shorter than SHORTEST or silent throughout.
        """
        seconds = waveform.shape[-1] / sample_rate
        slices = _SLICES
        if seconds < SECONDS:
            # Moments lie STEP apart: as much has to be left to find the best place.
            slices = max(int((seconds - STEP) / SECONDS * _SLICES), _FEWEST)
        if seconds < SHORTEST or not len(self):
            return None
        mono = np.asarray(waveform, np.float32).mean(axis=0)
        power = _power(mono, sample_rate)
        known = self._known if slices == _SLICES else self._beginnings(slices)

        @functools.cache
        def sounding(speed: float) -> np.ndarray:
            looks = _looks(slices, speed)
            return _sounding(mono, sample_rate, step=FINE, looks=looks)

        @functools.cache
        def best(semitones: int, speed: float = 1.0) -> tuple[float, int]:
            starts = sounding(speed)
            if not len(starts):
                return -1.0, -1
            patches = _patches(
                power,
                sample_rate,
                starts,
                slices=slices,
                semitones=semitones,
                speed=speed,
            )
            patches = patches - self.middle[: slices * _BANDS]
            if slices == _SLICES:
                patches = patches @ self.basis
            else:
                patches = _centred(patches)
            alike = _unit(patches) @ known.T
            found = alike.argmax()
            return float(alike.flat[found]), int(found % len(known))

        in_keys = sorted(TRANSPOSED, key=best, reverse=True)[:LIKELY]
        likeness, found = max(best(*way) for way in itertools.product(in_keys, SPEEDS))
        if found < 0:
            return None
        return Nearest(
            self.songs[self.song[found]],
            round(float(self.seconds[found]), 2),
            round(likeness, 4),
        )

    @functools.cached_property
    def _known(self) -> np.ndarray:
        """The prints at unit length: every grain of a song is compared with them."""
        return _unit(self.prints.astype(np.float32))

    def _beginnings(self, slices: int) -> np.ndarray:
        """How the first slices of each moment differ from all others', as unit rows."""
        return _unit(_centred(self._known @ self.basis[: slices * _BANDS].T))

    def write(self, path: str | Path) -> None:
        """Write as .safetensors."""
        arrays = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "songs"
        }
        with whole_file(path) as draft:
            safetensors.numpy.save_file(
                arrays, draft, metadata={"songs": "\n".join(self.songs)}
            )

    @classmethod
    def read(cls, path: str | Path) -> Moments:
        """Read what `write` wrote.

        Raises:
            RequestError: if the file is something else.
        """
        try:
            with safetensors.safe_open(str(path), "numpy") as file:
                songs = tuple(file.metadata()["songs"].split("\n"))
                arrays = {name: file.get_tensor(name) for name in list(file.keys())}
            return cls(songs, **arrays)
        except (safetensors.SafetensorError, KeyError, TypeError) as error:
            raise RequestError(
                f"{path} holds no moments of recordings: {error}"
            ) from None


def moments_of(recordings: Sequence[tuple[str, np.ndarray, int]]) -> Moments:
    """Take the prints of recordings.

    Args:
        recordings: name, float32 [channels, samples] and sample rate of each. Taken
            one after the other, so a generator that loads them is welcome.
    """
    songs, number, seconds, patches = [], [], [], []
    for name, waveform, sample_rate in recordings:
        mono = np.asarray(waveform, np.float32).mean(axis=0)
        starts = _sounding(mono, sample_rate, step=STEP)
        found = _patches(_power(mono, sample_rate), sample_rate, starts)
        songs.append(name)
        number.append(np.full(len(starts), len(songs) - 1, np.int16))
        seconds.append(starts * (sample_rate // _LOOKS_A_SECOND) / sample_rate)
        patches.append(found.astype(np.float16))
    if not songs:
        raise RequestError("no recordings to take moments of")
    every = np.concatenate(patches).astype(np.float32)
    middle = (
        every.mean(axis=0) if len(every) else np.zeros(_SLICES * _BANDS, np.float32)
    )
    centred = every - middle
    basis = _principal(centred)
    prints = np.rint(127 * _unit_largest(centred @ basis)).astype(np.int8)
    return Moments(
        tuple(songs),
        np.concatenate(number),
        np.concatenate(seconds).astype(np.float32),
        prints,
        middle.astype(np.float32),
        basis,
    )


def _power(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power spectrum of a sound, float32 [bins, looks]."""
    size = 2048 * max(1, round(sample_rate / 44100))
    hop = sample_rate // _LOOKS_A_SECOND
    # A sound shorter than the window is heard in the silence that follows it.
    mono = np.pad(mono, (0, max(0, size - len(mono))))
    return np.square(np.abs(librosa.stft(mono, n_fft=size, hop_length=hop)))


@functools.lru_cache(maxsize=64)
def _bands(sample_rate: int, bins: int, semitones: int) -> np.ndarray:
    """Mel bands as they are heard of what was transposed up, float32 [bands, bins]."""
    # Twice as far as there are bins: what was transposed up lacks the highest bands.
    beyond = librosa.filters.mel(
        sr=2 * sample_rate / 2 ** (semitones / 12),
        n_fft=4 * (bins - 1),
        n_mels=_BANDS,
        fmin=60.0,
        fmax=min(10_000.0, sample_rate / 2),
    )
    return beyond[:, :bins]


def _looks(slices: int, speed: float = 1.0) -> int:
    """How many looks so many slices of a moment are, played so many times as fast."""
    return math.ceil(slices * round(SECONDS * _LOOKS_A_SECOND) // _SLICES / speed)


def _sounding(
    mono: np.ndarray, sample_rate: int, *, step: float, looks: int | None = None
) -> np.ndarray:
    """The looks at which moments of so many looks begin that are not silent, int."""
    hop, looks = sample_rate // _LOOKS_A_SECOND, looks or _looks(_SLICES)
    every = round(step * _LOOKS_A_SECOND)
    starts = np.arange(0, 1 + len(mono) // hop - looks, every)
    rms = [np.sqrt(np.square(mono[s * hop :][: looks * hop]).mean()) for s in starts]
    return starts[np.array(rms) > _SILENT]


def _patches(
    power: np.ndarray,
    sample_rate: int,
    starts: np.ndarray,
    *,
    slices: int = _SLICES,
    semitones: int = 0,
    speed: float = 1.0,
) -> np.ndarray:
    """Moments of a sound, float32 [moments, slices * bands].

    They begin at `starts`, are as long as so many slices, and are heard as if the
    sound had not been transposed, nor played so many times as fast.
    """
    mel = (_bands(sample_rate, len(power), semitones) @ power).T
    looks = _looks(slices)
    inside = starts[:, None] + (np.arange(looks) / speed).astype(int)[None]
    cut = mel[inside].reshape(len(starts), slices, looks // slices, _BANDS)
    decibels = 10 * np.log10(cut.mean(axis=2).reshape(-1, slices * _BANDS) + 1e-12)
    loudest = decibels.max(axis=1, keepdims=True)
    decibels = np.maximum(decibels, loudest - _RANGE_DB)
    decibels -= decibels.mean(axis=1, keepdims=True)
    return decibels.astype(np.float32)


def _principal(centred: np.ndarray) -> np.ndarray:
    """The directions in which patches differ most, float32 [features, numbers]."""
    covariance = centred.T @ centred / max(len(centred), 1)
    _, vectors = np.linalg.eigh(covariance.astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :_NUMBERS]).astype(np.float32)


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=1, keepdims=True)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _unit_largest(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-9)
