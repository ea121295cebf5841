"""How truly grains answer: what was asked against what is heard.

    python benchmarks/fidelity.py work/corpus [more ...] --model DIR --count 20

Grains of 3 seconds of held-out songs, asked for at several degrees of freedom, with as
many sinusoids and at the temperature that `render-song` takes then, and compared with
the recording by librosa and mir_eval; the same compared with their requests ("asked")
by the measures that those were made with; then bars as songs are rendered, gestures of
the book in random keys and at random tempi, compared with theirs.
Where few sinusoids or none are told, the best of several grains is heard, as in songs;
which is best is told by chroma against the request, so chroma against the recording,
librosa's, is the independent figure there, and their edges, which are told sinusoids of
the recording (see `hierarchy.micro.refining`), are left out of what is compared with it.
A corpus folder is named as its style. Medians by style; bits per sample of held-out
songs beside, and of linear prediction, as `bits.py` tells them.

Columns: chroma: cosine of constant-Q chroma; loud: correlation of the level in dB;
loud_db: how far it is off, dB; onsets: F within 30 ms; bright: correlation of the
spectral centroid in octaves; lsd: log-spectral distance, dB; mel: the same over 64 mel
bands; noise: dB by which the valleys between partials are filled; bass: how much more
of the power lies below 110 Hz, dB; chords: share of bars heard as the asked triad.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path

import judges
import librosa
import mir_eval
import numpy as np
import scipy.ndimage
import soundfile
from bits import bits_by_bins, print_bits
from command import (
    parsed,
    parser_of,
    takes_corpora,
    takes_model,
    takes_report,
    write_report,
)

from hierarchy.macro.choosing import choose_gestures
from hierarchy.macro.performing import perform
from hierarchy.macro.rendering import told_at
from hierarchy.material.corpus import Corpus
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.features import measure
from hierarchy.material.sketch import HOP as SKETCH
from hierarchy.micro.candidates import best_grains, candidates_of, chroma_likeness
from hierarchy.micro.grains import (
    CONTEXT,
    WARM_UP,
    Grain,
    GrainModel,
    GrainRequest,
    request_like,
)
from hierarchy.micro.learning import features_of
from hierarchy.micro.refining import edge_frames
from structure.plan import Section, SongPlan

SECONDS = 3.0
BASS = 110.0  # Hz
QUIETEST = -60.0  # dB below the loudest; what lies lower counts as equally silent
COLUMNS = (
    "chroma", "loud", "loud_db", "onsets", "bright", "lsd", "mel", "noise", "bass",
    "chords",
)  # fmt: skip
FREEDOMS = {f"freedom {x:g}": x for x in (0.0, 0.25, 0.5, 0.7, 0.75, 0.84, 1.0)}
KINDS = (*FREEDOMS, "as rendered")  # the last at freedom 0
SIDE_BY_SIDE = 64  # grains that are sampled and held at once


def compare(real: np.ndarray, made: np.ndarray, rate: int) -> dict[str, float]:
    """A recording and the grain that was asked to be like it, [2, samples] both."""
    one, two = (part.mean(axis=0).astype(np.float32) for part in (real, made))
    chroma = [librosa.feature.chroma_cqt(y=part, sr=rate) for part in (one, two)]
    spectra = [np.abs(librosa.stft(part, n_fft=2048, hop_length=512)) for part in (one, two)]  # fmt: skip
    top = max(spectra[0].max(), 1e-6)
    logs = [_decibels(part / top) for part in spectra]
    basis = librosa.filters.mel(sr=rate, n_fft=2048, n_mels=64)
    mels = [_decibels(np.sqrt(basis @ (s / top) ** 2)) for s in spectra]
    centroids = [_centroid(part, rate) for part in spectra]
    loud = spectra[0].sum(axis=0) > 0.02 * spectra[0].sum(axis=0).max()
    gaps = [_gaps(part[:, loud], rate) for part in logs]
    return {
        "chroma": _cosine(*chroma),
        **_compare_levels(*(_levels(part) for part in (one, two))),
        "onsets": mir_eval.onset.f_measure(
            _onsets(one, rate), _onsets(two, rate), window=0.03
        )[0],
        "bright": _correlation(centroids[0][loud], centroids[1][loud]),
        "lsd": float(np.median(np.sqrt(np.mean((logs[0] - logs[1]) ** 2, axis=0)))),
        "mel": float(np.median(np.sqrt(np.mean((mels[0] - mels[1]) ** 2, axis=0)))),
        "noise": gaps[0] - gaps[1],
        "bass": _bass(spectra[1], rate) - _bass(spectra[0], rate),
    }


def compare_with_request(
    waveform: np.ndarray, rate: int, request: GrainRequest, chord: str | None
) -> dict[str, float]:
    """A sound and a request's own arrays, heard by what the request was made with.

    Librosa's chroma and onsets of a recording agree with the arrays of that recording
    to 0.7 or 0.9 only, so they cannot say how truly a grain answers; its chords are
    independent, and told by librosa and mir_eval.

    Args:
        waveform: float32 [2, samples].
        rate: Hz.
        request: what was asked.
        chord: what the plan asks for, if a plan does.
    """
    heard = measure(waveform, rate, bands=request.levels.shape[-1])
    inside = slice(WARM_UP + CONTEXT, WARM_UP + CONTEXT + request.frames)
    frames = slice(0, request.frames)
    # A band that is critically sampled has as many times the power as there are bands.
    asked_levels, heard_levels = (
        10 * np.log10(np.square(levels[0]).mean(axis=1) + 1e-10)
        for levels in (request.levels[:, inside], heard.levels[:, frames])
    )
    loud = asked_levels > asked_levels.max() - 40
    row = {
        "chroma": chroma_likeness(request, heard),
        **_compare_levels(asked_levels, heard_levels),
        "onsets": _attacks_f(request.onset[inside], heard.onset[frames], rate),
        "bright": _correlation(
            request.brightness[inside][loud], heard.brightness[frames][loud]
        ),
    }
    if chord is not None:
        cqt = librosa.feature.chroma_cqt(y=waveform.mean(axis=0), sr=rate)
        triads = judges.chord_templates() @ np.median(np.log1p(10 * cqt), axis=1)
        right = mir_eval.chord.majmin([chord], [judges.CHORDS[triads.argmax()]])[0]
        row["chords"] = float(right) if right >= 0 else float("nan")
    return row


CLEAR, THERE = 0.4, 0.25  # strength of an attack that must be matched, and that matches


def _attacks_f(asked: np.ndarray, heard: np.ndarray, rate: int) -> float:
    """F of attacks within 30 ms: each clear one on a side has one on the other.

    With one threshold for both, what lies near it would be told by chance.
    """

    def matched(these: np.ndarray, those: np.ndarray) -> list[bool]:
        clear, there = _peaks(these, CLEAR, rate), _peaks(those, THERE, rate)
        return [bool(np.any(np.abs(there - time) <= 0.03)) for time in clear]

    recalled, right = matched(asked, heard), matched(heard, asked)
    if not recalled and not right:
        return float("nan")
    recall = np.mean(recalled) if recalled else 1.0
    precision = np.mean(right) if right else 1.0
    return float(2 * recall * precision / max(recall + precision, 1e-9))


def _peaks(onset: np.ndarray, least: float, rate: int) -> np.ndarray:
    """Seconds of the peaks of an onset strength, those of `least` and more."""
    highest = scipy.ndimage.maximum_filter1d(onset, 7)
    peaks = np.flatnonzero((onset > least) & (onset == highest))
    return (peaks[np.diff(peaks, prepend=-9) > 3] + 0.5) * FRAME / rate


def _decibels(ratio: np.ndarray) -> np.ndarray:
    return np.maximum(20 * np.log10(ratio + 1e-9), QUIETEST)


def _levels(mono: np.ndarray) -> np.ndarray:
    rms = librosa.feature.rms(y=mono, frame_length=1024, hop_length=512)[0]
    return 20 * np.log10(rms + 1e-5)


def _compare_levels(asked: np.ndarray, heard: np.ndarray) -> dict[str, float]:
    kept = asked > asked.max() - 50
    return {
        "loud": _correlation(asked[kept], heard[kept]),
        "loud_db": float(np.median(np.abs(asked[kept] - heard[kept]))),
    }


def _onsets(mono: np.ndarray, rate: int) -> np.ndarray:
    return librosa.onset.onset_detect(y=mono, sr=rate, hop_length=256, units="time")


def _centroid(spectrum: np.ndarray, rate: int) -> np.ndarray:
    hertz = librosa.fft_frequencies(sr=rate, n_fft=2048)[:, None]
    mean = (hertz * spectrum).sum(axis=0) / np.maximum(spectrum.sum(axis=0), 1e-9)
    return np.log2(np.maximum(mean, 20) / 1000)


def _gaps(logs: np.ndarray, rate: int) -> float:
    """How far valleys lie below the peaks beside them, 300 to 3,000 Hz, dB."""
    hertz = librosa.fft_frequencies(sr=rate, n_fft=2048)
    here = logs[(hertz > 300) & (hertz < 3000)]
    top = scipy.ndimage.maximum_filter1d(here, 7, axis=0)
    return float(np.median(top - scipy.ndimage.minimum_filter1d(here, 7, axis=0)))


def _bass(spectrum: np.ndarray, rate: int) -> float:
    """Share of the power below BASS, dB, not below QUIETEST."""
    low = librosa.fft_frequencies(sr=rate, n_fft=2048) < BASS
    power = np.square(spectrum).sum(axis=1)
    return float(_decibels(np.sqrt(power[low].sum() / max(power.sum(), 1e-12))))


def _cosine(one: np.ndarray, two: np.ndarray) -> float:
    width = min(one.shape[1], two.shape[1])
    one, two = one[:, :width], two[:, :width]
    norms = np.linalg.norm(one, axis=0) * np.linalg.norm(two, axis=0)
    return float(np.median((one * two).sum(axis=0)[norms > 0] / norms[norms > 0]))


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    if len(one) < 3 or np.std(one) < 1e-6 or np.std(two) < 1e-6:
        return float("nan")
    return float(np.corrcoef(one, two)[0, 1])


def held_out(folder: Path, model: GrainModel, *, style: str, count: int, seed: int):
    """Requests for `count` places of held-out songs, and the sound at each place.

    Corpora without held-out songs, such as very small ones, give their training songs.
    """
    corpus = Corpus.read(folder)
    songs = [song for song in corpus.songs if song.split == "valid"] or corpus.songs
    random = np.random.default_rng(seed)
    frames = round(SECONDS * model.config.sample_rate / FRAME) // 2 * 2
    number = model.config.styles.index(style)
    requests, sounds = [], []
    for index, song in enumerate(songs):
        features, audio = features_of(song, model.config), song.audio()
        for _ in range(count // len(songs) + (index < count % len(songs))):
            first = int(random.integers(0, max(features.frames - frames, 2)) // 2 * 2)
            requests.append(
                request_like(features, first, frames, style=number, seed=len(requests))
            )
            sounds.append(audio[:, first * FRAME : (first + frames) * FRAME])
    return requests, sounds


def as_rendered(
    model: GrainModel, *, style: str, count: int, seed: int
) -> Iterator[tuple]:
    """Requests as songs are rendered, each with the chord that was asked for."""
    random = np.random.default_rng(seed)
    book = model.books[style]
    roots = judges.PITCH_CLASSES
    for number in range(count):
        tonic = int(random.integers(12))
        steps = ((0, "min"), (8, "maj"), (3, "maj"), (10, "maj"))
        chords = tuple((f"{roots[(tonic + n) % 12]}:{mode}",) for n, mode in steps)
        section = Section(label="verse", letter="A", chords=chords)
        plan = SongPlan(
            style=style,
            key=f"{roots[tonic]}:min",
            tempo=float(np.round(random.uniform(75, 140), 1)),
            seed=number,
            sections=(section,),
        )
        plan = choose_gestures(plan, book, seed=number)
        performance = perform(
            plan,
            book,
            style=model.config.styles.index(style),
            seed=number,
            sample_rate=model.config.sample_rate,
        )
        # One bar a song, each in turn but for the last, which rings.
        place = sorted(performance.placements, key=lambda p: p.start)[number % 3]
        yield performance.requests[place.grain], chords[number % 3][0]


def medians_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each column; of chords the share that is right."""
    found = {}
    for column in COLUMNS:
        values = [row[column] for row in rows if np.isfinite(row.get(column, np.nan))]
        if values:
            middle = np.mean if column == "chords" else np.median
            found[column] = float(middle(values))
    return found


