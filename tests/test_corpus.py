import json
import shutil

import numpy as np
import pytest
import soundfile

from hierarchy.material import corpus as corpora
from hierarchy.material.audio import content_hash, write_waveform
from hierarchy.material.corpus import Corpus, Manifest, prepare_corpus
from hierarchy.material.loudness import SILENCE, measure_loudness
from structure.errors import RequestError

RATE = 16_000


def clicks(seconds, *, pitch=220.0, channels=1, rate=RATE, level=0.5):
    """A tone that is struck twice a second."""
    t = np.arange(round(seconds * rate)) / rate
    y = level * np.sin(2 * np.pi * pitch * t) * np.exp(-6 * (t % 0.5))
    return np.tile(y.astype(np.float32)[None], [channels, 1])


@pytest.fixture
def album(tmp_path):
    """Three songs, one of them in a subfolder, and everything that goes wrong."""
    folder = tmp_path / "album"
    write_waveform(folder / "one.wav", clicks(5, channels=2), RATE)
    write_waveform(folder / "deep/two.flac", clicks(4, pitch=330, rate=8000), 8000)
    surround = clicks(4, pitch=440, channels=6) * np.linspace(0.4, 1, 6)[:, None]
    write_waveform(folder / "three.wav", surround.astype(np.float32), RATE)
    shutil.copy(folder / "one.wav", folder / "one again.wav")
    write_waveform(folder / "blink.wav", clicks(0.3), RATE)
    write_waveform(folder / "silent.wav", np.zeros([1, 5 * RATE], np.float32), RATE)
    (folder / "empty.mp3").touch()
    (folder / "broken.flac").write_bytes(b"fLaC" + bytes(500))
    (folder / "cover.txt").write_text("words")
    (folder / ".hidden.wav").write_bytes(b"")
    poisoned = clicks(3)
    poisoned[0, 100] = np.nan
    soundfile.write(folder / "poisoned.wav", poisoned.T, RATE, subtype="FLOAT")
    return folder


