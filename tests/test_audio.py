import numpy as np
import pytest
import soundfile

from hierarchy.material.audio import (
    as_stereo,
    blocks,
    content_hash,
    fold,
    inspect_audio,
    read_tags,
    read_waveform,
    resample,
    write_waveform,
)
from structure.errors import RequestError


def tone(frequency, seconds, rate, channels=1, level=0.5):
    t = np.arange(round(seconds * rate)) / rate
    y = level * np.sin(2 * np.pi * frequency * t)
    return np.tile(y.astype(np.float32)[None], [channels, 1])


@pytest.mark.parametrize(
    "suffix, subtype, loss",
    [
        (".wav", "PCM_U8", 2**-7),
        (".wav", "PCM_16", 2**-15),
        (".wav", None, 2**-23),
        (".wav", "FLOAT", 0.0),
        (".wav", "DOUBLE", 0.0),
        (".flac", None, 2**-23),
        (".flac", "PCM_16", 2**-15),
    ],
)
def test_a_waveform_survives_its_file_to_the_last_bit_it_has(
    tmp_path, suffix, subtype, loss
):
    y = np.random.default_rng(0).uniform(-1, 1, [3, 4000]).astype(np.float32)
    write_waveform(tmp_path / f"a{suffix}", y, 32_000, subtype=subtype)
    z, rate = read_waveform(tmp_path / f"a{suffix}")
    assert rate == 32_000 and z.dtype == np.float32
    np.testing.assert_allclose(z, y, atol=loss + 1e-7)


def test_the_default_has_24_bits(tmp_path):
    write_waveform(tmp_path / "a.wav", tone(440, 0.1, 8000), 8000)
    assert inspect_audio(tmp_path / "a.wav").coding == "WAV PCM_24"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_equal_waveforms_make_equal_bytes_and_keep_their_tags(tmp_path, suffix):
    y = tone(440, 0.5, 44_100, channels=2)
    for name in "ab":
        write_waveform(
            tmp_path / f"{name}{suffix}", y, 44_100, tags={"title": "Ö", "artist": "Me"}
        )
    a, b = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    assert content_hash(a) == content_hash(b)
    assert read_tags(a) == {"title": "Ö", "artist": "Me"}
    z, _ = read_waveform(a)
    assert np.corrcoef(z[0], y[0])[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_and_length_at_any_rate(tmp_path, rate):
    write_waveform(tmp_path / "a.flac", tone(440, 1.0, rate), rate)
    y, _ = read_waveform(tmp_path / "a.flac", sample_rate=44_100)
    assert abs(y.shape[1] - 44_100) <= 1
    spectrum = np.abs(np.fft.rfft(y[0] * np.hanning(y.shape[1])))
    assert np.argmax(spectrum) * 44_100 / y.shape[1] == pytest.approx(440, abs=1)
    assert np.abs(y[0, 4000:-4000]).max() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("seconds", [0.01, 0.1, 3.0])
@pytest.mark.parametrize("sample_rate", [None, 16_000])
def test_blocks_laid_end_to_end_are_the_whole_file(tmp_path, seconds, sample_rate):
    y = np.random.default_rng(1).uniform(-0.5, 0.5, [2, 22_050]).astype(np.float32)
    write_waveform(tmp_path / "a.wav", y, 22_050)
    whole, _ = read_waveform(tmp_path / "a.wav", sample_rate=sample_rate)
    cut = list(blocks(tmp_path / "a.wav", sample_rate=sample_rate, seconds=seconds))
    np.testing.assert_allclose(np.concatenate(cut, axis=1), whole, atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_an_offset_and_a_duration_cut_where_they_say(tmp_path, suffix):
    y = np.linspace(-0.9, 0.9, 10_000, dtype=np.float32)[None]
    write_waveform(tmp_path / f"a{suffix}", y, 10_000)
    z, _ = read_waveform(tmp_path / f"a{suffix}", offset=0.25, duration=0.5)
    np.testing.assert_allclose(z, y[:, 2500:7500], atol=1e-6)
    late, _ = read_waveform(tmp_path / f"a{suffix}", offset=5.0)
    assert late.shape == (1, 0)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused_when_read_and_when_written(tmp_path, poison):
    y = tone(440, 0.1, 8000)
    y[0, 50] = poison
    soundfile.write(tmp_path / "a.wav", y.T, 8000, subtype="FLOAT")
    with pytest.raises(RequestError, match="NaN or infinite"):
        read_waveform(tmp_path / "a.wav")
    with pytest.raises(RequestError, match="NaN"):
        write_waveform(tmp_path / "b.wav", y, 8000)
    assert not (tmp_path / "b.wav").exists()


def test_every_misuse_says_what_would_fit(tmp_path):
    y = tone(440, 0.1, 8000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "words.wav").write_text("not sound at all, only words in a file")
    (tmp_path / "headerless.raw").write_bytes(bytes(1000))
    for path, say in [
        ("none.wav", "no file"),
        ("empty.wav", "empty"),
        ("words.wav", "not sound"),
        ("headerless.raw", "not sound"),
    ]:
        with pytest.raises(RequestError, match=say):
            read_waveform(tmp_path / path)
    with pytest.raises(RequestError, match=r"\.wav, \.flac, \.ogg"):
        write_waveform(tmp_path / "a.mp4", y, 8000)
    with pytest.raises(RequestError, match="PCM_24"):
        write_waveform(tmp_path / "a.flac", y, 8000, subtype="FLOAT")
    with pytest.raises(RequestError, match=r"mood.*title"):
        write_waveform(tmp_path / "a.flac", y, 8000, tags={"mood": "blue"})
    with pytest.raises(RequestError, match=r"\[channels, samples\]"):
        write_waveform(tmp_path / "a.flac", y[0], 8000)


@pytest.mark.parametrize("channels", range(3, 9))
def test_surround_folds_to_stereo_without_clipping_or_changing_sides(channels):
    y = np.zeros([channels, 8], np.float32)
    y[0] = 1.0
    folded = fold(y)
    assert folded.shape == (2, 8)
    assert folded[0, 0] > 0.2 and folded[1, 0] == 0
    assert np.abs(fold(np.ones([channels, 8], np.float32))).max() <= 1 + 1e-6


def test_two_alike_channels_are_one_and_one_becomes_two_again():
    y = tone(440, 0.1, 8000, channels=2)
    assert fold(y).shape[0] == 1
    np.testing.assert_array_equal(as_stereo(fold(y)), y)


def test_resampling_there_and_back_keeps_a_tone():
    y = tone(440, 0.5, 44_100, channels=2)
    back = resample(resample(y, 44_100, 48_000), 48_000, 44_100)
    np.testing.assert_allclose(back[:, 500:20_000], y[:, 500:20_000], atol=1e-3)
