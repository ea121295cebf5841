"""A folder of recordings to a corpus: what was kept, what was dropped, and why.

    DIR/manifest.json                what is in it
    DIR/songs/<id>/song.json         facts of one song
                   audio.flac        at the corpus's rate, one or two channels
                   heard.json        beats, bars, chords, key, sections
                   plan.json         the same as a plan
                   features.npz      frame features

A recording longer than ten minutes is cut at quiet points into parts that are
songs of their own: memory then follows the longest part, not the longest file.
Each song's folder appears whole, and the manifest is written after each file, so
that an interrupted run goes on where it was and a second run does what changed.
Where a person's own annotation lies beside a recording, it stands in place of what
would be heard.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from hierarchy.material import audio, holding_out
from hierarchy.material.annotated import Beside, annotations_beside, hear
from hierarchy.material.features import Features, measure
from hierarchy.material.loudness import SILENCE, measure_loudness
from structure.errors import RequestError
from structure.files import whole_file, whole_folder
from structure.heard import Heard
from structure.plan import SongPlan

LONGEST_PART = 600.0
"""Seconds; what is longer is cut into parts."""

SHORTEST = 2.0
"""Seconds; what is shorter holds no bar to learn from."""

ANALYSIS = 4
"""Raised when listening or features change, so that older corpora are measured anew."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusSong:
    """One song of a corpus.

    Attributes:
        id: name of its folder; the start of its recording's hash, and its part.
        source: path of the recording in the folder it came from.
        sha256: hash of the recording's bytes.
        part: which part of the recording it is, from 1.
        offset: seconds into the recording at which it starts.
        seconds: how long it lasts.
        channels: 1 if both sides are alike, else 2.
        loudness: integrated, in LUFS, as it is stored.
        gain: decibels taken off so that no sample exceeds full scale; mostly 0.
        tempo: beats per minute.
        key: such as "A:min".
        split: "train" or "valid".
        annotation: hash of the annotations that were taken in place of listening.
        annotated: what they said: "12 sections and 88 chords by song.jams".
        folder: where its files are.
    """

    id: str
    source: str
    sha256: str
    part: int
    offset: float
    seconds: float
    channels: int
    loudness: float
    gain: float
    tempo: float
    key: str
    split: str = "train"
    annotation: str = ""
    annotated: str = ""
    folder: Path = Path()

    def audio(self) -> np.ndarray:
        """The sound, float32 [2, samples] at the corpus's rate."""
        waveform, _ = audio.read_waveform(self.folder / "audio.flac")
        return audio.as_stereo(waveform)

    def heard(self) -> Heard:
        """Beats, bars, chords and sections."""
        return Heard.read(self.folder / "heard.json")

    def plan(self) -> SongPlan:
        """The same as a plan; `plan.json` may be corrected by hand."""
        return SongPlan.read(self.folder / "plan.json")

    def features(self) -> Features:
        """Frame features."""
        return Features.read(self.folder / "features.npz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropped:
    """A file that is not in the corpus, and why."""

    source: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in a corpus.

    Attributes:
        sample_rate: of all its songs, in Hz.
        songs: in the order of their sources and parts.
        dropped: files that could not be used, annotations among them.
        held_out: hashes of the recordings that were named for validation.
        analysis: which version of the measurements this is.
    """

    sample_rate: int
    songs: tuple[CorpusSong, ...]
    dropped: tuple[Dropped, ...]
    held_out: tuple[str, ...] = ()
    analysis: int = ANALYSIS

    def write(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""

        def facts(song: CorpusSong) -> dict:
            return {k: v for k, v in vars(song).items() if k != "folder"}

        text = json.dumps(
            {
                "format": "macrotime-corpus",
                "version": 1,
                "analysis": self.analysis,
                "sample_rate": self.sample_rate,
                "held_out": list(self.held_out),
                "songs": [facts(song) for song in self.songs],
                "dropped": [vars(file) for file in self.dropped],
            },
            indent=1,
        )
        with whole_file(path) as draft:
            draft.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read what `write` wrote.

        Raises:
            RequestError: if there is no such file, or it is something else.
        """
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if (values["format"], values["version"]) != ("macrotime-corpus", 1):
                raise ValueError("another format or version")
            folder = path.parent / "songs"
            return cls(
                sample_rate=values["sample_rate"],
                analysis=values["analysis"],
                held_out=tuple(values.get("held_out", ())),
                songs=tuple(
                    CorpusSong(**facts, folder=folder / facts["id"])
                    for facts in values["songs"]
                ),
                dropped=tuple(Dropped(**file) for file in values["dropped"]),
            )
        except FileNotFoundError:
            raise RequestError(
                f"{path.parent} is not a corpus; prepare-corpus makes one of a folder of "
                "recordings"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RequestError(
                f"{path.parent} is not a corpus; prepare-corpus makes one ({error})"
            ) from None


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A prepared corpus, opened for learning from."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: str | Path) -> Corpus:
        """Open the corpus in `folder`.

        Raises:
            RequestError: if there is none, or nothing is in it.
        """
        manifest = Manifest.read(Path(folder) / "manifest.json")
        if not manifest.songs:
            raise RequestError(f"the corpus {folder} holds no songs")
        return cls(Path(folder), manifest)

    @property
    def sample_rate(self) -> int:
        """Of all its songs, in Hz."""
        return self.manifest.sample_rate

    @property
    def songs(self) -> tuple[CorpusSong, ...]:
        """All songs."""
        return self.manifest.songs

    @property
    def outdated(self) -> bool:
        """Whether another version measured it; `prepare_corpus` measures it anew."""
        return self.manifest.analysis != ANALYSIS

    def training_seconds(self, song: CorpusSong) -> float:
        """How much of a song, from its start, may be learned from.

        All of a training song and nothing of a validation song; but where a
        corpus has one song only, its last tenth is for validation.
        """
        if len(self.songs) == 1:
            return 0.9 * song.seconds
        return song.seconds if song.split == "train" else 0.0


def prepare_corpus(
    folder: str | Path,
    out: str | Path,
    *,
    sample_rate: int = 44_100,
    longest_part: float = LONGEST_PART,
    held_out: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Manifest:
    """Turn a folder of recordings, or one recording, into a corpus.

    Args:
        folder: searched with all its subfolders; hidden files are left alone.
        out: where the corpus is made, or brought up to date.
        sample_rate: of the corpus, in Hz.
        longest_part: seconds above which a recording is cut.
        held_out: recordings, as paths within `folder`, that models are judged by and
            never learn from; None: those of an earlier run, or else every eighth.
        progress: called with (files done, files in all).
        report: called with one line of text for each file: kept or dropped, and why;
            and for each annotation that could not be used.

    Returns:
        the manifest, which also stands in `out`/manifest.json.

    Raises:
        RequestError: if there is no such folder, none of its files can be used, or
            what is to be held out is not there, or is all there is.
    """
    folder, out = Path(folder), Path(out)
    if not folder.exists():
        raise RequestError(f"there is no folder {folder}")
    if not 8000 <= sample_rate <= 192_000:
        raise RequestError(f"a rate of {sample_rate} Hz; 8000 to 192000 can be used")
    if longest_part < 4 * SHORTEST:
        raise RequestError(
            f"parts of at most {longest_part} s; {4 * SHORTEST:g} s or more are needed"
        )
    tell, say = progress or (lambda done, total: None), report or (lambda line: None)
    paths = list(_recordings(folder, out))
    if not paths:
        raise RequestError(
            f"there are no recordings in {folder}; it takes a folder of wav, flac, "
            "ogg, opus, mp3 or aiff files, or one of them"
        )
    earlier = _earlier(out)
    if held_out is not None:
        held = _held_out(held_out, {_source(path, folder): path for path in paths})
    else:
        held = earlier.held_out if earlier else ()
    known = _known(earlier, sample_rate)
    kept: dict[str, list[CorpusSong]] = {}
    dropped: list[Dropped] = []

    def write() -> Manifest:
        # What an earlier run kept stays listed until this run comes to it.
        songs = {song.id: song for part in known.values() for song in part}
        songs |= {song.id: song for part in kept.values() for song in part}
        manifest = Manifest(
            sample_rate=sample_rate,
            songs=tuple(holding_out.split(sorted(songs.values(), key=_order), held)),
            dropped=tuple(dropped),
            held_out=held,
        )
        manifest.write(out / "manifest.json")
        return manifest

    for number, path in enumerate(paths):
        tell(number, len(paths))
        source = _source(path, folder)
        try:
            sha256 = audio.content_hash(path)
            if sha256 in kept:
                twin = kept[sha256][0].source
                raise RequestError(f"the same recording as {twin}")
            beside = annotations_beside(path)
            flaws = [(str(Path(source).parent / n), why) for n, why in beside.flaws]
            unchanged = _complete(known.get(sha256), beside.digest)
            songs = known.pop(sha256, []) if unchanged else None
            if songs is None:
                measured = _measure_file(
                    path, source, sha256, out, sample_rate, longest_part, beside, flaws
                )
                songs = list(measured)
            for name, reason in flaws:
                dropped.append(Dropped(source=name, reason=reason))
                say(f"skipped  {name}: {reason}")
            kept[sha256] = [dataclasses.replace(s, source=source) for s in songs]
            say(_kept_line(source, kept[sha256], unchanged))
        except (RequestError, OSError) as error:
            if isinstance(error, OSError) and not _about(error, path):
                raise  # Such as a full disk: nothing would be right from here on.
            reason = str(error).replace(f"{path} ", "").replace(str(path), source)
            dropped.append(Dropped(source=source, reason=reason))
            say(f"dropped  {source}: {reason}")
        write()
    tell(len(paths), len(paths))
    known.clear()
    manifest = write()
    _forget_others(out, manifest)
    if not manifest.songs:
        reasons = "; ".join(f"{d.source}: {d.reason}" for d in dropped[:5])
        raise RequestError(
            f"none of the {len(paths)} files in {folder} can be used ({reasons})"
        )
    return manifest


def _recordings(folder: Path, out: Path) -> Iterator[Path]:
    """Files that are sound or mean to be, in order of their names."""
    if folder.is_file():
        yield folder
        return
    for place, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and not _same(Path(place, name), out)
        )
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in audio.SUFFIXES or _is_sound(path):
                yield path


def _held_out(names: Collection[str], paths: dict[str, Path]) -> tuple[str, ...]:
    """Hashes of the recordings that are held out by name."""
    holding_out.check_names(names, paths)
    return tuple(sorted({audio.content_hash(paths[name]) for name in names}))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _is_sound(path: Path) -> bool:
    try:
        audio.inspect_audio(path)
    except (RequestError, OSError):
        return False
    return True


def _source(path: Path, folder: Path) -> str:
    relative = path.name if folder.is_file() else path.relative_to(folder).as_posix()
    # A name in another encoding than the file system's still has to be printed.
    return os.fsencode(relative).decode("utf-8", "replace")


def _about(error: OSError, path: Path) -> bool:
    return error.filename is not None and Path(error.filename) == path


def _earlier(out: Path) -> Manifest | None:
    """What an earlier run wrote."""
    path = out / "manifest.json"
    return Manifest.read(path) if path.exists() else None


def _known(manifest: Manifest | None, sample_rate: int) -> dict[str, list[CorpusSong]]:
    """What an earlier run measured, by the hash of its recording."""
    known: dict[str, list[CorpusSong]] = {}
    if manifest and (manifest.sample_rate, manifest.analysis) == (
        sample_rate,
        ANALYSIS,
    ):
        for song in manifest.songs:
            known.setdefault(song.sha256, []).append(song)
    return known


_FILES = ("song.json", "audio.flac", "heard.json", "plan.json", "features.npz")


def _complete(songs: Iterable[CorpusSong] | None, annotation: str) -> bool:
    return bool(songs) and all(
        song.annotation == annotation
        and all((song.folder / name).is_file() for name in _FILES)
        for song in songs
    )


def _order(song: CorpusSong) -> tuple[str, int]:
    return song.source, song.part


def _measure_file(
    path: Path,
    source: str,
    sha256: str,
    out: Path,
    sample_rate: int,
    longest_part: float,
    beside: Beside,
    flaws: list[tuple[str, str]],
) -> Iterator[CorpusSong]:
    """Measure a recording part by part; each part's folder appears as it is done.

    What of its annotations cannot be followed is added to `flaws`.
    """
    heard_any = False
    total = 0.0
    for number, (offset, waveform) in enumerate(
        _parts(path, sample_rate, longest_part), 1
    ):
        total = offset + waveform.shape[1] / sample_rate
        peak = float(np.abs(waveform).max(initial=0))
        if total < SHORTEST or waveform.shape[1] < SHORTEST * sample_rate:
            continue
        loudness = measure_loudness(audio.as_stereo(waveform), sample_rate)
        if loudness <= SILENCE:
            continue
        heard_any = True
        whole = number == 1 and waveform.shape[1] < longest_part * sample_rate
        name = sha256[:16] if whole else f"{sha256[:16]}-{number:03d}"
        place = out / "songs" / name
        done = _read_song(place, sample_rate, beside.digest)
        if done is None:
            if peak > 1:
                waveform = waveform / peak
            facts = CorpusSong(
                id=name,
                source=source,
                sha256=sha256,
                part=number,
                offset=round(offset, 6),
                seconds=waveform.shape[1] / sample_rate,
                channels=audio.fold(waveform).shape[0],
                loudness=round(loudness - 20 * np.log10(max(peak, 1.0)), 2),
                gain=round(-20 * float(np.log10(max(peak, 1.0))), 2),
                tempo=0.0,
                key="",
                annotation=beside.digest,
            )
            heard, said, flaw = hear(waveform, sample_rate, beside, offset=offset)
            flaws += [(str(Path(source).parent / name), why) for name, why in flaw]
            facts = dataclasses.replace(facts, annotated=said)
            done = _measure_song(waveform, heard, facts, place, sample_rate)
        yield done
    if total < SHORTEST:
        raise RequestError(f"lasts {total:.2f} s; {SHORTEST:g} s or more are needed")
    if not heard_any:
        raise RequestError(f"is silent: nothing in it is above {SILENCE:g} LUFS")


def _measure_song(
    waveform: np.ndarray,
    heard: Heard,
    facts: CorpusSong,
    place: Path,
    sample_rate: int,
) -> CorpusSong:
    """Measure one song that was heard, and write its folder."""
    title = Path(facts.source).stem
    title = title if facts.id == facts.sha256[:16] else f"{title}, part {facts.part}"
    plan = heard.plan(title=title)
    features = measure(waveform, sample_rate, beat_times=np.array(heard.beat_times))
    facts = dataclasses.replace(
        facts, tempo=round(heard.tempo, 3), key=heard.key, folder=place
    )
    with whole_folder(place) as draft:
        audio.write_waveform(
            draft / "audio.flac",
            audio.fold(waveform),
            sample_rate,
            tags={"title": title},
        )
        heard.write(draft / "heard.json")
        plan.write(draft / "plan.json")
        features.write(draft / "features.npz")
        record = {k: v for k, v in vars(facts).items() if k not in ("folder", "split")}
        record |= {"sample_rate": sample_rate, "analysis": ANALYSIS}
        text = json.dumps(record, indent=1)
        (draft / "song.json").write_text(text + "\n", encoding="utf-8")
    return facts


def _read_song(place: Path, sample_rate: int, annotation: str) -> CorpusSong | None:
    """The song whose folder an interrupted run left complete, if there is one."""
    if not all((place / name).is_file() for name in _FILES):
        return None
    record = json.loads((place / "song.json").read_text(encoding="utf-8"))
    if (record.pop("sample_rate"), record.pop("analysis")) != (sample_rate, ANALYSIS):
        return None
    song = CorpusSong(**record, folder=place)
    return song if song.annotation == annotation else None


def _parts(
    path: Path, sample_rate: int, longest_part: float
) -> Iterator[tuple[float, np.ndarray]]:
    """Cut a recording where it is quiet into parts of at most `longest_part` seconds.

    Yields:
        (seconds at which the part starts, float32 [1 or 2 channels, samples]).
    """
    longest = round(longest_part * sample_rate)
    held: np.ndarray | None = None
    filled, start = 0, 0
    for block in audio.blocks(path, sample_rate=sample_rate):
        block = audio.fold(block) if block.shape[0] > 2 else block
        if held is None:
            # Most songs are short: the room for a whole part is taken when needed.
            held = np.empty([block.shape[0], 0], np.float32)
        used = 0
        while used < block.shape[1]:
            if held.shape[1] == filled:
                room = min(longest, max(2 * filled, 60 * sample_rate))
                if room == filled:
                    cut = _quiet_point(held, sample_rate)
                    yield start / sample_rate, held[:, :cut].copy()
                    held[:, : filled - cut] = held[:, cut:filled].copy()
                    filled, start = filled - cut, start + cut
                else:
                    larger = np.empty([held.shape[0], room], np.float32)
                    larger[:, :filled] = held
                    held = larger
            taken = min(block.shape[1] - used, held.shape[1] - filled)
            held[:, filled : filled + taken] = block[:, used : used + taken]
            filled, used = filled + taken, used + taken
    if held is None:
        raise RequestError("holds no samples")
    yield start / sample_rate, held[:, :filled]


def _quiet_point(waveform: np.ndarray, sample_rate: int) -> int:
    """The sample in the middle of the quietest half second of the last half."""
    step = max(1, sample_rate // 20)
    first = waveform.shape[1] // 2
    tail = waveform[:, first:]
    energy = np.square(tail).sum(axis=0)
    energy = np.add.reduceat(energy, np.arange(0, len(energy), step))
    smooth = np.convolve(energy, np.ones(10), mode="valid")
    # The last of equally quiet ones, for parts as long as can be.
    quietest = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return min(first + (quietest + 5) * step, waveform.shape[1] - 1)


def _kept_line(source: str, songs: list[CorpusSong], unchanged: bool) -> str:
    seconds = sum(song.seconds for song in songs)
    first = songs[0]
    facts = [
        f"{int(seconds // 60)}:{int(seconds % 60):02d}",
        f"{first.loudness:.1f} LUFS",
        f"{first.tempo:.1f} BPM",
        first.key,
    ]
    if len(songs) > 1:
        facts.append(f"cut into {len(songs)} parts at quiet points")
    if first.annotated:
        facts.append(first.annotated)
    if first.gain <= -1:
        facts.append(f"{first.gain:.1f} dB, as it exceeded full scale")
    if unchanged:
        facts.append("unchanged")
    return f"kept  {source}: {', '.join(facts)}"


def _forget_others(out: Path, manifest: Manifest) -> None:
    """Remove the folders of songs that are no longer in the corpus, and of broken runs."""
    names = {song.id for song in manifest.songs}
    for place in (out / "songs").glob("*") if (out / "songs").is_dir() else ():
        if place.name not in names:
            shutil.rmtree(place, ignore_errors=True)
