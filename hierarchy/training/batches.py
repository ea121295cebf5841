"""Which windows of which recordings a training step sees.

A batch is a pure function of its step and a seed: nothing is remembered from
step to step, so a training that resumes sees what it would have seen.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

Batch = Any
"""A pytree of arrays; the first axis of each counts the items of the batch."""


class Epochs:
    """The order in which the windows of several sources are drawn.

    Without weights every window comes once an epoch, in an order of its own
    each time. With weights an epoch has the same length, each source fills its
    share of it, and goes through all its windows before one returns.
    """

    def __init__(
        self,
        counts: Sequence[int],
        *,
        seed: int,
        weights: Sequence[float] | None = None,
    ):
        """Set the order.

        Args:
            counts: windows in each source.
            seed: another seed, another order.
            weights: each source's share of the draws, to any common scale;
                None gives each source as many as it has windows.

        Raises:
            ValueError: if there is nothing to draw, or a source without
                windows has a weight.
        """
        self.counts = np.asarray(counts, np.int64)
        self.seed = seed
        if self.counts.ndim != 1 or self.counts.sum() < 1 or self.counts.min() < 0:
            raise ValueError(f"no windows to draw: sources have {list(counts)}")
        if weights is None:
            self.quotas = self.counts
            return
        shares = np.asarray(weights, np.float64)
        if shares.shape != self.counts.shape or shares.min() < 0 or shares.sum() <= 0:
            raise ValueError(
                f"weights {list(weights)} for {len(self.counts)} sources; it takes "
                "one each, none negative, one positive"
            )
        if np.any((shares > 0) & (self.counts == 0)):
            raise ValueError(f"weights {list(weights)}, but windows are {list(counts)}")
        self.quotas = _apportion(int(self.counts.sum()), shares)

    def __len__(self) -> int:
        """Draws in an epoch."""
        return int(self.quotas.sum())

    def draws(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What comes at the given positions of the endless order.

        Args:
            positions: int [draws], from 0.

        Returns:
            source and window within the source, both int64 [draws].
        """
        positions = np.asarray(positions, np.int64)
        epochs, places = np.divmod(positions, len(self))
        sources, windows = np.empty_like(positions), np.empty_like(positions)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = self._epoch(int(epoch))[places[here]]
            source = np.searchsorted(np.cumsum(self.quotas), order, side="right")
            turn = order - (np.cumsum(self.quotas) - self.quotas)[source]
            turn += epoch * self.quotas[source]
            sources[here] = source
            windows[here] = [
                self._cycle(int(s), int(t // self.counts[s]))[t % self.counts[s]]
                for s, t in zip(source, turn, strict=True)
            ]
        return sources, windows

    # An epoch's order is asked for at every step, and made once. The caches
    # only save time: what they hold follows from the arguments alone.
    def _epoch(self, epoch: int) -> np.ndarray:
        return _epoch_order(len(self), self.seed, epoch)

    def _cycle(self, source: int, cycle: int) -> np.ndarray:
        return _source_order(int(self.counts[source]), self.seed, source, cycle)


@functools.lru_cache(maxsize=8)
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)


@functools.lru_cache(maxsize=4096)
def _source_order(count: int, seed: int, source: int, cycle: int) -> np.ndarray:
    return np.random.default_rng((seed, 1, source, cycle)).permutation(count)


def _apportion(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers that add up to `total` in proportion: largest remainders."""
    exact = total * shares / shares.sum()
    whole = np.floor(exact).astype(np.int64)
    rest = np.argsort(whole - exact, kind="stable")[: total - whole.sum()]
    whole[rest] += 1
    return whole


class WindowBatches:
    """Batches of windows cut from recordings; call it with a step.

    Each recording is laid out in windows `hop` apart. Every draw shifts its
    window by up to one hop, so that no boundary is always in the same place.
    """

    def __init__(
        self,
        cut: Callable[[int, int, np.random.Generator], Batch],
        lengths: Sequence[int],
        *,
        window: int,
        batch_size: int,
        seed: int,
        hop: int | None = None,
        weights: Sequence[float] | None = None,
    ):
        """Lay out the windows.

        Args:
            cut: (recording, start, random) to one item, a pytree of numpy arrays
                without a batch axis; it may call `random` to vary the item.
                It is called from several threads.
            lengths: of each recording, in the unit of `window` and `start`.
            window: length of what `cut` takes from `start` on.
            batch_size: items in a batch.
            seed: settles order, shifts and `random`.
            hop: distance of windows, `window` if None.
            weights: see Epochs.

        Raises:
            ValueError: if no recording is as long as a window.
        """
        hop = window if hop is None else hop
        if window < 1 or hop < 1 or batch_size < 1:
            raise ValueError(
                f"window {window}, hop {hop}, batch of {batch_size}; all start at 1"
            )
        # Rounded up: the last, shorter stretch is reached by shifting back.
        counts = [
            math.ceil((n - window + 1) / hop) if n >= window else 0 for n in lengths
        ]
        if not sum(counts):
            raise ValueError(
                f"windows of {window} from recordings of at most "
                f"{max(lengths, default=0)}"
            )
        self.cut, self.lengths, self.window, self.hop = cut, list(lengths), window, hop
        self.batch_size, self.seed = batch_size, seed
        self.epochs = Epochs(counts, seed=seed, weights=weights)

    @property
    def steps_per_epoch(self) -> float:
        """Batches until every window was drawn once."""
        return len(self.epochs) / self.batch_size

    def __call__(self, step: int) -> Batch:
        """The batch of a step: pytree of arrays [batch_size, ...]."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        sources, windows = self.epochs.draws(positions)
        items = []
        for position, source, window in zip(
            positions.tolist(), sources.tolist(), windows.tolist(), strict=True
        ):
            random = np.random.default_rng((self.seed, 2, position))
            last = self.lengths[source] - self.window
            start = min(window * self.hop + int(random.integers(self.hop)), last)
            items.append(self.cut(source, start, random))
        return jax.tree.map(lambda *parts: np.stack(parts), *items)


def ahead_of_time(
    make: Callable[[int], Batch],
    start: int,
    stop: int,
    *,
    ahead: int = 3,
    threads: int = 2,
) -> Iterator[Batch]:
    """Yield make(start), ..., make(stop - 1), made by threads before they are asked for.

    The order is that of the steps however long each takes. An exception in
    `make` is raised where its batch would have come. Closing the iterator
    ends the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
    try:
        waiting: deque[Future] = deque(
            pool.submit(make, step) for step in range(start, min(stop, start + ahead))
        )
        for step in range(start, stop):
            batch = waiting.popleft().result()
            if step + ahead < stop:
                waiting.append(pool.submit(make, step + ahead))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
