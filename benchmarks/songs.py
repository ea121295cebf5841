"""Whole songs, judged from their sound alone.

    python benchmarks/songs.py --model DIR --sequencer DIR --count 6 --out work/songs
    python benchmarks/songs.py song.wav other.flac     # their .plan.json lie beside them
    python benchmarks/songs.py --known 4               # songs that must score near 1
    python benchmarks/songs.py --recordings ~/Music/album   # what real music measures

Prints a row a song and the medians; --json writes all of it. Songs are judged by
librosa, mir_eval and pyloudnorm: see `judges` and `sound_judges` for what each column
means. What the plan asked for is read from the plan, what is heard from the sound.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import judges
import known_song
import librosa
import numpy as np
import sound_judges
import soundfile
from command import parser_of, takes_model, takes_report, write_report

import hierarchy
from structure.plan import SongPlan

FORMS = ("verse-chorus", "verse-chorus-bridge", "aaba", "strophic")
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus")

FORM_COLUMNS = (
    "tempo_error", "octave", "beat_f", "beat_lag", "pulse", "key_score", "key_rank",
    "chords", "roots", "spans", "chord_chance", "hit_05", "hit_3", "recall_3",
    "returns", "sections", "alike", "unlike", "contrast", "copied", "same_section",
)  # fmt: skip
SOUND_COLUMNS = (
    "loudness", "true_peak", "clipped", "dc", "silence", "crest", "width",
    "correlation", "mono_loss", "low", "mid", "high", "air", "rolloff", "flatness",
    "gaps", "motion", "chorus_over_verse", "energy_rank", "jump_p", "hiss_p", "dip_p",
    "jump_db", "hiss_db", "dip_db",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Subject:
    """A song to judge; without a plan only its sound is."""

    name: str
    waveform: np.ndarray
    sample_rate: int
    plan: SongPlan | None


def judge(subject: Subject) -> tuple[dict, tuple[np.ndarray, np.ndarray] | None]:
    """All that the judges say of one song, and the traces at its joins."""
    waveform, rate, plan = subject.waveform, subject.sample_rate, subject.plan
    row: dict = {"song": subject.name}
    row |= sound_judges.judge_levels(waveform, rate)
    row |= sound_judges.judge_stereo(waveform, rate)
    row |= sound_judges.judge_colour(waveform, rate)
    if plan is None:
        return row, None
    row |= {"style": plan.style, "asked_key": plan.key, "asked_tempo": plan.tempo}
    listener = judges.Listener(waveform, rate)
    row |= judges.judge_tempo(listener, plan)
    row |= judges.judge_key(listener, plan)
    row |= judges.judge_chords(listener, plan)
    row |= judges.judge_form(listener, plan)
    row |= sound_judges.judge_dynamics(waveform, rate, plan)
    row |= sound_judges.judge_repetition(waveform, rate, plan)
    traces = sound_judges.join_traces(waveform, rate, plan)
    row |= sound_judges.judge_joins(*traces)
    return row, traces


def read(paths: Iterable[Path]) -> Iterator[Subject]:
    """Songs with the plans that lie beside them."""
    for path in paths:
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
        plan = SongPlan.read(path.with_name(f"{path.stem}.plan.json"))
        yield Subject(path.stem, waveform.T, rate, plan)


def read_recordings(folder: Path, *, seconds: float = 180) -> Iterator[Subject]:
    """Recordings without plans."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            waveform, rate = librosa.load(path, sr=None, mono=False, duration=seconds)
            yield Subject(path.stem, np.atleast_2d(waveform), int(rate), None)


def known(count: int) -> Iterator[Subject]:
    """Songs of plain tones that keep their plans beyond doubt."""
    for seed in range(count):
        plan = known_song.known_plan(seed=seed)
        yield Subject(f"known {seed}", known_song.play(plan), known_song.RATE, plan)


