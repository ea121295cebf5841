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
from structure.errors import RequestError
from structure.harmony import Key
from structure.plan import Section, SongPlan

FEWEST = 8  # beats that make a scene
WRONG_CHORD, WRONG_PLACE, TRANSPOSED, CHANCE = 6.0, 0.8, 0.06, 0.25
JUMP, EDGE, AGAIN, RETUNED = 0.7, 0.12, 1.0, 0.08


@dataclasses.dataclass(frozen=True)
class Scene:
    """One section of one recording, as far as the book holds it."""

    song: int
    beats: np.ndarray  # int [beats], indices into the book
    level: float  # dB, mean


def scenes_of(book: Book) -> list[Scene]:
    """The sections that the book has enough of."""
    found = []
    for song in range(len(book.songs)):
        mine = np.flatnonzero(book.beat_song == song)
        for section in np.unique(book.beat_section[mine]):
            beats = mine[book.beat_section[mine] == section]
            if len(beats) >= FEWEST:
                found.append(Scene(song, beats, float(book.beat_level[beats].mean())))
    if not found:
        everything = np.arange(len(book))
        found = [Scene(0, everything, float(book.beat_level.mean()))]
    return found


def natural_tempo(book: Book, seed: int) -> float:
    """A tempo that the style's recordings have, in beats per minute."""
    tempos = np.sort(book.song_tempo)
    return float(
        np.round(tempos[np.random.default_rng([seed, 1]).integers(len(tempos))], 1)
    )


def choose_gestures(plan: SongPlan, book: Book, *, seed: int) -> SongPlan:
    """Fill in the gestures of the sections that have none.

    Args:
        plan: the song.
        book: of its style.
        seed: another seed, other scenes and paths.

    Returns:
        The plan with gestures on every beat. Sections with the same letter and the
        same chords get the same gestures.

    Raises:
        RequestError: if the plan asks for gestures that the book does not have.
    """
    for number, section in enumerate(plan.sections):
        for bar in section.gestures or ():
            if min(bar) < 0 or max(bar) >= len(book):
                raise RequestError(
                    f"section {number} asks for gesture {max(bar)}; the book of this "
                    f"style has 0 to {len(book) - 1}"
                )
    scenes = _assign_scenes(plan, book, seed=seed)
    paths: dict[tuple, tuple] = {}
    sections = []
    for section in plan.sections:
        if section.gestures is None:
            idea = (section.letter, section.chords)
            if idea not in paths:
                paths[idea] = _path(
                    section, plan.beats_per_bar, book, scenes[section.letter], seed=seed
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
    home = [scene for scene in scenes if scene.song == ranking[0]]
    for song in ranking[1:]:
        if len(home) >= len(letters):
            break
        home += [scene for scene in scenes if scene.song == song]
    # Loud ideas take loud scenes; where there are more scenes than ideas, which ones
    # is left to chance, in order of level.
    by_level = sorted(home, key=lambda scene: scene.level)
    count = min(len(letters), len(by_level))
    taken = np.sort(random.choice(len(by_level), count, replace=False))
    rising = sorted(letters, key=lambda letter: (energy[letter], letter))
    chosen = {
        letter: by_level[taken[min(rank * count // len(rising), count - 1)]]
        for rank, letter in enumerate(rising)
    }
    return {
        letter: [scene, *(s for s in home if s.song == scene.song and s is not scene)]
        for letter, scene in chosen.items()
    }


def _rank_songs(plan: SongPlan, book: Book, random: np.random.Generator) -> np.ndarray:
    """Recordings, those that suit the plan's tempo and mode first, with some chance."""
    stretch = np.log2(plan.tempo / book.song_tempo)
    # Half and double time are the same pulse, if not quite as welcome.
    folded = np.abs((stretch + 0.5) % 1.0 - 0.5) + 0.05 * np.abs(np.rint(stretch))
    major = Key.parse(plan.key).mode == "maj"
    other_mode = np.abs(book.song_major - float(major))
    chance = random.random(len(book.songs))
    present = np.isin(np.arange(len(book.songs)), book.beat_song)
    cost = 4.0 * folded + 0.4 * other_mode + 0.8 * chance + 100.0 * ~present
    return np.argsort(cost, kind="stable")


def beat_chords(section: Section, beats_per_bar: int) -> list[str]:
    """The chord on each beat of a section."""
    return [
        bar[beat * len(bar) // beats_per_bar]
        for bar in section.chords
        for beat in range(beats_per_bar)
    ]


def transpositions(book: Book, chords: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The interval that best turns each gesture into each chord, and how well it does.

    Returns:
        int [chords, beats] in semitones, -6 to 5, and float [chords, beats], 0 to 1.
    """
    fits = fit_to_chords(book, chords)
    interval = (np.arange(12) + 6) % 12 - 6
    best = (fits - 0.01 * np.abs(interval)).argmax(axis=2)
    return interval[best], np.take_along_axis(fits, best[..., None], axis=2)[..., 0]


def _path(
    section: Section, beats_per_bar: int, book: Book, scenes: list[Scene], *, seed: int
) -> tuple[tuple[int, ...], ...]:
    """The cheapest gestures for a section, [bars][beats]."""
    chords = beat_chords(section, beats_per_bar)
    kinds = list(dict.fromkeys(chords))
    beats = scenes[0].beats
    for other in scenes[1:]:
        if len(beats) >= 2 * FEWEST:
            break
        beats = np.concatenate([beats, other.beats])
    interval, fit = (part[:, beats] for part in transpositions(book, kinds))
    which = np.array([kinds.index(chord) for chord in chords])
    place = np.arange(len(chords)) % beats_per_bar
    random = np.random.default_rng([seed, 3, ord(section.letter[0])])
    tonal = 0.3 + 0.7 * book.beat_tonality[beats]
    # The same chord at the same place has the same cost, so that phrases repeat.
    chance = CHANCE * random.random([len(kinds), beats_per_bar, len(beats)])
    asked = (
        WRONG_CHORD * (1 - fit[which]) * tonal[None]
        + WRONG_PLACE
        * (book.beat_in_bar[beats][None] % beats_per_bar != place[:, None])
        + TRANSPOSED * np.abs(interval[which])
        + chance[which, place]
    )
    joins = _join_costs(book, beats)
    total, back = asked[0], []
    for now in range(1, len(chords)):
        turn = np.abs(interval[which[now - 1]][:, None] - interval[which[now]][None])
        turn = np.minimum(turn, 12 - turn)
        reached = total[:, None] + joins + RETUNED * turn
        back.append(reached.argmin(axis=0))
        total = reached.min(axis=0) + asked[now]
    path = [int(total.argmin())]
    for came_from in reversed(back):
        path.append(int(came_from[path[-1]]))
    gestures = beats[path[::-1]].reshape(-1, beats_per_bar)
    return tuple(tuple(int(beat) for beat in bar) for bar in gestures)


def _join_costs(book: Book, beats: np.ndarray) -> np.ndarray:
    """Cost of each gesture (column) after each other (row)."""
    starts, ends = book.beat_edges[:, beats]
    apart = np.abs(ends[:, None] - starts[None]).mean(axis=2)
    cost = JUMP + EDGE * apart + AGAIN * np.eye(len(beats))
    follows = beats[None] == beats[:, None] + 1
    same_phrase = book.beat_phrase[beats][None] == book.beat_phrase[beats][:, None]
    return np.where(follows & same_phrase, 0.0, cost)
