"""The transformer and its NumPy twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from structure.recall import RELATIONS, Recalled
from structure.sequencer import Sequencer, SequencerConfig
from structure.transformer import Chords, SequencerNetwork
from structure.vocabulary import FEATURES, FIRST_OF, HINTS, KINDS, OUTCOMES, TOKENS

TINY = SequencerConfig(
    width=16, layers=2, heads=2, hidden=24, hint_width=4, recall_width=6
)


def song(batch=2, time=12, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, len(TOKENS), (batch, time))
    features = np.stack(
        [rng.integers(0, size, (batch, time)) for size in FEATURES.values()], axis=-1
    )
    hints = rng.integers(0, len(TOKENS), (batch, time, HINTS))
    return tokens, features, hints


def chords(tokens, features, first, seed=0):
    """The last targets of a song are chords, related to one another at random."""
    rng = np.random.default_rng(seed)
    features[..., 0] %= KINDS.index("chord")
    features[:, first:, 0] = KINDS.index("chord")
    count = tokens.shape[1] - first
    low, high = FIRST_OF["chord"], FIRST_OF["chord"] + 108
    tokens[:, first + 1 :] = rng.integers(low, high, (len(tokens), count - 1))
    sizes = list(RELATIONS.values())
    relations = rng.integers(0, sizes, (len(tokens), count, count, len(sizes)))
    relations *= np.tri(count, k=-1, dtype=int)[:, :, None]
    sources = np.zeros([len(tokens), count], int)
    sources[:, :-1] = tokens[:, first + 1 :]
    return Chords(
        relations.astype(np.uint8), sources, np.full([len(tokens)], first, np.int32)
    )


def loud(network):
    """Weights large enough that a slip would be heard in the logits."""
    state = nnx.state(network, nnx.Param)
    nnx.update(network, nnx.map_state(lambda path, x: x * 4, state))
    return network


@pytest.mark.parametrize("block", [1, 3, 12])
def test_a_song_scores_the_same_however_it_is_cut(block):
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    tokens, features, hints = song()
    whole, _ = network(tokens, features, hints)
    past, parts = network.silence(2, 12), []
    for start in range(0, 12, block):
        part = slice(start, start + block)
        logits, past = network(tokens[:, part], features[:, part], hints[:, part], past)
        parts.append(logits)
    assert int(past.length) == 12
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, atol=1e-4)


def test_changing_the_future_leaves_the_past_alone():
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    tokens, features, hints = song()
    other_tokens, other_features, other_hints = song(seed=1)
    before, _ = network(tokens, features, hints)
    for array, other in (
        (tokens, other_tokens),
        (features, other_features),
        (hints, other_hints),
    ):
        array[:, 7:] = other[:, 7:]
    after, _ = network(tokens, features, hints)
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert not np.allclose(before[:, 7:], after[:, 7:])


def test_a_chord_knows_nothing_of_later_chords():
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    tokens, features, hints = song()
    known = chords(tokens, features, first=3)
    before, _ = network(tokens, features, hints, chords=known)
    other = chords(tokens.copy(), features, 3, seed=1)
    known.relations[:, 5:] = other.relations[:, 5:]
    tokens[:, 8 + 1 :] = known.sources[:, 5:-1] = FIRST_OF["chord"]
    after, _ = network(tokens, features, hints, chords=known)
    np.testing.assert_array_equal(before[:, :8], after[:, :8])
    assert not np.allclose(before[:, 8:], after[:, 8:])


def test_odds_of_chords_taken_and_new_sum_to_one():
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    tokens, features, hints = song()
    known = chords(tokens, features, first=3)
    logits, _ = network(tokens, features, hints, chords=known)
    np.testing.assert_allclose(jnp.exp(logits[:, 3:]).sum(axis=-1), 1, atol=1e-5)


def test_a_chord_that_no_candidate_names_is_new():
    """Without candidates the odds are those of a network that cannot recall."""
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    tokens, features, hints = song()
    known = chords(tokens, features, first=3)
    plain, _ = network(tokens, features, hints)
    none = known._replace(relations=np.zeros_like(known.relations))
    alone, _ = network(tokens, features, hints, chords=none)
    np.testing.assert_allclose(
        jax.nn.softmax(alone), jax.nn.softmax(plain), atol=1e-6, rtol=1e-5
    )


def test_numpy_steps_agree_with_the_trained_network(tmp_path):
    from hierarchy.training.checkpoint import write_model

    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(3)))
    write_model(tmp_path / "sequencer", network, TINY)
    sequencer = Sequencer.read(tmp_path / "sequencer")
    tokens, features, hints = song(batch=1)
    known = chords(tokens, features, first=4)
    whole, _ = network(tokens, features, hints, chords=known)
    past = sequencer.silence(12)
    for place in range(12):
        chord, recalled = place - 4, None
        if chord >= 0:
            relations = known.relations[0, chord, :chord]
            recalled = Recalled(relations, known.sources[0, :chord])
        logits, past = sequencer.step(
            tokens[0, place], features[0, place], hints[0, place], past, recalled
        )
        possible = OUTCOMES[features[0, place, 0]]
        np.testing.assert_allclose(
            logits[possible], whole[0, place][possible], atol=1e-4, rtol=1e-4
        )


def test_only_tokens_of_the_kind_that_is_due_can_follow():
    network = SequencerNetwork(TINY, rngs=nnx.Rngs(0))
    tokens, features, hints = song(batch=1, time=len(KINDS))
    features[0, :, 0] = np.arange(len(KINDS))
    logits, _ = network(tokens, features, hints)
    np.testing.assert_array_equal(np.asarray(logits[0]) > -1e6, OUTCOMES)


def test_a_draft_can_be_taken_back():
    sequencer = Sequencer.untrained(TINY, seed=0)
    tokens, features, hints = song(batch=1)
    steps = list(zip(tokens[0], features[0], hints[0], strict=True))
    start = sequencer.silence(12)
    _, first = sequencer.step(*steps[0], start)
    expected, _ = sequencer.step(*steps[1], first)
    _, draft = sequencer.step(*steps[5], first)
    sequencer.step(*steps[6], draft)
    again, _ = sequencer.step(*steps[1], first)
    np.testing.assert_array_equal(again, expected)
