"""Mixes to an album: one gain for all, the files of the songs, and what lists them.

Needs the folder's lock throughout. A song's file takes its name when it is complete,
and the manifest is written again after each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hierarchy.album.cover import draw_cover
from hierarchy.album.folder import (
    AlbumFolder,
    file_name,
    identity,
    missing_songs,
    sound_id,
)
from hierarchy.album.listing import cue_sheet, playlist
from hierarchy.album.loudness import Notes, album_gain, album_loudness, highest_peak
from hierarchy.album.manifest import Manifest, SectionEntry, SongFacts
from hierarchy.album.mixing import Doing, Failure, Watch
from hierarchy.album.planning import AlbumPlan, Track
from hierarchy.macro.mastering import LOSSY_ROOM, Dither, Master
from hierarchy.macro.mastering import finish as master
from hierarchy.macro.rendering import FADE_OUT, SOFTWARE
from hierarchy.material.audio import (
    blocks,
    content_hash,
    inspect_audio,
    write_blocks,
)
from hierarchy.material.loudness import SILENCE, LoudnessMeter, powers_of
from structure.files import whole_file
from structure.plan import SongPlan


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
        gain, rate, asked_for = before.gain, before.sample_rate, before.loudness_asked
    else:
        gain, rate = _decide(folder, album, mixed, fingerprint, watch)
        asked_for = album.request.loudness
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
        loudness_asked=asked_for,
        true_peak=None,
        cover=None,
        cue=None,
        playlist=None,
        request="request.toml",
        songs=(),
    )
    with whole_file(folder.path / facts.request) as draft:
        draft.write_text(album.request.to_toml(), encoding="utf-8")
    for track in mixed:
        tell = functools.partial(_tell, watch, track.number)
        tell(0, 1)
        try:
            song = _write_song(folder, album, track, fingerprint, gain, tell)
        except Exception as error:  # noqa: BLE001, the other songs go on
            failed[track.number] = Failure.of(track.number, error)
            continue
        done[track.number] = song
        _listed(facts, album, done, failed).write(folder.manifest_path)
    watch(Doing("Finishing", 0, 1))
    if not done:
        return None
    manifest = _listed(facts, album, done, failed)
    return _close(folder, folder.standing(album, manifest, fingerprint), manifest)


def _tell(watch: Watch, number: int, done: int, total: int) -> None:
    watch(Doing("Mastering", done, total, song=number))


def _decide(folder, album, mixed, fingerprint, watch) -> tuple[float, int]:
    """The album's gain, and its songs' rate."""
    watch(Doing("Measuring loudness"))
    songs = [
        Notes.read(folder.mix_path(track, fingerprint).with_suffix(".npz"))
        for track in mixed
    ]
    asked = album.request
    gain = album_gain(songs, loudness=asked.loudness, true_peak=asked.true_peak)
    return gain, songs[0].sample_rate


def _write_song(
    folder: AlbumFolder,
    album: AlbumPlan,
    track: Track,
    fingerprint: str,
    gain: float,
    progress: Callable[[int, int], None],
) -> SongFacts:
    asked = album.request
    mix = folder.mix_path(track, fingerprint)
    plan = SongPlan.read(mix.with_suffix(".plan.json"))
    info = inspect_audio(mix)
    rate = info.sample_rate
    song = master(
        blocks(mix),
        rate,
        length=info.samples,
        true_peak=asked.true_peak - (LOSSY_ROOM if asked.format == "ogg" else 0.0),
        fade_out=FADE_OUT,
        gain=gain,
        # One gain for the album, whatever one song alone should have.
        keep_within=np.inf,
        folder=folder.work,
        progress=progress,
    )
    loud = song.loudness if song.loudness > SILENCE else None
    gap = round(track.gap * rate)
    file = folder.path / file_name(track, f".{asked.format}")
    plan_file = folder.path / file_name(track, ".plan.json")
    _write_sound(file, song, album, track, gap=gap, seed=plan.seed)
    peak = highest_peak(blocks(file))
    # The plan by which this song, alone, sounds as it does here.
    kept = {"mastering_gain": gain} | ({} if loud is None else {"loudness": loud})
    plan = plan.model_copy(update=kept)
    plan.write(plan_file)
    return SongFacts(
        number=track.number,
        title=track.title,
        file=file.name,
        plan=plan_file.name,
        sound=sound_id(track, fingerprint),
        identity=identity(album, track, fingerprint, gain=gain),
        sha256=content_hash(file),
        start=0.0,
        seconds=(song.length + gap) / rate,
        gap=gap / rate,
        style=plan.style or "",
        key=plan.key,
        tempo=plan.tempo,
        meter=plan.meter,
        energy=track.energy,
        seed=plan.seed,
        loudness=None if loud is None else round(loud, 2),
        true_peak=round(20 * float(np.log10(peak)), 2) if peak > 0 else None,
        sections=tuple(
            SectionEntry(start=round(start, 3), label=one.label, letter=one.letter)
            for start, one in zip(plan.starts(), plan.sections, strict=False)
        ),
        quotes=track.quotes,
    )


def _write_sound(
    file: Path, song: Master, album: AlbumPlan, track: Track, *, gap: int, seed: int
) -> None:
    """Write a song with its tags and the silence after it.

    Its samples are those that the song has alone; see `macro.rendering.Song.write`.
    """
    asked = album.request
    lossy = file.suffix == ".ogg"
    dithered = Dither(asked.bits, seed=seed)

    def pieces() -> Iterator[np.ndarray]:
        for block in song.blocks():
            yield block if lossy else dithered(block)
        yield np.zeros([2, gap], np.float32)

    tags = {
        "title": track.title,
        "artist": asked.artist,
        "album": album.title,
        "date": asked.date,
        "genre": asked.genre,
        "tracknumber": str(track.number),
        "software": SOFTWARE,
    }
    write_blocks(
        file,
        pieces(),
        song.sample_rate,
        channels=2,
        samples=song.length + gap,
        subtype=None if lossy else f"PCM_{asked.bits}",
        tags={name: text for name, text in tags.items() if text},
    )


def _listed(
    facts: Manifest,
    album: AlbumPlan,
    done: dict[int, SongFacts],
    failed: dict[int, Failure],
) -> Manifest:
    reasons = missing_songs(album)
    for number, failure in failed.items():
        changes = {"reason": failure.reason}
        reasons[number] = reasons[number].model_copy(update=changes)
    return facts.with_songs(done.values(), reasons)


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
    meter = None
    for song in songs:
        meter = meter or LoudnessMeter(inspect_audio(path / song.file).sample_rate)
        for block in blocks(path / song.file):
            meter.hear(block)
    if meter is None:
        return None
    heard = album_loudness([powers_of(meter.tenths, meter.samples, meter.sample_rate)])
    return None if heard is None else round(heard, 2)
