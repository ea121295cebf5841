"""A wish to a song: its form at once, its first sections soon, then the whole.

Folders of a song, all named by the studio:

    grains/            what was sampled; another take samples only what it lacks
    1/, 2/, ...        versions: song.wav, plan.json, peaks.json; 1/ has first.wav too
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hierarchy.devices import keep_compiled_programs, use_all_cores
from hierarchy.export import export_song
from hierarchy.macro.balancing import FULL, balance
from hierarchy.macro.choosing import felt_tempo
from hierarchy.macro.grain_store import GrainStore, StoredGrains, sample_missing
from hierarchy.macro.mastering import LOSSY_ROOM, limit
from hierarchy.macro.mixing import Score, mix
from hierarchy.macro.rendering import (
    PRETRAINED,
    Arrangement,
    Song,
    arrange,
    redo,
    render_song,
)
from hierarchy.material.audio import read_waveform, write_waveform
from hierarchy.material.gestures import Book
from hierarchy.micro.grains import GrainModel
from hierarchy.studio.exports import DOWNLOADS
from hierarchy.studio.worker import Told
from structure.composing import compose
from structure.files import whole_file
from structure.plan import SongPlan
from structure.requests import SongRequest
from structure.sequencer import Sequencer

PEAKS = 1200  # columns of the waveform that the page draws
FIRST_SECONDS = 8.0  # sections that are heard first last so long at least
LOUDNESS, LOUDER = -14.0, 4.0  # LUFS of a song, and LU between calm and lively
BRIGHTER = 0.3  # of brightness, between calm and lively


@functools.lru_cache(maxsize=2)
def _model(folder: str | None) -> GrainModel:
    return GrainModel.read(folder)


@functools.cache
def _sequencer() -> Sequencer:
    return Sequencer.read(PRETRAINED)


def wake(job: dict, told: Told) -> dict:
    """Read the models and make a sound, before anybody asks: nobody waits for that then.

    It is given up as soon as somebody does ask; what has been done by then stays done.
    """
    keep_compiled_programs()
    use_all_cores()
    told.check()
    model = _model(job["model"])
    told.check()
    plan = compose(_sequencer(), SongRequest(form="V1 C1", tempo=200), seed=0)
    told.check()
    arranged = arrange(plan, model)
    render_first(arranged, model, 1, GrainStore(), told.stage("Waking up"))
    return {"styles": list(model.styles)}


def make_song(job: dict, told: Told) -> dict:
    """Compose and render; the plan and the first section are told on the way.

    Args:
        job: model (a folder, or None for ours), style, asked (of the sequencer), mood,
            freedom, chorus_variation, seed, and the folder of the song.
        told: the line to the studio.
    """
    folder = Path(job["folder"])
    model = _model(job["model"])
    told.stage("Composing")
    plan = composed(job, model)
    told.part(sections=sections_of(plan), **_facts(plan))
    arranged = arrange(plan, model)
    store = GrainStore(folder / "grains")
    count = first_sections(arranged.plan)
    if count < len(plan.sections):
        first = render_first(
            arranged, model, count, store, told.stage("Making the first sections")
        )
        write_waveform(
            folder / "1" / "first.wav", first, arranged.sample_rate, subtype="PCM_16"
        )
        told.part(first={"seconds": plan.starts()[count]})
    return _rendered(arranged.plan, model, store, folder / "1", told)


def make_again(job: dict, told: Told) -> dict:
    """Take one section of a version again; all else stays.

    Args:
        job: as for `make_song`, and version (its folder), into (the new one's) and
            section (its name).
        told: the line to the studio.
    """
    plan = redo(SongPlan.read(Path(job["version"]) / "plan.json"), job["section"])
    store = GrainStore(Path(job["folder"]) / "grains")
    return _rendered(plan, _model(job["model"]), store, Path(job["into"]), told)


def composed(job: dict, model: GrainModel) -> SongPlan:
    """The plan that a wish asks for."""
    style, book = model.book(job["style"])
    asked = dict(job["asked"])
    # Music sounds best about as fast as it was played.
    tempo = felt_tempo(
        tempo_for(book, job["mood"], job["seed"]), asked.get("meter", "4/4")
    )
    asked.setdefault("tempo", round(tempo, 1))
    request = SongRequest(style=style, **asked)
    plan = in_mood(compose(_sequencer(), request, seed=job["seed"]), job["mood"])
    dials = {
        "freedom": job["freedom"],
        "chorus_variation": job["chorus_variation"],
        "loudness": LOUDNESS + LOUDER * (job["mood"] - 0.5),
    }
    return plan.model_copy(update=dials)


def tempo_for(book: Book, mood: float, seed: int) -> float:
    """A tempo of the style: any in the middle mood, a slow one if it is to be calm."""
    chance = np.random.default_rng([seed, 1]).random()
    reach = 1 - 2 * abs(mood - 0.5)
    place = chance * reach + (mood > 0.5) * (1 - reach)
    return float(np.round(np.quantile(book.song_tempo, place, method="nearest"), 1))


def in_mood(plan: SongPlan, mood: float) -> SongPlan:
    """A plan made calmer (0) or livelier (1); 0.5 leaves it as it is.

    A calm song is darker and its sections lie further below its loudest moment.
    """
    if mood == 0.5:
        return plan
    power = 2.0 ** (1 - 2 * mood)
    sections = [
        section.model_copy(
            update={
                "energy": round(section.energy**power, 3),
                "brightness": round(
                    min(max(section.brightness + BRIGHTER * (mood - 0.5), 0.0), 1.0), 3
                ),
            }
        )
        for section in plan.sections
    ]
    return plan.model_copy(update={"sections": tuple(sections)})


def first_sections(plan: SongPlan) -> int:
    """How many sections are heard before the rest is made."""
    return min(bisect.bisect_left(plan.starts(), FIRST_SECONDS), len(plan.sections))


def render_first(
    arranged: Arrangement, model: GrainModel, count: int, store: GrainStore, progress
) -> np.ndarray:
    """The first `count` sections of a song as they will sound in it, [2, samples].

    Their grains are the song's own: what is sampled here is not sampled again. Only
    the mastering is guessed, from how loud the plan wants its sections to be.
    """
    performance, rate = arranged.performance, arranged.sample_rate
    kept = [number < count for number in performance.sections]

    def of_first(values: Sequence) -> tuple:
        return tuple(v for v, wanted in zip(values, kept, strict=True) if wanted)

    placements = of_first(performance.placements)
    needed = sorted({placement.grain for placement in placements})
    sample_missing(
        model,
        [performance.requests[grain] for grain in needed],
        [arranged.names[grain] for grain in needed],
        store,
        temperature=arranged.temperature,
        progress=progress,
    )
    grains = StoredGrains(store, arranged.names, performance.requests, rate)
    plan = arranged.plan
    part = dataclasses.replace(
        performance, placements=placements, sections=of_first(performance.sections)
    )
    first = plan.model_copy(update={"sections": plan.sections[:count]})
    score = Score(
        plan=plan,
        waveforms=grains.waveforms,
        placements=balance(first, part, grains),
        sections=part.sections,
        length=round(plan.starts()[count] * rate),
        sample_rate=rate,
    )
    gain = 10 ** (_master_gain(plan, performance.loudness_range) / 20)
    return limit(mix(score) * np.float32(gain), rate)


def _master_gain(plan: SongPlan, loudness_range: float) -> float:
    """Decibels that mastering will add, about: sections are as loud as was asked."""
    bars = np.array([section.bars for section in plan.sections], float)
    asked = FULL - loudness_range * (1 - np.array([s.energy for s in plan.sections]))

    def mean(heard: np.ndarray) -> float:
        power = np.average(10 ** (asked[heard] / 10), weights=bars[heard])
        return 10 * float(np.log10(power))

    # What is 10 LU below all is not counted (ITU-R BS.1770).
    whole = mean(asked > -np.inf)
    return plan.loudness - mean(asked > whole - 10)


def _rendered(
    plan: SongPlan, model: GrainModel, store: GrainStore, folder: Path, told: Told
) -> dict:
    song = render_song(
        *(plan, model),
        known=store,
        folder=folder.parent,
        progress=told.stage("Making the song"),
    )
    told.stage("Putting it together")
    write_song(song, folder)
    return {
        "sections": sections_of(song.plan),
        "sample_rate": song.sample_rate,
        **_facts(song.plan),
    }


def write_song(song: Song, folder: Path) -> None:
    """A version's files; the sound is what is heard and what is downloaded."""
    song.write(folder / "song.wav")
    song.plan.write(folder / "plan.json")
    with whole_file(folder / "peaks.json") as draft:
        draft.write_text(json.dumps(peaks_of(song.waveform)))


def peaks_of(waveform: np.ndarray, columns: int = PEAKS) -> dict[str, list[int]]:
    """What a drawing of a waveform [2, samples] needs: peak and rms, 0 to 255."""
    edges = np.linspace(0, waveform.shape[1], columns + 1).astype(int)[:-1]
    edges = np.unique(edges)
    loud = np.abs(waveform).max(axis=0)
    peak = np.maximum.reduceat(loud, edges)
    counts = np.diff(np.append(edges, loud.size))
    rms = np.sqrt(np.add.reduceat(loud.astype(np.float64) ** 2, edges) / counts)

    def bytes_of(values):
        return np.rint(np.clip(values, 0, 1) * 255).astype(int).tolist()

    return {"peak": bytes_of(peak), "rms": bytes_of(rms)}


def sections_of(plan: SongPlan) -> list[dict[str, Any]]:
    """What the page shows of each section."""
    starts, found = plan.starts(), []
    for number, (name, section) in enumerate(
        zip(plan.names(), plan.sections, strict=True)
    ):
        found.append(
            {
                "name": name,
                "label": section.label,
                "letter": section.letter,
                "bars": section.bars,
                "start": round(starts[number], 4),
                "end": round(starts[number + 1], 4),
                "energy": section.energy,
                "chords": [list(bar) for bar in section.chords],
            }
        )
    return found


def _facts(plan: SongPlan) -> dict[str, Any]:
    return {
        "title": plan.title,
        "key": plan.key,
        "tempo": plan.tempo,
        "meter": plan.meter,
        "seed": plan.seed,
        "seconds": plan.seconds,
    }


def export(job: dict, told: Told) -> dict:
    """Write what a visitor wants to download of a version.

    Args:
        job: version (its folder), what (a name of `exports.DOWNLOADS`), folder, model.
        told: the line to the studio.
    """
    wanted = DOWNLOADS[job["what"]]
    version = Path(job["version"])
    told.stage("Writing")
    if wanted.kind == "ogg":
        waveform, rate = read_waveform(version / "song.wav")
        plan = SongPlan.read(version / "plan.json")
        tags = {"title": plan.title, "software": "macrotime"}
        waveform *= np.float32(10 ** (-LOSSY_ROOM / 20))
        write_waveform(version / wanted.file, waveform, rate, tags=tags)
        return {}

    # Nothing is sampled: all grains are there.
    song = render_song(
        SongPlan.read(version / "plan.json"),
        _model(job["model"]),
        known=GrainStore(Path(job["folder"]) / "grains"),
        folder=version,
    )
    with tempfile.TemporaryDirectory(dir=version) as place:
        tell = told.stage("Writing")
        files = export_song(song, place, kinds=(wanted.kind,), progress=tell)
        if wanted.file.endswith(".zip"):
            pack(Path(place), version / wanted.file)
        else:
            files[0].replace(version / wanted.file)
    return {}


def pack_model(job: dict, told: Told) -> dict:
    """A style that was learned as an archive, to be kept.

    Args:
        job: folder of the model, and the file to write (into).
        told: the line to the studio.
    """
    told.stage("Packing")
    pack(Path(job["folder"]), Path(job["into"]))
    return {}


def pack(folder: Path, archive: Path) -> None:
    """Put all files of a folder into a zip archive."""
    with whole_file(archive) as draft, zipfile.ZipFile(draft, "w") as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # Sound is not made smaller by that; weights are not either.
                out.write(path, path.relative_to(folder))
