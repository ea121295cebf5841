"""What the sequencer sees in a training step."""

import numpy as np
import pytest

from hierarchy.configs import find_config
from hierarchy.macro.learning import SequencerRecipe
from hierarchy.macro.song_batches import (
    SequencerData,
    SongBatches,
    validation_batches,
)
from structure.annotations import song_from_plan
from structure.encoding import encode
from structure.errors import RequestError
from structure.plan import Section, SongPlan

DATA = SequencerData(batch_tokens=256, lengths=(32, 64), chords=(32, 64), whole=1.0)


def song(bars, name):
    section = Section(label="verse", letter="A", chords=(("C",), ("F",)) * bars)
    return song_from_plan(SongPlan(sections=(section,) * 2), id=name)


SONGS = [song(bars, f"{bars}") for bars in (1, 2, 3, 9, 10, 11)]


def test_a_batch_follows_from_its_step_alone():
    one, other = (SongBatches(SONGS, [], data=DATA, seed=1) for _ in range(2))
    for step in (5, 0, 17):
        for name, array in one(step).items():
            np.testing.assert_array_equal(array, other(step)[name])


def foreseen(batch):
    """How much there is to foresee in each row."""
    return (batch["known"].sum(axis=1) + batch["chords_known"].sum(axis=1)).tolist()


def test_every_song_comes_in_an_epoch():
    batches = SongBatches(SONGS, [], data=DATA, seed=1)
    seen = set()
    for step in range(2):  # eight songs a batch, two lengths
        batch = batches(step)
        assert batch["tokens"].shape[0] == 8
        seen |= set(foreseen(batch))
    assert seen == {float(encode(one).known.sum()) for one in SONGS}


def test_padding_is_nothing_to_foresee():
    (short, _) = validation_batches(SONGS, DATA)
    assert short["tokens"].shape == (8, 32) and short["sources"].shape == (8, 32)
    for row, one in enumerate(SONGS[:3]):
        encoded = encode(one)
        assert foreseen(short)[row] == encoded.known.sum()
        assert not short["known"][row, encoded.first_chord :].any()
        assert not short["chords_known"][row, len(encoded.chords) :].any()
        np.testing.assert_array_equal(
            short["sources"][row, : len(encoded.chords)], encoded.chords
        )
    assert not any(foreseen(short)[3:])


def test_songs_that_are_too_long_are_cut():
    small = SequencerData(batch_tokens=64, lengths=(6,), chords=(4,))
    (batch, *_) = validation_batches(SONGS[-1:], small)
    encoded = encode(SONGS[-1])
    np.testing.assert_array_equal(batch["tokens"][0], encoded.tokens[:6])
    np.testing.assert_array_equal(batch["sources"][0], encoded.chords[:4])
    np.testing.assert_array_equal(batch["relations"][0], encoded.relations[:4, :4])


def test_songs_of_ones_own_get_their_share():
    own = [song(5, "own")]
    batches = SongBatches(SONGS, own, data=DATA, seed=1)
    assert batches.pool.count(len(SONGS)) == len(SONGS)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(RequestError, match="no song"):
        SongBatches([], [], data=DATA, seed=1)


def test_the_default_recipe_can_be_read():
    assert SequencerRecipe.read(find_config("sequencer")).fit.steps > 100
