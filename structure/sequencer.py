"""A trained sequencer, stepped one token at a time in NumPy.

Composing writes a few hundred tokens one after another with a small network.
NumPy starts at once where a compiler would take seconds, so plans are written
here; `structure.transformer` and `structure.chord_network` are the same for
training, and a test holds them together. The past goes in and comes out; nothing is remembered.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from structure.errors import RequestError
from structure.recall import RELATIONS, Recalled
from structure.setting import CHORDS, INSIDE, LATEST, SETTING, SLOT, setting
from structure.vocabulary import (
    FEATURES,
    FIRST_OF,
    HINTS,
    KINDS,
    OUTCOMES,
    PARTS,
    TOKENS,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencerConfig:
    """What a sequencer is.

    Attributes:
        width: features of each token inside the network.
        layers: attention blocks.
        heads: attention heads; their width is even.
        hidden: width of the gated feed-forward.
        hint_width: features of each hint.
        recall_width: features of each earlier chord that the next may be taken
            from.
        chord_hidden: features of the place of a chord that is new.
        dropout: share of activations dropped while training.
        knows_energy: whether its songs told how loud each section is.
        tokens, features, hints, relations, setting: sizes of the vocabulary that
            it was trained with.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    hidden: int = 256
    hint_width: int = 24
    recall_width: int = 24
    chord_hidden: int = 32
    dropout: float = 0.2
    knows_energy: bool = False
    tokens: int = len(TOKENS)
    features: int = sum(FEATURES.values())
    hints: int = HINTS
    relations: int = sum(RELATIONS.values())
    setting: int = sum(SETTING.values())

    def __post_init__(self):
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} with {self.heads} heads; "
                "rotary positions need an even width for each head"
            )


@dataclasses.dataclass(frozen=True)
class Past:
    """Keys and values of the tokens so far, [layers, heads, capacity, head width].

    The arrays are shared by the pasts of one song: stepping from an earlier
    past again overwrites what came after it, which is how a draft is taken back.
    """

    keys: np.ndarray
    values: np.ndarray
    length: int