def answers(
    model: GrainModel,
    folder: Path,
    kinds: Collection[str],
    *,
    count: int,
    seed: int = 0,
    keep: Path | None = None,
) -> dict[str, list[dict[str, float]]]:
    """What is heard of `count` grains of a style, a row each, by kind; see `KINDS`.

    Args:
        model: with the style that the folder is named after.
        folder: a prepared corpus.
        kinds: of what is asked.
        count: grains of each kind.
        seed: of places, keys and tempi.
        keep: a folder for the grains and their recordings.
    """
    style, rows = folder.name, {}
    for kind, temperature, asked in _asked(model, folder, kinds, count, seed):
        for first in range(0, len(asked), SIDE_BY_SIDE):
            some = asked[first : first + SIDE_BY_SIDE]
            grains = best_grains(
                model, [request for request, _ in some], temperature=temperature
            )
            for number, (grain, (_, against)) in enumerate(
                zip(grains, some, strict=True), first
            ):
                for name, row in _judged(grain, kind, against):
                    rows.setdefault(name, []).append(row)
                if keep:
                    _keep(keep, f"{number:04}-{style}-{kind}", grain, against)
            done = min(first + SIDE_BY_SIDE, len(asked)) / len(asked)
            print(f"\r{style}, {kind} {done:4.0%} ", end="", flush=True)
    return rows


