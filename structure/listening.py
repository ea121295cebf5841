"""A waveform to the plan it might have come from.

    waveform -> spectra -> beats -> bars -> chords, key -> sections

Each arrow is a module of its own (spectra, beats, tonality, segmentation); this
one joins them and says what was heard.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from structure import beats as pulse
from structure import segmentation, tonality
from structure.errors import RequestError
from structure.files import whole_file
from structure.plan import BEATS_PER_BAR, FASTEST, SLOWEST, Section, SongPlan
from structure.spectra import measure_spectra, over_beats

_STEPS = 5  # What `progress` counts.
_BRIGHT = 25  # Mel bands from here up, above about 2 kHz, are what sounds bright.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard in a song.

    Attributes:
        seconds: length of the recording.
        tempo: beats per minute.
        steady: whether the beats lie on one exact grid.
        meter: "4/4" or "3/4".
        key: such as "A:min".
        beat_times: seconds of each beat.
        downbeats: which beats start a bar, as indices into `beat_times`.
        chords: one chord for each beat, in Harte's syntax.
        boundaries: seconds at which each section starts, and last the end; each
            is a downbeat but the last, which is the last beat's end.
        labels: what each section is for.
        label_confidence: how sure each label is, 0 to 1.
        letters: the idea of each section; the same letter is the same idea.
        energy: 0 (hushed) to 1 (as loud as the song gets) for each section.
        brightness: 0 (dark) to 1 (bright) for each section, in this song.
    """

    seconds: float
    tempo: float
    steady: bool
    meter: str
    key: str
    beat_times: tuple[float, ...]
    downbeats: tuple[int, ...]
    chords: tuple[str, ...]
    boundaries: tuple[float, ...]
    labels: tuple[str, ...]
    label_confidence: tuple[float, ...]
    letters: tuple[str, ...]
    energy: tuple[float, ...]
    brightness: tuple[float, ...]

    def plan(self, *, title: str = "Untitled", style: str | None = None) -> SongPlan:
        """The plan that would make a song like this one."""
        beats_per_bar = BEATS_PER_BAR[self.meter]
        starts = np.array([self.beat_times[beat] for beat in self.downbeats])
        sections = []
        for number, label in enumerate(self.labels):
            early, late = self.boundaries[number : number + 2]
            first, last = np.searchsorted(starts, [early - 1e-6, late - 1e-6])
            bars = [
                _bar_chords(self.chords[beat : beat + beats_per_bar], beats_per_bar)
                for beat in self.downbeats[first:last]
            ]
            sections.append(
                Section(
                    label=label,
                    letter=self.letters[number],
                    energy=self.energy[number],
                    brightness=self.brightness[number],
                    chords=tuple(bars),
                )
            )
        return SongPlan(
            title=title,
            style=style,
            key=self.key,
            tempo=float(np.clip(round(self.tempo, 3), SLOWEST, FASTEST)),
            meter=self.meter,
            sections=tuple(sections),
        )

    def write(self, path: str | Path) -> None:
        """Write what was heard as JSON, whole or not at all."""
        values = {"format": "macrotime-heard", "version": 1}
        values |= dataclasses.asdict(self)
        lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items()]
        with whole_file(path) as draft:
            draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Heard:
        """Read what `write` wrote.

        Raises:
            RequestError: if the file is something else.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if values.pop("format") != "macrotime-heard" or values.pop("version") != 1:
                raise ValueError("another format or version")
            return cls(
                **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RequestError(
                f"{path} is not what listening wrote (macrotime-heard, version 1): {error}"
            ) from None


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


def _bar_chords(beats: tuple[str, ...], beats_per_bar: int) -> tuple[str, ...]:
    """The chords of a bar as few as can be: one, two halves, or one for each beat."""
    beats = beats + beats[-1:] * (beats_per_bar - len(beats))
    if len(set(beats)) == 1:
        return beats[:1]
    half = beats_per_bar // 2
    if beats_per_bar % 2 == 0 and len(set(beats[:half])) == len(set(beats[half:])) == 1:
        return (beats[0], beats[half])
    return beats
