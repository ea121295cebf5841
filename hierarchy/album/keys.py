"""Paths of keys: how an album moves from song to song on the circle of fifths.

Keys are near when they share notes. A key and its relative (C major and A minor) share
all seven and lie at one place of the circle; each step of a fifth changes one note.
Every named path moves by one step of the circle at most, so that neighbouring songs
share six notes of seven at least.
"""

from __future__ import annotations

from collections.abc import Callable

from structure.errors import RequestError
from structure.harmony import Key


def signature(key: Key) -> int:
    """The major tonic with the same notes, as a pitch class.

    >>> signature(Key.parse("A:min"))
    0
    """
    return key.tonic if key.mode == "maj" else (key.tonic + 3) % 12


def relative(key: Key) -> Key:
    """The key of the other mode with the same notes.

    >>> str(relative(Key.parse("C")))
    'A:min'
    """
    if key.mode == "maj":
        return Key((key.tonic + 9) % 12, "min")
    return Key((key.tonic + 3) % 12, "maj")


def distance(one: Key, other: Key) -> int:
    """Steps between two keys on the circle of fifths, 0 to 6.

    >>> distance(Key.parse("C"), Key.parse("E:min"))
    1
    """
    steps = (signature(other) - signature(one)) * 7 % 12
    return min(steps, 12 - steps)


def _fifths(home: Key, songs: int) -> list[Key]:
    return [home.transposed(7 * song) for song in range(songs)]


def _fourths(home: Key, songs: int) -> list[Key]:
    return [home.transposed(5 * song) for song in range(songs)]


def _there_and_back(home: Key, songs: int) -> list[Key]:
    # Half the album away from home by fifths, half back; every third song, but never
    # the first or the last, is in the relative of its place.
    away = [min(song, songs - 1 - song) for song in range(songs)]
    keys = [home.transposed(7 * steps) for steps in away]
    return [
        relative(key) if song % 3 == 2 and song < songs - 1 else key
        for song, key in enumerate(keys)
    ]


def _relatives(home: Key, songs: int) -> list[Key]:
    return [home if song % 2 == 0 else relative(home) for song in range(songs)]


def _thirds(home: Key, songs: int) -> list[Key]:
    # C, A minor, F, D minor, B flat ...: a third down each time.
    keys = [home]
    while len(keys) < songs:
        last = keys[-1]
        to_relative = relative(last)
        down = last.mode == "maj"
        keys.append(to_relative if down else to_relative.transposed(5))
    return keys


def _home(home: Key, songs: int) -> list[Key]:
    return [home] * songs


PATHS: dict[str, Callable[[Key, int], list[Key]]] = {
    "there-and-back": _there_and_back,
    "fifths": _fifths,
    "fourths": _fourths,
    "relatives": _relatives,
    "thirds": _thirds,
    "home": _home,
}
"""What `keys` in an album.toml can be, beside a list of keys."""


def follow_path(name: str, home: Key, songs: int) -> list[Key]:
    """The key of each song.

    * there-and-back: fifths away from home, and back so that the last song is at home;
      every third song is in the relative key of its place;
    * fifths, fourths: once round the circle, upwards or downwards, in twelve songs;
    * relatives: home and its relative in turn;
    * thirds: a third down each time, from major to minor and on;
    * home: one key for all.

    Raises:
        RequestError: if there is no such path.

    >>> [str(key) for key in follow_path("there-and-back", Key.parse("A:min"), 5)]
    ['A:min', 'E:min', 'D:maj', 'E:min', 'A:min']
    """
    if name not in PATHS:
        raise RequestError(
            f"keys {name!r}; there are {', '.join(PATHS)}, or a list of keys"
        )
    return PATHS[name](home, songs)
