"""The cached sampler: many grains side by side, block by block, state in, state out.

This is the one in plain JAX, which runs on every device and says what is right. On a
CPU a compiled kernel draws the same samples many times faster, see `compiled`; GPUs
have another, see `fused`.

A ring buffer that a loop both reads and writes is copied whole at every step by XLA.
So time is cut into short blocks whose steps are unrolled. A layer whose dilation is at
least a block long finds all of its past in what came before the block, and takes it
through one matrix product; a shorter one finds it among the values just computed.
No buffer is updated inside a block.

The noise of a step depends on its grain's key and its place in the grain alone, so that
neither the block length nor the company in the batch changes what is drawn.

Source: Le Paine et al., "Fast WaveNet generation algorithm", arXiv:1611.09482.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hierarchy.micro.adaptive import SMALLER
from hierarchy.micro.wavenet import WaveNet, gated, neighbours

ENGINES = ("compiled", "jax", "fused")
BLOCK = 4
WIDTHS = {"cpu": 16}  # streams that a device samples at once
WIDEST = 256  # the same of a GPU or TPU, which idles with fewer
LOWEST, HIGHEST = 1e-6, 1 - 1e-6  # of the uniform numbers that decide a draw
CHUNK = 16  # frames of one program, and between two reports of progress


class SamplerState(NamedTuple):
    """What the next steps need to know of the steps before them."""

    shape: jax.Array  # [heard, batch, bands], the latest last
    pasts: tuple[jax.Array, ...]  # one [dilation, batch, residual] a layer
    frame: jax.Array  # int32 [], frames sampled so far
    lags: jax.Array | None = None  # what adaptive taps are fitted to, see `Memory`

    @classmethod
    def silence(cls, model: WaveNet, batch: int) -> SamplerState:
        """Before the first step."""
        config, memory = model.config, model.config.remembered
        return cls(
            jnp.zeros([config.heard, batch, config.bands]),
            tuple(jnp.zeros([d, batch, config.residual]) for d in config.dilations),
            jnp.int32(0),
            memory.none(batch, config.bands) if memory else None,
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
    engine: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    block: int = BLOCK,
    tile: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw the shape of a batch of grains from silence on.

    The samples of a grain do not depend on the others, nor on how many there are, to
    the bit. All engines draw the same samples, to float rounding.

    Args:
        model: the trained network.
        sketch: float [batch, steps, bands] as shape, zeros where none is given.
        frames: float [batch, steps // steps_per_frame, features].
        style: int32 [batch], -1 for none.
        keys: jax.random keys [batch], one a grain.
        temperature: spread of the noise; 1 is what was learnt, less is cleaner.
        lengths: frames of each grain, those of `frames` if None. What a grain is asked
            after its end is heard, by its last frame, but not sampled.
        engine: "compiled", a kernel for CPUs; "jax", which runs on all devices; or
            "fused", a kernel for NVIDIA GPUs; one of the first two, by the device, if
            None.
        precision: "float32", or how the compiled engine holds weights instead:
            "float16" or "int8", faster for one stream and a little less exact; or how
            the fused engine multiplies, "tensorfloat32" or "bfloat16".
        threads: of the compiled engine; as many as there are cores if None.
        block: steps that the JAX engine unrolls; a divisor of steps_per_frame.
            Changes speed alone.
        tile: streams that share a multiprocessor in the fused engine, see there.
        progress: called with (frames done, frames in all).

    Returns:
        float32 [batch, steps, bands], zero where a grain has ended.

    Raises:
        ValueError: for an engine, a precision, a block or a tile that there is not, or
            an engine that this device cannot run.
    """
    engine = default_engine() if engine is None else engine
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r}; there are {', '.join(ENGINES)}")
    if engine == "compiled":
        # Numba takes its time to import, and GPUs have no need of it.
        from hierarchy.micro import compiled

        return compiled.sample(
            model,
            sketch,
            frames,
            style,
            keys,
            temperature=temperature,
            lengths=lengths,
            precision=precision,
            threads=threads,
            progress=progress,
        )
    if engine == "fused":
        # Nor have CPUs of what makes kernels for GPUs, which later JAX may lack.
        try:
            from hierarchy.micro import fused
        except ImportError as error:
            raise ValueError(
                "the fused engine needs JAX's Pallas for Triton, which this JAX"
                " does not have: take 'jax'"
            ) from error
        return fused.sample(
            model,
            sketch,
            frames,
            style,
            keys,
            temperature=temperature,
            lengths=lengths,
            precision=precision,
            tile=tile,
            progress=progress,
        )
    if precision != "float32":
        raise ValueError(f"the JAX engine has float32 weights, not {precision}")
    per_frame = model.config.steps_per_frame
    if per_frame % block:
        raise ValueError(f"blocks of {block} do not divide a frame of {per_frame}")
    graph, weights = nnx.split(model)
    frames = np.asarray(frames, np.float32)
    batch, count, _ = frames.shape
    lengths = np.full(batch, count) if lengths is None else np.asarray(lengths)
    out = np.zeros(np.shape(sketch), np.float32)
    # The longest first, so that a batch has little to wait for.
    order = np.argsort(-lengths, kind="stable")
    width = WIDTHS.get(jax.default_backend(), WIDEST) * jax.local_device_count()
    done, total = 0, int(lengths.sum())
    for first in range(0, batch, width):
        group = order[first : first + width]
        # Always as many streams and as many frames: another shape is another program,
        # which may add up in another order. Copies that nobody hears fill it up.
        tile = np.concatenate([group, np.repeat(group[:1], width - len(group))])
        longest = -(-int(lengths[group].max()) // CHUNK) * CHUNK
        beyond = [(0, 0), (1, 1 + max(0, longest - count)), (0, 0)]
        asked = np.pad(frames[tile], beyond, mode="edge")
        beyond[1] = (1, 1 + max(0, longest - count) * per_frame)
        drawn = np.pad(np.asarray(sketch, np.float32)[tile], beyond)
        whose, seeds = spread((np.asarray(style, np.int32)[tile], keys[tile]))
        state = spread(SamplerState.silence(model, width), axis=1)
        for start in range(0, longest, CHUNK):
            steps = start * per_frame, (start + CHUNK) * per_frame
            part, state = step(
                graph,
                block,
                weights,
                state,
                spread(drawn[:, steps[0] : steps[1] + 2]),
                spread(asked[:, start : start + CHUNK + 2]),
                whose,
                seeds,
                temperature,
            )
            part = np.asarray(part)
            for row, stream in enumerate(group):
                end = min(steps[1], int(lengths[stream]) * per_frame)
                if end > steps[0]:
                    out[stream, steps[0] : end] = part[row, : end - steps[0]]
            done += int(np.clip(lengths[group] - start, 0, CHUNK).sum())
            if progress and total:
                progress(done * count // total, count)
    return out


def default_engine() -> str:
    """What samples fastest on this device."""
    return "compiled" if jax.default_backend() == "cpu" else "jax"


def spread(tree, *, axis: int = 0):
    """Share an axis of every array among all local devices; scalars go to each."""
    mesh = Mesh(np.array(jax.local_devices()), ("grains",))

    def place(x):
        parts = [None] * axis + ["grains"] if np.ndim(x) else []
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*parts)))

    return jax.tree.map(place, tree)


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(graph, block, weights, state, sketch, frames, style, keys, temperature):
    """Some frames more: state in, state out.

    Args:
        graph, weights: of the model, as nnx.split gives them.
        block: steps unrolled.
        state: after the frames before.
        sketch: float [batch, 1 + steps + 1, bands], with a step on either side.
        frames: float [batch, 1 + frames + 1, features], with a frame on either side.
        style: int32 [batch].
        keys: [batch].
        temperature: see `sample`.

    Returns:
        float32 [batch, steps, bands] and the state after them.
    """
    model = nnx.merge(graph, weights)
    config = model.config
    seen = _by_time(model.look(frames, style)[:, 1:-1])
    drawn = _by_time(neighbours(sketch)[:, 1:-1])
    drawn = drawn.reshape(len(seen), -1, *drawn.shape[1:])

    def one_frame(state, xs):
        drawn, seen = xs
        gates = model.open_gates(seen).transpose(1, 0, 2)
        chance = uniforms(keys, state.frame, config)
        straight = drawn @ model.linear_sketch[...]
        entering = drawn @ model.enter_sketch[...]
        cut = jax.tree.map(
            lambda rows: rows.reshape(-1, block, *rows.shape[1:]),
            (straight, entering, chance),
        )
        memory, lags = config.remembered, state.lags
        taps = memory.fitted(lags) if memory else None
        body = functools.partial(_one_block, model, gates, taps, temperature)
        (shape, pasts), out = jax.lax.scan(body, (state.shape, state.pasts), cut)
        out = out.reshape(-1, *out.shape[2:])
        if memory:
            before = state.shape[len(state.shape) - memory.order :]
            more = memory.sums(jnp.concatenate([before, out]))
            lags = memory.after(lags, more[:, 0])
        return SamplerState(shape, pasts, state.frame + 1, lags), out

    state, out = jax.lax.scan(one_frame, state, (drawn, seen))
    return _by_time(out.reshape(-1, *out.shape[2:])), state


