"""Sounds and pictures in notebooks: small, and otherwise what they were."""

import io

import numpy as np
import PIL.Image
import pytest
import soundfile

from hierarchy import hear, see, watch
from structure.errors import RequestError

pytest.importorskip("IPython", reason="players are shown in notebooks")


def tone(seconds, *, sample_rate=44_100, level=0.5):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return level * np.sin(2 * np.pi * 440 * time).astype(np.float32)


def test_a_player_holds_the_sound_it_was_given_in_few_bytes():
    wanted = np.stack([tone(2), 0.5 * tone(2)])
    player = hear(wanted, 44_100)
    heard, rate = soundfile.read(io.BytesIO(player.data), always_2d=True)
    assert rate == 44_100 and abs(len(heard) - wanted.shape[1]) <= 2048
    middle = slice(20_000, 60_000)
    assert np.corrcoef(heard[middle, 0], wanted[0, middle])[0, 1] > 0.999
    assert len(player.data) < 40_000
    assert 'type="audio/ogg"' in player._repr_html_()


def test_a_long_sound_is_faded_out_where_it_is_cut():
    player = hear(tone(3), 44_100, seconds=1)
    heard, rate = soundfile.read(io.BytesIO(player.data))
    assert len(heard) == pytest.approx(rate, abs=2048)
    assert np.abs(heard[-200:]).max() < 0.02


def test_too_loud_a_sound_is_brought_below_full_scale_as_a_whole():
    player = hear(4 * tone(1), 44_100)
    heard, _ = soundfile.read(io.BytesIO(player.data))
    assert 0.9 < np.abs(heard).max() <= 1.0
    assert np.corrcoef(heard[5000:40000], tone(1)[5000:40000])[0, 1] > 0.999


def test_what_is_no_waveform_is_refused():
    with pytest.raises(RequestError, match=r"shape \[3, 4\]"):
        hear(np.zeros([3, 4]), 44_100)


def test_a_picture_becomes_as_wide_as_asked_and_no_wider_than_it_is(tmp_path):
    path = tmp_path / "ramp.png"
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8), [100, 1])
    PIL.Image.fromarray(ramp).save(path)
    small = PIL.Image.open(io.BytesIO(see(path, width=200).data)).convert("L")
    assert small.size == (200, 50)
    np.testing.assert_allclose(np.asarray(small)[25], ramp[0, ::2], atol=6)
    assert see(path, width=900).width == 400
    path.write_text("no picture")
    with pytest.raises(RequestError, match="not a picture"):
        see(path)


def test_a_bar_fills_up_and_says_when_it_is_done(monkeypatch):
    from IPython import display

    shown = []

    class Handle:
        def update(self, html):
            shown.append(html.data)

    monkeypatch.setattr(display, "display", lambda *_, **__: Handle())
    report = watch("Making grains")
    for done in range(101):
        report(done, 100)
    assert 'value="0" max="100"' in shown[0] and "done in" in shown[-1]
    assert len(shown) < 20
