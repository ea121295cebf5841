"""Which recordings of a corpus models are judged by and never learn from.

Those that a person names, or else every eighth in the order of their hashes, so that the
same recordings are always split the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from structure.errors import RequestError

if TYPE_CHECKING:
    from hierarchy.material.corpus import CorpusSong

ONE_IN = 8
_NAMED = 12  # recordings that an error names


def check_names(names: Collection[str], sources: Collection[str]) -> None:
    """See that all that is to be held out is there, and something is left.

    Raises:
        RequestError: naming what is not there, or saying that nothing is left.
    """
    sources = sorted(set(sources))
    if missing := sorted(set(names).difference(sources)):
        there = ", ".join(sources[:_NAMED]) + (", ..." if len(sources) > _NAMED else "")
        raise RequestError(
            f"{', '.join(missing)} cannot be held out; there are {there}"
        )
    if names and len(set(names)) == len(sources):
        raise RequestError("all recordings are held out, so nothing is left to learn")


def split(
    songs: Sequence[CorpusSong], held_out: Collection[str]
) -> Iterator[CorpusSong]:
    """The songs with their split: "valid" for these hashes, or else for every eighth.

    Of several recordings at least one is held out. Parts of one recording stay
    together, unless it is the only one.
    """
    many = len({song.sha256 for song in songs}) > 1

    def unit(song: CorpusSong) -> str:
        return song.sha256 if many else song.id

    units = sorted({unit(song) for song in songs})
    share = max(1, round(len(units) / ONE_IN)) if len(units) > 1 else 0
    valid = set(held_out).intersection(units)
    if not valid or len(valid) == len(units):
        valid = set(units[:share])
    for song in songs:
        yield dataclasses.replace(
            song, split="valid" if unit(song) in valid else "train"
        )
