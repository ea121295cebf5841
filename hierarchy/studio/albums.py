"""What a visitor uploads, looked at with suspicion before anything is learned from it.

A file is kept under a number of ours, whatever it was called. Archives are opened in a
process of its own with little to spend; what comes out is counted while it comes, not
as the archive says. Sound is decoded once, block by block, until it ends or has lasted
too long.

    uploads/1.wav, 2.zip ...     as they came
    music/1-1.wav, 2-1.flac ...  what will be learned from
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from structure.errors import RequestError

MOST_BYTES = 2 << 30  # of one album, as sent and again unpacked
MOST_FILE_BYTES = 1 << 30
MOST_FILES = 300
MOST_SECONDS = 3 * 3600.0  # of music in one album
LONGEST_FILE = 2 * 3600.0
MOST_CHANNELS, HIGHEST_RATE = 8, 192_000
MOST_RATIO = 200  # bytes that an archive may unpack to for one of its own

KINDS = {
    ".wav": (b"RIFF", b"RF64"),
    ".flac": (b"fLaC",),
    ".ogg": (b"OggS",),
    ".opus": (b"OggS",),
    ".mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
    ".aif": (b"FORM",),
    ".aiff": (b"FORM",),
}
"""Endings of sound files that are taken, and how such files begin."""

ARCHIVE = ".zip"

# Seconds of work for a second of music, on two cores: listening; getting ready.
LISTENING, READYING = 0.036, 0.023
STARTING = 40.0  # seconds that a training takes to begin and to end
SHORTEST_ALBUM = 10.0  # seconds of music


def suffix_of(name: str) -> str:
    """The ending that decides how a file is read.

    Raises:
        RequestError: if such files are not taken.

    >>> suffix_of("My Song.FLAC")
    '.flac'
    """
    ending = "." + name.rpartition(".")[2].lower()
    if ending == ARCHIVE or ending in KINDS:
        return ending
    raise RequestError(
        f"{shown(name)}: files of this kind are not taken; "
        f"{', '.join((*KINDS, ARCHIVE))} are"
    )


def check_beginning(name: str, suffix: str, beginning: bytes) -> None:
    """See that a file begins as its ending says.

    Raises:
        RequestError: if it does not.
    """
    wanted = (b"PK\x03\x04",) if suffix == ARCHIVE else KINDS[suffix]
    if not beginning.startswith(wanted):
        raise RequestError(f"{shown(name)} is not what its ending {suffix} says")


def shown(name: str) -> str:
    """A name from outside, fit to be shown to a person.

    >>> shown("../a/b\\n.wav")
    'b .wav'
    """
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(c if c.isprintable() else " " for c in last)
    return clean[:80] or "a file"


def inspect_album(job: dict, told) -> dict:
    """Unpack and decode what was uploaded; say what is there and what it will take.

    Args:
        job: folder of the album, files (stored name to the name it came with).
        told: the line to the studio.

    Returns:
        kept and refused files, seconds of music, and `seconds_before` training.
    """
    _spend_little()
    folder = Path(job["folder"])
    music = folder / "music"
    shutil.rmtree(music, ignore_errors=True)
    music.mkdir()
    tell = told.stage("Looking at your files")
    kept, refused = [], []
    left = MOST_SECONDS
    for done, (stored, name) in enumerate(job["files"].items()):
        tell(done, len(job["files"]))
        try:
            # All of an archive or nothing.
            for sound, title in list(_sounds(folder / "uploads" / stored, name, music)):
                told.check()
                try:
                    with sound.open("rb") as file:
                        check_beginning(title, sound.suffix, file.read(4))
                    if len(kept) >= MOST_FILES:
                        raise RequestError(f"an album has at most {MOST_FILES} files")
                    seconds = _decoded_seconds(sound, min(left, LONGEST_FILE), told)
                    left -= seconds
                    kept.append({"name": shown(title), "seconds": round(seconds, 1)})
                except RequestError as error:
                    sound.unlink(missing_ok=True)
                    reason = str(error).replace(str(sound), "it").strip()
                    refused.append({"name": shown(title), "why": reason})
        except RequestError as error:
            for sound in music.glob(f"{Path(stored).stem}-*"):
                sound.unlink()
            refused.append({"name": shown(name), "why": str(error)})
    seconds = sum(file["seconds"] for file in kept)
    if kept and seconds < SHORTEST_ALBUM:
        raise RequestError(
            f"{seconds:.0f} seconds of music; {SHORTEST_ALBUM:.0f} are the least that "
            "can be learned from"
        )
    return {
        "kept": kept,
        "refused": refused[:50],
        "seconds": round(seconds, 1),
        "seconds_before": round(preparing_seconds(seconds) / machine_speed(), 1),
    }


def preparing_seconds(seconds: float) -> float:
    """How long an album takes before and after training, on two cores like ours."""
    return (LISTENING + READYING) * seconds + STARTING


def machine_speed() -> float:
    """How fast this machine is beside that on which the estimates were measured."""
    signal = np.random.default_rng(0).standard_normal([64, 16384])
    began = time.perf_counter()
    for _ in range(4):
        np.fft.rfft(signal)
    return float(np.clip(0.035 / (time.perf_counter() - began), 0.1, 3.0))


def _spend_little() -> None:
    """Bound what a decoder that was led astray can take of this machine."""
    if os.name != "posix":
        return
    import resource

    for limit, most in (
        (resource.RLIMIT_AS, 6 << 30),
        (resource.RLIMIT_FSIZE, MOST_FILE_BYTES + (1 << 20)),
        (resource.RLIMIT_CPU, 1800),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
        except (ValueError, OSError):
            continue  # lower already, or not known to this system


def _sounds(path: Path, name: str, music: Path) -> Iterator[tuple[Path, str]]:
    """Sound files in an upload: itself, or what an archive holds."""
    if path.suffix != ARCHIVE:
        target = music / f"{path.stem}-1{path.suffix}"
        os.link(path, target)
        yield target, name
        return
    yield from unpack(path, music, name=name)


def unpack(
    path: Path, music: Path, *, name: str, most_bytes: int = MOST_BYTES
) -> Iterator[tuple[Path, str]]:
    """Take the sound files out of a zip archive, one by one.

    Args:
        path: the archive.
        music: where they go, as numbers.
        name: of the archive, for messages.
        most_bytes: that may come out in all.

    Yields:
        each file and the name it has in the archive.

    Raises:
        RequestError: if the archive is damaged, locked, names places outside of
            itself, or unpacks to far more than it is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [one for one in archive.infolist() if not one.is_dir()]
            if len(entries) > 20 * MOST_FILES:
                raise RequestError(f"{shown(name)} holds {len(entries)} files")
            for entry in entries:
                _check_entry(entry, name)
            left = min(most_bytes, MOST_RATIO * max(path.stat().st_size, 1 << 20))
            for number, entry in enumerate(entries, 1):
                if entry.filename.startswith("__MACOSX/"):
                    continue
                ending = "." + entry.filename.rpartition(".")[2].lower()
                if ending not in KINDS:
                    continue  # covers and notes; archives in archives too
                target = music / f"{path.stem}-{number}{ending}"
                with archive.open(entry) as source, target.open("xb") as out:
                    left -= _copy(source.read, out.write, left, name)
                yield target, entry.filename
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise RequestError(f"{shown(name)} cannot be unpacked: {error}") from None
    except RuntimeError:
        raise RequestError(f"{shown(name)} is locked with a password") from None


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    parts = re.split(r"[/\\]", entry.filename)
    outside = entry.filename.startswith(("/", "\\")) or ":" in parts[0]
    if outside or ".." in parts or "\0" in entry.filename:
        raise RequestError(
            f"{shown(name)} names a file outside of itself; such archives are refused"
        )
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise RequestError(f"{shown(name)} holds links; such archives are refused")
    if entry.flag_bits & 1:
        raise RequestError(f"{shown(name)} is locked with a password")


