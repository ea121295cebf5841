"""The kernel for GPUs: a tile of streams from step to step, layer to layer, in one launch.

Each program of the grid takes a tile of streams through all steps of a chunk. Weights
come from the cache that all multiprocessors share; what a layer hands to the next
stays in registers; the past of each layer is a ring in global memory.

A ring has one row more than its dilation: the row that a step writes is never the one
that it reads, and one barrier a step keeps all threads of a program in order.

Source: Arik et al., "Deep Voice", arXiv:1702.07825, and NVIDIA's nv-wavenet, which
kept one kernel running for all samples.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from hierarchy.material.companding import LIMIT
from hierarchy.micro import fused_draws
from hierarchy.micro.fused_packing import PIECE, PRECISIONS, Packed, Sizes
from hierarchy.micro.mixture import NARROWEST

PRODUCTS = {
    "float32": lax.DotAlgorithmPreset.TF32_TF32_F32_X3,
    "tensorfloat32": lax.DotAlgorithmPreset.TF32_TF32_F32,
}
"""What tensor cores are told; bfloat16 says itself what it is."""

WARPS = {16: 8, 32: 4, 64: 8}
"""Tiles that there are, and groups of 32 threads that share one: what fits registers."""

SHARED = {(8, 0): 163, (8, 7): 163, (9, 0): 227, (10, 0): 227, (10, 3): 227}
"""Compute capability to kilobytes that a program may share; others have 99."""


@dataclasses.dataclass(frozen=True)
class Program:
    """All that decides which program is compiled, besides how much is asked of it.

    Attributes:
        sizes: of the network.
        tile: streams side by side.
        precision: one of `fused_packing.PRECISIONS`.
        kilobytes: of memory that a program's threads may share, see `SHARED`.
        interpret: by XLA, operation after operation, where there is no GPU.
        warps: groups of 32 threads that share a tile; those of `WARPS` if None.
    """

    sizes: Sizes
    tile: int
    precision: str
    kilobytes: int
    interpret: bool
    warps: int | None = None

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"the fused engine multiplies in {', '.join(PRECISIONS)},"
                f" not {self.precision}"
            )
        if self.tile not in WARPS:
            raise ValueError(
                f"tiles of {', '.join(map(str, WARPS))} streams, got {self.tile}"
            )
        if self.tile > 32 and self.precision != "bfloat16":
            raise ValueError(
                f"tiles of {self.tile} streams have room for bfloat16 alone,"
                f" not {self.precision}"
            )

    @property
    def held(self):
        """Type of weights and pasts."""
        return jnp.bfloat16 if self.precision == "bfloat16" else jnp.float32

    @property
    def stages(self) -> int:
        """Of the loop over layers, which fetches the next layer during this one.

        Rows of the past are found through two numbers that are themselves fetched, so
        that fetching a layer ahead takes five stages; two fetch a layer between this
        and the next, one as it is used.
        """
        sizes, each = self.sizes, jnp.dtype(self.held).itemsize
        weights = 5 * sizes.residual * sizes.gate * each
        rows = self.tile * (sizes.residual * each + 2 * sizes.gate * 4)
        for layers, stages in ((2, 5), (1, 2)):
            needed = layers * (weights + rows) + 1024 * self.tile
            # Two small programs side by side hide as much as one that fetches ahead.
            if needed <= 1024 * self.kilobytes and not (stages > 2 and self.tile > 16):
                return stages
        return 1

    def wait(self) -> None:
        """Until all threads of a tile see what others have written."""
        if not self.interpret:
            triton.debug_barrier()

    def product(self, xs, matrices, *at, exact: bool = False) -> list[jax.Array]:
        """Pieces [streams, inputs] times a matrix, to pieces [streams, outputs].

        Args:
            xs: pieces.
            matrices, at: where it lies in a `Packed`.
            exact: to float32, whatever the precision.
        """
        how = "float32" if exact else self.precision
        if self.interpret and how != "bfloat16":
            chosen = lax.Precision.HIGHEST
        else:
            chosen = PRODUCTS.get(how)
        held = jnp.float32 if exact else self.held

        def one(x, weight):
            return lax.dot_general(
                x.astype(held),
                weight,
                (((1,), (1,)), ((), ())),
                precision=chosen,
                preferred_element_type=jnp.float32,
            )

        xs = list(xs)
        return [
            functools.reduce(
                operator.add,
                [one(x, matrices[(*at, row, column)]) for column, x in enumerate(xs)],
            )
            for row in range(matrices.shape[-4])
        ]


class Chunk(NamedTuple):
    """What is asked of some frames; widths as in `fused_packing.Sizes`.

    Attributes:
        frames: int32 [tiles], how many of them each tile of streams is to sample.
        first: int32 [1], steps sampled before.
        temperature: float32 [1].
        gates: float32 [frames, layers, 2, streams, gate], to tanh and to sigmoid.
        entering: float32 [steps, streams, residual], the sketch's share.
        chance: float32 [steps, mixtures, streams, together * across], Gumbel noise; or
            [steps, bands, streams], uniform, for classes.
        straight: float32 [steps, streams, across], the sketch's share of the means;
            one step where there are classes; so the next.
        spread: float32 [steps, streams, across], logistic noise.
    """

    frames: jax.Array
    first: jax.Array
    temperature: jax.Array
    gates: jax.Array
    entering: jax.Array
    chance: jax.Array
    straight: jax.Array
    spread: jax.Array


def run(
    program: Program, packed: Packed, chunk: Chunk, rings: jax.Array, sound: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sample some frames.

    Args:
        program: what to compile.
        packed: weights.
        chunk: what is asked.
        rings: [rows, streams, residual] as the program holds it, updated in place.
        sound: float32 [streams, window + steps * bands + across], of which a window is
            known; updated in place.

    Returns:
        Rings and sound.
    """
    tile, sizes, streams = program.tile, program.sizes, rings.shape[1]
    # What all layers of a step give to the skips, until it is added up.
    inside = jax.ShapeDtypeStruct([sizes.layers, streams, sizes.gate], rings.dtype)

    def share(x, axis):
        """A tile of the streams, which lie along an axis; all of every other axis."""
        block = tuple(tile if at == axis else size for at, size in enumerate(x.shape))
        place = [0] * len(x.shape)
        return pl.BlockSpec(block, lambda i: (*place[:axis], i, *place[axis + 1 :]))

    def whole(x):
        return pl.BlockSpec(x.shape, lambda i: (0,) * x.ndim)

    asked = Chunk(
        frames=pl.BlockSpec((1,), lambda i: (i,)),
        first=whole(chunk.first),
        temperature=whole(chunk.temperature),
        gates=share(chunk.gates, 3),
        entering=share(chunk.entering, 1),
        chance=share(chunk.chance, 2),
        straight=share(chunk.straight, 1),
        spread=share(chunk.spread, 1),
    )
    carried = [share(rings, 1), share(sound, 0)]
    count = len(packed) + len(chunk)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (rings, sound)]
    rings, sound, _ = pl.pallas_call(
        functools.partial(_kernel, program),
        out_shape=[*shapes, inside],
        grid=(streams // tile,),
        in_specs=[*map(whole, packed), *asked, *carried],
        out_specs=[*carried, share(inside, 1)],
        input_output_aliases={count: 0, count + 1: 1},
        interpret=program.interpret,
        compiler_params=triton.CompilerParams(
            num_warps=program.warps or WARPS[program.tile],
            num_stages=program.stages,
        ),
        name="wavenet",
    )(*packed, *chunk, rings, sound)
    return rings, sound


def _kernel(program: Program, *refs) -> None:
    sizes, cut = program.sizes, len(Packed._fields)
    packed, rest = Packed(*refs[:cut]), refs[cut:]
    # What is carried on comes in and goes out in one place; out is what is used.
    chunk = Chunk(*rest[: len(Chunk._fields)])
    rings, sound, inside = rest[-3:]
    first, temperature = chunk.first[0], chunk.temperature[0]

    def one_step(step, heard):
        """Values of the step before to values of this one, [streams, across]."""
        place, now = step * sizes.bands, first + step
        # Zero, which no compiler knows: it would keep in registers what does not fit.
        zero = lax.shift_right_arithmetic(now, 31)
        h = program.product([heard], packed.enter, zero, exact=True)
        h = _added(h, _pieces(chunk.entering, step))
        frame = lax.div(step, sizes.steps_per_frame)
        layer = functools.partial(
            _layer, program, packed, chunk, rings, inside, now, frame
        )
        lax.fori_loop(0, sizes.layers, layer, tuple(h))
        program.wait()

        def one_skip(layer, skip):
            given = _pieces(inside, layer)
            return tuple(_added(skip, program.product(given, packed.skip, layer)))

        piece = min(sizes.skip, PIECE)
        skip = [jnp.zeros([program.tile, piece], jnp.float32)] * (sizes.skip // piece)
        skip = lax.fori_loop(0, sizes.layers, one_skip, tuple(skip))
        hidden = program.product(map(jax.nn.relu, skip), packed.head, zero)
        bias = [packed.head_bias[zero, at] for at in range(len(hidden))]
        hidden = [jax.nn.relu(x) for x in _added(hidden, bias)]

        def output(at):
            """What a matrix of the last makes of it."""
            [raw] = program.product(hidden, packed.last, zero + at)
            return raw + packed.last_bias[zero + at]

        def chance(at):
            return chunk.chance[step, at]

        if sizes.mixtures:
            recent = _pieces(sound, start=place, width=sizes.window)
            [straight] = program.product(recent, packed.linear, zero, exact=True)
            mean, scale = fused_draws.component(sizes, program.tile, output, chance)
            mean = mean + straight + chunk.straight[step]
            scale = jnp.exp(jnp.maximum(scale, NARROWEST))
            values = mean + temperature * scale * chunk.spread[step]
            values = jnp.clip(values, -LIMIT, LIMIT)
        else:
            colder = 1 / jnp.maximum(temperature, 1e-3)
            values = fused_draws.values(
                sizes, program.tile, output, chance, packed.values, colder
            )
        # What fills the bands up falls on the next step, which writes over it.
        sound[:, pl.ds(place + sizes.window, sizes.across)] = values
        program.wait()
        return values

    steps = chunk.frames[0] * sizes.steps_per_frame
    start = sound[:, pl.ds(sizes.window - sizes.bands, sizes.across)]
    lax.fori_loop(0, steps, one_step, start)


def _added(some, others):
    return [one + other for one, other in zip(some, others, strict=True)]


def _pieces(ref, *at, start=0, width=None):
    """Pieces [streams, piece] of what lies at a place."""
    width = ref.shape[-1] if width is None else width
    piece = min(width, PIECE)
    return [
        ref[(*at, slice(None), pl.ds(start + begin, piece))]
        for begin in range(0, width, piece)
    ]


def _layer(program, packed, chunk, rings, inside, now, frame, layer, h):
    """One gated convolution: from what it is given to what it hands on."""
    # Asked for early, since not all that is fetched comes ahead of its layer.
    gates = [_pieces(chunk.gates, frame, layer, half) for half in range(2)]
    ring, size = packed.rings[layer], packed.dilations[layer] + 1
    past = _pieces(rings, ring + lax.rem(now + 1, size))
    _write(rings, ring + lax.rem(now, size), h)
    gates = [
        _added(gate, program.product(past, packed.gate, layer, half))
        for half, gate in enumerate(gates)
    ]
    first, second = (
        _added(gate, program.product(h, packed.gate, layer, 2 + half))
        for half, gate in enumerate(gates)
    )
    given = [_gated(x, y) for x, y in zip(first, second, strict=True)]
    _write(inside, layer, given)
    return tuple(_added(h, program.product(given, packed.out, layer)))


def _gated(x, y):
    """tanh(x) times sigmoid(y), by one division."""
    # Beyond 15 tanh is 1, and the exponential would be none.
    one, other = jnp.exp(-2 * jnp.clip(x, -15, 15)), jnp.exp(-y)
    return (1 - one) / ((1 + one) * (1 + other))


def _write(ref, at, xs):
    piece = xs[0].shape[1]
    for place, x in enumerate(xs):
        ref[at, :, pl.ds(place * piece, piece)] = x.astype(ref.dtype)
