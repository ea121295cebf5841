"""Songs of one half of a style's recordings against the other half.

    python benchmarks/halves.py work/pop work/lofi work/adventure
    python benchmarks/halves.py work/pop work/lofi work/adventure --twins work/twins

One or two held-out songs are no style: one song may lie as far from the others as two
styles do. So each style's recordings are split in two, several times. Songs are made of
the gestures of one half, and their distance (see `frechet.py`) from the other half, of
which they hold nothing, stands beside the distance of the two halves themselves.

The weights that ship have heard nearly all recordings. With --twins a model is trained
for each split with the preset of the default, from the start, that hears one half of each
style only. Its weights are asked with the same gestures of that half, which tells what
having heard the other is worth; and with its own book, of that half too. It takes the
temperatures of the model beside it. A twin that stands in the folder is taken, one whose
training was stopped goes on.

Columns: the distance of the halves, that of songs from the half that they hold nothing
of, the ratio of the two, and the distance from all recordings of the style and of the
nearest other one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from command import parsed, parser_of, takes_model, takes_report, write_report
from frechet import composed, distance, moments_of, recordings, split_in_half, without

from hierarchy.configs import find_config
from hierarchy.material.corpus import Corpus
from hierarchy.micro.grains import GrainModel
from hierarchy.micro.learning import train_grains

SPLITS = 6


def half_corpus(folder: Path, kept: np.ndarray, out: Path) -> Path:
    """Write a corpus of some of the songs of another, all to learn from."""
    manifest = Corpus.read(folder).manifest
    songs = [manifest.songs[i] for i in sorted(kept)]
    out.mkdir(parents=True, exist_ok=True)
    link = out / "songs"
    link.unlink(missing_ok=True)
    link.symlink_to((folder / "songs").absolute())
    taught = tuple(dataclasses.replace(song, split="train") for song in songs)
    dataclasses.replace(manifest, songs=taught).write(out / "manifest.json")
    return out


def twin(folders: list[Path], split: int, out: Path) -> GrainModel:
    """The model that heard the first half of a split of each style only."""
    if not (out / "config.json").exists():
        halves = [
            half_corpus(folder, splits(folder)[split][0], out / "corpora" / folder.name)
            for folder in folders
        ]
        train_grains(
            halves,
            out,
            config=find_config("default"),
            resume=True,
            report=lambda line: print(line, flush=True),
            progress=lambda p: p.step % 250 == 0 and print(p, flush=True),
        )
    return GrainModel.read(out)


def splits(folder: Path) -> list[tuple]:
    """The splits of a corpus, each as numbers of songs of either half."""
    return split_in_half(len(Corpus.read(folder).songs), SPLITS)


def across(
    model: GrainModel,
    folder: Path,
    real: dict[str, list[np.ndarray]],
    split: int,
    count: int,
) -> dict:
    """Distances of songs of a style that are made of the first half of a split."""
    style, both = folder.name, splits(folder)[split]
    seen, unseen = (np.concatenate([real[style][i] for i in half]) for half in both)
    songs = Corpus.read(folder).songs
    own = without(model, style, {songs[i].source for i in both[1]})
    made = np.concatenate(moments_of(composed(own, style, count)))
    return {
        "style": style,
        "split": split,
        "halves": distance(seen, unseen),
        "songs": distance(made, unseen),
        "styles": {
            name: distance(made, np.concatenate(every)) for name, every in real.items()
        },
    }


def _line(row: dict) -> str:
    style, styles = row["style"], row["styles"]
    others = {name: off for name, off in styles.items() if name != style}
    other = min(others, key=others.__getitem__, default="")
    return (
        f"{style:14}{row['split']:6}{row['halves']:9.2f}{row['songs']:9.2f}"
        f"{row['songs'] / row['halves']:9.2f}{styles[style]:9.2f}"
        f"{others.get(other, float('nan')):9.2f} {other:14}{row['model']}"
    )


def main() -> None:
    """Make songs, print the table."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("folders", nargs="+", type=Path, help="prepared corpora, named as their styles")
    add("--songs", type=int, default=12, help="of each style and split")
    add("--styles", nargs="+", help="make songs of these only; default: of all")
    add("--splits", type=int, nargs="+", default=list(range(SPLITS)), help="0 to 5")
    takes_model(parser)
    add("--twins", type=Path, help="train a model for each split in this folder")
    takes_report(parser)
    asked = parsed(parser)
    real = {folder.name: recordings(folder)[0] for folder in asked.folders}
    asked_for = [f for f in asked.folders if f.name in (asked.styles or real)]
    rows, given = [], GrainModel.read(asked.model)
    columns = ("split", "halves", "songs", "ratio", "style", "other")
    print(" " * 14 + f"{columns[0]:>6}" + "".join(f"{c:>9}" for c in columns[1:]))
    for split in asked.splits:
        models = {"as it is": given}
        if asked.twins:
            own = twin(asked.folders, split, asked.twins / str(split))
            own = dataclasses.replace(own, temperatures=given.temperatures)
            models["weights of its twin"] = dataclasses.replace(own, books=given.books)
            models["book of its twin"] = dataclasses.replace(given, books=own.books)
            models["its twin"] = own
        for name, model in models.items():
            for folder in asked_for:
                found = across(model, folder, real, split, asked.songs)
                rows.append(found | {"model": name})
                print(_line(rows[-1]), flush=True)
    print("\nmean of the splits")
    for model in dict.fromkeys(row["model"] for row in rows):
        for style in dict.fromkeys(row["style"] for row in rows):
            mine = [r for r in rows if (r["model"], r["style"]) == (model, style)]
            halves, songs = (np.mean([r[k] for r in mine]) for k in ("halves", "songs"))
            print(f"{style:20}{halves:9.2f}{songs:9.2f}{songs / halves:9.2f}  {model}")
    write_report(rows, asked.json)


if __name__ == "__main__":
    main()
