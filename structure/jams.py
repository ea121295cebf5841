"""JAMS files to what is known of a song, and back.

JAMS (Humphrey et al., "JAMS: a JSON annotated music specification for
reproducible MIR research", ISMIR 2014) is what research tools exchange. Read and
written are sections (segment_salami_function, segment_open, segment_salami_upper
for the letters), chords (chord_harte), beats with their position in the bar
(beat), keys (key_mode) and tempo. Plain JSON; the jams package is not needed.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from structure.errors import RequestError
from structure.files import whole_file
from structure.harmony import SHORTHANDS, Chord, Key
from structure.heard import Heard
from structure.markup import Beat, Markup, Span
from structure.plan import SongPlan

JAMS_VERSION = "0.3.5"
"""Of the specification that files are written by."""

_SALAMI_FUNCTIONS = {
    "prechorus": "pre-chorus",
    "postchorus": "post-chorus",
    "other": "no_function",
}

_BEYOND_HARTE = ("11", "maj11", "min11", "13", "maj13", "min13", "sus2", "5", "1", "")
"""Shorthands that chord_harte does not know: they are spelled out as degrees."""

_MINOR_MODES = ("minor", "aeolian", "dorian", "phrygian", "locrian", "min")


def write_jams(
    path: str | Path,
    song: SongPlan | Heard | Markup,
    *,
    title: str | None = None,
    artist: str | None = None,
    seconds: float | None = None,
) -> None:
    """Write what is known of a song, whole or not at all.

    Args:
        path: a .jams file.
        song: a plan, which begins at 0 s; what was heard in a recording; or a Markup.
        title, artist: of the song, where it does not say them itself.
        seconds: length of the recording, where it is longer than the plan.
    """
    markup = Markup.of(song)
    known = {"title": title, "artist": artist, "seconds": seconds}
    markup = dataclasses.replace(
        markup, **{key: value for key, value in known.items() if value is not None}
    )
    if markup.seconds is None:
        ends = [span.end for span in (*markup.sections, *markup.chords)]
        markup = dataclasses.replace(markup, seconds=max(ends, default=0.0))
    markup = markup.within(0.0, markup.seconds)
    source = {SongPlan: "composed", Heard: "program"}.get(type(song), "")
    file = {
        "annotations": [
            _annotation(name, data, markup, source)
            for name, data in _observations(markup)
            if data
        ],
        "file_metadata": {
            "title": markup.title,
            "artist": markup.artist,
            "release": "",
            "duration": round(markup.seconds, 6),
            "identifiers": {},
            "jams_version": JAMS_VERSION,
        },
        "sandbox": {},
    }
    with whole_file(path) as draft:
        draft.write_text(json.dumps(file, indent=1) + "\n", encoding="utf-8")


def _observations(markup: Markup) -> list[tuple[str, list[dict]]]:
    sections = list(zip(markup.sections, markup.letters(), strict=True))
    tempo = []
    if markup.tempo:
        whole = Span(0.0, markup.seconds, "", confidence=1.0)
        tempo = [_observation(whole, round(markup.tempo, 4))]
    return [
        ("segment_open", [_observation(span, span.value) for span, _ in sections]),
        (
            "segment_salami_function",
            [
                _observation(span, _SALAMI_FUNCTIONS.get(span.function, span.function))
                for span, _ in sections
            ],
        ),
        (
            "segment_salami_upper",
            [_observation(span, letter) for span, letter in sections],
        ),
        (
            "chord_harte",
            [
                _observation(span, _in_harte(span.value))
                for span in markup.chords
                if span.value != "X"  # The namespace has no unknown chord.
            ],
        ),
        (
            "key_mode",
            [_observation(span, _key_mode(span.value)) for span in markup.keys],
        ),
        (
            "beat",
            [_observation(Span(b.time, b.time, ""), b.position) for b in markup.beats],
        ),
        ("tempo", tempo),
    ]


def _observation(span: Span, value: Any) -> dict[str, Any]:
    return {
        "time": round(span.start, 6),
        "duration": round(span.end - span.start, 6),
        "value": value,
        "confidence": span.confidence,
    }


def _annotation(
    namespace: str, data: list[dict], markup: Markup, source: str
) -> dict[str, Any]:
    meter = {"macrotime": {"meter": markup.meter}} if markup.meter else {}
    return {
        "namespace": namespace,
        "data": data,
        "annotation_metadata": {
            "curator": {"name": "", "email": ""},
            "annotator": {},
            "version": "",
            "corpus": "",
            "annotation_tools": "macrotime",
            "annotation_rules": "",
            "validation": "",
            "data_source": source,
        },
        # The position of a beat does not tell 6/8 from 2/4.
        "sandbox": meter if namespace == "beat" else {},
        "time": 0,
        "duration": round(markup.seconds, 6),
    }


def _in_harte(name: str) -> str:
    """A chord as the namespace chord_harte allows it.

    >>> _in_harte("Am7"), _in_harte("C:sus2(b7)/5"), _in_harte("N")
    ('A:min7', 'C:(1,2,5,b7)/5', 'N')
    """
    chord = Chord.parse(name)
    if chord.root is None or chord.shorthand not in _BEYOND_HARTE:
        return str(chord)
    degrees = SHORTHANDS[chord.shorthand].split() if chord.shorthand else ["1"]
    degrees += [degree for degree in chord.degrees if degree not in degrees]
    without = {degree.lstrip("*") for degree in degrees if degree.startswith("*")}
    kept = [d for d in degrees if not d.startswith("*") and d not in without]
    bass = "" if chord.bass == "1" else f"/{chord.bass}"
    return f"{chord.name}:({','.join(kept)}){bass}"


def _key_mode(name: str) -> str:
    tonic, _, mode = str(Key.parse(name)).partition(":")
    return f"{tonic}:{'minor' if mode == 'min' else 'major'}"


# ---- Reading --------------------------------------------------------------------


def read_jams(path: str | Path) -> Markup:
    """Read sections, chords, beats, keys and tempo from a JAMS file.

    Where several people annotated the same thing, the first is believed.

    Raises:
        RequestError: if the file is no JAMS, or what it says cannot be; the message
            names the namespace.
    """
    path = Path(path)
    try:
        file = json.loads(path.read_text(encoding="utf-8-sig"))
        annotations = file["annotations"]
        namespaces = [annotation["namespace"] for annotation in annotations]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read {path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} is not a JAMS file: a JSON object with annotations ({error!r})"
        ) from None

    def first(*names: str) -> tuple[str, dict] | None:
        for name in names:
            if name in namespaces:
                return name, annotations[namespaces.index(name)]
        return None

    try:
        head = file.get("file_metadata") or {}
        tempo = first("tempo")
        beats = first("beat", "beat_position")
        return Markup(
            sections=_read_sections(first),
            chords=tuple(
                dataclasses.replace(chord, value=str(Chord.parse(chord.value)))
                for chord in _read_spans(first("chord_harte", "chord"))
            ),
            keys=tuple(
                dataclasses.replace(key, value=str(read_key(key.value)))
                for key in _read_spans(first("key_mode"))
                if key.value != "N"
            ),
            beats=_read_beats(beats),
            tempo=next((float(v) for *_, v, _ in _rows(tempo)), None) or None,
            meter=_read_meter(beats),
            title=str(head.get("title") or ""),
            artist=str(head.get("artist") or ""),
            seconds=float(head["duration"]) if head.get("duration") else None,
        )
    except (RequestError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = error if isinstance(error, RequestError) else repr(error)
        raise RequestError(f"{path} cannot be used: {said}") from None


def _rows(found: tuple[str, dict] | None) -> list[tuple[float, float, Any, Any]]:
    """(time, duration, value, confidence) of each observation, in order of time."""
    if found is None:
        return []
    name, annotation = found
    data = annotation["data"]
    if isinstance(data, dict):
        # The dense form: one list for each field.
        fields = ("time", "duration", "value", "confidence")
        rows = list(zip(*[data[field] for field in fields], strict=True))
    else:
        rows = [
            (row["time"], row["duration"], row["value"], row.get("confidence"))
            for row in data
        ]
    try:
        rows = [(float(a), float(b), value, sure) for a, b, value, sure in rows]
    except (TypeError, ValueError):
        raise RequestError(f"{name} has an observation without a time") from None
    return sorted(rows, key=lambda row: row[0])


def _read_sections(first) -> tuple[Span, ...]:
    letters = _rows(first("segment_salami_upper"))
    found = first("segment_open", "segment_salami_function", "segment_tut")
    if found is None and first("multi_segment"):
        name, annotation = first("multi_segment")
        rows = [row for row in annotation["data"] if row["value"]["level"] == 0]
        rows = [row | {"value": row["value"]["label"]} for row in rows]
        found = name, {"data": rows}
    rows = _rows(found) or letters
    spans = []
    for start, duration, value, sure in rows:
        if duration <= 0:
            continue  # Marks such as "End" that last no time.
        middle = start + duration / 2
        letter = next((v for t, d, v, _ in letters if t <= middle < t + d), None)
        letter = letter if letter and letter.lower() != "silence" else None
        sure = float(sure) if isinstance(sure, int | float) and 0 <= sure <= 1 else None
        spans.append(Span(start, start + duration, str(value), letter, sure))
    return tuple(spans)


def _read_spans(found) -> tuple[Span, ...]:
    return tuple(
        Span(start, start + duration, str(value))
        for start, duration, value, _ in _rows(found)
        if duration > 0
    )


def read_key(text: str) -> Key:
    """A key as mode and tonic, "D:dorian", as the major or minor it is nearest to."""
    tonic, _, mode = text.partition(":")
    return Key.parse(f"{tonic}:{'min' if mode in _MINOR_MODES else 'maj'}")


def _read_beats(found) -> tuple[Beat, ...]:
    beats = []
    for time, _, value, _ in _rows(found):
        if isinstance(value, dict):
            value = value["position"]
        # A beat between the beats (2.5) belongs to a finer level than ours.
        if value is None or float(value).is_integer():
            beats.append(Beat(time, None if value is None else int(value)))
    return tuple(beats)


def _read_meter(found) -> str | None:
    if found is None:
        return None
    ours = (found[1].get("sandbox") or {}).get("macrotime") or {}
    if ours.get("meter"):
        return ours["meter"]
    values = [value for *_, value, _ in _rows(found) if isinstance(value, dict)]
    if not values:
        return None
    meter = f"{values[0]['num_beats']}/{values[0]['beat_units']}"
    # Felt beats: six eighths that are counted one by one are not two beats.
    return meter if meter in ("2/4", "3/4", "4/4", "5/4") else None
