"""Random numbers as JAX draws them, a register at a time.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hierarchy.micro.registers import (
    FLOATS,
    INT,
    INTS,
    LANES,
    fma,
    long,
    most,
    splat,
    spread,
    steps,
    store,
    whole,
)


@intrinsic
def uniform(context, key0, key1, first, apart, count, out, low, high):
    """Uniform numbers between low and high, from one key.

    Number i is what jax.random.uniform draws in place first + i * apart of an array.

    Args:
        key0, key1: uint32, the key.
        first, apart, count: int64; up to LANES - 1 more than `count` are written.
        out: address; floats.
        low, high: float32.
    """

    def generate(context, builder, signature, arguments):
        key0, key1, first, apart, count, out, low, high = arguments
        keys = [spread(builder, key) for key in (key0, key1)]
        low, high = spread(builder, low), spread(builder, high)
        apart32 = spread(builder, builder.trunc(apart, INT))
        lanes = ir.Constant(INTS, list(range(LANES)))
        with steps(builder, long(0), count, LANES) as (index, _):
            begin = builder.add(first, builder.mul(index, apart))
            begin = spread(builder, builder.trunc(begin, INT))
            place = builder.add(begin, builder.mul(lanes, apart32))
            one, two = _threefry(builder, *keys, whole(0), place)
            bits = builder.lshr(builder.xor(one, two), whole(9))
            share = builder.fmul(builder.uitofp(bits, FLOATS), splat(2.0**-23))
            value = fma(builder, share, builder.fsub(high, low), low)
            value = most(builder, value, low)
            store(builder, value, builder.add(out, builder.mul(index, long(4))), 0)
        return context.get_dummy_value()

    words = types.uint32, types.uint32
    places = [types.int64] * 4
    return types.void(*words, *places, types.float32, types.float32), generate


@intrinsic
def fold_in(context, key0, key1, number):
    """A key and a number to another key, as jax.random.fold_in: two uint32."""

    def generate(context, builder, signature, arguments):
        key0, key1, number = arguments
        pair = _threefry(builder, key0, key1, ir.Constant(INT, 0), number)
        return context.make_tuple(builder, signature.return_type, pair)

    word = types.uint32
    return types.UniTuple(word, 2)(word, word, word), generate


def _threefry(builder, key0, key1, x0, x1):
    """Threefry 2x32 with 20 rounds, of words or of vectors of words."""

    def constant(value):
        kind = x1.type
        return whole(value) if isinstance(kind, ir.VectorType) else kind(value)

    third = builder.xor(builder.xor(key0, key1), constant(0x1BD11BDA))
    keys = (key0, key1, third)
    x0, x1 = builder.add(x0, key0), builder.add(x1, key1)
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x0 = builder.add(x0, x1)
            left = builder.shl(x1, constant(turn))
            x1 = builder.or_(left, builder.lshr(x1, constant(32 - turn)))
            x1 = builder.xor(x1, x0)
        x0 = builder.add(x0, keys[(group + 1) % 3])
        x1 = builder.add(x1, keys[(group + 2) % 3])
        x1 = builder.add(x1, constant(group + 1))
    return x0, x1
