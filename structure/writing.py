"""Tokens drawn one by one from a sequencer, and taken back where they disappoint."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from structure.cursor import Cursor
from structure.sequencer import Past, Sequencer


class Mark(NamedTuple):
    """Where a writer stood."""

    cursor: Cursor
    past: Past
    logits: np.ndarray
    hints: list[int]


class Writer:
    """A song being written: where it stands, and what can come next."""

    def __init__(
        self,
        sequencer: Sequencer,
        *,
        source: int,
        capacity: int,
        temperature: float,
        top_p: float,
        rng: np.random.Generator,
    ):
        """Begin a song of at most `capacity` tokens."""
        self.sequencer = sequencer
        self.temperature, self.top_p, self.rng = temperature, top_p, rng
        self.cursor = Cursor(source)
        self.past = sequencer.silence(capacity)
        self._step(source)

    def push(self, token: int) -> None:
        """Write a token."""
        self.cursor.push(token)
        if not self.cursor.done:
            self._step(token)

    def _step(self, token: int) -> None:
        features, self.hints = self.cursor.tell()
        recalled = self.cursor.recalled()
        if recalled is not None:
            self.logits = self.sequencer.chord(features, recalled)
        else:
            self.logits, self.past = self.sequencer.step(
                token, features, self.hints, self.past
            )

    def odds(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Probabilities [tokens] of what comes next.

        Args:
            weights: [tokens] that multiply the odds; 0 forbids.

        Raises:
            ValueError: if nothing is left to choose from.
        """
        possible = self.cursor.allowed()
        if weights is not None:
            possible &= weights > 0
        if not possible.any():
            raise ValueError(f"no {self.cursor.kind} is left to choose from")
        places = np.flatnonzero(possible)
        scores = self.logits[places].astype(np.float64)
        if weights is not None:
            scores += np.log(weights[places])
        odds = np.zeros(len(self.logits))
        if self.temperature < 1e-3:
            odds[places[np.argmax(scores)]] = 1.0
            return odds
        scores = np.exp((scores - scores.max()) / self.temperature)
        scores /= scores.sum()
        # The nucleus (Holtzman et al., arXiv:1904.09751): the fewest choices
        # that together have at least `top_p` of the odds.
        order = np.argsort(-scores, kind="stable")
        before = np.cumsum(scores[order]) - scores[order]
        scores[order[before >= self.top_p]] = 0.0
        odds[places] = scores / scores.sum()
        return odds

    def draw(self, weights: np.ndarray | None = None) -> int:
        """Choose what comes next and write it."""
        token = choose(self.odds(weights), self.rng)
        self.push(token)
        return token

    def mark(self) -> Mark:
        """Where the song stands, to come back to."""
        return Mark(self.cursor.fork(), self.past, self.logits, self.hints)

    def back(self, mark: Mark) -> None:
        """Take back all that was written since `mark`, which stays good."""
        self.cursor = mark.cursor.fork()
        self.past, self.logits, self.hints = mark.past, mark.logits, mark.hints


def choose(odds: np.ndarray, rng: np.random.Generator) -> int:
    """A place drawn by its odds."""
    rising = np.cumsum(odds)
    drawn = rng.random() * rising[-1]
    return int(min(np.searchsorted(rising, drawn, side="right"), len(odds) - 1))
