"""The compiled inner loop of sampling on a CPU: frames of steps for a few streams.

One function runs all layers of all steps, so that nothing is launched and everything
stays in the nearest cache: weights pass by once a step, panel by panel, and each panel
is used for every stream while it is in the first-level cache.

All that a stream's samples depend on is computed in an order that does not depend on
how many streams there are: alone or in company, the bits are the same.
"""

from __future__ import annotations

import contextlib
import functools
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from hierarchy.devices import CACHE_VARIABLE
from hierarchy.material.companding import LIMIT
from hierarchy.micro import (
    adaptive,
    adaptive_kernel,
    curves,
    randoms,
    registers,
    tiles,
)
from hierarchy.micro.mixture import NARROWEST
from hierarchy.micro.packing import Packed, aligned
from hierarchy.micro.registers import LANES
from hierarchy.micro.sampling import HIGHEST, LOWEST
from hierarchy.micro.tiles import (
    CLEAR,
    COPY,
    FLOAT32,
    GATE,
    PANEL,
    PLAIN,
    POSITIVE,
    RECTIFY,
    address,
    products,
)


class Work(NamedTuple):
    """What some streams carry from step to step, and room to compute in.

    Attributes:
        pasts: float32, each layer's [dilation, streams, past_row], one behind the other.
        trunk: residual and skip, float32 [streams, row]; so the others.
        gated, rectified, hidden, last, straight, context, gates: of one step or frame.
        noise: float32 [streams, steps_per_frame, uniforms, band_row].
        room: float32 [3, columns].
        lags, taps: of adaptive prediction, float32 [streams, adaptive + 1 or adaptive,
            bands]; foreseen and trust: [streams, 2 * bands] and [streams, band_row].
        fitting: float32 [2 * adaptive + 3, bands], room to fit taps in.
    """

    pasts: np.ndarray
    trunk: np.ndarray
    gated: np.ndarray
    rectified: np.ndarray
    hidden: np.ndarray
    last: np.ndarray
    straight: np.ndarray
    context: np.ndarray
    gates: np.ndarray
    noise: np.ndarray
    room: np.ndarray
    lags: np.ndarray
    taps: np.ndarray
    foreseen: np.ndarray
    trust: np.ndarray
    fitting: np.ndarray

    @classmethod
    def silence(cls, packed: Packed, streams: int) -> Work:
        """Before the first step."""
        size = packed.sizes
        noise = [streams, size.steps_per_frame, size.uniforms, size.band_row]
        return cls(
            pasts=aligned(int(packed.dilations.sum()) * streams * size.past_row),
            trunk=aligned([streams, size.trunk_row]),
            gated=aligned([streams, size.gate_row]),
            rectified=aligned([streams, size.trunk_row]),
            hidden=aligned([streams, size.head_row]),
            last=aligned([streams, size.last_row]),
            straight=aligned([streams, size.band_row]),
            context=aligned([streams, size.context_row]),
            gates=aligned([streams, size.gates_row]),
            noise=aligned(noise),
            room=aligned([3, max(size.last_row, size.band_row)]),
            lags=aligned([streams, size.adaptive + 1, size.bands]),
            taps=aligned([streams, size.adaptive, size.bands]),
            foreseen=aligned([streams, 2 * size.bands]),
            trust=aligned([streams, size.band_row]),
            fitting=aligned([2 * size.adaptive + 3, size.bands]),
        )


def _compiled(function):
    """Numba's compiler, and its cache where there is a folder for it."""
    if os.environ.get(CACHE_VARIABLE) != "":
        # No folder can be written: compiled anew in every process.
        with contextlib.suppress(RuntimeError):
            return njit(nogil=True, cache=True)(function)
    return njit(nogil=True)(function)


def _made_of() -> int:
    """A number that changes with all that Numba's cache does not know of."""
    parts = (registers, curves, randoms, tiles, adaptive, adaptive_kernel)
    source = b"".join(Path(part.__file__).read_bytes() for part in parts)
    constants = (LIMIT, NARROWEST, LOWEST, HIGHEST, LANES)
    return zlib.crc32(source + repr(constants).encode()) | 1


