"""A waveform to the plan it might have come from.

    waveform -> spectra -> beats -> bars -> chords, key -> sections

Each arrow is a module of its own (spectra, beats, tonality, segmentation); this
one joins them and says what was heard.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from structure import beats as pulse
from structure import segmentation, tonality
from structure.errors import RequestError
from structure.heard import Heard
from structure.spectra import measure_spectra, over_beats

__all__ = ["Heard", "listen"]

_STEPS = 5  # What `progress` counts.
_BRIGHT = 25  # Mel bands from here up, above about 2 kHz, are what sounds bright.


def listen(
    waveform: np.ndarray,
    sample_rate: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Heard:
    """Hear beats, bars, chords, key and sections in a song.

    Args:
        waveform: float32 [channels, samples], finite, of any length from one sample.
        sample_rate: in Hz.
        progress: called with (steps done, steps in all).

    Raises:
        RequestError: if the waveform has no samples or is not finite.
    """
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim != 2 or waveform.size == 0:
        raise RequestError(
            f"a waveform of shape {list(waveform.shape)}; listening takes "
            "[channels, samples] with at least one sample"
        )
    if not np.isfinite(waveform).all():
        raise RequestError("the waveform holds NaN or infinity; audio is finite")
    tell = progress or (lambda done, total: None)
    tell(0, _STEPS)
    spectra = measure_spectra(waveform, sample_rate)
    tell(1, _STEPS)

    onsets = pulse.find_onsets(spectra)
    beats = pulse.find_beats(spectra, onsets)
    tell(2, _STEPS)

    edges = np.append(beats.times, spectra.seconds)
    pitch = over_beats(spectra.pitch, spectra.pitch_times, edges)
    played = tonality.notes(pitch)
    chroma, bass = tonality.fold_octaves(played), tonality.bass_chroma(played)
    changes = tonality.harmonic_changes(chroma)
    beats_per_bar, first = pulse.find_downbeats(spectra, onsets, beats, changes)
    tell(3, _STEPS)

    place = (np.arange(len(beats.times)) - first) % beats_per_bar
    likely = np.where(place == 0, 0.4, np.where(place * 2 == beats_per_bar, 0.2, 0.08))
    chords = tonality.find_chords(chroma, bass, likely_changes=likely)
    key = tonality.find_key(pitch)
    chords = [str(tonality.Chord.parse(name).spelled_in(key)) for name in chords]
    tell(4, _STEPS)

    power = over_beats(spectra.mel, spectra.mel_times, edges)
    downbeats = np.arange(first, len(beats.times), beats_per_bar)
    if len(downbeats) > 1 and len(beats.times) - downbeats[-1] < 0.6 * beats_per_bar:
        downbeats = downbeats[:-1]  # Not enough of a bar to count as one.
    if len(downbeats) == 0:
        downbeats = np.array([0])
    sections = _sections(chroma, power, downbeats, beats_per_bar)
    end = min(downbeats[-1] + beats_per_bar, len(edges) - 1)
    bounds = [*downbeats[sections.cuts[:-1]], end]
    tell(_STEPS, _STEPS)
    return Heard(
        seconds=spectra.seconds,
        tempo=beats.tempo,
        steady=beats.steady,
        meter=f"{beats_per_bar}/4",
        key=str(key),
        beat_times=tuple(round(float(t), 5) for t in beats.times),
        downbeats=tuple(int(beat) for beat in downbeats),
        chords=tuple(chords),
        boundaries=tuple(round(float(edges[beat]), 5) for beat in bounds),
        labels=tuple(sections.labels),
        label_confidence=tuple(round(c, 3) for c in sections.confidence),
        letters=tuple(sections.letters),
        energy=tuple(round(e, 3) for e in sections.energy),
        brightness=tuple(round(b, 3) for b in sections.brightness),
    )


@dataclasses.dataclass(frozen=True)
class _Sections:
    cuts: list[int]  # First bar of each, and the number of bars.
    labels: list[str]
    confidence: list[float]
    letters: list[str]
    energy: list[float]
    brightness: list[float]


def _sections(
    chroma: np.ndarray, power: np.ndarray, downbeats: np.ndarray, beats_per_bar: int
) -> _Sections:
    loudest = max(float(power.max(initial=0)), 1e-10)
    level = np.log10(power / loudest + 1e-5)
    cuts, ideas = segmentation.find_sections(chroma, level, downbeats, beats_per_bar)

    beats = [(downbeats[a], downbeats[b - 1] + beats_per_bar) for a, b in _pairs(cuts)]
    loudness = [10 * np.log10(power[a:b].sum(axis=1).mean() + 1e-10) for a, b in beats]
    # 20 dB below the loudest section is as hushed as songs get.
    energy = [float(np.clip(1 + (x - max(loudness)) / 20, 0, 1)) for x in loudness]
    tilt = [float(level[a:b, _BRIGHT:].mean() - level[a:b].mean()) for a, b in beats]
    brightness = [float(np.clip(0.5 + t - np.mean(tilt), 0, 1)) for t in tilt]
    lengths = [b - a for a, b in _pairs(cuts)]
    labels, confidence = segmentation.name_functions(ideas, lengths, energy)
    return _Sections(
        cuts, labels, confidence, [_letter(i) for i in ideas], energy, brightness
    )


def _pairs(cuts: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(cuts))


def _letter(number: int) -> str:
    return chr(ord("A") + number % 26) + "'" * (number // 26)
