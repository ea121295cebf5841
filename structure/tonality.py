"""Pitch pictures to harmony: chroma, the key of a song, a chord for each beat."""

from __future__ import annotations

import functools

import numpy as np
import scipy.optimize

from structure.harmony import PITCH_CLASSES, Chord, Key
from structure.spectra import LOWEST_PITCH, PITCHES

QUALITIES = ("maj", "min")
"""The chords that are listened for, on each of the twelve roots; and none, "N"."""

# How well each degree fits a major and a minor key, from the tonic.
# Source: Albrecht and Shanahan, "The use of large corpora to train a new type of
# key-finding algorithm", Music Perception 31(1), 2013.
_MAJOR = [
    0.238,
    0.006,
    0.111,
    0.006,
    0.137,
    0.094,
    0.016,
    0.214,
    0.009,
    0.080,
    0.008,
    0.081,
]
_MINOR = [
    0.220,
    0.006,
    0.104,
    0.123,
    0.019,
    0.103,
    0.012,
    0.214,
    0.062,
    0.022,
    0.061,
    0.052,
]

_BASS_PITCHES = 24  # E1 up to D#3: where basses play.


def notes(pitch: np.ndarray) -> np.ndarray:
    """Explain spectra by notes, each with its overtones.

    Args:
        pitch: [beats, PITCHES] amplitude near each semitone.

    Returns:
        float32 [beats, PITCHES], how strongly each note sounds; rows sum to
        at most 1. Overtones of low notes no longer pass for notes.

    Source: Mauch and Dixon, "Approximate note transcription for the improved
    identification of difficult chords", ISMIR 2010.
    """
    level = np.sqrt(pitch)
    # What is even across an octave is noise of drums, not notes.
    kernel = np.ones(13) / 13
    floor = np.apply_along_axis(np.convolve, 1, level, kernel, mode="same")
    level = np.maximum(0, level - floor)
    found = np.zeros(level.shape, np.float32)
    for beat, row in enumerate(level):
        if row.max() > 0:
            found[beat], _ = scipy.optimize.nnls(_overtones(), row, maxiter=500)
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6)


@functools.cache
def _overtones() -> np.ndarray:
    """[semitones heard, notes played]: eight overtones, each 0.75 of the last."""
    bank = np.zeros([PITCHES, PITCHES])
    for note in range(PITCHES):
        for number in range(1, 9):
            place = note + round(12 * np.log2(number))
            if place < PITCHES:
                bank[place, note] += 0.75 ** (number - 1)
    return bank / np.linalg.norm(bank, axis=0)


def fold_octaves(played: np.ndarray) -> np.ndarray:
    """[beats, PITCHES] to chroma [beats, 12], C first."""
    chroma = np.zeros([len(played), 12], np.float32)
    for note in range(PITCHES):
        chroma[:, (note + LOWEST_PITCH) % 12] += played[:, note]
    return chroma


def bass_chroma(played: np.ndarray) -> np.ndarray:
    """Chroma [beats, 12] of the low notes alone."""
    low = played.copy()
    low[:, _BASS_PITCHES:] = 0
    # Notes near the top of the bass may as well be a tenor's.
    low[:, :_BASS_PITCHES] *= np.linspace(1, 0.4, _BASS_PITCHES)
    return fold_octaves(low)


def find_key(pitch: np.ndarray) -> Key:
    """The key that fits the sound of a song best.

    Args:
        pitch: [beats, PITCHES] amplitude near each semitone. Amplitudes as they
            are, overtones and all, tell keys better than notes do: loud and
            long notes are those that a key rests on.
    """
    heard = fold_octaves(pitch).mean(axis=0)
    if not heard.any():
        return Key(0, "maj")
    heard = (heard - heard.mean()) / max(float(heard.std()), 1e-12)
    scores = {}
    for mode, profile in (("maj", _MAJOR), ("min", _MINOR)):
        profile = (np.array(profile) - np.mean(profile)) / np.std(profile)
        for tonic in range(12):
            fit = float(np.mean(np.roll(profile, tonic) * heard))
            scores[Key(tonic, mode)] = fit
    return max(scores, key=scores.get)


def find_chords(
    chroma: np.ndarray, bass: np.ndarray, *, likely_changes: np.ndarray
) -> list[str]:
    """Name the chord of each beat.

    Each beat is compared with a template for each chord; the Viterbi algorithm
    then finds the likeliest sequence, given that chords last.

    Args:
        chroma: float [beats, 12].
        bass: float [beats, 12], of the low notes alone.
        likely_changes: float [beats], how likely a chord ends before each beat.

    Source: Bello and Pickens, "A robust mid-level representation for harmonic
    content in music signals", ISMIR 2005.
    """
    names, templates, bass_templates = _templates()
    norm = np.linalg.norm(chroma, axis=1, keepdims=True)
    fit = chroma / np.maximum(norm, 1e-6) @ templates.T
    bass_norm = np.linalg.norm(bass, axis=1, keepdims=True)
    fit = fit + 0.25 * (bass / np.maximum(bass_norm, 1e-6)) @ bass_templates.T
    silent = (norm[:, 0] < 1e-5)[:, None]
    none = np.where(silent, 1.5, 0.45)
    fit = np.where(silent, 0.0, fit)
    score = 12.0 * np.concatenate([fit, none], axis=1)
    stay = np.log(1 - likely_changes)
    go = np.log(likely_changes / (len(names) - 1))
    best = score[0]
    came = np.zeros(score.shape, int)
    for beat in range(1, len(score)):
        leaving = int(np.argmax(best))
        jump = best[leaving] + go[beat]
        keep = best + stay[beat]
        came[beat] = np.where(keep >= jump, np.arange(len(names)), leaving)
        best = np.maximum(keep, jump) + score[beat]
    path = [int(np.argmax(best))]
    for beat in range(len(score) - 1, 0, -1):
        path.append(int(came[beat, path[-1]]))
    return [names[index] for index in reversed(path)]


@functools.cache
def _templates() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, unit chroma [chords, 12] and bass [chords, 12] of what is listened for."""
    names = [f"{root}:{quality}" for quality in QUALITIES for root in PITCH_CLASSES]
    chords = [Chord.parse(name) for name in names]
    templates = np.stack([chord.chroma() for chord in chords])
    bass = np.zeros_like(templates)
    for row, chord in enumerate(chords):
        bass[row, list(chord.pitch_classes)] = 0.3
        bass[row, chord.root] = 1.0
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    bass /= np.linalg.norm(bass, axis=1, keepdims=True)
    return [*names, "N"], templates, bass
