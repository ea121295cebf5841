"""A trained sequencer, stepped one token at a time in NumPy.

Composing writes a few hundred tokens one after another with a small network.
NumPy starts at once where a compiler would take seconds, so plans are written
here; `structure.transformer` is the same network for training, and a test
holds the two together. The past goes in and comes out; nothing is remembered.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from structure.errors import RequestError
from structure.recall import RELATIONS, Recalled
from structure.vocabulary import FEATURES, HINTS, OUTCOMES, TOKENS


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
            from; 0 takes none.
        dropout: share of activations dropped while training.
        knows_energy: whether its songs told how loud each section is.
        tokens, features, hints, relations: sizes of the vocabulary that it was
            trained with.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    hidden: int = 256
    hint_width: int = 24
    recall_width: int = 24
    dropout: float = 0.2
    knows_energy: bool = False
    tokens: int = len(TOKENS)
    features: int = sum(FEATURES.values())
    hints: int = HINTS
    relations: int = sum(RELATIONS.values())

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
        # Before there was recall, nothing was said of it.
        raw = {"recall_width": 0} | {k: v for k, v in raw.items() if k in known}
        config = SequencerConfig(**raw)
        sizes = (config.tokens, config.features, config.hints, config.relations)
        ours = (len(TOKENS), sum(FEATURES.values()), HINTS, sum(RELATIONS.values()))
        if sizes != ours:
            raise RequestError(
                f"the sequencer in {folder} was trained with the vocabulary {sizes} "
                f"(tokens, features, hints, relations); this version has {ours}"
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
        recalled: Recalled | None = None,
    ) -> tuple[np.ndarray, Past]:
        """Read one token; score what can follow.

        Args:
            token: its number.
            features: in the order of vocabulary.FEATURES, known before the next.
            hints: HINTS likely next tokens.
            past: from `silence` or an earlier step.
            recalled: what a chord that is due could be taken from.

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
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "narrow.kernel"]
        x = _normed(x, w["norm.scale"])
        logits = x @ w["out.kernel"] + w["out.bias"]
        np.add.at(logits, hints, x @ w["point.kernel"] + w["point.bias"])
        logits[~OUTCOMES[features[0]]] = -np.inf
        if recalled is not None and config.recall_width:
            logits = self._recall(x, logits, recalled)
        return logits, Past(past.keys, past.values, here + 1)

    def _recall(
        self, x: np.ndarray, logits: np.ndarray, recalled: Recalled
    ) -> np.ndarray:
        """Log odds of a chord that is taken from the past or new, [tokens]."""
        w, (relations, sources) = self.weights, recalled
        drawn = np.exp(logits - logits.max())
        drawn /= drawn.sum()
        seen = w["recall.relations"][relations + _RELATIONS].sum(axis=1)
        seen += w["recall.chords"][sources]
        seen += x @ w["recall.ask.kernel"] + w["recall.ask.bias"]
        seen *= 1 / (1 + np.exp(-seen))
        worth = seen @ (x @ w["recall.weigh.kernel"] + w["recall.weigh.bias"])
        worth[relations[:, 0] == 0] = -np.inf
        invent = float((x @ w["recall.invent.kernel"] + w["recall.invent.bias"])[0])
        most = max(invent, worth.max(initial=-np.inf))
        worth, invent = np.exp(worth - most), np.exp(invent - most)
        taken = np.bincount(sources, worth, minlength=len(logits))
        odds = (taken + invent * drawn) / (worth.sum() + invent)
        with np.errstate(divide="ignore"):
            return np.where(np.isfinite(logits), np.log(odds + TINY), -np.inf)


TINY = 1e-12
"""Odds below which it makes no difference how unlikely a chord is."""

_OFFSETS = np.cumsum([0, *FEATURES.values()])[:-1]
_APART = len(TOKENS) * np.arange(HINTS)
_RELATIONS = np.cumsum([0, *RELATIONS.values()])[:-1]


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
    if config.recall_width:
        recall = config.recall_width
        names |= {
            "recall.relations": (config.relations, recall),
            "recall.chords": (config.tokens, recall),
            "recall.ask.kernel": (width, recall),
            "recall.ask.bias": (recall,),
            "recall.weigh.kernel": (width, recall),
            "recall.weigh.bias": (recall,),
            "recall.invent.kernel": (width, 1),
            "recall.invent.bias": (1,),
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


def _normed(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x * (scale / np.sqrt(x @ x / len(x) + 1e-6))


def _rotated(x: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Turn each pair of features of x [heads, width]; a pair is a complex number."""
    half = x.shape[1] // 2
    turned = (x[:, :half] + 1j * x[:, half:]) * turn
    return np.concatenate([turned.real, turned.imag], axis=1)
