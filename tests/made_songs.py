"""Songs whose every beat, chord and section is known, for listeners to be tried on."""

from __future__ import annotations

import dataclasses

import numpy as np

from structure.harmony import Chord

RATE = 22_050


@dataclasses.dataclass(frozen=True)
class MadeSong:
    """A waveform [1, samples] at `RATE` and the truth about it."""

    waveform: np.ndarray
    beat_times: np.ndarray
    downbeats: np.ndarray
    chords: tuple[str, ...]
    boundaries: np.ndarray
    letters: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Idea:
    """How a section sounds: chords, each a bar long, and who plays what."""

    chords: tuple[str, ...]
    decay: float = 0.7
    level: float = 0.5
    drums: str = "none"
    melody: bool = True
    pulse: int = 2


def make_song(
    form: list[tuple[str, int]],
    ideas: dict[str, Idea],
    *,
    tempo: float = 120.0,
    beats_per_bar: int = 4,
    start: float = 0.3,
    noise: float = 0.002,
    detune: float = 0.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> MadeSong:
    """Play sections (letter, bars) in a row; each repeat has its own melody."""
    rng = np.random.default_rng(seed)
    beat = 60 / tempo
    bars = sum(count for _, count in form)
    length = round((start + bars * beats_per_bar * beat + 0.5) * RATE)
    out = rng.normal(0, noise, length)
    at, times, chords, bounds = start, [], [], [start]
    for letter, count in form:
        idea = ideas[letter]
        for bar in range(count):
            name = idea.chords[bar % len(idea.chords)]
            chord = Chord.parse(name)
            for number in range(beats_per_bar):
                now = at + number * beat
                times.append(now)
                chords.append(name)
                played = now + rng.normal(0, jitter)
                _play(
                    out, idea, chord, number, played, beat, beats_per_bar, detune, rng
                )
            at += beats_per_bar * beat
        bounds.append(at)
    peak = np.abs(out).max()
    return MadeSong(
        (0.8 * out / peak).astype(np.float32)[None],
        np.array(times),
        np.arange(0, len(times), beats_per_bar),
        tuple(chords),
        np.array(bounds),
        tuple(letter for letter, _ in form),
    )


def _play(out, idea, chord, number, now, beat, beats_per_bar, detune, rng):
    if chord.root is not None:
        classes = chord.pitch_classes
        if number == 0 or (idea.pulse > 1 and number == 2):
            _note(out, now, 36 + chord.root, 1.9 * beat, 0.5 * idea.level, 0.6, detune)
        for part in range(idea.pulse):
            for note in classes:
                when = now + part * beat / idea.pulse
                level = 0.13 * idea.level
                _note(
                    out, when, 60 + note, beat / idea.pulse, level, idea.decay, detune
                )
        if idea.melody and rng.random() < 0.7:
            note = classes[rng.integers(len(classes))] + rng.choice([0, 0, 0, 2])
            when = now + rng.choice([0, 0, 0.5]) * beat
            _note(out, when, 72 + note, 0.8 * beat, 0.2 * idea.level, 0.5, detune)
    if idea.drums == "none":
        return
    waltz = beats_per_bar == 3
    if number == 0 or (not waltz and (number % 2 == 0 or idea.drums == "four")):
        _kick(out, now, 0.8 * idea.level)
    if number % 2 == 1 or (waltz and number > 0):
        _hiss(out, now, 0.5 * idea.level, 0.09, rng)
    for part in (0, 0.5):
        _hiss(out, now + part * beat, 0.12 * idea.level, 0.02, rng)


def _add(out, when, y):
    first = max(0, round(when * RATE))
    y = y[: max(0, len(out) - first)]
    out[first : first + len(y)] += y


def _note(out, when, pitch, seconds, level, decay, detune):
    t = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch + detune - 69) / 12)
    y = sum(
        decay**k * np.sin(2 * np.pi * (k + 1) * frequency * t)
        for k in range(8)
        if (k + 1) * frequency < 9000
    )
    shape = (
        np.minimum(1, t / 0.005) * np.exp(-2 * t) * np.minimum(1, (t[-1] - t) / 0.01)
    )
    _add(out, when, level * shape * y)


def _kick(out, when, level):
    t = np.arange(round(0.2 * RATE)) / RATE
    phase = 2 * np.pi * (50 * t + 3 * (1 - np.exp(-t / 0.03)))
    _add(out, when, level * np.exp(-t / 0.06) * np.sin(phase))


def _hiss(out, when, level, seconds, rng):
    t = np.arange(round(4 * seconds * RATE)) / RATE
    y = np.diff(rng.normal(0, 0.5, len(t) + 1))
    _add(out, when, level * np.exp(-t / seconds) * y)
