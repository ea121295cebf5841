"""The transformer: tokens, features and hints to what each next token of a form can be.

Decoder-only, rotary positions (Su et al., arXiv:2104.09864), gated feed-forward
(Shazeer, arXiv:2002.05202), normalised before each part (RMSNorm, Zhang and
Sennrich, arXiv:1910.07467). Besides its vocabulary it can point: each hint's
logit is raised by a learned gate, as pointer networks do (See et al.,
arXiv:1704.04368), so that a section can return without being memorised. Once the
form stands, its chords come from `structure.chord_network`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from structure.chord_network import IMPOSSIBLE, ChordNetwork, table
from structure.sequencer import Sequencer, SequencerConfig
from structure.vocabulary import FEATURES, HINTS, OUTCOMES, TOKENS


class Past(NamedTuple):
    """Keys and values of the tokens so far.

    Attributes:
        keys: [layers, batch, capacity, heads, head width].
        values: same shape.
        length: int32 scalar, how many places are filled.
    """

    keys: jax.Array
    values: jax.Array
    length: jax.Array


class Block(nnx.Module):
    """Attention to the past, then a gated feed-forward, each added to its input."""

    def __init__(self, config: SequencerConfig, *, rngs: nnx.Rngs):
        width, hidden = config.width, config.hidden
        self.heads = config.heads
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.attend = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.join = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.norm_after = nnx.RMSNorm(width, rngs=rngs)
        self.widen = nnx.Linear(width, 2 * hidden, use_bias=False, rngs=rngs)
        self.narrow = nnx.Linear(hidden, width, use_bias=False, rngs=rngs)

    def __call__(self, x, keys, values, length, drop):
        """Map x [batch, time, width]; write its keys and values behind `length`."""
        batch, time, width = x.shape
        split = (batch, time, self.heads, width // self.heads)
        query, key, value = jnp.split(self.attend(self.norm(x)), 3, axis=-1)
        places = length + jnp.arange(time)
        query = _rotated(query.reshape(split), places)
        key = _rotated(key.reshape(split), places)
        start = (0, length, 0, 0)
        keys = jax.lax.dynamic_update_slice(keys, key, start)
        values = jax.lax.dynamic_update_slice(values, value.reshape(split), start)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, keys) / np.sqrt(split[-1])
        past = jnp.arange(keys.shape[1])[None, :] <= places[:, None]
        weights = jax.nn.softmax(jnp.where(past[None, None], scores, IMPOSSIBLE))
        heard = jnp.einsum("bhqk,bkhd->bqhd", weights, values)
        x = x + drop(self.join(heard.reshape(x.shape)))
        gate, up = jnp.split(self.widen(self.norm_after(x)), 2, axis=-1)
        return x + drop(self.narrow(jax.nn.silu(gate) * up)), keys, values


class SequencerNetwork(nnx.Module):
    """Next-token logits of a form; the past goes in and comes out.

    Training passes whole forms, composing one token at a time; both run this.

    Attributes:
        chords: the odds of the chords once the form stands.
    """

    def __init__(self, config: SequencerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width
        self.tokens = table(len(TOKENS), width, rngs)
        self.features = table(sum(FEATURES.values()), width, rngs)
        self.hints = table(HINTS * len(TOKENS), config.hint_width, rngs)
        self.hint = nnx.Linear(
            HINTS * config.hint_width, width, use_bias=False, rngs=rngs
        )
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.out = nnx.Linear(width, len(TOKENS), rngs=rngs)
        self.point = nnx.Linear(width, HINTS, rngs=rngs)
        self.chords = ChordNetwork(config, rngs=rngs)

    @classmethod
    def holding(cls, sequencer: Sequencer) -> SequencerNetwork:
        """The network with the weights of a trained sequencer."""
        network = cls(sequencer.config, rngs=nnx.Rngs(0))
        state = nnx.state(network, nnx.Param)
        for path, param in nnx.to_flat_state(state):
            name = ".".join(str(part) for part in path)
            param.set_value(jnp.asarray(sequencer.weights[name]))
        nnx.update(network, state)
        return network

    def silence(self, batch: int, capacity: int) -> Past:
        """The past before the first token, with room for `capacity` tokens."""
        config = self.config
        shape = (
            config.layers,
            batch,
            capacity,
            config.heads,
            config.width // config.heads,
        )
        return Past(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros([], jnp.int32))

    def __call__(
        self,
        tokens: jax.Array,
        features: jax.Array,
        hints: jax.Array,
        past: Past | None = None,
        *,
        drop: Dropout | None = None,
    ) -> tuple[jax.Array, Past]:
        """Score what can follow each token.

        Args:
            tokens: int [batch, time].
            features: int [batch, time, features], known before the next token.
            hints: int [batch, time, HINTS], likely next tokens.
            past: from `silence` or an earlier call; None starts a song that
                fits exactly.
            drop: drops activations while training; None keeps all.

        Returns:
            Logits [batch, time, tokens], IMPOSSIBLE outside the kind that is
            due, and the past with these tokens added.
        """
        batch, time = tokens.shape
        if past is None:
            past = self.silence(batch, time)
        drop = drop or Dropout(0.0, None)
        offsets = np.cumsum([0, *FEATURES.values()])[:-1]
        x = self.tokens[...][tokens]
        x = x + self.features[...][features + offsets[None, None]].sum(axis=2)
        apart = hints + len(TOKENS) * np.arange(HINTS)[None, None]
        x = x + self.hint(self.hints[...][apart].reshape(batch, time, -1))
        x = drop(x)
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            x, key, value = block(
                x, past.keys[layer], past.values[layer], past.length, drop
            )
            keys.append(key)
            values.append(value)
        x = self.norm(x)
        logits, gates = self.out(x), self.point(x)
        for place in range(HINTS):
            named = jax.nn.one_hot(hints[..., place], len(TOKENS))
            logits = logits + gates[..., place, None] * named
        possible = jnp.asarray(OUTCOMES)[features[..., 0]]
        logits = jnp.where(possible, logits, IMPOSSIBLE)
        past = Past(jnp.stack(keys), jnp.stack(values), past.length + time)
        return logits, past


@dataclasses.dataclass
class Dropout:
    """Zero a share of the activations, a fresh draw at each call."""

    share: float
    key: jax.Array | None
    calls: int = 0

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.key is None or self.share == 0:
            return x
        self.calls += 1
        key = jax.random.fold_in(self.key, self.calls)
        kept = jax.random.bernoulli(key, 1 - self.share, x.shape)
        return jnp.where(kept, x / (1 - self.share), 0.0)


def _rotated(x: jax.Array, places: jax.Array) -> jax.Array:
    """Turn each pair of features of x [batch, time, heads, width] by its place."""
    half = x.shape[-1] // 2
    turns = 1000.0 ** (-np.arange(half, dtype=np.float32) / half)
    angle = places[:, None] * turns[None, :]
    cos, sin = jnp.cos(angle)[None, :, None], jnp.sin(angle)[None, :, None]
    left, right = x[..., :half], x[..., half:]
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], -1)
