"""A sequencer that was trained on some songs learns an album, and says less of surprise."""

import dataclasses

import pytest

from hierarchy.configs import find_config
from hierarchy.macro.adapting import Caution
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


CAUTIOUS = dataclasses.replace(
    RECIPE,
    caution=Caution(folds=3, outcomes_a_step=10),
    fit=dataclasses.replace(RECIPE.fit, final_fraction=1.0, warmup_steps=0),
)


def test_an_album_of_one_kind_is_learned_for_as_long_as_it_teaches(trained, tmp_path):
    strange = ("solo", "interlude")
    album = [song(number, labels=strange) for number in range(6)]
    told = []
    result = train_on_songs(
        tmp_path,
        (),
        album,
        recipe=CAUTIOUS,
        start_from=trained,
        progress=told.append,
    )
    assert 1 < result.steps <= CAUTIOUS.fit.steps
    asked = [one.validation for one in told if one.validation is not None]
    assert asked[0] > asked[-1] > 0


def test_what_only_unlearns_leaves_the_sequencer_as_it_is(trained, tmp_path):
    recipe = dataclasses.replace(
        CAUTIOUS, fit=dataclasses.replace(CAUTIOUS.fit, learning_rate=1.0)
    )
    album = [song(number) for number in range(5)]
    result = train_on_songs(tmp_path, (), album, recipe=recipe, start_from=trained)
    assert result.steps == 0 and result.finished
    for name in ("config.json", "weights.safetensors"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_two_songs_are_too_few_to_learn_from(trained, tmp_path):
    album = [song(number) for number in range(2)]
    result = train_on_songs(tmp_path, (), album, recipe=CAUTIOUS, start_from=trained)
    assert result.steps == 0


def test_chords_learned_alone_leave_forms_as_they_were(trained, tmp_path):
    """A song without chords then teaches nothing, and is left out."""
    alone = dataclasses.replace(
        RECIPE, data=dataclasses.replace(RECIPE.data, chords_alone=True)
    )
    silent = song(5)
    silent = dataclasses.replace(
        silent,
        id="silent",
        sections=tuple(dataclasses.replace(s, chords=None) for s in silent.sections),
    )
    album = [song(number, labels=("solo", "outro")) for number in range(4)]
    train_on_songs(tmp_path, [*album, silent], recipe=alone, start_from=trained)
    before, after = (Sequencer.read(folder).weights for folder in (trained, tmp_path))
    for name, weights in before.items():
        assert (weights == after[name]).all() != name.startswith("chords."), name
    with pytest.raises(RequestError, match="no song"):
        train_on_songs(tmp_path / "no", [silent], recipe=alone, start_from=trained)
