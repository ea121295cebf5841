"""A plan becomes a finished song, the same one every time."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from hierarchy.macro.mastering import loudness_lufs, true_peak_db
from hierarchy.macro.mixing import Score
from hierarchy.macro.rendering import arrange, render_song, told_at
from hierarchy.macro.timeline import EARLY, RING
from hierarchy.material.audio import inspect_audio, read_tags, read_waveform
from hierarchy.material.moments import moments_of
from structure.errors import RequestError
from structure.plan import SongPlan
from tests.small_worlds import RATE, small_plan, tiny_model


@pytest.fixture(scope="module")
def model(small_song):
    return tiny_model(small_song)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def song(model, told):
    plan = small_plan("ABC", tempo=200)
    return render_song(plan, model, progress=lambda *at: told.append(at))


def test_a_song_is_as_long_as_its_plan_and_what_rings_on(song):
    assert song.waveform.dtype == np.float32
    assert song.sample_rate == RATE
    wanted = (song.plan.seconds + RING) * RATE
    assert song.waveform.shape == (2, pytest.approx(wanted, abs=2))
    assert song.section_starts == pytest.approx([0, 4.8, 9.6, 10.8])


def test_a_song_is_loud_enough_and_nowhere_too_loud(song):
    assert np.isfinite(song.waveform).all()
    assert loudness_lufs(song.waveform, RATE) == pytest.approx(-14, abs=0.5)
    assert true_peak_db(song.waveform) <= -1 + 0.05
    assert np.abs(song.waveform.mean(axis=1)).max() < 1e-3


def test_a_song_never_falls_silent_inside(song):
    seconds = song.waveform[:, : 10 * RATE].reshape(2, 10, RATE)
    assert (np.abs(seconds).max(axis=(0, 2)) > 0.01).all()
    # And ends in silence.
    assert np.abs(song.waveform[:, -20:]).max() < 1e-3


def test_progress_rises_to_the_end(told, song):
    done, total = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1] == total[0] > 0


def test_the_plan_that_came_out_gives_the_same_song_again(song, model, tmp_path):
    song.plan.write(tmp_path / "song.plan.json")
    again = render_song(SongPlan.read(tmp_path / "song.plan.json"), model)
    assert again.plan == song.plan
    assert again.waveform.tobytes() == song.waveform.tobytes()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_song(song, model):
    plan = small_plan("ABC", tempo=200)
    same = render_song(plan, model, seed=plan.seed)
    assert same.waveform.tobytes() == song.waveform.tobytes()
    other = render_song(plan, model, seed=plan.seed + 1)
    assert other.waveform.tobytes() != song.waveform.tobytes()
    assert other.plan.seed == plan.seed + 1


def test_a_free_song_is_a_song_too(model):
    song = render_song(
        small_plan("C", tempo=200),
        model,
        freedom=1.0,
        chorus_variation=1.0,
        loudness=-20,
    )
    assert np.isfinite(song.waveform).all()
    assert loudness_lufs(song.waveform, RATE) == pytest.approx(-20, abs=0.5)


def test_a_style_that_the_model_does_not_know_is_refused(model):
    with pytest.raises(RequestError, match="no style 'polka'"):
        render_song(small_plan("C", style="polka"), model)


def test_the_plan_tells_what_each_bar_is_most_like_and_copies_are_not_kept(model, song):
    own = moments_of([("itself", song.waveform, RATE)])
    watched = dataclasses.replace(model, moments=own)
    # With freedom: what is told all sounds the same at the second try.
    plan = small_plan("A", tempo=100).model_copy(update={"freedom": 0.9})
    heard = render_song(plan, watched)
    likeness = [moment.likeness for moment in heard.plan.sections[0].nearest]
    assert len(likeness) == 4
    assert {moment.song for moment in heard.plan.sections[0].nearest} == {"itself"}
    most = max(likeness) - 0.001
    other = render_song(plan, watched, max_similarity=most)
    found = [moment.likeness for moment in other.plan.sections[0].nearest]
    assert max(found) <= most
    assert sum(a == b for a, b in zip(found, likeness, strict=True)) == 3
    again = render_song(SongPlan.from_json(other.plan.to_json()), watched)
    np.testing.assert_array_equal(again.mix, other.mix)


@pytest.mark.parametrize("bits, step", [(16, 2**-15), (24, 2**-23)])
def test_a_song_is_written_with_dither_and_its_tags(song, tmp_path, bits, step):
    path, told = tmp_path / "song.wav", []
    tags = {"artist": "Me", "tracknumber": "3"}
    song.write(path, bits=bits, tags=tags, progress=lambda *at: told.append(at))
    written, rate = read_waveform(path)
    assert rate == RATE and inspect_audio(path).coding == f"WAV PCM_{bits}"
    error = written - song.waveform
    assert np.abs(error).max() <= 1.5 * step
    assert 0.2 * step < error.std() < step
    assert read_tags(path)["artist"] == "Me" and read_tags(path)["title"] == "Untitled"
    assert told[-1] == (song.score.length, song.score.length)
    again = tmp_path / "again.wav"
    song.write(again, bits=bits, tags=tags)
    assert again.read_bytes() == path.read_bytes()
    assert true_peak_db(written) <= -1 and np.abs(written).max() < 1


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_a_song_is_written_in_other_formats_too(song, tmp_path, suffix):
    path = tmp_path / f"song{suffix}"
    song.write(path, tags={"album": "Ours"})
    assert read_waveform(path)[0].shape == song.waveform.shape
    assert read_tags(path)["album"] == "Ours"


def test_songs_have_16_or_24_bits(song, tmp_path):
    with pytest.raises(RequestError, match="12 bits"):
        song.write(tmp_path / "song.wav", bits=12)


def test_the_last_downbeat_of_ten_minutes_is_on_its_sample(model):
    plan = small_plan("A" * 76, tempo=131.3)
    assert plan.seconds > 540
    performance = arrange(plan, model).performance
    bar = plan.beats_per_bar * plan.beat_seconds * RATE
    for place, placement in enumerate(performance.placements[: plan.bars]):
        assert abs(placement.start + EARLY * RATE - place * bar) <= 1
    starts = Score(plan, (), performance.placements, (), 0, RATE).downbeats
    assert (
        max(abs(s - e * RATE) for s, e in zip(starts, plan.starts(), strict=True))
        <= 0.5
    )


def test_more_freedom_is_fewer_sinusoids_and_more_chance(model):
    style, most = model.styles[0], model.config.peaks
    cool = dataclasses.replace(model, temperatures={style: 0.6})
    assert told_at(0.0, cool, style) == (most, 0.6)
    assert told_at(1.0, cool, style) == (0, 1.0)
    assert told_at(0.0, dataclasses.replace(model, temperatures={}), style)[1] == 0.75
    told = [told_at(freedom, cool, style) for freedom in np.linspace(0, 1, 21)]
    assert all(one[0] >= two[0] and one[1] < two[1] for one, two in pairwise(told))
