"""The sampler for CPUs: streams shared out among threads, each through the kernel.

Draws the same samples from the same keys as `sampling`, to float rounding. Streams go
through in small groups, a thread one group at a time, since the weights of a step and
the pasts of a few streams then stay in the caches next to a core.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Sequence

import jax
import numpy as np

from hierarchy.devices import cores
from hierarchy.micro.kernel import Work, kernel
from hierarchy.micro.packing import PRECISIONS, Packed, pack
from hierarchy.micro.tiles import ROWS
from hierarchy.micro.wavenet import WaveNet

FEW = 3  # so many streams are worth a tile
CHUNK = 16  # frames sampled between two reports of progress


def sample(
    model: WaveNet,
    sketch: np.ndarray,
    frames: np.ndarray,
    style: np.ndarray,
    keys: jax.Array,
    *,
    temperature: float = 1.0,
    lengths: Sequence[int] | None = None,
    precision: str = "float32",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw the shape of some grains; see `sampling.sample`.

    Args:
        model, sketch, frames, style, keys, temperature, lengths, progress: as there;
            keys must be of the threefry kind, JAX's own.
        precision: how the weights that every step reads are held: "float32", or
            "float16" or "int8", faster for one stream and a little less exact.
        threads: at work at once; as many as there are cores if None.

    Returns:
        float32 [batch, steps, bands], zero where a stream has ended.
    """
    packed = pack(model, precision)
    frames = np.asarray(frames, np.float32)
    batch, count, _ = frames.shape
    lengths = np.full(batch, count) if lengths is None else np.asarray(lengths)
    words = np.asarray(jax.random.key_data(keys), np.uint32)
    if words.shape != (batch, 2):
        raise ValueError(
            f"{batch} keys of two words each are wanted, got words {words.shape}"
        )
    streams = _Streams(
        packed=packed,
        form=PRECISIONS[precision],
        sketch=np.asarray(sketch, np.float32),
        frames=frames,
        style=np.asarray(style),
        keys=words,
        temperature=float(temperature),
    )
    out = np.zeros([batch, *streams.sketch.shape[1:]], np.float32)
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    threads = cores() if threads is None else threads
    # The longest first, so that nobody waits long for the last.
    order = np.argsort(-lengths, kind="stable")
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        todo = [
            pool.submit(streams.run, group, lengths, out, told.put, stop)
            for group in _groups(order, threads)
        ]
        try:
            _report(todo, told, int(lengths.sum()), count, progress)
        finally:
            stop.set()
    return out


def _groups(order: np.ndarray, threads: int) -> list[np.ndarray]:
    """Streams that go through the kernel side by side."""
    share = -(-len(order) // max(threads, 1))
    size = min(ROWS, share)
    return [order[first : first + size] for first in range(0, len(order), size)]


def _report(todo, told, total, count, progress) -> None:
    """Wait for all, and say how far they are, in frames of `count`."""
    done = 0
    while todo:
        finished, todo = concurrent.futures.wait(todo, timeout=0.05)
        for each in finished:
            each.result()
        while not told.empty():
            done += told.get()
        if progress and total:
            progress(done * count // total, count)


class _Streams:
    """What all groups read."""

    def __init__(self, *, packed: Packed, form, sketch, frames, style, keys, **rest):
        self.packed, self.form = packed, form
        self.sketch, self.frames, self.style = sketch, frames, style
        self.keys, self.temperature = keys, rest["temperature"]

    def run(self, group, lengths, out, tell, stop) -> None:
        """Sample the streams of one group to the end of its longest."""
        # Whole tiles, filled up with copies that nobody hears; or rows one by one.
        rows = 1 if len(group) < FEW else ROWS
        lacking = -len(group) % rows
        tile = np.concatenate([group, np.repeat(group[:1], lacking)])
        longest, before = int(lengths[group].max()), self.packed.sizes.before
        per_frame = self.packed.sizes.steps_per_frame
        around = [(0, 0), (1, 1), (0, 0)]
        sketch = np.pad(self.sketch[tile], around)
        frames = np.pad(self.frames[tile], around, mode="edge")
        heard = np.zeros(
            [len(tile), before + longest * per_frame, sketch.shape[2]], "f4"
        )
        work, run = Work.silence(self.packed, len(tile)), kernel(rows, self.form)
        styles, keys = self.packed.styles[self.style[tile]], self.keys[tile]
        for first in range(0, longest, CHUNK):
            if stop.is_set():
                return
            count = min(CHUNK, longest - first)
            run(
                self.packed,
                work,
                sketch,
                frames,
                styles,
                keys,
                heard,
                first,
                count,
                self.temperature,
            )
            tell(int(np.clip(lengths[group] - first, 0, count).sum()))
        for row, stream in enumerate(group):
            steps = int(lengths[stream]) * per_frame
            out[stream, :steps] = heard[row, before : before + steps]
