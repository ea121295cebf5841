"""Many songs at once have the chords that each has alone."""

import jax
import jax.export
import numpy as np
import pytest

from structure import many
from structure.composing_many import compose_many
from structure.errors import RequestError
from structure.many import sheet_of, write_chords
from structure.requests import SongRequest
from structure.sequencer import Sequencer, SequencerConfig
from structure.transformer import SequencerNetwork
from structure.vocabulary import (
    END,
    NUMBER,
    PARTS,
    TOKENS,
    UNKNOWN_OF,
    bars_token,
    tempo_token,
)
from structure.writing import Writer, choose

CONFIG = SequencerConfig(
    width=16, layers=2, heads=2, hidden=24, hint_width=4, recall_width=6, chord_hidden=8
)
FORMS = [
    [("intro", 0, 2), ("verse", 1, 4), ("chorus", 2, 8), ("verse", 1, 4)],
    [("verse", 0, 3), ("verse", 1, 5), ("chorus", 2, 4)],
    [
        ("verse", 0, 8),
        ("chorus", 1, 4),
        ("verse", 0, 9),
        ("solo", 1, 4),
        ("verse", 0, 8),
    ],
]
ROOM, SECTIONS, BARS = 120, 8, 40


@pytest.fixture(scope="module")
def sequencer():
    """Untrained, and opinionated enough to leave no odds alike."""
    quiet = Sequencer.untrained(CONFIG, seed=5)
    loud = {
        name: x if name.endswith("scale") else 12 * x
        for name, x in quiet.weights.items()
    }
    return Sequencer(CONFIG, loud)


@pytest.fixture(scope="module")
def network(sequencer):
    return SequencerNetwork.holding(sequencer)


def begun(sequencer, form, **knobs):
    """A writer that has written a form."""
    knobs = {"temperature": 1.0, "top_p": 0.9} | knobs
    writer = Writer(
        sequencer,
        source=NUMBER["source", "any"],
        capacity=400,
        rng=np.random.default_rng(0),
        **knobs,
    )
    header = (NUMBER["meter", "4/4"], tempo_token(100), NUMBER["mode", "maj"])
    for token in header:
        writer.push(token)
    for label, idea, bars in form:
        writer.push(NUMBER["label", label])
        writer.push(writer.cursor.letter_token(idea))
        writer.push(bars_token(bars))
        writer.push(UNKNOWN_OF["energy"])
    writer.push(END)
    return writer


def one_by_one(writer, numbers, fixed, weights, faithful, restless):
    """The plain way: each token from the writer's odds."""
    cursor, used, number = writer.cursor, iter(numbers), 0
    while not cursor.done:
        at, bars = cursor.at, cursor.sections[cursor.at].chords
        taste = weights[number].astype(float)
        if bars and len(bars[-1]) == 1:
            run = 1
            while run < len(bars) and bars[-1 - run] == bars[-1]:
                run += 1
            taste[bars[-1][0]] *= 0.5 ** (restless[at] * run)
        tokens = []
        while not tokens or len(tokens) < 1 + PARTS.get(tokens[0], 0):
            odds, hint = writer.odds(taste), writer.hints[0]
            if hint and cursor.allowed()[hint] and taste[hint] > 0:
                odds = (1 - faithful[at]) * odds
                odds[hint] += faithful[at]
            token = choose(odds, Fixed(next(used)))
            if number < len(fixed) and fixed[number] is not None:
                token = fixed[number][len(tokens)]
            writer.push(token)
            tokens.append(token)
        number += 1
    return [bar for section in cursor.sections for bar in section.chords]


class Fixed:
    """A generator of one number."""

    def __init__(self, number):
        self.random = lambda: float(number)


def test_a_song_among_many_has_the_chords_that_it_has_alone(sequencer, network):
    rng = np.random.default_rng(1)
    numbers = rng.random((len(FORMS), ROOM)).astype(np.float32)
    halves = [NUMBER["chord", "HALVES"], *[NUMBER["chord", "0:maj"]] * 2]
    fixed = [(), [None, [NUMBER["chord", "7:7"]], None, halves], ()]
    faithful = [[0, 0, 0, 0.7], [0, 0, 0], [0, 0, 0.5, 0, 0.9]]
    restless = [[0.5] * 4, [0] * 3, [1.0] * 5]
    writers, sheets, tastes = [], [], []
    for number, form in enumerate(FORMS):
        weights = rng.random((sum(bars for *_, bars in form), len(TOKENS)))
        weights[weights < 0.1] = 0.0
        weights[:, list(PARTS)] *= 100
        tastes.append(weights.astype(np.float32))
        writers.append(begun(sequencer, form))
        sheets.append(
            sheet_of(
                writers[-1].cursor,
                sections=SECTIONS,
                bars=BARS,
                fixed=fixed[number],
                weights=tastes[-1],
                faithful=faithful[number],
                restless=restless[number],
            )
        )
    together = write_chords(
        network, writers, sheets, numbers, temperature=1.0, top_p=0.9
    )
    for number, writer in enumerate(writers):
        alone = one_by_one(
            writer,
            numbers[number],
            fixed[number],
            tastes[number],
            faithful[number],
            restless[number],
        )
        assert together[number] == alone
        assert len(alone) == sum(bars for *_, bars in FORMS[number])
    # Songs of many bars and bars of several chords were among them.
    assert any(len(bar) > 1 for bar in together[2])


