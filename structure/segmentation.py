"""Bars to sections: where one ends, which are the same idea, what to call them."""

from __future__ import annotations

import itertools

import numpy as np

LONGEST = 32
"""Bars in the longest section that is looked for."""


def bar_features(
    chroma: np.ndarray, level: np.ndarray, downbeats: np.ndarray, beats_per_bar: int
) -> np.ndarray:
    """What each bar sounds like, in a form in which likeness is a dot product.

    Args:
        chroma: [beats, 12].
        level: [beats, bands] in log units.
        downbeats: index of the first beat of each bar, [bars].
        beats_per_bar: beats in a bar; the last bar may lack some.

    Returns:
        [bars, features]: three views side by side (harmony beat by beat, timbre of
        the bar, loudness of the bar), each centred on the song and of like weight.
    """
    bars = [np.arange(first, first + beats_per_bar) for first in downbeats]
    last = len(chroma) - 1
    index = np.minimum(np.stack(bars), last)
    harmony = chroma / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-6)
    harmony = harmony[index].reshape(len(bars), -1)
    timbre = level[index].mean(axis=1)
    loudness = timbre.mean(axis=1, keepdims=True)
    return np.concatenate(
        [
            _view(harmony, weight=1.0),
            _view(timbre - loudness, weight=1.0),
            _view(loudness, weight=0.5),
        ],
        axis=1,
    )


def _view(values: np.ndarray, *, weight: float) -> np.ndarray:
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.mean(np.sum(centred**2, axis=1)))
    return weight * centred / max(float(spread), 1e-9)


def likeness(features: np.ndarray) -> np.ndarray:
    """Self-similarity [bars, bars], 0 to 1, from [bars, features].

    A Gaussian of the distance, as wide as the typical distance in this song.
    """
    square = np.sum(features**2, axis=1)
    distance = np.maximum(0, square[:, None] + square[None] - 2 * features @ features.T)
    typical = np.mean(distance)
    return np.exp(-2 * distance / max(float(typical), 1e-9))


def find_boundaries(alike: np.ndarray) -> list[int]:
    """Cut a song into sections that are each of one piece.

    Dynamic programming over all ways to cut: a section is worth how alike its
    bars are to those up to four bars away, times its length; each cut is worth the
    novelty there; lengths that music seldom has cost something.

    Args:
        alike: self-similarity [bars, bars].

    Returns:
        indices of the first bar of each section, and last the number of bars.

    Source: Marmoret, Cohen and Bimbot, "Barwise music structure analysis with
    the correlation block-matching segmentation algorithm", TISMIR 6(1), 2023;
    novelty after Foote, "Automatic audio segmentation using a measure of audio
    novelty", ICME 2000.
    """
    bars = len(alike)
    if bars < 4:
        return [0, bars]
    new = novelty(alike)
    near = alike * (np.abs(np.subtract.outer(np.arange(bars), np.arange(bars))) <= 4)
    near = near - np.diag(np.diag(near))
    total = np.zeros([bars + 1, bars + 1])
    total[1:, 1:] = near.cumsum(axis=0).cumsum(axis=1)
    best = np.full(bars + 1, -np.inf)
    best[0], came = 0.0, np.zeros(bars + 1, int)
    for end in range(1, bars + 1):
        for start in range(max(0, end - LONGEST), end):
            length = end - start
            inside = total[end, end] - total[start, end] - total[end, start]
            inside = (inside + total[start, start]) / min(8, 2 * max(1, length - 1))
            value = best[start] + inside - _cost(length, start == 0 or end == bars)
            value += 6.0 * new[start] if start else 0.0
            if value > best[end]:
                best[end], came[end] = value, start
    cuts = [bars]
    while cuts[-1] > 0:
        cuts.append(int(came[cuts[-1]]))
    return cuts[::-1]


def _cost(length: int, at_an_end: bool) -> float:
    """What it costs for a section to have this many bars."""
    if length % 8 == 0:
        cost = 0.0
    elif length % 4 == 0:
        cost = 0.5
    elif length % 2 == 0:
        cost = 1.0
    else:
        cost = 2.0
    if at_an_end:
        return 0.5 * cost + 1.5
    return cost + 1.5 + (2.0 if length < 4 else 0.0)


def novelty(alike: np.ndarray, reach: int = 8) -> np.ndarray:
    """How much the bars before and after each bar line differ, [bars], 0 to 1.

    A checkerboard with soft edges is moved along the diagonal (Foote 2000).
    """
    bars = len(alike)
    new = np.zeros(bars)
    for bar in range(1, bars):
        size = min(reach, bar, bars - bar)
        side = np.exp(-0.5 * (np.arange(size) / (0.5 * reach)) ** 2)
        weight = np.outer(side, side)
        after = alike[bar : bar + size, bar : bar + size]
        before = alike[bar - size : bar, bar - size : bar][::-1, ::-1]
        across = alike[bar - size : bar, bar : bar + size][::-1]
        within = 0.5 * np.sum(weight * (after + before)) / weight.sum()
        # Two bars at the edge of a song do not make a boundary.
        trust = min(1.0, size / 4)
        new[bar] = trust * max(0.0, within - np.sum(weight * across) / weight.sum())
    return new


