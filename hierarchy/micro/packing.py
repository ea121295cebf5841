"""A WaveNet's weights in the order and shape in which the compiled sampler reads them.

Columns of a matrix are gathered in panels (see `tiles`), padded with zeros. Matrices
that every step reads lie one behind the other in the order of their use, and may be
held in fewer bits: a single stream is as fast as its weights can be fetched.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np

from hierarchy.micro import conditions
from hierarchy.micro.registers import LANES
from hierarchy.micro.tiles import FLOAT16, FLOAT32, INT8, PANEL
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig

PRECISIONS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INT8}
"""How the weights that every step reads may be held."""

_NEVER = -1e30  # a class that does not exist is never drawn


class Sizes(NamedTuple):
    """What a network's `WaveNetConfig` says, and floats from stream to stream."""

    bands: int
    residual: int
    gate: int
    skip: int
    head: int
    context: int
    wide: int  # numbers that describe a frame
    linear: int
    adaptive: int
    before: int  # steps that lie before the first one sampled
    mixtures: int
    classes: int
    steps_per_frame: int
    uniforms: int
    trunk_row: int  # residual and skip
    gate_row: int
    head_row: int
    context_row: int
    last_row: int
    band_row: int
    gates_row: int
    past_row: int

    @classmethod
    def of(cls, config: WaveNetConfig) -> Sizes:
        """The sizes of a network."""
        gate_row = up(config.gate, LANES)
        if config.classes:
            last = config.bands * up(config.classes, LANES)
        else:
            last = 3 * config.mixtures * up(config.bands, LANES)
        return cls(
            bands=config.bands,
            residual=config.residual,
            gate=config.gate,
            skip=config.skip,
            head=config.head,
            context=config.context,
            wide=conditions.width(config.bands),
            linear=config.linear,
            adaptive=config.adaptive,
            before=config.heard,
            mixtures=config.mixtures,
            classes=config.classes,
            steps_per_frame=config.steps_per_frame,
            uniforms=config.likelihood.uniforms,
            trunk_row=up(config.residual + config.skip, PANEL),
            gate_row=gate_row,
            head_row=up(config.head, PANEL),
            context_row=up(config.context, PANEL),
            last_row=up(last, PANEL),
            band_row=up(config.bands, PANEL),
            gates_row=len(config.dilations) * 2 * gate_row,
            past_row=up(config.residual, LANES),
        )


class Packed(NamedTuple):
    """Arrays that the compiled sampler reads; places are counted in elements.

    Attributes:
        sizes: of the network.
        dilations: int64 [layers].
        steps: the matrices of every step: each layer's gate and its way out, the head
            and the last; float32, float16 as uint16, or int8.
        step_at: int64 [2 * layers + 2], where each begins.
        scales: float32, of each of their columns, in the same order.
        scale_at: int64 [2 * layers + 2].
        frames: float32: matrices look, gates, enter, straight, and those for what
            adaptive taps foresee: how it enters, and how far it is trusted.
        frame_at: int64 [6].
        each: by what weights of the past fall from step to step, where taps adapt.
        styles: float32 [styles + 1, context_row], what each adds to `look`; the last, none.
        gates_bias, head_bias, last_bias, trust_bias: float32.
        nothing: zeros, a bias of none.
        values: float32 [classes], or [1].
    """

    sizes: Sizes
    dilations: np.ndarray
    steps: np.ndarray
    step_at: np.ndarray
    scales: np.ndarray
    scale_at: np.ndarray
    frames: np.ndarray
    frame_at: np.ndarray
    each: float
    styles: np.ndarray
    gates_bias: np.ndarray
    head_bias: np.ndarray
    last_bias: np.ndarray
    trust_bias: np.ndarray
    nothing: np.ndarray
    values: np.ndarray


