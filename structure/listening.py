"""A waveform to the plan it might have come from.

    waveform -> spectra -> pulse -> beats, bars -> chords, key -> sections

Each arrow is a module of its own (spectra, beats, metre, tonality, segmentation); this
one joins them and says what was heard. What a person has marked up is believed.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from structure import beats as pulse
from structure import believing, segmentation, tonality
from structure.errors import RequestError
from structure.heard import Heard
from structure.markup import Markup
from structure.metre import RATIOS, hear_metre
from structure.plan import BEATS_PER_BAR
from structure.spectra import measure_spectra, over_beats
from structure.vocabulary import letter_name

__all__ = ["Heard", "listen"]

_STEPS = 5  # What `progress` counts.
_SILENT = 10**-3.4  # 34 dB below the loud tenth of a song, nobody hears a bar.
_BRIGHT = 25  # Mel bands from here up, above about 2 kHz, are what sounds bright.


def listen(
    waveform: np.ndarray,
    sample_rate: int,
    *,
    known: Markup | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Heard:
    """Hear beats, bars, chords, key and sections in a song.

    Args:
        waveform: float32 [channels, samples], finite, of any length from one sample.
        sample_rate: in Hz.
        known: what a person has marked up; it stands in place of what would be heard,
            sections at the nearest bar line.
        progress: called with (steps done, steps in all).

    Raises:
        RequestError: if the waveform has no samples or is not finite, or what is
            known cannot be followed.
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
    known = known or Markup()
    tell(0, _STEPS)
    spectra = measure_spectra(waveform, sample_rate)
    tell(1, _STEPS)

    onsets = pulse.find_onsets(spectra)
    grid = believing.grid_of(known, spectra.seconds) if known.beats else None
    if grid and len(grid.downbeats):
        beats, meter, downbeats = grid.beats, grid.meter, grid.downbeats
    else:
        tapped = grid.beats if grid else pulse.find_beats(spectra, onsets)
        # What a person tapped is the beat.
        ratios = (1.0,) if grid else RATIOS
        beats, meter, first = hear_metre(spectra, onsets, tapped, ratios=ratios)
        if known.sections:
            said = believing.first_downbeat(known, beats.times, BEATS_PER_BAR[meter])
            first = first if said is None else said
        downbeats = _downbeats(first, len(beats.times), BEATS_PER_BAR[meter])
    tell(2, _STEPS)

    edges = np.append(beats.times, spectra.seconds)
    pitch = over_beats(spectra.pitch, spectra.pitch_times, edges)
    played = tonality.notes(pitch)
    chroma, bass = tonality.fold_octaves(played), tonality.bass_chroma(played)
    tell(3, _STEPS)

    key = believing.key_of(known) or tonality.find_key(pitch)
    likely = _likely_changes(downbeats, len(beats.times), BEATS_PER_BAR[meter])
    chords = tonality.find_chords(chroma, bass, likely_changes=likely)
    chords = [str(tonality.Chord.parse(name).spelled_in(key)) for name in chords]
    if known.chords:
        chords = believing.chords_of(known, edges, chords)
    tell(4, _STEPS)

    power = over_beats(spectra.mel, spectra.mel_times, edges)
    if not known.beats:
        downbeats = _with_sound(downbeats, power, BEATS_PER_BAR[meter])
    sections = _sections(chroma, power, downbeats, BEATS_PER_BAR[meter], edges, known)
    end = min(downbeats[-1] + BEATS_PER_BAR[meter], len(edges) - 1)
    bounds = [*downbeats[sections.cuts[:-1]], end]
    tell(_STEPS, _STEPS)
    return Heard(
        seconds=spectra.seconds,
        tempo=beats.tempo,
        steady=beats.steady,
        meter=meter,
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


def _downbeats(first: int, beats: int, beats_per_bar: int) -> np.ndarray:
    downbeats = np.arange(first, beats, beats_per_bar)
    if len(downbeats) > 1 and beats - downbeats[-1] < 0.6 * beats_per_bar:
        downbeats = downbeats[:-1]  # Not enough of a bar to count as one.
    return downbeats if len(downbeats) else np.array([0])


def _with_sound(
    downbeats: np.ndarray, power: np.ndarray, beats_per_bar: int
) -> np.ndarray:
    """Leave out bars before the music begins and after it has died away."""
    loud = power.sum(axis=1)
    sounds = loud > _SILENT * np.quantile(loud, 0.9)
    whole = [
        sounds[beat : beat + beats_per_bar].sum() > 0.5 * beats_per_bar
        for beat in downbeats
    ]
    places = np.flatnonzero(whole)
    return downbeats[places[0] : places[-1] + 1] if len(places) else downbeats


def _likely_changes(
    downbeats: np.ndarray, beats: int, beats_per_bar: int
) -> np.ndarray:
    """How likely the chord changes before each beat, [beats]."""
    number = np.arange(beats)
    bar = np.searchsorted(downbeats, number, side="right") - 1
    place = (number - downbeats[np.maximum(bar, 0)]) % beats_per_bar
    return np.where(place == 0, 0.4, np.where(place * 2 == beats_per_bar, 0.2, 0.08))


@dataclasses.dataclass(frozen=True)
class _Sections:
    cuts: list[int]  # First bar of each, and the number of bars.
    labels: list[str]
    confidence: list[float]
    letters: list[str]
    energy: list[float]
    brightness: list[float]


def _sections(
    chroma: np.ndarray,
    power: np.ndarray,
    downbeats: np.ndarray,
    beats_per_bar: int,
    edges: np.ndarray,
    known: Markup,
) -> _Sections:
    loudest = max(float(power.max(initial=0)), 1e-10)
    level = np.log10(power / loudest + 1e-5)
    labels = confidence = None
    if known.sections:
        end = min(downbeats[-1] + beats_per_bar, len(edges) - 1)
        said = believing.sections_of(known, edges[[*downbeats, end]])
        cuts, ideas, letters = said.cuts, said.ideas, said.letters
        labels, confidence = said.labels, said.confidence
    else:
        cuts, ideas = segmentation.find_sections(
            chroma, level, downbeats, beats_per_bar
        )
        letters = [letter_name(idea) for idea in ideas]

    pairs = list(itertools.pairwise(cuts))
    beats = [(downbeats[a], downbeats[b - 1] + beats_per_bar) for a, b in pairs]
    loudness = [10 * np.log10(power[a:b].sum(axis=1).mean() + 1e-10) for a, b in beats]
    # 20 dB below the loudest section is as hushed as songs get.
    energy = [float(np.clip(1 + (x - max(loudness)) / 20, 0, 1)) for x in loudness]
    tilt = [float(level[a:b, _BRIGHT:].mean() - level[a:b].mean()) for a, b in beats]
    brightness = [float(np.clip(0.5 + t - np.mean(tilt), 0, 1)) for t in tilt]
    if labels is None:
        lengths = [b - a for a, b in pairs]
        labels, confidence = segmentation.name_functions(ideas, lengths, energy)
    return _Sections(cuts, labels, confidence, letters, energy, brightness)
