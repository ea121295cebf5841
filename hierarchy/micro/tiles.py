"""Matrix products on a few rows at a time, kept in registers: LLVM for Numba.

A compiler that sees three nested loops does not find the loop order in which a small
matrix product runs at the speed of the arithmetic units. Here it is written down. A
tile is a few rows times one or more panels of weights; a panel holds `PANEL` columns,
row after row, so that it is read from end to end. Every sum of a tile is added up in
the order of its inputs, however many rows are computed beside it: a row comes out the
same to the bit in a tile of 1 and in a tile of 8.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hierarchy.micro.curves import gated
from hierarchy.micro.registers import (
    FLOAT,
    FLOATS,
    INT,
    INTS,
    LANES,
    LONG,
    fma,
    load,
    long,
    most,
    pointer,
    splat,
    spread,
    steps,
    store,
)

PANEL = 2 * LANES  # columns of a panel
ROWS = 4 if LANES == 8 else 8  # rows of the widest tile: AVX2 has half the registers

GATE, PLAIN, RECTIFY = 0, 1, 2  # what a tile does with its sums
FLOAT32, FLOAT16, INT8 = 0, 1, 2  # how weights are held

_STORED = {FLOAT32: FLOAT, FLOAT16: ir.IntType(16), INT8: ir.IntType(8)}
_BYTES = {FLOAT32: 4, FLOAT16: 2, INT8: 1}


@intrinsic
def address(context, array):
    """Where an array's first element lies, as int64."""

    def generate(context, builder, signature, arguments):
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(made.data, LONG)

    return types.int64(array), generate


@intrinsic(prefer_literal=True)
def products(
    context,
    kind,
    rows,
    form,
    count,
    panels,
    a,
    a_stride,
    a_deep,
    b,
    b_stride,
    b_deep,
    weights,
    init,
    init_stride,
    scale,
    out,
    out_stride,
):
    """`count` rows times `panels` panels, then what `kind` says.

    The sums run over the `a_deep` values of a row of `a`, then over the `b_deep` of a
    row of `b`; panels are [a_deep + b_deep, PANEL] each. GATE reads a panel as LANES
    times tanh and LANES times sigmoid, and gives their products, [count, panels * LANES];
    the others give [count, panels * PANEL].

    Args:
        kind, form: literals; see the constants above.
        rows: literal, rows of a tile; `count` is a multiple of it.
        a, b, weights, init, scale, out: addresses; floats but for `weights`.
        a_stride, b_stride, init_stride, out_stride: floats from row to row.
        init: what is added to the sums, a row of columns for each row; `out` may be it.
        scale: of each column, read if `form` is INT8.
    """
    literals = (kind, rows, form)
    if not all(isinstance(each, types.IntegerLiteral) for each in literals):
        return None
    kind, rows, form = (each.literal_value for each in literals)

    def generate(context, builder, signature, arguments):
        name = f"macrotime_products_{kind}_{rows}_{form}"
        function = builder.module.globals.get(name)
        if function is None:
            function = _write_products(builder.module, name, kind, rows, form)
        builder.call(function, arguments[3:])
        return context.get_dummy_value()

    return types.void(*literals, *[types.int64] * 14), generate


