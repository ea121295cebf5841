"""Exponentials, logarithms and what is made of them, a register at a time.

Source: Cephes' expf and logf.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from hierarchy.micro.registers import (
    FLOATS,
    INTS,
    LANES,
    call,
    fma,
    least,
    load,
    long,
    most,
    polynomial,
    splat,
    steps,
    store,
    whole,
)

LOG2_E = 1.44269504088896341


def _elementwise(work):
    """An intrinsic that maps `count` floats at an address in place, LANES at a time."""

    @intrinsic
    def run(context, start, count):
        def generate(context, builder, signature, arguments):
            first, count = arguments
            with steps(builder, long(0), count, LANES) as (index, _):
                at = builder.add(first, builder.mul(index, long(4)))
                store(builder, work(builder, load(builder, at, 0)), at, 0)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return run


def _exp(builder, x):
    """e to the x, for x within ±87; beyond, as if x were ±87."""
    x = least(builder, most(builder, x, splat(-87.0)), splat(87.0))
    turns = call(builder, "rint", builder.fmul(x, splat(LOG2_E)))
    # ln 2 in two parts, so that little is lost where they almost cancel.
    rest = fma(builder, turns, splat(-0.693359375), x)
    rest = fma(builder, turns, splat(2.12194440e-4), rest)
    curve = polynomial(
        builder,
        rest,
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
    square = builder.fmul(rest, rest)
    mantissa = fma(builder, curve, square, builder.fadd(rest, splat(1.0)))
    power = builder.add(builder.fptosi(turns, INTS), whole(127))
    power = builder.bitcast(builder.shl(power, whole(23)), FLOATS)
    return builder.fmul(mantissa, power)


def _log(builder, x):
    """Natural logarithm of positive normal x."""
    bits = builder.bitcast(x, INTS)
    power = builder.sub(builder.lshr(bits, whole(23)), whole(126))
    small = builder.or_(builder.and_(bits, whole(0x7FFFFF)), whole(0x3F000000))
    mantissa = builder.bitcast(small, FLOATS)  # in [0.5, 1)
    below = builder.fcmp_ordered("<", mantissa, splat(0.707106781186547524))
    power = builder.sitofp(power, FLOATS)
    power = builder.select(below, builder.fsub(power, splat(1.0)), power)
    doubled = builder.select(below, mantissa, splat(0.0))
    x = builder.fadd(builder.fsub(mantissa, splat(1.0)), doubled)
    square = builder.fmul(x, x)
    curve = polynomial(
        builder,
        x,
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
    y = builder.fmul(builder.fmul(curve, x), square)
    y = fma(builder, power, splat(-2.12194440e-4), y)
    y = fma(builder, square, splat(-0.5), y)
    return fma(builder, power, splat(0.693359375), builder.fadd(x, y))


def _power_of_two(builder, x):
    """2 to the x, for x within ±120; good to a part in 10 million."""
    turns = call(builder, "rint", x)
    # Chebyshev's polynomial of degree 5 on the half unit on either side.
    curve = polynomial(
        builder,
        builder.fsub(x, turns),
        0.0013400432653725147,
        0.009676037356257439,
        0.05550327152013779,
        0.2402210682630539,
        0.6931471824645996,
        1.0000001192092896,
    )
    power = builder.shl(builder.fptosi(turns, INTS), whole(23))
    return builder.bitcast(builder.add(builder.bitcast(curve, INTS), power), FLOATS)


def gated(builder, first, second):
    """tanh(first) * sigmoid(second), with one division."""
    # tanh is 1 to the bit beyond 10; the product below must stay finite.
    first = least(builder, most(builder, first, splat(-15.0)), splat(15.0))
    second = least(builder, most(builder, second, splat(-40.0)), splat(40.0))
    u = _power_of_two(builder, builder.fmul(first, splat(-2 * LOG2_E)))
    v = _power_of_two(builder, builder.fmul(second, splat(-LOG2_E)))
    one = splat(1.0)
    under = builder.fmul(builder.fadd(one, u), builder.fadd(one, v))
    return builder.fdiv(builder.fsub(one, u), under)


def _gelu(builder, x):
    """The same curve as jax.nn.gelu: x / (1 + exp(-2 √(2/π) (x + 0.044715 x³)))."""
    cubed = builder.fmul(builder.fmul(x, x), x)
    inner = fma(builder, cubed, splat(0.044715), x)
    falling = _exp(builder, builder.fmul(inner, splat(-1.5957691216057308)))
    return builder.fdiv(x, builder.fadd(falling, splat(1.0)))


def _gumbel(builder, uniform):
    once = builder.fmul(_log(builder, uniform), splat(-1.0))
    return builder.fmul(_log(builder, once), splat(-1.0))


def _logistic(builder, uniform):
    rest = _log(builder, builder.fsub(splat(1.0), uniform))
    return builder.fsub(_log(builder, uniform), rest)


exp = _elementwise(_exp)
gelu = _elementwise(_gelu)
gumbel = _elementwise(_gumbel)
logistic = _elementwise(_logistic)
