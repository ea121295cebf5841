"""The chords of many songs at once, on whatever device there is.

`structure.writing` writes one song token by token in NumPy. Here the same cursor is
a compiled step for one song, and a batch of songs takes it side by side; a song
that is done waits for the others. The same random numbers give the same chords.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from structure import recall
from structure.cursor import Cursor
from structure.recall import RELATIONS
from structure.setting import LATEST, setting
from structure.transformer import SequencerNetwork
from structure.vocabulary import (
    FEATURES,
    FIRST_OF,
    LABELS,
    PARTS,
    ROOT_OF,
    TOKENS,
    UNKNOWN_OF,
)
from structure.writing import Writer

_PARTS = np.ones(len(TOKENS), np.int32)
_ROOTS = np.zeros(len(TOKENS), np.int32)
for _token, _count in PARTS.items():
    _PARTS[_token] = _count + 1
for _token, _root in ROOT_OF.items():
    _ROOTS[_token] = _root
_DIVIDES = np.isin(np.arange(len(TOKENS)), list(PARTS))
_FIRST_SLOT = np.array([0, 0, 0, 1, 3, 6])  # by the tokens of a bar


class Sheet(NamedTuple):
    """A song whose form stands and whose chords are due; see `sheet_of`.

    Attributes:
        header: int [2], the features meter and mode.
        count: int, how many bars it has.
        start, bars: int [sections], first bar of the song and bars of each section.
        labels, returns: int [sections], the features label and returns.
        model: int [sections], the section that is hinted at; -1 is none.
        kin: int [sections, sections], as Recall has it.
        fixed: int [song bars, 5], tokens that a bar has to have; 0 is free.
        weights: float [song bars, tokens], what multiplies the odds there.
        faithful: float [sections], odds that the first hint is taken.
        restless: float [sections], how soon a chord that stands must move on.
    """

    header: jax.Array
    count: jax.Array
    start: jax.Array
    bars: jax.Array
    labels: jax.Array
    returns: jax.Array
    model: jax.Array
    kin: jax.Array
    fixed: jax.Array
    weights: jax.Array
    faithful: jax.Array
    restless: jax.Array


class _State(NamedTuple):
    """Where a song stands: arrays over chords, bars, sections and lags."""

    tokens: jax.Array  # [chords]
    place: jax.Array  # [chords], bar of the song
    slot: jax.Array  # [chords]
    length: jax.Array
    match: jax.Array  # [chords]
    roots: jax.Array  # [chords]
    written: jax.Array  # [song bars, 5]
    bar: jax.Array  # of the song
    at: jax.Array  # the section
    inside: jax.Array  # tokens of the present bar
    faith: jax.Array  # [3, sections]
    loops: jax.Array  # [3, 16]
    logits: jax.Array  # [tokens]
    hint: jax.Array


def sheet_of(
    cursor: Cursor,
    *,
    sections: int,
    bars: int,
    fixed: Sequence[Sequence[int] | None] = (),
    weights: np.ndarray | None = None,
    faithful: Sequence[float] = (),
    restless: Sequence[float] = (),
) -> Sheet:
    """What can be known of a song before its first chord.

    Args:
        cursor: that has read the form.
        sections, bars: room for so many.
        fixed: for each bar its tokens, divisions included; None leaves it open.
        weights: [song bars, tokens] that multiply the odds; 0 forbids.
        faithful, restless: for each section; see Sheet.
    """
    read = cursor.sections
    lengths = np.array([section.bars for section in read])
    out = {
        name: np.zeros(sections, np.int32)
        for name in ("start", "bars", "labels", "returns")
    }
    out["model"] = np.full(sections, -1, np.int32)
    kin = np.zeros([sections, sections], np.int32)
    count = len(read)
    out["start"][:count] = np.cumsum(lengths) - lengths
    out["bars"][:count] = lengths
    memory = recall.Recall()
    for at, now in enumerate(read):
        same = [
            i
            for i in range(at)
            if read[i].idea is not None and read[i].idea == now.idea
        ]
        out["labels"][at] = 1 + LABELS.index(now.label)
        out["returns"][at] = min(len(same), 5)
        out["model"][at] = same[-1] if same else -1
        known = read[: at + 1]
        memory.enter([s.idea for s in known], [s.label for s in known], now.bars)
        kin[at, : at + 1] = memory.kin
    asked = np.zeros([bars, 5], np.int32)
    for number, tokens in enumerate(fixed):
        if tokens is not None:
            asked[number, : len(tokens)] = tokens
    taste = np.ones([bars, len(TOKENS)], np.float32)
    if weights is not None:
        taste[: len(weights)] = weights
    features, _ = cursor.tell()
    names = list(FEATURES)
    return Sheet(
        header=np.array(
            [features[names.index(name)] for name in ("meter", "mode")],
            np.int32,
        ),
        count=np.int32(lengths.sum()),
        kin=kin,
        fixed=asked,
        weights=taste,
        faithful=_padded(faithful, sections),
        restless=_padded(restless, sections),
        **out,
    )


def _padded(values: Sequence[float], length: int) -> np.ndarray:
    out = np.zeros(length, np.float32)
    out[: len(values)] = values
    return out


def write_chords(
    network: SequencerNetwork,
    writers: Sequence[Writer],
    sheets: Sequence[Sheet],
    numbers: np.ndarray,
    *,
    temperature: float,
    top_p: float,
) -> list[list[list[int]]]:
    """Write the chords of songs whose forms stand.

    Args:
        network: of the sequencer that the writers have.
        writers: each has read its form and stands before the first chord.
        sheets: of these songs, all of one size.
        numbers: float32 [songs, chords], uniform from 0 to below 1: what a chord is
            drawn with; there is room for so many tokens in each song.
        temperature, top_p: of the draws.

    Returns:
        For each song for each bar its tokens.
    """
    room = numbers.shape[1]
    starts = [_begun(writer, sheet, room) for writer, sheet in zip(writers, sheets)]  # noqa: B905
    graph, weights = nnx.split(network.chords)
    state = jax.tree.map(lambda *rows: np.stack(rows), *starts)
    sheet = jax.tree.map(lambda *rows: np.stack(rows), *sheets)
    written = np.asarray(
        _written(graph, weights, state, sheet, numbers, temperature, top_p)
    )
    return [
        [[int(token) for token in bar if token] for bar in song[: int(one.count)]]
        for song, one in zip(written, sheets, strict=True)
    ]


def _begun(writer: Writer, sheet: Sheet, room: int) -> _State:
    """A song before its first chord."""
    sections = len(sheet.start)
    zeros = functools.partial(np.zeros, dtype=np.int32)
    return _State(
        tokens=zeros(room),
        place=zeros(room),
        slot=zeros(room),
        length=np.int32(0),
        match=zeros(room),
        roots=zeros(room),
        written=zeros([len(sheet.fixed), 5]),
        bar=np.int32(0),
        at=np.int32(0),
        inside=np.int32(0),
        faith=zeros([3, sections]),
        loops=zeros([3, 16]),
        logits=np.maximum(writer.logits, -1e9).astype(np.float32),
        hint=np.int32(writer.hints[0]),
    )


@functools.partial(jax.jit, static_argnums=0)
def _written(graph, weights, state, sheet, numbers, temperature, top_p):
    """Step all songs until the last is done: tokens [songs, song bars, 5]."""

    def one_song(state: _State, sheet: Sheet, numbers: jax.Array) -> _State:
        number = numbers[jnp.minimum(state.length, len(numbers) - 1)]
        token = _drawn(state, sheet, number, temperature, top_p)
        moved = _pushed(state, sheet, token)
        where, hint, relations = _told(moved, sheet)
        possible = jnp.arange(len(moved.tokens)) < moved.length
        relations = jnp.where(possible[:, None], relations, 0)
        odds = nnx.merge(graph, weights)(
            where[None, None], relations[None, None], moved.tokens[None]
        )
        logits = jnp.full(len(TOKENS), -1e9).at[FIRST_OF["chord"] :].set(odds[0, 0])
        moved = moved._replace(logits=logits, hint=hint)
        done = state.bar >= sheet.count
        return jax.tree.map(lambda old, new: jnp.where(done, old, new), state, moved)

    def going(state: _State) -> jax.Array:
        return jnp.any(state.bar < sheet.count) & (
            jnp.max(state.length) < numbers.shape[1]
        )

    def step(state: _State) -> _State:
        return jax.vmap(one_song)(state, sheet, numbers)

    return jax.lax.while_loop(going, step, state).written


def _drawn(state: _State, sheet: Sheet, number, temperature, top_p) -> jax.Array:
    """The next token of a song, by its odds or as it is fixed."""
    bar = jnp.minimum(state.bar, len(sheet.fixed) - 1)
    first, last = FIRST_OF["chord"], UNKNOWN_OF["chord"]
    tokens = jnp.arange(len(TOKENS))
    allowed = (tokens >= first) & (tokens < last)
    allowed &= ~(jnp.asarray(_DIVIDES) & (state.inside > 0))
    weights = sheet.weights[bar]
    # Less taste for a chord the longer it has filled whole bars.
    before = state.written[jnp.maximum(bar - 1, 0)]
    inside_section = bar > sheet.start[state.at]
    stands = inside_section & (_parts(before[0]) == 1)
    run = state.loops[2, 0] + 1
    tired = jnp.where(stands, 0.5 ** (sheet.restless[state.at] * run), 1.0)
    weights = jnp.where(tokens == before[0], weights * tired, weights)
    allowed &= weights > 0
    scores = state.logits + jnp.log(jnp.where(allowed, weights, 1.0))
    scores = jnp.where(allowed, scores, -jnp.inf)
    greedy = temperature < 1e-3
    cold = (tokens == jnp.argmax(scores)).astype(jnp.float32)
    odds = jax.nn.softmax(scores / jnp.maximum(temperature, 1e-3))
    order = jnp.argsort(-odds, stable=True)
    ranked = odds[order]
    kept = jnp.cumsum(ranked) - ranked < top_p
    odds = jnp.zeros_like(odds).at[order].set(jnp.where(kept, ranked, 0.0))
    odds = jnp.where(greedy, cold, odds / odds.sum())
    hinted = (state.hint > 0) & allowed[state.hint]
    faithful = jnp.where(hinted, sheet.faithful[state.at], 0.0)
    odds = (1 - faithful) * odds + faithful * (tokens == state.hint)
    rising = jnp.cumsum(odds)
    drawn = jnp.searchsorted(rising, number * rising[-1], side="right")
    drawn = jnp.minimum(drawn, len(TOKENS) - 1)
    slots = jnp.arange(5) == state.inside
    fixed = jnp.where(slots, sheet.fixed[bar], 0).sum()
    return jnp.where(fixed > 0, fixed, drawn)


def _parts(first: jax.Array) -> jax.Array:
    """Tokens of a bar that begins with `first`."""
    return jnp.asarray(_PARTS)[first]


def _slot(state: _State) -> jax.Array:
    """The slot of the next token, as FEATURES has it."""
    first = state.written[jnp.minimum(state.bar, len(state.written) - 1), 0]
    there = jnp.asarray(_FIRST_SLOT)[_parts(first)] + state.inside - 1
    return jnp.where(state.inside > 0, there, 0)


def _pushed(state: _State, sheet: Sheet, token: jax.Array) -> _State:
    """The song with one more token."""
    at, slot, bar = state.length, _slot(state), state.bar
    places = jnp.arange(len(state.tokens))
    longer = {}
    for name, row in (
        ("match", state.tokens),
        ("roots", jnp.asarray(_ROOTS)[state.tokens]),
    ):
        wanted = token if name == "match" else jnp.asarray(_ROOTS)[token]
        grown = jnp.where(row == wanted, getattr(state, name) + 1, 0)
        moved = jnp.roll(grown, 1)
        longer[name] = jnp.where((places >= 1) & (places <= at), moved, 0)
    written = state.written.at[bar, state.inside].set(token)
    inside = state.inside + 1
    full = inside == _parts(written[bar, 0])
    count = bar - sheet.start[state.at]
    faith = jnp.where(
        full, _compared(state.faith, sheet, written, state.at, count), state.faith
    )
    loops = jnp.where(full, _looped(state.loops, written, bar, count), state.loops)
    ended = full & (count + 1 == sheet.bars[state.at])
    return state._replace(
        tokens=state.tokens.at[at].set(token),
        place=state.place.at[at].set(bar),
        slot=state.slot.at[at].set(slot),
        length=at + 1,
        match=longer["match"],
        roots=longer["roots"],
        written=written,
        bar=bar + full,
        at=state.at + ended,
        inside=jnp.where(full, 0, inside),
        faith=jnp.where(ended, 0, faith),
        loops=jnp.where(ended, 0, loops),
    )


def _compared(faith, sheet: Sheet, written, at, count) -> jax.Array:
    """Faithfulness to each earlier section with one more bar."""
    bar = written[sheet.start[at] + count]
    there = written[jnp.minimum(sheet.start + count, len(written) - 1)]
    earlier = jnp.arange(len(sheet.start)) < at
    known = earlier & (count < sheet.bars)
    equal = known & (there == bar[None]).all(axis=1)
    same, other, run = faith
    return jnp.stack(
        [
            same + equal,
            other + (known & ~equal),
            jnp.where(equal, run + 1, jnp.where(known, 0, run)),
        ]
    )


def _looped(loops, written, bar, count) -> jax.Array:
    """How the section repeats itself at each lag, with one more bar."""
    lags = jnp.arange(1, 17)
    there = written[jnp.maximum(bar - lags, 0)]
    near = lags <= count
    again = near & (there == written[bar][None]).all(axis=1)
    compared, same, run = loops
    return jnp.stack([compared + near, same + again, jnp.where(again, run + 1, 0)])


def _told(state: _State, sheet: Sheet) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Setting, hint and relations of the next token: Cursor.tell in JAX."""
    at = jnp.minimum(state.at, len(sheet.start) - 1)
    bar = jnp.minimum(state.bar, len(state.written) - 1)
    count = bar - sheet.start[at]
    slot = _slot(state)
    features = {
        "meter": sheet.header[0],
        "mode": sheet.header[1],
        "label": sheet.labels[at],
        "section": jnp.minimum(at, FEATURES["section"] - 1),
        "returns": sheet.returns[at],
        "place": jnp.minimum(count, 32),
        "bars_left": jnp.minimum(sheet.bars[at] - count, 33),
        "slot": slot,
    }
    back = state.length - 1 - jnp.arange(LATEST)
    latest = jnp.where(back >= 0, state.tokens[jnp.maximum(back, 0)], 0)
    return (
        setting(features, latest, xp=jnp),
        _echo(state, sheet, sheet.model[at], count),
        _relations(state, sheet, at, bar, count, slot),
    )