@functools.cache
def kernel(rows: int, form: int):
    """The loop for streams in tiles of `rows`, and weights held as `form`.

    Compiled on the first call; kept on disk beside what XLA compiles, see `devices`.
    """
    made_of = _made_of()

    @_compiled
    def run(net, work, sketch, frames, styles, keys, out, first, count, temperature):
        """Some frames more.

        Args:
            net, work: a `Packed` and a `Work`, which is written to.
            sketch: float32 [streams, 1 + steps + 1, bands].
            frames: float32 [streams, 1 + frames + 1, wide].
            styles: float32 [streams, context_row], rows of `net.styles`.
            keys: uint32 [streams, 2].
            out: float32 [streams, before + steps, bands], written to.
            first, count: which frames.
            temperature: see `sampling.sample`.
        """
        if made_of == 0:
            return  # never: named here, it is part of what the cache goes by
        size = net.sizes
        bands, residual, skip = size.bands, size.residual, size.skip
        linear, mixtures, classes = size.linear, size.mixtures, size.classes
        before, adapts = size.before, size.adaptive > 0
        frame_steps = size.steps_per_frame
        trunk_row, gate_row, head_row = size.trunk_row, size.gate_row, size.head_row
        context_row, last_row = size.context_row, size.last_row
        band_row, gates_row, past_row = size.band_row, size.gates_row, size.past_row
        streams = len(keys)
        layers = len(net.dilations)
        stored = 4 if form == 0 else 2 if form == 1 else 1

        steps_, scales = address(net.steps), address(net.scales)
        front = address(net.frames)
        trunk, gated = address(work.trunk), address(work.gated)
        rectified, hidden = address(work.rectified), address(work.hidden)
        last, straight = address(work.last), address(work.straight)
        seen, gates = address(work.context), address(work.gates)
        out_ = address(out)
        sketch_row, frames_row, out_row = (
            sketch.shape[1] * bands,
            frames.shape[1] * size.wide,
            out.shape[1] * bands,
        )
        enter_panels = -(-residual // PANEL)

        for frame in range(first, first + count):
            # What is asked of this frame: the frame before, itself, the one after.
            products(
                PLAIN, rows, FLOAT32, streams, context_row // PANEL,
                address(frames) + 4 * frame * size.wide, frames_row, 3 * size.wide, 0, 0, 0,
                front + 4 * net.frame_at[0], address(styles), context_row, 0,
                seen, context_row,
            )  # fmt: skip
            curves.gelu(seen, streams * context_row)
            products(
                PLAIN, rows, FLOAT32, streams, gates_row // PANEL,
                seen, context_row, size.context, 0, 0, 0,
                front + 4 * net.frame_at[1], address(net.gates_bias), 0, 0,
                gates, gates_row,
            )  # fmt: skip
            draw_noise(work.noise, keys, frame, bands)
            if classes == 0:
                for stream in range(streams):
                    for step in range(frame_steps):
                        at = address(work.noise[stream, step])
                        curves.gumbel(at, mixtures * band_row)
                        curves.logistic(at + 4 * mixtures * band_row, band_row)

            if adapts:
                for stream in range(streams):
                    if frame > 0:
                        adaptive_kernel.remember(
                            out[stream],
                            before + (frame - 1) * frame_steps,
                            frame_steps,
                            net.each,
                            work.lags[stream],
                        )
                    adaptive_kernel.fit(
                        work.lags[stream],
                        net.each,
                        work.fitting,
                        work.taps[stream],
                        work.foreseen[stream],
                    )

            for step in range(frame_steps):
                now = frame * frame_steps + step
                heard = out_ + 4 * (now + before - 1) * bands
                drawn = address(sketch) + 4 * now * bands
                products(
                    PLAIN, rows, FLOAT32, streams, enter_panels,
                    heard, out_row, bands, drawn, sketch_row, 3 * bands,
                    front + 4 * net.frame_at[2], address(net.nothing), 0, 0,
                    trunk, trunk_row,
                )  # fmt: skip
                tiles.move(
                    CLEAR, streams, trunk_row - enter_panels * PANEL, trunk, 0,
                    trunk + 4 * enter_panels * PANEL, trunk_row,
                )  # fmt: skip
                if adapts:
                    for stream in range(streams):
                        adaptive_kernel.foresee(
                            out[stream],
                            now + before,
                            work.taps[stream],
                            work.foreseen[stream],
                        )
                    products(
                        PLAIN, rows, FLOAT32, streams, enter_panels,
                        address(work.foreseen), 2 * bands, 2 * bands, 0, 0, 0,
                        front + 4 * net.frame_at[4], trunk, trunk_row, 0,
                        trunk, trunk_row,
                    )  # fmt: skip
                if classes == 0:
                    recent = now + before - linear
                    products(
                        PLAIN, rows, FLOAT32, streams, band_row // PANEL,
                        out_ + 4 * recent * bands, out_row, linear * bands,
                        drawn, sketch_row, 3 * bands,
                        front + 4 * net.frame_at[3], address(net.nothing), 0, 0,
                        straight, band_row,
                    )  # fmt: skip
                past = 0
                for layer in range(layers):
                    dilation = net.dilations[layer]
                    slot = past + (now % dilation) * streams * past_row
                    products(
                        GATE, rows, form, streams, gate_row // LANES,
                        address(work.pasts) + 4 * slot, past_row, residual,
                        trunk, trunk_row, residual,
                        steps_ + stored * net.step_at[2 * layer],
                        gates + 8 * layer * gate_row, gates_row,
                        scales + 4 * net.scale_at[2 * layer],
                        gated, gate_row,
                    )  # fmt: skip
                    if layer + 1 < layers:
                        following = past + dilation * streams * past_row
                        slots = net.dilations[layer + 1]
                        following += (now % slots) * streams * past_row
                        tiles.fetch(
                            address(work.pasts) + 4 * following, 4 * streams * past_row
                        )
                    tiles.move(
                        COPY, streams, residual, trunk, trunk_row,
                        address(work.pasts) + 4 * slot, past_row,
                    )  # fmt: skip
                    products(
                        PLAIN, rows, form, streams, trunk_row // PANEL,
                        gated, gate_row, size.gate, 0, 0, 0,
                        steps_ + stored * net.step_at[2 * layer + 1],
                        trunk, trunk_row,
                        scales + 4 * net.scale_at[2 * layer + 1],
                        trunk, trunk_row,
                    )  # fmt: skip
                    past += dilation * streams * past_row
                tiles.move(
                    POSITIVE, streams, skip, trunk + 4 * residual, trunk_row,
                    rectified, trunk_row,
                )  # fmt: skip
                products(
                    RECTIFY, rows, form, streams, head_row // PANEL,
                    rectified, trunk_row, skip, 0, 0, 0,
                    steps_ + stored * net.step_at[2 * layers],
                    address(net.head_bias), 0,
                    scales + 4 * net.scale_at[2 * layers],
                    hidden, head_row,
                )  # fmt: skip
                products(
                    PLAIN, rows, form, streams, last_row // PANEL,
                    hidden, head_row, size.head, 0, 0, 0,
                    steps_ + stored * net.step_at[2 * layers + 1],
                    address(net.last_bias), 0,
                    scales + 4 * net.scale_at[2 * layers + 1],
                    last, last_row,
                )  # fmt: skip
                if adapts:
                    products(
                        PLAIN, rows, FLOAT32, streams, band_row // PANEL,
                        hidden, head_row, size.head, 0, 0, 0,
                        front + 4 * net.frame_at[5], address(net.trust_bias), 0, 0,
                        address(work.trust), band_row,
                    )  # fmt: skip
                    for stream in range(streams):
                        for band in range(bands):
                            work.straight[stream, band] += (
                                work.trust[stream, band] * work.foreseen[stream, band]
                            )
                for stream in range(streams):
                    if classes:
                        draw_classes(
                            work.last[stream],
                            work.noise[stream, step, 0],
                            net.values,
                            work.room,
                            np.float32(temperature),
                            out[stream, now + before],
                        )
                    else:
                        draw_logistics(
                            work.last[stream],
                            work.straight[stream],
                            work.noise[stream, step],
                            work.room,
                            np.float32(temperature),
                            out[stream, now + before],
                        )

    return run


@njit
def draw_noise(noise, keys, frame, bands):
    """Uniform numbers of a frame, as jax.random.uniform draws them.

    What `sampling.uniforms` gives as [steps, bands, uniforms] comes as [streams,
    steps, uniforms, band_row].
    """
    streams, steps, uniforms, row = noise.shape
    low, high = np.float32(LOWEST), np.float32(HIGHEST)
    for stream in range(streams):
        key0, key1 = randoms.fold_in(keys[stream, 0], keys[stream, 1], np.uint32(frame))
        line = address(noise) + 4 * stream * steps * uniforms * row
        for step in range(steps):
            for which in range(uniforms):
                first = step * bands * uniforms + which
                randoms.uniform(key0, key1, first, uniforms, bands, line, low, high)
                line += 4 * row


@njit
def draw_logistics(parameters, straight, noise, room, temperature, out):
    """One step of one stream; see `Logistics.draw`.

    Args:
        parameters: float32 [3 * mixtures * lanes of bands, ...]: weights, means, scales.
        straight: float32 [band_row], added to the means.
        noise: float32 [mixtures + 1, band_row]: Gumbel, the last logistic.
        room: float32 [3, columns].
        temperature: of the chosen component.
        out: float32 [bands], written to.
    """
    bands, mixtures = len(out), len(noise) - 1
    row = -(-bands // LANES) * LANES
    mean, scale, best = room[0], room[1], room[2]
    for band in range(bands):
        best[band] = parameters[band] + noise[0, band]
        mean[band] = parameters[mixtures * row + band]
        scale[band] = parameters[2 * mixtures * row + band]
    for which in range(1, mixtures):
        for band in range(bands):
            value = parameters[which * row + band] + noise[which, band]
            wins = value > best[band]
            best[band] = value if wins else best[band]
            other = parameters[(mixtures + which) * row + band]
            mean[band] = other if wins else mean[band]
            other = parameters[(2 * mixtures + which) * row + band]
            scale[band] = other if wins else scale[band]
    for band in range(bands):
        scale[band] = max(scale[band], np.float32(NARROWEST))
    curves.exp(address(scale), bands)
    for band in range(bands):
        value = mean[band] + straight[band]
        value += temperature * scale[band] * noise[mixtures, band]
        out[band] = min(max(value, np.float32(-LIMIT)), np.float32(LIMIT))


@njit
def draw_classes(parameters, uniform, values, room, temperature, out):
    """One step of one stream; see `Classes.draw`.

    Args:
        parameters: float32 [bands * lanes of classes, ...], logits.
        uniform: float32 [band_row].
        values: float32 [classes].
        room: float32 [3, columns].
        temperature: divides the logits.
        out: float32 [bands], written to.
    """
    row = -(-len(values) // LANES) * LANES
    weight, most, sums = room[0], room[1], room[2]
    scale = np.float32(1) / max(temperature, np.float32(1e-3))
    for band in range(len(out)):
        logits = parameters[band * row : (band + 1) * row]
        for lane in range(LANES):
            most[lane] = logits[lane]
        for begin in range(LANES, row, LANES):
            for lane in range(LANES):
                most[lane] = max(most[lane], logits[begin + lane])
        peak = most[0]
        for lane in range(1, LANES):
            peak = max(peak, most[lane])
        for i in range(row):
            weight[i] = (logits[i] - peak) * scale
        curves.exp(address(weight), row)
        # Whole registers first, so that one long chain of sums becomes two short ones.
        total = np.float32(0)
        for block in range(row // LANES):
            part = np.float32(0)
            for lane in range(LANES):
                part += weight[block * LANES + lane]
            sums[block] = part
            total += part
        wanted = uniform[band] * total
        upto, block = np.float32(0), 0
        while block < row // LANES - 1 and upto + sums[block] <= wanted:
            upto += sums[block]
            block += 1
        chosen = block * LANES
        upto += weight[chosen]
        while upto <= wanted and chosen < (block + 1) * LANES - 1:
            chosen += 1
            upto += weight[chosen]
        out[band] = values[min(chosen, len(values) - 1)]