@dataclasses.dataclass(frozen=True)
class Sequencer:
    """The weights of a trained network and how to step through a song.

    Attributes:
        config: what the network is.
        weights: float32 arrays by dotted name, as in weights.safetensors.
    """

    config: SequencerConfig
    weights: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: str | Path) -> Sequencer:
        """Read a folder with config.json and weights.safetensors.

        Raises:
            RequestError: if there is no sequencer, or one of another vocabulary.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "weights.safetensors")
        except (OSError, ValueError) as error:
            raise RequestError(f"no sequencer in {folder}: {error}") from None
        raw = raw.get("config", raw)
        known = {field.name for field in dataclasses.fields(SequencerConfig)}
        config = SequencerConfig(**{k: v for k, v in raw.items() if k in known})
        names = ("tokens", "features", "hints", "relations", "setting")
        theirs = [getattr(config, name) for name in names]
        ours = [getattr(SequencerConfig(), name) for name in names]
        if theirs != ours:
            raise RequestError(
                f"the sequencer in {folder} was trained with the vocabulary {theirs} "
                f"({', '.join(names)}); this version has {ours}"
            )
        missing = sorted(set(_names(config)) - set(weights))
        if missing:
            raise RequestError(f"the sequencer in {folder} lacks {', '.join(missing)}")
        return cls(config, {k: v.astype(np.float32) for k, v in weights.items()})

    @classmethod
    def untrained(cls, config: SequencerConfig, *, seed: int) -> Sequencer:
        """A network that has learned nothing: for tests, and to show what it adds."""
        rng = np.random.default_rng(seed)
        return cls(
            config,
            {
                name: np.ones(shape, np.float32)
                if name.endswith("scale")
                else rng.normal(0, 0.02, shape).astype(np.float32)
                for name, shape in _names(config).items()
            },
        )

    def silence(self, capacity: int) -> Past:
        """The past before the first token, with room for `capacity` tokens."""
        config = self.config
        shape = (config.layers, config.heads, capacity, config.width // config.heads)
        return Past(np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0)

    def step(
        self,
        token: int,
        features: Sequence[int],
        hints: Sequence[int],
        past: Past,
    ) -> tuple[np.ndarray, Past]:
        """Read one token of a form; score what can follow.

        Args:
            token: its number.
            features: in the order of vocabulary.FEATURES, known before the next.
            hints: HINTS likely next tokens.
            past: from `silence` or an earlier step.

        Returns:
            Logits float32 [tokens], -inf outside the kind that is due, and the past.
        """
        w, config, here = self.weights, self.config, past.length
        if here >= past.keys.shape[2]:
            raise ValueError(f"a past with room for {here} tokens is full")
        x = w["tokens"][token] + w["features"][_OFFSETS + features].sum(axis=0)
        x = x + w["hints"][_APART + hints].ravel() @ w["hint.kernel"]
        width, half = config.width, config.width // config.heads // 2
        angle = here * 1000.0 ** (-np.arange(half, dtype=np.float32) / half)
        turn = np.exp(1j * angle).astype(np.complex64)
        for layer in range(config.layers):
            at = f"blocks.{layer}."
            new = _normed(x, w[at + "norm.scale"]) @ w[at + "attend.kernel"]
            new = new.reshape(3, config.heads, 2 * half)
            past.keys[layer, :, here] = _rotated(new[1], turn)
            past.values[layer, :, here] = new[2]
            query = _rotated(new[0], turn) / np.sqrt(2 * half)
            scores = past.keys[layer, :, : here + 1] @ query[:, :, None]
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            heard = weights.transpose(0, 2, 1) @ past.values[layer, :, : here + 1]
            x = x + heard.reshape(width) @ w[at + "join.kernel"]
            wide = _normed(x, w[at + "norm_after.scale"]) @ w[at + "widen.kernel"]
            gate, up = wide[: config.hidden], wide[config.hidden :]
            x = x + (_silu(gate) * up) @ w[at + "narrow.kernel"]
        x = _normed(x, w["norm.scale"])
        logits = x @ w["out.kernel"] + w["out.bias"]
        np.add.at(logits, hints, x @ w["point.kernel"] + w["point.bias"])
        logits[~OUTCOMES[features[0]]] = -np.inf
        return logits, Past(past.keys, past.values, here + 1)

    def chord(self, features: Sequence[int], recalled: Recalled) -> np.ndarray:
        """Score the chord that is due once the form stands.

        Args:
            features: in the order of vocabulary.FEATURES.
            recalled: the chords so far, and how they stand to this one.

        Returns:
            Log odds float32 [tokens], -inf where no chord can be.
        """
        w, (relations, sources) = self.weights, recalled
        latest = np.zeros(LATEST, np.int32)
        latest[: len(sources)] = sources[: -LATEST - 1 : -1]
        rows = setting(dict(zip(FEATURES, features, strict=True)), latest)
        told = w["chords.setting"][rows].sum(axis=0)
        recall = self.config.recall_width
        asked, weights, hidden = np.split(told, [recall, 2 * recall])
        which = sources - FIRST_OF["chord"]
        seen = w["chords.relations"][relations + _RELATIONS].sum(axis=1)
        seen = _silu(seen + w["chords.sources"][which] + asked)
        worth = seen @ (w["chords.weigh"] + weights)
        worth[relations[:, 0] == 0] = -np.inf
        deep = _silu(_silu(hidden) @ w["chords.widen.kernel"] + w["chords.widen.bias"])
        invent = deep @ w["chords.invent.kernel"][:, 0] + w["chords.invent.bias"][0]
        most = max(invent, worth.max(initial=-np.inf))
        worth, invent = np.exp(worth - most), np.exp(invent - most)
        taken = np.bincount(which, worth, minlength=CHORDS)
        drawn = deep @ w["chords.draw.kernel"] + w["chords.draw.bias"]
        drawn[-1] = -np.inf
        if rows[SLOT] >= INSIDE:
            drawn[DIVIDES] = -np.inf
        drawn = np.exp(drawn - drawn.max())
        odds = (taken + invent * drawn / drawn.sum()) / (worth.sum() + invent)
        logits = np.full(self.config.tokens, -np.inf, np.float32)
        logits[FIRST_OF["chord"] :] = np.log(odds + TINY)
        logits[~OUTCOMES[_CHORD]] = -np.inf
        return logits


TINY = 1e-12
"""Odds below which it makes no difference how unlikely a chord is."""

_OFFSETS = np.cumsum([0, *FEATURES.values()])[:-1]
_APART = len(TOKENS) * np.arange(HINTS)
_RELATIONS = np.cumsum([0, *RELATIONS.values()])[:-1]
_CHORD = KINDS.index("chord")
DIVIDES = np.isin(np.arange(CHORDS) + FIRST_OF["chord"], list(PARTS))
"""bool [CHORDS], which of them announce a bar of several chords."""


def _names(config: SequencerConfig) -> dict[str, tuple[int, ...]]:
    """Every weight's name and shape."""
    width, hidden = config.width, config.hidden
    names: dict[str, tuple[int, ...]] = {
        "tokens": (config.tokens, width),
        "features": (config.features, width),
        "hints": (config.hints * config.tokens, config.hint_width),
        "hint.kernel": (config.hints * config.hint_width, width),
        "norm.scale": (width,),
        "out.kernel": (width, config.tokens),
        "out.bias": (config.tokens,),
        "point.kernel": (width, config.hints),
        "point.bias": (config.hints,),
    }
    recall, deep = config.recall_width, 2 * config.chord_hidden
    names |= {
        "chords.relations": (config.relations, recall),
        "chords.sources": (CHORDS, recall),
        "chords.setting": (config.setting, 2 * recall + config.chord_hidden),
        "chords.weigh": (recall,),
        "chords.widen.kernel": (config.chord_hidden, deep),
        "chords.widen.bias": (deep,),
        "chords.invent.kernel": (deep, 1),
        "chords.invent.bias": (1,),
        "chords.draw.kernel": (deep, CHORDS),
        "chords.draw.bias": (CHORDS,),
    }
    for layer in range(config.layers):
        names |= {
            f"blocks.{layer}.norm.scale": (width,),
            f"blocks.{layer}.attend.kernel": (width, 3 * width),
            f"blocks.{layer}.join.kernel": (width, width),
            f"blocks.{layer}.norm_after.scale": (width,),
            f"blocks.{layer}.widen.kernel": (width, 2 * hidden),
            f"blocks.{layer}.narrow.kernel": (hidden, width),
        }
    return names


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _normed(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x * (scale / np.sqrt(x @ x / len(x) + 1e-6))


def _rotated(x: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Turn each pair of features of x [heads, width]; a pair is a complex number."""
    half = x.shape[1] // 2
    turned = (x[:, :half] + 1j * x[:, half:]) * turn
    return np.concatenate([turned.real, turned.imag], axis=1)
