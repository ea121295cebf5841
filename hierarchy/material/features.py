"""A waveform to what the grain model is asked for: levels, colour and pitch, frame by frame.

Everything here is measured on the audio itself, with no labels; beat times, if they are
known, place each frame within its beat. The recording is described as middle and side,
(left ± right) / 2, so that a grain can be asked for in stereo and folds down to mono
without loss.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import librosa
import numpy as np

from hierarchy.material import bands as filterbank
from hierarchy.material import sketch as sinusoids
from hierarchy.material.sketch import DESCRIBING, Sketch
from structure.files import whole_file

HOP = 512  # samples between frames; a sketch has one frame for every two of these
FLOOR = 1e-5  # level that counts as silence, -100 dBFS
PITCHED = (55.0, 2500.0)  # Hz between which sinusoids count as pitch classes
OCTAVES = (110.0, 220.0, 440.0, 880.0, 1760.0)  # Hz between which pitches lie
SPECTRUM = 2048  # samples of the spectra whose centroids are brightness
BANDS = 16  # half as many steps a second as 8, and a floor of noise twice as fine


@dataclasses.dataclass(frozen=True)
class Features:
    """What is heard in each frame; frame t covers samples t * HOP to (t + 1) * HOP.

    Attributes:
        levels: rms of each band, float32 [2, frames, bands]; 0 is middle, 1 is side.
        brightness: spectral centroid as log2(Hz / 1000), float32 [frames].
        onset: strength of attack, 0 to 1, float32 [frames].
        tonality: share of the level that the DESCRIBING strongest sinusoids explain,
            0 to 1, float32 [frames].
        beat: place in the beat, 0 to 1; -1 where no beat is known, float32 [frames].
        sketch: the strongest sinusoids, 1 + frames // 2 frames of them.
        tuning: how far the recording lies above A = 440 Hz, in semitones.
        sample_rate: Hz.
    """

    levels: np.ndarray
    brightness: np.ndarray
    onset: np.ndarray
    tonality: np.ndarray
    beat: np.ndarray
    sketch: Sketch
    tuning: float
    sample_rate: int

    @property
    def frames(self) -> int:
        """How many; always even."""
        return len(self.brightness)

    def chroma(self) -> np.ndarray:
        """Strength of each pitch class, float32 [frames, 12], largest 1 (or all 0)."""
        return chroma_of(self.sketch, self.tuning).repeat(2, axis=0)[: self.frames]

    def octaves(self) -> np.ndarray:
        """How high pitches lie, float32 [2, frames, octaves]; see `octaves_of`."""
        return octaves_of(self.sketch).repeat(2, axis=1)[:, : self.frames]

    def write(self, path: str | Path) -> None:
        """Write as .npz, compactly: float16 but for frequencies."""
        with whole_file(path) as draft, draft.open("wb") as file:
            np.savez(
                file,
                levels=np.log(np.maximum(self.levels, FLOOR)).astype(np.float16),
                brightness=self.brightness.astype(np.float16),
                onset=self.onset.astype(np.float16),
                tonality=self.tonality.astype(np.float16),
                beat=self.beat.astype(np.float16),
                frequency=self.sketch.frequency,
                middle=_as_halves(self.sketch.middle),
                side=_as_halves(self.sketch.side),
                tuning=np.float32(self.tuning),
                sample_rate=np.int32(self.sample_rate),
            )

    @classmethod
    def read(cls, path: str | Path) -> Features:
        """Read what `write` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                levels=np.exp(file["levels"].astype(np.float32)),
                brightness=file["brightness"].astype(np.float32),
                onset=file["onset"].astype(np.float32),
                tonality=file["tonality"].astype(np.float32),
                beat=file["beat"].astype(np.float32),
                sketch=Sketch(
                    file["frequency"],
                    _from_halves(file["middle"]),
                    _from_halves(file["side"]),
                ),
                tuning=float(file["tuning"]),
                sample_rate=int(file["sample_rate"]),
            )


def _as_halves(values: np.ndarray) -> np.ndarray:
    """complex64 [...] to float16 [..., 2]: log amplitude and phase."""
    loud = np.log(np.maximum(np.abs(values), 1e-8))
    return np.stack([loud, np.angle(values)], axis=-1).astype(np.float16)


def _from_halves(halves: np.ndarray) -> np.ndarray:
    loud, phase = np.moveaxis(halves.astype(np.float32), -1, 0)
    amplitude = np.where(loud < np.log(2e-8), 0.0, np.exp(loud))
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


