"""A plan to the plainest sound that keeps it: what a judge must hear, or be wrong.

Triads of decaying partials, a bass on each chord's root, a kick on the bar's first beat
and a tick on all others; each letter has a timbre, a register and a figure of its own.
"""

from __future__ import annotations

import mir_eval
import numpy as np

from structure.plan import Section, SongPlan

RATE = 44_100


def known_plan(*, seed: int = 0) -> SongPlan:
    """A verse-chorus-bridge song in a key and at a tempo that the seed decides."""
    random = np.random.default_rng(seed)
    tonic = int(random.integers(12))
    minor = bool(random.integers(2))
    names = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

    def chords(steps: str) -> tuple[tuple[str, ...], ...]:
        roots = dict(zip("1234567", (0, 2, 3, 5, 7, 8, 10) if minor else (0, 2, 4, 5, 7, 9, 11), strict=True))  # fmt: skip
        return tuple(
            (names[(tonic + roots[step]) % 12] + (":maj" if step in ("367" if minor else "145") else ":min"),)
            for step in steps
        )  # fmt: skip

    # The tonic begins and ends each idea, so that relative keys cannot be confused.
    ideas = {
        "A": ("intro", 0.3, chords("1141")),
        "B": ("verse", 0.45, chords("14151451")),
        "C": ("chorus", 0.85, chords("16451641")),
        "D": ("bridge", 0.6, chords("4411")),
    }
    sections = [
        Section(label=label, letter=letter, energy=energy, chords=bars)
        for letter in "ABCBCDCA"
        for label, energy, bars in [ideas[letter]]
    ]
    return SongPlan(
        key=f"{names[tonic]}:{'min' if minor else 'maj'}",
        tempo=float(np.round(random.uniform(76, 150), 1)),
        seed=seed,
        sections=tuple(sections),
    )


def play(plan: SongPlan, *, noise: float = 0.003) -> np.ndarray:
    """The plan as sound, float32 [2, samples] at RATE."""
    random = np.random.default_rng(plan.seed)
    beat = plan.beat_seconds
    out = np.zeros([2, round((plan.seconds + 1) * RATE)])

    def add(sound: np.ndarray, seconds: float, pan: float = 0.0) -> None:
        at = round(seconds * RATE)
        end = min(at + len(sound), out.shape[1])
        out[:, at:end] += sound[: end - at] * np.array([[1 - pan], [1 + pan]])

    start = 0.0
    for section in plan.sections:
        kind = ord(section.letter) % 5
        partials = (3, 12, 6, 9, 4)[kind]
        figure = (4, 1, 2, 3, 2)[kind]  # notes of a chord a beat
        loud = 10 ** ((section.energy - 1) * 9 / 20)
        for bar in section.chords:
            for place in range(plan.beats_per_bar):
                chord = bar[place * len(bar) // plan.beats_per_bar]
                root, bitmap, _ = mir_eval.chord.encode(chord)
                tones = [48 + (root + n) % 12 for n in np.flatnonzero(bitmap)]
                now = start + place * beat
                for step in range(figure):
                    for n, tone in enumerate(tones):
                        note = _note(tone + 12 * (kind % 2), beat / figure, partials)
                        add(
                            0.1 * loud * note, now + step * beat / figure, 0.3 * (n - 1)
                        )
                add(0.2 * loud * _note(36 + root, beat, 4), now)
                tick = random.normal(size=1500) * np.exp(-np.arange(1500) / 200)
                add(loud * (0.15 if place else 0.4) * tick, now)
            start += plan.beats_per_bar * beat
    out += noise * random.normal(size=out.shape)
    return (0.7 * out / np.abs(out).max()).astype(np.float32)


def _note(midi: float, seconds: float, partials: int) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((midi - 69) / 12)
    wave = sum(
        np.sin(2 * np.pi * hertz * n * time) * np.exp(-time * (2 + n)) / n
        for n in range(1, partials + 1)
        if hertz * n < 10_000
    )
    ramp = np.minimum(1, np.minimum(time, time[::-1]) / 0.004)
    return wave * ramp
