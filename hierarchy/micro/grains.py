"""GrainRequest to Grain: what is asked of a clip of sound, and the clip that answers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hierarchy.material import bands as filterbank
from hierarchy.material.companding import from_shape
from hierarchy.material.features import FLOOR, Features
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.gestures import Book
from hierarchy.material.moments import Moments
from hierarchy.material.sketch import ranks
from hierarchy.micro import conditions, sampling
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
    """

    net: WaveNet
    books: dict[str, Book]
    moments: Moments | None = None

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

    @classmethod
    def read(cls, folder: str | Path) -> GrainModel:
        """Read config.json, weights.safetensors, gestures and moments.

        Raises:
            RequestError: if something is missing or does not fit.
        """
        folder = Path(folder)
        config = read_config(folder, WaveNetConfig)
        net = load_weights(WaveNet(config, rngs=nnx.Rngs(0)), folder)
        books = {}
        # The style that is taken when none is asked for comes first.
        first = read_extra(folder).get("default_style")
        for style in sorted(config.styles, key=lambda style: style != first):
            path = folder / "gestures" / f"{style}.safetensors"
            if path.exists():
                books[style] = Book.read(path)
        if not books:
            raise RequestError(f"no gestures in {folder}: none of {config.styles}")
        known = folder / "moments.safetensors"
        return cls(net, books, Moments.read(known) if known.exists() else None)

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
            write_model(ready, self.net, self.config, extra=about)
            # The config last: a folder with one is a model.
            for name in ("weights.safetensors", "config.json"):
                (ready / name).replace(folder / name)

    @classmethod
    def default(cls) -> GrainModel:
        """The model that ships inside the package."""
        return cls.read(PRETRAINED)


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
    temperature: float = 0.8,
    progress: Callable[[int, int], None] | None = None,
) -> list[Grain]:
    """Sample all requests side by side.

    A grain depends on its request and seed alone, not on the others.

    Args:
        model: whose sound.
        requests: of any lengths; together they cost about what the longest costs,
            until the machine is full.
        temperature: see `hierarchy.micro.sampling.sample`.
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
    for first in range(0, len(streams), WIDEST):
        batch = streams[first : first + WIDEST]
        share = sum(_length(requests[index]) for index, _ in batch)

        def report(frames: int, of: int, *, done=done, share=share) -> None:
            if progress:
                progress(done + share * frames // of, total)

        for stream, sound in zip(
            batch,
            _sample_batch(model, requests, batch, temperature, report),
            strict=True,
        ):
            sounds[stream] = sound
        done += share
    return [
        Grain(_to_stereo(*sounds[i], request), model.config.sample_rate, request)
        for i, request in enumerate(requests)
    ]


WIDEST = 128  # streams sampled at once; more would only cost memory


def _length(request: GrainRequest) -> int:
    return WARM_UP + request.frames


def _to_stereo(middle, side, request: GrainRequest) -> np.ndarray:
    length = request.frames * FRAME
    middle, side = (
        np.zeros(length, np.float32) if isinstance(part, int) else part
        for part in (middle, side)
    )
    return np.stack([middle + side, middle - side])


def _sample_batch(model, requests, batch, temperature, report) -> list[np.ndarray]:
    """Waveforms [samples] of one batch of (request, channel)."""
    config = model.config
    # Few different shapes, so that few programs are compiled; and whole shares for
    # all devices. One frame more at least, which the filter bank's last samples hear:
    # otherwise a grain's end would depend on how long the others are.
    length = -(-(1 + max(_length(requests[i]) for i, _ in batch)) // 16) * 16
    width = max(16, 1 << (len(batch) - 1).bit_length())
    if width > 32:
        width = -(-len(batch) // 32) * 32
    rows = [_row(requests[i], channel, length, config.peaks) for i, channel in batch]
    rows += [rows[0]] * (width - len(rows))
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    keys = jax.vmap(jax.random.key)(stacked.pop("seed"))
    stacked, keys = _spread((stacked, keys))
    frames, sketch = _prepare(stacked, config.sample_rate)
    shape = sampling.sample(
        model.net,
        sketch,
        frames,
        stacked["style"],
        keys,
        temperature=temperature,
        progress=report,
    )
    waveforms = np.asarray(_finish(shape, stacked["levels"], stacked["asked"]))
    start = WARM_UP * FRAME
    return [
        waveforms[row, start : start + requests[index].frames * FRAME]
        for row, (index, _) in enumerate(batch)
    ]


def _row(request: GrainRequest, channel: int, length: int, peaks: int) -> dict:
    """One stream as arrays, its end repeated up to `length` frames."""
    lacking = length - _length(request)
    described = conditions.describe(
        chroma=request.chroma,
        levels=request.levels[channel],
        brightness=request.brightness,
        onset=request.onset,
        tonality=request.tonality,
        beat=request.beat,
        is_side=channel == 1,
    )[CONTEXT:-CONTEXT]
    amplitude = request.amplitude[channel]
    rank = ranks(request.frequency, request.amplitude)
    given = min(request.peaks, peaks)

    def longer(array: np.ndarray, by: int) -> np.ndarray:
        return np.pad(array, [(0, by)] + [(0, 0)] * (array.ndim - 1), mode="edge")

    return {
        "frames": longer(described, lacking),
        "levels": longer(np.maximum(request.levels[channel], FLOOR), lacking),
        "frequency": longer(request.frequency, lacking // 2),
        "amplitude": longer(np.where(rank < given, amplitude, 0), lacking // 2),
        "phase": longer(request.phase[channel], lacking // 2),
        "asked": np.float32(np.arange(length) < _length(request)),
        "style": np.int32(request.style),
        "coarse": np.float32(request.coarse),
        "share": np.float32(given / peaks),
        "seed": np.uint32(seed_from(request.seed, channel)),
        "length": np.int32(_length(request)),
    }


def _spread(tree):
    """Share the batch axis among all local devices."""
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ("grains",))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("grains")))


@functools.partial(jax.jit, static_argnums=1)
def _prepare(stacked, sample_rate):
    frames = conditions.withhold(
        stacked["frames"], coarse=stacked["coarse"], sketch_share=stacked["share"]
    )
    sketch = conditions.draw(
        stacked["frequency"],
        stacked["amplitude"],
        stacked["phase"],
        stacked["levels"],
        sample_rate=sample_rate,
    )
    return frames, sketch * (stacked["share"] > 0)[:, None, None]


@jax.jit
def _finish(shape, levels, asked):
    shape = _to_unit_level(shape, asked)
    context = jnp.zeros(
        [*shape.shape[:-2], CONTEXT * FRAME // shape.shape[-1], shape.shape[-1]]
    )
    padded = jnp.concatenate([context, shape, context], axis=-2)
    waveform = filterbank.join(from_shape(padded, levels))
    return waveform[..., CONTEXT * FRAME : -CONTEXT * FRAME]


EVENING = 12  # frames on either side over which a grain's level is evened out
MOST_GAIN = 30.0  # where little is asked, what comes first is little too


def _to_unit_level(shape, asked):
    """Shape whose level, over a quarter of a second, is what shape's level is: 1.

    What the model draws with little to go by is quieter than what it learned from,
    since a mean is quieter than what it is the mean of. Only frames that were asked
    for count (`asked` [..., frames] is 1 there): what follows a grain's end differs
    with the company it is sampled in.
    """
    frames = asked.shape[-1]
    cut = shape.reshape(*shape.shape[:-2], frames, -1, shape.shape[-1])
    heard = asked[..., None] * jnp.ones_like(cut[..., 0, :])
    power = heard * jnp.square(cut).mean(axis=-2)
    edges = [(0, 0)] * (power.ndim - 2) + [(EVENING + 1, EVENING), (0, 0)]
    running = jnp.cumsum(jnp.pad(power, edges), axis=-2)
    width = 2 * EVENING + 1
    inside = jnp.cumsum(jnp.pad(heard, edges), axis=-2)
    mean, count = (x[..., width:, :] - x[..., :-width, :] for x in (running, inside))
    gain = jax.lax.rsqrt(mean / jnp.maximum(count, 1) + 1e-6)
    gain = jnp.clip(gain, 1 / MOST_GAIN, MOST_GAIN)
    return (cut * gain[..., None, :]).reshape(shape.shape)
