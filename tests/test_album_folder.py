"""Albums are made song by song, by runs that may be killed or work side by side."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hierarchy import cli
from hierarchy.album.claims import claim
from hierarchy.album.folder import AlbumFolder, sound_id
from hierarchy.album.manifest import Manifest
from hierarchy.album.mixing import make_mixes
from hierarchy.album.planning import fingerprint
from hierarchy.album.rendering import render_album
from hierarchy.macro.mastering import true_peak_db
from hierarchy.macro.rendering import arrange, render_song
from hierarchy.material.audio import content_hash, read_tags, read_waveform
from hierarchy.material.loudness import measure_loudness
from structure.errors import RequestError
from structure.plan import SongPlan
from tests.album_worlds import (
    ROOT,
    hashes,
    small_album_file,
    small_request,
    start,
    write_tiny_model,
)
from tests.small_worlds import RATE

SONGS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("albums")


@pytest.fixture(scope="module")
def tiny(small_song, place):
    return write_tiny_model(small_song, place / "model")


@pytest.fixture(scope="module")
def model(tiny, place):
    """Its folder."""
    return place / "model"


@pytest.fixture(scope="module")
def watched():
    return []


@pytest.fixture(scope="module")
def whole(model, place, watched):
    """An album that nobody disturbed."""
    request = small_request(place / "asked", SONGS)
    return render_album(request, place / "whole", model=model, watch=watched.append)


def listed_songs_are_whole(folder) -> int:
    """Check the manifest against the files; returns how many songs it lists."""
    if not (folder / "album.json").exists():
        return 0
    manifest = Manifest.read(folder / "album.json")
    for song in manifest.songs:
        assert content_hash(folder / song.file) == song.sha256
        SongPlan.read(folder / song.plan)
    return len(manifest.songs)


# ---- What comes out ------------------------------------------------------------------


def test_an_album_has_its_songs_with_tags_lists_and_a_cover(whole):
    manifest, folder = whole.manifest, whole.folder
    assert not whole.failures and manifest.complete and not manifest.missing
    assert len(manifest.songs) == SONGS
    for number, song in enumerate(manifest.songs, 1):
        tags = read_tags(folder / song.file)
        assert tags["title"] == song.title == f"Song {number}"
        assert (tags["album"], tags["tracknumber"]) == ("Small", str(number))
        assert (tags["artist"], tags["date"]) == ("macrotime", "2026")
        assert soundfile.info(folder / song.file).subtype == "PCM_24"
        seconds = soundfile.info(folder / song.file).duration
        assert song.seconds == pytest.approx(seconds)
    starts = np.cumsum([0, *(song.seconds for song in manifest.songs)])[:-1]
    assert [song.start for song in manifest.songs] == pytest.approx(starts, abs=1e-3)
    playlist = (folder / manifest.playlist).read_text().splitlines()
    files = [song.file for song in manifest.songs]
    assert [line for line in playlist if not line.startswith("#")] == files
    cue = (folder / manifest.cue).read_text()
    assert all(f'FILE "{file}" WAVE' in cue for file in files)
    assert (folder / manifest.cover).read_bytes().startswith(b"\x89PNG")
    assert listed_songs_are_whole(folder) == SONGS


def test_an_album_is_as_loud_as_asked_by_one_gain(whole):
    manifest = whole.manifest
    songs = [read_waveform(whole.folder / song.file)[0] for song in manifest.songs]
    heard = measure_loudness(np.concatenate(songs, axis=1), RATE)
    assert heard == pytest.approx(-14, abs=0.3)
    assert manifest.loudness == pytest.approx(heard, abs=0.1)
    peaks = [true_peak_db(song) for song in songs]
    assert max(peaks) <= -1 + 0.05
    assert manifest.true_peak == pytest.approx(max(peaks), abs=0.05)
    plans = [SongPlan.read(whole.folder / song.plan) for song in manifest.songs]
    assert {plan.mastering_gain for plan in plans} == {manifest.gain}


def test_silence_lies_after_each_song(whole):
    for song in whole.manifest.songs:
        sound, _ = read_waveform(whole.folder / song.file)
        assert not sound[:, -round(0.1 * RATE) :].any()
        assert song.gap == pytest.approx(0.1)


def test_a_song_of_an_album_is_the_song_that_it_is_alone(whole, tiny, tmp_path):
    """Before the album's gain, and after it: its plan knows the gain."""
    folder = AlbumFolder(tmp_path)
    folder.work.mkdir()
    known = fingerprint(AlbumFolder(whole.folder).path / ".." / "model")
    wanted = {track.number for track in whole.plan.tracks}
    # Batches that begin and end in the middle of songs.
    failed = make_mixes(folder, whole.plan, tiny, known, wanted=wanted, at_once=5)
    assert failed == []
    for track, song in zip(whole.plan.tracks, whole.manifest.songs, strict=True):
        alone = render_song(track.plan, tiny)
        mix, _ = read_waveform(folder.mix_path(track, known))
        assert mix.tobytes() == alone.mix.tobytes()
        mastered = render_song(SongPlan.read(whole.folder / song.plan), tiny)
        assert mastered.plan.mastering_gain == whole.manifest.gain
        heard, _ = read_waveform(whole.folder / song.file)
        expected = mastered.waveform
        assert np.abs(heard[:, : expected.shape[1]] - expected).max() <= 2 * 2.0**-23