def _echo(state: _State, sheet: Sheet, section, count) -> jax.Array:
    """What `section` has in its bar `count` at the place that this bar has reached."""
    first = sheet.start[section] + count
    # Of the present section only what is written, of others what they have.
    there = (section >= 0) & (count >= 0) & (count < sheet.bars[section])
    there &= first < state.bar
    bar = state.written[jnp.clip(first, 0, len(state.written) - 1)]
    now = state.written[jnp.minimum(state.bar, len(state.written) - 1)]
    chords = _parts(bar[0]) - 1
    parts = jnp.maximum(_parts(now[0]) - 1, 1)
    place = jnp.minimum((state.inside - 1) * chords // parts, chords - 1)
    inner = bar[jnp.clip(1 + place, 0, 4)]
    token = jnp.where((state.inside == 0) | (chords == 0), bar[0], inner)
    return jnp.where(there, token, 0)


def _relations(state: _State, sheet: Sheet, at, bar, count, slot) -> jax.Array:
    """Recall.row in JAX: [chords, RELATIONS]."""
    token, place = state.tokens, state.place
    bounds = jnp.where(sheet.bars > 0, sheet.start, len(state.written) + 1)
    section = jnp.searchsorted(bounds, place, side="right") - 1
    theirs = place - sheet.start[section]
    left = sheet.bars[section] - theirs
    here = section == at
    known = token != UNKNOWN_OF["chord"]
    possible = known & ((slot == 0) | ~jnp.asarray(_DIVIDES)[token])
    matches = jnp.asarray(recall.MATCHES)
    matched = matches[jnp.minimum(state.match, 255)]
    apart = jnp.clip(bar - place, 0, len(recall.DISTANCES) - 1)
    shift = count - theirs
    ends = sheet.bars[at] - count == left
    shifted = jnp.asarray(recall.SHIFTS)[shift % 8]
    aligned = jnp.where(shift == 0, jnp.where(ends, 0, 1), jnp.where(ends, 2, shifted))
    faith = recall.faithfulness(*state.faith, xp=jnp)
    loops = recall.looping(*state.loops, xp=jnp)
    near = here & (apart <= 16) & (apart > 0)
    rows = {
        "match": jnp.where(possible, matched, 0),
        "roots": matches[jnp.minimum(state.roots, 255)],
        "slots": jnp.asarray(recall.SLOTS)[slot, state.slot],
        "distance": jnp.asarray(recall.DISTANCES)[apart] + 21 * here,
        "alignment": aligned + 7 * sheet.kin[at, section],
        "faithfulness": jnp.where(here, 12, faith[section]) + 13 * (shift == 0),
        "looping": jnp.where(near, loops[jnp.clip(apart - 1, 0, 15)], 0),
        "metre": 4 * (count % 4) + theirs % 4 + 16 * here,
    }
    ordered = [rows[name].astype(jnp.uint8) for name in RELATIONS]
    return jnp.stack(ordered, axis=-1)
