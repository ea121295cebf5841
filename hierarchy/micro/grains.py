"""GrainRequest to Grain: what is asked of a clip of sound, and the clip that answers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from hierarchy.material import bands as filterbank
from hierarchy.material.companding import from_shape
from hierarchy.material.features import FLOOR, Features
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.gestures import Book
from hierarchy.material.moments import Moments
from hierarchy.material.sketch import ranks
from hierarchy.micro import conditions, sampling
from hierarchy.micro.conditions import DOUBT_UNIT, FLAGS
from hierarchy.micro.levelling import hold_levels, to_unit_level
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from hierarchy.training.checkpoint import (
    load_weights,
    read_config,
    read_extra,
    write_model,
)
from structure.errors import RequestError

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "grains"
WARM_UP = (
    8  # frames sampled before a grain and thrown away: the model starts in silence
)
CONTEXT = 2  # frames of levels beyond either end; one sketch frame
LEAD = 0.020  # seconds that grains of neighbouring bars sound beyond their bar line
DOUBT = 0.15  # levels by which the model's own past is said to be off
TEMPERATURE = 0.75  # unless a model knows better
UNTOLD = 1.0  # the same of grains that are told no sinusoid: as it was learnt
CLEARER = 1.5  # what chroma is asked for is times what is wanted, without sinusoids


@dataclasses.dataclass(frozen=True)
class GrainRequest:
    """What one grain is asked for, in `frames` feature frames after the warm-up.

    All arrays cover the warm-up too, and a context of CONTEXT frames on both sides.

    Attributes:
        levels: rms of each band, float32 [2, WARM_UP + frames + 4, bands]; middle, side.
        brightness, onset, tonality, beat: float32 [WARM_UP + frames + 4].
        frequency: Hz, float32 [(WARM_UP + frames) // 2 + 3, peaks].
        amplitude, phase: float32 [2, (WARM_UP + frames) // 2 + 3, peaks].
        chroma: float32 [WARM_UP + frames + 4, 12].
        octaves: float32 [2, WARM_UP + frames + 4, 1 + len(OCTAVES)], see `octaves_of`.
        style: its number among the model's styles, -1 for none.
        seed: decides the noise.
        coarse: whether the coarse description is given.
        peaks: how many sinusoids of each frame are given; 0 gives no sketch.
    """

    levels: np.ndarray
    brightness: np.ndarray
    onset: np.ndarray
    tonality: np.ndarray
    beat: np.ndarray
    frequency: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    chroma: np.ndarray
    octaves: np.ndarray
    style: int
    seed: int
    coarse: bool = True
    peaks: int = 10_000

    @property
    def frames(self) -> int:
        """Feature frames of sound that come out."""
        return len(self.brightness) - WARM_UP - 2 * CONTEXT


@dataclasses.dataclass(frozen=True)
class Grain:
    """A clip of sound.

    Attributes:
        waveform: float32 [2, samples], left and right.
        sample_rate: Hz.
        request: what it was asked for.
    """

    waveform: np.ndarray
    sample_rate: int
    request: GrainRequest


@dataclasses.dataclass(frozen=True)
class GrainModel:
    """A trained WaveNet, the gestures of its styles and what it learned from.

    Attributes:
        net: the network.
        books: by style.
        moments: prints of the recordings, by which copies are found out; None if the
            model was written without.
        temperatures: by style, those at which grains that are told all are as full as
            recordings, see `hierarchy.micro.warmth`; others take TEMPERATURE.
    """

    net: WaveNet
    books: dict[str, Book]
    moments: Moments | None = None
    temperatures: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def config(self) -> WaveNetConfig:
        """What the network is."""
        return self.net.config

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles that it can be asked for."""
        return tuple(self.books)

    def book(self, style: str | None) -> tuple[str, Book]:
        """The gestures of a style; the first style if None.

        Raises:
            RequestError: if the model has no such style.
        """
        style = self.styles[0] if style is None else style
        if style not in self.books:
            raise RequestError(
                f"no style {style!r} in this model; it has {', '.join(self.styles)}"
            )
        return style, self.books[style]

    def temperature(self, style: str) -> float:
        """At which grains of a style that are told all are sampled."""
        return self.temperatures.get(style, TEMPERATURE)

    @classmethod
    def read(cls, folder: str | Path | None = None) -> GrainModel:
        """Read config.json, weights.safetensors, gestures and moments.

        Args:
            folder: as `train_grains` writes it; None for the model that ships.

        Raises:
            RequestError: if something is missing or does not fit.
        """
        folder = Path(folder or PRETRAINED)
        config = read_config(folder, WaveNetConfig)
        # Its shapes are enough: drawing weights that the file replaces takes seconds.
        empty = nnx.eval_shape(lambda: WaveNet(config, rngs=nnx.Rngs(0)))
        net = load_weights(empty, folder)
        books = {}
        # The style that is taken when none is asked for comes first.
        about = read_extra(folder)
        first = about.get("default_style")
        for style in sorted(config.styles, key=lambda style: style != first):
            path = folder / "gestures" / f"{style}.safetensors"
            if path.exists():
                books[style] = Book.read(path)
        if not books:
            raise RequestError(f"no gestures in {folder}: none of {config.styles}")
        known = folder / "moments.safetensors"
        moments = Moments.read(known) if known.exists() else None
        return cls(net, books, moments, about.get("temperatures") or {})

    def write(self, folder: str | Path, *, about: Mapping | None = None) -> None:
        """Write what `read` reads; other files in the folder stay.

        Args:
            folder: made if it is not there.
            about: facts about the training, kept in config.json.
        """
        folder = Path(folder)
        for style, book in self.books.items():
            book.write(folder / "gestures" / f"{style}.safetensors")
        if self.moments is not None:
            self.moments.write(folder / "moments.safetensors")
        with tempfile.TemporaryDirectory(prefix=".model-", dir=folder) as draft:
            ready = Path(draft, "model")
            extra = {**(about or {}), "temperatures": dict(self.temperatures)}
            write_model(ready, self.net, self.config, extra=extra)
            # The config last: a folder with one is a model.
            for name in ("weights.safetensors", "config.json"):
                (ready / name).replace(folder / name)

    @classmethod
    def default(cls) -> GrainModel:
        """The model that ships inside the package."""
        return cls.read()


def request_like(
    features: Features, first: int, frames: int, *, style: int, seed: int
) -> GrainRequest:
    """Ask for what was heard in a recording.

    Args:
        features: of the recording.
        first: feature frame, even, at which the grain is to begin.
        frames: how many, even. Beyond the recording's ends its edges are repeated.
        style: see `GrainRequest`.
        seed: see `GrainRequest`.
    """
    at = np.arange(first - WARM_UP - CONTEXT, first + frames + CONTEXT)
    at = np.clip(at, 0, features.frames - 1)
    drawn = np.arange((first - WARM_UP) // 2 - 1, (first + frames) // 2 + 2)
    sketch = features.sketch[np.clip(drawn, 0, len(features.sketch) - 1)]
    pair = np.stack([sketch.middle, sketch.side])
    return GrainRequest(
        levels=features.levels[:, at],
        brightness=features.brightness[at],
        onset=features.onset[at],
        tonality=features.tonality[at],
        beat=features.beat[at],
        frequency=sketch.frequency,
        amplitude=np.abs(pair),
        phase=np.angle(pair),
        chroma=features.chroma()[at],
        octaves=features.octaves()[:, at],
        style=style,
        seed=seed,
    )


def seed_from(*parts: object) -> int:
    """A seed that depends on all parts, the same on every machine.

    >>> seed_from(1, "verse") == seed_from(1, "verse") != seed_from(2, "verse")
    True
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def make_grains(
    model: GrainModel,
    requests: Sequence[GrainRequest],
    *,
    temperature: float = TEMPERATURE,
    engine: str | None = None,
    precision: str = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> list[Grain]:
    """Sample all requests side by side.

    A grain depends on its request and seed alone, to the bit: not on the others, nor
    on how many there are. On CPUs, GPUs and TPUs alike; from one kind to another, and
    from one engine to another, it is the same to float rounding.

    Args:
        model: whose sound.
        requests: of any lengths.
        temperature, engine, precision: see `hierarchy.micro.sampling.sample`.
        progress: called with (frames done, frames of all streams).

    Returns:
        The grains, in the order of the requests, FRAME * request.frames samples each.
    """
    streams = [
        (index, channel)
        for index, request in enumerate(requests)
        for channel in range(2)
        if request.levels[channel].max() > 3 * FLOOR
    ]
    sounds = np.zeros([len(requests), 2], object)
    total = sum(_length(requests[index]) for index, _ in streams)
    done = 0
    # Alike lengths share a batch, so that little is sampled for nothing.
    streams.sort(key=lambda stream: (-_length(requests[stream[0]]), stream))
    widest = FUSED if engine == "fused" else WIDEST
    for first in range(0, len(streams), widest):
        batch = streams[first : first + widest]
        share = sum(_length(requests[index]) for index, _ in batch)

        def report(frames: int, of: int, *, done=done, share=share) -> None:
            if progress:
                progress(done + share * frames // of, total)

        sample = functools.partial(
            sampling.sample,
            temperature=temperature,
            engine=engine,
            precision=precision,
            progress=report,
        )
        sampled = _sample_batch(model, requests, batch, sample)
        for stream, sound in zip(batch, sampled, strict=True):
            sounds[stream] = sound
        done += share
    return [
        Grain(_to_stereo(*sounds[i], request), model.config.sample_rate, request)
        for i, request in enumerate(requests)
    ]


WIDEST = 256  # streams sampled at once; more would only cost memory
FUSED = 2048  # the same of the engine that gives each multiprocessor some


def _length(request: GrainRequest) -> int:
    return WARM_UP + request.frames


def _to_stereo(middle, side, request: GrainRequest) -> np.ndarray:
    length = request.frames * FRAME
    middle, side = (
        np.zeros(length, np.float32) if isinstance(part, int) else part
        for part in (middle, side)
    )
    return np.stack([middle + side, middle - side])


def _sample_batch(model, requests, batch, sample) -> list[np.ndarray]:
    """Waveforms [samples] of one batch of (request, channel)."""
    config = model.config
    own = [_length(requests[index]) for index, _ in batch]
    # One frame more at least: the filter bank's last samples hear it.
    pieces = [-(-(length + 1) // PIECE) for length in own]
    rows = [
        _row(requests[index], channel, count * PIECE, config.peaks)
        for (index, channel), count in zip(batch, pieces, strict=True)
    ]
    frames = _together([row["frames"] for row in rows])
    sketch = _together(_draw(rows, config.sample_rate))
    shape = sample(
        model.net,
        sketch,
        frames,
        np.array([row["style"] for row in rows]),
        jax.vmap(jax.random.key)(np.array([row["seed"] for row in rows])),
        lengths=[length + 1 for length in own],
    )
    levels = [row["levels"] for row in rows]
    shapes = []
    for one, asked, length in zip(shape, levels, own, strict=True):
        asked = asked[CONTEXT:-CONTEXT]
        one = to_unit_level(one[: len(asked) * config.steps_per_frame], length)
        shapes.append(hold_levels(one, asked, length))
    waveforms = _sound(shapes, levels)
    return [
        waveform[WARM_UP * FRAME : length * FRAME]
        for waveform, length in zip(waveforms, own, strict=True)
    ]


def _together(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays [length, ...] as one [batch, longest, ...], their ends repeated."""
    longest = max(map(len, arrays))
    return np.stack(
        [
            np.pad(x, [(0, longest - len(x))] + [(0, 0)] * (x.ndim - 1), mode="edge")
            for x in arrays
        ]
    )


def _row(request: GrainRequest, channel: int, length: int, peaks: int) -> dict:
    """One stream as arrays, its end repeated up to `length` frames."""
    given = min(request.peaks, peaks)
    # Guidance: with no sinusoid to follow, a condition is answered less than it says.
    described = conditions.describe(
        chroma=request.chroma * (1.0 if given else CLEARER),
        octaves=request.octaves[channel],
        levels=request.levels[channel],
        brightness=request.brightness,
        onset=request.onset,
        tonality=request.tonality,
        beat=request.beat,
        is_side=channel == 1,
    )[CONTEXT:-CONTEXT]
    # As `conditions.withhold` does in training.
    described[:, :-FLAGS] *= request.coarse
    described[:, 1 - FLAGS :] = request.coarse, given / peaks, DOUBT / DOUBT_UNIT
    rank = ranks(request.frequency, request.amplitude)

    def longer(array: np.ndarray, to: int) -> np.ndarray:
        lacking = [(0, to - len(array))] + [(0, 0)] * (array.ndim - 1)
        return np.pad(array, lacking, mode="edge")

    drawn = length // 2 + 3
    return {
        "frames": longer(described, length),
        "levels": longer(
            np.maximum(request.levels[channel], FLOOR), length + 2 * CONTEXT
        ),
        "frequency": longer(request.frequency, drawn),
        "amplitude": longer(
            np.where(rank < given, request.amplitude[channel], 0), drawn
        ),
        "phase": longer(request.phase[channel], drawn),
        "style": np.int32(request.style),
        "seed": np.uint32(seed_from(request.seed, channel)),
    }


PIECE = 16  # frames that are drawn, and turned into sound, at a time
TOGETHER = 32  # pieces of one program, on each device


def _by_pieces(program, streams: list[tuple], cuts: list[tuple[int, int]]):
    """Apply a program to streams, a few frames of several streams at a time.

    It always sees arrays of the same shape: another shape would be another program,
    which may add up in another order, and a grain would change with its company.

    Args:
        program: arrays [TOGETHER, ...] to one [TOGETHER, time, ...].
        streams: arrays [time, ...] of each stream.
        cuts: for each of these arrays, how far pieces lie apart, and how long they are.

    Returns:
        One array [time, ...] a stream.
    """
    counts = [1 + (len(one[0]) - cuts[0][1]) // cuts[0][0] for one in streams]
    pieces = [
        [
            array[number * apart : number * apart + long]
            for array, (apart, long) in zip(one, cuts, strict=True)
        ]
        for one, count in zip(streams, counts, strict=True)
        for number in range(count)
    ]
    width, out = TOGETHER * jax.local_device_count(), []
    for first in range(0, len(pieces), width):
        some = pieces[first : first + width]
        some += [some[0]] * (width - len(some))
        stacked = [np.stack(parts) for parts in zip(*some, strict=True)]
        out.append(np.asarray(program(*sampling.spread(stacked))))
    every = np.concatenate(out)
    ends = np.cumsum(counts)
    return [
        np.concatenate(every[end - count : end])
        for end, count in zip(ends, counts, strict=True)
    ]


def _draw(rows: list[dict], sample_rate: int) -> list[np.ndarray]:
    """The sketch of each stream as shape [steps, bands]."""
    names = ("frequency", "amplitude", "phase", "levels")
    drawn = (PIECE // 2, PIECE // 2 + 3)
    return _by_pieces(
        functools.partial(_draw_pieces, sample_rate),
        [tuple(np.float32(row[name]) for name in names) for row in rows],
        [drawn, drawn, drawn, (PIECE, PIECE + 2 * CONTEXT)],
    )


@functools.partial(jax.jit, static_argnums=0)
def _draw_pieces(sample_rate, *arrays):
    return conditions.draw(*arrays, sample_rate=sample_rate)


def _sound(shapes: list[np.ndarray], levels: list[np.ndarray]) -> list[np.ndarray]:
    """Shape [steps, bands] and levels with context to waveforms [samples]."""
    bands = shapes[0].shape[-1]
    steps = FRAME // bands
    context = [(CONTEXT * steps, CONTEXT * steps), (0, 0)]
    return _by_pieces(
        _sound_pieces,
        [
            (np.pad(shape, context), np.float32(level))
            for shape, level in zip(shapes, levels, strict=True)
        ],
        [
            (PIECE * steps, (PIECE + 2 * CONTEXT) * steps),
            (PIECE, PIECE + 2 * CONTEXT),
        ],
    )


@jax.jit
def _sound_pieces(shape, levels):
    waveform = filterbank.join(from_shape(shape, levels))
    return waveform[..., CONTEXT * FRAME : -CONTEXT * FRAME]
