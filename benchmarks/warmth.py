"""At which temperature is a style as full as its recordings?

    python benchmarks/warmth.py work/pop work/lofi work/adventure --count 24

Held-out moments of 3 seconds, asked for straight at several temperatures: how far the
mean mel spectrum of what is heard lies from that of the recordings, RMS over the bands in
dB; and the temperature that training would choose, see `hierarchy.micro.warmth`.
"""

from __future__ import annotations

from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)
from fidelity import held_out

from hierarchy.micro.grains import GrainModel
from hierarchy.micro.warmth import TEMPERATURES, fullness_off, warmest


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--count", type=int, default=24, help="moments of each style")
    add("--seed", type=int, default=0)
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    report = {}
    print(" " * 20 + "".join(f"{t:7g}" for t in TEMPERATURES) + "   chosen")
    for folder in asked.corpora:
        style = folder.name
        moments = held_out(
            folder, model, style=style, count=asked.count, seed=asked.seed
        )
        off = fullness_off(model, *moments)
        report[style] = {"off": off, "chosen": warmest(off)}
        cells = "".join(f"{dB:7.2f}" for dB in off.values())
        print(f"{style:20}{cells}{warmest(off):9g}", flush=True)
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
