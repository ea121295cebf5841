"""What the sequencer sees in a training step."""

import numpy as np
import pytest

from hierarchy.configs import find_config
from hierarchy.macro.learning import SequencerRecipe
from hierarchy.macro.song_batches import (
    FORM_TOKENS,
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


def test_every_song_comes_in_an_epoch():
    batches = SongBatches(SONGS, [], data=DATA, seed=1)
    seen = set()
    for step in range(2):  # eight songs a batch, two lengths
        batch = batches(step)
        assert batch["tokens"].shape[0] == 8
        seen |= set(batch["known"].sum(axis=1).tolist())
    assert seen == {float(encode(one).known.sum()) for one in SONGS}


def test_padding_is_nothing_to_foresee():
    (short, _) = validation_batches(SONGS, DATA)
    assert short["tokens"].shape == (8, 32 + FORM_TOKENS)
    for row, one in zip(short["known"], SONGS[:3], strict=False):
        assert row.sum() == encode(one).known.sum()
        assert not row[len(encode(one).tokens) :].any()
    assert not short["known"][3:].any()


def test_songs_of_ones_own_get_their_share():
    own = [song(5, "own")]
    batches = SongBatches(SONGS, own, data=DATA, seed=1)
    assert batches.pool.count(len(SONGS)) == len(SONGS)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(RequestError, match="no song"):
        SongBatches([], [], data=DATA, seed=1)


def test_the_default_recipe_can_be_read():
    assert SequencerRecipe.read(find_config("sequencer")).fit.steps > 100
