"""A request becomes a clip of sound, the same one in any company."""

import dataclasses

import numpy as np
import pytest

from hierarchy.material.features import BANDS, HOP
from hierarchy.micro.grains import GrainModel, make_grains, request_like, seed_from
from structure.errors import RequestError
from tests.small_worlds import features_and_book, tiny_model


@pytest.fixture(scope="module")
def model(small_song):
    return tiny_model(small_song)


@pytest.fixture(scope="module")
def asked(small_song):
    """Requests for 8, 24 and 20 frames; the first two fill whole batches of frames."""
    features, _ = features_and_book(small_song)
    return [
        request_like(features, 100, frames, style=0, seed=seed)
        for seed, frames in enumerate((8, 24, 20))
    ]


@pytest.fixture(scope="module")
def together(model, asked):
    return make_grains(model, asked)


def test_a_grain_is_as_long_as_it_was_asked(together, asked):
    for grain, request in zip(together, asked, strict=True):
        assert grain.waveform.shape == (2, HOP * request.frames)
        assert grain.waveform.dtype == np.float32
        assert np.isfinite(grain.waveform).all()
        assert grain.sample_rate == 16_000
        assert grain.request is request


@pytest.mark.parametrize("which", [0, 2])
def test_a_grain_sounds_the_same_alone_to_its_last_sample(
    model, asked, together, which
):
    alone = make_grains(model, [asked[which]])[0].waveform
    assert together[which].waveform.tobytes() == alone.tobytes()


def test_both_engines_make_the_same_grains(model, asked, together):
    again = make_grains(model, asked[:1], engine="jax")[0].waveform
    loud = np.abs(again).max()
    np.testing.assert_allclose(together[0].waveform, again, atol=1e-3 * loud)


def test_grains_are_about_as_loud_as_what_they_were_asked_to_be_like(
    together, small_song
):
    wanted = small_song.waveform[:, 100 * HOP : 124 * HOP]
    ratio = together[1].waveform.std() / wanted.std()
    # Untrained, a network makes noise of about the level asked.
    assert 0.3 < ratio < 4


def test_silence_was_asked_and_is_given(model, asked):
    still = dataclasses.replace(
        asked[0], levels=np.full_like(asked[0].levels, 1e-5), seed=9
    )
    told = []
    grains = make_grains(model, [still], progress=lambda *at: told.append(at))
    np.testing.assert_array_equal(grains[0].waveform, 0)


def test_a_request_survives_the_edges_of_its_recording(small_song):
    features, _ = features_and_book(small_song)
    early = request_like(features, 0, 8, style=0, seed=0)
    late = request_like(features, features.frames - 4, 8, style=0, seed=0)
    for request in (early, late):
        assert request.frames == 8
        assert request.levels.shape == (2, 8 + 8 + 4, BANDS)
        assert request.frequency.shape[0] == (8 + 8) // 2 + 3


def test_a_model_survives_its_folder(model, asked, together, tmp_path):
    model.write(tmp_path / "grains", about={"steps": 0})
    again = GrainModel.read(tmp_path / "grains")
    assert again.config == model.config
    assert again.styles == ("own",)
    sound = make_grains(again, asked)[1].waveform
    assert sound.tobytes() == together[1].waveform.tobytes()


def test_a_style_that_is_not_there_is_named(model):
    assert model.book(None)[0] == "own"
    with pytest.raises(
        RequestError, match="no style 'polka' in this model; it has own"
    ):
        model.book("polka")


def test_a_folder_without_gestures_is_no_model(model, tmp_path):
    model.write(tmp_path / "grains")
    (tmp_path / "grains" / "gestures" / "own.safetensors").unlink()
    with pytest.raises(RequestError, match="no gestures"):
        GrainModel.read(tmp_path / "grains")


def test_seeds_depend_on_all_their_parts():
    seeds = {seed_from(*parts) for parts in [(1,), (2,), (1, 2), (2, 1), ("1",)]}
    assert len(seeds) == 5
    assert seed_from(1, "verse") == seed_from(1, "verse")
