"""Names of chords and keys to pitch classes, and back.

Chords are written in Harte's syntax, `root:shorthand(degrees)/bass`, as in
"A:min7/b3" (Harte et al., "Symbolic representation of musical chords: a
proposed syntax for text annotations", ISMIR 2005). The names on lead sheets
("Am7", "F#m", "C/E") are read too. Pitch classes count semitones above C.
"""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np

from structure.errors import RequestError

PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""The spelling of each pitch class where no key asks for another."""

_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_MINOR_TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAJOR_DEGREES = (0, 2, 4, 5, 7, 9, 11)
_MINOR_DEGREES = (0, 2, 3, 5, 7, 8, 10)

SHORTHANDS = {
    "maj": "1 3 5",
    "min": "1 b3 5",
    "dim": "1 b3 b5",
    "aug": "1 3 #5",
    "maj7": "1 3 5 7",
    "min7": "1 b3 5 b7",
    "7": "1 3 5 b7",
    "dim7": "1 b3 b5 bb7",
    "hdim7": "1 b3 b5 b7",
    "minmaj7": "1 b3 5 7",
    "maj6": "1 3 5 6",
    "min6": "1 b3 5 6",
    "9": "1 3 5 b7 9",
    "maj9": "1 3 5 7 9",
    "min9": "1 b3 5 b7 9",
    "11": "1 3 5 b7 9 11",
    "maj11": "1 3 5 7 9 11",
    "min11": "1 b3 5 b7 9 11",
    "13": "1 3 5 b7 9 13",
    "maj13": "1 3 5 7 9 13",
    "min13": "1 b3 5 b7 9 13",
    "sus2": "1 2 5",
    "sus4": "1 4 5",
    "5": "1 5",
    "1": "1",
}
"""Harte's shorthands, and those common beside them, as degrees of the major scale."""

_LEAD_SHEET = {
    "": "maj",
    "M": "maj",
    "m": "min",
    "-": "min",
    "mi": "min",
    "+": "aug",
    "o": "dim",
    "°": "dim",
    "o7": "dim7",
    "°7": "dim7",
    "ø": "hdim7",
    "ø7": "hdim7",
    "m7b5": "hdim7",
    "min7b5": "hdim7",
    "M7": "maj7",
    "Δ": "maj7",
    "ma7": "maj7",
    "m7": "min7",
    "-7": "min7",
    "mM7": "minmaj7",
    "6": "maj6",
    "m6": "min6",
    "M9": "maj9",
    "m9": "min9",
    "m11": "min11",
    "m13": "min13",
    "sus": "sus4",
    "add9": "maj(9)",
    "madd9": "min(9)",
    "7sus4": "sus4(b7)",
    "7sus": "sus4(b7)",
    "9sus4": "sus4(b7,9)",
    "69": "maj6(9)",
    "6/9": "maj6(9)",
    "aug7": "aug(b7)",
    "+7": "aug(b7)",
    "7b9": "7(b9)",
    "7#9": "7(#9)",
}

_ROOT = re.compile(r"([A-G])([#b]{0,3})")
_DEGREE = re.compile(r"(\*?)([#b]{0,2})(1[0-3]|[1-9])")
_BODY = re.compile(
    r"(?P<shorthand>[^(/]*)(?:\((?P<degrees>[^)]*)\))?(?:/(?P<bass>.+))?"
)


def pitch_class(name: str) -> int:
    """Semitones of a note above C, 0 to 11, octaves folded away.

    Raises:
        RequestError: if `name` is not a letter A to G with sharps or flats.

    >>> pitch_class("F#"), pitch_class("Gb"), pitch_class("Cb")
    (6, 6, 11)
    """
    match = _ROOT.fullmatch(name)
    if not match:
        raise RequestError(f"note {name!r}; a note is C, F#, Bb, ...")
    letter, accidentals = match.groups()
    return (_NATURALS[letter] + accidentals.count("#") - accidentals.count("b")) % 12


