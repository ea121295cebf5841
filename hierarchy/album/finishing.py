"""Mixes to an album: one gain for all, the files of the songs, and what lists them.

Needs the folder's lock throughout. A song's file takes its name when it is complete,
and the manifest is written again after each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hierarchy.album.cover import draw_cover
from hierarchy.album.folder import AlbumFolder, file_name, identity, sound_id
from hierarchy.album.listing import cue_sheet, playlist
from hierarchy.album.loudness import album_gain, album_loudness, master_at
from hierarchy.album.manifest import Manifest, MissingSong, SectionEntry, SongFacts
from hierarchy.album.mixing import Doing, Failure, Watch
from hierarchy.album.planning import AlbumPlan, Track
from hierarchy.macro.mastering import true_peak_db
from hierarchy.material.audio import content_hash, read_waveform, write_waveform
from hierarchy.material.loudness import block_powers
from structure.files import whole_file
from structure.plan import SongPlan

SOFTWARE = "macrotime"


def finish(
    folder: AlbumFolder,
    album: AlbumPlan,
    fingerprint: str,
    failures: Sequence[Failure],
    *,
    watch: Watch,
) -> Manifest | None:
    """Write what is mixed and not yet finished, and all that lists the songs.

    Args:
        folder: with mixes of all songs but those that failed or are finished.
        album: its plan.
        fingerprint: of the grain model.
        failures: songs that could not be mixed; more may fail here.
        watch: called with what is being done.

    Returns:
        The manifest; None if there is not one song.
    """
    failed = {failure.number: failure for failure in failures}
    before = folder.manifest()
    done = {song.number: song for song in before.songs} if before else {}
    mixed = [
        track
        for track in album.tracks
        if track.number not in done and folder.mix_path(track, fingerprint).exists()
    ]
    if not mixed and not done:
        return None
    if before and done:
        # Decided when the first songs were finished, which keep their bytes.
        gain, rate = before.gain, before.sample_rate
    else:
        gain, rate = _decide(folder, album, mixed, fingerprint, watch)
    facts = Manifest(
        title=album.title,
        artist=album.request.artist,
        date=album.request.date,
        seed=album.request.seed,
        software=SOFTWARE,
        complete=False,
        sample_rate=rate,
        gain=gain,
        loudness=None,
        loudness_asked=album.request.loudness,
        true_peak=None,
        cover=None,
        cue=None,
        playlist=None,
        request="request.toml",
        songs=(),
    )
    with whole_file(folder.path / facts.request) as draft:
        draft.write_text(album.request.to_toml(), encoding="utf-8")
    for place, track in enumerate(mixed):
        watch(Doing("Mastering", place, len(mixed), song=track.number))
        try:
            song = _write_song(folder, album, track, fingerprint, gain)
        except Exception as error:  # noqa: BLE001, the other songs go on
            failed[track.number] = Failure.of(track.number, error)
            continue
        done[track.number] = song
        _listed(facts, album, done, failed).write(folder.manifest_path)
    watch(Doing("Finishing", 0, 1))
    if not done:
        return None
    return _close(folder, album, _listed(facts, album, done, failed))


def _decide(folder, album, mixed, fingerprint, watch) -> tuple[float, int]:
    """The album's gain, and its songs' rate."""
    reads = [
        functools.partial(read_waveform, folder.mix_path(track, fingerprint))
        for track in mixed
    ]
    gain = album_gain(
        reads,
        loudness=album.request.loudness,
        true_peak=album.request.true_peak,
        progress=lambda done, total: watch(Doing("Measuring loudness", done, total)),
    )
    return gain, reads[0]()[1]


def _write_song(
    folder: AlbumFolder,
    album: AlbumPlan,
    track: Track,
    fingerprint: str,
    gain: float,
) -> SongFacts:
    asked = album.request
    mix, rate = read_waveform(folder.mix_path(track, fingerprint))
    sound = master_at(mix, rate, gain=gain, true_peak=asked.true_peak)
    loud = album_loudness([block_powers(sound, rate)])
    peak = true_peak_db(sound)
    gap = round(track.gap * rate) if track.number < len(album.tracks) else 0
    file = folder.path / file_name(track, f".{asked.format}")
    plan_file = folder.path / file_name(track, ".plan.json")
    tags = {
        "title": track.title,
        "artist": asked.artist,
        "album": album.title,
        "date": asked.date,
        "genre": asked.genre,
        "tracknumber": str(track.number),
        "software": SOFTWARE,
    }
    write_waveform(
        file,
        np.pad(sound, [(0, 0), (0, gap)]),
        rate,
        tags={name: text for name, text in tags.items() if text},
    )
    # The plan by which this song, alone, sounds as it does here.
    kept = {"mastering_gain": gain} | ({} if loud is None else {"loudness": loud})
    plan = SongPlan.read(folder.mixed_plan_path(track, fingerprint))
    plan.model_copy(update=kept).write(plan_file)
    return SongFacts(
        number=track.number,
        title=track.title,
        file=file.name,
        plan=plan_file.name,
        sound=sound_id(track, fingerprint),
        identity=identity(album, track, fingerprint, gain=gain),
        sha256=content_hash(file),
        start=0.0,
        seconds=(sound.shape[1] + gap) / rate,
        gap=gap / rate,
        style=plan.style or "",
        key=plan.key,
        tempo=plan.tempo,
        meter=plan.meter,
        energy=track.energy,
        seed=plan.seed,
        loudness=None if loud is None else round(loud, 2),
        true_peak=round(peak, 2) if np.isfinite(peak) else None,
        sections=tuple(
            SectionEntry(start=round(start, 3), label=one.label, letter=one.letter)
            for start, one in zip(plan.starts(), plan.sections, strict=False)
        ),
        quotes=track.quotes,
    )


def _listed(
    facts: Manifest,
    album: AlbumPlan,
    done: dict[int, SongFacts],
    failed: dict[int, Failure],
) -> Manifest:
    """The manifest with the songs that are done, one after the other."""
    songs, start = [], 0.0
    for number in sorted(done):
        songs.append(done[number].model_copy(update={"start": round(start, 3)}))
        start += done[number].seconds
    missing = tuple(
        MissingSong(
            number=track.number,
            title=track.title,
            reason=failed[track.number].reason
            if track.number in failed
            else "not made yet",
        )
        for track in album.tracks
        if track.number not in done
    )
    peaks = [song.true_peak for song in songs if song.true_peak is not None]
    return facts.model_copy(
        update={
            "songs": tuple(songs),
            "missing": missing,
            "true_peak": max(peaks, default=None),
        }
    )


def _close(folder: AlbumFolder, album: AlbumPlan, manifest: Manifest) -> Manifest:
    """Cover, lists and the last of the manifest; mixes go when all songs are there."""
    draw_cover(folder.path / "cover.png", album, artist=manifest.artist)
    files = {"cover": "cover.png", "cue": "album.cue", "playlist": "album.m3u8"}
    manifest = manifest.model_copy(
        update=files
        | {
            "complete": not manifest.missing,
            "loudness": _loudness_of(folder.path, manifest.songs),
        }
    )
    for name, text in (
        (manifest.cue, cue_sheet(manifest)),
        (manifest.playlist, playlist(manifest)),
    ):
        with whole_file(folder.path / name) as draft:
            draft.write_bytes(text.encode())
    manifest.write(folder.manifest_path)
    if manifest.complete:
        folder.forget_mixes()
    return manifest


def _loudness_of(path: Path, songs: Sequence[SongFacts]) -> float | None:
    """Of the files themselves, one after the other: what a listener will measure."""
    heard = album_loudness(
        [block_powers(*read_waveform(path / song.file)) for song in songs]
    )
    return None if heard is None else round(heard, 2)
