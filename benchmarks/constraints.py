"""Is what is asked of a song in its plan? A thousand random things to ask.

    python -m benchmarks.constraints [--count 1000] [--sequencer DIR] [--json OUT.json]

A third are forms with bars, chords, key, mode, tempo, metre (3/4, 4/4, 6/8) and a length
in bars or minutes; a third plans with holes anywhere, to be finished; a third "as in this
plan, but with a new section". Each is kept exactly, or refused where it cannot be, which
is worked out apart. The tests ask the first 120, of weights that have learned nothing.
"""

from __future__ import annotations

import collections
import json
import time
from pathlib import Path

from command import parser_of

from structure.sequencer import Sequencer
from tests.asked_songs import check_one

OURS = Path(__file__).parent.parent / "hierarchy" / "pretrained" / "sequencer"


def main() -> None:
    """Ask, count and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--sequencer", type=Path, default=OURS, help="default: ours")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    sequencer = Sequencer.read(asked.sequencer)
    start = time.process_time()
    seen: collections.Counter[str] = collections.Counter()
    broken: dict[int, str] = {}
    for number in range(asked.count):
        try:
            seen[check_one(sequencer, number)] += 1
        except AssertionError as error:
            seen["broken"] += 1
            broken[number] = str(error)
    figures = {
        "asked": asked.count,
        "kept": seen["kept"],
        "rightly refused": seen["refused"],
        "broken": seen["broken"],
        "milliseconds each": round(
            1000 * (time.process_time() - start) / asked.count, 1
        ),
    }
    print("| " + " | ".join(figures) + " |")
    print("|" + "--:|" * len(figures))
    print("| " + " | ".join(str(value) for value in figures.values()) + " |")
    for number, reason in broken.items():
        print(f"{number}: {reason}")
    if asked.json:
        asked.json.write_text(
            json.dumps(figures | {"numbers broken": broken}, indent=1)
        )


if __name__ == "__main__":
    main()
