"""The little language of forms: "verse-chorus", "I V8 C8 O4" or "AABA" to sections.

A form is a name, or a row of sections. A section is a function in words or by
its initial (intro verse prechorus chorus bridge solo outro; I V P C B S O),
and may say its bars ("V8", "verse 8"), its idea ("verse:A8") and its chords
("C8[Am F C G]", which also holds where the section returns). A row that the letter A, which is no function's initial, speaks of ideas instead:
"A A B A" is one idea, again, another, and the first.
"""

from __future__ import annotations

import dataclasses
import re
import string
from typing import Literal

from structure.chord_rows import Row, parse_bars
from structure.errors import RequestError
from structure.functions import WORDS

MOST_SECTIONS = 128
MOST_BARS = 64
"""Longest section, in bars, that a form may ask for."""

NAMED_FORMS = {
    "verse-chorus": "intro verse chorus verse chorus outro",
    "verse-chorus-bridge": "intro verse chorus verse chorus bridge chorus outro",
    "aaba": "verse:A verse:A bridge:B verse:A",
    "strophic": "intro verse verse verse outro",
    "through-composed": "intro verse:B verse:C verse:D verse:E outro",
    "free": "free",
}
"""Forms by name, in the language of this module; "free" leaves it to the sequencer."""

_CYCLES = {
    "verse-chorus": ("intro", "verse chorus", "outro", 2),
    "verse-chorus-bridge": ("intro", "verse chorus", "bridge chorus outro", 2),
    "aaba": ("", "verse:A verse:A bridge:B verse:A", "", 1),
    "strophic": ("intro", "verse", "outro", 3),
}

_INITIALS = {
    "I": "intro",
    "V": "verse",
    "P": "prechorus",
    "C": "chorus",
    "Q": "postchorus",
    "B": "bridge",
    "S": "solo",
    "N": "instrumental",
    "L": "interlude",
    "O": "outro",
}

_TOKEN = re.compile(r"(?P<word>[A-Za-z]+'*)(?::(?P<letter>[A-Z]'*))?(?P<bars>\d+)?")
_ROW_OF_LETTERS = re.compile(r"(?:[A-Z]'*\d*){2,}")


@dataclasses.dataclass(frozen=True)
class FormSection:
    """One section of a form.

    Attributes:
        label: its function, one of structure.plan's labels.
        letter: its idea; None leaves open whether it returns.
        bars: its length; None leaves it open.
        chords: of each bar, as structure.chord_rows reads them; None leaves them open.
    """

    label: str
    letter: str | None = None
    bars: int | None = None
    chords: Row | None = None


Form = tuple[FormSection, ...] | Literal["free"]


def parse_form(text: str) -> Form:
    """Read a form.

    Sections of one function share one letter unless the form says otherwise.

    Returns:
        The sections in order, or "free" where the sequencer shall choose them.

    Raises:
        RequestError: if it is neither a name nor a row of sections.

    >>> [section.letter for section in parse_form("verse chorus verse")]
    ['A', 'B', 'A']
    >>> [(section.label, section.bars) for section in parse_form("V8 C4")]
    [('verse', 8), ('chorus', 4)]
    >>> parse_form("C[Am F]")[0].chords
    (('Am',), ('F',))
    >>> [section.label for section in parse_form("AABA")]
    ['verse', 'verse', 'bridge', 'verse']
    """
    plain, chords = _without_chords(text)
    if chords:
        return _with_chords(parse_form(plain), chords, text)
    name = _name(text)
    if name == "free":
        return "free"
    if name in NAMED_FORMS:
        text = NAMED_FORMS[name]
    tokens = _tokens(text)
    if not tokens:
        raise RequestError(f"form {text!r} has no section; {_fits()}")
    if len(tokens) > MOST_SECTIONS:
        raise RequestError(
            f"form of {len(tokens)} sections; at most {MOST_SECTIONS} fit"
        )
    words = [word for word, _, _ in tokens]
    initials = [word for word in words if _is_letter(word)]
    if any(word.startswith("A") for word in initials):
        if len(initials) < len(words):
            raise RequestError(
                f"form {text!r} mixes ideas (A, B) with functions (verse); "
                'write "verse:A" to say both'
            )
        labels = _functions_of_ideas([word[0] for word in words])
        return tuple(
            FormSection(labels[word[0]], word, bars) for word, _, bars in tokens
        )
    return _lettered([(_function(word, text), *rest) for word, *rest in tokens])


def longer_forms(name: str, *, most: int = 20) -> tuple[tuple[FormSection, ...], ...]:
    """A named form as it stands, then with its cycle once more, twice more, ...

    A ten-minute song in verse-chorus form has more verses, not endless ones.
    """
    name = _name(name)
    if name == "through-composed":
        return tuple(
            parse_form("intro " + " ".join(f"verse:{x}" for x in letters) + " outro")
            for letters in (string.ascii_uppercase[1:n] for n in range(5, 5 + most))
        )
    if name not in _CYCLES:
        raise RequestError(f"form {name!r} has no cycle; {', '.join(_CYCLES)} have")
    before, cycle, after, least = _CYCLES[name]
    return tuple(
        parse_form(" ".join([before, *[cycle] * times, after]))
        for times in range(least, least + most)
    )


