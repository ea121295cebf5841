"""A long waveform that is not in memory: written from its start, read anywhere."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCK_SECONDS = 15.0
"""How much is looked at a time."""


class Tape:
    """Samples in a nameless file, gone when the tape is.

    Args:
        channels: of the waveform.
        folder: on whose disk it lies; None takes the system's place for such files.
    """

    def __init__(self, channels: int, *, folder: str | Path | None = None):
        self.channels, self.length = channels, 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def append(self, waveform: np.ndarray) -> None:
        """Go on with [channels, samples]."""
        if waveform.shape[0] != self.channels:
            raise ValueError(
                f"{waveform.shape[0]} channels on a tape of {self.channels}"
            )
        self._file.seek(self.length * self.channels * 4)
        self._file.write(np.ascontiguousarray(waveform.T, np.float32).data)
        self.length += waveform.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples `start` to `stop`, as far as there are any, float32 [channels, n]."""
        start, stop = max(start, 0), min(stop, self.length)
        self._file.seek(start * self.channels * 4)
        data = self._file.read(max(stop - start, 0) * self.channels * 4)
        return np.frombuffer(data, np.float32).reshape(-1, self.channels).T.copy()

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """All of it, `samples` at a time."""
        for start in range(0, self.length, samples):
            yield self.read(start, start + samples)
