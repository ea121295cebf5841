"""The odds of a chord: taken from the song so far, or new.

Every earlier chord is a candidate. What it is worth follows from how it stands to
the chord that is due (`structure.recall`) and from where that is
(`structure.setting`); candidates that agree add up. What none of them explains is
new, and drawn by the setting alone. A pointer (See et al., arXiv:1704.04368) whose
attention knows the ways in which songs repeat. It hears nothing of the form beyond
its setting: a few hundred songs are too few to tell what else matters from chance.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from structure.recall import RELATIONS
from structure.sequencer import DIVIDES, TINY, SequencerConfig
from structure.setting import CHORDS, INSIDE, SETTING, SLOT
from structure.vocabulary import FIRST_OF

IMPOSSIBLE = -1e9
"""The logit of a token that cannot stand here; finite, so that gradients are."""


class ChordNetwork(nnx.Module):
    """Log odds of each chord; training passes songs, composing one chord at a time."""

    def __init__(self, config: SequencerConfig, *, rngs: nnx.Rngs):
        recall, hidden = config.recall_width, config.chord_hidden
        self.widths = (recall, recall, hidden)
        self.relations = table(sum(RELATIONS.values()), recall, rngs, scale=0.1)
        self.sources = table(CHORDS, recall, rngs)
        self.setting = table(sum(SETTING.values()), sum(self.widths), rngs, scale=0.1)
        self.weigh = nnx.Param(0.3 * jax.random.normal(rngs.params(), (recall,)))
        self.widen = nnx.Linear(hidden, 2 * hidden, rngs=rngs)
        self.invent = nnx.Linear(2 * hidden, 1, rngs=rngs)
        self.draw = nnx.Linear(2 * hidden, CHORDS, rngs=rngs)

    def __call__(
        self,
        setting: jax.Array,
        relations: jax.Array,
        sources: jax.Array,
        drop: Callable[[jax.Array], jax.Array] = lambda x: x,
    ) -> jax.Array:
        """Weigh the candidates against one another and against a new chord.

        Args:
            setting: int [batch, chords, SETTING], rows of the table.
            relations: uint8 [batch, chords, places, RELATIONS], of each chord that is
                due to those before it; 0 where there is no candidate.
            sources: int [batch, places], the tokens there.
            drop: drops activations.

        Returns:
            Log odds [batch, chords, CHORDS].
        """
        recall, _, _ = self.widths
        told = self.setting[...][setting.astype(jnp.int32)].sum(axis=2)
        asked, weights, hidden = jnp.split(told, [recall, 2 * recall], axis=-1)
        which = jnp.maximum(sources - FIRST_OF["chord"], 0)
        seen = asked[:, :, None] + self.sources[...][which][:, None]
        offsets = np.cumsum([0, *RELATIONS.values()])[:-1]
        for place, offset in enumerate(offsets):
            rows = relations[..., place].astype(jnp.int32) + offset
            seen = seen + self.relations[...][rows]
        weights = drop(self.weigh[...][None, None] + weights)
        worth = jnp.einsum("bqpk,bqk->bqp", jax.nn.silu(seen), weights)
        worth = jnp.where(relations[..., 0] > 0, worth, IMPOSSIBLE)
        deep = jax.nn.silu(self.widen(drop(jax.nn.silu(hidden))))
        odds = jax.nn.softmax(jnp.concatenate([worth, self.invent(deep)], axis=-1))
        taken = jnp.einsum(
            "bqp,bpt->bqt", odds[..., :-1], jax.nn.one_hot(which, CHORDS)
        )
        inside = setting[..., SLOT, None] >= INSIDE
        divides = jnp.asarray(DIVIDES)[None, None]
        unknown = (jnp.arange(CHORDS) == CHORDS - 1)[None, None]
        cannot = (inside & divides) | unknown
        drawn = jnp.where(cannot, IMPOSSIBLE, self.draw(deep))
        return jnp.log(taken + odds[..., -1:] * jax.nn.softmax(drawn) + TINY)


def table(rows: int, width: int, rngs: nnx.Rngs, scale: float = 0.02) -> nnx.Param:
    """A row of weights for each of some values."""
    return nnx.Param(scale * jax.random.normal(rngs.params(), (rows, width)))
