"""Does a sequencer learn from an album of a few songs? Leave one out and see.

    python benchmarks/adapting.py work/lofi work/pop
    python benchmarks/adapting.py --annotations forms.jsonl harmony.jsonl \
        --album "salami jazz:10" --album "mcgill-billboard min:8"

Each song of an album in turn is held out, the sequencer is adapted to the others
with the preset that `train-sequencer --from default` takes, and the held-out song
is foreseen before and after. An album is a corpus from prepare-corpus or, with
--annotations, as many songs as are asked of all that nobody trained on (the split test)
and that have all the words: their source, class or genre, metre and mode.
The table gives bits for each outcome, how many songs got cheaper, and how many as they
were since the album was found to teach nothing; --json all of it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from command import parsed, parser_of

import hierarchy
from hierarchy.configs import find_config
from hierarchy.macro.adapting import JUDGED
from hierarchy.macro.learning import SequencerRecipe, corpus_songs, train_on_songs
from structure.annotations import AnnotatedSong, read_annotations
from structure.errors import RequestError
from structure.scoring import Sums, measure, sequencer_bits
from structure.sequencer import Sequencer

PRETRAINED = Path(hierarchy.__file__).parent / "pretrained" / "sequencer"


@dataclasses.dataclass(frozen=True)
class Held:
    """One held-out song of an album."""

    album: str
    song: str
    before: Sums
    after: Sums

    def bits(self, which: str) -> float:
        """Bits for each outcome, over all kinds."""
        sums = getattr(self, which)
        rows = [sums[kind] for kind in JUDGED]
        return sum(bits for bits, _ in rows) / max(sum(count for _, count in rows), 1)


def leave_one_out(
    name: str,
    songs: list[AnnotatedSong],
    recipe: SequencerRecipe,
    start_from: Path,
    *,
    most: int,
    seed: int,
) -> list[Held]:
    """Each song (or `most` of them) foreseen before and after hearing the others."""
    songs = [dataclasses.replace(song, source="yours", split="train") for song in songs]
    told = Sequencer.read(start_from)
    order = np.random.default_rng(seed).permutation(len(songs))[:most]
    held = []
    for place in order.tolist():
        song = songs[place]
        others = [other for other in songs if other.group != song.group]
        with tempfile.TemporaryDirectory() as folder:
            train_on_songs(
                folder, (), others, recipe=recipe, start_from=start_from, seed=seed
            )
            adapted = Sequencer.read(folder)
        before, after = (
            measure(sequencer_bits(one), [_seen_by(one, song)])[0]
            for one in (told, adapted)
        )
        held.append(Held(name, song.id, before, after))
        print(
            f"{name}: {song.id} {held[-1].bits('before'):.3f} -> "
            f"{held[-1].bits('after'):.3f}",
            file=sys.stderr,
            flush=True,
        )
    return held


def _seen_by(sequencer: Sequencer, song: AnnotatedSong) -> AnnotatedSong:
    """Energies mean nothing to a sequencer whose songs had none."""
    if sequencer.config.knows_energy:
        return song
    mute = [dataclasses.replace(section, energy=None) for section in song.sections]
    return dataclasses.replace(song, sections=tuple(mute))


def annotated_album(
    files: list[Path], asked: str, *, seed: int, split: str
) -> list[AnnotatedSong]:
    """Songs that have all the words of "WORDS:COUNT", drawn by the seed."""
    words, _, count = asked.rpartition(":")
    genres = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            raw = json.loads(line)
            genres.setdefault(raw["id"], raw.get("class") or raw.get("genre"))

    def has(song: AnnotatedSong) -> bool:
        known = {song.source, song.genre, genres.get(song.id), song.meter, song.mode}
        return set(words.split()) <= known

    pool = [song for song in read_annotations(files, split=split) if has(song)]
    if len(pool) < int(count):
        raise RequestError(f"{len(pool)} songs of {split} are {words}, not {count}")
    order = np.random.default_rng(seed).permutation(len(pool))[: int(count)]
    return [pool[place] for place in order.tolist()]


def summarized(held: list[Held]) -> list[dict]:
    """One row an album and one for all: bits before and after."""
    rows = []
    names = list(dict.fromkeys(one.album for one in held))
    for name in [*names, "all"]:
        these = [one for one in held if name in (one.album, "all")]
        row: dict = {"album": name, "songs": len(these)}
        for kind in JUDGED:
            for which in ("before", "after"):
                sums = [getattr(one, which)[kind] for one in these]
                count = sum(outcomes for _, outcomes in sums)
                total = sum(bits for bits, _ in sums)
                row[f"{kind}_{which}"] = total / count if count else None
        gains = np.array([one.bits("before") - one.bits("after") for one in these])
        draws = np.random.default_rng(0).integers(len(gains), size=(2000, len(gains)))
        row["before"] = float(np.mean([one.bits("before") for one in these]))
        row["after"] = float(np.mean([one.bits("after") for one in these]))
        row["gain"] = float(gains.mean())
        row["gain_low"], row["gain_high"] = np.percentile(
            gains[draws].mean(axis=1), [2.5, 97.5]
        ).tolist()
        row["cheaper"] = int((gains > 0).sum())
        row["unchanged"] = int((gains == 0).sum())
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """Markdown, as in RESULTS.md."""

    def pair(row, kind):
        before, after = row[f"{kind}_before"], row[f"{kind}_after"]
        return "" if before is None else f"{before:.2f} → {after:.2f}"

    lines = [
        "| album | songs | label | letter | bars | chord | all | gain | cheaper | as before |",
        "|---|--:|---|---|---|---|---|---|--:|--:|",
    ]
    for row in rows:
        cells = [pair(row, kind) for kind in JUDGED]
        lines.append(
            f"| {row['album']} | {row['songs']} | {' | '.join(cells)} | "
            f"{row['before']:.3f} → {row['after']:.3f} | {row['gain']:.3f} "
            f"[{row['gain_low']:.3f}, {row['gain_high']:.3f}] | {row['cheaper']} | "
            f"{row['unchanged']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("corpora", nargs="*", type=Path)
    parser.add_argument("--annotations", nargs="+", type=Path, default=[])
    parser.add_argument("--split", default="test", help="of the annotations")
    parser.add_argument("--album", action="append", default=[], metavar="WORDS:COUNT")
    parser.add_argument("--most", type=int, default=99, help="held out of an album")
    parser.add_argument("--config", default="adapt-sequencer")
    parser.add_argument("--steps", type=int, help="in place of those of --config")
    parser.add_argument("--rate", type=float, help="learning rate, likewise")
    parser.add_argument("--start-from", type=Path, default=PRETRAINED)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every song and the table here")
    options = parsed(parser)
    recipe = SequencerRecipe.read(find_config(options.config))
    fit = recipe.fit.limited(steps=options.steps, minutes=None)
    if options.rate:
        fit = dataclasses.replace(fit, learning_rate=options.rate)
    recipe = dataclasses.replace(recipe, fit=fit)
    albums = {folder.name: corpus_songs(folder) for folder in options.corpora}
    for asked in options.album:
        albums[asked] = annotated_album(
            options.annotations, asked, seed=options.seed, split=options.split
        )
    held = []
    for name, songs in albums.items():
        held += leave_one_out(
            name,
            songs,
            recipe,
            options.start_from,
            most=options.most,
            seed=options.seed,
        )
    rows = summarized(held)
    print(table(rows))
    if options.json:
        told = [dataclasses.asdict(one) for one in held]
        text = json.dumps({"albums": rows, "songs": told}, indent=1)
        options.json.write_text(text)


if __name__ == "__main__":
    main()
