"""A plan's chords to the gestures that will sound them, one a beat.

Each idea (letter) of the song gets a scene, one section of one recording, so that
ideas differ from each other and agree with themselves; the loudest ideas get the
loudest scenes. Within a scene, the path of gestures is the cheapest one by a cost for
what is asked (the chord, the place in the bar) and a cost for the joins, as in unit
selection for speech: beats that followed each other in the recording cost nothing.

Source: Hunt and Black, "Unit selection in a concatenative speech synthesis system",
ICASSP 1996; Schwarz, "Concatenative sound synthesis", 2006.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hierarchy.material.gestures import Book, fit_to_chords
from hierarchy.micro.grains import seed_from
from structure.errors import RequestError
from structure.harmony import Key
from structure.plan import Section, SongPlan

FEWEST = 8  # beats that make a scene
MOST = 160  # beats that a section chooses from
# Chords are brought nearer afterwards (`retuning`), so that a phrase of a recording need
# seldom be left for one; a cost of 3 keeps phrases longest, 7 says chords best.
WRONG_CHORD, WRONG_PLACE, TRANSPOSED, CHANCE = 5.0, 0.8, 0.05, 0.5
HOLE, TONELESS, BORROWED = 2.0, 2.0, 1.2
FAINTEST, LOUDEST = -12.0, 6.0  # decibels over its scene from which a beat sticks out
JUMP, EDGE, AGAIN = 0.7, 0.12, 1.0
RETUNED, BY_SEMITONE = 0.6, 0.05  # a transposition that changes scrambles a melody
FASTEST_OF_THREE = 90  # beats a minute, each of three parts, as in 6/8
FITTING = 0.85  # a chord that no gesture of a scene fits this well is sought elsewhere


@dataclasses.dataclass(frozen=True)
class Scene:
    """One idea (letter) of one recording, as far as the book holds it."""

    song: int
    beats: np.ndarray  # int [beats], indices into the book
    level: float  # dB, of the beats on which it plays


def scenes_of(book: Book) -> list[Scene]:
    """The ideas of recordings that the book has enough of."""
    found = []
    for song in range(len(book.songs)):
        mine = np.flatnonzero(book.beat_song == song)
        for idea in np.unique(book.beat_idea[mine]):
            beats = mine[book.beat_idea[mine] == idea]
            if len(beats) >= FEWEST:
                found.append(_scene(book, song, beats))
    if not found:
        everything = np.arange(len(book))
        found = [_scene(book, 0, everything)]
    return found


def _scene(book: Book, song: int, beats: np.ndarray) -> Scene:
    return Scene(song, beats, float(np.quantile(book.beat_level[beats], 0.6)))


def natural_tempo(book: Book, seed: int, *, meter: str = "4/4") -> float:
    """A tempo that the style's recordings have, in felt beats per minute."""
    tempos = np.sort(book.song_tempo)
    tempo = tempos[np.random.default_rng([seed, 1]).integers(len(tempos))]
    return float(np.round(felt_tempo(tempo, meter), 1))


def felt_tempo(tempo: float, meter: str) -> float:
    """A tempo at which a metre can be felt: beats of three parts go at half the pace."""
    while meter.endswith("/8") and tempo > FASTEST_OF_THREE:
        tempo /= 2
    return tempo


def choose_gestures(plan: SongPlan, book: Book, *, seed: int) -> SongPlan:
    """Fill in the gestures of the sections that have none.

    Args:
        plan: the song.
        book: of its style.
        seed: another seed, other scenes and paths.

    Returns:
        The plan with gestures on every beat. Sections with the same letter, the same
        chords and the same take get the same gestures.

    Raises:
        RequestError: if the plan asks for gestures that the book does not have.
    """
    for number, section in enumerate(plan.sections):
        for bar in section.gestures or ():
            if lacking := [beat for beat in bar if not 0 <= beat < len(book)]:
                raise RequestError(
                    f"section {number} asks for gesture {lacking[0]}; the book of this "
                    f"style has 0 to {len(book) - 1}"
                )
    scenes = _assign_scenes(plan, book, seed=seed)
    paths: dict[tuple, tuple] = {}
    sections = []
    for section in plan.sections:
        if section.gestures is None:
            idea = (section.letter, section.chords, section.take)
            if idea not in paths:
                # Another take has another path through the same scene.
                chance = seed_from(seed, section.take) if section.take else seed
                scene = scenes[section.letter]
                paths[idea] = _path(
                    section, plan.beats_per_bar, book, scene, seed=chance
                )
            section = section.model_copy(update={"gestures": paths[idea]})
        sections.append(section)
    return plan.model_copy(update={"sections": tuple(sections)})