def degree_semitones(degree: str) -> int:
    """Semitones of a degree such as "b7" above the root, octaves folded away."""
    match = _DEGREE.fullmatch(degree)
    if not match:
        raise RequestError(f"degree {degree!r}; a degree is 3, b7, #11, ... up to 13")
    _, accidentals, number = match.groups()
    natural = _MAJOR_DEGREES[(int(number) - 1) % 7]
    return (natural + accidentals.count("#") - accidentals.count("b")) % 12


@dataclasses.dataclass(frozen=True)
class Chord:
    """A chord as it is written. Two spellings of one sound are two chords.

    Attributes:
        name: the root as spelled, "N" for no chord, "X" for an unknown one.
        shorthand: a key of SHORTHANDS, or "" where only degrees are given.
        degrees: degrees added to the shorthand ("9"), or taken away ("*5").
        bass: the degree in the bass; "1" is the root.
    """

    name: str
    shorthand: str = "maj"
    degrees: tuple[str, ...] = ()
    bass: str = "1"

    @classmethod
    def parse(cls, text: str) -> Chord:
        """Read a chord in Harte's syntax or as on a lead sheet.

        Raises:
            RequestError: (a ValueError) if `text` is neither; says what fits.

        >>> str(Chord.parse("A:min7/b3")), str(Chord.parse("F#m7")), str(Chord.parse("C/E"))
        ('A:min7/b3', 'F#:min7', 'C:maj/3')
        """
        return _parse_chord(text)

    @property
    def root(self) -> int | None:
        """Pitch class of the root; None where no chord is known."""
        return None if self.name in ("N", "X") else pitch_class(self.name)

    @functools.cached_property
    def intervals(self) -> frozenset[int]:
        """Semitones of its notes above the root, the bass included."""
        if self.root is None:
            return frozenset()
        degrees = SHORTHANDS[self.shorthand].split() if self.shorthand else ["1"]
        notes = {degree_semitones(degree) for degree in degrees}
        for degree in self.degrees:
            if degree.startswith("*"):
                notes.discard(degree_semitones(degree))
            else:
                notes.add(degree_semitones(degree))
        return frozenset(notes | {degree_semitones(self.bass)})

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its notes upwards from the root; none for "N" and "X"."""
        if self.root is None:
            return ()
        return tuple((self.root + note) % 12 for note in sorted(self.intervals))

    @property
    def quality(self) -> str:
        """Its triad: maj, min, dim, aug, sus, power, none ("N") or unknown ("X")."""
        if self.root is None:
            return "none" if self.name == "N" else "unknown"
        kind = self.shorthand
        if kind in ("5", "1", ""):
            notes = self.intervals
            if 3 in notes:
                return "dim" if 6 in notes and 7 not in notes else "min"
            return "maj" if 4 in notes else "power"
        if kind.startswith(("sus", "aug")):
            return kind[:3]
        if kind.startswith("dim") or kind == "hdim7":
            return "dim"
        return "min" if kind.startswith("min") else "maj"

    def transposed(self, semitones: int) -> Chord:
        """The same chord, `semitones` higher (lower if negative)."""
        if self.root is None or semitones % 12 == 0:
            return self
        name = PITCH_CLASSES[(self.root + semitones) % 12]
        return dataclasses.replace(self, name=name)

    def spelled_in(self, key: Key) -> Chord:
        """The same sound with the sharps or flats of `key`."""
        if self.root is None:
            return self
        return dataclasses.replace(self, name=key.spell(self.root))

    def chroma(self) -> np.ndarray:
        """How strongly each pitch class sounds, float32 [12], at most 1.

        The root is the strongest, the third and fifth follow, colours come last.
        "N" and "X" are silent.
        """
        strength = np.zeros(12, np.float32)
        if self.root is None:
            return strength
        for note in self.intervals:
            triad = note in (3, 4, 6, 7, 8)
            strength[(self.root + note) % 12] = 0.8 if triad else 0.6
        bass = (self.root + degree_semitones(self.bass)) % 12
        strength[bass] = max(strength[bass], 0.9)
        strength[self.root] = 1.0
        return strength

    def __str__(self) -> str:
        if self.root is None:
            return self.name
        degrees = f"({','.join(self.degrees)})" if self.degrees else ""
        bass = "" if self.bass == "1" else f"/{self.bass}"
        return f"{self.name}:{self.shorthand}{degrees}{bass}"


@functools.lru_cache(maxsize=4096)
def _parse_chord(text: str) -> Chord:
    if text in ("N", "NC", "N.C."):
        return Chord("N", "")
    if text == "X":
        return Chord("X", "")
    fits = 'a chord is "A:min7/b3", "C:maj", "Am", "F#m7", "N" (none), ...'
    root = _ROOT.match(text)
    if not root:
        raise RequestError(f"chord {text!r} has no root; {fits}")
    rest = text[root.end() :]
    harte = rest.startswith(":")
    # "6/9" is a name and no bass note.
    rest = rest[1:] if harte else rest.replace("6/9", "maj6(9)", 1)
    body = _BODY.fullmatch(rest)
    if not body or (harte and not rest):
        raise RequestError(f"chord {text!r} cannot be read after its root; {fits}")
    shorthand, degrees = body["shorthand"], body["degrees"]
    extra = tuple(degrees.replace(" ", "").split(",")) if degrees else ()
    if not (harte and degrees and not shorthand):
        if shorthand not in SHORTHANDS:
            shorthand = _LEAD_SHEET.get(shorthand, shorthand)
        shorthand, _, named = shorthand.partition("(")
        extra = tuple(named.rstrip(")").split(",")) * bool(named) + extra
        if shorthand not in SHORTHANDS:
            raise RequestError(
                f"chord {text!r} has the unknown shorthand {shorthand!r}; "
                f"known are {', '.join(SHORTHANDS)}"
            )
    bass = body["bass"] or "1"
    if _ROOT.fullmatch(bass):
        steps = (pitch_class(bass) - pitch_class(root.group())) % 12
        bass = ["1", "b9", "9", "b3", "3", "11", "b5", "5", "b13", "13", "b7", "7"][
            steps
        ]
    try:
        for degree in (*extra, bass):
            degree_semitones(degree)
    except RequestError as error:
        raise RequestError(f"chord {text!r}: {error}") from None
    return Chord(root.group(), shorthand, extra, bass)


@dataclasses.dataclass(frozen=True)
class Key:
    """A tonic and a mode.

    Attributes:
        tonic: pitch class, 0 to 11.
        mode: "maj" or "min".
    """

    tonic: int
    mode: str = "maj"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read "A:min", "Am", "A minor", "C", "F# major" or "Bb:maj".

        Raises:
            RequestError: (a ValueError) if it is none of these.

        >>> str(Key.parse("a minor")), str(Key.parse("Db")), Key.parse("Am").tonic
        ('A:min', 'Db:maj', 9)
        """
        match = re.fullmatch(r"\s*([A-Ga-g])([#b]{0,2})[\s:_-]*(\S*)\s*", text)
        word = match[3] if match else ""
        if match and word in ("", "M", "maj", "Maj", "major", "Major", "dur"):
            mode = "maj"
        elif match and word in ("m", "min", "Min", "minor", "Minor", "moll"):
            mode = "min"
        else:
            raise RequestError(f'key {text!r}; a key is "A:min", "Am", "C", "F# major"')
        return cls(pitch_class(match[1].upper() + match[2]), mode)

    @property
    def scale(self) -> tuple[int, ...]:
        """Its seven pitch classes from the tonic; minor is natural."""
        steps = _MAJOR_DEGREES if self.mode == "maj" else _MINOR_DEGREES
        return tuple((self.tonic + step) % 12 for step in steps)

    def spell(self, note: int) -> str:
        """The name of a pitch class, with the accidentals of this key."""
        major = self.tonic if self.mode == "maj" else (self.tonic + 3) % 12
        # Keys up the circle of fifths from C have sharps; F# major here too.
        sharps = major in (0, 7, 2, 9, 4, 11, 6)
        if major == 0:
            return PITCH_CLASSES[note % 12]
        return (_SHARPS if sharps else _FLATS)[note % 12]

    def transposed(self, semitones: int) -> Key:
        """The same mode on another tonic."""
        return Key((self.tonic + semitones) % 12, self.mode)

    def __str__(self) -> str:
        names = PITCH_CLASSES if self.mode == "maj" else _MINOR_TONICS
        return f"{names[self.tonic]}:{self.mode}"
