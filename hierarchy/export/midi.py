"""A plan as a MIDI file: tempo, metre, key, sections as markers, chords, bass, melody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from structure.errors import RequestError
from structure.files import whole_file
from structure.harmony import Chord, Key
from structure.plan import SongPlan

TICKS = 960
"""In a quarter note."""

LOWEST_CHORD, LOWEST_BASS = 55, 36  # MIDI notes: G3 and C2
CHORD_VELOCITY, BASS_VELOCITY, MELODY_VELOCITY = 72, 84, 96
_PIANO, _BASS, _LEAD = 0, 32, 80  # programs of General MIDI

Event = tuple[int, int, Any]
"""Tick, order among events of one tick, and the message but for its time."""


def write_midi(path: str | Path, plan: SongPlan) -> None:
    """Write a plan as a standard MIDI file of type 1.

    Track 1 has title, tempo, metre, key and a marker for each section; the others have
    chords, bass and, where the plan has one, melody. Tempo counts quarter notes, as the
    format does: a beat of 6/8 is one and a half of them.

    Args:
        path: a .mid file.
        plan: of the song.

    Raises:
        RequestError: if the package mido is not installed.
    """
    try:
        import mido
    except ImportError:
        raise RequestError(
            "MIDI files need the package mido: pip install 'macrotime[midi]'"
        ) from None
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS, charset="utf-8")
    tracks = [
        ("", _conductor(mido, plan)),
        ("chords", _chords(mido, plan)),
        ("bass", _bass(mido, plan)),
    ]
    if any(section.melody for section in plan.sections):
        tracks.append(("melody", _melody(mido, plan)))
    end = _tick(plan, plan.bars * plan.beats_per_bar)
    for name, events in tracks:
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name=name or plan.title, time=0))
        now = 0
        for tick, _, message in sorted(events, key=lambda event: event[:2]):
            track.append(message.copy(time=tick - now))
            now = tick
        track.append(mido.MetaMessage("end_of_track", time=max(end - now, 0)))
        file.tracks.append(track)
    with whole_file(path) as draft:
        file.save(draft)


def _tick(plan: SongPlan, beat: float) -> int:
    """Of a felt beat, from the start of the song."""
    return round(beat * TICKS * _quarters(plan))


def _quarters(plan: SongPlan) -> float:
    """Quarter notes in a felt beat."""
    beats, unit = (int(part) for part in plan.meter.split("/"))
    return beats * 4 / unit / plan.beats_per_bar


def _section_beats(plan: SongPlan) -> list[int]:
    beats = [0]
    for section in plan.sections:
        beats.append(beats[-1] + section.bars * plan.beats_per_bar)
    return beats


def _conductor(mido, plan: SongPlan) -> Iterator[Event]:
    beats, unit = (int(part) for part in plan.meter.split("/"))
    quarter = 60e6 / (plan.tempo * _quarters(plan))
    key = Key.parse(plan.key)
    yield 0, 0, mido.MetaMessage("set_tempo", tempo=round(quarter))
    yield (
        0,
        0,
        mido.MetaMessage("time_signature", numerator=beats, denominator=unit),
    )
    yield 0, 0, mido.MetaMessage("key_signature", key=_signature(key))
    for beat, name in zip(_section_beats(plan), plan.names(), strict=False):
        yield _tick(plan, beat), 1, mido.MetaMessage("marker", text=name)


def _signature(key: Key) -> str:
    """A key as the format spells it: with seven sharps or flats at most."""
    fifths = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B")
    fifths += ("F#", "C#", "G#", "D#", "A#")
    minor = key.mode == "min"
    fitting = fifths[3:] if minor else fifths[:-3]
    name = str(key).partition(":")[0]
    if name not in fitting:
        name = next(other for other in fitting if Key.parse(other).tonic == key.tonic)
    return name + "m" * minor


def _changes(plan: SongPlan) -> Iterator[tuple[float, float, Chord]]:
    """First beat, beats and chord of each stretch; a bar strikes its chord again."""
    bar = 0
    for section in plan.sections:
        for chords in section.chords:
            share = plan.beats_per_bar / len(chords)
            for place, name in enumerate(chords):
                start = bar * plan.beats_per_bar + place * share
                yield start, share, Chord.parse(name)
            bar += 1


def _chords(mido, plan: SongPlan) -> Iterator[Event]:
    yield 0, 0, mido.Message("program_change", channel=0, program=_PIANO)
    for start, beats, chord in _changes(plan):
        for pitch_class in chord.pitch_classes:
            note = LOWEST_CHORD + (pitch_class - LOWEST_CHORD) % 12
            yield from _note(mido, plan, 0, note, start, beats, CHORD_VELOCITY)


def _bass(mido, plan: SongPlan) -> Iterator[Event]:
    yield 0, 0, mido.Message("program_change", channel=1, program=_BASS)
    for start, beats, chord in _changes(plan):
        if chord.root is not None:
            note = LOWEST_BASS + (chord.root - LOWEST_BASS) % 12
            yield from _note(mido, plan, 1, note, start, beats, BASS_VELOCITY)


def _melody(mido, plan: SongPlan) -> Iterator[Event]:
    yield 0, 0, mido.Message("program_change", channel=2, program=_LEAD)
    for first, section in zip(_section_beats(plan), plan.sections, strict=False):
        for note in section.melody or ():
            yield from _note(
                mido,
                plan,
                2,
                note.pitch,
                first + note.beat,
                note.beats,
                MELODY_VELOCITY,
            )


def _note(mido, plan, channel, note, start, beats, velocity) -> Iterator[Event]:
    common = {"channel": channel, "note": note}
    begin, end = _tick(plan, start), _tick(plan, start + beats)
    yield begin, 2, mido.Message("note_on", velocity=velocity, **common)
    # What ends on a tick ends before anything begins on it.
    yield max(end, begin + 1), 1, mido.Message("note_off", velocity=0, **common)
