"""Bars to sections: where one ends, which are the same idea, what to call them.

Bars are the vertices of a graph. A bar is tied to the bars that sound alike, by
notes in order and by colour over some bars, and to its neighbours unless the music
turns between them. The slowest ways in which a wave would spread over this graph
place the bars in a space where sections are points (McFee and Ellis, "Analyzing
song structure with spectral clustering", ISMIR 2014). Clusters there are ideas;
dynamic programming then cuts the song, preferring lengths that music prefers.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.ndimage

LONGEST = 32
"""Bars in the longest section that is looked for."""

MOST_IDEAS = 8
"""How many different ideas are looked for at most."""

_PHRASE = 4  # Bars: most progressions have come round after four, or two, or one.


def find_sections(
    chroma: np.ndarray, level: np.ndarray, downbeats: np.ndarray, beats_per_bar: int
) -> tuple[list[int], list[int]]:
    """Cut a song into sections and say which are the same idea.

    Args:
        chroma: [beats, 12].
        level: [beats, bands] in log units.
        downbeats: index of the first beat of each bar, [bars].
        beats_per_bar: beats in a bar; the last bar may lack some.

    Returns:
        the first bar of each section, and last the number of bars; and the number
        of each section's idea, counted in order of appearance.
    """
    bars = len(downbeats)
    if bars < 2 * _PHRASE:
        return [0, bars], [0]
    notes, colour = _bar_features(chroma, level, downbeats, beats_per_bar)
    turns = _turns(notes, colour)
    graph = _graph(notes, colour, turns)
    places, clusters = _cluster(graph)
    cuts = _cut(places, clusters, turns)
    ideas = [
        int(np.bincount(clusters[a:b]).argmax()) for a, b in itertools.pairwise(cuts)
    ]
    order = {idea: number for number, idea in enumerate(dict.fromkeys(ideas))}
    return cuts, [order[idea] for idea in ideas]


def _bar_features(
    chroma: np.ndarray, level: np.ndarray, downbeats: np.ndarray, beats_per_bar: int
) -> tuple[np.ndarray, np.ndarray]:
    """What each bar sounds like, so that unlikeness is the squared distance.

    Returns:
        bar by bar: the notes beat by beat, timbre and loudness, [bars, features];
        and over some bars: timbre, loudness and the mean of the notes.
    """
    bars = downbeats[:, None] + np.arange(beats_per_bar)[None]
    index = np.minimum(bars, len(chroma) - 1)
    unit = chroma / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-6)
    harmony = unit[index]
    timbre = level[index].mean(axis=1)
    loudness = timbre.mean(axis=1, keepdims=True)
    timbre = timbre - loudness
    notes = [
        _view(harmony.reshape(len(bars), -1), weight=1.0),
        _view(timbre, weight=0.7),
        _view(loudness, weight=0.5),
    ]
    colour = [
        _view(_over_bars(timbre), weight=0.7),
        _view(_over_bars(loudness), weight=0.5),
        _view(_over_bars(harmony.mean(axis=1)), weight=0.5),
    ]
    return np.concatenate(notes, axis=1), np.concatenate(colour, axis=1)


def _over_bars(values: np.ndarray) -> np.ndarray:
    return scipy.ndimage.gaussian_filter1d(values, 1.5, axis=0)


def _view(values: np.ndarray, *, weight: float) -> np.ndarray:
    """Centre [bars, features] on the song; the mean square length becomes weight²."""
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.mean(np.sum(centred**2, axis=1)))
    return weight * centred / max(float(spread), 1e-9)


def _distances(features: np.ndarray) -> np.ndarray:
    square = np.sum(features**2, axis=1)
    return np.maximum(0, square[:, None] + square[None] - 2 * features @ features.T)


def _turns(notes: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How much the music turns at each bar line, [bars], 0 at the first, mean 1.

    Half is how far the colour of the four bars before and after differ (novelty,
    after Foote, ICME 2000), half how little the four bars before come round again.
    """
    bars = len(notes)
    both = np.concatenate([notes, colour], axis=1)
    apart = _distances(notes)
    turn, break_ = np.zeros(bars), np.zeros(bars)
    for bar in range(1, bars):
        before = both[max(0, bar - _PHRASE) : bar].mean(axis=0)
        after = both[bar : bar + _PHRASE].mean(axis=0)
        turn[bar] = np.sum((before - after) ** 2)
        first = np.arange(max(0, bar - _PHRASE), min(bar, bars - _PHRASE))
        if len(first):
            break_[bar] = apart[first, first + _PHRASE].mean()
    return 0.5 * turn / max(turn.mean(), 1e-9) + 0.5 * break_ / max(break_.mean(), 1e-9)


