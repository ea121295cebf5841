"""Labels to energies: drawn as they are in songs; choruses stand above verses, edges below.

Each idea draws how far it stands above its song, from what sections of its label do in
real songs; its returns lie close by and grow the second time. What listeners expect
of every song is then seen to: no chorus below a verse, no intro or outro above one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STANDING = {
    "intro": (-1.05, 0.70),
    "verse": (-0.08, 0.29),
    "prechorus": (0.01, 0.36),
    "chorus": (0.25, 0.26),
    "postchorus": (0.25, 0.26),
    "bridge": (0.12, 0.28),
    "solo": (0.26, 0.26),
    "instrumental": (0.12, 0.33),
    "interlude": (-0.08, 0.35),
    "outro": (-0.63, 0.51),
    "other": (0.0, 0.35),
    "silence": (-2.0, 0.0),
}
"""How far each label stands above its song, in the song's standard deviations, and how
much that varies between ideas.

The mean of level (rms_z) and of what listeners felt (arousal_z) over 99 songs of
CoCoPops/Billboard (Arthur and Condit-Schultz 2023), from energy_priors.json. The
variation is 0.7 of theirs, since part of it is between returns of one idea. A
postchorus, not among them, goes with the chorus; prechorus and solo have few examples.
"""

_OF_TIMES = {
    "verse": (-0.14, 0.10, 0.05),
    "chorus": (0.0, 0.10, -0.07),
    "prechorus": (-0.15, 0.15, 0.15),
    "interlude": (-0.04, 0.05, 0.02),
}
"""What the first, second and later times of a label add; a decibel is about 0.2."""

_RETURN = 0.07
"""How much a return differs from its idea's first time; less than one would hear as new."""

_WIDEST = 1.5
"""No section stands further from its label's mean than so many of its variations."""

_STEP = 0.08
"""How much a chorus stands above the loudest verse at least, and an edge below the
softest; the louder of real choruses do so by about 2 dB."""


def energies(
    labels: Sequence[str], letters: Sequence[str] | None = None, *, seed: int
) -> list[float]:
    """An energy, 0 to 1, for each section of a song.

    Args:
        labels: function of each section.
        letters: idea of each; sections of one idea lie close to one another. By
            default sections of one label are one idea.
        seed: another seed, other energies.

    >>> verse, chorus = energies(["verse", "chorus"], seed=1)
    >>> chorus >= verse + 0.08
    True
    """
    rng = np.random.default_rng((seed, 17))
    ideas: dict[tuple[str, str], float] = {}
    times: dict[str, int] = {}
    above = np.zeros(len(labels))
    for place, label in enumerate(labels):
        idea = label, letters[place] if letters else label
        mean, spread = _STANDING[label]
        if idea not in ideas:
            ideas[idea] = mean + spread * float(_narrow(rng))
        extra = _OF_TIMES.get(label, (0.0,))
        turn = times[label] = times.get(label, -1) + 1
        above[place] = ideas[idea] + extra[min(turn, len(extra) - 1)]
        above[place] += _RETURN * float(_narrow(rng)) * (spread > 0)
    energy = 0.2 + 0.8 / (1 + np.exp(-(0.25 + 3 * above)))
    energy = _in_order(energy, labels, rng)
    return [round(float(e), 3) for e in np.clip(energy, 0.05, 0.98)]


def _narrow(rng: np.random.Generator) -> float:
    """A normal number without its tails."""
    return float(np.clip(rng.normal(), -_WIDEST, _WIDEST))


def _in_order(
    energy: np.ndarray, labels: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    """Choruses above all verses, edges below, by a step that varies from song to song.

    Where they are not, both move by the same amount, so that returns keep how they
    differ.
    """
    energy = energy.copy()
    places = {
        label: [i for i, name in enumerate(labels) if name == label]
        for label in ("verse", "chorus", "intro", "outro")
    }
    verses, choruses = places["verse"], places["chorus"]
    if not verses:
        return energy
    step = _STEP + 0.02 + 0.06 * rng.random()
    if choruses:
        short = max(0.0, energy[verses].max() + step - energy[choruses].min())
        energy[choruses] += short / 2
        energy[verses] -= short / 2
    # Room within the range for what has to stand above and below.
    energy[verses] = np.clip(energy[verses], 0.05 + step, 0.98 - step)
    energy[choruses] = np.clip(energy[choruses], energy[verses].max() + step, 0.98)
    for place in (*places["intro"], *places["outro"]):
        energy[place] = min(energy[place], energy[verses].min() - step)
    return energy


def brightness(energy: float) -> float:
    """Louder sections are a little brighter than they were heard, hushed ones darker.

    >>> brightness(0.6), brightness(0.9)
    (0.5, 0.59)
    """
    return round(float(np.clip(0.5 + 0.3 * (energy - 0.6), 0, 1)), 3)
