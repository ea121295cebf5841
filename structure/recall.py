"""How each earlier chord of a song stands to the chord that is due.

Songs repeat themselves in many ways at once: a section returns, a phrase is
said twice, two chords go round. So every earlier chord of the song is a
candidate for the next, and what tells the likely ones apart are a few relations:
how much of what came before is the same, how many bars lie between, whether the
one section repeats the other and has done so faithfully. They are numbers only;
`structure.transformer` learns what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RELATIONS = {
    "match": 15,
    "roots": 15,
    "slots": 9,
    "distance": 42,
    "alignment": 77,
    "faithfulness": 26,
    "looping": 11,
    "metre": 32,
}
"""The relations of a candidate and how many values each takes.

A candidate whose "match" is 0 is none: it cannot stand here.
"""

MATCHES = np.zeros(256, np.uint8)
for _edge in (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 25, 33):
    MATCHES[_edge:] += 1

_PARTS = (0, 2, 2, 3, 3, 3, 4, 4, 4, 4)  # of a bar, by slot
_FIRST = (0, 1, 1, 3, 3, 3, 6, 6, 6, 6)  # slot of the first chord of such a bar


def _slot_pair(now: int, then: int) -> int:
    if now == then:
        return 0 if now == 0 else 1 if now == _FIRST[now] else 2
    if now == 0:
        return 3 if then == _FIRST[then] else 4
    if then == 0:
        return 5 if now == _FIRST[now] else 6
    place = (now - _FIRST[now]) / _PARTS[now]
    return 7 if place == (then - _FIRST[then]) / _PARTS[then] else 8


SLOTS = np.array([[_slot_pair(i, j) for j in range(10)] for i in range(10)], np.uint8)

DISTANCES = np.zeros(4096, np.uint8)
DISTANCES[:17] = np.arange(17)
for _bars in range(17, 4096):
    DISTANCES[_bars] = (
        17 if _bars % 8 == 0 else 18 if _bars % 4 == 0 else 19 + _bars % 2
    )


class Recalled(NamedTuple):
    """The chords so far and how each stands to the one that is due.

    Attributes:
        relations: uint8 [chords, RELATIONS].
        sources: int32 [chords], their tokens.
    """

    relations: np.ndarray
    sources: np.ndarray


class Recall:
    """The chords of a song so far, as candidates for the next.

    Sections are entered in order; chords are added one by one. What `row` tells
    comes from what was added alone.
    """

    def __init__(self):
        """Start without sections or chords."""
        # One row a chord: token, root, section, bar, bars left, bar of the song,
        # slot, whether it may be copied, whether it divides a bar.
        self._rows = np.zeros([9, 64], np.int32)
        self.length = 0
        self._match = np.zeros(0, np.int32)
        self._root_match = np.zeros(0, np.int32)
        self._bars: list[list[tuple[int, ...]]] = []  # of each section so far
        self._kin = np.zeros(0, np.int32)  # relation of each section to this one
        self._count = 0  # bars of this section that are complete
        self._left = 0
        self._first = 0  # bars of the song before this section
        self._faith = np.zeros([3, 0], np.int32)  # same, other, run; by section
        self._loops = np.zeros([3, 16], np.int32)  # compared, same, run; by lag

    def fork(self) -> Recall:
        """The same place, to go on from by itself."""
        other = Recall.__new__(Recall)
        vars(other).update(vars(self))
        other._rows = self._rows.copy()
        other._bars = [*self._bars[:-1], list(self._bars[-1])] if self._bars else []
        return other

    @property
    def kin(self) -> np.ndarray:
        """int32 [sections], how each section up to this one is related to it."""
        return self._kin

    @property
    def sources(self) -> np.ndarray:
        """int32 [chords], the tokens so far."""
        return self._rows[0, : self.length]

    def enter(
        self,
        ideas: Sequence[int | None],
        labels: Sequence[str],
        bars: int,
    ) -> None:
        """Enter the next section.

        Args:
            ideas: of the sections up to and with this one; None is unknown.
            labels: theirs.
            bars: its length.
        """
        if self._bars:
            self._first += len(self._bars[-1])
        now = len(ideas) - 1
        kin = np.zeros(now + 1, np.int32)
        returns = alike = 0
        for then in range(now - 1, -1, -1):
            if ideas[then] is not None and ideas[then] == ideas[now]:
                kin[then] = 1 + min(returns, 2) + 3 * (labels[then] != labels[now])
                returns += 1
            elif labels[then] == labels[now]:
                kin[then] = 7 + min(alike, 1)
                alike += 1
            else:
                kin[then] = 9 + (then == now - 1)
        self._kin, self._left, self._count = kin, bars, 0
        self._bars.append([])
        self._faith = np.zeros([3, now], np.int32)
        self._loops = np.zeros([3, 16], np.int32)

    def add(self, token: int, root: int, slot: int, *, known: bool, divides: bool):
        """Add the next chord or division.

        Args:
            token: its number.
            root: a number that chords on one root share.
            slot: where in its bar it stands, as in vocabulary.FEATURES.
            known: whether it may be copied.
            divides: whether it announces a bar of several chords.
        """
        at = self.length
        if at == self._rows.shape[1]:
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)], axis=1)
        self._rows[:, at] = (
            token,
            root,
            len(self._bars) - 1,
            self._count,
            self._left - self._count,
            self._first + self._count,
            slot,
            known,
            divides,
        )
        self.length = at + 1
        # How much of what led up to each chord also led up to the next one.
        for name, row in (("_match", 0), ("_root_match", 1)):
            same = self._rows[row, :at] == self._rows[row, at]
            longer = np.zeros(at + 1, np.int32)
            longer[1:] = np.where(same, getattr(self, name) + 1, 0)
            setattr(self, name, longer)

    def close(self, bar: tuple[int, ...]) -> None:
        """The bar is complete; `bar` are its tokens."""
        count = self._count
        mine = self._bars[-1]
        there = [
            (bars[count] == bar) if count < len(bars) else -1
            for bars in self._bars[:-1]
        ]
        compared = np.array(there, np.int32)
        same, other, run = self._faith
        self._faith = np.stack(
            [
                same + (compared == 1),
                other + (compared == 0),
                np.where(compared == 1, run + 1, np.where(compared == 0, 0, run)),
            ]
        )
        lags = min(count, 16)
        again = np.zeros(16, np.int32)
        again[:lags] = [mine[count - lag] == bar for lag in range(1, lags + 1)]
        loops = self._loops.copy()
        loops[0, :lags] += 1
        loops[1] += again
        loops[2] = np.where(again, loops[2] + 1, 0)
        self._loops = loops
        mine.append(bar)
        self._count += 1

    def row(self, slot: int) -> np.ndarray:
        """How each chord so far stands to the one due: uint8 [chords, RELATIONS].

        Args:
            slot: where in its bar the next one stands.
        """
        length = self.length
        _, _, section, bar, left, place, slots, known, divides = self._rows[:, :length]
        now, count = len(self._bars) - 1, self._count
        here = section == now
        out = np.zeros([length, len(RELATIONS)], np.uint8)
        possible = known > 0 if slot == 0 else (known > 0) & (divides == 0)
        match = np.minimum(self._match, 255)
        out[:, 0] = np.where(possible, MATCHES[match], 0)
        out[:, 1] = MATCHES[np.minimum(self._root_match, 255)]
        out[:, 2] = SLOTS[slot][slots]
        apart = np.minimum(self._first + count - place, 4095)
        out[:, 3] = DISTANCES[apart] + 21 * here
        shift = count - bar
        ends = self._left - count == left
        aligned = np.where(
            shift == 0,
            np.where(ends, 0, 1),
            np.where(ends, 2, SHIFTS[shift % 8]),
        )
        out[:, 4] = aligned + 7 * self._kin[section]
        faith = np.append(faithfulness(*self._faith), 12)
        out[:, 5] = faith[section] + 13 * (shift == 0)
        loops = np.append(0, looping(*self._loops))
        near = here & (apart <= 16)
        out[:, 6] = np.where(near, loops[np.minimum(apart, 16)], 0)
        out[:, 7] = 4 * (count % 4) + bar % 4 + 16 * here
        return out


SHIFTS = np.array([3, 6, 5, 6, 4, 6, 5, 6])  # alignment by bars apart, modulo 8


def faithfulness(same, other, run, *, xp=np):
    """How well this section has followed each earlier one: 0 to 11.

    Args:
        same, other, run: int [sections], bars that are equal, that are not, and how
            many of the latest are equal.
        xp: numpy or jax.numpy.
    """
    total = same + other
    clean = xp.where(same == 1, 1, xp.where(same < 4, 2, 3))
    share = 4 + xp.minimum(3, 4 * same // xp.maximum(total, 1)) + 4 * (run > 0)
    return xp.where(total == 0, 0, xp.where(other == 0, clean, share))


def looping(compared, same, run, *, xp=np):
    """How well this section has repeated itself at each lag: 0 to 10.

    Args:
        compared, same, run: int [lags], bars with one before at that lag, those equal
            to it, and how many of the latest are.
        xp: numpy or jax.numpy.
    """
    always = xp.minimum(run, 4)
    some = 5 + xp.minimum(run, 3)
    never = xp.where(compared < 3, 9, 10)
    told = xp.where(same == compared, always, xp.where(same > 0, some, never))
    return xp.where(compared == 0, 0, told)
