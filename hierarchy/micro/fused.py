"""The sampler for GPUs: one kernel runs all layers of all steps of some frames.

XLA starts some hundred operations a step, each of which waits for the one before; here
one is started for a chunk of frames. What does not depend on the samples, gates, the
sketch's share and noise, is computed before it by XLA as `sampling.step` does, from
the same keys: both draw the same samples, to float rounding.

Streams are cut into tiles, each of which a multiprocessor samples by itself, as far as
its longest stream goes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from hierarchy.micro import sampling
from hierarchy.micro.fused_kernel import SHARED, Chunk, Program, run
from hierarchy.micro.fused_packing import Sizes, filled_last, pack
from hierarchy.micro.wavenet import WaveNet, neighbours

TILE = 16  # streams of one program: the least that tensor cores multiply
WIDTH = 2048  # streams that a GPU samples at once: a tile for most multiprocessors
STEPS = 512  # of one launch, and between two reports of progress


class FusedState(NamedTuple):
    """What the next steps need to know of the steps before them.

    Attributes:
        rings: [rows, streams, residual], each layer's past; see `fused_kernel`.
        heard: float32 [streams, window], the latest values last.
        frame: int32 [], frames sampled so far.
    """

    rings: jax.Array
    heard: jax.Array
    frame: jax.Array

    @classmethod
    def silence(cls, program: Program, streams: int) -> FusedState:
        """Before the first step."""
        sizes = program.sizes
        return cls(
            jnp.zeros([sizes.rows, streams, sizes.residual], program.held),
            jnp.zeros([streams, sizes.window]),
            jnp.int32(0),
        )


def sample(
    model: WaveNet,
    sketch: np.ndarray,
    frames: np.ndarray,
    style: np.ndarray,
    keys: jax.Array,
    *,
    temperature: float = 1.0,
    lengths: Sequence[int] | None = None,
    precision: str = "float32",
    tile: int | None = None,
    interpret: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw the shape of some grains; see `sampling.sample`.

    Args:
        model, sketch, frames, style, keys, temperature, lengths, progress: as there.
        precision: of the products of layers: "float32", made of three products of
            tensor cores; "tensorfloat32", one, of 10 bits of mantissa; or "bfloat16",
            of 7, with weights and pasts held so.
        tile: streams that share a multiprocessor, 16, 32, or with bfloat16 64; `TILE`
            if None. More are faster where there are thousands, and may change last
            bits.
        interpret: let XLA run the kernel where there is no GPU: for tests, and slow.

    Returns:
        float32 [batch, steps, bands], zero where a grain has ended.

    Raises:
        ValueError: on devices that cannot run it, for models whose taps adapt, and for
            tiles and precisions that there are not.
    """
    if model.config.adaptive:
        raise ValueError("the fused engine knows no adaptive taps: take 'jax'")
    room = 99 if interpret else shared_kilobytes(jax.local_devices()[0])
    program = Program(Sizes.of(model.config), tile or TILE, precision, room, interpret)
    graph, weights = nnx.split(model)
    per_frame = model.config.steps_per_frame
    frames, sketch = np.asarray(frames, np.float32), np.asarray(sketch, np.float32)
    batch, count, _ = frames.shape
    lengths = np.full(batch, count) if lengths is None else np.asarray(lengths)
    out = np.zeros(sketch.shape, np.float32)
    mesh = Mesh(np.array(jax.local_devices()), ("grains",))
    packed = pack(model, precision)
    # The longest first, so that a tile has little to wait for.
    order = np.argsort(-lengths, kind="stable")
    # Always as many streams: another shape is another program, which may add up in
    # another order. Tiles of copies that nobody hears are not sampled.
    width = max(program.tile, 0 if interpret else WIDTH) * mesh.size
    # Devices take tiles in turns.
    places = np.arange(width).reshape(-1, mesh.size, program.tile).swapaxes(0, 1)
    places = places.ravel()
    chunk, done = max(1, STEPS // per_frame), 0

    def hear(part, start, whose, asked):
        """Copy what was sampled of some frames, and say how many."""
        part = np.asarray(part)
        for row in np.flatnonzero(asked > start):
            here = slice(start * per_frame, min(start + chunk, asked[row]) * per_frame)
            out[whose[row], here] = part[row, : here.stop - here.start]
        return int(np.clip(asked - start, 0, chunk).sum())

    for begin in range(0, batch, width):
        group = order[begin : begin + width]
        filled = np.concatenate([group, np.repeat(group[:1], width - len(group))])
        whose = filled[places]
        asked = np.where(places < len(group), lengths[whose], 0)
        state, waiting = FusedState.silence(program, width), []
        for start in range(0, int(asked.max()), chunk):
            part, state = step(
                graph,
                program,
                mesh,
                weights,
                packed,
                state,
                _between(sketch, whose, start * per_frame, (start + chunk) * per_frame),
                _between(frames, whose, start, start + chunk, edge=True),
                np.asarray(style, np.int32)[whose],
                keys[whose],
                temperature,
                np.clip(asked - start, 0, chunk).reshape(-1, program.tile).max(axis=1),
            )
            # The next chunk is under way while the one before is copied.
            waiting.append((part, start, whose, asked))
            if len(waiting) > 1:
                done += hear(*waiting.pop(0))
                if progress:
                    progress(done * count // int(lengths.sum()), count)
        for late in waiting:
            done += hear(*late)
        if progress and done:
            progress(done * count // int(lengths.sum()), count)
    return out


def _between(x, whose, start, stop, *, edge=False):
    """Rows of x [batch, time, features] at start - 1 to stop; outside lie zeros or edges."""
    at = np.arange(start - 1, stop + 1)
    inside = np.clip(at, 0, x.shape[1] - 1)
    part = x[whose][:, inside]
    return part if edge else part * np.float32(at == inside)[:, None]


def shared_kilobytes(device: jax.Device) -> int:
    """Memory that a program's threads may share on a device.

    Raises:
        ValueError: if the device cannot run the kernel.
    """
    if device.platform != "gpu":
        raise ValueError(
            f"the fused engine runs on GPUs, and this is a {device.platform}:"
            " take 'compiled' on CPUs, 'jax' anywhere"
        )
    named = str(getattr(device, "compute_capability", "none"))
    numbers = named.split(".")
    if not all(part.isdigit() for part in numbers) or int(numbers[0]) < 8:
        raise ValueError(
            "the fused engine runs on NVIDIA GPUs from compute capability 8.0 on;"
            f" {device.device_kind} has {named}: take 'jax'"
        )
    return SHARED.get(tuple(map(int, numbers)), 99)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=5)
def step(
    graph,
    program,
    mesh,
    weights,
    packed,
    state,
    sketch,
    frames,
    style,
    keys,
    temperature,
    count,
):
    """Some frames more: state in, state out.

    Args:
        graph, weights: of the model, as nnx.split gives them.
        program: what to compile.
        mesh: of one axis, "grains": devices, each of which takes as many streams.
        packed: see `fused_packing.pack`.
        state: after the frames before; not to be used again.
        sketch: float [streams, 1 + steps + 1, bands], with a step on either side.
        frames: float [streams, 1 + frames + 1, features], with a frame on either side.
        style: int32 [streams].
        keys: [streams].
        temperature: see `sampling.sample`.
        count: int32 [streams / tile], frames that each tile is to sample; those of a
            tile that has sampled fewer than it was given must not go on.

    Returns:
        float32 [streams, steps, bands] and the state after them.
    """
    by_stream, all_of_it = PartitionSpec("grains"), PartitionSpec()
    carried = FusedState(PartitionSpec(None, "grains"), by_stream, all_of_it)
    of_one = jax.shard_map(
        functools.partial(_on_one_device, graph, program),
        mesh=mesh,
        in_specs=(
            all_of_it,
            all_of_it,
            carried,
            *[by_stream] * 4,
            all_of_it,
            by_stream,
        ),
        out_specs=(by_stream, carried),
        check_vma=False,  # the kernel does not say how its results vary
    )
    # GPUs multiply float32 with 10 bits of mantissa unless they are told not to.
    with jax.default_matmul_precision("float32"):
        return of_one(
            weights,
            packed,
            state,
            sketch,
            frames,
            style,
            keys,
            jnp.float32(temperature),
            count,
        )


def _on_one_device(
    graph, program, weights, packed, state, sketch, frames, style, keys, heat, count
):
    model, sizes = nnx.merge(graph, weights), program.sizes
    streams, bands = sketch.shape[0], sizes.bands
    seen = model.look(frames, style)[:, 1:-1]
    gates = model.open_gates(seen)
    gates = gates.reshape(*gates.shape[:3], 2, -1).transpose(1, 2, 3, 0, 4)
    drawn = neighbours(sketch)[:, 1:-1].swapaxes(0, 1)
    steps = len(drawn)
    chance, spread = _noise(model.config, sizes, keys, state.frame, steps)
    chunk = Chunk(
        frames=count,
        first=(state.frame * sizes.steps_per_frame)[None],
        temperature=heat[None],
        gates=filled_last(gates, sizes.gate),
        entering=filled_last(drawn @ model.enter_sketch[...], sizes.residual),
        chance=chance,
        # Classes have no means, and nothing is read of these.
        straight=filled_last(
            drawn[: len(spread)] @ model.linear_sketch[...], sizes.across
        ),
        spread=spread,
    )
    coming = jnp.zeros([streams, steps * bands + sizes.across])
    sound = jnp.concatenate([state.heard, coming], axis=1)
    rings, sound = run(program, packed, chunk, state.rings, sound)
    new = sound[:, sizes.window :][:, : steps * bands].reshape(streams, steps, bands)
    heard = sound[:, steps * bands :][:, : sizes.window]
    return new, FusedState(rings, heard, state.frame + steps // sizes.steps_per_frame)


def _noise(config, sizes, keys, frame, steps):
    """What decides the draws: chance and spread, as `Chunk` wants them."""
    each = frame + jnp.arange(steps // config.steps_per_frame)
    chance = jax.vmap(lambda at: sampling.uniforms(keys, at, config))(each)
    chance = chance.reshape(steps, *chance.shape[2:])  # [steps, streams, bands, noises]
    if config.classes:
        nothing = jnp.zeros([1, chance.shape[1], sizes.across])
        return chance[..., 0].transpose(0, 2, 1), nothing
    gumbel, logistic = config.likelihood.noise(chance)
    gumbel = filled_last(gumbel, sizes.mixtures * sizes.together).transpose(0, 3, 1, 2)
    gumbel = filled_last(gumbel, sizes.across)
    gumbel = gumbel.reshape(steps, sizes.mixtures, sizes.together, *gumbel.shape[2:])
    gumbel = gumbel.swapaxes(2, 3)
    gumbel = gumbel.reshape(*gumbel.shape[:3], sizes.together * sizes.across)
    return gumbel, filled_last(logistic, sizes.across)
