"""How much of a batch a device takes at once: by its caches, or by its memory.

On a CPU most of a training step goes into activations that are written and read again;
those of one item may stay in the caches where those of a whole batch do not. Others
want as much at once as they can hold. Neither changes what is learnt, only how.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

SPARED = 0.1  # share of the free memory that is left for what comes and goes


def parts_of(share: int) -> list[int]:
    """Sizes that a device's share of a batch divides into, the largest first."""
    return [size for size in range(share, 0, -1) if share % size == 0]


def free_bytes(device: jax.Device) -> int | None:
    """Memory that a device has left; None if it does not say, as CPUs do not."""
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def needed_bytes(compiled: jax.stages.Compiled) -> int:
    """Memory that a compiled program takes on each device beside its arguments."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return 0
    kept = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return sizes.temp_size_in_bytes + max(kept, 0)


def largest_that_fits(
    share: int,
    compile_with: Callable[[int], jax.stages.Compiled],
    device: jax.Device,
) -> tuple[int, jax.stages.Compiled]:
    """Compile a step for as much at once as suits a device.

    Args:
        share: items of a batch that the device has.
        compile_with: items at once to the compiled step.
        device: one like all of them.

    Returns:
        items at once, and the step. One, where even that may be too much: what a
        compiler counts is not all that a device knows.
    """
    if device.platform == "cpu":
        return 1, compile_with(1)
    free = free_bytes(device)
    for size in parts_of(share):
        compiled = compile_with(size)
        if free is None or needed_bytes(compiled) <= (1 - SPARED) * free:
            break
    return size, compiled