def test_a_temperature_of_nothing_takes_the_likeliest(sequencer, network):
    writers = [begun(sequencer, form, temperature=0.0) for form in FORMS]
    sheets = [
        sheet_of(writer.cursor, sections=SECTIONS, bars=BARS) for writer in writers
    ]
    one, other = (
        write_chords(
            network,
            writers,
            sheets,
            np.full([len(FORMS), ROOM], number, np.float32),
            temperature=0.0,
            top_p=0.9,
        )
        for number in (0.1, 0.9)
    )
    assert one == other


def test_songs_can_be_written_together_on_gpu_and_tpu(sequencer, network, monkeypatch):
    program, given = many._written, []
    monkeypatch.setattr(many, "_written", lambda *asked: given.append(asked) or 1 / 0)
    writer = begun(sequencer, FORMS[0])
    sheets = [sheet_of(writer.cursor, sections=SECTIONS, bars=BARS)]
    numbers = np.zeros([1, ROOM], np.float32)
    with pytest.raises(ZeroDivisionError):
        write_chords(network, [writer], sheets, numbers, temperature=1.0, top_p=0.9)
    exported = jax.export.export(program, platforms=("cuda", "tpu"))(*given[0])
    assert exported.platforms == ("cuda", "tpu")


def test_the_network_holds_what_the_sequencer_has(sequencer, network):
    assert (network.tokens[...] == sequencer.weights["tokens"]).all()
    assert (
        network.chords.widen.kernel[...] == sequencer.weights["chords.widen.kernel"]
    ).all()
    assert isinstance(network.out.bias[...], jax.Array)


REQUESTS = [
    SongRequest(form="V4 C4 V4 C4", key="A:min", tempo=90, melody=False),
    SongRequest(form="aaba", bars=32, mode="maj", meter="3/4", melody=False),
    SongRequest(form="V8 C8[F G Em Am] O4", key="C", variation=0.0, melody=False),
]


def test_songs_composed_together_have_what_was_asked_of_each(sequencer):
    minor, waltz, given = compose_many(sequencer, REQUESTS, seeds=[1, 2, 3])
    assert (minor.key, minor.tempo) == ("A:min", 90)
    assert [s.bars for s in minor.sections] == [4, 4, 4, 4]
    assert waltz.meter == "3/4" and waltz.key.endswith("maj")
    assert sum(s.bars for s in waltz.sections) == 32
    chorus = [bar for bar in given.sections[1].chords]
    assert [c for bar in chorus for c in bar] == ["F", "G", "Em", "Am"] * 2
    for plan in (minor, waltz, given):
        tonic = plan.key.partition(":")[0]
        assert plan.sections[0].chords[0][0].startswith(tonic)
        assert plan.sections[-1].chords[-1][0].startswith(tonic)


def test_company_changes_no_song(sequencer):
    together = compose_many(sequencer, REQUESTS, seeds=[1, 2, 3])
    for place in range(3):
        (alone,) = compose_many(
            sequencer, REQUESTS[place : place + 1], seeds=[place + 1]
        )
        assert alone == together[place]


def test_songs_that_cannot_be_written_together_are_refused(sequencer):
    with pytest.raises(RequestError, match="2 seeds for 3"):
        compose_many(sequencer, REQUESTS, seeds=[1, 2])
    wild = SongRequest(form="V4", temperature=2.0)
    with pytest.raises(RequestError, match="share temperature"):
        compose_many(sequencer, [REQUESTS[0], wild], seeds=[1, 2])
    with pytest.raises(RequestError, match=r"song 2: .* bars"):
        compose_many(
            sequencer,
            [REQUESTS[0], SongRequest(form="V4 C4", bars=9)],
            seeds=[1, 2],
        )
