"""Does listening hear what is there? Made songs with known answers, and real recordings.

    python -m benchmarks.listening [--songs 40] [--json OUT.json]
    python -m benchmarks.listening --recordings FOLDER [--published FACTS.json] ...

Made songs: boundaries of sections (F within 0.5 s), pairwise F of their letters, beats
(F within 70 ms), downbeats, metre and tempo, by bands that the listener was tuned on
(workshop; other songs of theirs) and by bands with instruments it never met (strangers),
with and without drums, in 4/4, 3/4 and 6/8.

Recordings: nobody knows the answer, so an independent tracker is asked too: librosa's
(Ellis 2007, its own onsets and tempo) and, where it is installed, essentia's
RhythmExtractor2013 (Zapata, Davies and Gómez 2014). Agreement of beats is F within 70 ms
at the same level of metre, and AMLt, which forgives another level (Davies et al. 2009).
FACTS.json may hold published facts: {"file name": [tempo, "D:maj"]}.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import mir_eval
import numpy as np
import soundfile
import soxr
from command import parser_of

from structure.harmony import Key
from structure.heard import Heard
from structure.listening import listen
from tests.made_bands import STRANGERS, WORKSHOP, BandSong, random_song
from tests.made_songs import RATE

FIRST_SEED = 5000
"""Songs from here on were never listened to while listening was made."""


def judged(song: BandSong, heard: Heard) -> dict[str, float]:
    """How right a listener is about a made song."""
    found = np.array(heard.boundaries)
    true, said = (np.stack([b[:-1], b[1:]], axis=1) for b in (song.boundaries, found))
    precision, recall, hits = mir_eval.segment.detection(true, said, window=0.5)
    end = max(song.boundaries[-1], found[-1])
    true, letters = mir_eval.util.adjust_intervals(true, list(song.letters), 0, end)
    said, names = mir_eval.util.adjust_intervals(said, list(heard.letters), 0, end)
    beats = np.array(heard.beat_times)
    downbeats = beats[list(heard.downbeats)]
    right = [
        (label, sure)
        for label, sure in zip(heard.labels, heard.label_confidence, strict=True)
        if label in ("verse", "chorus")
    ]
    return {
        "boundaries": hits,
        "precision": precision,
        "recall": recall,
        "letters": mir_eval.segment.pairwise(true, letters, said, names)[2],
        "beats": mir_eval.beat.f_measure(song.beat_times, beats),
        "downbeats": mir_eval.beat.f_measure(
            song.beat_times[song.downbeats], downbeats
        ),
        "metre": float(heard.meter == song.meter),
        "tempo": float(abs(heard.tempo / song.tempo - 1) < 0.01),
        "sure": float(np.mean([sure for _, sure in right])) if right else np.nan,
    }


def made(count: int) -> Iterator[tuple[str, BandSong, dict[str, float]]]:
    """Songs by both kinds of bands, judged."""
    for kind, instruments in (("workshop", WORKSHOP), ("strangers", STRANGERS)):
        for number in range(count):
            song = random_song(
                FIRST_SEED + number,
                instruments=instruments,
                meter=("4/4", "3/4", "6/8", "4/4")[number % 4],
                drums=number // 4 % 2 == 0,
            )
            yield kind, song, judged(song, listen(song.waveform, RATE))


def trackers() -> dict[str, Callable[[np.ndarray], tuple[float, np.ndarray]]]:
    """Other people's trackers: mono at 44,100 Hz to tempo and beats."""
    import librosa

    def by_librosa(mono: np.ndarray) -> tuple[float, np.ndarray]:
        tempo, beats = librosa.beat.beat_track(y=mono, sr=44_100, units="time")
        return float(np.atleast_1d(tempo)[0]), beats

    found = {"librosa": by_librosa}
    try:
        import essentia.standard
    except ImportError:
        return found

    def by_essentia(mono: np.ndarray) -> tuple[float, np.ndarray]:
        tempo, beats, *_ = essentia.standard.RhythmExtractor2013()(mono)
        return float(tempo), np.asarray(beats)

    return found | {"essentia": by_essentia}


def recorded(folder: Path, published: dict[str, list]) -> Iterator[tuple[str, dict]]:
    """Recordings in a folder, and how far others agree with us."""
    others = trackers()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".wav", ".flac", ".ogg", ".mp3", ".opus"):
            continue
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
        heard = listen(waveform.T, rate)
        beats = np.array(heard.beat_times)
        row = {"tempo": heard.tempo, "metre": heard.meter, "key": heard.key}
        row |= {"steady": heard.steady, "sections": len(heard.labels)}
        mono = soxr.resample(waveform.mean(axis=1), rate, 44_100)
        for name, track in others.items():
            tempo, theirs = track(mono)
            ours = mir_eval.beat.trim_beats(beats)
            theirs = mir_eval.beat.trim_beats(theirs)
            row[f"{name} tempo"] = tempo
            row[f"{name} F"] = mir_eval.beat.f_measure(theirs, ours)
            row[f"{name} AMLt"] = mir_eval.beat.continuity(theirs, ours)[3]
        if path.name in published:
            tempo, key = published[path.name]
            row["published tempo"], row["published key"] = tempo, key
            row["tempo right"] = abs(heard.tempo / tempo - 1) < 0.01
            row["key score"] = mir_eval.key.weighted_score(
                _named(key), _named(heard.key)
            )
        yield str(path.relative_to(folder)), row


def _named(key: str) -> str:
    read = Key.parse(key)
    return f"{str(read).split(':')[0]} {'major' if read.mode == 'maj' else 'minor'}"


def table(rows: list[dict], names: list[str]) -> None:
    """Print rows as Markdown."""
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        cells = (row.get(name, "") for name in names)
        shown = (f"{x:.3g}" if isinstance(x, float) else str(x) for x in cells)
        print("| " + " | ".join(shown) + " |")


def summary(rows: list[tuple[str, BandSong, dict]]) -> list[dict]:
    """Means over groups of made songs."""
    groups = {
        kind: [row for who, _, row in rows if who == kind]
        for kind in ("workshop", "strangers")
    }
    for meter in ("4/4", "3/4", "6/8"):
        groups[f"strangers, {meter}"] = [
            row for who, song, row in rows if who == "strangers" and song.meter == meter
        ]
    for drums in (True, False):
        groups[f"strangers, {'with' if drums else 'without'} drums"] = [
            row for who, song, row in rows if who == "strangers" and song.drums == drums
        ]
    return [
        {"songs": f"{name} ({len(group)})"}
        | {key: float(np.nanmean([row[key] for row in group])) for key in group[0]}
        for name, group in groups.items()
        if group
    ]


def main() -> None:
    """Listen and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--songs", type=int, default=40, help="of each kind (40)")
    parser.add_argument("--recordings", type=Path, help="listen to these instead")
    parser.add_argument("--published", type=Path, help="JSON of published facts")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.recordings:
        facts = json.loads(asked.published.read_text()) if asked.published else {}
        rows = [{"file": name} | row for name, row in recorded(asked.recordings, facts)]
        names = list(dict.fromkeys(name for row in rows for name in row))
    else:
        rows = summary(list(made(asked.songs)))
        names = list(rows[0])
    table(rows, names)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
