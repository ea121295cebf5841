"""How much of a batch a device takes at once: one item, or as much as it has room for.

On a CPU most of a training step goes into activations that are written and read again;
those of one item may stay in the caches where those of a whole batch do not. Others
want as much at once as they can hold. Neither changes what is learnt, only how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

FEWEST, MOST = 8, 64  # items of a batch that is chosen here
SPARED = 0.1  # share of the free memory that is left for what comes and goes


def parts_of(share: int) -> list[int]:
    """Sizes that a device's share of a batch divides into, the largest first."""
    return [size for size in range(share, 0, -1) if share % size == 0]


def room_on(device: jax.Device) -> int | None:
    """Bytes that a batch may take on a device like this one, the least of all hosts.

    0 is as little as can be, which suits CPUs; None where a device does not say.
    """
    if device.platform == "cpu":
        return 0
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    free = int((1 - SPARED) * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    if jax.process_count() > 1:
        # Programs that work together must be the same, and be compiled together.
        free = int(multihost_utils.process_allgather(np.int64(free)).min())
    return max(free, 0)


def needed_bytes(compiled: jax.stages.Compiled) -> int:
    """Memory that a compiled program takes on each device beside its arguments."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return 0
    kept = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return sizes.temp_size_in_bytes + max(kept, 0)


def largest_that_fits(
    share: int, compile_with: Callable[[int], jax.stages.Compiled], room: int | None
) -> tuple[int, jax.stages.Compiled]:
    """Compile a step for as much at once as there is room for.

    Args:
        share: items of a batch that a device has.
        compile_with: items at once to the compiled step.
        room: bytes, from `room_on`.

    Returns:
        items at once, and the step. One, where even that may be too much: what a
        compiler counts is not all that a device knows.
    """
    for size in parts_of(share) if room != 0 else [1]:
        compiled = compile_with(size)
        if room is None or needed_bytes(compiled) <= room:
            break
    return size, compiled


def suited_batch(item_bytes: float, devices: Sequence[jax.Device]) -> int:
    """A size of batch that the devices can make use of, a power of two for each.

    Args:
        item_bytes: that an item takes in training, about.
        devices: that share each batch.

    Returns:
        `FEWEST` in all where batches are taken item by item or a device does not say
        what it has; else as many a device as half of its room holds, up to `MOST`.
    """
    if room := room_on(devices[0]):
        fits = int(min(room / (2 * item_bytes), MOST))
        return max(1 << max(fits, 1).bit_length() - 1, FEWEST) * len(devices)
    return -(-FEWEST // len(devices)) * len(devices)
