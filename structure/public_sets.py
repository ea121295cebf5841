"""Public data sets, as `mirdata` reads them, to songs that the sequencer learns from.

mirdata (Bittner et al., "mirdata: software for reproducible usage of datasets",
ISMIR 2019) knows the formats of several dozen data sets. A track becomes a Markup,
what is known of it in seconds; a Markup of any origin becomes an AnnotatedSong,
where its beats say where bars start.

    import mirdata
    from structure.annotations import song_to_json
    from structure.public_sets import read_track, song_from_markup

    track = mirdata.initialize("beatles").track("0111")
    song = song_from_markup(read_track(track), id="beatles:0111", source="beatles")
    line = song_to_json(song)

mirdata is the extra [mirdata]. It is not imported here: whatever has the same
attributes as its classes is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from structure.annotations import AnnotatedSection, AnnotatedSong
from structure.errors import RequestError
from structure.harmony import Chord, Key
from structure.heard import bar_chords
from structure.jams import read_key
from structure.markup import Beat, Markup, Span
from structure.section_lists import read_label

_SECONDS = {"s": 1.0, "ms": 1e-3}
_METERS = {2: "2/4", 3: "3/4", 4: "4/4", 5: "5/4"}
"""By beats in a bar; six may be counted beats of 6/8 or felt ones of another metre."""


def read_track(track: Any, **parts: Any) -> Markup:
    """What a track of mirdata says of its song.

    Args:
        track: whose attributes sections, letters, chords, beats, key and tempo are
            read, as far as it has them.
        parts: any of these under another name, such as
            `sections=track.named_sections, letters=track.sections`, or what you know
            better, such as `key="A:min"`; None leaves one out. Sections and letters
            are SectionData, chords ChordData, beats BeatData, key KeyData or text,
            tempo TempoData or a number; of a MultiAnnotator the first is believed.

    Raises:
        RequestError: if it has no sections, or what it says cannot be.
    """
    names = ("sections", "letters", "chords", "beats", "key", "tempo")
    for name in parts:
        if name not in names:
            raise RequestError(
                f"part {name!r} of a track; there are {', '.join(names)}"
            )
    sections, letters, chords, beats, key, tempo = (
        _first(parts[name] if name in parts else getattr(track, name, None))
        for name in names
    )
    if sections is None:
        raise RequestError(
            "the track has no sections; some data sets call them otherwise: "
            "read_track(track, sections=track.named_sections)"
        )
    return Markup(
        sections=_sections(_spans(sections), _spans(letters)),
        chords=_spans(chords),
        keys=_keys(key),
        beats=_beats(beats),
        tempo=_tempo(tempo),
    )


def _first(found: Any) -> Any:
    """Of several annotators the first who said something."""
    several = getattr(found, "annotations", None)
    if several is None:
        return found
    return next((one for one in several if one is not None), None)


def _spans(found: Any, labels: str = "labels") -> tuple[Span, ...]:
    """Intervals with their labels, in order; what lasts no time is left out."""
    if found is None:
        return ()
    said = getattr(found, labels)
    if said is None:
        raise RequestError("sections without labels have nothing to learn from")
    # ChordData keeps no unit; its times are seconds in all data sets.
    scale = _scale(getattr(found, "interval_unit", "s"))
    rows = zip(np.asarray(found.intervals) * scale, said, strict=True)
    spans = [Span(float(start), float(end), str(text)) for (start, end), text in rows]
    return tuple(
        sorted((one for one in spans if one.end > one.start), key=lambda one: one.start)
    )


def _scale(unit: str) -> float:
    if unit not in _SECONDS:
        raise RequestError(f"times in {unit!r}; s and ms can be read")
    return _SECONDS[unit]


def _sections(spans: Sequence[Span], letters: Sequence[Span]) -> tuple[Span, ...]:
    """Sections with letters of their own labels or, at their middle, of `letters`."""
    sections = []
    for span in spans:
        letter, label = read_label(span.value)
        middle = (span.start + span.end) / 2
        at = [other for other in letters if other.start <= middle < other.end]
        letter = read_label(at[0].value)[0] if at else letter
        letter = letter.upper() if letter else None
        sections.append(Span(span.start, span.end, label or span.value, letter))
    return tuple(sections)


def _keys(found: Any) -> tuple[Span, ...]:
    if found is None:
        return ()
    if isinstance(found, str):
        return (Span(0.0, np.inf, str(Key.parse(found))),)
    return tuple(
        Span(one.start, one.end, str(read_key(one.value)))
        for one in _spans(found, "keys")
        if one.value != "N"
    )


def _beats(found: Any) -> tuple[Beat, ...]:
    if found is None:
        return ()
    times = np.asarray(found.times) * _scale(found.time_unit)
    positions = [None] * len(times)
    # Other units count through the song and do not say where a bar starts.
    if found.position_unit == "bar_index" and found.positions is not None:
        # 0 is a beat outside all bars.
        positions = [int(position) or None for position in found.positions]
    return tuple(
        Beat(float(time), position)
        for time, position in zip(times, positions, strict=True)
    )


def _tempo(found: Any) -> float | None:
    """The tempo that holds for longest, of several."""
    tempos = getattr(found, "tempos", None)
    if tempos is not None:
        lengths = np.diff(np.asarray(found.intervals), axis=1)[:, 0]
        found = tempos[int(np.argmax(lengths))] if len(tempos) else None
    try:
        return float(found) if found is not None and float(found) > 0 else None
    except (TypeError, ValueError):
        return None  # Words, such as "Allegro".


def song_from_markup(
    markup: Markup,
    *,
    id: str,
    source: str = "yours",
    split: str = "train",
    group: str | None = None,
    genre: str = "",
) -> AnnotatedSong:
    """A song to learn from, of what is known of it in seconds.

    Bars are counted, and chords read at each beat, where beats tell their position
    in the bar; chords need a key too. Silence is left out. What nobody said stays
    None.

    Args:
        markup: of read_track, structure.jams.read_jams or structure.section_lists.
        id: unique among the songs.
        source: of whom it is; data sets differ in how finely they cut.
        split: "train", "valid" or "test".
        group: the same for all versions of one song; None takes the id.
        genre: the source's class of music.

    Raises:
        RequestError: if there is no section that is not silence.
    """
    sections = [span for span in markup.sections if span.function != "silence"]
    if not sections:
        raise RequestError(
            f"{id} has no sections but silence; there is nothing to learn"
        )
    bars = _Bars(markup)
    keys = [Key.parse(span.value) for span in markup.keys]
    modes = {key.mode for key in keys}
    return AnnotatedSong(
        id=id,
        source=source,
        group=group or id,
        split=split,
        genre=genre,
        tempo=markup.tempo or bars.tempo,
        meter=bars.meter,
        mode=None if not modes else modes.pop() if len(modes) == 1 else "mixed",
        sections=tuple(_section(span, bars, markup) for span in sections),
    )


def _section(span: Span, bars: _Bars, markup: Markup) -> AnnotatedSection:
    first, last = bars.at(span.start), bars.at(span.end)
    count = None if None in (first, last) else last - first
    chords = tonics = None
    if count and markup.keys and markup.chords:
        chords = tuple(bars.chords(bar) for bar in range(first, last))
        tonics = tuple(
            Key.parse(_at(markup.keys, bars.middle(bar), nearest=True)).tonic
            for bar in range(first, last)
        )
        if all(bar == ("X",) for bar in chords):
            chords = tonics = None
    return AnnotatedSection(
        label=span.function,
        letter=span.letter,
        bars=count or None,
        end=span.end if np.isfinite(span.end) else markup.seconds,
        chords=chords,
        tonics=tonics,
    )


def _at(spans: Sequence[Span], time: float, *, nearest: bool = False) -> str | None:
    """What holds at a time; the nearest in time, if that is asked, where nothing does."""

    def distance(span: Span) -> tuple[float, float]:
        # Of two that meet here, the one that starts.
        return max(span.start - time, time - span.end), -span.start

    found = min(spans, key=distance)
    return found.value if nearest or found.start <= time < found.end else None


class _Bars:
    """Where bars start, as beats say."""

    def __init__(self, markup: Markup):
        self.spans = markup.chords
        times = [beat.time for beat in markup.beats]
        ones = [i for i, beat in enumerate(markup.beats) if beat.position == 1]
        self.per_bar = markup.beats_per_bar if len(ones) > 1 else None
        self.meter = markup.meter or _METERS.get(self.per_bar)
        self.tempo = None
        self.beats: list[list[float]] = []
        self.starts = np.zeros(0)
        if self.per_bar is None:
            return
        beat = float(np.median(np.diff(times)))
        # Whether six are counted or felt, nobody said.
        if self.per_bar in _METERS:
            self.tempo = round(60 / beat, 3)
        # The beats of each bar and the one after it; the last bar is as long as most.
        edges = times[: ones[-1] + self.per_bar]
        end = max(times[ones[-1]] + self.per_bar * beat, edges[-1] + beat / 2)
        edges.append(end)
        self.beats = [
            edges[start : stop + 1]
            for start, stop in itertools.pairwise([*ones, len(edges) - 1])
        ]
        self.starts = np.array([bar[0] for bar in self.beats] + [end])

    def at(self, time: float) -> int | None:
        """The bar line nearest to a time; None more than a bar away from all."""
        if not len(self.starts):
            return None
        if not np.isfinite(time):
            return len(self.beats)
        nearest = int(np.argmin(np.abs(self.starts - time)))
        longest = float(np.diff(self.starts).max())
        return nearest if abs(self.starts[nearest] - time) <= longest else None

    def middle(self, bar: int) -> float:
        """The time half-way through a bar."""
        return float(self.starts[bar : bar + 2].mean())

    def chords(self, bar: int) -> tuple[str, ...]:
        """The chords of a bar, each as it is at the middle of its beat."""
        names = [
            str(Chord.parse(_at(self.spans, (start + stop) / 2) or "X"))
            for start, stop in itertools.pairwise(self.beats[bar])
        ]
        return bar_chords(tuple(names), len(names))
