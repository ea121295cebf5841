"""From recordings to a grain model, and from a model to another style."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from hierarchy.material.audio import write_waveform
from hierarchy.material.corpus import Corpus, prepare_corpus
from hierarchy.micro.grains import GrainModel
from hierarchy.micro.learning import (
    BookConfig,
    GrainRecipe,
    LessonConfig,
    train_grains,
)
from hierarchy.training.fitting import FitConfig
from structure.errors import RequestError
from tests.small_worlds import RATE, tiny_config

STEPS = 60

RECIPE = GrainRecipe(
    model=tiny_config(dilations=(1, 2, 4), linear=8),
    lessons=LessonConfig(frames=16, batch_size=4),
    fit=FitConfig(
        steps=STEPS,
        learning_rate=1e-2,
        warmup_steps=5,
        ema_decay=None,
        validate_every=STEPS // 2,
        checkpoint_every=STEPS // 2,
        log_every=20,
    ),
    book=BookConfig(seconds=20),
)


@pytest.fixture(scope="module")
def corpus(small_song, tmp_path_factory):
    """The small song as a corpus of one recording; its last tenth is held out."""
    folder = tmp_path_factory.mktemp("corpus")
    write_waveform(folder / "music" / "small.wav", small_song.waveform, RATE)
    prepare_corpus(folder / "music", folder / "first", sample_rate=RATE)
    return folder / "first"


@dataclasses.dataclass
class Trained:
    folder: object
    result: object
    lines: list
    previews: list


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out, lines, previews = tmp_path_factory.mktemp("trained") / "model", [], []
    result = train_grains(
        [corpus],
        out,
        config=RECIPE,
        report=lines.append,
        preview=lambda *preview: previews.append(preview),
    )
    return Trained(out, result, lines, previews)


def about(folder):
    return json.loads((folder / "config.json").read_text())


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def test_a_tiny_model_learns_more_than_the_marginal_knows(trained):
    found = trained.result.best_metrics
    assert trained.result.steps == STEPS
    marginal = float(trained.lines[1].split("marginal ")[1].split(",")[0])
    assert found["bits_sketch"] < marginal
    assert found["bits_sketch"] < found["bits_free"]
    assert trained.lines[-1].startswith("bits per sample held out, in 4,096 bins: ")


def test_what_was_trained_can_be_read_and_asked(trained):
    model = GrainModel.read(trained.folder)
    assert model.styles == ("first",)
    assert model.config == dataclasses.replace(RECIPE.model, styles=("first",))
    book = model.books["first"]
    assert book.songs == ("small.wav",)
    assert 10 < book.beat_seconds.sum() < 30


def test_a_model_says_what_it_learned_from(trained):
    text = json.dumps(about(trained.folder))
    assert "marginal" in text
    assert "linear_prediction" in text
    assert '"first": 1' in text


def test_checkpoints_can_be_heard_on_what_is_held_out(trained, corpus):
    name, asked, heard, rate = trained.previews[-1]
    assert name == f"step-{STEPS:06d}-first-small"
    assert rate == RATE
    audio = Corpus.read(corpus).songs[0].audio()
    border = 0.9 * audio.shape[1]
    assert heard.shape == asked.shape == (2, heard.shape[1])
    long = min(4 * RATE, audio.shape[1] - border)
    assert heard.shape[1] == pytest.approx(long, abs=2048)
    assert np.isfinite(heard).all()
    after = audio[:, int(np.ceil(border / 1024)) * 1024 :]
    places = range(0, after.shape[1] - asked.shape[1] + 1, 1024)
    assert any(
        np.array_equal(after[:, at:][:, : asked.shape[1]], asked) for at in places
    )


def test_a_song_that_ends_in_silence_is_learned_from_all_the_same(small_song, tmp_path):
    sound = small_song.waveform
    long = np.pad(sound, [(0, 0), (0, sound.shape[1] // 4)])
    write_waveform(tmp_path / "music" / "small.wav", long, RATE)
    prepare_corpus(tmp_path / "music", tmp_path / "corpus", sample_rate=RATE)
    lines = []
    train_grains(
        [tmp_path / "corpus"],
        tmp_path / "model",
        config=RECIPE,
        minutes=1e-6,
        report=lines.append,
    )
    assert any("0.0 held out" in line for line in lines)
    assert GrainModel.read(tmp_path / "model").styles == ("corpus",)


def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(
    trained, corpus, tmp_path
):
    first = train_grains([corpus], tmp_path / "model", config=RECIPE, minutes=1e-6)
    assert first.stopped == "time"
    assert first.steps < STEPS
    rest = train_grains([corpus], tmp_path / "model", config=RECIPE, resume=True)
    assert rest.stopped == "steps"
    assert rest.steps == STEPS
    assert weights(tmp_path / "model") == weights(trained.folder)


def test_adapting_adds_a_style_and_starts_from_what_was_known(
    trained, corpus, tmp_path
):
    shutil.copytree(corpus, tmp_path / "second")
    still = dataclasses.replace(
        RECIPE, fit=dataclasses.replace(RECIPE.fit, learning_rate=1e-7)
    )
    result = train_grains(
        [tmp_path / "second"],
        tmp_path / "model",
        config=still,
        start_from=trained.folder,
        steps=1,
    )
    model = GrainModel.read(tmp_path / "model")
    assert model.config.styles == ("first", "second")
    assert "second" in model.styles
    known = np.asarray(model.net.style[...])
    np.testing.assert_allclose(known[1], known[0], atol=1e-5)
    # Not a step was learned yet, and all is known.
    assert result.best_metrics["bits_sketch"] == pytest.approx(
        trained.result.best_metrics["bits_sketch"], abs=0.05
    )
    assert trained.folder.name in json.dumps(about(tmp_path / "model"))


def test_adapting_may_tell_a_model_more_sinusoids_than_it_knew(
    trained, corpus, tmp_path
):
    richer = dataclasses.replace(RECIPE, book=BookConfig(seconds=20, peaks=40))
    lines = []
    train_grains(
        [corpus],
        tmp_path / "model",
        config=richer,
        start_from=trained.folder,
        steps=1,
        report=lines.append,
    )
    before, after = (GrainModel.read(f) for f in (trained.folder, tmp_path / "model"))
    assert (before.config.peaks, after.config.peaks) == (8, 40)
    told = [model.books["first"].frequency for model in (before, after)]
    assert [frequency.shape[1] for frequency in told] == [8, 40]
    # The same moments, and real sinusoids rather than room for them.
    assert len(told[0]) == len(told[1])
    assert np.median((told[1] > 0).sum(axis=1)) > 20
    with pytest.raises(ValueError, match="peaks starts at 0, got -1"):
        BookConfig(peaks=-1)


def test_a_model_is_given_taps_that_it_does_not_trust_before_it_learns(
    trained, corpus, tmp_path
):
    still = dataclasses.replace(
        RECIPE,
        model=dataclasses.replace(RECIPE.model, adaptive=8, memory=0.1),
        fit=dataclasses.replace(RECIPE.fit, learning_rate=1e-7),
    )
    result = train_grains(
        [corpus], tmp_path / "model", config=still, start_from=trained.folder, steps=1
    )
    found = GrainModel.read(tmp_path / "model").config
    known = GrainModel.read(trained.folder).config
    assert found == dataclasses.replace(known, adaptive=8, memory=0.1)
    for name, bits in trained.result.best_metrics.items():
        assert result.best_metrics[name] == pytest.approx(bits, abs=0.05)


def test_a_corpus_at_another_rate_is_refused(corpus, tmp_path):
    other = dataclasses.replace(
        RECIPE, model=dataclasses.replace(RECIPE.model, sample_rate=44_100)
    )
    with pytest.raises(RequestError, match="16000 Hz and the model 44100 Hz"):
        train_grains([corpus], tmp_path / "model", config=other)


def test_a_corpus_that_another_version_measured_is_named(corpus, trained, tmp_path):
    shutil.copytree(corpus, tmp_path / "older")
    manifest = dataclasses.replace(Corpus.read(corpus).manifest, analysis=1)
    manifest.write(tmp_path / "older" / "manifest.json")
    lines = []
    train_grains(
        [tmp_path / "older"],
        tmp_path / "model",
        config=RECIPE,
        steps=1,
        report=lines.append,
    )
    assert "another version of this software measured older" in lines[0]
    assert not any("another version" in line for line in trained.lines)


def test_two_corpora_of_one_name_are_refused(corpus, tmp_path):
    with pytest.raises(RequestError, match="same name"):
        train_grains([corpus, corpus], tmp_path / "model", config=RECIPE)


def test_a_recipe_is_read_from_its_file(tmp_path):
    (tmp_path / "mine.toml").write_text(
        "[model]\nresidual = 16\n[lessons]\nframes = 24\n[book]\nseconds = 60\n"
    )
    recipe = GrainRecipe.read(tmp_path / "mine.toml")
    assert recipe.model.residual == 16
    assert recipe.lessons.frames == 24
    assert recipe.book.seconds == 60
    (tmp_path / "wrong.toml").write_text("[lessons]\nframes = 7\n")
    with pytest.raises(RequestError, match="even and at least 8, got 7"):
        GrainRecipe.read(tmp_path / "wrong.toml")