def name_ideas(alike: np.ndarray, cuts: list[int]) -> list[int]:
    """Say which sections are the same idea.

    Two sections are as alike as their bars are, one by one, at the best offset;
    the two most alike groups are joined until none are alike enough (average
    linkage).

    Args:
        alike: self-similarity [bars, bars].
        cuts: first bar of each section, and the number of bars.

    Returns:
        the number of each section's idea, counted in order of appearance.
    """
    sections = list(itertools.pairwise(cuts))
    count = len(sections)
    same = np.eye(count)
    for a in range(count):
        for b in range(a):
            same[a, b] = same[b, a] = _match(alike, sections[a], sections[b])
    groups = [[number] for number in range(count)]
    while len(groups) > 1:
        pairs = [
            (np.mean(same[np.ix_(groups[a], groups[b])]), a, b)
            for a in range(len(groups))
            for b in range(a)
        ]
        closest, a, b = max(pairs)
        if closest < _threshold(alike, cuts):
            break
        groups[b] += groups.pop(a)
    groups.sort(key=min)
    ideas = [0] * count
    for number, group in enumerate(groups):
        for section in group:
            ideas[section] = number
    return ideas


def _match(alike: np.ndarray, one: tuple[int, int], other: tuple[int, int]) -> float:
    """Likeness of two sections, bar against bar, the shorter inside the longer."""
    (a, b), (c, d) = sorted((one, other), key=lambda section: section[1] - section[0])
    best = 0.0
    for shift in range(d - c - (b - a) + 1):
        start = c + shift
        diagonal = alike[np.arange(a, b), np.arange(start, start + b - a)]
        best = max(best, float(diagonal.mean()))
    # A short stretch fits into a long one too easily.
    return best * ((b - a) / (d - c)) ** 0.25


def _threshold(alike: np.ndarray, cuts: list[int]) -> float:
    """How alike two sections of one idea are: as alike as neighbours within one."""
    near = [
        alike[bar, bar + 1]
        for start, end in itertools.pairwise(cuts)
        for bar in range(start, end - 1)
    ]
    inside = float(np.median(near)) if near else 0.5
    return 0.5 * (inside + float(np.mean(alike)))


def name_functions(
    ideas: list[int], lengths: list[int], energy: list[float]
) -> tuple[list[str], list[float]]:
    """Guess what each section is for: verse, chorus, ...

    The chorus is the idea that returns and is loud; the verse returns, comes
    first and is softer; what comes once is an intro, an outro, a bridge or an
    interlude, by where it stands.

    Args:
        ideas: idea of each section.
        lengths: bars of each.
        energy: 0 to 1 of each.

    Returns:
        labels, and how sure each is, 0 to 1.
    """
    count = len(ideas)
    times = {idea: ideas.count(idea) for idea in ideas}
    share = {
        idea: sum(n for n, i in zip(lengths, ideas, strict=True) if i == idea)
        / sum(lengths)
        for idea in times
    }
    mean_energy = {
        idea: float(
            np.mean([e for e, i in zip(energy, ideas, strict=True) if i == idea])
        )
        for idea in times
    }
    returning = [idea for idea in times if times[idea] > 1]
    chorus = verse = None
    chorus_sure = verse_sure = 0.0
    if returning:
        worth = {
            idea: mean_energy[idea] + 0.15 * min(times[idea], 4) + 0.5 * share[idea]
            for idea in returning
        }
        # A song seldom opens with its chorus.
        worth[ideas[0]] = worth.get(ideas[0], 0.0) - 0.25
        ranked = sorted(returning, key=worth.get, reverse=True)
        chorus = ranked[0]
        margin = worth[chorus] - worth[ranked[1]] if len(ranked) > 1 else 0.3
        chorus_sure = float(np.clip(0.35 + 1.2 * margin, 0.2, 0.95))
        rest = [idea for idea in ranked[1:] if ideas.index(idea) < count - 1]
        if rest:
            verse = max(rest, key=lambda idea: share[idea] - 0.02 * ideas.index(idea))
            verse_sure = float(np.clip(0.3 + share[verse] + 0.3 * margin, 0.2, 0.9))
    labels, sure = [], []
    for number, idea in enumerate(ideas):
        place = number / max(1, count - 1)
        if idea == chorus:
            label, confidence = "chorus", chorus_sure
        elif number == 0 and count > 2 and (idea != verse or lengths[0] <= 4):
            label, confidence = "intro", 0.7 if times[idea] == 1 else 0.5
        elif number == count - 1 and count > 2 and idea != verse:
            label, confidence = "outro", 0.6
        elif idea == verse:
            label, confidence = "verse", verse_sure
        elif times[idea] > 1 and number + 1 < count and ideas[number + 1] == chorus:
            label, confidence = "prechorus", 0.4
        elif times[idea] == 1 and 0.4 < place < 0.95 and chorus is not None:
            label, confidence = "bridge", 0.45
        elif chorus is None or times[idea] > 1:
            label, confidence = "verse", 0.3
        else:
            label, confidence = "interlude", 0.3
        labels.append(label)
        sure.append(confidence)
    return labels, sure