def render(arguments: argparse.Namespace) -> Iterator[Subject]:
    """Songs of this project, one after another."""
    from hierarchy.devices import keep_compiled_programs, use_all_cores

    use_all_cores()
    keep_compiled_programs()
    from hierarchy.macro.rendering import render_song
    from hierarchy.micro.grains import GrainModel

    model = GrainModel.read(arguments.model)
    for name, plan in _plans(arguments, model):
        started = time.monotonic()
        song = render_song(
            plan, model, freedom=arguments.freedom, chorus_variation=arguments.variation
        )
        seconds = time.monotonic() - started
        print(f"{name}: {plan.seconds:.0f} s of music in {seconds:.0f} s", flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            path = arguments.out / f"{name}.wav"
            soundfile.write(path, song.waveform.T, song.sample_rate, subtype="PCM_24")
            song.plan.write(path.with_suffix(".plan.json"))
            if arguments.pictures:
                from hierarchy.export.pictures import draw_song

                picture = path.with_suffix(".png")
                draw_song(picture, song.waveform, song.sample_rate, song.plan)
        yield Subject(name, song.waveform, song.sample_rate, song.plan)


def _plans(arguments, model) -> Iterator[tuple[str, SongPlan]]:
    if arguments.plans:
        for path in arguments.plans:
            plan = SongPlan.read(path)
            yield f"{path.name.removesuffix('.json').removesuffix('.plan')}", plan
        return
    from hierarchy.macro.choosing import natural_tempo
    from structure.composing import compose
    from structure.requests import SongRequest
    from structure.sequencer import Sequencer

    sequencer = Sequencer.read(arguments.sequencer)
    styles = arguments.styles or model.styles
    for number in range(arguments.count):
        style = styles[number % len(styles)]
        form = arguments.forms[number // len(styles) % len(arguments.forms)]
        seed = arguments.seed + number
        request = SongRequest(
            form=form,
            style=style,
            tempo=natural_tempo(model.books[style], seed),
            minutes=arguments.minutes,
        )
        yield f"{style}-{form}-{seed}", compose(sequencer, request, seed=seed)


def table(rows: list[dict], columns: Iterable[str]) -> str:
    """Rows with their medians below."""
    columns = [column for column in columns if any(column in row for row in rows)]
    names = [f"{row['song'][:18]:18}" for row in rows]
    lines = [" " * 18 + "".join(f"{_short(column):>9}" for column in columns)]
    for name, row in zip(names, rows, strict=True):
        lines.append(name + "".join(_cell(row.get(column)) for column in columns))
    if len(rows) > 1:
        lines.append(
            f"{'median':18}" + "".join(_cell(_median(rows, c)) for c in columns)
        )
    return "\n".join(lines)


def _median(rows: list[dict], column: str) -> float:
    values = [row[column] for row in rows if np.isfinite(row.get(column, np.nan))]
    return float(np.median(values)) if values else float("nan")


def _short(column: str) -> str:
    return column if len(column) < 9 else column.replace("_", "")[:8]


def _cell(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return f"{'-':>9}"
    return f"{value:9.0f}" if abs(value) >= 100 else f"{value:9.3g}"


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add: Callable = parser.add_argument
    add("songs", nargs="*", type=Path, help="sound files with .plan.json beside them")
    add("--known", type=int, metavar="N", help="judge N songs of plain tones")
    add("--recordings", type=Path, help="measure the sound of recordings in a folder")
    add("--count", type=int, default=6, help="how many songs to render")
    takes_model(parser)
    add(
        "--sequencer",
        type=Path,
        default=Path(hierarchy.__file__).parent / "pretrained" / "sequencer",
        help="a folder from train-sequencer; default: ours",
    )
    add("--plans", nargs="*", type=Path, help="render these plans")
    add("--styles", nargs="*", help="styles of the model; default: all in turn")
    add("--forms", nargs="*", default=FORMS, help="forms, in turn")
    add("--minutes", type=float, help="about how long; default: as composed")
    add(
        "--seed",
        type=int,
        default=1,
        help="of the first song; the next one has the next",
    )
    add("--freedom", type=float, default=0.0)
    add("--variation", type=float, default=0.0)
    add("--out", type=Path, help="keep the songs here")
    add("--pictures", action="store_true", help="draw them too, beside --out")
    takes_report(parser)
    return parser.parse_args()


def main() -> None:
    """Judge what the command line asks for."""
    arguments = _arguments()
    if arguments.songs:
        subjects = read(arguments.songs)
    elif arguments.known:
        subjects = known(arguments.known)
    elif arguments.recordings:
        subjects = read_recordings(arguments.recordings)
    else:
        subjects = render(arguments)
    rows, traces = [], []
    for subject in subjects:
        row, trace = judge(subject)
        rows.append(row)
        traces += [trace] if trace else []
        print(f"judged {subject.name}", flush=True)
    print("\n" + table(rows, FORM_COLUMNS) if traces else "")
    print("\n" + table(rows, SOUND_COLUMNS))
    together = {}
    if traces:
        joins, others = (np.concatenate(part) for part in zip(*traces, strict=True))
        together = sound_judges.judge_joins(joins, others)
        print(f"\njoins of all songs, {len(joins)} against {len(others)} other beats:")
        print("  " + "  ".join(f"{k} {v:.3g}" for k, v in together.items()))
    columns = (*FORM_COLUMNS, *SOUND_COLUMNS)
    medians = {c: _median(rows, c) for c in columns if any(c in r for r in rows)}
    report = {"songs": rows, "medians": medians, "joins": together}
    write_report(report, arguments.json)


if __name__ == "__main__":
    main()
