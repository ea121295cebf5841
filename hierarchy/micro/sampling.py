"""The cached sampler: many grains side by side, block by block, state in, state out.

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
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from hierarchy.micro import mixture
from hierarchy.micro.wavenet import WaveNet, gated, neighbours

BLOCK = 4
CHUNK = 16  # frames sampled between two reports of progress


class SamplerState(NamedTuple):
    """What the next steps need to know of the steps before them."""

    shape: jax.Array  # [linear, batch, bands], the latest last
    pasts: tuple[jax.Array, ...]  # one [dilation, batch, residual] a layer
    frame: jax.Array  # int32 [], frames sampled so far

    @classmethod
    def silence(cls, model: WaveNet, batch: int) -> SamplerState:
        """Before the first step."""
        config = model.config
        return cls(
            jnp.zeros([config.linear, batch, config.bands]),
            tuple(jnp.zeros([d, batch, config.residual]) for d in config.dilations),
            jnp.int32(0),
        )


def sample(
    model: WaveNet,
    sketch: jax.Array,
    frames: jax.Array,
    style: jax.Array,
    keys: jax.Array,
    *,
    temperature: float = 1.0,
    block: int = BLOCK,
    progress: Callable[[int, int], None] | None = None,
) -> jax.Array:
    """Draw the shape of a batch of grains from silence on.

    Args:
        model: the trained network.
        sketch: float [batch, steps, bands] as shape, zeros where none is given.
        frames: float [batch, steps // steps_per_frame, features].
        style: int32 [batch], -1 for none.
        keys: jax.random keys [batch], one a grain.
        temperature: spread of the noise; 1 is what was learnt, less is cleaner.
        block: steps unrolled; a divisor of steps_per_frame. Changes speed alone.
        progress: called with (frames done, frames in all).

    Returns:
        float32 [batch, steps, bands].
    """
    if model.config.steps_per_frame % block:
        raise ValueError(
            f"blocks of {block} do not divide a frame of {model.config.steps_per_frame}"
        )
    graph, weights = nnx.split(model)
    drawn, seen = _enter(graph, weights, sketch, frames, style)
    state = SamplerState.silence(model, len(style))
    parts, count = [], frames.shape[1]
    for first in range(0, count, CHUNK):
        here = slice(first, first + CHUNK)
        part, state = step(
            graph, block, weights, state, drawn[here], seen[here], keys, temperature
        )
        parts.append(part)
        if progress:
            part.block_until_ready()
            progress(min(first + CHUNK, count), count)
    return jnp.concatenate(parts, axis=1)


@functools.partial(jax.jit, static_argnums=0)
def _enter(graph, weights, sketch, frames, style):
    """Request to sketch [frames, steps, batch, ...] and context [frames, batch, ...]."""
    model = nnx.merge(graph, weights)
    drawn = _by_time(neighbours(sketch))
    drawn = drawn.reshape(frames.shape[1], -1, *drawn.shape[1:])
    return drawn, _by_time(model.look(frames, style))


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(graph, block, weights, state, drawn, seen, keys, temperature):
    """Some frames more: state in, state out.

    Args:
        graph, weights: of the model, as nnx.split gives them.
        block: steps unrolled.
        state: after the frames before.
        drawn: float [frames, steps_per_frame, batch, 3 * bands], sketch and neighbours.
        seen: float [frames, batch, context], what `WaveNet.look` gave.
        keys: [batch].
        temperature: see `sample`.

    Returns:
        float32 [batch, steps, bands] and the state after them.
    """
    model = nnx.merge(graph, weights)
    config = model.config

    def one_frame(state, xs):
        drawn, seen = xs
        gates = model.open_gates(seen).transpose(1, 0, 2)
        gumbel, logistic = _noise(keys, state.frame, config)
        straight = drawn @ model.linear_sketch[...]
        entering = drawn @ model.enter_sketch[...]
        cut = jax.tree.map(
            lambda rows: rows.reshape(-1, block, *rows.shape[1:]),
            (straight, entering, gumbel, logistic),
        )
        body = functools.partial(_one_block, model, gates, temperature)
        (shape, pasts), out = jax.lax.scan(body, (state.shape, state.pasts), cut)
        state = SamplerState(shape, pasts, state.frame + 1)
        return state, out.reshape(-1, *out.shape[2:])

    state, out = jax.lax.scan(one_frame, state, (drawn, seen))
    return _by_time(out.reshape(-1, *out.shape[2:])), state


def _by_time(x: jax.Array) -> jax.Array:
    """[batch, time, features] to [time, batch, features], or back."""
    return x.transpose(1, 0, 2)


def _noise(keys, frame, config):
    """Gumbel [steps, batch, bands, mixtures] and logistic [steps, batch, bands] noise."""

    def of_one(key):
        uniform = jax.random.uniform(
            jax.random.fold_in(key, frame),
            (config.steps_per_frame, config.bands, config.mixtures + 1),
            minval=1e-6,
            maxval=1 - 1e-6,
        )
        first, last = uniform[..., :-1], uniform[..., -1]
        return -jnp.log(-jnp.log(first)), jnp.log(last) - jnp.log1p(-last)

    return jax.vmap(of_one, out_axes=1)(keys)


def _one_block(model, gates, temperature, carry, xs):
    shape, pasts = carry
    straight, entering, gumbel, logistic = xs
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
        parameters = model.finish(skip, linear)
        heard.append(
            mixture.sample(parameters, gumbel[step], logistic[step], temperature)
        )
    pasts = tuple(
        jnp.concatenate([past, jnp.stack(new)])[-len(past) :]
        for past, new in zip(pasts, fresh, strict=True)
    )
    new = jnp.stack(heard[len(shape) :])
    return (jnp.concatenate([shape, new])[-len(shape) :], pasts), new
