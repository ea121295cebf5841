"""Sound files to float32 arrays and back, whole or block by block."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

from structure.errors import RequestError
from structure.files import whole_file

SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus"),
        *(".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc"),
        # libsndfile does not read these, but a person means them as sound.
        *(".m4a", ".aac", ".wma", ".mp4", ".webm", ".ape", ".wv", ".mpc", ".raw"),
    )
)
"""How the names of sound files end. Others are tried too, but not missed."""

FORMATS = {
    ".wav": ("WAV", "PCM_24"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
}
"""What can be written: suffix to libsndfile's container and our default coding."""

TAGS = (
    *("title", "artist", "album", "date", "genre"),
    *("comment", "tracknumber", "copyright", "license", "software"),
)
"""What can be said about a recording in its file."""

_HALF = 0.7071
# Left and right share of each loudspeaker, in the channel order of WAV files.
_FRONT, _CENTRE, _BASS = [(1, 0), (0, 1)], [(_HALF, _HALF)], [(0.0, 0.0)]
_BACK, _BACK_CENTRE = [(_HALF, 0), (0, _HALF)], [(0.5, 0.5)]
_FOLDS = {
    3: _FRONT + _CENTRE,
    4: _FRONT + _BACK,
    5: _FRONT + _CENTRE + _BACK,
    6: _FRONT + _CENTRE + _BASS + _BACK,
    7: _FRONT + _CENTRE + _BASS + _BACK_CENTRE + _BACK,
    8: _FRONT + _CENTRE + _BASS + _BACK + _BACK,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file says of itself. `samples` may be an estimate in MP3 files."""

    sample_rate: int
    channels: int
    samples: int
    coding: str

    @property
    def seconds(self) -> float:
        """How long the file says it lasts."""
        return self.samples / self.sample_rate


def inspect_audio(path: str | Path) -> AudioInfo:
    """Read the header of a sound file.

    Raises:
        RequestError: if there is no such file, it is empty or it is not sound.
    """
    with _open(path) as file:
        return AudioInfo(
            sample_rate=file.samplerate,
            channels=file.channels,
            samples=file.frames,
            coding=f"{file.format} {file.subtype}",
        )


def blocks(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    seconds: float = 10.0,
    offset: float = 0.0,
    duration: float | None = None,
) -> Iterator[np.ndarray]:
    """Decode a file piece by piece, so that its length does not bound memory.

    Args:
        path: any file that libsndfile reads.
        sample_rate: rate to resample to, in Hz; None keeps the file's own.
        seconds: how much is decoded at a time.
        offset: seconds to skip first.
        duration: seconds to read at most; None reads to the end.

    Yields:
        float32 [channels, samples], about `seconds` long each; laid end to end
        they are what `read_waveform` returns.

    Raises:
        RequestError: if the file cannot be decoded, or holds NaN or infinity.
    """
    if offset < 0 or (duration is not None and duration <= 0) or seconds <= 0:
        raise RequestError(
            f"offset {offset}, duration {duration} and block {seconds} s; an offset is "
            "0 or more, a duration and a block more than 0"
        )
    with _open(path) as file:
        rate = file.samplerate
        left = None if duration is None else max(1, round(duration * rate))
        resampler = None
        if sample_rate is not None and sample_rate != rate:
            _check_rate(sample_rate)
            resampler = soxr.ResampleStream(
                rate, sample_rate, file.channels, dtype="float32"
            )
        try:
            _skip(file, round(offset * rate))
            while left is None or left > 0:
                size = max(1, round(seconds * rate))
                size = size if left is None else min(size, left)
                block = file.read(size, dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                if not np.isfinite(block).all():
                    raise RequestError(
                        f"{path} holds samples that are NaN or infinite; audio is finite"
                    )
                left = None if left is None else left - len(block)
                if resampler is not None:
                    block = resampler.resample_chunk(block)
                if len(block):
                    yield np.ascontiguousarray(block.T)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise RequestError(f"{path} cannot be decoded: {error}") from None
        if resampler is not None:
            rest = resampler.resample_chunk(
                np.zeros([0, file.channels], np.float32), last=True
            )
            if len(rest):
                yield np.ascontiguousarray(rest.T)


def read_waveform(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
) -> tuple[np.ndarray, int]:
    """Read a sound file, or `duration` seconds of it from `offset` on.

    Returns:
        float32 [channels, samples] with full scale at ±1, and its rate in Hz.

    Raises:
        RequestError: if the file cannot be decoded, or holds NaN or infinity.
    """
    info = inspect_audio(path)
    parts = list(
        blocks(path, sample_rate=sample_rate, offset=offset, duration=duration)
    )
    rate = sample_rate or info.sample_rate
    if not parts:
        return np.zeros([info.channels, 0], np.float32), rate
    return np.concatenate(parts, axis=1), rate


def write_waveform(
    path: str | Path,
    waveform: np.ndarray,
    sample_rate: int,
    *,
    subtype: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a waveform; the suffix (.wav, .flac, .ogg) chooses the format.

    The file appears whole or not at all, and equal waveforms make equal bytes.

    Args:
        path: where to; its folder is made if needed.
        waveform: float32 [channels, samples]; what exceeds ±1 is clipped.
        sample_rate: in Hz.
        subtype: libsndfile's name for the coding, such as "PCM_16" or "FLOAT";
            None means 24 bits in WAV and FLAC, Vorbis in OGG.
        tags: any of `TAGS`, such as title or artist, to text.

    Raises:
        RequestError: for another suffix, coding or tag, or NaN in the waveform.
    """
    waveform = np.asarray(waveform)
    if waveform.ndim != 2 or not 1 <= waveform.shape[0] <= 8:
        raise RequestError(
            f"a waveform of shape {list(waveform.shape)}; "
            "it is [channels, samples] with 1 to 8 channels"
        )
    channels, samples = waveform.shape
    # libsndfile's Vorbis encoder overflows its stack on long single writes.
    pieces = (waveform[:, at : at + 65536] for at in range(0, samples, 65536))
    write_blocks(
        path,
        pieces,
        sample_rate,
        channels=channels,
        samples=samples,
        subtype=subtype,
        tags=tags,
    )


def write_blocks(
    path: str | Path,
    pieces: Iterable[np.ndarray],
    sample_rate: int,
    *,
    channels: int,
    samples: int,
    subtype: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a waveform that comes piece by piece, otherwise as `write_waveform`.

    Args:
        path: where to.
        pieces: float32 [channels, n] each, from start to end.
        sample_rate: in Hz.
        channels: 1 to 8.
        samples: how long it will be in all; a WAV file of 4 GiB needs another header.
        subtype, tags: see `write_waveform`.

    Raises:
        RequestError: for another suffix, coding or tag, or NaN in the waveform.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise RequestError(
            f"{path.name} ends in {path.suffix or 'nothing'}; "
            f"sound is written as {', '.join(FORMATS)}"
        )
    _check_rate(sample_rate)
    container, default = FORMATS[path.suffix.lower()]
    subtype = subtype or default
    if not soundfile.check_format(container, subtype):
        fits = ", ".join(soundfile.available_subtypes(container))
        raise RequestError(f"{path.suffix} cannot hold {subtype}; it holds {fits}")
    if unknown := set(tags or {}) - set(TAGS):
        raise RequestError(
            f"tags {', '.join(sorted(unknown))}; tags are {', '.join(TAGS)}"
        )
    if container == "WAV" and channels * samples * 4 >= 2**32:
        container = "RF64"  # The lengths in a plain WAV header have 32 bits.
    with whole_file(path) as draft:
        with soundfile.SoundFile(
            draft,
            "w",
            samplerate=sample_rate,
            channels=channels,
            format=container,
            subtype=subtype,
        ) as file:
            for name, text in (tags or {}).items():
                setattr(file, name, str(text))
            for piece in pieces:
                if not np.isfinite(piece).all():
                    raise RequestError(
                        "the waveform holds NaN or infinity; audio is finite"
                    )
                for start in range(0, piece.shape[1], 65536):
                    file.write(piece[:, start : start + 65536].T)
        if container == "OGG":
            _pin_ogg_serial(draft)


def read_tags(path: str | Path) -> dict[str, str]:
    """The tags of a sound file that are not empty."""
    with _open(path) as file:
        tags = {name: getattr(file, name) for name in TAGS}
    return {name: text for name, text in tags.items() if text}


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Change the rate of float32 [channels, samples] from `rate` to `new_rate` Hz."""
    _check_rate(new_rate)
    if rate == new_rate:
        return np.asarray(waveform, np.float32)
    y = soxr.resample(np.asarray(waveform, np.float32).T, rate, new_rate)
    return np.ascontiguousarray(y.T)


def fold(waveform: np.ndarray) -> np.ndarray:
    """Fold [channels, samples] down to one or two channels.

    Two channels that are alike become one; surround becomes stereo, with the
    centre and the back at -3 dB and all divided by what they could sum to.

    Source: ITU-R BS.775-4, annex 4.
    """
    channels = waveform.shape[0]
    if channels > 8:
        raise RequestError(f"{channels} channels; 1 to 8 can be folded to stereo")
    if channels > 2:
        shares = np.array(_FOLDS[channels], np.float32).T
        waveform = (shares / shares.sum(axis=1, keepdims=True)) @ waveform
    if waveform.shape[0] == 2 and np.array_equal(waveform[0], waveform[1]):
        return waveform[:1]
    return waveform


def as_stereo(waveform: np.ndarray) -> np.ndarray:
    """Any [channels, samples] as [2, samples]; one channel sounds on both sides."""
    folded = fold(waveform)
    return np.repeat(folded, 2, axis=0) if folded.shape[0] == 1 else folded


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_rate(sample_rate: int) -> None:
    if not 1000 <= sample_rate <= 768_000:
        raise RequestError(
            f"a rate of {sample_rate} Hz; from 1000 to 768000 can be used"
        )


def _open(path: str | Path) -> soundfile.SoundFile:
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise RequestError(f"{path} is empty")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:
        # TypeError: a .raw file has no header to say what it is.
        raise RequestError(f"{path} is not sound that can be read: {error}") from None
    if file.samplerate < 1000 or file.channels < 1:
        file.close()
        raise RequestError(
            f"{path} claims {file.channels} channels at {file.samplerate} Hz"
        )
    return file


def _skip(file: soundfile.SoundFile, samples: int) -> None:
    if samples and file.seekable():
        file.seek(min(samples, file.frames))
        return
    while samples > 0 and len(read := file.read(min(samples, 65536))):
        samples -= len(read)


def _pin_ogg_serial(path: Path) -> None:
    """Give the stream of an OGG file serial number 1 instead of a random one.

    Each page carries the number and a checksum over itself (RFC 3533, section 6).
    """
    with path.open("r+b") as file:
        while True:
            start, header = file.tell(), bytearray(file.read(27))
            if header[:4] != b"OggS":
                break
            lengths = file.read(header[26])
            body = file.read(sum(lengths))
            header[14:18] = (1).to_bytes(4, "little")
            header[22:26] = bytes(4)
            checksum = _ogg_checksum(bytes(header) + lengths + body)
            header[22:26] = checksum.to_bytes(4, "little")
            file.seek(start)
            file.write(header)
            file.seek(start + len(header) + len(lengths) + len(body))


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 by the polynomial of Ethernet and zlib, but with the bits turned round."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
