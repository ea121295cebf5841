"""Heard: what listening found in a recording, as a value and a JSON file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from structure.errors import RequestError
from structure.files import whole_file
from structure.plan import BEATS_PER_BAR, FASTEST, SLOWEST, Section, SongPlan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard in a song.

    Attributes:
        seconds: length of the recording.
        tempo: beats per minute.
        steady: whether the beats lie on one exact grid.
        meter: "4/4", "3/4" or "6/8"; of what a person marked up, any of a plan's.
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
                bar_chords(self.chords[beat : beat + beats_per_bar], beats_per_bar)
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


def bar_chords(beats: tuple[str, ...], beats_per_bar: int) -> tuple[str, ...]:
    """The chords of a bar as few as can be: one, two halves, or one for each beat."""
    beats = beats + beats[-1:] * (beats_per_bar - len(beats))
    if len(set(beats)) == 1:
        return beats[:1]
    half = beats_per_bar // 2
    if beats_per_bar % 2 == 0 and len(set(beats[:half])) == len(set(beats[half:])) == 1:
        return (beats[0], beats[half])
    return beats
