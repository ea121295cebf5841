"""Can joins be told from elsewhere? Songs with and without joins at their bar lines.

    python benchmarks/joins.py --songs 20 [--freedom 1] --json joins.json

Every song is made twice from one plan: as always, a grain a bar, and with grains that
begin in the middle of bars. At a bar line inside a section the first has a join and the
second has none, and all else is alike, so whatever tells the two sets apart is the
join. Three traces are taken at each such place (see `sound_judges.join_traces`): the
largest jump of the slope, the energy above 8 kHz and the level, each against what lies
just before. Printed are their medians and the p of the two-sample test of Kolmogorov
and Smirnov, over all songs; a join that cannot be told leaves p above 0.05.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import scipy.stats
import sound_judges
from command import parsed, parser_of, takes_report, write_report

from hierarchy.macro import performing
from hierarchy.macro.choosing import natural_tempo
from hierarchy.macro.rendering import compose_song, render_song
from hierarchy.micro.grains import GrainModel
from structure.plan import SongPlan

BARS = performing._cuts
FORM = "V4 C4 V4 C4"


def mid_bars(plan, section, sample_rate, ring) -> list[tuple[int, int]]:
    """Cuts in the middle of bars, but for a section's own ends."""
    edges = [begin for begin, _ in BARS(plan, section, sample_rate, ring)]
    last = BARS(plan, section, sample_rate, ring)[-1][1]
    inside = [(a + b) // 2 for a, b in itertools.pairwise([*edges, last])]
    if ring:
        inside = inside[:-1]
        return list(itertools.pairwise([edges[0], *inside, edges[-1], last]))
    return list(itertools.pairwise([edges[0], *inside, last]))


def places(plan: SongPlan) -> np.ndarray:
    """Which of a song's bar lines, after its first, lie inside a section: bool."""
    starts = set(np.cumsum([section.bars for section in plan.sections]).tolist())
    return np.array([bar not in starts for bar in range(1, plan.bars)])


def traces(plan: SongPlan, model: GrainModel, cuts, freedom: float) -> np.ndarray:
    """At bar lines inside sections, [places, 3]."""
    performing._cuts = cuts
    try:
        song = render_song(plan, model, freedom=freedom)
    finally:
        performing._cuts = BARS
    at_bars, _ = sound_judges.join_traces(song.mix, song.sample_rate, plan)
    return at_bars[places(plan)]


def main() -> None:
    """Print what joins leave."""
    parser = parser_of(__doc__)
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--freedom", type=float, default=0.0, help="of the songs")
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    takes_report(parser)
    arguments = parsed(parser)
    model = GrainModel.read(arguments.model)
    with_join, without = [], []
    for number in range(arguments.songs):
        style = model.styles[number % len(model.styles)]
        tempo = natural_tempo(model.books[style], number)
        plan = compose_song(form=FORM, style=style, seed=number, tempo=tempo)
        with_join.append(traces(plan, model, BARS, arguments.freedom))
        without.append(traces(plan, model, mid_bars, arguments.freedom))
        print(f"{number + 1} of {arguments.songs}", flush=True)
    joins, others = np.concatenate(with_join), np.concatenate(without)
    report = {
        "songs": arguments.songs,
        "freedom": arguments.freedom,
        "joins": len(joins),
        "others": len(others),
    }
    print(f"{len(joins)} joins, {len(others)} bar lines without")
    for column, name in enumerate(sound_judges.TRACES):
        a, b = joins[:, column], others[:, column]
        report[name] = {
            "joins_db": float(np.median(a)),
            "others_db": float(np.median(b)),
            "p": float(scipy.stats.ks_2samp(a, b).pvalue),
        }
        print(f"{name:5} " + " ".join(f"{k} {v:8.3f}" for k, v in report[name].items()))
    write_report(report, arguments.json)


if __name__ == "__main__":
    main()