def test_progress_is_told_of_songs_and_within_them(watched, whole):
    mixed = [doing.mixed for doing in watched if doing.mixed is not None]
    assert sorted(mixed) == [1, 2, 3, 4]
    for number in mixed:
        shares = [
            doing.done / doing.total
            for doing in watched
            if doing.song == number and "grains" in doing.what
        ]
        assert shares == sorted(shares) and shares[-1] == 1 and len(set(shares)) > 1
    assert "Composing" in {doing.what for doing in watched}


def test_grains_of_several_songs_are_sampled_in_one_batch(watched, whole, tiny):
    batches = {doing.what for doing in watched if "grains" in doing.what}
    counts = [len(set(arrange(t.plan, tiny).names)) for t in whole.plan.tracks]
    assert batches == {f"Making {sum(counts)} grains"}


# ---- Going on where another run ended ------------------------------------------------


def test_a_finished_album_is_not_touched_again(whole, place, model, monkeypatch):
    monkeypatch.setattr("hierarchy.album.rendering.make_mixes", None)
    before = {f: f.stat().st_mtime_ns for f in whole.folder.iterdir() if f.is_file()}
    again = render_album(
        small_request(place / "asked", SONGS), whole.folder, model=model
    )
    assert again.manifest == whole.manifest and again.kept == (1, 2, 3, 4)
    after = {f: f.stat().st_mtime_ns for f in whole.folder.iterdir() if f.is_file()}
    assert after == before


@pytest.fixture
def copy(whole, tmp_path):
    """The album, to be harmed."""
    import shutil

    return shutil.copytree(whole.folder, tmp_path / "copy")


def test_only_what_is_missing_or_broken_is_made_again(copy, whole, place, model):
    first, second, third, _ = whole.manifest.songs
    (copy / first.file).unlink()
    (copy / third.file).write_bytes((copy / third.file).read_bytes()[:-1000])
    untouched = (copy / second.file).stat().st_mtime_ns
    watched = []
    again = render_album(
        small_request(place / "asked", SONGS), copy, model=model, watch=watched.append
    )
    assert again.kept == (2, 4) and again.manifest.complete
    made = {doing.song for doing in watched if "grains" in doing.what}
    assert made == {1, 3}
    assert (copy / second.file).stat().st_mtime_ns == untouched
    assert hashes(copy) == hashes(whole.folder)


def test_another_album_is_not_made_over_this_one(copy, whole, place, model):
    before = hashes(copy)
    other = small_request(place / "asked", SONGS, loudness=-20)
    with pytest.raises(RequestError, match=r"loudness was -14.0, is -20.0.*1, 2, 3, 4"):
        render_album(other, copy, model=model)
    assert hashes(copy) == before
    kept = render_album(other, copy, model=model, skip_existing=True)
    assert kept.kept == (1, 2, 3, 4)
    songs = {song.file for song in whole.manifest.songs}
    assert all(hashes(copy)[name] == before[name] for name in songs)
    new = render_album(other, copy, model=model, replace=True)
    assert new.manifest.loudness == pytest.approx(-20, abs=0.3)
    assert not new.kept and new.manifest.complete