_CHORDS = re.compile(r"\[([^][]*)\]")


def _without_chords(text: str) -> tuple[str, dict[int, Row]]:
    """A form without its chords, and which section (counted from 0) has which."""
    chords: dict[int, Row] = {}
    before = 0
    for match in _CHORDS.finditer(text):
        plain = _CHORDS.sub("", text[: match.start()])
        place = len(_tokens(plain)) - 1
        if place < 0 or place in chords:
            raise RequestError(
                f'form {text!r}: chords follow their section, as in "C8[Am F C G]"'
            )
        chords[place] = parse_bars(match[1])
        before = match.end()
    if "[" in text[before:] or "]" in _CHORDS.sub("", text):
        raise RequestError(f"form {text!r} has a bracket without its other half")
    return _CHORDS.sub(" ", text), chords


def _with_chords(form: Form, chords: dict[int, Row], text: str) -> Form:
    """Give sections their chords, and those that return the same."""
    if form == "free":
        raise RequestError(f"form {text!r}: chords for a free form; name its sections")
    of_idea: dict[tuple, FormSection] = {}
    for place, row in chords.items():
        first = dataclasses.replace(form[place], chords=row)
        of_idea.setdefault((first.label, first.letter), first)
    sections = []
    for place, section in enumerate(form):
        idea = of_idea.get((section.label, section.letter))
        if place in chords:
            section = dataclasses.replace(section, chords=chords[place])
        elif idea is not None:
            bars = section.bars or idea.bars
            section = dataclasses.replace(section, chords=idea.chords, bars=bars)
        sections.append(section)
    return tuple(sections)


def _name(text: str) -> str:
    """How a name is spelled; "verse chorus" with a space is a row of two sections."""
    name = text.strip().lower().replace("_", "-")
    return name.replace(" ", "-") if name == "through composed" else name


def _tokens(text: str) -> list[tuple[str, str | None, int | None]]:
    """Split a row of sections into (word, letter, bars)."""
    text = re.sub(r"(?i)\b(pre|post)[- ]?(chorus)\b", r"\1\2", text)
    text = re.sub(r"(?i)\bmiddle[- ]?(8|eight)\b", "bridge", text)
    rows = re.sub(r"->|[-,;|>→/]", " ", text).split()
    if len(rows) == 1 and _ROW_OF_LETTERS.fullmatch(rows[0]):
        rows = re.findall(r"[A-Z]'*\d*", rows[0])
    tokens: list[tuple[str, str | None, int | None]] = []
    for row in rows:
        if row.isdigit() and tokens and tokens[-1][2] is None:
            # "verse 8": the bars stand apart.
            tokens[-1] = (*tokens[-1][:2], _bars(int(row), text))
            continue
        match = _TOKEN.fullmatch(row)
        if not match:
            raise RequestError(f"form {text!r}: {row!r} is no section; {_fits()}")
        bars = match["bars"]
        tokens.append(
            (match["word"], match["letter"], _bars(int(bars), text) if bars else None)
        )
    return tokens


def _bars(bars: int, text: str) -> int:
    if not 1 <= bars <= MOST_BARS:
        raise RequestError(
            f"form {text!r}: a section of {bars} bars; 1 to {MOST_BARS} fit"
        )
    return bars


def _is_letter(word: str) -> bool:
    return len(word.rstrip("'")) == 1 and word[0].isupper()


def _function(word: str, text: str) -> str:
    if _is_letter(word) and word in _INITIALS:
        return _INITIALS[word]
    if word.lower() in WORDS:
        return WORDS[word.lower()]
    raise RequestError(f"form {text!r}: {word!r} is no section; {_fits()}")


def _functions_of_ideas(ideas: list[str]) -> dict[str, str]:
    """What each idea is for: the first is the verse, one as frequent the chorus."""
    labels = {ideas[0]: "verse"}
    for idea in ideas:
        if idea not in labels:
            chorus = ideas.count(idea) >= max(2, ideas.count(ideas[0]))
            labels[idea] = (
                "chorus" if chorus and "chorus" not in labels.values() else "bridge"
            )
    return labels


def _lettered(tokens: list[tuple[str, str | None, int | None]]) -> Form:
    """Give each function without a letter the next free one."""
    taken = {letter for _, letter, _ in tokens if letter}
    free = (
        letter + primes
        for primes in ("", "'", "''", "'''", "''''")
        for letter in string.ascii_uppercase
        if letter + primes not in taken
    )
    of_label: dict[str, str] = {}
    sections = []
    for label, letter, bars in tokens:
        if letter is None:
            if label not in of_label:
                of_label[label] = next(free)
            letter = of_label[label]
        sections.append(FormSection(label, letter, bars))
    return tuple(sections)


def _fits() -> str:
    return (
        f'a form is {", ".join(NAMED_FORMS)}, or a row such as "intro verse chorus '
        'verse chorus outro" or "I V8 C8 V8 C8 B4 C8 O4" '
        f"({', '.join(f'{k} {v}' for k, v in _INITIALS.items())})"
    )
