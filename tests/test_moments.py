"""A copy is found out, at any gain and in some noise; other music is not taken for one."""

import librosa
import numpy as np
import pytest

from hierarchy.material.moments import Moments, moments_of
from structure.errors import RequestError

RATE = 22050


def song(seed: int, seconds: float = 12.0) -> np.ndarray:
    """Plucked notes at random times, [2, samples]."""
    random = np.random.default_rng(seed)
    out = np.zeros([2, int(seconds * RATE)], np.float32)
    for at in np.arange(0, seconds - 0.5, 0.25):
        pitch = 110 * 2 ** (random.integers(0, 36) / 12)
        time = np.arange(int(0.5 * RATE)) / RATE
        note = sum(
            np.sin(2 * np.pi * pitch * k * time) / k * np.exp(-time * (4 + 2 * k))
            for k in range(1, random.integers(2, 9))
        )
        first = int(at * RATE)
        out[:, first : first + len(note)] += 0.1 * random.random() * note
    return out


def chip_tune(seed: int, seconds: float = 12.0) -> np.ndarray:
    """Square notes that begin and end at once, with rests, [2, samples]."""
    random, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    number = (time / 0.13).astype(int)
    pitch = 110 * 2 ** (random.integers(0, 36, number[-1] + 1) / 12)
    sounds = random.random(number[-1] + 1) < 0.6
    out = 0.1 * np.sign(np.sin(2 * np.pi * pitch[number] * time)) * sounds[number]
    return np.tile(out.astype(np.float32), (2, 1))


@pytest.fixture(scope="module")
def moments() -> Moments:
    return moments_of((f"song {i}", song(i), RATE) for i in range(6))


@pytest.mark.parametrize("start", [0.0, 3.33, 7.41])
@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_a_copy_is_found_where_it_was(moments, start, gain):
    first = int(start * RATE)
    copy = gain * song(3)[:, first : first + int(1.5 * RATE)]
    found = moments.nearest(copy, RATE)
    assert found.song == "song 3"
    assert start - 0.3 <= found.seconds <= start + 0.8
    assert found.likeness > 0.97


def test_a_copy_of_sharp_attacks_is_found_between_two_moments():
    """Moments lie 0.2 s apart; 0.1 s off, each note lies elsewhere in its moment."""
    tunes = moments_of((f"tune {i}", chip_tune(i), RATE) for i in range(20))
    for number in range(20):
        first = int((2.1 + 0.2 * number) * RATE)
        copy = chip_tune(number)[:, first : first + int(1.3 * RATE)]
        found = tunes.nearest(copy, RATE)
        assert found.song == f"tune {number}"
        assert found.likeness > 0.97


def test_a_copy_is_found_under_noise_and_at_another_rate(moments):
    copy = song(5)[:, 2 * RATE : 4 * RATE]
    noise = np.random.default_rng(0).normal(size=copy.shape)
    level = np.sqrt(np.square(copy).mean())
    assert moments.nearest(copy + 0.1 * level * noise, RATE).song == "song 5"
    doubled = np.repeat(copy, 2, axis=1)
    assert moments.nearest(doubled, 2 * RATE).song == "song 5"


@pytest.mark.parametrize("speed", [0.8, 1.1, 1.25])
def test_a_copy_at_another_tempo_is_found_too(moments, speed):
    def played(seed: int) -> np.ndarray:
        piece = song(seed)[:, 3 * RATE : 5 * RATE]
        return librosa.effects.time_stretch(piece, rate=speed)

    found = moments.nearest(played(3), RATE)
    assert found.song == "song 3"
    assert 2.8 <= found.seconds <= 4.2
    assert found.likeness > 0.95
    assert moments.nearest(played(103), RATE).likeness < found.likeness - 0.05


def test_other_music_is_less_alike_than_any_copy(moments):
    others = [moments.nearest(song(100 + i, 4.0), RATE).likeness for i in range(5)]
    copies = [moments.nearest(song(i)[:, : 2 * RATE], RATE).likeness for i in range(6)]
    assert max(others) < min(copies) - 0.05


def test_silence_and_what_is_too_short_are_like_nothing(moments):
    assert moments.nearest(np.zeros([2, 3 * RATE], np.float32), RATE) is None
    assert moments.nearest(song(0)[:, : int(0.45 * RATE)], RATE) is None


@pytest.mark.parametrize("seconds", [0.7, 0.95])
@pytest.mark.parametrize("start", [0.0, 3.33, 7.41])
def test_a_copy_shorter_than_a_moment_is_found_too(moments, start, seconds):
    def piece(seed: int) -> np.ndarray:
        return 0.3 * song(seed)[:, int(start * RATE) :][:, : int(seconds * RATE)]

    found = moments.nearest(piece(3), RATE)
    assert found.song == "song 3"
    assert abs(found.seconds - start) <= 0.3
    assert found.likeness > 0.9
    assert moments.nearest(piece(103), RATE).likeness < found.likeness - 0.05


def test_moments_survive_their_file(moments, tmp_path):
    moments.write(tmp_path / "moments.safetensors")
    again = Moments.read(tmp_path / "moments.safetensors")
    sound = song(2)[:, RATE : 3 * RATE]
    assert again.nearest(sound, RATE) == moments.nearest(sound, RATE)
    (tmp_path / "other.safetensors").write_bytes(b"not at all")
    with pytest.raises(RequestError, match=r"other\.safetensors"):
        Moments.read(tmp_path / "other.safetensors")


def test_there_is_nothing_to_take_moments_of():
    with pytest.raises(RequestError, match="no recordings"):
        moments_of([])
