"""Lead sheets to a MelodyModel, and how many bits a pitch costs it.

Reads JSON Lines, a song a line: tonic, mode, meter, chords per bar and melody per bar
as [onset in sixteenths, MIDI pitch, length in sixteenths]. Patterns of rhythm are
counted, and how often bars repeat one another beyond chance; the weights of pitches
have the largest likelihood of all, less a little for their size.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.optimize

from structure.harmony import Chord, pitch_class
from structure.melody import (
    FEATURES,
    LAGS,
    REACH,
    UNITS,
    MelodyModel,
    Place,
    Rhythm,
    features,
    strength,
)

_METERS = {"4/4": "4/4", "2/2": "4/4", "3/4": "3/4", "6/8": "6/8", "2/4": "2/4"}
"""Of the songs that can be learned from, and what they count as here."""

_MOST_PATTERNS = 250
"""Of a metre; rarer ones are left out."""

Bar = tuple[tuple[int, int, int], ...]
"""Onset, pitch and length of each note."""


@dataclasses.dataclass(frozen=True)
class LeadSheet:
    """A melody over chords.

    Attributes:
        meter: one of those in UNITS.
        home: pitch class of the major scale on which it rests; None if unknown.
        chords: of each bar, which they share evenly.
        bars: the notes of each bar.
    """

    meter: str
    home: int | None
    chords: tuple[tuple[Chord, ...], ...]
    bars: tuple[Bar, ...]


def read_lead_sheets(path: str | Path, *, split: str) -> list[LeadSheet]:
    """The songs of a split ("train", "valid" or "test") whose metre we have."""
    sheets = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        if raw["split"] != split or raw["meter"] not in _METERS:
            continue
        meter = _METERS[raw["meter"]]
        home = None
        if raw["tonic"]:
            home = (pitch_class(raw["tonic"]) + 3 * (raw["mode"] == "min")) % 12
        sheets.append(
            LeadSheet(
                meter,
                home,
                tuple(tuple(Chord.parse(c) for c in bar) for bar in raw["chords"]),
                tuple(
                    tuple(
                        (onset, pitch, min(length, UNITS[meter] - onset))
                        for onset, pitch, length in sorted(map(tuple, bar))
                        if onset < UNITS[meter]
                    )
                    for bar in raw["melody"]
                ),
            )
        )
    return sheets


def learn(sheets: Sequence[LeadSheet], *, penalty: float = 0.5) -> MelodyModel:
    """Learn rhythms and pitches.

    Args:
        sheets: lead sheets.
        penalty: how much the square of a weight costs, against bits of one note.
    """
    rhythms, copying = {}, {}
    for meter in dict.fromkeys(_METERS.values()):
        mine = [[_rhythm(bar) for bar in s.bars] for s in sheets if s.meter == meter]
        if mine:
            rhythms[meter] = _count(mine)
            copying[meter] = _copying(mine)
    examples, chosen = _examples(sheets)
    return MelodyModel(rhythms, copying, _fit(examples, chosen, penalty))


def score(model: MelodyModel, sheets: Sequence[LeadSheet]) -> dict[str, float]:
    """Bits a pitch, and how often a note on a strong beat is of its chord."""
    examples, chosen = _examples(sheets)
    scores = model.weights[examples].sum(axis=2)
    bits = -(_log_odds(scores)[np.arange(len(chosen)), chosen]) / np.log(2)
    counts = np.bincount(chosen, minlength=2 * REACH + 1) + 1.0
    return {
        "notes": len(chosen),
        "bits": float(bits.mean()),
        "bits_of_intervals_alone": float(
            -np.log2(counts / counts.sum())[chosen].mean()
        ),
        "bits_of_anything": float(np.log2(2 * REACH + 1)),
    }


def _rhythm(bar: Bar) -> Rhythm:
    return tuple((onset, length) for onset, _, length in bar)


def _count(songs: Sequence[Sequence[Rhythm]]) -> tuple[tuple[Rhythm, ...], np.ndarray]:
    counts: dict[Rhythm, np.ndarray] = collections.defaultdict(lambda: np.zeros(4))
    for song in songs:
        for number, rhythm in enumerate(song):
            # Bars in which one note starts inside the one before cannot be sung.
            ends = [onset + length for onset, length in rhythm]
            if all(
                end <= onset for end, (onset, _) in zip(ends, rhythm[1:], strict=False)
            ):
                counts[rhythm][number % 4] += 1
    kept = sorted(counts, key=lambda rhythm: (-counts[rhythm].sum(), rhythm))
    kept = [rhythm for rhythm in kept if counts[rhythm].sum() > 1][:_MOST_PATTERNS]
    return tuple(kept), np.stack([counts[rhythm] for rhythm in kept])


def _copying(songs: Sequence[Sequence[Rhythm]]) -> np.ndarray:
    """How much likelier than chance a bar has the rhythm of one before, [lags, 4]."""
    table = np.zeros([len(LAGS), 4])
    everything = collections.Counter(rhythm for song in songs for rhythm in song)
    total = sum(everything.values())
    chance = sum((count / total) ** 2 for count in everything.values())
    for row, lag in enumerate(LAGS):
        for place in range(4):
            same = tried = 0
            for song in songs:
                for number in range(place, len(song), 4):
                    if number < lag:
                        continue
                    # What a longer lag explains already is not explained again.
                    longer = [k for k in LAGS[:row] if number >= k]
                    if any(song[number] == song[number - k] for k in longer):
                        continue
                    tried += 1
                    same += song[number] == song[number - lag]
            table[row, place] = max(
                0.0, (same / max(tried, 1) - chance) / (1.01 - chance)
            )
    return table


def _examples(sheets: Iterable[LeadSheet]) -> tuple[np.ndarray, np.ndarray]:
    """Feature numbers [notes, intervals, groups] and the interval that was sung."""
    rows, chosen = [], []
    for sheet in sheets:
        if sheet.home is None or not any(sheet.bars):
            continue
        pitches = [pitch for bar in sheet.bars for _, pitch, _ in bar]
        middle = float(np.median(pitches))
        before, step = round(middle), 0
        sounding: list[dict[int, tuple[int, int]]] = []
        for number, bar in enumerate(sheet.bars):
            model, near = _model(sheet, number)
            there = sounding[number - model] if model else {}
            here: dict[int, tuple[int, int]] = {}
            for onset, pitch, length in bar:
                chords = sheet.chords[number]
                chord = chords[onset * len(chords) // UNITS[sheet.meter]]
                place = Place(
                    before=before,
                    step=step,
                    chord=chord,
                    home=sheet.home,
                    weight=strength(onset, sheet.meter),
                    long=length >= UNITS[sheet.meter] // 2,
                    middle=middle,
                    model=there.get(onset),
                    near=near,
                )
                step, before = pitch - before, pitch
                here[onset] = (pitch, step)
                if abs(step) <= REACH:
                    rows.append(features(place))
                    chosen.append(step + REACH)
            sounding.append(here)
    return np.array(rows), np.array(chosen)


def _model(sheet: LeadSheet, number: int) -> tuple[int, bool]:
    """How many bars back the same rhythm was, if it was; and whether that is near."""
    for lag in LAGS:
        if number < lag or not sheet.bars[number]:
            continue
        if _rhythm(sheet.bars[number]) == _rhythm(sheet.bars[number - lag]):
            return lag, lag < 4
    return 0, False


def _fit(examples: np.ndarray, chosen: np.ndarray, penalty: float) -> np.ndarray:
    notes = np.arange(len(chosen))
    seen = np.bincount(examples[notes, chosen].ravel(), minlength=FEATURES)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = _log_odds(weights[examples].sum(axis=2))
        odds = np.repeat(np.exp(log_odds)[:, :, None], examples.shape[2], axis=2)
        expected = np.bincount(examples.ravel(), odds.ravel(), minlength=FEATURES)
        value = -log_odds[notes, chosen].sum() + penalty * np.sum(weights**2)
        return value, expected - seen + 2 * penalty * weights

    start = np.zeros(FEATURES)
    return scipy.optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}
    ).x


def _log_odds(scores: np.ndarray) -> np.ndarray:
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
