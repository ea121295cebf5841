"""Sounds, pictures and progress in a notebook, small enough to be kept there."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import soundfile

from hierarchy.material.audio import resample
from structure.errors import RequestError

if TYPE_CHECKING:
    from IPython.display import Audio, Image

HIGHEST_RATE = 44_100
# libsndfile's measure for Vorbis, 0 is the largest file: some 64 kbit/s in stereo.
COMPRESSION = 0.8
COLOURS = 96
SECONDS_BETWEEN = 0.2  # two pictures of a bar


def hear(
    waveform: np.ndarray, sample_rate: int, *, seconds: float | None = None
) -> Audio:
    """A player for a waveform, as the last line of a notebook's cell.

    The sound is kept in the notebook as Ogg Vorbis, some 8 kB a second. What exceeds
    full scale is brought below it as a whole; nothing else is made louder or softer.

    Args:
        waveform: float [samples] or [channels, samples], full scale at ±1.
        sample_rate: in Hz.
        seconds: keep only the first so many, faded out.

    Raises:
        RequestError: without IPython, or for a waveform of another shape.
    """
    display = _notebook("hear() shows a player", "write_waveform() writes a file")
    waveform = np.atleast_2d(np.asarray(waveform, np.float32))
    if waveform.ndim != 2 or not 1 <= waveform.shape[0] <= 2 or not waveform.size:
        raise RequestError(
            f"a waveform of shape {list(waveform.shape)}; it is [samples] or "
            "[channels, samples] with 1 or 2 channels"
        )
    if seconds is not None and round(seconds * sample_rate) < waveform.shape[1]:
        waveform = waveform[:, : max(1, round(seconds * sample_rate))].copy()
        fade = min(waveform.shape[1], round(0.3 * sample_rate))
        waveform[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    rate = min(sample_rate, HIGHEST_RATE)
    waveform = resample(waveform, sample_rate, rate)
    waveform = waveform / max(1.0, float(np.abs(waveform).max()) / 0.95)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        samplerate=rate,
        channels=waveform.shape[0],
        format="OGG",
        subtype="VORBIS",
        compression_level=COMPRESSION,
    ) as sound:
        # libsndfile's Vorbis encoder overflows its stack on long single writes.
        for start in range(0, waveform.shape[1], 65536):
            sound.write(waveform[:, start : start + 65536].T)
    player = display.Audio(data=file.getvalue())
    player.mimetype = "audio/ogg"
    return player


def see(path: str | Path, *, width: int = 800) -> Image:
    """A picture of ours, as the last line of a notebook's cell.

    Args:
        path: a .png file, such as `draw_song` draws.
        width: pixels that it takes on the page; a wider one is made smaller.

    Raises:
        RequestError: without IPython, or if the file is no picture.
    """
    display = _notebook("see() shows a picture", "open the file instead")
    try:
        with PIL.Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} is not a picture: {error}") from None
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), PIL.Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.quantize(COLOURS).save(file, "PNG", optimize=True)
    return display.Image(data=file.getvalue(), format="png", width=picture.width)


def watch(what: str) -> Callable[[int, int], None]:
    """A bar in a notebook for what takes long: pass the result as `progress`.

    Args:
        what: is being done, in words.

    Returns:
        A function that is called with (done, in all).

    Raises:
        RequestError: without IPython.
    """
    display = _notebook("watch() shows a bar", "pass progress=print instead")
    began, shown = time.monotonic(), 0.0
    handle = display.display(display.HTML(f"{what} ..."), display_id=True)

    def report(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        # Outside a notebook IPython shows nothing, and there is no handle.
        if handle is None or (done < total and now - shown < SECONDS_BETWEEN):
            return
        shown = now
        text = f"{what}: {done} of {total}, {now - began:.0f} s"
        if done >= total:
            text = f"{what}: done in {now - began:.0f} s"
        handle.update(
            display.HTML(f'<progress value="{done}" max="{total}"></progress> {text}')
        )

    return report


def _notebook(what: str, instead: str):
    """IPython's module for display.

    Raises:
        RequestError: if it is not installed.
    """
    try:
        from IPython import display
    except ImportError:
        raise RequestError(
            f"{what} in a notebook and needs IPython: pip install ipykernel; {instead}"
        ) from None
    return display
