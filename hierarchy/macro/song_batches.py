"""Songs side by side: what the sequencer sees in a training step.

Songs of like length share a batch. A song is sometimes shown without its
source, header or letters, so that the sequencer can do without them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.errors import RequestError
from structure.recall import RELATIONS

SHOWN = (
    frozenset(),
    frozenset({"source"}),
    frozenset({"tempo", "mode"}),
    frozenset({"source", "meter", "tempo", "mode"}),
    frozenset({"letter"}),
)
"""The ways in which a song is shown: what is left out in each."""

FORM_TOKENS = 64
"""Room for the header and the form of a song; most have fewer tokens."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencerData:
    """Which songs a step sees.

    Attributes:
        batch_tokens: about how many tokens make a batch.
        lengths: songs without chords are padded to the next of these tokens;
            longer ones are cut.
        chords: songs with chords are padded to the next of these chords, with
            FORM_TOKENS for what comes before them.
        whole: share of the draws in which nothing of a song is left out.
        corpus_share: share of the draws that go to the songs of one's own
            corpus, where there is one beside the annotations.
    """

    batch_tokens: int = 4096
    lengths: tuple[int, ...] = (64, 128, 320)
    chords: tuple[int, ...] = (96, 160, 256, 576)
    whole: float = 0.6
    corpus_share: float = 0.5

    def __post_init__(self):
        for name in ("lengths", "chords"):
            sizes = getattr(self, name)
            if not sizes or list(sizes) != sorted(set(sizes)):
                raise ValueError(f"{name} ascend, got {sizes}")
        if not 0 <= self.whole <= 1 or not 0 <= self.corpus_share <= 1:
            raise ValueError("whole and corpus_share are shares, 0 to 1")


class SongBatches:
    """Batches of whole songs; call it with a step. Nothing is remembered."""

    def __init__(
        self,
        songs: Sequence[AnnotatedSong],
        own: Sequence[AnnotatedSong],
        *,
        data: SequencerData,
        seed: int,
    ):
        """Encode all songs in all the ways in which they are shown."""
        if not songs and not own:
            raise RequestError('no song of the split "train" to learn from')
        self.data, self.seed = data, seed
        self.shown = [_ways(song) for song in [*songs, *own]]
        copies = 1
        if songs and own and data.corpus_share > 0:
            share = min(data.corpus_share, 0.95)
            copies = max(1, round(share / (1 - share) * len(songs) / len(own)))
        self.pool = [*range(len(songs))]
        self.pool += [*range(len(songs), len(songs) + len(own))] * copies
        self.sizes = [fitting_size(ways[0], data) for ways in self.shown]

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step: arrays [batch, time, ...]."""
        per_epoch = len(_epoch(self, 0))
        members, size = _epoch(self, step // per_epoch)[step % per_epoch]
        rng = np.random.default_rng((self.seed, 3, step))
        songs = []
        for member in members:
            way = 0 if rng.random() < self.data.whole else rng.integers(1, len(SHOWN))
            songs.append(self.shown[member][way])
        return padded(songs, *size)


@functools.lru_cache(maxsize=4)
def _epoch(batches: SongBatches, epoch: int) -> list[tuple[list[int], tuple[int, int]]]:
    """All songs once, in batches of like length, in an order of its own."""
    rng = np.random.default_rng((batches.seed, 2, epoch))
    plan = []
    for shape in sorted(set(batches.sizes)):
        members = [song for song in batches.pool if batches.sizes[song] == shape]
        size = batch_size(shape[0], batches.data)
        order = [members[i] for i in rng.permutation(len(members))]
        # The last batch of an epoch is filled up, so that its shape is compiled once.
        order += order[: -len(order) % size] or []
        while len(order) % size:
            order.append(order[int(rng.integers(len(members)))])
        plan += [(order[i : i + size], shape) for i in range(0, len(order), size)]
    return [plan[i] for i in rng.permutation(len(plan))]


def fitting_size(song: Encoded, data: SequencerData) -> tuple[int, int]:
    """The tokens and the chords that a batch with this song has room for."""
    tokens, chords = len(song.tokens), len(song.relations)
    if chords:
        sizes = [(size + FORM_TOKENS, size) for size in data.chords]
    else:
        sizes = [(size, 0) for size in data.lengths]
    fitting = (size for size in sizes if tokens <= size[0] and chords <= size[1])
    return next(fitting, sizes[-1])


def batch_size(width: int, data: SequencerData) -> int:
    """Songs in a batch: a multiple of eight, so that devices can share it."""
    return max(8, data.batch_tokens // width // 8 * 8)


def padded(songs: Sequence[Encoded], width: int, chords: int) -> dict[str, np.ndarray]:
    """Songs side by side, [batch, width, ...]; `known` is 0 in the padding.

    Relations are [batch, chords, chords, RELATIONS], with the tokens there in
    `sources` and the place of the first in `first`.
    """
    batch = {
        "relations": np.zeros([len(songs), chords, chords, len(RELATIONS)], np.uint8),
        "sources": np.zeros([len(songs), chords], np.int32),
        "first": np.array([song.first_chord for song in songs], np.int32),
    }
    for row, song in enumerate(songs):
        known = song.relations[:chords, :chords]
        batch["relations"][row, : len(known), : len(known)] = known
        sources = song.targets[song.first_chord :][:chords]
        batch["sources"][row, : len(sources)] = sources
    for field in dataclasses.fields(Encoded):
        if field.name == "relations":
            continue
        arrays = [getattr(song, field.name)[:width] for song in songs]
        out = np.zeros([len(songs), width, *arrays[0].shape[1:]], arrays[0].dtype)
        for row, array in zip(out, arrays, strict=True):
            row[: len(array)] = array
        batch[field.name] = out
    return batch


def validation_batches(
    songs: Sequence[AnnotatedSong], data: SequencerData
) -> list[dict[str, np.ndarray]]:
    """Every song once and whole; a short batch is filled with unknown tokens."""
    encoded = [encode(song) for song in songs]
    batches = []
    sizes = [fitting_size(song, data) for song in encoded]
    for shape in sorted(set(sizes)):
        members = [
            song for song, its in zip(encoded, sizes, strict=True) if its == shape
        ]
        size = batch_size(shape[0], data)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            blank = dataclasses.replace(part[0], known=np.zeros_like(part[0].known))
            batches.append(padded([*part, *[blank] * (size - len(part))], *shape))
    return batches


def _ways(song: AnnotatedSong) -> list[Encoded]:
    """A song in all the ways in which it is shown."""
    whole = encode(song)
    return [whole] + [
        encode(song, forget=forget, like=None if "letter" in forget else whole)
        for forget in SHOWN[1:]
    ]
