"""What was sampled is kept and found again; what was not is sampled."""

import dataclasses

import numpy as np
import pytest

from hierarchy.macro import grain_store
from hierarchy.macro.grain_store import (
    GrainStore,
    grain_name,
    grains_beside,
    model_digest,
    sample_missing,
)
from hierarchy.macro.rendering import arrange, redo, render_song
from hierarchy.micro.grains import GrainModel
from structure.errors import RequestError
from tests.small_worlds import rendered, small_plan, tiny_model, tiny_net


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    return GrainStore(None if request.param == "memory" else tmp_path / "grains")


def test_a_store_is_a_dictionary_of_waveforms(store):
    sound = np.random.default_rng(0).normal(size=[2, 50]).astype(np.float32)
    assert len(store) == 0 and "a" not in store and list(store) == []
    store["a"] = sound
    store["b"] = 2 * sound
    np.testing.assert_array_equal(store["a"], sound)
    assert sorted(store) == ["a", "b"] and "a" in store and len(store) == 2
    del store["a"]
    assert list(store) == ["b"]
    for missing in (store.__getitem__, store.__delitem__):
        with pytest.raises(KeyError):
            missing("a")


def test_a_folder_is_found_again_by_another_store(tmp_path):
    GrainStore(tmp_path)["x"] = np.ones([2, 3])
    again = GrainStore(tmp_path)
    assert list(again) == ["x"] and again["x"].dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["x.grain.npy"]


def test_grains_beside_a_song_are_gone_with_it_and_found_by_who_goes_on(tmp_path):
    song = tmp_path / "songs" / "song.wav"
    with grains_beside(song) as store:
        store["a"] = np.ones([2, 3])
        (folder,) = song.parent.iterdir()
        # As if it had been killed: all but the lock stays.
        left = {path.name: path.read_bytes() for path in folder.iterdir()}
        with grains_beside(song) as other:
            assert "a" not in other and other.folder != store.folder
        assert "a" in store
    assert not list(song.parent.iterdir())
    folder.mkdir()
    for name, data in left.items():
        (folder / name).write_bytes(data)
    with pytest.raises(KeyboardInterrupt), grains_beside(song) as again:
        assert list(again) == ["a"]
        raise KeyboardInterrupt
    assert not list(song.parent.iterdir())


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "x.grain.npy").write_bytes(b"no grain")
    with pytest.raises(RequestError, match=r"x\.grain\.npy is no grain"):
        GrainStore(tmp_path)["x"]


def test_a_grain_is_named_by_all_that_makes_its_sound(small_song):
    song = rendered(small_song, small_plan("C", tempo=200))
    request, model = song.performance.requests[0], tiny_model(small_song)
    digest = model_digest(model)
    name = grain_name(request, model=digest, temperature=0.75)
    assert name == grain_name(request, model=digest, temperature=0.75)
    louder = dataclasses.replace(request, levels=request.levels * 1.001)
    reseeded = dataclasses.replace(request, seed=request.seed + 1)
    other = model_digest(GrainModel(tiny_net(seed=1), model.books))
    names = {
        name,
        grain_name(louder, model=digest, temperature=0.75),
        grain_name(reseeded, model=digest, temperature=0.75),
        grain_name(request, model=digest, temperature=0.8),
        grain_name(request, model=other, temperature=0.75),
    }
    assert len(names) == 5


def test_only_what_is_missing_is_sampled_and_what_is_done_is_kept(
    small_song, tmp_path, monkeypatch
):
    model = tiny_model(small_song)
    asked = []

    def made(model, requests, *, temperature, progress=None):
        asked.append(len(requests))
        if len(asked) == 2:
            raise KeyboardInterrupt
        progress(1, 1)
        sounds = [
            np.full([2, 4], request.seed % 97, np.float32) for request in requests
        ]
        return [grain_store.Grain(s, 16_000, r) for s, r in zip(sounds, requests)]  # noqa: B905

    monkeypatch.setattr(grain_store, "best_grains", made)
    monkeypatch.setattr(grain_store, "AT_ONCE", 4)
    arranged = arrange(small_plan("ABABC"), model)
    wanted = arranged.performance.requests, arranged.names
    store, told = GrainStore(tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        sample_missing(model, *wanted, store, temperature=0.75)
    assert len(store) == 4
    count = sample_missing(
        model, *wanted, store, temperature=0.75, progress=lambda *at: told.append(at)
    )
    assert count == len(arranged.names) - 4 == len(store) - 4
    assert asked == [4, 4, 4, 2]
    done, total = zip(*told, strict=True)
    assert list(done) == sorted(done) and done[-1] == total[-1]
    assert sample_missing(model, *wanted, store, temperature=0.75) == 0
    for name, request in zip(
        arranged.names, arranged.performance.requests, strict=True
    ):
        assert store[name][0, 0] == request.seed % 97


def test_a_song_from_a_folder_is_the_song_from_memory(small_song, tmp_path):
    plan, model = small_plan("AC", tempo=200), tiny_model(small_song)
    held = render_song(plan, model)
    kept = render_song(plan, model, known=GrainStore(tmp_path))
    assert kept.waveform.tobytes() == held.waveform.tobytes()
    before = sorted(tmp_path.iterdir())
    again = render_song(redo(kept.plan, "outro"), model, known=GrainStore(tmp_path))
    assert len(sorted(tmp_path.iterdir())) == len(before) + 2
    assert again.grains[0].request.seed == kept.grains[0].request.seed
    assert [grain.waveform.shape for grain in again.grains[:2]] == [
        grain.waveform.shape for grain in kept.grains[:2]
    ]