def chroma_of(sketch: Sketch, tuning: float = 0.0) -> np.ndarray:
    """Strength of each pitch class in each frame of a sketch, float32 [frames, 12].

    Each peak inside PITCHED counts with its amplitude, shared between the
    two pitch classes that it lies between, if it is among the DESCRIBING strongest of
    its frame. Frames are scaled to a largest value of 1.
    """
    sketch = sketch.strongest(DESCRIBING)
    loud = np.abs(sketch.middle) + np.abs(sketch.side)
    loud = np.where(is_pitched(sketch.frequency), loud, 0.0)
    pitch = pitch_of(sketch.frequency, tuning)
    below = np.floor(pitch).astype(int)
    share = (pitch - below).astype(np.float32)
    chroma = np.zeros([len(sketch), 12], np.float32)
    row = np.broadcast_to(np.arange(len(sketch))[:, None], below.shape)
    np.add.at(chroma, (row, below % 12), loud * (1 - share))
    np.add.at(chroma, (row, (below + 1) % 12), loud * share)
    top = chroma.max(axis=1, keepdims=True)
    return np.where(top > 10 * FLOOR, chroma / np.maximum(top, FLOOR), 0.0)


def pitch_of(frequency: np.ndarray, tuning: float = 0.0) -> np.ndarray:
    """MIDI note numbers of frequencies, Hz; A = 440 Hz, `tuning` semitones higher, is 69."""
    return 69 - tuning + 12 * np.log2(np.maximum(frequency, 20.0) / 440)


def is_pitched(frequency: np.ndarray) -> np.ndarray:
    """Which frequencies, Hz, count as pitch classes."""
    return (frequency > PITCHED[0]) & (frequency < PITCHED[1])


def octave_number(frequency: np.ndarray) -> np.ndarray:
    """Between which of OCTAVES frequencies, Hz, lie: 0 is below the first."""
    return np.searchsorted(OCTAVES, frequency, side="right")


def octaves_of(sketch: Sketch) -> np.ndarray:
    """How much of each frame of a sketch lies in which octave.

    The DESCRIBING strongest sinusoids below, between and above OCTAVES: the square root
    of their share of the frame's power, for middle and side.

    Returns:
        float32 [2, frames, 1 + len(OCTAVES)], zeros where there is no sinusoid.
    """
    sketch = sketch.strongest(DESCRIBING)
    octave = octave_number(sketch.frequency)
    peaks = np.square(np.abs(np.stack([sketch.middle, sketch.side])))
    within = [(peaks * (octave == n)).sum(axis=-1) for n in range(1 + len(OCTAVES))]
    power = np.stack(within, axis=-1)
    total = power.sum(axis=-1, keepdims=True)
    return np.sqrt(power / np.maximum(total, FLOOR**2)).astype(np.float32)


def middle_and_side(waveform: np.ndarray) -> np.ndarray:
    """Float [1 or 2, samples] to float32 [2, samples]: (left ± right) / 2."""
    if waveform.ndim != 2 or waveform.shape[0] not in (1, 2):
        raise ValueError(f"a waveform is [1 or 2, samples], got {waveform.shape}")
    if waveform.shape[0] == 1:
        return np.stack([waveform[0], np.zeros_like(waveform[0])])
    left, right = waveform
    return np.stack([(left + right) / 2, (left - right) / 2])


def whole_frames(waveform: np.ndarray) -> np.ndarray:
    """Pad [..., samples] with silence to an even, nonzero number of frames."""
    lacking = -waveform.shape[-1] % (2 * HOP) or 0
    if waveform.shape[-1] == 0:
        lacking = 2 * HOP
    return np.pad(waveform, [(0, 0)] * (waveform.ndim - 1) + [(0, lacking)])