def _asked(model, folder, kinds, count, seed) -> Iterator[tuple]:
    """Kind, temperature, and what is asked with the sound or chord it is held against."""
    style = folder.name
    if wanted := [kind for kind in FREEDOMS if kind in kinds]:
        requests, sounds = held_out(folder, model, style=style, count=count, seed=seed)
        for kind in wanted:
            peaks, temperature = told_at(FREEDOMS[kind], model, style)
            told = [dataclasses.replace(request, peaks=peaks) for request in requests]
            yield kind, temperature, list(zip(told, sounds, strict=True))
    if "as rendered" in kinds:
        asked = list(as_rendered(model, style=style, count=count, seed=seed))
        yield "as rendered", model.temperature(style), asked


def _judged(grain: Grain, kind: str, against) -> Iterator[tuple[str, dict]]:
    waveform, rate = grain.waveform, grain.sample_rate
    if isinstance(against, str):
        yield kind, compare_with_request(waveform, rate, grain.request, against)
        return
    # Edges are told the recording's sinusoids, so they say nothing of freedom.
    mended = candidates_of(grain.request) > 1
    edge = edge_frames(rate) * SKETCH if mended else 0
    inside = slice(edge, waveform.shape[1] - edge)
    yield kind, compare(against[:, inside], waveform[:, inside], rate)
    yield f"{kind}, asked", compare_with_request(waveform, rate, grain.request, None)


