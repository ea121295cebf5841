"""Motifs: ideas of one song that come back in a later one.

A quoted idea keeps its chords and its melody, transposed to the new song's key, and its
gestures, which are transposed with them when they sound. So a listener can meet the chorus of
the first song again as the bridge of the fifth, in another key and tempo. Between a
major and a minor song an idea moves to the relative key, where its chords are at home.
"""

from __future__ import annotations

import math

import numpy as np
import pydantic

from hierarchy.album.keys import signature
from structure.harmony import Chord, Key
from structure.plan import Note, Section, SongPlan

_WORTH_QUOTING = ("chorus", "postchorus", "bridge", "solo", "verse")
_PLACES = ("bridge", "solo", "instrumental", "interlude", "chorus", "verse")
_LAST_PLACES = ("chorus", "bridge", "verse")
"""Functions of the sections that a motif is quoted from and comes back in, the best
first; the last song ends an album with the motif where nobody can miss it."""


class Quote(pydantic.BaseModel):
    """An idea of an earlier song in this one.

    Attributes:
        song: number of the song that is quoted, from 1.
        letter: the idea that is quoted there.
        into: the idea of this song that quotes it.
        semitones: by how much its chords are transposed, -5 to 6.
        gestures: whether its gestures come along with its chords.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    song: int
    letter: str
    into: str
    semitones: int
    gestures: bool


def transposition(from_key: str, to_key: str) -> int:
    """Semitones, -5 to 6, from one key to another; to the relative between modes.

    >>> transposition("A:min", "B:min"), transposition("C", "A:min")
    (2, 0)
    """
    steps = signature(Key.parse(to_key)) - signature(Key.parse(from_key))
    return (steps + 5) % 12 - 5


def choose_quotes(songs: int, motifs: int, *, seed: int) -> dict[int, int]:
    """Which songs quote which earlier ones: {number: earlier number}, from 0.

    The last song comes back to the first one; the others are spread evenly over what
    lies between, and quote the first song or one of those that open a third of the
    album.

    >>> choose_quotes(8, 3, seed=1)[7]
    0
    """
    motifs = min(motifs, songs - 1)
    if motifs < 1:
        return {}
    random = np.random.default_rng([seed, 41])
    # Spread from the last song backwards.
    quoting = sorted({songs - 1 - i * (songs - 1) // motifs for i in range(motifs)})
    themes = sorted({0, songs // 3, 2 * songs // 3})
    quotes: dict[int, int] = {}
    for song in quoting[:-1]:
        earlier = [theme for theme in themes if theme < song]
        heard = list(quotes.values())
        # What has been quoted least comes next; chance decides between equals.
        order = [(heard.count(theme), random.random(), theme) for theme in earlier]
        quotes[song] = min(order)[2]
    return quotes | {songs - 1: 0}


def default_motifs(songs: int) -> int:
    """How many songs quote another if nobody says: about half of them."""
    return songs // 2


def theme_of(plan: SongPlan) -> Section:
    """The section of a song that is worth quoting: its strongest chorus, if it has one."""
    for label in _WORTH_QUOTING:
        found = [section for section in plan.sections if section.label == label]
        if found:
            return max(found, key=lambda section: section.energy)
    return max(plan.sections, key=lambda section: section.bars)


def place_for(plan: SongPlan, *, last: bool) -> str:
    """The letter of the idea in which a song quotes another."""
    for label in _LAST_PLACES if last else _PLACES:
        for section in plan.sections:
            if section.label == label:
                return section.letter
    return max(plan.sections, key=lambda section: section.bars).letter


def quoted(
    theme: Section, *, from_key: str, to_key: str, bars: int, beats_per_bar: int
) -> Section:
    """A theme in another key, filling a number of bars.

    A theme that is shorter goes round; one that is longer is cut.

    Args:
        theme: chords, and gestures and a melody if it has them.
        from_key, to_key: see `transposition`.
        bars: to be filled.
        beats_per_bar: of both songs.
    """
    semitones, key = transposition(from_key, to_key), Key.parse(to_key)
    chords = tuple(
        tuple(
            str(Chord.parse(chord).transposed(semitones).spelled_in(key))
            for chord in bar
        )
        for bar in theme.chords
    )
    rounds, end = math.ceil(bars / theme.bars), bars * beats_per_bar
    gestures = melody = None
    if theme.gestures is not None:
        gestures = (theme.gestures * rounds)[:bars]
    if theme.melody is not None:
        later = [turn * theme.bars * beats_per_bar for turn in range(rounds)]
        melody = tuple(
            Note(
                note.beat + start,
                min(note.beats, end - note.beat - start),
                note.pitch + semitones,
            )
            for start in later
            for note in theme.melody
            if note.beat + start < end
        )
    changes = {"chords": (chords * rounds)[:bars], "gestures": gestures}
    return theme.model_copy(update=changes | {"melody": melody})


def motif_likeness(one: Section, other: Section, *, semitones: int) -> float:
    """Share of the bars of `other` that are those of `one`, transposed: 0 to 1.

    A bar counts half for its chords and half for its gestures; where either section
    has no gestures, for its chords alone. Enharmonic spellings are one chord.
    """

    def sounds(bar: tuple[str, ...], by: int) -> list:
        chords = [Chord.parse(chord).transposed(by) for chord in bar]
        return [(chord.root, chord.intervals, chord.bass) for chord in chords]

    both = one.gestures is not None and other.gestures is not None
    points = 0.0
    for number, bar in enumerate(other.chords):
        source = number % one.bars
        same = sounds(one.chords[source], semitones) == sounds(bar, 0)
        if both:
            played = one.gestures[source] == other.gestures[number]
            points += 0.5 * same + 0.5 * played
        else:
            points += same
    return points / other.bars