def _by_time(x: jax.Array) -> jax.Array:
    """[batch, time, features] to [time, batch, features], or back."""
    return x.transpose(1, 0, 2)


def uniforms(keys, frame, config):
    """The numbers that decide a frame's draws: [steps, batch, bands, uniforms]."""

    def of_one(key):
        return jax.random.uniform(
            jax.random.fold_in(key, frame),
            (config.steps_per_frame, config.bands, config.likelihood.uniforms),
            minval=LOWEST,
            maxval=HIGHEST,
        )

    return jax.vmap(of_one, out_axes=1)(keys)


def _one_block(model, gates, fitted, temperature, carry, xs):
    shape, pasts = carry
    straight, entering, chance = xs
    config, block = model.config, len(straight)
    ready = [
        past[:block] @ layer.past[...] if len(past) >= block else None
        for past, layer in zip(pasts, model.layers, strict=True)
    ]
    rows = [
        list(past) if r is None else [] for past, r in zip(pasts, ready, strict=True)
    ]
    fresh = [[] for _ in pasts]
    heard = list(shape)
    for step in range(block):
        recent = jnp.concatenate(heard[-config.linear :], axis=-1)
        linear = recent @ model.linear[...] + straight[step]
        h = heard[-1] @ model.enter[...] + entering[step]
        foreseen = None
        if fitted:
            taps, error = fitted
            foreseen = sum(tap * heard[-1 - lag] for lag, tap in enumerate(taps))
            both = jnp.concatenate([foreseen, SMALLER * error], axis=-1)
            h = h + both @ model.enter_foreseen[...]
        skip = jnp.zeros([h.shape[0], config.skip])
        for index, layer in enumerate(model.layers):
            if ready[index] is None:
                rows[index].append(h)
                z = rows[index][step] @ layer.past[...] + h @ layer.now[...]
            else:
                z = ready[index][step] + h @ layer.now[...]
            fresh[index].append(h)
            out = gated(z + gates[index]) @ layer.out[...]
            h = h + out[:, : config.residual]
            skip = skip + out[:, config.residual :]
        parameters = model.finish(skip, linear, foreseen)
        heard.append(config.likelihood.draw(parameters, chance[step], temperature))
    pasts = tuple(
        jnp.concatenate([past, jnp.stack(new)])[-len(past) :]
        for past, new in zip(pasts, fresh, strict=True)
    )
    new = jnp.stack(heard[len(shape) :])
    return (jnp.concatenate([shape, new])[-len(shape) :], pasts), new
