"""The transformer and its NumPy twin."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from structure.recall import RELATIONS, Recalled
from structure.sequencer import DIVIDES, Sequencer, SequencerConfig
from structure.setting import latest, setting
from structure.transformer import SequencerNetwork
from structure.vocabulary import FEATURES, FIRST_OF, HINTS, KINDS, OUTCOMES, TOKENS

TINY = SequencerConfig(
    width=16, layers=2, heads=2, hidden=24, hint_width=4, recall_width=6, chord_hidden=8
)


def song(batch=2, time=12, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, len(TOKENS), (batch, time))
    features = np.stack(
        [rng.integers(0, size, (batch, time)) for size in FEATURES.values()], axis=-1
    )
    hints = rng.integers(0, len(TOKENS), (batch, time, HINTS))
    return tokens, features, hints


def chords(count=9, batch=2, seed=0):
    """Features, relations and tokens of chords that stand anyhow to one another."""
    rng = np.random.default_rng(seed)
    features = np.stack(
        [rng.integers(0, size, (batch, count)) for size in FEATURES.values()], axis=-1
    )
    features[..., 0] = KINDS.index("chord")
    first = FIRST_OF["chord"]
    sources = rng.integers(first, first + 108, (batch, count)).astype(np.int32)
    sizes = list(RELATIONS.values())
    relations = rng.integers(0, sizes, (batch, count, count, len(sizes)))
    relations *= np.tri(count, k=-1, dtype=int)[:, :, None]
    return features, relations.astype(np.uint8), sources


def odds_of(network, features, relations, sources):
    """Log odds of each chord: what training sees."""
    before = np.stack([latest(row)[:-1] for row in sources])
    named = dict(zip(FEATURES, np.moveaxis(features, -1, 0), strict=True))
    return network.chords(setting(named, before), relations, sources)


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
    features, relations, sources = chords()
    before = odds_of(network, features, relations, sources)
    _, other, others = chords(seed=1)
    relations[:, 6:], sources[:, 5:] = other[:, 6:], others[:, 5:]
    after = odds_of(network, features, relations, sources)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert not np.allclose(before[:, 6:], after[:, 6:])


def test_odds_of_chords_taken_and_new_sum_to_one():
    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(0)))
    odds = jnp.exp(odds_of(network, *chords()))
    np.testing.assert_allclose(odds.sum(axis=-1), 1, atol=1e-5)


def test_a_bar_that_has_begun_is_not_divided_again():
    network = SequencerNetwork(TINY, rngs=nnx.Rngs(0))
    features, relations, sources = chords()
    slots = features[..., list(FEATURES).index("slot")]
    slots[:, ::2] = 0
    slots[:, 1::2] = 4
    odds = jnp.exp(odds_of(network, features, relations, sources))[..., DIVIDES]
    assert (odds[:, 1::2] < 1e-9).all() and (odds[:, ::2] > 1e-6).all()


def test_numpy_steps_agree_with_the_trained_network(tmp_path):
    from hierarchy.training.checkpoint import write_model

    network = loud(SequencerNetwork(TINY, rngs=nnx.Rngs(3)))
    write_model(tmp_path / "sequencer", network, TINY)
    sequencer = Sequencer.read(tmp_path / "sequencer")
    tokens, features, hints = song(batch=1)
    whole, _ = network(tokens, features, hints)
    past = sequencer.silence(12)
    for place in range(12):
        logits, past = sequencer.step(
            tokens[0, place], features[0, place], hints[0, place], past
        )
        possible = OUTCOMES[features[0, place, 0]]
        np.testing.assert_allclose(
            logits[possible], whole[0, place][possible], atol=1e-4, rtol=1e-4
        )
    features, relations, sources = chords(batch=1)
    whole = odds_of(network, features, relations, sources)[0]
    for chord in range(len(sources[0])):
        recalled = Recalled(relations[0, chord, :chord], sources[0, :chord])
        odds = sequencer.chord(features[0, chord], recalled)
        possible = OUTCOMES[KINDS.index("chord")]
        assert np.isinf(odds[~possible]).all()
        np.testing.assert_allclose(
            odds[possible],
            whole[chord][possible[FIRST_OF["chord"] :]],
            atol=1e-4,
            rtol=1e-4,
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
