import numpy as np
import pytest
from matplotlib.image import imread

from hierarchy.export.pictures import _rows, draw_grain, draw_plan, draw_song
from hierarchy.export.returns import asked_likeness, heard_likeness
from structure.plan import Section, SongPlan
from structure.spectra import measure_spectra


def long_plan(*bars):
    return SongPlan(
        sections=tuple(
            Section(label="verse", letter="A", chords=(("C:maj",),) * n) for n in bars
        )
    )


def colours_in(path):
    """How many different colours a picture has."""
    return len(np.unique(imread(path).reshape(-1, 4)[:, :3], axis=0))


def test_a_song_is_drawn_with_its_sections_and_returns(small_song, tmp_path):
    path = tmp_path / "song.png"
    draw_song(path, small_song.waveform, small_song.sample_rate, small_song.plan)
    height, width, _ = imread(path).shape
    assert width > 1_000 and height > 1_000 and colours_in(path) > 500


def test_a_plan_is_drawn_in_words_that_can_be_found_in_the_svg(small_song, tmp_path):
    path = tmp_path / "plan.svg"
    draw_plan(path, small_song.plan)
    text = path.read_text()
    for words in ("verse A", "chorus B", "4 bars", "Small song", "120 BPM", "Am"):
        # Matplotlib draws letters as shapes and leaves the words in a comment.
        assert f"<!-- {words}" in text or words in text


def test_one_plan_makes_one_picture(small_song, tmp_path):
    for suffix in ("png", "svg"):
        for name in ("one", "two"):
            draw_plan(tmp_path / f"{name}.{suffix}", small_song.plan)
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_grain_is_drawn_alone_or_beside_what_was_asked(small_song, tmp_path):
    grain = small_song.waveform[:, :8_000]
    rate = small_song.sample_rate
    draw_grain(tmp_path / "alone.png", None, grain, rate, title="free")
    draw_grain(tmp_path / "both.png", 0.5 * grain, grain, rate)
    alone, both = (imread(tmp_path / f"{n}.png") for n in ("alone", "both"))
    assert both.shape[1] == 2 * alone.shape[1]


@pytest.mark.parametrize("samples", [1, 16_000])
def test_silence_of_any_length_can_be_drawn(samples, small_song, tmp_path):
    silence = np.zeros([2, samples], np.float32)
    draw_song(tmp_path / "song.png", silence, 16_000, small_song.plan)
    draw_grain(tmp_path / "grain.png", None, silence, 16_000)
    assert colours_in(tmp_path / "grain.png") > 1


def test_the_asked_and_the_heard_picture_agree_on_what_returns(small_song):
    spectra = measure_spectra(small_song.waveform, small_song.sample_rate)
    asked = asked_likeness(small_song.plan)
    heard = heard_likeness(spectra, small_song.plan)
    assert asked.shape == heard.shape == (32, 32)
    for likeness in (asked, heard):
        verse_again = likeness[:8, 16:24].mean()
        chorus_instead = likeness[:8, 8:16].mean()
        assert verse_again > chorus_instead + 0.3
        np.testing.assert_allclose(likeness, likeness.T, atol=1e-5)


def test_a_long_song_is_drawn_in_rows_that_break_between_sections():
    assert _rows(long_plan(16, 16, 16)) == [(0, 48)]
    assert _rows(long_plan(16, 16, 24, 16)) == [(0, 32), (32, 72)]
    assert _rows(long_plan(46, 6)) == [(0, 46), (46, 52)]
    assert _rows(long_plan(8, 8, 30, 6)) == [(0, 16), (16, 52)]
    assert _rows(long_plan(60)) == [(0, 48), (48, 60)]


def test_a_long_song_makes_a_higher_picture(tmp_path):
    draw_plan(tmp_path / "short.png", long_plan(16, 16, 16))
    draw_plan(tmp_path / "long.png", long_plan(16, 32, 16, 32))
    short, long = (imread(tmp_path / f"{n}.png") for n in ("short", "long"))
    assert long.shape[0] > 1.7 * short.shape[0] and long.shape[1] == short.shape[1]
