"""How many bars each section has, so that the song has as many as it should.

Lengths that sections really have are common ones (4, 8, 16); a song that must
last an exact number of bars lets its edges give way first. What remains to be
filled is looked at from the end backwards, so that no early choice leaves an
impossible or odd rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from structure.vocabulary import MOST_BARS

_COMMON = (1, 2, 4, 6, 8, 12, 16, 24, 32)
_SHARES = {
    "intro": (0, 100, 377, 53, 317, 44, 56, 0, 0),
    "verse": (0, 0, 33, 16, 481, 114, 324, 25, 5),
    "prechorus": (0, 0, 326, 69, 530, 30, 30, 2, 0),
    "chorus": (0, 0, 73, 36, 588, 91, 190, 9, 0),
    "postchorus": (0, 0, 339, 48, 517, 41, 44, 7, 0),
    "bridge": (0, 0, 94, 28, 554, 100, 193, 17, 4),
    "solo": (0, 0, 95, 19, 542, 103, 156, 38, 38),
    "instrumental": (0, 3, 248, 17, 507, 51, 146, 20, 8),
    "interlude": (0, 184, 368, 24, 302, 24, 53, 4, 4),
    "outro": (0, 43, 277, 86, 346, 97, 88, 0, 0),
    "other": (0, 26, 39, 0, 429, 78, 390, 13, 26),
}
"""Thousandths of the sections of each label with each common length.

Left out are single bars, which are fermatas and counts before the first bar,
choruses and bridges of two bars, and edges beyond sixteen.

Source: the training songs of Billboard (CC0) and Harmonix (MIT) in forms.jsonl.
"""

_SECOND_THOUGHTS = 0.2  # odds that a drafted length gives way to a common one
_EDGES = ("outro", "intro", "interlude", "other")


@dataclasses.dataclass(frozen=True)
class Group:
    """Sections that share one length that is still open.

    Attributes:
        label: their function.
        times: how many they are.
        drafted: the length that the sequencer gave them; None if it was not asked.
    """

    label: str
    times: int
    drafted: int | None = None


@dataclasses.dataclass(frozen=True)
class Lengths:
    """What is left to fill after each group.

    Attributes:
        groups: in the order in which their lengths are chosen.
        shares: [groups, MOST_BARS + 1], how common each length is.
        ahead: [groups + 1, totals], how well a song goes on from a number of
            bars filled so far.
    """

    groups: tuple[Group, ...]
    shares: np.ndarray
    ahead: np.ndarray

    def mass(self, filled: int) -> float:
        """How likely such a song has a wanted length; 0 if it cannot."""
        return float(self.ahead[0, filled]) if filled < self.ahead.shape[1] else 0.0

    def odds(self, group: int, filled: int) -> np.ndarray:
        """Weights [MOST_BARS + 1] of the lengths of a group.

        Args:
            group: its place; the groups before it are filled.
            filled: bars of these and of all sections with a given length.
        """
        return _stepped(
            self.shares[group], self.ahead[group + 1], self.groups[group].times, filled
        )


def plan_lengths(groups: Sequence[Group], goal: np.ndarray, *, filled: int) -> Lengths:
    """Prepare to choose lengths.

    Args:
        groups: sections without a length.
        goal: [totals], how much each total number of bars is wanted.
        filled: bars of the sections that have a length.

    Returns:
        Lengths; its mass is 0 where no choice meets the goal.
    """
    groups = tuple(groups)
    for give in range(3):
        shares = np.stack(
            [_shares(groups, place, give) for place in range(len(groups))]
            or [np.zeros(MOST_BARS + 1)]
        )
        ahead = np.zeros([len(groups) + 1, len(goal)])
        ahead[-1] = goal
        for place in range(len(groups) - 1, -1, -1):
            times = groups[place].times
            for bars in np.flatnonzero(shares[place]):
                step = times * bars
                if step < len(goal):
                    ahead[place, : len(goal) - step] += (
                        shares[place, bars] * ahead[place + 1, step:]
                    )
        lengths = Lengths(groups, shares, ahead)
        if lengths.mass(filled) > 0:
            break
    return lengths


def _stepped(
    shares: np.ndarray, ahead: np.ndarray, times: int, filled: int
) -> np.ndarray:
    totals = filled + times * np.arange(MOST_BARS + 1)
    fits = totals < len(ahead)
    return shares * np.where(fits, ahead[np.where(fits, totals, 0)], 0.0)


def _shares(groups: Sequence[Group], place: int, give: int) -> np.ndarray:
    """How common each length of a group is.

    Args:
        groups: all of them.
        place: which one.
        give: 0 knows common lengths only; 1 lets one edge of the song have up to
            twelve bars, even or odd; 2 lets every group have any length.
    """
    shares = np.zeros(MOST_BARS + 1)
    shares[list(_COMMON)] = np.array(_SHARES[groups[place].label]) / 1000
    if (drafted := groups[place].drafted) is not None:
        shares *= _SECOND_THOUGHTS
        shares[drafted] += 1 - _SECOND_THOUGHTS
    singles = [i for i, group in enumerate(groups) if group.times == 1]
    edges = [i for label in _EDGES for i in singles if groups[i].label == label]
    loose = (edges or singles[::-1] or [len(groups) - 1])[0]
    if give == 2 or (give == 1 and place == loose):
        # Rather four bars too many than a lonely odd one.
        bars = np.arange(1, MOST_BARS + 1)
        evenness = np.where(bars % 4 == 0, 100, np.where(bars % 2 == 0, 10, 1))
        near = bars <= (MOST_BARS if give == 2 else 12)
        shares[1:] += 1e-5 * evenness * np.exp(-bars / 4) * near
    return shares
