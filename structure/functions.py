"""What sections are for: the functions macrotime knows, and the words people use for them."""

from __future__ import annotations

import re
from typing import Literal, get_args

Label = Literal[
    "intro",
    "verse",
    "prechorus",
    "chorus",
    "postchorus",
    "bridge",
    "solo",
    "instrumental",
    "interlude",
    "outro",
    "silence",
    "other",
]

LABELS: tuple[str, ...] = get_args(Label)
"""Every function; the sequencer's tokens stand in this order."""

WORDS = {
    **{label: label for label in LABELS},
    "refrain": "chorus",
    "hook": "chorus",
    "drop": "chorus",
    "strophe": "verse",
    "couplet": "verse",
    "pre": "prechorus",
    "post": "postchorus",
    "middle": "bridge",
    "break": "interlude",
    "breakdown": "interlude",
    "transition": "interlude",
    "inst": "instrumental",
    "coda": "outro",
    "ending": "outro",
    "end": "outro",
    "opening": "intro",
}
"""Words for functions, as a person may type them in a form."""

_IN_ANNOTATIONS = WORDS | {
    "introduction": "intro",
    "count-in": "intro",
    "pickup": "intro",
    "preverse": "interlude",
    "postverse": "interlude",
    "trans": "interlude",
    "link": "interlude",
    "build": "prechorus",
    "buildup": "prechorus",
    "fadeout": "outro",
    "fade": "outro",
    "tag": "outro",
    "instrumentals": "instrumental",
    "applause": "silence",
    "none": "silence",
}
"""Words that other people's annotations use beside these (SALAMI, Harmonix, Isophonics)."""


def function_of(text: str) -> str:
    """The function that a label in somebody's annotation names; "other" if none.

    Numbers, takes and remarks are left aside; the first known word counts.

    >>> [function_of(x) for x in ("Verse 2", "Pre-Chorus", "guitar solo", "fade out", "x")]
    ['verse', 'prechorus', 'solo', 'outro', 'other']
    """
    text = text.lower().replace("_", " ")
    text = re.sub(
        r"\b(pre|post|fade|pick|build)[- ]?(chorus|verse|out|up)\b", r"\1\2", text
    )
    for word in re.findall(r"count-in|[a-zäöüé]+", text):
        if word in _IN_ANNOTATIONS:
            return _IN_ANNOTATIONS[word]
    return "other"
