"""Sampled grains, kept: in memory or as files in a folder, by what was asked of them.

A grain's name is a digest of its request, the model's weights and the temperature. So a
store never gives a grain that was asked for in another way; songs, redone songs and
albums can share one; and what is in it need not be sampled again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from hierarchy.micro.candidates import best_grains, candidates_of
from hierarchy.micro.grains import Grain, GrainModel, GrainRequest
from hierarchy.micro.refining import REFINING
from structure.errors import RequestError
from structure.files import whole_file

AT_ONCE = 64
"""Grains sampled side by side: more would fill memory, not the processor."""

_SUFFIX = ".grain.npy"


class GrainStore(MutableMapping[str, np.ndarray]):
    """Waveforms of grains, float32 [2, samples], by name; see `grain_name`.

    Args:
        folder: where each grain is a file that appears whole or not at all, made when
            the first one comes; several programs may use one folder. None keeps grains
            in memory.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = None if folder is None else Path(folder)
        self._held: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if self.folder is None:
            return self._held[name]
        try:
            return np.load(self._file(name), allow_pickle=False)
        except FileNotFoundError:
            raise KeyError(name) from None
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{self._file(name)} is no grain that can be read ({error}); without "
                "that file it is sampled anew"
            ) from None

    def __setitem__(self, name: str, waveform: np.ndarray) -> None:
        waveform = np.asarray(waveform, np.float32)
        if self.folder is None:
            self._held[name] = waveform
            return
        with whole_file(self._file(name)) as draft, draft.open("wb") as file:
            np.save(file, waveform, allow_pickle=False)

    def __delitem__(self, name: str) -> None:
        if self.folder is None:
            del self._held[name]
        elif name in self:
            self._file(name).unlink()
        else:
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        if self.folder is None:
            return name in self._held
        return self._file(str(name)).is_file()

    def __iter__(self) -> Iterator[str]:
        if self.folder is None:
            return iter(self._held)
        files = sorted(self.folder.glob(f"[!.]*{_SUFFIX}"))
        return (file.name.removesuffix(_SUFFIX) for file in files)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"


@contextlib.contextmanager
def grains_beside(path: str | Path) -> Iterator[GrainStore]:
    """A store in a hidden folder beside a file that is being made, gone afterwards.

    Where the work is killed, what was sampled stays there, and the same work goes on
    from it. Whoever else makes the same file at the same time has a folder of their own.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        folder = path.with_name(f".{path.name}.grains")
        folder.mkdir(exist_ok=True)
        lock = held.enter_context((folder / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            prefix = f"{folder.name}-"
            other = tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent)
            yield GrainStore(held.enter_context(other))
        else:
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            yield GrainStore(folder)


class StoredGrains(Sequence[Grain]):
    """The grains of a song in a store, in the order of its requests.

    One is read when it is looked at, and forgotten again: a song of any length can be
    gone through in the memory of one grain.
    """

    def __init__(
        self,
        store: GrainStore,
        names: Sequence[str],
        requests: Sequence[GrainRequest],
        sample_rate: int,
    ):
        self._store, self._requests = store, requests
        self.names, self.sample_rate = tuple(names), sample_rate

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Grain(self.waveform(index), self.sample_rate, self._requests[index])

    def waveform(self, index: int) -> np.ndarray:
        """Of one grain, float32 [2, samples]."""
        return self._store[self.names[index]]

    @property
    def waveforms(self) -> Sequence[np.ndarray]:
        """Of all grains, read one by one."""
        return _Waveforms(self)


class _Waveforms(Sequence[np.ndarray]):
    def __init__(self, grains: StoredGrains):
        self._grains = grains

    def __len__(self) -> int:
        return len(self._grains)

    def __getitem__(self, index):
        return self._grains.waveform(index)


def model_digest(model: GrainModel) -> str:
    """What tells a model's sound from any other model's: its weights and its make."""
    digest = hashlib.sha256(repr(dataclasses.asdict(model.config)).encode())
    for leaf in jax.tree.leaves(nnx.state(model.net, nnx.Param)):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def grain_name(request: GrainRequest, *, model: str, temperature: float) -> str:
    """A name for the grain that answers a request, the same on every machine.

    Args:
        request: what is asked.
        model: its `model_digest`.
        temperature: at which it is sampled.
    """
    digest = hashlib.sha256(f"{model} {temperature!r}".encode())
    if (count := candidates_of(request)) > 1:
        digest.update(f"the best of {count}, {REFINING}".encode())
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if isinstance(value, np.ndarray):
            digest.update(f"{field.name} {value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(f"{field.name} {value!r}".encode())
    return digest.hexdigest()[:32]


def sample_missing(
    model: GrainModel,
    requests: Sequence[GrainRequest],
    names: Sequence[str],
    store: GrainStore,
    *,
    temperature: float,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Sample the grains that a store lacks, `AT_ONCE` side by side, and keep them.

    What is done is kept when this is interrupted: the next call goes on from there.

    Args:
        model: whose sound.
        requests: what is asked, of one song or of many.
        names: of the grains; see `grain_name`.
        store: filled.
        temperature: as in the names.
        progress: called with (done, in all), in grains times a thousand.

    Returns:
        How many were sampled.
    """
    lacking = {
        name: place
        for place, name in reversed(list(enumerate(names)))
        if name not in store
    }
    # In the order of the songs, where neighbours are made of the same conditions.
    places = sorted(lacking.values())
    total = 1000 * len(places)
    for first in range(0, len(places), AT_ONCE):
        batch = places[first : first + AT_ONCE]
        share = 1000 * len(batch)

        def report(done: int, of: int, *, first=first, share=share) -> None:
            if progress:
                progress(1000 * first + share * done // max(of, 1), total)

        grains = best_grains(
            model,
            [requests[place] for place in batch],
            temperature=temperature,
            progress=report,
        )
        for place, grain in zip(batch, grains, strict=True):
            store[names[place]] = grain.waveform
    if progress:
        progress(total, total) if total else progress(1, 1)
    return len(places)
