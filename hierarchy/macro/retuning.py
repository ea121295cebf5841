"""Sinusoids of a recording to those of the chords that a plan asks for.

A transposition brings a gesture near its chord and seldom into it. So, beat by beat,
notes beside a chord note that is lacking become that note, chord notes that are faint
are raised, and what lies outside the chord is quietened, all of it no further than the
chord needs to be clear: a melody over a chord that sounds stays itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from hierarchy.material.drawn import drawn_power
from hierarchy.material.features import FLOOR, pitch_of
from hierarchy.material.sketch import Sketch
from structure.harmony import Chord, Key

# Hz between which partials are harmony; below is rumble, above they are colour.
LOWEST, HIGHEST = 55.0, 2500.0
# How much of a beat lies on notes: up to the first, all is brought to its chord, and from
# the second on what is said above; decibels; a share of the way to a chord note
BLURRED, CLEAN = 0.45, 0.6
OUTSIDE_KEY, OUTSIDE_CHORD, IN_TUNE = -20.0, -12.0, 0.9
# What a chord note must have of the loudest one, and of the loudest note of all; semitones
LACKING, DROWNED, BESIDE = 0.5, 0.25, 2
FAINT, RAISED = 0.7, 6.0  # a share of the loudest chord note; decibels at most
# A share of the mean chord note that others may have, in the key and out of it; decibels
CLEAR, CLEAR_OF_KEY, LOWERED = 0.25, 0.12, -24.0
MADE_UP = 9.0  # decibels by which what is left is raised at most
WIDE = 16  # bands in each of which it is; in narrower ones single notes stick out
LOW, LOW_ROOT, LOW_OTHER = 200.0, 4.0, -4.0  # Hz and decibels: the bass says the root


def retune(
    sketch: Sketch,
    shift: np.ndarray,
    chords: Sequence[Chord],
    beat: np.ndarray,
    *,
    within: np.ndarray,
    key: str,
    sample_rate: int,
) -> Sketch:
    """Transpose each beat, and bring it to its chord.

    Args:
        sketch: as it was heard.
        shift: semitones by which each beat is transposed, [beats].
        chords: one a beat; those without notes leave theirs as they are.
        beat: int [frames], the beat of each frame of the sketch.
        within: bool [frames], those by which their beat is judged; what rings on after
            it must not change it.
        key: in Harte's syntax; notes outside of it are quietened most.
        sample_rate: Hz; what is transposed beyond half of it is left out.
    """
    scale = set(Key.parse(key).scale)
    frequency = sketch.frequency * (2.0 ** (shift / 12))[beat, None]
    semitones = pitch_of(frequency)
    pitch = _pitch_class(semitones)
    heard = (frequency > LOWEST) & (frequency < HIGHEST) & within[:, None]
    loud = (np.abs(sketch.middle) + np.abs(sketch.side)) * heard
    total = np.zeros([len(chords), 12])
    np.add.at(total, (np.broadcast_to(beat[:, None], pitch.shape), pitch), loud)
    move, gain = np.zeros([len(chords), 12]), np.ones([len(chords), 12])
    root, inside = np.full(len(chords), -1), np.zeros([len(chords), 12])
    blur = (CLEAN - _on_notes(semitones, loud, beat, len(chords))) / (CLEAN - BLURRED)
    blur = np.clip(blur, 0, 1)
    for row, chord in enumerate(chords):
        if tones := set(chord.pitch_classes):
            root[row], inside[row, list(tones)] = chord.root, 1.0
            move[row], gain[row] = _balance(total[row], tones, scale, blur[row])

    def of_partials(by_pitch: np.ndarray, pitch: np.ndarray) -> np.ndarray:
        return np.take_along_axis(by_pitch[beat], pitch, axis=1)

    # Rumble is not listened to, but goes where its overtones go.
    notes = frequency < HIGHEST
    frequency = frequency * 2 ** (np.where(notes, of_partials(move, pitch), 0) / 12)
    factor = np.where(notes, of_partials(gain, pitch), 1.0)
    moved = pitch_of(frequency)
    pitch_now, astray = _pitch_class(moved), np.rint(moved) - moved
    tuned = of_partials(IN_TUNE * blur[:, None] * inside, pitch_now) * astray
    frequency = frequency * 2 ** (np.where(notes, tuned, 0) / 12)
    root = root[beat][:, None]
    bass = np.where(pitch_now == root, LOW_ROOT, LOW_OTHER)
    factor = factor * 10 ** (bass * ((frequency < LOW) & (root >= 0)) / 20)
    factor = np.where(frequency < 0.48 * sample_rate, factor, 0.0)
    retuned = dataclasses.replace(sketch, frequency=frequency.astype(np.float32))
    return retuned.times(factor)


def _pitch_class(semitones: np.ndarray) -> np.ndarray:
    return np.rint(semitones).astype(int) % 12


def _on_notes(
    semitones: np.ndarray, loud: np.ndarray, beat: np.ndarray, beats: int
) -> np.ndarray:
    """How closely the sinusoids of each beat lie at semitones, 0 (evenly spread) to 1.

    The length of the mean direction of their distances, a turn a semitone (Mardia and
    Jupp, "Directional statistics", 2000).
    """
    turned, weight = np.zeros(beats, complex), np.zeros(beats)
    np.add.at(turned, beat, (loud * np.exp(2j * np.pi * semitones)).sum(axis=1))
    np.add.at(weight, beat, loud.sum(axis=1))
    return np.abs(turned) / np.maximum(weight, FLOOR)


def _balance(
    total: np.ndarray, tones: Collection[int], scale: Collection[int], blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """How notes of a beat become its chord.

    Args:
        total: amplitude of each pitch class, float [12].
        tones: pitch classes of the chord.
        scale: those of the key.
        blur: 1 where noise hides chords, so that all notes outside are quietened, to 0.

    Returns:
        semitones by which each pitch class moves, and the factor of its amplitude.
    """
    inside = np.array(sorted(tones))
    outside = [pc for pc in range(12) if pc not in tones]
    have, move = total.copy(), np.zeros(12)
    for tone in sorted(inside, key=lambda pc: total[pc]):
        least = max(LACKING * have[inside].max(), DROWNED * total.max())
        steps = {pc: (tone - pc + 6) % 12 - 6 for pc in outside if not move[pc]}
        beside = [pc for pc, step in steps.items() if abs(step) <= BESIDE]
        if beside and have[tone] < least:
            taken = max(beside, key=lambda pc: total[pc])
            move[taken] = steps[taken]
            have[tone] += total[taken]
    wanted = FAINT * have[inside].max() / np.maximum(have[inside], FLOOR)
    gain = np.ones(12)
    gain[inside] = np.clip(wanted, 1, 10 ** (RAISED / 20))
    chord_note = (have * gain)[inside].mean()
    for pc in outside:
        if move[pc]:
            gain[pc] = gain[(pc + int(move[pc])) % 12]
            continue
        within_key = pc in scale
        quieter = blur * (OUTSIDE_CHORD if within_key else OUTSIDE_KEY)
        left = max(total[pc] * 10 ** (quieter / 20), FLOOR)
        most = (CLEAR if within_key else CLEAR_OF_KEY) * chord_note
        quieter += np.clip(20 * np.log10(most / left + FLOOR), LOWERED, 0)
        gain[pc] = 10 ** (quieter / 20)
    return move, gain


def made_up(sketch: Sketch, before: Sketch, sample_rate: int) -> Sketch:
    """Raise what is left when notes were quietened, so that each band is as full.

    Otherwise the middle of the spectrum, where melodies lie, would be left hollow.

    Args:
        sketch: transposed to its chords, with some notes quieter.
        before: as it was.
        sample_rate: Hz.
    """
    had, has = (drawn_power(x, WIDE, sample_rate).sum(axis=0) for x in (before, sketch))
    lost = had / np.maximum(has, FLOOR**2)
    gain = np.clip(np.sqrt(lost), 1.0, 10 ** (MADE_UP / 20))
    band = (sketch.frequency / (sample_rate / 2) * WIDE).astype(int)
    return sketch.times(np.take_along_axis(gain, np.clip(band, 0, WIDE - 1), axis=1))
