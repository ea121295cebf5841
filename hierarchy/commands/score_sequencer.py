"""score-sequencer: how well a sequencer foresees songs, in bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hierarchy import cli
from hierarchy.commands import asking

if TYPE_CHECKING:
    from structure.annotations import AnnotatedSong
    from structure.scoring import Score

ROWS = {
    "forms": {
        "label": "section labels and the end",
        "letter": "which idea",
        "bars": "bars of a section, 1 to 64",
    },
    "pop": {"label": "section labels and the end, pop only"},
    "harmony": {
        "chord": "chords",
        "new_letter": "chords in sections whose letter is new",
        "new_idea": "chords in sections whose idea is new (A' is A)",
        "timed": "chords, divisions of bars known",
        "timed_new_letter": "the same where the letter is new",
        "timed_new_idea": "the same where the idea is new",
    },
}
"""What is printed of each group of songs."""

WITHOUT_CHORDS = "no chords in some section"
TOO_LONG = "a section of more than 64 bars"
"""Why chords are not scored, after "3 songs have"."""


def score_sequencer(
    model: Annotated[
        Path | None,
        typer.Option(help="A folder from train-sequencer. *Default: ours.*"),
    ] = None,
    forms: Annotated[
        list[Path] | None,
        typer.Option(
            help="Annotated songs whose labels, ideas and lengths are foreseen; may be "
            "given again."
        ),
    ] = None,
    harmony: Annotated[
        list[Path] | None,
        typer.Option(
            help="Annotated songs with chords, which are foreseen; may be given again."
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which songs of the files: train, valid, test or all.")
    ] = "test",
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline",
            help="Beside it, what counting knows: n-grams of the songs of the split "
            "train and, for chords, what the song repeats; weighed on the split valid.",
        ),
    ] = False,
    as_json: asking.Json = False,
) -> None:
    """Say how many bits each label, length and chord of songs costs a sequencer.

    A song is read from its start; each outcome costs the log of its odds given all
    that came before. Fewer bits are better. The intervals hold 95% of the means of
    songs drawn again (bootstrap). Songs are JSON, one a line, as in
    `train-sequencer --annotations`. Sections of more than 64 bars are not scored for
    their length, and songs with such a section not for their chords; how many songs
    each row is of is said beside it.

    Examples:

        score-sequencer --forms forms.jsonl --harmony harmony.jsonl

        score-sequencer --model work/sequencer --harmony mine.jsonl --split all --json
    """
    if not forms and not harmony:
        raise cli.RequestError("nothing to foresee: give --forms, --harmony or both")
    if split not in ("train", "valid", "test", "all"):
        raise cli.RequestError(f"--split {split}; there are train, valid, test and all")
    with cli.stages("Reading") as stage:
        sequencer = asking.open_sequencer(model)
        groups: dict[str, list[AnnotatedSong]] = {}
        left_out: dict[str, list[str]] = {}
        if forms:
            groups["forms"] = _songs("--forms", forms, split)
        if harmony:
            songs = _songs("--harmony", harmony, split)
            scored, left_out = _with_chords(songs)
            if not scored:
                raise cli.RequestError(
                    f"--harmony: none of {len(songs)} songs can be scored; "
                    + _told(left_out)
                )
            # Songs that are too long cost nothing, but without them other songs would
            # be drawn for the intervals than were for those that are published.
            groups["harmony"] = [song for song in songs if song.has_chords]
        from structure.annotations import read_annotations
        from structure.counting import counted_bits
        from structure.scoring import measure, sequencer_bits, summary

        foreseers = {"sequencer": sequencer_bits(sequencer)}
        if baseline:
            stage("Counting")
            files = [*(forms or ()), *(harmony or ())]
            counted = _songs("--baseline", files, "train")
            judges = read_annotations(files, split="valid")
            foreseers["counting"] = counted_bits(counted, judges)
        counts = {group: len(songs) for group, songs in groups.items()}
        if harmony:
            counts["harmony"] = len(scored)
        scores: dict[str, dict[str, dict[str, Score]]] = {}
        for name, foresee in foreseers.items():
            scores[name] = {}
            for group, songs in groups.items():
                told = stage(f"Foreseeing {group}, {name}")
                sums = measure(foresee, songs, progress=told)
                scores[name][group] = _kept(group, summary(sums))
                pop = [
                    one for one, song in zip(sums, songs, strict=True) if song.is_pop
                ]
                # Files without other music need no second row.
                if group == "forms" and 0 < len(pop) < len(songs):
                    scores[name]["pop"] = _kept("pop", summary(pop))
                    counts["pop"] = len(pop)
    result = {
        "model": str(model or "default"),
        "split": split,
        "songs": counts,
        "left_out": left_out,
    }
    for name, tables in scores.items():
        result[name] = {
            group: {row: dataclasses.asdict(one) for row, one in table.items()}
            for group, table in tables.items()
        }
    cli.answer(result, as_json=as_json, text=_table(counts, left_out, scores))


def _kept(group: str, scores: dict[str, Score]) -> dict[str, Score]:
    return {row: scores[row] for row in ROWS[group] if row in scores}


def _songs(option: str, files: list[Path], split: str) -> list[AnnotatedSong]:
    from structure.annotations import read_annotations

    songs = read_annotations(files)
    chosen = [song for song in songs if split in ("all", song.split)]
    if not chosen:
        counts = {
            name: sum(song.split == name for song in songs)
            for name in ("train", "valid", "test")
        }
        named = ", ".join(str(file) for file in files)
        there = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise cli.RequestError(
            f"{option} {named}: no song of the split {split}; there are {there}"
        )
    return chosen


def _with_chords(
    songs: list[AnnotatedSong],
) -> tuple[list[AnnotatedSong], dict[str, list[str]]]:
    """The songs whose chords can be foreseen, and the ids of the others by reason."""
    from structure.encoding import is_too_long

    kept, left_out = [], {}
    for song in songs:
        if not song.has_chords or all(s.label == "silence" for s in song.sections):
            left_out.setdefault(WITHOUT_CHORDS, []).append(song.id)
        elif is_too_long(song):
            left_out.setdefault(TOO_LONG, []).append(song.id)
        else:
            kept.append(song)
    return kept, left_out


def _told(left_out: dict[str, list[str]]) -> str:
    """Why songs were left out, each reason with how many."""
    return ", ".join(
        f"{len(ids)} {'have' if len(ids) > 1 else 'has'} {reason}"
        for reason, ids in left_out.items()
    )


def _table(
    songs: dict[str, int],
    left_out: dict[str, list[str]],
    scores: dict[str, dict[str, dict[str, Score]]],
) -> str:
    lines = []
    missing = sum(map(len, left_out.values()))
    all_songs = songs | {"harmony": songs.get("harmony", 0) + missing}
    wide = max(len(text) for rows in ROWS.values() for text in rows.values())
    for group, rows in ROWS.items():
        for row, text in rows.items():
            found = [
                one
                for tables in scores.values()
                if (one := tables.get(group, {}).get(row)) is not None
            ]
            if found:
                cells = "  ".join(
                    f"{one.bits:6.3f} [{one.low:.3f}, {one.high:.3f}]" for one in found
                )
                known, of = found[0].songs, all_songs[group]
                count = f"{known} of {of}" if known < of else f"{known}"
                lines.append(f"{text:{wide}}  {cells}  {count} songs")
    if left_out:
        lines.append(
            f"chords of {songs['harmony']} of {all_songs['harmony']} songs; "
            + _told(left_out)
        )
    head = "  ".join(f"{name:22}" for name in scores)
    return f"{'bits':{wide}}  {head}\n" + "\n".join(lines)


main = cli.command(score_sequencer)
