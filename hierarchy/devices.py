"""What JAX may use of this machine: its cores, and its memory of past compilations."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax

CACHE_VARIABLE = "MACROTIME_CACHE"
"""Environment variable: folder for compiled programs; empty for no cache."""


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_all_cores(*, most: int = 8) -> int:
    """Make each core a JAX device, so that batches can be shared between them.

    XLA runs the small operations of a sampler on one core however many there
    are; several devices with a part of the batch each use them all. Has to come
    before anything that runs on a device; later it changes nothing. Does not
    concern GPUs and TPUs.

    Args:
        most: devices at most. Powers of two, so that batches divide evenly.

    Returns:
        How many devices a program will find.
    """
    available = min(cores(), most)
    # A device that waits for another holds one of XLA's threads; with no more threads
    # than cores the other may find none, and starts when the first has ended.
    os.environ.setdefault("PJRT_NPROC", str(2 * cores()))
    try:
        jax.config.update("jax_num_cpu_devices", 1 << (available.bit_length() - 1))
    except RuntimeError:
        pass  # a device is in use already, and what it is cannot change any more
    return len(jax.devices())


def keep_compiled_programs() -> Path | None:
    """Keep what XLA compiles in the user's cache folder, for the next start.

    `MACROTIME_CACHE` names another folder, or none if it is empty. Without a
    folder that can be written, nothing is kept and nobody is troubled.

    Returns:
        The folder, or None.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    named = os.environ.get(CACHE_VARIABLE)
    if named == "":
        return None
    try:
        folder = Path(named).expanduser() if named else _user_cache() / "macrotime"
        # A home folder may be shared by machines that run different instructions.
        folder = folder / f"xla-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return None
    except (OSError, RuntimeError):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    # Read when Numba is first imported, which is later.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))
    return folder


def _user_cache() -> Path:
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _processor() -> str:
    """A short name for this kind of processor."""
    said = platform.machine() + platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        said += next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        pass
    return hashlib.sha256(said.encode()).hexdigest()[:12]