def _graph(notes: np.ndarray, colour: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Ties between bars, [bars, bars]: to those alike, and to the next in time."""
    bars = len(notes)
    apart = _along_diagonals(_distances(notes)) + _distances(colour)
    # The bar itself is the nearest of all.
    ties = min(bars - 1, max(4, int(0.6 * (1 + np.ceil(2 * np.log2(bars)))) + 1))
    nearest = np.argsort(apart, axis=1)[:, :ties]
    near = np.zeros([bars, bars], bool)
    np.put_along_axis(near, nearest, True, axis=1)
    near &= near.T
    np.fill_diagonal(near, False)
    reach = np.sqrt(np.take_along_axis(apart, nearest[:, -1:], axis=1))
    alike = near * np.exp(-apart / np.maximum(reach * reach.T, 1e-9))

    following = np.exp(-turns[1:] / max(float(np.median(turns[1:])), 1e-9))
    inner = np.arange(bars - 1)
    in_time = np.zeros([bars, bars])
    in_time[inner, inner + 1] = in_time[inner + 1, inner] = following
    # As in McFee and Ellis, a random walk takes either kind of tie equally often.
    far, close = alike.sum(axis=1), in_time.sum(axis=1)
    share = close @ (far + close) / max(np.sum((far + close) ** 2), 1e-9)
    return share * alike + (1 - share) * in_time


def _along_diagonals(apart: np.ndarray, reach: int = 3) -> np.ndarray:
    """Smooth along diagonals: what counts is whether the bars around are alike too."""
    bars = len(apart)
    padded = np.pad(apart, reach, mode="edge")
    shifts = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (shifts / 1.5) ** 2)
    total = np.zeros_like(apart)
    for shift, weight in zip(shifts, weights / weights.sum(), strict=True):
        start = reach + shift
        total += weight * padded[start : start + bars, start : start + bars]
    return total


def _cluster(graph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the bars on the unit sphere [bars, ideas], and the cluster of each.

    The number of ideas is the one that makes the clusters' modularity largest
    (Newman and Girvan, Phys. Rev. E 69, 2004).
    """
    degree = graph.sum(axis=1)
    scale = 1 / np.sqrt(np.maximum(degree, 1e-9))
    laplacian = np.eye(len(graph)) - scale[:, None] * graph * scale[None]
    _, modes = np.linalg.eigh(laplacian)
    # Single stray bars are smoothed away.
    modes = scipy.ndimage.median_filter(modes, size=(3, 1), mode="nearest")
    best = (-np.inf, np.ones([len(graph), 1]), np.zeros(len(graph), int))
    for ideas in range(2, min(MOST_IDEAS, len(graph) // _PHRASE) + 1):
        places = modes[:, :ideas]
        norm = np.linalg.norm(places, axis=1, keepdims=True)
        places = places / np.maximum(norm, 1e-9)
        clusters = _k_means(places, ideas)
        member = np.eye(ideas)[clusters]
        inside = np.diag(member.T @ graph @ member) / max(graph.sum(), 1e-9)
        expected = (member.T @ degree / max(degree.sum(), 1e-9)) ** 2
        modularity = float(np.sum(inside - expected))
        if modularity > best[0]:
            best = (modularity, places, clusters)
    return best[1], best[2]


def _k_means(points: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each point; the best of a few starts that lie far apart."""
    best_error, best = np.inf, np.zeros(len(points), int)
    for start in np.linspace(0, len(points) - 1, 6).astype(int):
        chosen = [start]
        away = np.sum((points - points[start]) ** 2, axis=1)
        while len(chosen) < count:
            chosen.append(int(np.argmax(away)))
            away = np.minimum(away, np.sum((points - points[chosen[-1]]) ** 2, axis=1))
        centres = points[chosen]
        for _ in range(50):
            apart = np.sum((points[:, None] - centres[None]) ** 2, axis=2)
            clusters = np.argmin(apart, axis=1)
            moved = np.stack(
                [
                    points[clusters == c].mean(axis=0) if c in clusters else centres[c]
                    for c in range(count)
                ]
            )
            if np.allclose(moved, centres):
                break
            centres = moved
        error = float(apart[np.arange(len(points)), clusters].sum())
        if error < best_error - 1e-9:
            best_error, best = error, clusters
    return best


def _cut(places: np.ndarray, clusters: np.ndarray, turns: np.ndarray) -> list[int]:
    """The best of all ways to cut a song, by dynamic programming.

    A section is worth how near its bars lie to each other, a cut how much the
    music turns there; lengths that music seldom has cost something.

    Source: after Marmoret, Cohen and Bimbot, "Barwise music structure analysis
    with the correlation block-matching segmentation algorithm", TISMIR 6(1), 2023.
    """
    bars = len(places)
    same = 0.5 * places @ places.T + 0.5 * (clusters[:, None] == clusters[None])
    total = np.zeros([bars + 1, bars + 1])
    total[1:, 1:] = same.cumsum(axis=0).cumsum(axis=1)
    best, came = np.full(bars + 1, -np.inf), np.zeros(bars + 1, int)
    best[0] = 0.0
    for end in range(1, bars + 1):
        for start in range(max(0, end - LONGEST), end):
            inside = total[end, end] - total[start, end] - total[end, start]
            value = best[start] + (inside + total[start, start]) / (end - start)
            value -= 2.0 + 2.0 * _oddness(end - start) * (
                0.5 if start == 0 or end == bars else 1.0
            )
            value += min(turns[start], 4.0)
            if value > best[end]:
                best[end], came[end] = value, start
    cuts = [bars]
    while cuts[-1] > 0:
        cuts.append(int(came[cuts[-1]]))
    return cuts[::-1]


def _oddness(length: int) -> float:
    """How unusual it is for a section to have this many bars."""
    if length < _PHRASE:
        return 2.0
    for divisor, oddness in ((8, 0.0), (4, 0.3), (2, 0.7)):
        if length % divisor == 0:
            return oddness
    return 1.2


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
