"""Energies are drawn as real songs have them, within what every song keeps to."""

import numpy as np
import pytest

from hierarchy.macro.performing import SAME_COLOUR
from structure.composing import compose
from structure.dynamics import brightness, energies
from structure.requests import SongRequest
from tests.test_composing import UNTRAINED

SONG = [
    "intro",
    "verse",
    "chorus",
    "verse",
    "chorus",
    "bridge",
    "chorus",
    "solo",
    "interlude",
    "outro",
]
SEEDS = range(400)


@pytest.fixture(scope="module")
def drawn():
    return np.array([energies(SONG, seed=seed) for seed in SEEDS])


def of(drawn, label):
    return drawn[:, [i for i, name in enumerate(SONG) if name == label]]


def test_in_every_song_choruses_stand_above_verses_and_edges_below(drawn):
    verses, choruses = of(drawn, "verse"), of(drawn, "chorus")
    assert (choruses.min(axis=1) >= verses.max(axis=1) + 0.079).all()
    for edge in ("intro", "outro"):
        assert (of(drawn, edge)[:, 0] <= verses.min(axis=1) - 0.079).all()
    assert (drawn >= 0.05).all() and (drawn <= 0.98).all()


def test_energies_vary_from_song_to_song_more_than_within_an_idea(drawn):
    for label, least in [("verse", 0.06), ("chorus", 0.06), ("outro", 0.05)]:
        assert of(drawn, label)[:, 0].std() > least
    choruses = of(drawn, "chorus")
    assert choruses.std(axis=1).mean() < 0.7 * choruses[:, 0].std()
    assert len({tuple(row) for row in drawn}) == len(drawn)


def test_labels_are_ordered_as_in_real_songs_on_average(drawn):
    # energy_priors.json: intro < outro < interlude < verse's returns < bridge < chorus.
    mean = {label: of(drawn, label).mean() for label in SONG}
    order = ["intro", "outro", "verse", "bridge", "chorus"]
    assert sorted(order, key=mean.get) == order
    # A second verse is about 1.2 dB louder than the first.
    verses = of(drawn, "verse")
    assert 0.02 < (verses[:, 1] - verses[:, 0]).mean() < 0.2


def test_sections_of_two_ideas_are_drawn_apart():
    labels = ["verse", "verse", "verse", "verse"]
    one = np.array([energies(labels, "AABB", seed=seed) for seed in SEEDS])
    within = np.abs(one[:, 3] - one[:, 2]).mean()
    between = np.abs(one[:, 2] - one[:, 1]).mean()
    assert between > 1.5 * within


@pytest.mark.parametrize(
    "labels", [SONG, ["verse", "chorus"] * 4, ["verse", "prechorus", "chorus"] * 3]
)
def test_no_return_is_so_much_brighter_that_it_is_another_sound(labels):
    for seed in SEEDS:
        first = {}
        for label, energy in zip(labels, energies(labels, seed=seed), strict=True):
            colour = brightness(energy)
            assert abs(colour - first.setdefault(label, colour)) < SAME_COLOUR


def test_a_composed_song_has_them_and_what_is_asked_stays():
    request = SongRequest(form="verse-chorus")
    plans = [compose(UNTRAINED, request, seed=seed) for seed in (1, 2)]
    assert [s.energy for s in plans[0].sections] != [
        s.energy for s in plans[1].sections
    ]
    for plan in plans:
        energy = {s.label: s.energy for s in plan.sections}
        assert energy["chorus"] > energy["verse"] > energy["outro"]