def _keep(folder: Path, name: str, grain: Grain, against) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = name.replace(" ", "-")
    soundfile.write(folder / f"{name}.wav", grain.waveform.T, grain.sample_rate)
    if not isinstance(against, str):
        soundfile.write(folder / f"{name}-real.wav", against.T, grain.sample_rate)


def main() -> None:
    """Measure what the command line asks for."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    takes_corpora(parser)
    takes_model(parser)
    add("--count", type=int, default=20, help="grains of each style and kind")
    add(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=KINDS,
        metavar="KIND",
        help="of " + ", ".join(KINDS),
    )
    add("--seed", type=int, default=0)
    add("--keep", type=Path, help="write the grains and their recordings here")
    takes_report(parser)
    arguments = parsed(parser)
    model = GrainModel.read(arguments.model)

    rows: dict[str, list] = {}
    for folder in arguments.corpora:
        found = answers(
            model,
            folder,
            arguments.kinds,
            count=arguments.count,
            seed=arguments.seed,
            keep=arguments.keep,
        )
        rows |= {f"{folder.name}, {kind}": some for kind, some in found.items()}
    medians = {name: medians_of(some) for name, some in rows.items()}
    print("\n" + " " * 30 + "".join(f"{column:>9}" for column in COLUMNS))
    for name, found in medians.items():
        cells = [
            f"{found[c]:9.3f}" if c in found else f"{'-':>9}" for c in COLUMNS
        ]  # fmt: skip
        print(f"{name:30}" + "".join(cells))
    print("\nbits per sample")
    bits = bits_by_bins(model, arguments.corpora)
    print_bits(bits)
    report = {"medians": medians, "bits_per_sample": bits, "rows": rows}
    write_report(report, arguments.json)


if __name__ == "__main__":
    main()
