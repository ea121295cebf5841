"""Files appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

DRAFT = ".draft-"
"""In the names of files that are being written; those of killed processes stay."""


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if all went well.

    The temporary file keeps the suffix of `path`, since audio writers choose
    a format by it. Whatever goes wrong, nothing half-written stands under the
    final name and nothing is left behind.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = pathlib.Path(folder) / "song.txt"
    ...     with whole_file(target) as draft:
    ...         _ = draft.write_text("la")
    ...     target.read_text()
    'la'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}{DRAFT}", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        # mkstemp makes files private; a finished song is as readable as any other file.
        draft.chmod(0o666 & ~_umask())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it replaces `path` if all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}{DRAFT}", dir=path.parent))
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())
        for inside in draft.rglob("*"):
            # Some writers make their files private too.
            inside.chmod((0o777 if inside.is_dir() else 0o666) & ~_umask())
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}{DRAFT}", dir=path.parent))
            path.replace(old / "old")
            draft.replace(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
