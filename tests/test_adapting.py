"""A sequencer that was trained on some songs learns an album, and says less of surprise."""

import dataclasses

import pytest

from hierarchy.configs import find_config
from hierarchy.macro.learning import SequencerRecipe, train_on_songs
from hierarchy.macro.song_batches import SequencerData
from hierarchy.training.recipe import FitConfig
from structure.annotations import song_from_plan
from structure.errors import RequestError
from structure.plan import Section, SongPlan
from structure.scoring import score, sequencer_bits
from structure.sequencer import Sequencer, SequencerConfig

LOOPS = (
    (("C",), ("G",), ("A:min",), ("F",)),
    (("F",), ("C",), ("G",), ("G",)),
    (("A:min",), ("F",), ("C",), ("G",)),
)
RECIPE = SequencerRecipe(
    model=SequencerConfig(
        width=16,
        layers=1,
        heads=2,
        hidden=16,
        hint_width=4,
        recall_width=4,
        chord_hidden=8,
    ),
    data=SequencerData(batch_tokens=512, lengths=(64,), chords=(64,), whole=1.0),
    fit=FitConfig(
        steps=30,
        learning_rate=1e-2,
        warmup_steps=2,
        ema_decay=None,
        validate_every=30,
        checkpoint_every=30,
    ),
)


def song(number, *, labels=("verse", "chorus"), split="train"):
    """Four sections, each one of the loops twice."""
    sections = tuple(
        Section(
            label=labels[place % 2],
            letter="AB"[place % 2],
            energy=0.5,
            chords=LOOPS[(number + place % 2) % 3] * 2,
        )
        for place in range(4)
    )
    plan = SongPlan(key="C", tempo=100, sections=sections)
    return song_from_plan(plan, id=f"song {number}", split=split)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    train_on_songs(out, [song(number) for number in range(8)], recipe=RECIPE)
    return out


def test_bits_of_an_albums_left_out_song_go_down(trained, tmp_path):
    strange = ("solo", "interlude")
    album = [song(number, labels=strange) for number in range(1, 9)]
    left_out = [song(0, labels=strange)]
    train_on_songs(tmp_path, (), album, recipe=RECIPE, start_from=trained)
    before, after = (
        score(sequencer_bits(Sequencer.read(folder)), left_out)
        for folder in (trained, tmp_path)
    )
    assert after["label"].bits < before["label"].bits - 1
    assert after["chord"].bits < before["chord"].bits
    assert Sequencer.read(tmp_path).config.knows_energy


def test_an_album_is_adapted_to_with_a_preset_of_its_own():
    adapt = SequencerRecipe.read(find_config("adapt-sequencer"))
    anew = SequencerRecipe.read(find_config("sequencer"))
    assert adapt.fit.learning_rate < anew.fit.learning_rate
    assert adapt.fit.steps < anew.fit.steps
    # The shape comes from what is adapted; the data has to fit it all the same.
    assert dataclasses.asdict(adapt.model) == dataclasses.asdict(anew.model)


def test_nothing_to_adapt_to_is_refused(trained, tmp_path):
    with pytest.raises(RequestError, match="no songs to learn from"):
        train_on_songs(tmp_path, (), (), recipe=RECIPE, start_from=trained)
