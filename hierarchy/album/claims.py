"""Claims: which of several runs into one folder makes which song.

A claim is a lock that the operating system holds for a process on an open file. It
ends with the process, however that ends, so that no claim is ever stale: nobody has to
guess whether whoever wrote a lock file is still alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def claim(
    path: str | Path,
    *,
    wait: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[bool]:
    """Hold a claim while the block runs.

    Args:
        path: of the claim; its folder is made if needed. The file is left behind
            empty-handed: whether it is there says nothing.
        wait: until whoever has the claim lets it go; else nothing is waited for.
        waiting: called once with who has it, if somebody has.

    Yields:
        Whether the claim is held; always true after waiting.

    Claims are of processes on one machine, and on machines that share the folder
    through a file system with locks (NFS 4, Lustre, ...).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not "w": it would empty the file of whoever has the claim.
    with path.open("a+") as file:
        held, told = _try(file), False
        while not held and wait:
            if waiting and not told:
                file.seek(0)
                waiting(file.read().strip() or "another process")
                told = True
            time.sleep(0.1)
            held = _try(file)
        if held:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        try:
            yield held
        finally:
            if held:
                file.truncate(0)
                fcntl.flock(file, fcntl.LOCK_UN)


def _try(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