def up(count: int, to: int) -> int:
    """The next multiple.

    >>> up(33, 32), up(64, 32)
    (64, 64)
    """
    return -(-count // to) * to


_HUGE = 1 << 21  # bytes of a huge page


def aligned(shape, dtype=np.float32) -> np.ndarray:
    """Zeros that begin on a cache line: a load across two takes twice as long.

    Large arrays lie in huge pages where the system has them, since looking up a new
    page takes longer than reading it. Whole registers may be read and written some
    floats beyond the end.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = size + 4 * PANEL
    if room > _HUGE // 2 and hasattr(mmap, "MADV_HUGEPAGE"):
        pages = mmap.mmap(-1, up(room, _HUGE) + _HUGE)
        pages.madvise(mmap.MADV_HUGEPAGE)
        raw, line = np.frombuffer(pages, np.uint8), _HUGE
    else:
        raw, line = np.zeros(room + 64, np.uint8), 64
    start = -raw.ctypes.data % line
    return raw[start : start + size].view(dtype).reshape(shape)


def pack(model: WaveNet, precision: str = "float32") -> Packed:
    """Gather a model's weights.

    Args:
        model: with weights in any place and float format.
        precision: "float32", "float16" or "int8", of the matrices of every step;
            what is read once a frame, and all biases, stay float32.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"weights as {precision!r}; there are {', '.join(PRECISIONS)}")
    config = model.config
    sizes = Sizes.of(config)
    layers = [
        (
            _gate_columns(
                np.concatenate([_array(layer.past), _array(layer.now)]), config.gate
            ),
            _array(layer.out),
        )
        for layer in model.layers
    ]
    last, last_bias = _last_columns(
        config, _array(model.last), _array(model.last_bias)[None]
    )
    matrices = [part for pair in layers for part in pair] + [_array(model.head), last]
    stored, scales = zip(*[_rounded(part, precision) for part in matrices], strict=True)
    steps, step_at = _gather([_panels(part) for part in stored])
    scales, scale_at = _gather([_padded(part[None])[0] for part in scales])
    straight = np.concatenate([_array(model.linear), _array(model.linear_sketch)])
    entering = np.concatenate([_array(model.enter), _array(model.enter_sketch)])
    gates = _array(model.gates).reshape(config.context, -1, 2 * config.gate)
    gates_bias = _array(model.gates_bias).reshape(1, -1, 2 * config.gate)
    each = range(len(config.dilations))
    gates, gates_bias = (
        np.concatenate([_gate_columns(part[:, i], config.gate) for i in each], axis=1)
        for part in (gates, gates_bias)
    )
    foreseen, trust, trust_bias = np.zeros([3, 1, config.bands], np.float32)
    if config.adaptive:
        foreseen, trust = _array(model.enter_foreseen), _array(model.trust)
        trust_bias = _array(model.trust_bias)[None]
    frames, frame_at = _gather(
        [
            _panels(part)
            for part in (
                _array(model.look_frames),
                gates,
                entering,
                straight,
                foreseen,
                trust,
            )
        ]
    )
    known = _array(model.style) @ _array(model.look_style)
    styles = np.concatenate([known, np.zeros_like(known[:1])])
    return Packed(
        sizes=sizes,
        dilations=np.array(config.dilations, np.int64),
        steps=steps,
        step_at=step_at,
        scales=scales,
        scale_at=scale_at,
        frames=frames,
        frame_at=frame_at,
        each=config.remembered.each if config.adaptive else 0.0,
        styles=_padded(styles + _array(model.look_bias)),
        gates_bias=gates_bias[0],
        head_bias=_padded(_array(model.head_bias)[None])[0],
        last_bias=_padded(last_bias)[0],
        trust_bias=_padded(trust_bias)[0],
        nothing=aligned(max(sizes.trunk_row, sizes.band_row)),
        values=config.likelihood.values() if config.classes else np.zeros(1, "f4"),
    )


def rounded(matrix: np.ndarray, precision: str) -> np.ndarray:
    """What a matrix [inputs, outputs] is worth when it is held in fewer bits."""
    stored, scale = _rounded(np.asarray(matrix, np.float32), precision)
    if precision == "float16":
        stored = stored.view(np.float16)
    return np.float32(stored) * scale


def _array(parameter) -> np.ndarray:
    return np.asarray(parameter[...], np.float32)


def _rounded(matrix, precision):
    """A matrix as it is stored, and the scales of its columns."""
    ones = np.ones(matrix.shape[1], np.float32)
    if precision == "float16":
        return matrix.astype(np.float16).view(np.uint16), ones
    if precision == "int8":
        largest = np.abs(matrix).max(axis=0)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        return np.rint(matrix / scale).astype(np.int8), scale
    return matrix, ones


def _padded(matrix: np.ndarray, to: int = PANEL) -> np.ndarray:
    lacking = up(matrix.shape[1], to) - matrix.shape[1]
    return np.pad(matrix, [(0, 0), (0, lacking)])


def _panels(matrix: np.ndarray) -> np.ndarray:
    """[inputs, outputs] to [panels, inputs, PANEL]."""
    matrix = _padded(matrix)
    cut = matrix.reshape(len(matrix), -1, PANEL)
    return np.ascontiguousarray(cut.transpose(1, 0, 2))


def _gather(parts) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([0] + [part.size for part in parts])
    whole = aligned(ends[-1], parts[0].dtype)
    for part, end in zip(parts, ends[1:], strict=True):
        whole[end - part.size : end] = part.ravel()
    return whole, ends[:-1].astype(np.int64)


def _gate_columns(matrix: np.ndarray, gate: int) -> np.ndarray:
    """[inputs, 2 * gate] in turns: LANES of tanh, LANES of sigmoid."""
    halves = [
        _padded(part, LANES).reshape(len(matrix), -1, 1, LANES)
        for part in (matrix[:, :gate], matrix[:, gate:])
    ]
    return np.concatenate(halves, axis=2).reshape(len(matrix), -1)


def _last_columns(config: WaveNetConfig, *matrices: np.ndarray) -> list[np.ndarray]:
    """Outputs [bands, ...] with bands side by side, or a band's classes in whole lanes."""
    out = []
    for index, matrix in enumerate(matrices):
        cut = matrix.reshape(len(matrix), config.bands, -1)
        if config.classes:
            lacking = up(config.classes, LANES) - config.classes
            filler = _NEVER if index else 0  # the second is the bias
            cut = np.pad(cut, [(0, 0)] * 2 + [(0, lacking)], constant_values=filler)
        else:
            lacking = up(config.bands, LANES) - config.bands
            cut = np.pad(cut.swapaxes(1, 2), [(0, 0)] * 2 + [(0, lacking)])
        out.append(cut.reshape(len(matrix), -1))
    return out