def test_a_longer_album_keeps_the_songs_that_are_there(copy, whole, place, model):
    """One song more: those before keep their bytes, gain and all."""
    (place / "asked" / "4.json").write_text((place / "asked" / "1.json").read_text())
    entries = whole.plan.request.song
    added = entries[1].model_copy(update={"plan": place / "asked" / "4.json"})
    last = entries[-1].model_copy(update={"gap": 0.1})
    longer = whole.plan.request.model_copy(
        update={"song": (*entries[:-1], last, added)}
    )
    before = hashes(copy)
    again = render_album(longer, copy, model=model)
    assert len(again.manifest.songs) == 5 and again.manifest.gain == whole.manifest.gain
    for song in whole.manifest.songs:
        assert hashes(copy)[song.file] == before[song.file]


def test_somebody_elses_files_are_left_alone(tmp_path, place, model):
    (tmp_path / "cover.png").write_text("mine")
    with pytest.raises(RequestError, match=r"holds cover.png and no album"):
        render_album(small_request(place / "asked", SONGS), tmp_path, model=model)
    assert (tmp_path / "cover.png").read_text() == "mine"


@pytest.fixture
def song_2_fails(monkeypatch):
    """It reads well when the album is planned, and not when its grains are made."""
    from hierarchy.album import mixing

    arrange = mixing.arrange

    def arranged(plan, model):
        if plan.title == "Song 2":
            raise RequestError("no sound for that")
        return arrange(plan, model)

    monkeypatch.setattr(mixing, "arrange", arranged)
    return monkeypatch


def test_a_song_that_fails_stops_no_other(song_2_fails, tmp_path, place, model):
    request = small_request(place / "asked", SONGS)
    made = render_album(request, tmp_path, model=model)
    assert [(f.number, f.reason) for f in made.failures] == [(2, "no sound for that")]
    assert [song.number for song in made.manifest.songs] == [1, 3, 4]
    assert [song.number for song in made.manifest.missing] == [2]
    assert not made.manifest.complete and listed_songs_are_whole(tmp_path) == 3
    before = hashes(tmp_path)
    song_2_fails.undo()
    again = render_album(request, tmp_path, model=model)
    assert again.manifest.complete and again.kept == (1, 3, 4)
    for song in made.manifest.songs:
        assert hashes(tmp_path)[song.file] == before[song.file]


def test_a_song_whose_plan_cannot_be_stops_no_other(tmp_path, model):
    request = small_request(tmp_path / "asked", SONGS)
    plan = tmp_path / "asked" / "3.json"
    good = plan.read_text()
    plan.write_text(good.replace('"style": null', '"style": "polka"'))
    album = tmp_path / "album"
    made = render_album(request, album, model=model)
    assert [failure.number for failure in made.failures] == [4]
    assert "no style 'polka'" in made.failures[0].reason
    assert [(m.number, m.title) for m in made.manifest.missing] == [(4, "Song 4")]
    before = hashes(album)
    # Once it can be, the same request makes it, and keeps the others.
    plan.write_text(good)
    again = render_album(request, album, model=model)
    assert again.manifest.complete and again.kept == (1, 2, 3) and not again.failures
    for song in made.manifest.songs:
        assert hashes(album)[song.file] == before[song.file]


def test_a_plan_that_was_edited_is_another_song(copy, whole, tmp_path, model):
    request = small_request(tmp_path / "asked", SONGS)
    own = tmp_path / "asked" / "1.json"
    album = tmp_path / "album"
    first = render_album(request, album, model=model)
    SongPlan.read(own).model_copy(update={"tempo": 190.0}).write(own)
    before = hashes(album)
    with pytest.raises(RequestError, match="plans of songs have changed"):
        render_album(request, album, model=model)
    kept = render_album(request, album, model=model, skip_existing=True)
    assert kept.kept == (1, 2, 3, 4) and kept.plan.tracks[1].plan.tempo != 190
    assert hashes(album) == before
    again = render_album(request, album, model=model, replace=True)
    assert again.kept == (1, 3, 4) and again.manifest.songs[1].tempo == 190
    assert again.manifest.songs[0] == first.manifest.songs[0]


def test_only_drafts_of_its_own_are_swept(copy, whole, place, model):
    (copy / ".cover-original.png").write_text("mine")
    (copy / ".sync-settings").mkdir()
    (copy / ".01 Song 1.draft-abcd1234.flac").write_text("half")
    (copy / whole.manifest.songs[0].file).unlink()
    render_album(small_request(place / "asked", SONGS), copy, model=model)
    assert (copy / ".cover-original.png").read_text() == "mine"
    assert (copy / ".sync-settings").is_dir()
    assert not (copy / ".01 Song 1.draft-abcd1234.flac").exists()