def _write_products(module, name: str, kind: int, rows: int, form: int):
    """The function that `products` calls: a loop over panels around one over rows."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [LONG] * 14), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    count, panels, a, a_stride, a_deep, b, b_stride, b_deep, *rest = function.args
    weights, init, init_stride, scale, out, out_stride = rest
    size = builder.mul(builder.add(a_deep, b_deep), long(PANEL * _BYTES[form]))
    given = PANEL // 2 if kind == GATE else PANEL
    # Few rows leave registers free: several panels at once keep the adders busy.
    wide = min(4, max(1, ROWS // rows))
    start = long(0)
    for together in sorted({wide, 1}, reverse=True):
        end = builder.sub(panels, long(together - 1))
        with (
            steps(builder, start, end, together) as (panel, start),
            steps(builder, long(0), count, rows) as (row, _),
        ):

            def place(begin, stride, column=0, row=row, panel=panel):
                at = builder.mul(builder.mul(row, stride), long(4))
                at = builder.add(at, builder.mul(panel, long(4 * column)))
                return builder.add(begin, at)

            _Tile(builder, rows, together, form).write(
                kind,
                place(a, a_stride),
                a_stride,
                a_deep,
                place(b, b_stride),
                b_stride,
                b_deep,
                builder.add(weights, builder.mul(panel, size)),
                place(init, init_stride, PANEL),
                init_stride,
                builder.add(scale, builder.mul(panel, long(4 * PANEL))),
                place(out, out_stride, given),
                out_stride,
            )
    builder.ret_void()
    return function


class _Tile:
    """One tile's instructions."""

    def __init__(self, builder: ir.IRBuilder, rows: int, panels: int, form: int):
        self.builder = builder
        self.rows, self.panels, self.form = rows, panels, form

    def write(
        self, kind, a, a_stride, a_deep, b, b_stride, b_deep, weights, init, *rest
    ):
        init_stride, scale, out, out_stride = rest
        builder = self.builder
        wide = long(PANEL * _BYTES[self.form])
        between = builder.mul(builder.add(a_deep, b_deep), wide)
        sums = [splat(0.0)] * (self.rows * self.panels * 2)
        sums = self._sum(sums, a, a_stride, a_deep, weights, between)
        behind = builder.add(weights, builder.mul(a_deep, wide))
        sums = self._sum(sums, b, b_stride, b_deep, behind, between)
        sums = iter(sums)
        for row in range(self.rows):
            init_row, out_row = (
                builder.add(start, builder.mul(stride, long(4 * row)))
                for start, stride in ((init, init_stride), (out, out_stride))
            )
            for panel in range(self.panels):
                pair = []
                for half in range(2):
                    at = 4 * LANES * (2 * panel + half)
                    value, start = next(sums), load(builder, init_row, at)
                    if self.form == INT8:
                        by = load(builder, scale, at)
                        value = fma(builder, value, by, start)
                    else:
                        value = builder.fadd(value, start)
                    if kind == RECTIFY:
                        value = most(builder, value, splat(0.0))
                    pair.append(value)
                if kind == GATE:
                    store(builder, gated(builder, *pair), out_row, 4 * LANES * panel)
                else:
                    for half in range(2):
                        at = 4 * LANES * (2 * panel + half)
                        store(builder, pair[half], out_row, at)

    def _sum(self, sums, start, stride, deep, weights, between):
        """A loop over `deep` inputs; the sums stay in registers."""
        builder = self.builder
        rows = [
            pointer(builder, builder.add(start, builder.mul(stride, long(4 * row))))
            for row in range(self.rows)
        ]
        entry = builder.block
        body, end = builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", deep, long(0)), body, end)
        builder.position_at_end(body)
        index = builder.phi(LONG)
        index.add_incoming(long(0), entry)
        held = [builder.phi(FLOATS) for _ in sums]
        for each, before in zip(held, sums, strict=True):
            each.add_incoming(before, entry)
        line = long(PANEL * _BYTES[self.form])
        here = builder.add(weights, builder.mul(index, line))
        read = []
        for panel in range(self.panels):
            at = builder.add(here, builder.mul(between, long(panel)))
            read += [self._read(at, half) for half in range(2)]
        added, old = [], iter(held)
        for row in rows:
            value = spread(builder, builder.load(builder.gep(row, [index]), align=4))
            added += [fma(builder, value, weight, next(old)) for weight in read]
        following = builder.add(index, long(1))
        index.add_incoming(following, builder.block)
        for each, after in zip(held, added, strict=True):
            each.add_incoming(after, builder.block)
        last = builder.block
        builder.cbranch(builder.icmp_signed("<", following, deep), body, end)
        builder.position_at_end(end)
        out = []
        for before, after in zip(sums, added, strict=True):
            result = builder.phi(FLOATS)
            result.add_incoming(before, entry)
            result.add_incoming(after, last)
            out.append(result)
        return out

    def _read(self, line, half: int):
        """LANES weights as floats."""
        builder, size = self.builder, _BYTES[self.form]
        at = builder.add(line, long(half * LANES * size))
        stored = ir.VectorType(_STORED[self.form], LANES)
        value = builder.load(builder.inttoptr(at, stored.as_pointer()), align=size)
        if self.form == FLOAT16:
            halves = ir.VectorType(ir.HalfType(), LANES)
            return builder.fpext(builder.bitcast(value, halves), FLOATS)
        if self.form == INT8:
            return builder.sitofp(builder.sext(value, INTS), FLOATS)
        return value


COPY, POSITIVE, CLEAR = 0, 1, 2  # what `move` does with what it reads


@intrinsic(prefer_literal=True)
def move(context, kind, count, columns, source, source_stride, out, out_stride):
    """Rows from one place to another: `columns` of each, or up to LANES - 1 more.

    Args:
        kind: literal; POSITIVE gives zero for what is negative, CLEAR zero for all.
        count: rows.
        columns: floats of a row.
        source, out: addresses; floats.
        source_stride, out_stride: floats from row to row.
    """
    if not isinstance(kind, types.IntegerLiteral):
        return None
    how = kind.literal_value

    def generate(context, builder, signature, arguments):
        _, count, columns, source, source_stride, out, out_stride = arguments
        by, zero = long(4), splat(0.0)
        with (
            steps(builder, long(0), count, 1) as (row, _),
            steps(builder, long(0), columns, LANES) as (column, _),
        ):
            begin, end = (
                builder.add(
                    place,
                    builder.mul(builder.add(builder.mul(row, stride), column), by),
                )
                for place, stride in ((source, source_stride), (out, out_stride))
            )
            value = zero if how == CLEAR else load(builder, begin, 0)
            value = most(builder, value, zero) if how == POSITIVE else value
            store(builder, value, end, 0)
        return context.get_dummy_value()

    return types.void(kind, *[types.int64] * 6), generate


@intrinsic
def fetch(context, start, count):
    """Ask for `count` bytes that are read soon, a cache line at a time."""

    def generate(context, builder, signature, arguments):
        first, count = arguments
        name = "llvm.prefetch.p0"
        byte = ir.IntType(8).as_pointer()
        known = builder.module.globals.get(name)
        if known is None:
            kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
            known = ir.Function(builder.module, kind, name)
        reading, near, data = (ir.Constant(INT, value) for value in (0, 2, 1))
        with steps(builder, long(0), count, 64) as (offset, _):
            place = builder.inttoptr(builder.add(first, offset), byte)
            builder.call(known, [place, reading, near, data])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