def _copy(read: Callable, write: Callable, left: int, name: str) -> int:
    """Copy until the end, or until there is more than may be; returns the bytes."""
    copied = 0
    while chunk := read(1 << 18):
        copied += len(chunk)
        if copied > min(left, MOST_FILE_BYTES):
            raise RequestError(
                f"{shown(name)} unpacks to more than is taken "
                f"({MOST_FILE_BYTES >> 20} MB a file, {MOST_BYTES >> 20} MB in all, and "
                f"at most {MOST_RATIO} times its own size)"
            )
        write(chunk)
    return copied


def _decoded_seconds(path: Path, most: float, told) -> float:
    """How long a file really is.

    Raises:
        RequestError: if it is longer than `most` seconds or cannot be decoded.
    """
    from hierarchy.material.audio import blocks, inspect_audio

    info = inspect_audio(path)
    if info.channels > MOST_CHANNELS or info.sample_rate > HIGHEST_RATE:
        raise RequestError(
            f"{info.channels} channels at {info.sample_rate} Hz; at most "
            f"{MOST_CHANNELS} channels at {HIGHEST_RATE} Hz are taken"
        )
    samples = 0
    for block in blocks(path):
        told.check()
        samples += block.shape[1]
        if samples > most * info.sample_rate:
            raise RequestError(
                f"longer than what is left of {LONGEST_FILE / 3600:.0f} hours a file "
                f"and {MOST_SECONDS / 3600:.0f} hours an album"
            )
    if samples < 2 * info.sample_rate:
        raise RequestError("shorter than two seconds")
    return samples / info.sample_rate
