"""A place in a song that is read or written token by token, and what is known there.

Before each token the cursor tells the kind that is due, which tokens can
follow, and features and hints drawn from what came before: the hint for a
chord is, for instance, the chord at the same place of the section that
returns. Training and composing see a song through the same cursor, so neither
can know what the other could not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from structure.recall import Recall, Recalled
from structure.vocabulary import (
    END,
    FEATURES,
    FIRST_OF,
    HINTS,
    KINDS,
    LABELS,
    MOST_LETTERS,
    NUMBER,
    OUTCOMES,
    PAD,
    PARTS,
    ROOT_OF,
    TEMPO_EDGES,
    TOKENS,
    UNKNOWN,
    UNKNOWN_OF,
    bars_token,
)


@dataclasses.dataclass
class ReadSection:
    """A section as the cursor has read it so far.

    Attributes:
        label: its function.
        idea: number of its idea in order of first appearance; None if unknown.
        back: the token that named its idea.
        bars: its length; None if unknown.
        energy: its energy token.
        chords: for each bar its tokens, divisions included.
    """

    label: str
    idea: int | None = None
    back: int = PAD
    bars: int | None = None
    energy: int = PAD
    chords: list[list[int]] = dataclasses.field(default_factory=list)


class Cursor:
    """A place in a song that is being read or written, token by token.

    Everything it tells of the next token comes from the tokens pushed so far,
    so whoever conditions on it cannot look ahead.
    """

    def __init__(self, source: int, *, recalls: bool = True):
        """Start a song.

        Args:
            source: the token of who annotated it.
            recalls: whether it keeps what chords could be taken from.
        """
        self.header = {"source": source}
        self.sections: list[ReadSection] = []
        self.kind = "meter"
        self.at = 0  # the section whose chords are being read
        self.recent: list[int] = []  # ideas, the latest first
        # Seconds before each section, from bars and the tempo's bucket; who
        # knows better (an annotation has times) may say so before a label.
        self.elapsed: list[float | None] = [0.0]
        self._recall = Recall() if recalls else None
        self._entered = 0  # sections that recall knows of

    @property
    def done(self) -> bool:
        """Whether the last chord has been read (or there can be none)."""
        return self.kind == "chord" and self.at >= len(self.sections)

    def fork(self) -> Cursor:
        """A cursor at the same place that goes on by itself."""
        other = Cursor(self.header["source"], recalls=False)
        other.header = dict(self.header)
        # Sections that are complete will not change; those ahead still will.
        other.sections = self.sections[: self.at] + [
            dataclasses.replace(section, chords=[list(bar) for bar in section.chords])
            for section in self.sections[self.at :]
        ]
        other.kind, other.at = self.kind, self.at
        other.recent, other.elapsed = list(self.recent), list(self.elapsed)
        other._entered = self._entered
        if self._recall is not None:
            other._recall = self._recall.fork()
        return other

    # Reading ---------------------------------------------------------------

    def push(self, token: int) -> None:
        """Read the next token, which must be of the kind that is due."""
        kind, name = TOKENS[token]
        if kind != self.kind or self.done:
            raise ValueError(f"token {kind} {name} where a {self.kind} is due")
        if kind in ("meter", "tempo", "mode"):
            self.header[kind] = token
            self.kind = KINDS[KINDS.index(kind) + 1]
        elif token == END:
            self.kind = "chord"
        elif kind == "label":
            self.sections.append(ReadSection(name))
            self.kind = "letter"
        elif kind == "letter":
            self._read_letter(token)
            self.kind = "bars"
        elif kind == "bars":
            section = self.sections[-1]
            section.bars = None if name == UNKNOWN else int(name)
            self.elapsed.append(self._end_of(section))
            self.kind = "energy"
        elif kind == "energy":
            self.sections[-1].energy = token
            self.kind = "label"
        else:
            self._read_chord(token)

    def _read_letter(self, token: int) -> None:
        section = self.sections[-1]
        section.back = token
        section.idea = self.idea_of(token)
        if section.idea is not None:
            if section.idea in self.recent:
                self.recent.remove(section.idea)
            self.recent.insert(0, section.idea)

    def idea_of(self, token: int) -> int | None:
        """The idea that a letter token names for the section being read."""
        name = TOKENS[token][1]
        if name == UNKNOWN:
            return None
        if name == "NEW":
            return len(self.recent)
        if name == "SAME":
            return self._idea_of_label(self.sections[-1].label)
        return self.recent[int(name.removeprefix("BACK"))]

    def letter_token(self, idea: int | None) -> int:
        """The token that names an idea for the section being read."""
        if idea is None:
            return UNKNOWN_OF["letter"]
        if idea == self._idea_of_label(self.sections[-1].label):
            return NUMBER["letter", "SAME"]
        if idea in self.recent:
            rank = self.recent.index(idea)
            if rank >= MOST_LETTERS:
                return UNKNOWN_OF["letter"]
            return NUMBER["letter", f"BACK{rank}"]
        return NUMBER["letter", "NEW"]

    def _idea_of_label(self, label: str) -> int | None:
        for section in reversed(self.sections[:-1]):
            if section.label == label and section.idea is not None:
                return section.idea
        return None

    def _end_of(self, section: ReadSection) -> float | None:
        start = self.elapsed[len(self.sections) - 1]
        if start is None or section.bars is None:
            return None
        return start + section.bars * self._bar_seconds()

    def _bar_seconds(self) -> float:
        meter = TOKENS[self.header["meter"]][1]
        beats = {"2/4": 2, "3/4": 3, "5/4": 5, "6/8": 2, "9/8": 3}.get(meter, 4)
        bucket = self.header["tempo"] - FIRST_OF["tempo"]
        edges = (50, *TEMPO_EDGES, 200)
        if bucket > len(TEMPO_EDGES):
            return beats * 0.5
        return beats * 120.0 / (edges[bucket] + edges[bucket + 1])

    def _read_chord(self, token: int) -> None:
        if self._recall is not None:
            self._enter()
            self._recall.add(
                token,
                ROOT_OF[token],
                self._slot_number,
                known=token != UNKNOWN_OF["chord"],
                divides=token in PARTS,
            )
        chords = self.sections[self.at].chords
        if self.slot == 0:
            chords.append([token])
        else:
            chords[-1].append(token)
        if self._recall is not None and self.slot == 0:
            self._recall.close(tuple(chords[-1]))
        while self.at < len(self.sections) and self._section_is_full():
            self.at += 1

    def _enter(self) -> None:
        """Tell recall of the section whose chords are being read."""
        if self._entered > self.at:
            return
        known = self.sections[: self.at + 1]
        bars = known[-1].bars
        if bars is None:
            raise ValueError("chords in a song with a section of unknown length")
        ideas, labels = [s.idea for s in known], [s.label for s in known]
        self._recall.enter(ideas, labels, bars)
        self._entered = self.at + 1

    def _section_is_full(self) -> bool:
        section = self.sections[self.at]
        if section.bars is None:
            raise ValueError("chords in a song with a section of unknown length")
        return len(section.chords) == section.bars and self.slot == 0

    @property
    def slot(self) -> int:
        """How many tokens of the present bar have been read; 0 at a bar line."""
        chords = self.sections[self.at].chords
        if not chords:
            return 0
        last = chords[-1]
        return 0 if len(last) == 1 + PARTS.get(last[0], 0) else len(last)

    @property
    def _slot_number(self) -> int:
        """The slot as FEATURES has it: another number for each division."""
        slot = self.slot
        if slot == 0:
            return 0
        parts = PARTS[self.sections[self.at].chords[-1][0]]
        return (1, 3, 6)[parts - 2] + slot - 1

    @property
    def bar(self) -> int:
        """Number of the present bar in its section."""
        return len(self.sections[self.at].chords) - (self.slot > 0)

    # Telling ---------------------------------------------------------------

    def allowed(self) -> np.ndarray:
        """bool [tokens]: what can follow here."""
        allowed = OUTCOMES[KINDS.index(self.kind)].copy()
        if self.kind == "label" and not self.sections:
            allowed[END] = False
        elif self.kind == "letter":
            allowed[:] = False
            for idea in [*self.recent[:MOST_LETTERS], len(self.recent)]:
                allowed[self.letter_token(idea)] = True
            if len(self.recent) >= 26:
                allowed[NUMBER["letter", "NEW"]] = False
        elif self.kind == "chord" and self.slot:
            for token in PARTS:
                allowed[token] = False
        return allowed

    def tell(self) -> tuple[list[int], list[int]]:
        """Features (in the order of FEATURES) and hints before the next token."""
        writing = self.sections[-1] if self.sections else None
        features = dict.fromkeys(FEATURES, 0)
        features["kind"] = KINDS.index(self.kind)
        features["source"] = self.header["source"] - FIRST_OF["source"]
        for name in ("meter", "mode"):
            if name in self.header:
                features[name] = self.header[name] - FIRST_OF[name]
        hints: list[int] = []
        if self.kind == "label":
            self._tell_label(features, hints)
        elif self.kind in ("letter", "bars", "energy"):
            self._tell_section(features, hints, writing)
        elif self.kind == "chord" and not self.done:
            self._tell_chord(features, hints)
        hints += [PAD] * (HINTS - len(hints))
        return list(features.values()), hints

    def recalled(self) -> Recalled | None:
        """What the chord that is due could be taken from; None before other kinds."""
        if self._recall is None or self.kind != "chord" or self.done:
            return None
        self._enter()
        return Recalled(self._recall.row(self._slot_number), self._recall.sources)

    def _tell_label(self, features: dict, hints: list[int]) -> None:
        labels = [section.label for section in self.sections]
        features["label"] = _label_number(labels, -1)
        features["label_before"] = _label_number(labels, -2)
        features["section"] = min(len(labels), 23)
        seconds = self.elapsed[-1]
        features["place"] = 33 + (32 if seconds is None else min(int(seconds / 12), 31))
        for context in (1, 2, 3):
            hints.append(_induced(labels, context))
        for back in (2, 3, 4):
            label = labels[-back] if len(labels) >= back else None
            hints.append(NUMBER["label", label] if label else PAD)

    def _tell_section(self, features: dict, hints: list[int], now: ReadSection) -> None:
        before = self.sections[:-1]
        labels = [section.label for section in self.sections]
        features["label"] = _label_number(labels, -1)
        features["label_before"] = _label_number(labels, -2)
        features["section"] = min(len(before), 23)
        seconds = self.elapsed[len(before)]
        features["place"] = 33 + (32 if seconds is None else min(int(seconds / 12), 31))
        alike = [section for section in before if section.label == now.label]
        if self.kind == "letter":
            features["returns"] = min(len(alike), 5)
            hints.append(alike[-1].back if alike else PAD)
            # What followed the last idea when it came before?
            for i in range(len(before) - 2, -1, -1):
                if before[i].idea == before[-1].idea is not None:
                    hints.append(self.letter_token(before[i + 1].idea))
                    break
            return
        same = [s for s in before if s.idea is not None and s.idea == now.idea]
        features["returns"] = min(len(same), 5)
        follower = None
        for i in range(len(before) - 2, -1, -1):
            if before[i].label == before[-1].label:
                follower = before[i + 1]
                break
        sources = (
            same[-1] if same else None,
            alike[-1] if alike else None,
            before[-1] if before else None,
            same[0] if same else None,
            alike[-2] if len(alike) > 1 else None,
            follower,
        )
        for section in sources:
            if section is None:
                hints.append(PAD)
            elif self.kind == "bars":
                hints.append(bars_token(section.bars) if section.bars else PAD)
            else:
                unknown = section.energy == UNKNOWN_OF["energy"]
                hints.append(PAD if unknown else section.energy)
        if self.kind == "energy":
            features["bars_left"] = min(now.bars or 0, 33)

    def _tell_chord(self, features: dict, hints: list[int]) -> None:
        at, bar, slot = self.at, self.bar, self.slot
        now = self.sections[at]
        labels = [section.label for section in self.sections]
        features["label"] = _label_number(labels[: at + 1], -1)
        features["section"] = min(at, 23)
        features["place"] = min(bar, 32)
        features["bars_left"] = min(now.bars - bar, 33)
        present = now.chords[bar] if slot else []
        parts = PARTS[present[0]] if slot else 0
        features["slot"] = self._slot_number
        same = [
            s for s in self.sections[:at] if s.idea is not None and s.idea == now.idea
        ]
        features["returns"] = min(len(same), 5)
        hints.append(_echo(same[-1] if same else None, bar, present, parts))


def _label_number(labels: Sequence[str], place: int) -> int:
    """1 + the number of the label at a (negative) place; 0 before the first."""
    return 1 + LABELS.index(labels[place]) if len(labels) >= -place else 0


def _induced(labels: Sequence[str], context: int) -> int:
    """The label that followed when the last `context` labels came before."""
    end = tuple(labels[len(labels) - context :])
    for i in range(len(labels) - context - 1, -1, -1):
        if len(end) == context and tuple(labels[i : i + context]) == end:
            return NUMBER["label", labels[i + context]]
    return PAD


def _echo(section: ReadSection | None, bar: int, present: list[int], parts: int) -> int:
    """What `section` has in `bar` at the place that `present` has reached."""
    if section is None or not 0 <= bar < len(section.chords):
        return PAD
    there = section.chords[bar]
    if not present:
        return there[0]
    if len(there) == 1:
        return there[0]
    chords = there[1:]
    place = (len(present) - 1) * len(chords) // parts
    return chords[min(place, len(chords) - 1)]