def _assign_scenes(plan: SongPlan, book: Book, *, seed: int) -> dict[str, list[Scene]]:
    """For each letter one scene, and others of its recording to fall back on."""
    random = np.random.default_rng([seed, 2])
    scenes = scenes_of(book)
    letters = list(dict.fromkeys(section.letter for section in plan.sections))
    energy = {
        letter: np.mean([s.energy for s in plan.sections if s.letter == letter])
        for letter in letters
    }
    ranking = _rank_songs(plan, book, random)
    # One recording as a home, and a second to contrast with it; more if they are short.
    home = []
    for place, song in enumerate(ranking):
        if place >= 2 and len(home) >= len(letters):
            break
        home += [scene for scene in scenes if scene.song == song]
    clear = _clarity(plan, book, home)
    chosen_scenes = _contrasting(home, clear, book, len(letters), random)
    by_level = sorted(chosen_scenes, key=lambda scene: scene.level)
    count = len(by_level)
    rising = sorted(letters, key=lambda letter: (energy[letter], letter))
    chosen = {
        letter: by_level[min(rank * count // len(rising), count - 1)]
        for rank, letter in enumerate(rising)
    }
    return {
        letter: [scene, *(s for s in home if s.song == scene.song and s is not scene)]
        for letter, scene in chosen.items()
    }


def _clarity(plan: SongPlan, book: Book, scenes: list[Scene]) -> np.ndarray:
    """How clearly the better gestures of each scene can say a plan's chords, 0 to 1.

    Noise says none, however well its chroma may fit.
    """
    kinds = sorted({c for s in plan.sections for bar in s.chords for c in bar})
    fits = fit_to_chords(book, kinds).max(axis=2).mean(axis=0)
    tonal = np.clip(book.beat_tonality / 0.7, 0.2, 1) ** 0.25
    return np.array([np.quantile((fits * tonal)[s.beats], 0.8) for s in scenes])


def _contrasting(
    scenes: list[Scene],
    clear: np.ndarray,
    book: Book,
    count: int,
    random: np.random.Generator,
) -> list[Scene]:
    """As many scenes as there are ideas, each far in sound from those before it.

    A listener tells a verse from a chorus by how they sound before anything else; but
    a scene in which chords are not `clear` is worth little.
    """
    worth = clear**8
    sound = np.stack(
        [book.beat_edges[:, scene.beats].mean(axis=(0, 1)) for scene in scenes]
    )
    apart = np.abs(sound[:, None] - sound[None]).mean(axis=2)
    # The first is of the recording that suits the plan best.
    first = [i for i, scene in enumerate(scenes) if scene.song == scenes[0].song]
    chosen = [int(random.choice(first, p=worth[first] / worth[first].sum()))]
    while len(chosen) < min(count, len(scenes)):
        nearest = apart[chosen].min(axis=0) * worth
        nearest *= 1 + 0.3 * random.random(len(scenes))
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return [scenes[i] for i in chosen]


def _rank_songs(plan: SongPlan, book: Book, random: np.random.Generator) -> np.ndarray:
    """Recordings, those that suit the plan's tempo and mode first, with some chance."""
    # In octaves; a gesture becomes a beat, so double time is no better than it sounds.
    stretch = np.abs(np.log2(plan.tempo / book.song_tempo))
    major = Key.parse(plan.key).mode == "maj"
    other_mode = np.abs(book.song_major - float(major))
    chance = random.random(len(book.songs))
    present = np.isin(np.arange(len(book.songs)), book.beat_song)
    cost = 4.0 * stretch + 0.4 * other_mode + 0.8 * chance + 100.0 * ~present
    return np.argsort(cost, kind="stable")


def beat_chords(section: Section, beats_per_bar: int) -> list[str]:
    """The chord on each beat of a section."""
    return [
        bar[beat * len(bar) // beats_per_bar]
        for bar in section.chords
        for beat in range(beats_per_bar)
    ]


def transpositions(
    book: Book, gestures: np.ndarray, chords: Sequence[str]
) -> np.ndarray:
    """By how many semitones to transpose each gesture of a row, -6 to 5.

    The cheapest row that turns gestures into their chords and changes the interval
    as seldom as it can: a melody should stay itself.

    Args:
        book: that the gestures are from.
        gestures: int [beats].
        chords: one a beat, in Harte's syntax.
    """
    kinds = list(dict.fromkeys(chords))
    which = [kinds.index(chord) for chord in chords]
    asked = _chord_costs(book, kinds)[which, gestures]
    turn = _turn_costs()
    total, back = asked[0], []
    for cost in asked[1:]:
        reached = total[:, None] + turn
        back.append(reached.argmin(axis=0))
        total = reached.min(axis=0) + cost
    path = [int(total.argmin())]
    for came_from in reversed(back):
        path.append(int(came_from[path[-1]]))
    return _INTERVALS[path[::-1]]


_INTERVALS = (np.arange(12) + 6) % 12 - 6


def _chord_costs(book: Book, kinds: Sequence[str]) -> np.ndarray:
    """Cost of each gesture as each chord at each interval, [chords, beats, 12]."""
    fits = fit_to_chords(book, kinds)
    tonal = 0.3 + 0.7 * book.beat_tonality
    return WRONG_CHORD * (1 - fits) * tonal[None, :, None] + TRANSPOSED * np.abs(
        _INTERVALS
    ).reshape(1, 1, -1)


def _turn_costs() -> np.ndarray:
    """Cost of going from one interval (row) to another (column)."""
    turn = np.abs(_INTERVALS[:, None] - _INTERVALS[None])
    turn = np.minimum(turn, 12 - turn)
    return RETUNED * (turn > 0) + BY_SEMITONE * turn


def _path(
    section: Section, beats_per_bar: int, book: Book, scenes: list[Scene], *, seed: int
) -> tuple[tuple[int, ...], ...]:
    """The cheapest gestures for a section, [bars][beats].

    A state is a gesture and its interval; only the few intervals that suit a chord
    best are looked at.
    """
    chords = beat_chords(section, beats_per_bar)
    kinds = list(dict.fromkeys(chords))
    which = np.array([kinds.index(chord) for chord in chords])
    place = np.arange(len(chords)) % beats_per_bar
    beats = _candidates(book, scenes, kinds)
    count, kept = len(beats), 3

    by_interval = _chord_costs(book, kinds)[:, beats]
    best = np.argsort(by_interval, axis=2, kind="stable")[..., :kept]
    chord_cost = np.take_along_axis(by_interval, best, axis=2)
    random = np.random.default_rng([seed, 3, ord(section.letter[0])])
    # The same chord at the same place of a four-bar phrase, or of its answer, has the
    # same cost, so that phrases repeat, and answers differ from them.
    answer = np.arange(len(chords)) // (4 * beats_per_bar) % 2
    chance = CHANCE * random.random([2, len(kinds), beats_per_bar, count])
    # Neither holes nor bursts; but music breathes, and what is soft in it is wanted too.
    over = book.beat_level[beats] - scenes[0].level
    fainter, louder = np.maximum(FAINTEST - over, 0), np.maximum(over - LOUDEST, 0)
    always = HOLE * (fainter + 0.5 * louder) / 6
    always = always + TONELESS * np.maximum(0.6 - book.beat_tonality[beats], 0)
    # Borrowed from another scene only where the chord cannot be had otherwise: what
    # all sections share tells none of them from the others.
    always = always + BORROWED * ~np.isin(beats, scenes[0].beats)
    asked = (
        WRONG_PLACE * (book.beat_in_bar[beats][None] % beats_per_bar != place[:, None])
        + chance[answer, which, place]
        + always[None]
    )
    joins = _join_costs(book, beats)
    turn = _turn_costs()

    total = (chord_cost[which[0]] + asked[0][:, None]).ravel()
    back = []
    for now in range(1, len(chords)):
        early, late = best[which[now - 1]], best[which[now]]
        retuned = turn[early[:, :, None, None], late[None, None]]
        reached = total.reshape(count, kept, 1, 1) + joins[:, None, :, None] + retuned
        reached = reached.reshape(count * kept, -1)
        back.append(reached.argmin(axis=0))
        step = chord_cost[which[now]] + asked[now][:, None]
        total = reached.min(axis=0) + step.ravel()
    path = [int(total.argmin())]
    for came_from in reversed(back):
        path.append(int(came_from[path[-1]]))
    gestures = beats[np.array(path[::-1]) // kept].reshape(-1, beats_per_bar)
    return tuple(tuple(int(beat) for beat in bar) for bar in gestures)


def _candidates(book: Book, scenes: list[Scene], kinds: Sequence[str]) -> np.ndarray:
    """Gestures of the first scene, and of others until all chords can be had.

    At most MOST: what finding a path takes grows with their square.
    """
    fits = fit_to_chords(book, kinds).max(axis=2)
    beats = scenes[0].beats[:MOST]
    for other in scenes[1:]:
        if len(beats) >= 2 * FEWEST and fits[:, beats].max(axis=1).min() >= FITTING:
            break
        if len(beats) + len(other.beats) > MOST:
            break
        beats = np.concatenate([beats, other.beats])
    return beats


def _join_costs(book: Book, beats: np.ndarray) -> np.ndarray:
    """Cost of each gesture (column) after each other (row)."""
    starts, ends = book.beat_edges[:, beats]
    apart = np.abs(ends[:, None] - starts[None]).mean(axis=2)
    cost = JUMP + EDGE * apart + AGAIN * np.eye(len(beats))
    follows = beats[None] == beats[:, None] + 1
    same_phrase = book.beat_phrase[beats][None] == book.beat_phrase[beats][:, None]
    return np.where(follows & same_phrase, 0.0, cost)