def test_a_bad_file_never_stops_the_rest_and_each_says_why(album, tmp_path):
    lines, steps = [], []
    manifest = prepare_corpus(
        album,
        tmp_path / "out",
        sample_rate=RATE,
        report=lines.append,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert {song.source for song in manifest.songs} == {
        "deep/two.flac",
        "one again.wav",
        "three.wav",
    }
    why = {file.source: file.reason for file in manifest.dropped}
    assert why.keys() == {
        *("blink.wav", "broken.flac", "empty.mp3", "one.wav"),
        *("poisoned.wav", "silent.wav"),
    }
    assert "0.30 s" in why["blink.wav"] and "silent" in why["silent.wav"]
    assert "NaN" in why["poisoned.wav"] and "empty" in why["empty.mp3"]
    assert why["one.wav"] == "the same recording as one again.wav"
    assert len(lines) == 9 and steps[0] == (0, 9) and steps[-1] == (9, 9)
    assert Manifest.read(tmp_path / "out/manifest.json") == manifest

    corpus = Corpus.read(tmp_path / "out")
    assert [song.split for song in corpus.songs].count("valid") == 1
    for song in corpus.songs:
        sound = song.audio()
        assert sound.shape == (2, round(song.seconds * RATE))
        assert song.heard().plan(title=song.plan().title) == song.plan()
        assert song.features().sample_rate == RATE
        assert song.loudness == pytest.approx(measure_loudness(sound, RATE), abs=0.02)
    assert {song.channels for song in corpus.songs} == {1, 2}


def test_a_second_run_does_only_what_changed(tmp_path, monkeypatch):
    folder, out = tmp_path / "album", tmp_path / "out"
    for number, pitch in enumerate([220, 330, 440]):
        write_waveform(folder / f"{number}.wav", clicks(3, pitch=pitch), RATE)
    prepare_corpus(folder, out, sample_rate=RATE)
    measured = []
    whole = corpora._measure_song

    def counting(waveform, heard, facts, place, sample_rate):
        measured.append(facts.source)
        return whole(waveform, heard, facts, place, sample_rate)

    monkeypatch.setattr(corpora, "_measure_song", counting)
    first = prepare_corpus(folder, out, sample_rate=RATE)
    assert measured == []

    (folder / "0.wav").unlink()
    (folder / "1.wav").rename(folder / "renamed.wav")
    write_waveform(folder / "2.wav", clicks(3, pitch=550), RATE)
    second = prepare_corpus(folder, out, sample_rate=RATE)
    assert measured == ["2.wav"]
    assert [song.source for song in second.songs] == ["2.wav", "renamed.wav"]
    assert second.songs[1].id == first.songs[1].id
    kept = {place.name for place in (out / "songs").iterdir()}
    assert kept == {song.id for song in second.songs}


def test_interrupted_it_goes_on_where_it_was(tmp_path, monkeypatch):
    folder, out = tmp_path / "album", tmp_path / "out"
    for number, pitch in enumerate([220, 330, 440]):
        write_waveform(folder / f"{number}.wav", clicks(3, pitch=pitch), RATE)
    measured = []
    whole = corpora._measure_song

    def interrupted(waveform, heard, facts, place, sample_rate):
        if facts.source == "1.wav" and "1.wav" not in measured:
            measured.append("1.wav")
            raise KeyboardInterrupt
        measured.append(facts.source)
        return whole(waveform, heard, facts, place, sample_rate)

    monkeypatch.setattr(corpora, "_measure_song", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(folder, out, sample_rate=RATE)
    assert len(Corpus.read(out).songs) == 1
    assert len(prepare_corpus(folder, out, sample_rate=RATE).songs) == 3
    assert measured == ["0.wav", "1.wav", "1.wav", "2.wav"]


def test_a_long_recording_is_cut_where_it_is_quiet(tmp_path):
    y = clicks(40)
    for second in (8, 16, 25):
        y[:, second * RATE : (second + 1) * RATE] = 0
    write_waveform(tmp_path / "album/long.wav", y, RATE)
    manifest = prepare_corpus(
        tmp_path / "album", tmp_path / "out", sample_rate=RATE, longest_part=10.0
    )
    songs = manifest.songs
    assert sum(song.seconds for song in songs) == pytest.approx(40.0, abs=1e-3)
    assert all(song.seconds <= 10 for song in songs)
    ends = [song.offset for song in songs[1:3]]
    assert 8 <= ends[0] <= 9 and 16 <= ends[1] <= 17
    assert {song.split for song in songs} == {"train", "valid"}
    joined = np.concatenate([song.audio()[:1] for song in songs], axis=1)
    np.testing.assert_allclose(joined, y, atol=1e-5)


def test_where_there_is_one_song_its_last_tenth_is_for_validation(tmp_path):
    write_waveform(tmp_path / "song.wav", clicks(5), RATE)
    prepare_corpus(tmp_path / "song.wav", tmp_path / "out", sample_rate=RATE)
    corpus = Corpus.read(tmp_path / "out")
    assert corpus.training_seconds(corpus.songs[0]) == pytest.approx(4.5)


def test_what_exceeds_full_scale_is_turned_down_and_not_clipped(tmp_path):
    hot = 4 * clicks(3)
    path = tmp_path / "album/hot.wav"
    write_waveform(path, hot, RATE, subtype="FLOAT")
    (song,) = prepare_corpus(tmp_path / "album", tmp_path / "o", sample_rate=RATE).songs
    assert song.gain == pytest.approx(-20 * np.log10(np.abs(hot).max()), abs=0.01)
    np.testing.assert_allclose(song.audio()[:1], hot / np.abs(hot).max(), atol=1e-5)
    assert song.sha256 == content_hash(path)


def test_misuse_says_what_fits(tmp_path):
    with pytest.raises(RequestError, match="no folder"):
        prepare_corpus(tmp_path / "none", tmp_path / "out")
    (tmp_path / "album").mkdir()
    with pytest.raises(RequestError, match="no recordings"):
        prepare_corpus(tmp_path / "album", tmp_path / "out")
    (tmp_path / "album/empty.wav").touch()
    with pytest.raises(RequestError, match=r"none of the 1 files.*empty"):
        prepare_corpus(tmp_path / "album", tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(RequestError, match="not a corpus"):
        Corpus.read(tmp_path / "other")


def test_loudness_is_the_standard_s():
    # ITU-R BS.1770: a 997 Hz sine at full scale on one channel reads -3.01 LUFS.
    t = np.arange(5 * 48_000) / 48_000
    sine = np.sin(2 * np.pi * 997 * t).astype(np.float32)[None]
    assert measure_loudness(sine, 48_000) == pytest.approx(-3.01, abs=0.05)
    blink = measure_loudness(sine[:, :4800], 48_000)
    assert blink == pytest.approx(-3.01, abs=0.3)
    assert measure_loudness(0 * sine, 48_000) == SILENCE


def test_what_is_named_is_held_out_then_and_later(tmp_path):
    folder, out = tmp_path / "album", tmp_path / "out"
    for number, pitch in enumerate([220, 330, 440]):
        write_waveform(folder / f"{number}.wav", clicks(3, pitch=pitch), RATE)

    def held_out(manifest):
        return [song.source for song in manifest.songs if song.split == "valid"]

    for name in ("0.wav", "2.wav"):
        manifest = prepare_corpus(folder, out, sample_rate=RATE, held_out=[name])
        assert held_out(manifest) == [name]
    (folder / "2.wav").rename(folder / "renamed.wav")
    assert held_out(prepare_corpus(folder, out, sample_rate=RATE)) == ["renamed.wav"]
    (folder / "renamed.wav").unlink()
    assert len(held_out(prepare_corpus(folder, out, sample_rate=RATE))) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["2.wav"], "2.wav cannot be held out; there are 0.wav, 1.wav"),
        (["0.wav", "1.wav"], "nothing is left to learn"),
    ],
)
def test_what_cannot_be_held_out_is_named(tmp_path, names, said):
    for number, pitch in enumerate([220, 330]):
        write_waveform(tmp_path / f"album/{number}.wav", clicks(3, pitch=pitch), RATE)
    with pytest.raises(RequestError, match=said):
        prepare_corpus(
            tmp_path / "album", tmp_path / "out", sample_rate=RATE, held_out=names
        )
    assert not (tmp_path / "out").exists()
