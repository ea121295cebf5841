"""What every test takes for granted: strict JAX, and a small song to try things on."""

import dataclasses
import os
import tempfile

import jax
import numpy as np
import pytest

from structure.plan import Section, SongPlan

# A sum over the wrong axis hides behind silent rank promotion, and GPUs round
# float32 products by default; neither shall decide a test.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "float32")

# What one test or one command that it starts has compiled, the next need not.
if "MACROTIME_CACHE" not in os.environ:
    _programs = tempfile.TemporaryDirectory(prefix="macrotime-programs-")
    os.environ["MACROTIME_CACHE"] = _programs.name
os.environ.setdefault("NUMBA_CACHE_DIR", os.environ["MACROTIME_CACHE"])
jax.config.update("jax_compilation_cache_dir", os.environ["MACROTIME_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@dataclasses.dataclass(frozen=True)
class SmallSong:
    """A synthetic song whose every answer is known.

    Attributes:
        plan: what it was made from: A B A B, four bars each, at 120 BPM in C major.
        waveform: float32 [2, samples], full scale at ±1.
        sample_rate: in Hz.
    """

    plan: SongPlan
    waveform: np.ndarray
    sample_rate: int


@pytest.fixture(scope="session")
def small_song() -> SmallSong:
    """Verse, chorus, verse, chorus: soft dull chords against loud bright ones."""
    from structure.harmony import Chord

    verse = Section(
        label="verse",
        letter="A",
        energy=0.3,
        brightness=0.3,
        chords=(("A:min",), ("F:maj",), ("C:maj",), ("G:maj",)),
    )
    chorus = Section(
        label="chorus",
        letter="B",
        energy=0.9,
        brightness=0.8,
        chords=(("C:maj",), ("G:maj",), ("A:min", "F:maj"), ("C:maj",)),
    )
    plan = SongPlan(
        title="Small song",
        key="C:maj",
        tempo=120,
        sections=(verse, chorus, verse, chorus),
    )
    sample_rate = 16_000
    rng = np.random.default_rng(7)
    beat = round(plan.beat_seconds * sample_rate)
    time = np.arange(beat) / sample_rate
    beats = []
    for section in plan.sections:
        partials = 2 if section.label == "verse" else 8
        for bar in section.chords:
            for number in range(plan.beats_per_bar):
                chord = Chord.parse(bar[number * len(bar) // plan.beats_per_bar])
                tone = sum(
                    np.sin(2 * np.pi * partial * 130.81 * 2 ** (pitch / 12) * time)
                    / partial
                    for pitch in chord.pitch_classes
                    for partial in range(1, partials + 1)
                )
                hit = rng.normal(size=beat) * np.exp(-time / 0.01)
                accent = 1.0 if number == 0 else 0.5
                sound = 0.15 * tone * np.exp(-time / 0.4) + 0.3 * accent * hit
                beats.append(section.energy * sound)
    mono = np.concatenate(beats)
    waveform = np.stack([mono, np.roll(mono, 8)]).astype(np.float32)
    return SmallSong(plan, 0.9 * waveform / np.abs(waveform).max(), sample_rate)
