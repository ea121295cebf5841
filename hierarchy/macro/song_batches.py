"""Songs side by side: what the sequencer sees in a training step.

Songs of like length share a batch: their forms, and their chords if they have any.
A song is sometimes shown without its source, header or letters, so that the sequencer
can do without them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from structure.annotations import AnnotatedSong
from structure.encoding import Encoded, encode
from structure.errors import RequestError

SHOWN = (
    frozenset(),
    frozenset({"source"}),
    frozenset({"tempo", "mode"}),
    frozenset({"source", "meter", "tempo", "mode"}),
    frozenset({"letter"}),
)
"""The ways in which a song is shown: what is left out in each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencerData:
    """Which songs a step sees.

    Attributes:
        batch_tokens: about how many tokens make a batch.
        lengths: forms are padded to the next of these tokens; longer ones are cut.
        chords: chords are padded to the next of these numbers of them; later ones
            are cut.
        whole: share of the draws in which nothing of a song is left out.
        corpus_share: share of the draws that go to the songs of one's own
            corpus, where there is one beside the annotations.
        chords_alone: whether only chords are learned, from the songs that have any;
            what is known of forms then stays as it is.
    """

    batch_tokens: int = 4096
    lengths: tuple[int, ...] = (64, 128, 320)
    chords: tuple[int, ...] = (96, 160, 256, 576)
    whole: float = 0.6
    corpus_share: float = 0.5
    chords_alone: bool = False

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
        size = batch_size(sum(shape), batches.data)
        order = [members[i] for i in rng.permutation(len(members))]
        # The last batch of an epoch is filled up, so that its shape is compiled once.
        order += order[: -len(order) % size] or []
        while len(order) % size:
            order.append(order[int(rng.integers(len(members)))])
        plan += [(order[i : i + size], shape) for i in range(0, len(order), size)]
    return [plan[i] for i in rng.permutation(len(plan))]


def fitting_size(song: Encoded, data: SequencerData) -> tuple[int, int]:
    """The tokens of its form and the chords that a batch with this song has room for."""
    tokens, chords = song.first_chord, len(song.relations)
    length = next((size for size in data.lengths if tokens <= size), data.lengths[-1])
    sizes = (0, *data.chords)
    return length, next((size for size in sizes if chords <= size), sizes[-1])


def batch_size(width: int, data: SequencerData) -> int:
    """Songs in a batch: a multiple of eight, so that devices can share it."""
    return max(8, data.batch_tokens // width // 8 * 8)


def padded(songs: Sequence[Encoded], width: int, chords: int) -> dict[str, np.ndarray]:
    """Songs side by side.

    Returns:
        Of the forms `tokens`, `targets`, `known` [batch, width], `features`, `hints`;
        of the chords `sources`, which are their own targets, `chords_known`
        [batch, chords], `setting` [batch, chords, SETTING] and `relations`
        [batch, chords, chords, RELATIONS]. In the padding nothing is known.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for song in songs:
        first = song.first_chord
        for name in ("tokens", "targets", "known", "features", "hints"):
            array = getattr(song, name)[:first]
            rows.setdefault(name, []).append(_filled(array, width))
        known = song.relations[:chords, :chords]
        rows.setdefault("relations", []).append(_filled(known, chords, chords))
        for name, array in (
            ("sources", song.chords),
            ("chords_known", song.known[first:]),
            ("setting", song.settings),
        ):
            rows.setdefault(name, []).append(_filled(array, chords))
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _filled(array: np.ndarray, *room: int) -> np.ndarray:
    """An array cut or filled up with zeros to these lengths of its first axes."""
    out = np.zeros([*room, *array.shape[len(room) :]], array.dtype)
    kept = tuple(slice(min(a, b)) for a, b in zip(room, array.shape, strict=False))
    out[kept] = array[kept]
    return out


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
        size = batch_size(sum(shape), data)
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
