"""Annotated songs, one JSON object a line, to values the sequencer learns from.

Files of forms have sections with labels, times and perhaps bars; files of
harmony have sections with one list of chords a bar. What a source does not
tell (letters, bars, chords, a tempo) stays None and is never made up.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from structure.errors import RequestError
from structure.functions import LABELS
from structure.harmony import Chord, Key, pitch_class
from structure.plan import BEATS_PER_BAR, SongPlan

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSection:
    """One section as a source describes it.

    Attributes:
        label: its function.
        letter: its idea, primes kept; None where the source has none.
        bars: its length; None where unknown.
        end: seconds from the start of the song; None where unknown.
        energy: 0 to 1; None where unknown.
        chords: one tuple of Harte chords a bar; None where unknown.
        tonics: the tonic of each bar, pitch classes; None without chords.
    """

    label: str
    letter: str | None = None
    bars: int | None = None
    end: float | None = None
    energy: float | None = None
    chords: tuple[tuple[str, ...], ...] | None = None
    tonics: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSong:
    """One song as a source describes it.

    Attributes:
        id: unique within its file.
        source: who annotated it; sources differ in how finely they cut.
        group: the same for every version of one song.
        split: "train", "valid" or "test".
        genre: the source's class of music ("popular", "jazz"), "" where unknown.
        tempo: beats a minute; None where unknown.
        meter: such as "4/4"; None where unknown or not one of a plan's.
        mode: "maj", "min", "mixed" or None.
    """

    id: str
    source: str
    group: str
    split: str
    sections: tuple[AnnotatedSection, ...]
    genre: str = ""
    tempo: float | None = None
    meter: str | None = None
    mode: str | None = None

    @property
    def has_chords(self) -> bool:
        """Whether every section has its chords."""
        return all(section.chords for section in self.sections)

    @property
    def is_pop(self) -> bool:
        """Whether it belongs to the pop subset on which scores are also given."""
        return self.source != "salami" or self.genre == "popular"


def read_annotations(
    paths: Iterable[str | Path], *, split: str | None = None
) -> tuple[AnnotatedSong, ...]:
    """Read annotation files, in order; a song that two files hold is kept once.

    The version with chords is kept, whichever file it comes from.

    Args:
        paths: JSON Lines files.
        split: keep only "train", "valid" or "test".

    Raises:
        RequestError: if a file cannot be read or a line is not a song; the
            message names the file, the line and the key.
    """
    if split is not None and split not in SPLITS:
        raise RequestError(f"split {split!r}; there are {', '.join(SPLITS)}")
    songs: dict[str, AnnotatedSong] = {}
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read the annotations {path}: {error}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                song = song_from_json(line)
            except RequestError as error:
                raise RequestError(f"{path}, line {number}: {error}") from None
            if split is not None and song.split != split:
                continue
            if song.id not in songs or (
                song.has_chords and not songs[song.id].has_chords
            ):
                songs[song.id] = song
    return tuple(songs.values())


def song_from_json(line: str) -> AnnotatedSong:
    """One line of an annotation file to a song.

    Raises:
        RequestError: saying which key is missing or wrong.
    """
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("sections"), list):
        raise RequestError("a song is an object with a list of sections")
    try:
        song_id, split = str(raw["id"]), str(raw["split"])
        source = str(raw["source"])
    except KeyError as missing:
        raise RequestError(f"song has no {missing}") from None
    if split not in SPLITS:
        raise RequestError(f"split {split!r}; there are {', '.join(SPLITS)}")
    if not raw["sections"]:
        raise RequestError(f"song {song_id} has no sections")
    tonic = raw.get("tonic")
    sections = []
    for number, section in enumerate(raw["sections"]):
        try:
            sections.append(_section(section, tonic))
        except RequestError as error:
            raise RequestError(f"section {number} of {song_id}: {error}") from None
    meter = raw.get("meter")
    tempo = raw.get("tempo_bpm")
    if tempo is not None and not (isinstance(tempo, int | float) and tempo > 0):
        raise RequestError(f"tempo_bpm {tempo!r} of {song_id}; a positive number fits")
    mode = raw.get("mode")
    if mode not in ("maj", "min", "mixed", None):
        raise RequestError(f"mode {mode!r} of {song_id}; maj, min, mixed or null fit")
    return AnnotatedSong(
        id=song_id,
        source=source,
        group=str(raw.get("group", song_id)),
        split=split,
        genre=str(raw.get("class") or ""),
        tempo=tempo,
        meter=meter if meter in BEATS_PER_BAR else None,
        mode=mode,
        sections=tuple(sections),
    )


def _section(raw: object, tonic: str | None) -> AnnotatedSection:
    if not isinstance(raw, dict) or raw.get("label") not in LABELS:
        label = raw.get("label") if isinstance(raw, dict) else raw
        raise RequestError(f"label {label!r}; there are {', '.join(LABELS)}")
    bars = raw.get("bars")
    chords = tonics = None
    if isinstance(bars, list):
        chords = tuple(tuple(bar) for bar in bars)
        if not all(chords):
            raise RequestError("a bar without a chord; a silent bar is ['N']")
        for chord in {chord for bar in chords for chord in bar}:
            Chord.parse(chord)
        home = raw.get("tonic") or tonic
        if home is None:
            raise RequestError("chords without a tonic")
        tonics = [pitch_class(home)] * len(chords)
        for first, changed in raw.get("tonic_changes") or ():
            tonics[first:] = [pitch_class(changed)] * (len(chords) - first)
        bars = len(chords)
    elif bars is not None and not (isinstance(bars, int) and bars >= 0):
        raise RequestError(f"bars {bars!r}; a count, a list of bars or null fits")
    return AnnotatedSection(
        label=raw["label"],
        letter=raw.get("letter"),
        # A section shorter than its first downbeat has no bars worth learning.
        bars=bars or None,
        end=raw.get("end_s"),
        energy=raw.get("energy"),
        chords=chords or None,
        tonics=tuple(tonics) if tonics else None,
    )


def song_from_plan(
    plan: SongPlan, *, id: str, split: str = "train", source: str = "yours"
) -> AnnotatedSong:
    """A plan, heard or written, as a song to learn from."""
    key = Key.parse(plan.key)
    return AnnotatedSong(
        id=id,
        source=source,
        group=id,
        split=split,
        tempo=plan.tempo,
        meter=plan.meter,
        mode=key.mode,
        sections=tuple(
            AnnotatedSection(
                label=section.label,
                letter=section.letter,
                bars=section.bars,
                end=end,
                energy=section.energy,
                chords=section.chords,
                tonics=(key.tonic,) * section.bars,
            )
            for section, end in zip(plan.sections, plan.starts()[1:], strict=True)
        ),
    )


def count_by_source(songs: Sequence[AnnotatedSong]) -> dict[str, int]:
    """How many songs each source gave."""
    counts: dict[str, int] = {}
    for song in songs:
        counts[song.source] = counts.get(song.source, 0) + 1
    return counts
