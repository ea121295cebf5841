"""A register full of numbers at a time: what LLVM needs to be told, for Numba.

Numba's own loops leave it to LLVM whether and how they become vectors. What is written
with these is vectors of `LANES` floats, as many as a register of this processor holds.
"""

from __future__ import annotations

import contextlib

from llvmlite import ir
from numba.core import config
from numba.core.codegen import get_host_cpu_features


def _lanes() -> int:
    """Floats in one register of the processor that Numba compiles for."""
    features = config.CPU_FEATURES
    if features is None:
        if config.CPU_NAME == "generic":
            return 4
        features = get_host_cpu_features()
    has = set(features.split(","))
    return 16 if "+avx512f" in has else 8 if "+avx2" in has else 4


LANES = _lanes()

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


@contextlib.contextmanager
def steps(builder, start, end, by: int):
    """A loop `for index in range(start, end, by)`; gives index, and what it ends at."""
    entry = builder.block
    check, body, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(check)
    builder.position_at_end(check)
    index = builder.phi(LONG)
    index.add_incoming(start, entry)
    builder.cbranch(builder.icmp_signed("<", index, end), body, after)
    builder.position_at_end(body)
    yield index, index
    following = builder.add(index, long(by))
    index.add_incoming(following, builder.block)
    builder.branch(check)
    builder.position_at_end(after)


def long(value: int):
    """An integer of 64 bits."""
    return ir.Constant(LONG, value)


def splat(value: float):
    """A register of one number."""
    return ir.Constant(FLOATS, [value] * LANES)


def whole(value: int):
    """A register of one integer."""
    return ir.Constant(INTS, [value] * LANES)


def pointer(builder, at):
    """An address as a place of floats."""
    return builder.inttoptr(at, FLOAT.as_pointer())


def load(builder, at, offset: int):
    """LANES floats, `offset` bytes after an address."""
    place = builder.inttoptr(builder.add(at, long(offset)), FLOATS.as_pointer())
    return builder.load(place, align=4)


def store(builder, value, at, offset: int) -> None:
    """The reverse of `load`."""
    place = builder.inttoptr(builder.add(at, long(offset)), FLOATS.as_pointer())
    builder.store(value, place, align=4)


def spread(builder, value):
    """One value in every lane of a register."""
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, nothing, whole(0))


def call(builder, name: str, *values):
    """One of LLVM's own functions on registers."""
    name = f"llvm.{name}.v{LANES}f32"
    known = builder.module.globals.get(name)
    if known is None:
        kind = ir.FunctionType(FLOATS, [FLOATS] * len(values))
        known = ir.Function(builder.module, kind, name)
    return builder.call(known, values)


def fma(builder, x, y, z):
    """x * y + z, rounded once where the processor can."""
    return call(builder, "fmuladd", x, y, z)


def least(builder, x, y):
    """The smaller, lane by lane."""
    return builder.select(builder.fcmp_ordered("<", x, y), x, y)


def most(builder, x, y):
    """The larger, lane by lane."""
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def polynomial(builder, x, *coefficients: float):
    """Highest power first."""
    value = splat(coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma(builder, value, x, splat(coefficient))
    return value
