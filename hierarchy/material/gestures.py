"""A style's book of gestures: beat-long clips of what was heard, to be asked for again.

A plan that only says "A minor, loud" is not yet music. A gesture is one beat of a
recording as conditions: levels of the bands, colour, attack and the sinusoids of its
sketch. Beats that followed each other in the recording lie next to each other in the
book, in phrases, so that what is asked can move as real music moves. Everything is
stored in bytes: with 48 sinusoids a frame, about 17 kB for a second.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from hierarchy.material.features import FLOOR, HOP, Features
from hierarchy.material.sketch import PEAKS, Sketch
from structure.errors import RequestError
from structure.files import whole_file
from structure.harmony import Chord
from structure.listening import Heard

SECONDS = 600.0
"""How much of a corpus a book holds at most, unless told otherwise."""

PHRASE_BEATS = 16
_QUIETEST_DB, _LOWEST_HZ = -120.0, 16.0


@dataclasses.dataclass(frozen=True)
class Clip:
    """A stretch of a book, decoded. Frames as in `Features`."""

    levels: np.ndarray  # float32 [2, frames, bands]
    brightness: np.ndarray  # float32 [frames]
    onset: np.ndarray  # float32 [frames]
    tonality: np.ndarray  # float32 [frames]
    sketch: Sketch  # frames // 2 of them


@dataclasses.dataclass(frozen=True)
class Book:
    """The gestures of one style.

    A phrase is a run of frames; phrase p has the feature frames
    phrase_start[p] to phrase_start[p + 1] (even numbers) and half as many sketch
    frames. The beats of a phrase cover it but for a margin at either end.

    Attributes:
        sample_rate: that frames refer to, Hz.
        songs: name of each recording.
        arrays: what `_FIELDS` says, by name.
    """

    sample_rate: int
    songs: tuple[str, ...]
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        """How many gestures there are."""
        return len(self.arrays["beat_start"])

    def __getattr__(self, name: str) -> np.ndarray:
        if name in _FIELDS:
            return self.arrays[name]
        raise AttributeError(name)

    @property
    def beat_seconds(self) -> np.ndarray:
        """Length of each gesture as it was heard, float [beats]."""
        return self.beat_frames * HOP / self.sample_rate

    def clip(self, first: int, last: int) -> Clip:
        """Feature frames `first` to `last`, both even, decoded."""
        here, drawn = slice(first, last), slice(first // 2, last // 2)
        frequency = _from_cents(self.frequency[drawn])
        amplitude = _from_db(self.amplitude[:, drawn])
        turn = np.exp(2j * np.pi * self.phase[:, drawn] / 256)
        drawn_peaks = (amplitude * turn).astype(np.complex64)
        return Clip(
            _from_db(self.levels[:, here]),
            self.brightness[here].astype(np.float32) / 32 - 4,
            self.onset[here].astype(np.float32) / 255,
            self.tonality[here].astype(np.float32) / 255,
            Sketch(frequency, drawn_peaks[0], drawn_peaks[1]),
        )

    def write(self, path: str | Path) -> None:
        """Write as .safetensors, whole or not at all."""
        about = {
            "format": "macrotime-gestures",
            "version": "1",
            "sample_rate": str(self.sample_rate),
            "songs": "\n".join(self.songs),
        }
        with whole_file(path) as draft:
            safetensors.numpy.save_file(self.arrays, draft, metadata=about)

    @classmethod
    def read(cls, path: str | Path) -> Book:
        """Read what `write` wrote.

        Raises:
            RequestError: if it cannot be read or is not a book.
        """
        try:
            with safetensors.safe_open(str(path), framework="numpy") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise RequestError(f"cannot read the gestures {path}: {error}") from None
        missing = set(_FIELDS) - set(arrays)
        if about.get("format") != "macrotime-gestures" or missing:
            raise RequestError(f"{path} is not a book of gestures of this version")
        return cls(int(about["sample_rate"]), tuple(about["songs"].split("\n")), arrays)


_FIELDS = {
    # Frames of all phrases, one after the other.
    "levels": "uint8 [2, frames, bands], half decibels",
    "brightness": "uint8 [frames]",
    "onset": "uint8 [frames]",
    "tonality": "uint8 [frames]",
    "frequency": "uint16 [frames // 2, peaks], cents above 16 Hz at A = 440; 0 for none",
    "amplitude": "uint8 [2, frames // 2, peaks], half decibels",
    "phase": "uint8 [2, frames // 2, peaks], 256ths of a turn",
    "phrase_start": "int32 [phrases + 1], frames",
    # One entry a beat.
    "beat_start": "float32 [beats], frames",
    "beat_frames": "float32 [beats], its length",
    "beat_phrase": "int32 [beats]",
    "beat_song": "int32 [beats]",
    "beat_in_bar": "int32 [beats], 0 is the downbeat",
    "beat_idea": "int32 [beats], number of its section's letter in its song",
    "beat_chroma": "float32 [beats, 12], largest 1",
    "beat_level": "float32 [beats], dB of both channels together",
    "beat_tonality": "float32 [beats]",
    "beat_edges": "float32 [2, beats, bands], log levels at its start and its end",
    # One entry a song.
    "song_major": "float32 [songs], 1 in a major key",
    "song_tempo": "float32 [songs], beats per minute",
    "song_level": "float32 [songs], dB, mean over its beats here",
}


def make_book(
    recordings: Sequence[tuple[str, Features, Heard]],
    *,
    seconds: float = SECONDS,
    peaks: int = PEAKS,
) -> Book:
    """Choose phrases of recordings and write them down compactly.

    Every recording gives an equal share. Within one, sections take turns, the ones
    not yet heard first, each giving its next phrase of up to four bars, so that the
    book holds contrasts before it holds more of the same.

    Args:
        recordings: name, features and what was heard in each.
        seconds: about how much to keep in all.
        peaks: sinusoids that are kept of each frame, the strongest.

    Raises:
        RequestError: if no recording has a beat.
    """
    phrases, songs = [], []
    for name, features, heard in recordings:
        chosen = _choose_phrases(heard, seconds / len(recordings))
        if not chosen:
            continue
        late = _lateness(features, heard)
        phrases += [(len(songs), features, heard, beats, late) for beats in chosen]
        songs.append((name, heard))
    if not phrases:
        raise RequestError("no recording has a beat; a book of gestures needs some")
    written = [_write_phrase(*phrase, peaks) for phrase in phrases]
    starts = np.cumsum([0, *(one["frames"] for one in written)])
    arrays = {"phrase_start": starts.astype(np.int32)}
    for index, one in enumerate(written):
        one["beat_start"] = (one["beat_start"] + starts[index]).astype(np.float32)
        one["beat_phrase"] = np.full(len(one["beat_start"]), index, np.int32)
    for field in _FIELDS:
        if field in written[0]:
            axis = 1 if field in ("levels", "amplitude", "phase", "beat_edges") else 0
            parts = [one[field] for one in written]
            arrays[field] = np.ascontiguousarray(np.concatenate(parts, axis=axis))
    arrays["song_major"] = np.float32([heard.key.endswith("maj") for _, heard in songs])
    arrays["song_tempo"] = np.float32([heard.tempo for _, heard in songs])
    arrays["song_level"] = np.float32(
        [
            arrays["beat_level"][arrays["beat_song"] == i].mean()
            for i in range(len(songs))
        ]
    )
    return Book(recordings[0][1].sample_rate, tuple(name for name, _ in songs), arrays)


def _choose_phrases(heard: Heard, seconds: float) -> list[range]:
    """Runs of beats, at most `seconds` in all, in the order of the song."""
    times, beats = np.asarray(heard.beat_times), len(heard.beat_times)
    queues = {}
    for number, letter in enumerate(heard.letters):
        first, last = np.searchsorted(
            times, np.asarray(heard.boundaries[number : number + 2]) - 1e-3
        )
        last = min(int(last), beats - 1)
        runs = [
            range(at, min(at + PHRASE_BEATS, last))
            for at in range(int(first), last, PHRASE_BEATS)
        ]
        queues.setdefault(letter, []).extend(run for run in runs if len(run) >= 4)
    chosen, spent = [], 0.0
    while any(queues.values()) and spent < seconds:
        for queue in queues.values():
            if queue and spent < seconds:
                run = queue.pop(0)
                chosen.append(run)
                spent += times[run.stop] - times[run.start]
    return sorted(chosen, key=lambda run: run.start)


_MARGIN = 16  # frames kept before the first beat and after the last of a phrase


def _lateness(features: Features, heard: Heard) -> float:
    """Frames by which the attacks of a recording lie behind its heard beats.

    Beat trackers differ by some hundredths of a second from what a listener calls the
    beat, by about as much all through a recording. A gesture has to begin just
    before its attack, or the attack would be lost in the join.
    """
    log = np.log(np.maximum(features.levels[0], 1e-4))
    rise = np.maximum(np.diff(log, axis=0, prepend=log[:1]), 0).sum(axis=1)
    beats = np.asarray(heard.beat_times) * features.sample_rate / HOP
    shifts = np.arange(-7.0, 7.01, 0.25)
    at = np.floor(beats[:, None] + shifts[None]).astype(int)
    found = rise[np.clip(at, 0, features.frames - 1)].mean(axis=0)
    # A frame wide plateau: its middle, less a quarter of a frame to be on time.
    smooth = np.convolve(np.pad(found, 2, mode="edge"), np.ones(5) / 5, "valid")
    return float(shifts[smooth.argmax()]) - 0.25


def _write_phrase(
    song: int,
    features: Features,
    heard: Heard,
    beats: range,
    late: float,
    peaks: int,
) -> dict:
    per_second = features.sample_rate / HOP
    times = np.asarray(heard.beat_times[beats.start : beats.stop + 1]) * per_second
    times = np.clip(times + late, 0, features.frames - 1)
    first = max(0, int(times[0]) - _MARGIN) // 2 * 2
    last = min(features.frames, int(times[-1]) + _MARGIN) // 2 * 2
    here, drawn = slice(first, last), slice(first // 2, last // 2)
    sketch = features.sketch[drawn].strongest(peaks)
    pair = np.stack([sketch.middle, sketch.side])
    at = times - first
    edges = np.clip(np.rint(at).astype(int), 0, last - first - 1)
    level = np.log(np.maximum(features.levels[:, here], FLOOR))
    power = np.square(features.levels[:, here]).sum(axis=(0, 2))
    chroma = features.chroma()[here]
    downbeats = np.asarray(heard.downbeats)
    numbers = np.arange(beats.start, beats.stop)
    bar = np.maximum(np.searchsorted(downbeats, numbers, side="right") - 1, 0)
    sections = np.searchsorted(
        np.asarray(heard.boundaries[1:-1]), np.asarray(heard.beat_times)[numbers] + 1e-3
    )

    ideas = {letter: i for i, letter in enumerate(dict.fromkeys(heard.letters))}

    def mean_over_beats(values: np.ndarray) -> np.ndarray:
        return np.stack(
            [values[a : max(a + 1, b)].mean(axis=0) for a, b in _pairs(edges)]
        ).astype(np.float32)

    beat_chroma = mean_over_beats(chroma * np.sqrt(power)[:, None])
    beat_chroma /= np.maximum(beat_chroma.max(axis=1, keepdims=True), 1e-9)
    return {
        "frames": last - first,
        "levels": _to_db(features.levels[:, here]),
        "brightness": np.clip((features.brightness[here] + 4) * 32, 0, 255).astype(
            np.uint8
        ),
        "onset": np.rint(features.onset[here] * 255).astype(np.uint8),
        "tonality": np.rint(features.tonality[here] * 255).astype(np.uint8),
        "frequency": _to_cents(sketch.frequency, features.tuning),
        "amplitude": _to_db(np.abs(pair)),
        "phase": (np.rint(np.angle(pair) / (2 * np.pi) * 256).astype(int) % 256).astype(
            np.uint8
        ),
        "beat_start": at[:-1],
        "beat_frames": np.diff(at).astype(np.float32),
        "beat_song": np.full(len(beats), song, np.int32),
        "beat_in_bar": np.maximum(numbers - downbeats[bar], 0).astype(np.int32)
        if len(downbeats)
        else np.zeros(len(beats), np.int32),
        "beat_idea": np.array([ideas[heard.letters[i]] for i in sections], np.int32),
        "beat_chroma": beat_chroma,
        "beat_level": (10 * np.log10(mean_over_beats(power) + 1e-12)).astype(
            np.float32
        ),
        "beat_tonality": mean_over_beats(features.tonality[here]),
        "beat_edges": np.stack(
            [
                np.stack([level[0, a : a + 4].mean(axis=0) for a in edges[:-1]]),
                np.stack(
                    [level[0, max(0, b - 4) : b + 1].mean(axis=0) for b in edges[1:]]
                ),
            ]
        ).astype(np.float32),
    }


def _pairs(edges):
    return itertools.pairwise(edges)


def _to_db(values: np.ndarray) -> np.ndarray:
    decibels = 20 * np.log10(np.maximum(values, 1e-9))
    return np.clip(np.rint((decibels - _QUIETEST_DB) * 2), 0, 255).astype(np.uint8)


def _from_db(stored: np.ndarray) -> np.ndarray:
    decibels = stored.astype(np.float32) / 2 + _QUIETEST_DB
    return np.where(stored > 0, 10 ** (decibels / 20), 0.0).astype(np.float32)


def _to_cents(frequency: np.ndarray, tuning: float) -> np.ndarray:
    # Tuning is undone here, once, so that all songs of a book agree.
    cents = (
        1200 * np.log2(np.maximum(frequency, _LOWEST_HZ) / _LOWEST_HZ) - 100 * tuning
    )
    heard = (frequency > _LOWEST_HZ) & (cents > 0.5)
    return np.where(heard, np.clip(np.rint(cents), 1, 65535), 0).astype(np.uint16)


def _from_cents(stored: np.ndarray) -> np.ndarray:
    hertz = _LOWEST_HZ * 2 ** (stored.astype(np.float64) / 1200)
    return np.where(stored > 0, hertz, 0.0).astype(np.float32)


def fit_to_chords(book: Book, chords: Sequence[str]) -> np.ndarray:
    """How well each gesture, transposed by each interval, would sound as each chord.

    Args:
        book: the gestures.
        chords: in Harte's syntax.

    Returns:
        float32 [chords, beats, 12]: cosine of chroma and chord; the last axis is the
        transposition, in semitones upwards. 1 throughout for "N" and "X".
    """
    rotated = np.stack(
        [np.roll(book.beat_chroma, n, axis=1) for n in range(12)], axis=1
    )
    rotated = rotated / np.maximum(np.linalg.norm(rotated, axis=2, keepdims=True), 1e-9)
    fits = []
    for name in chords:
        template = Chord.parse(name).chroma()
        norm = np.linalg.norm(template)
        if norm == 0 or Chord.parse(name).root is None:
            fits.append(np.ones(rotated.shape[:2], np.float32))
        else:
            fits.append(rotated @ (template / norm))
    return np.stack(fits).astype(np.float32)