def test_the_command_names_what_failed_and_ends_with_1(
    song_2_fails, tmp_path, place, model
):
    from hierarchy.commands.render_album import main

    file = small_album_file(place / "asked", SONGS)
    asked = [file, "--model", model, "--out", tmp_path / "a", "--json"]
    result = CliRunner().invoke(main, [str(word) for word in asked])
    assert result.exit_code == cli.FAULT
    answer = json.loads(result.stdout)
    assert answer["failures"] == [{"number": 2, "reason": "no sound for that"}]
    assert len(answer["songs"]) == 3 and not answer["complete"]
    assert "song 2, Song 2: no sound for that" in result.stderr
    assert "Song 3: mixed; 2 of 4" in result.stderr


# ---- Claims --------------------------------------------------------------------------


_HOLD = """
import sys, time
from hierarchy.album.claims import claim
with claim(sys.argv[1]) as held:
    print(held, flush=True)
    time.sleep(60 * held)
"""


def test_a_claim_is_held_by_one_and_ends_with_its_process(tmp_path):
    path = tmp_path / "claims" / "song"

    def another():
        return subprocess.Popen(
            [sys.executable, "-c", _HOLD, path],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )

    with claim(path) as mine:
        assert mine
        with claim(path) as theirs:
            assert not theirs
        with another() as refused:
            assert refused.stdout.read() == "False\n"
    with another() as holder:
        assert holder.stdout.readline() == "True\n"
        with claim(path) as mine:
            assert not mine
        holder.kill()
        said = []
        with claim(path, wait=True, waiting=said.append) as mine:
            assert mine, "nobody holds what a dead process held"


# ---- Real processes, really killed -----------------------------------------------------


@pytest.fixture(scope="module")
def command(place, model):
    """What render-album is called with, but for the folder."""
    file = small_album_file(place / "asked", SONGS)
    return [file, "--model", model]


def finished(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out, err


def test_an_album_that_is_killed_at_any_moment_is_the_same_album(
    whole, place, command, tmp_path
):
    """SIGKILL, again and again, until one run comes to its end."""
    chance, kept, kills = random.Random(7), {}, 0
    moments = [0.9, 0.75, 0.6, 0.4]
    # The first run fills the cache of programs, the second is as fast as those to come.
    for name in ("a", "a2"):
        began = time.monotonic()
        finished(start(*command, "--out", tmp_path / name, cache=place / "cache"))
        length = time.monotonic() - began
        assert hashes(tmp_path / name) == hashes(whole.folder)

    folder = tmp_path / "b"
    for moment in moments:
        process = start(*command, "--out", folder, cache=place / "cache")
        time.sleep(length * moment * chance.uniform(0.8, 1.1))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        listed_songs_are_whole(folder)
        manifest = folder / "album.json"
        songs = Manifest.read(manifest).songs if manifest.exists() else ()
        here = {song.file: content_hash(folder / song.file) for song in songs}
        for name, digest in kept.items():
            assert here[name] == digest, "a finished song stays as it is"
        kept = here
    assert kills >= 1
    finished(start(*command, "--out", folder, cache=place / "cache"))
    assert hashes(folder) == hashes(whole.folder)
    assert not list(folder.glob(".*-*")), "no draft is left behind"


def test_two_runs_and_two_jobs_share_a_folder_and_do_no_harm(
    whole, place, command, tmp_path
):
    folder = tmp_path / "shared"
    runs = [
        start(*command, "--out", folder, "--json", cache=place / "cache"),
        start(*command, "--out", folder, "--json", "--jobs", 2, cache=place / "cache"),
    ]
    answers = [json.loads(finished(run)[0]) for run in runs]
    assert all(answer["complete"] for answer in answers)
    assert hashes(folder) == hashes(whole.folder)
    album = AlbumFolder(folder)
    assert album.manifest().songs == whole.manifest.songs
    track = whole.plan.tracks[0]
    assert sound_id(track, album.recorded().model) == whole.manifest.songs[0].sound


def test_a_style_that_is_not_there_is_refused_before_anything_is_made(
    place, model, tmp_path
):
    file = small_album_file(tmp_path / "asked", 2, style="polka")
    process = start(
        file, "--model", model, "--out", tmp_path / "a", cache=place / "cache"
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == cli.REQUEST and "no style 'polka'" in err
    assert hashes(tmp_path / "a") == {}
