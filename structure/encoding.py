"""Annotated songs to the arrays that the transformer reads, and tokens back to songs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from structure.annotations import AnnotatedSection, AnnotatedSong
from structure.cursor import Cursor
from structure.harmony import Key
from structure.recall import RELATIONS
from structure.setting import latest, setting
from structure.vocabulary import (
    END,
    ENERGIES,
    FEATURES,
    FIRST_OF,
    KINDS,
    MOST_BARS,
    NUMBER,
    OUTCOMES,
    SOURCES,
    UNKNOWN,
    UNKNOWN_OF,
    bar_tokens,
    bars_token,
    chord_of,
    energy_token,
    letter_name,
    tempo_token,
)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A song as the transformer reads it.

    Attributes:
        tokens: int32 [time], the inputs; the last token of the song is left out.
        features: int32 [time, features], known before the target.
        hints: int32 [time, HINTS], likely targets.
        targets: int32 [time], the token after each input.
        known: float32 [time], 0 where the target is unknown.
        relations: uint8 [chords, chords, RELATIONS], how each chord stands to the
            earlier ones; the chords are the last targets.
    """

    tokens: np.ndarray
    features: np.ndarray
    hints: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    relations: np.ndarray

    @property
    def first_chord(self) -> int:
        """Place of the first chord among the targets."""
        return len(self.targets) - len(self.relations)

    @property
    def chords(self) -> np.ndarray:
        """int32 [chords], the tokens of the chords."""
        return self.targets[self.first_chord :]

    @property
    def settings(self) -> np.ndarray:
        """int32 [chords, SETTING], where each chord is due."""
        here = dict(zip(FEATURES, self.features[self.first_chord :].T, strict=True))
        return setting(here, latest(self.chords)[:-1])

    @property
    def sections(self) -> np.ndarray:
        """int [chords], the section of each chord."""
        names = list(FEATURES)
        bar, slot = (
            self.features[self.first_chord :, names.index(name)]
            for name in ("place", "slot")
        )
        return np.cumsum((bar == 0) & (slot == 0)) - 1

    @property
    def kinds(self) -> np.ndarray:
        """int32 [time], the kind of each target as a place in KINDS."""
        return self.features[:, 0]


def source_token(song: AnnotatedSong) -> int:
    """The token of who annotated a song; a newcomer is one of "yours"."""
    name = song.source
    if name == "salami" and song.genre == "popular":
        name = "salami-popular"
    return NUMBER["source", name if name in SOURCES else "yours"]


def is_too_long(song: AnnotatedSong) -> bool:
    """Whether a section has more bars than can be told; its chords are then none."""
    return any(
        section.bars is not None and section.bars > MOST_BARS
        for section in song.sections
        if section.label != "silence"
    )


def song_tokens(song: AnnotatedSong) -> list[tuple[int, float | None]]:
    """All tokens of a song; silence is dropped.

    Labels and the END come with the second at which the section before them
    ends, if the source tells that of all sections. Were it known for some
    only, knowing it would give away what comes next.
    """
    sections = [s for s in song.sections if s.label != "silence"]
    ends: list[float | None] = [0.0, *[section.end for section in sections]]
    if None in ends:
        ends = [None] * len(ends)
    tokens: list[tuple[int, float | None]] = [
        (source_token(song), None),
        (NUMBER["meter", song.meter or UNKNOWN], None),
        (tempo_token(song.tempo), None),
        (NUMBER["mode", song.mode or UNKNOWN], None),
    ]
    reader = Cursor(tokens[0][0])
    for token, _ in tokens[1:]:
        reader.push(token)
    ideas: dict[str, int] = {}
    for section, end in zip(sections, ends, strict=False):
        part = [(NUMBER["label", section.label], end)]
        reader.push(part[0][0])
        # A variation (A') is a return of its idea: primes are dropped.
        letter = section.letter.rstrip("'") if section.letter else None
        if letter is not None and letter not in ideas:
            ideas[letter] = len(reader.recent)
        idea = ideas[letter] if letter is not None else None
        part.append((reader.letter_token(idea), None))
        part.append((bars_token(section.bars), None))
        part.append((energy_token(section.energy), None))
        for token, _ in part[1:]:
            reader.push(token)
        tokens += part
    tokens.append((END, ends[-1]))
    if all(s.chords for s in sections) and not is_too_long(song):
        for section in sections:
            for bar, tonic in zip(section.chords, section.tonics, strict=True):
                tokens += [(token, None) for token in bar_tokens(bar, tonic)]
    return tokens


def encode(
    song: AnnotatedSong,
    *,
    forget: frozenset[str] = frozenset(),
    like: Encoded | None = None,
) -> Encoded:
    """A song to arrays.

    Args:
        song: what is known of it.
        forget: kinds of the header ("source", "tempo", ...) or "letter" to hide,
            so that a model learns to do without.
        like: this song encoded with the same letters, to take the relations from.
    """
    tokens = song_tokens(song)
    if "source" in forget:
        tokens[0] = (NUMBER["source", "any"], None)
    cursor = Cursor(tokens[0][0], recalls=like is None)
    rows, relations = [], []
    previous = tokens[0][0]
    for token, elapsed in tokens[1:]:
        kind = cursor.kind
        if kind in forget and kind in ("meter", "tempo", "mode", "letter"):
            token = UNKNOWN_OF[kind]
        if elapsed is not None:
            cursor.elapsed[len(cursor.sections)] = elapsed
        features, hints = cursor.tell()
        if kind == "chord" and like is None:
            relations.append(cursor.recalled().relations)
        if kind == "letter" and token != UNKNOWN_OF[kind]:
            # Letters counted while some were too many to name are not to be trusted.
            token = token if cursor.allowed()[token] else UNKNOWN_OF[kind]
        known = float(OUTCOMES[KINDS.index(kind), token])
        rows.append((previous, features, hints, token, known))
        cursor.push(token)
        previous = token
    return Encoded(
        tokens=np.array([row[0] for row in rows], np.int32),
        features=np.array([row[1] for row in rows], np.int32),
        hints=np.array([row[2] for row in rows], np.int32),
        targets=np.array([row[3] for row in rows], np.int32),
        known=np.array([row[4] for row in rows], np.float32),
        relations=_square(relations) if like is None else like.relations,
    )


def _square(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Relations to the chords before each, as one array; later ones are none."""
    square = np.zeros([len(rows), len(rows), len(RELATIONS)], np.uint8)
    for place, row in enumerate(rows):
        square[place, : len(row)] = row
    return square


def decode(tokens: Sequence[int]) -> Cursor:
    """Read all tokens of a song, the source first."""
    cursor = Cursor(tokens[0])
    for token in tokens[1:]:
        cursor.push(token)
    return cursor


def read_sections(cursor: Cursor, key: Key) -> tuple[AnnotatedSection, ...]:
    """What a cursor has read, as annotated sections with chords in `key`."""
    sections = []
    for section in cursor.sections:
        chords = tuple(
            tuple(
                str(chord_of(token, key))
                for token in (bar if len(bar) == 1 else bar[1:])
            )
            for bar in section.chords
        )
        energy = section.energy - FIRST_OF["energy"]
        sections.append(
            AnnotatedSection(
                label=section.label,
                letter=None if section.idea is None else letter_name(section.idea),
                bars=section.bars,
                energy=(energy + 0.5) / ENERGIES if 0 <= energy < ENERGIES else None,
                chords=chords or None,
                tonics=(key.tonic,) * len(chords) if chords else None,
            )
        )
    return tuple(sections)
