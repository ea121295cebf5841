"""Whole songs by random bands, with every beat, chord and section known.

Each song has its own form, tempo, metre, progressions, instruments and ways of playing
them, and its own drums or none. `WORKSHOP` bands are what the listener may be tuned on;
`STRANGERS` play other instruments, in other patterns, and are only ever listened to.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from structure.harmony import Chord, Key
from tests.made_songs import RATE, MadeSong

WORKSHOP = ("organ", "pluck", "saw", "epiano")
STRANGERS = ("square", "strings", "bell", "reed")

_FORMS = (
    "I4 V8 C8 V8 C8 B8 C8 O4",
    "I4 V8 P4 C8 V8 P4 C8 B8 C8",
    "V8 V8 B8 V8 S8 B8 V8",
    "I8 V16 C8 V16 C8 O8",
    "V8 C8 V8 C8 V8 C8",
    "I4 V8 V8 C8 L4 V8 C8 S8 C8 O4",
    "I4 V8 L4 V8 L4 V8 L4 V8 O4",
    "V12 C8 V12 C8 B8 C8 C8",
)


@dataclasses.dataclass(frozen=True)
class BandSong(MadeSong):
    """A made song, and the metre it is in.

    Attributes:
        meter: "4/4", "3/4" or "6/8"; `beat_times` are felt beats.
        tempo: felt beats a minute.
        drums: whether there are any.
        labels: function of each section.
    """

    meter: str = "4/4"
    tempo: float = 120.0
    drums: bool = False
    labels: tuple[str, ...] = ()


def random_song(
    seed: int,
    *,
    instruments: tuple[str, ...] = WORKSHOP,
    meter: str | None = None,
    drums: bool | None = None,
) -> BandSong:
    """A song by a random band.

    Args:
        seed: another seed, another band and another song.
        instruments: that the band may play.
        meter, drums: as asked, or drawn.
    """
    rng = np.random.default_rng([11, seed, len(instruments[0])])
    meter = meter or str(rng.choice(["4/4", "4/4", "3/4", "6/8"]))
    with_drums = bool(rng.random() < 0.6) if drums is None else drums
    tempo = {
        "4/4": rng.uniform(76, 150),
        "3/4": rng.uniform(84, 170),
        "6/8": rng.uniform(48, 84),
    }[meter]
    tempo = round(float(tempo), 2)
    key = Key(int(rng.integers(12)), str(rng.choice(["maj", "min"])))
    rows = [(x[0], int(x[1:])) for x in str(rng.choice(_FORMS)).split()]
    ideas = _ideas(rows, key, meter, instruments, with_drums, rng)
    felt = {"4/4": 4, "3/4": 3, "6/8": 2}[meter]
    beat = 60 / tempo
    start = float(rng.uniform(0.1, 0.8))
    bars = sum(count for _, count in rows)
    out = rng.normal(0, 0.001, round((start + bars * felt * beat + 2) * RATE))
    detune = float(rng.uniform(-0.3, 0.3))
    times, chords, bounds, at = [], [], [start], start
    for letter, count in rows:
        idea = ideas[letter]
        tune = idea.tune(rng)
        for bar in range(count):
            name = idea.chords[bar % len(idea.chords)]
            for number in range(felt):
                times.append(at + number * beat)
                chords.append(name)
            idea.play(
                out, at, beat, Chord.parse(name), meter, bar, count, tune, detune, rng
            )
            at += felt * beat
        bounds.append(at)
    names = dict(
        zip("IVPCBSLO", _LABELS, strict=True),
    )
    return BandSong(
        waveform=(0.8 * out / np.abs(out).max()).astype(np.float32)[None],
        beat_times=np.array(times),
        downbeats=np.arange(0, len(times), felt),
        chords=tuple(chords),
        boundaries=np.array(bounds),
        letters=tuple(letter for letter, _ in rows),
        meter=meter,
        tempo=tempo,
        drums=with_drums,
        labels=tuple(names[letter] for letter, _ in rows),
    )


_LABELS = "intro verse prechorus chorus bridge solo interlude outro".split()  # noqa: SIM905
_PROGRESSIONS = {
    "maj": "1564 1645 1456 6415 1414 1425 4156 2514 1351 6545 1261 4531".split(),  # noqa: SIM905
    "min": "1637 1453 6714 1735 1654 4163 1176 1415 6371 1545 7164 3671".split(),  # noqa: SIM905
}


def _ideas(rows, key, meter, instruments, with_drums, rng) -> dict[str, _Idea]:
    rows_of_chords = list(_PROGRESSIONS[key.mode])
    rng.shuffle(rows_of_chords)
    patterns = ["block", "halves", "arpeggio", "offbeat"]
    ideas: dict[str, _Idea] = {}
    base = {"I": 0.45, "V": 0.55, "P": 0.65, "C": 0.95, "B": 0.6, "S": 0.8, "L": 0.5}
    whole_band = [str(x) for x in rng.choice(instruments, 2)]
    for number, letter in enumerate(dict.fromkeys(letter for letter, _ in rows)):
        chords = [_triad(key, int(x)) for x in rows_of_chords[number % 12]]
        # A band keeps its sound; sections differ in who plays, how and how loud.
        lead, comp = whole_band if rng.random() < 0.6 else whole_band[::-1]
        kit = "none"
        if with_drums and not (letter in "IO" and rng.random() < 0.6):
            kit = str(rng.choice(["back", "four" if letter == "C" else "back", "half"]))
        ideas[letter] = _Idea(
            chords=tuple(chords),
            pattern=str(rng.choice(patterns)),
            comp=comp,
            lead=lead if letter not in "IO" and rng.random() < 0.8 else "",
            octave=int(rng.integers(-1, 2)),
            kit=kit,
            bass=bool(rng.random() < 0.8),
            level=base.get(letter, 0.45) * float(rng.uniform(0.9, 1.1)),
            tune_seed=int(rng.integers(1 << 30)),
        )
    return ideas


def _triad(key: Key, degree: int) -> str:
    root = key.scale[degree - 1]
    third = key.scale[(degree + 1) % 7]
    fifth = key.scale[(degree + 3) % 7]
    quality = "maj" if (third - root) % 12 == 4 else "min"
    if (fifth - root) % 12 == 6:  # A diminished chord is rare; its neighbour is not.
        return _triad(key, degree % 7 + 1)
    return f"{key.spell(root)}:{quality}"


@dataclasses.dataclass(frozen=True)
class _Idea:
    """How a section is played."""

    chords: tuple[str, ...]
    pattern: str
    comp: str
    lead: str
    octave: int
    kit: str
    bass: bool
    level: float
    tune_seed: int

    def tune(self, rng) -> np.ndarray:
        """Steps of four bars of lead, mostly the same each time the idea returns."""
        steps = np.random.default_rng(self.tune_seed).integers(0, 5, [4, 12])
        again = rng.random(steps.shape) < 0.15
        return np.where(again, rng.integers(0, 5, steps.shape), steps)

    def play(self, out, at, beat, chord, meter, bar, bars, tune, detune, rng) -> None:
        felt, parts = {"4/4": (4, 2), "3/4": (3, 2), "6/8": (2, 3)}[meter]
        tones = chord.pitch_classes
        step = beat / parts
        count = felt * parts
        human = 0.004
        for place in range(count):
            now = at + place * step + rng.normal(0, human)
            on_beat = place % parts == 0
            accent = 1.0 if place == 0 else 0.8 if on_beat else 0.6
            if self.pattern == "block":
                notes = tones if on_beat else ()
                length = beat
            elif self.pattern == "halves":
                notes = (
                    tones
                    if place in (0, (count // 2) if meter != "3/4" else -1)
                    else ()
                )
                length = count / 2 * step
            elif self.pattern == "arpeggio":
                notes = (tones[place % len(tones)],)
                length = 1.5 * step
            else:
                notes = tones if (not on_beat or place == 0) else ()
                length = step
            for note in notes:
                pitch = 60 + note + 12 * min(self.octave, 0)
                _note(
                    out,
                    now,
                    pitch + detune,
                    length,
                    0.14 * accent * self.level,
                    self.comp,
                )
            if self.bass and (place == 0 or (on_beat and place == count // 2)):
                pitch = 36 + chord.root
                _note(out, now, pitch + detune, 2 * beat, 0.5 * self.level, "bass")
            if self.lead and tune[bar % 4, place % 12] < 3:
                tone = tones[tune[bar % 4, place % 12]]
                pitch = 72 + tone + 12 * max(self.octave, 0) * (self.octave > 0)
                if place % parts == 0 or tune[(bar + 1) % 4, place % 12] > 2:
                    _note(
                        out,
                        now,
                        pitch + detune,
                        1.2 * step,
                        0.2 * self.level,
                        self.lead,
                    )
            self._drum(out, now, place, parts, felt, count, bar == bars - 1, rng)

    def _drum(self, out, now, place, parts, felt, count, last, rng) -> None:
        if self.kit == "none":
            return
        on_beat, number = place % parts == 0, place // parts
        backbeat = number % 2 == 1 if felt != 3 else number > 0
        kick = place == 0 or (self.kit == "four" and on_beat)
        kick = kick or (felt == 4 and number == 2 and on_beat)
        if kick:
            _hit(out, now, "kick", 0.8 * self.level, rng)
        if on_beat and backbeat and (self.kit != "half" or number == felt // 2):
            _hit(out, now, "snare", 0.45 * self.level, rng)
        if on_beat or self.kit != "half":
            _hit(out, now, "hat", 0.12 * self.level * (1.0 if on_beat else 0.7), rng)
        if last and place >= count - parts and rng.random() < 0.7:
            _hit(out, now, "snare", 0.3 * self.level, rng)  # A fill.


_PARTIALS = {
    "organ": ((1, 1.0), (2, 0.7), (3, 0.5), (4, 0.35), (6, 0.2)),
    "pluck": tuple((k, 0.6 ** (k - 1)) for k in range(1, 10)),
    "saw": tuple((k, 1 / k) for k in range(1, 16)),
    "epiano": ((1, 1.0), (2, 0.25), (4, 0.3), (7, 0.08)),
    "square": tuple((k, 1 / k) for k in range(1, 18, 2)),
    "strings": tuple((k, 0.8 / k**0.9) for k in range(1, 14)),
    "bell": ((1, 1.0), (2.76, 0.5), (5.4, 0.25), (2, 0.3)),
    "reed": ((1, 0.8), (2, 0.3), (3, 0.9), (4, 0.3), (5, 0.6), (7, 0.3)),
    "bass": ((1, 1.0), (2, 0.5), (3, 0.25), (4, 0.12)),
}
_ATTACK = {"strings": 0.07, "reed": 0.03, "organ": 0.01}
_FADE = {
    "pluck": 5.0,
    "epiano": 2.5,
    "bell": 3.0,
    "bass": 2.0,
    "square": 1.0,
    "saw": 0.8,
    "organ": 0.2,
    "strings": 0.1,
    "reed": 0.3,
}


@functools.lru_cache(maxsize=500)
def _sound(pitch: float, seconds: float, instrument: str) -> np.ndarray:
    t = np.arange(round((seconds + 0.05) * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    y = np.zeros(len(t))
    for number, (k, level) in enumerate(_PARTIALS[instrument]):
        if k * frequency < 9500:
            # Partials that all start at zero make one sharp peak.
            y += level * np.sin(2 * np.pi * k * frequency * t + 0.7 * number)
    attack = np.minimum(1, t / _ATTACK.get(instrument, 0.004))
    return (
        y * attack * np.exp(-_FADE[instrument] * t) * np.clip((t[-1] - t) / 0.04, 0, 1)
    )


def _note(out, when, pitch, seconds, level, instrument) -> None:
    _add(out, when, level * _sound(round(pitch, 3), round(seconds, 3), instrument))


def _hit(out, when, drum, level, rng) -> None:
    if drum == "kick":
        t = np.arange(round(0.2 * RATE)) / RATE
        phase = 2 * np.pi * (50 * t + 3 * (1 - np.exp(-t / 0.03)))
        y = np.exp(-t / 0.06) * np.sin(phase)
    else:
        seconds = 0.08 if drum == "snare" else 0.02
        t = np.arange(round(4 * seconds * RATE)) / RATE
        y = np.diff(rng.normal(0, 0.5, len(t) + 1)) * np.exp(-t / seconds)
        if drum == "snare":
            y = y + 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05)
    _add(out, when, level * y)


def _add(out, when, y) -> None:
    first = max(0, round(when * RATE))
    y = y[: max(0, len(out) - first)]
    out[first : first + len(y)] += y
