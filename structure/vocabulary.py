"""The tokens of a song, and how chords, tempi and energies become tokens and back.

A song is one row of tokens: a header (source, metre, tempo, mode), then the
form (for each section its label, its idea, its bars, its energy; then END),
then, where chords are known, the chords bar by bar, relative to the tonic:

    yours 4/4 t5 min | verse NEW 8 e4 | chorus NEW 8 e6 | verse SAME 8 e4 | END
    i  VI  HALVES III VII ...

The form stands before the chords, so that every chord knows how long its
section lasts and whether it returns. A bar of one chord is one token; HALVES,
THIRDS and QUARTERS announce a bar of two, three or four.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from structure import functions
from structure.harmony import Chord, Key

LABELS = tuple(label for label in functions.LABELS if label != "silence")
"""Functions that are predicted, in the order of the tokens; silence is left out."""

METERS = ("2/4", "3/4", "4/4", "5/4", "6/8", "9/8", "12/8")
TEMPO_EDGES = (60, 70, 80, 90, 100, 110, 120, 130, 140, 160, 180)
MODES = ("maj", "min", "mixed")
SOURCES = ("any", "mcgill-billboard", "harmonix", "salami-popular", "salami", "yours")
QUALITIES = ("maj", "min", "7", "maj7", "min7", "sus4", "5", "dim", "aug")
MOST_BARS = 64
MOST_LETTERS = 12
ENERGIES = 8
DIVISIONS = ("HALVES", "THIRDS", "QUARTERS")
UNKNOWN = "?"

KINDS = ("meter", "tempo", "mode", "label", "letter", "bars", "energy", "chord")
"""What a token can be about, in the order in which a song first needs them."""

_NAMES = {
    "source": SOURCES,
    "meter": (*METERS, UNKNOWN),
    "tempo": (*[f"t{i}" for i in range(len(TEMPO_EDGES) + 1)], UNKNOWN),
    "mode": (*MODES, UNKNOWN),
    "label": (*LABELS, "END"),
    "letter": ("NEW", "SAME", *[f"BACK{i}" for i in range(MOST_LETTERS)], UNKNOWN),
    "bars": (*[str(i) for i in range(1, MOST_BARS + 1)], UNKNOWN),
    "energy": (*[f"e{i}" for i in range(ENERGIES)], UNKNOWN),
    "chord": (
        *[f"{root}:{quality}" for root in range(12) for quality in QUALITIES],
        "N",
        *DIVISIONS,
        UNKNOWN,
    ),
}

TOKENS: tuple[tuple[str, str], ...] = (
    ("pad", "PAD"),
    *[(kind, name) for kind, names in _NAMES.items() for name in names],
)
"""Every token as (kind, name); its number is its place."""

NUMBER = {token: number for number, token in enumerate(TOKENS)}
PAD = 0
END = NUMBER["label", "END"]
NO_CHORD = NUMBER["chord", "N"]
UNKNOWN_OF = {kind: NUMBER[kind, UNKNOWN] for kind in _NAMES if UNKNOWN in _NAMES[kind]}
FIRST_OF = {kind: NUMBER[kind, names[0]] for kind, names in _NAMES.items()}
PARTS = {NUMBER["chord", name]: parts + 2 for parts, name in enumerate(DIVISIONS)}

_CHORDS = len(_NAMES["chord"])
ROOT_OF = {
    FIRST_OF["chord"] + place: place // len(QUALITIES)
    if place < 12 * len(QUALITIES)
    else place
    for place in range(_CHORDS)
}
"""For each chord token a number that chords on one root share."""

OUTCOMES = np.zeros([len(KINDS), len(TOKENS)], bool)
"""[kinds, tokens]: what can be predicted; "?" can be read and never written."""
for _row, _kind in enumerate(KINDS):
    for _name in _NAMES[_kind]:
        OUTCOMES[_row, NUMBER[_kind, _name]] = _name != UNKNOWN

FEATURES = {
    "kind": len(KINDS),
    "source": len(SOURCES),
    "meter": len(METERS) + 1,
    "mode": len(MODES) + 1,
    "label": len(LABELS) + 1,
    "label_before": len(LABELS) + 1,
    "section": 24,
    "returns": 6,
    "place": 66,
    "bars_left": 34,
    "slot": 10,
}
"""The features before each token and how many values each takes."""

HINTS = 6
"""How many earlier tokens are held up before each token as likely ones."""

_QUALITY_OF_SHORTHAND = {
    "maj": "maj",
    "maj6": "maj",
    "min": "min",
    "min6": "min",
    "minmaj7": "min",
    "7": "7",
    "9": "7",
    "11": "7",
    "13": "7",
    "maj7": "maj7",
    "maj9": "maj7",
    "maj11": "maj7",
    "maj13": "maj7",
    "min7": "min7",
    "min9": "min7",
    "min11": "min7",
    "min13": "min7",
    "sus2": "sus4",
    "sus4": "sus4",
    "dim": "dim",
    "dim7": "dim",
    "hdim7": "dim",
    "aug": "aug",
}


def chord_token(chord: Chord, tonic: int) -> int:
    """The token of a chord; inversions and colours beyond the seventh are dropped."""
    if chord.root is None:
        return NO_CHORD if chord.name == "N" else UNKNOWN_OF["chord"]
    quality = _QUALITY_OF_SHORTHAND.get(chord.shorthand)
    if quality is None:
        triad = chord.quality
        quality = triad if triad in ("maj", "min", "dim") else "5"
    return NUMBER["chord", f"{(chord.root - tonic) % 12}:{quality}"]


def chord_of(token: int, key: Key) -> Chord:
    """The chord of a token in a key, spelled as the key is."""
    kind, name = TOKENS[token]
    if kind != "chord" or name in DIVISIONS:
        raise ValueError(f"token {kind} {name}; a chord fits")
    if name in ("N", UNKNOWN):
        return Chord("N" if name == "N" else "X", "")
    root, _, quality = name.partition(":")
    return Chord(key.spell(key.tonic + int(root)), quality)


def bar_tokens(bar: Sequence[str], tonic: int) -> list[int]:
    """The tokens of one bar of Harte chords; a bar of five or more keeps four."""
    if len(bar) > 4:
        bar = [bar[i * len(bar) // 4] for i in range(4)]
    chords = [chord_token(Chord.parse(chord), tonic) for chord in bar]
    if len(set(chords)) == 1:
        return chords[:1]
    if len(chords) == 4 and chords[0] == chords[1] and chords[2] == chords[3]:
        chords = chords[::2]
    return [NUMBER["chord", DIVISIONS[len(chords) - 2]], *chords]


def tempo_token(tempo: float | None) -> int:
    """The token of a tempo in beats a minute."""
    if tempo is None:
        return UNKNOWN_OF["tempo"]
    return FIRST_OF["tempo"] + bisect.bisect_right(TEMPO_EDGES, tempo)


def energy_token(energy: float | None) -> int:
    """The token of an energy between 0 and 1."""
    if energy is None:
        return UNKNOWN_OF["energy"]
    return FIRST_OF["energy"] + min(int(energy * ENERGIES), ENERGIES - 1)


def bars_token(bars: int | None) -> int:
    """The token of a length; beyond MOST_BARS a length is unknown."""
    if bars is None or not 1 <= bars <= MOST_BARS:
        return UNKNOWN_OF["bars"]
    return FIRST_OF["bars"] + bars - 1


def letter_name(idea: int) -> str:
    """A, B, ... Z, then A', B', ...

    >>> letter_name(0), letter_name(27)
    ('A', "B'")
    """
    return chr(ord("A") + idea % 26) + "'" * (idea // 26)