def levels_of(split_bands: np.ndarray) -> np.ndarray:
    """Smoothed rms of each band, [..., steps, bands] to [..., steps a frame, bands]."""
    *lead, steps, bands = split_bands.shape
    per_frame = HOP // bands
    power = np.square(split_bands).reshape(*lead, steps // per_frame, per_frame, bands)
    level = np.log(np.sqrt(power.mean(axis=-2)) + FLOOR)
    padded = np.pad(level, [(0, 0)] * len(lead) + [(1, 1), (0, 0)], mode="edge")
    smooth = 0.25 * padded[..., :-2, :] + 0.5 * level + 0.25 * padded[..., 2:, :]
    return np.exp(smooth).astype(np.float32)


def with_bands(features: Features, waveform: np.ndarray, bands: int) -> Features:
    """The same features with the levels of another number of bands.

    Args:
        features: measured on `waveform`.
        waveform: float32 [1 or 2, samples].
        bands: a divisor of HOP.
    """
    if features.levels.shape[-1] == bands:
        return features
    pair = whole_frames(middle_and_side(np.asarray(waveform, np.float32)))
    split = [np.asarray(filterbank.split(jnp.asarray(one), bands)) for one in pair]
    return dataclasses.replace(
        features, levels=np.stack([levels_of(one) for one in split])
    )


def measure(
    waveform: np.ndarray,
    sample_rate: int,
    *,
    beat_times: np.ndarray | None = None,
    bands: int = BANDS,
) -> Features:
    """Hear a recording frame by frame.

    Args:
        waveform: float32 [1 or 2, samples]; its end is padded to whole frames.
        sample_rate: Hz.
        beat_times: seconds of each beat, rising.
        bands: of the filter bank; a divisor of HOP.

    Returns:
        Features of an even number of frames.
    """
    pair = whole_frames(middle_and_side(np.asarray(waveform, np.float32)))
    frames = pair.shape[1] // HOP
    split = [np.asarray(filterbank.split(jnp.asarray(one), bands)) for one in pair]
    sketch = sinusoids.analyse(pair[0], pair[1], sample_rate)
    describing = sketch.strongest(DESCRIBING)
    centroid, onset = _colour(
        pair[0] if pair[0].any() else pair[1], sample_rate, frames
    )
    return Features(
        levels=np.stack([levels_of(one) for one in split]),
        brightness=centroid,
        onset=onset,
        tonality=_tonality(pair, describing, frames),
        beat=_place_in_beat(beat_times, frames, sample_rate),
        sketch=sketch,
        tuning=_tuning(describing),
        sample_rate=sample_rate,
    )


def _colour(signal, sample_rate, frames):
    # A recording shorter than the window is heard in the silence that follows it.
    signal = np.pad(signal, (0, max(0, SPECTRUM - len(signal))))
    magnitude = np.abs(librosa.stft(signal, n_fft=SPECTRUM, hop_length=HOP))[:, :frames]
    centroid = librosa.feature.spectral_centroid(S=magnitude, sr=sample_rate)[0]
    brightness = np.log2(np.maximum(centroid, 50.0) / 1000.0).astype(np.float32)
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=sample_rate)
    strength = librosa.onset.onset_strength(
        S=librosa.power_to_db(mel, top_db=None), sr=sample_rate, hop_length=HOP
    )
    return brightness, np.tanh(strength[:frames] / 5.0).astype(np.float32)


def _tonality(pair, sketch, frames):
    power = np.square(pair).reshape(2, frames, HOP).mean(axis=-1).sum(axis=0)
    drawn = 0.5 * (np.abs(sketch.middle) ** 2 + np.abs(sketch.side) ** 2).sum(axis=1)
    drawn = drawn.repeat(2)[:frames]
    # Not "same", which answers two frames with three.
    smooth = np.convolve(np.pad(power, 1), [0.25, 0.5, 0.25], "valid")
    return np.sqrt(np.clip(drawn / (smooth + FLOOR**2), 0, 1)).astype(np.float32)


def _place_in_beat(beat_times, frames, sample_rate):
    if beat_times is None or len(beat_times) < 2:
        return np.full(frames, -1.0, np.float32)
    times = (np.arange(frames) + 0.5) * HOP / sample_rate
    count = np.interp(times, beat_times, np.arange(len(beat_times)), left=-1, right=-1)
    return np.where(count < 0, -1.0, count % 1.0).astype(np.float32)


def _tuning(sketch: Sketch) -> float:
    heard = (sketch.frequency > 80) & (sketch.frequency < 2500)
    loud = np.abs(sketch.middle) + np.abs(sketch.side)
    if not np.any(loud[heard] > 0):
        return 0.0
    pitch = 12 * np.log2(sketch.frequency[heard] / 440)
    # The mean direction on the circle of one semitone, weighted by amplitude.
    return float(np.angle(np.sum(loud[heard] * np.exp(2j * np.pi * pitch))) / 2 / np.pi)
