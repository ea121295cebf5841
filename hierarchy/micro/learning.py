"""Prepared corpora become a grain model, or adapt one.

OUT/config.json, weights.safetensors   the network
OUT/gestures/STYLE.safetensors         what it can be asked for
OUT/moments.safetensors                by which copies of the recordings are found out
OUT/training/                          checkpoints and log, to resume from
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hierarchy.material.companding import BINS
from hierarchy.material.corpus import Corpus, CorpusSong
from hierarchy.material.features import HOP as FRAME
from hierarchy.material.features import Features, with_bands
from hierarchy.material.gestures import SECONDS, make_book
from hierarchy.material.moments import moments_of
from hierarchy.micro.baselines import baseline_bits
from hierarchy.micro.grains import GrainModel, GrainRequest, make_grains, request_like
from hierarchy.micro.lessons import Lesson, Window, lesson
from hierarchy.micro.objective import training_sums, validation_loss
from hierarchy.micro.warmth import fullness_off, warmest
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from hierarchy.training.additive import Additive
from hierarchy.training.batches import WindowBatches
from hierarchy.training.checkpoint import load_weights
from hierarchy.training.checkpoint import read_config as read_model_config
from hierarchy.training.configuration import read_config
from hierarchy.training.fitting import FitConfig, FitResult, Progress, fit
from hierarchy.training.parts import suited_batch
from structure.errors import RequestError

Preview = Callable[[str, np.ndarray, np.ndarray, int], None]
"""Called with a name, what was asked and what came, [2, samples], and the rate."""

_BITS_HELD_OUT = f"bits per sample held out, in {BINS:,} bins"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LessonConfig:
    """How windows are drawn, and what is withheld from the model.

    frames: length of a window, even; the first few only warm the model up.
    batch_size: windows a step; 0 is as many as the devices can use, 8 on a CPU and up
        to 64 on each graphics card, by its memory.
    side: share of windows taken from the side of stereo recordings.
    without_sketch, without_coarse, without_style: share of windows that lack it.
    thinned: share of the others whose sketch is thinned to a random few sinusoids.
    past_noise: most noise that is laid over the past, in levels; see `training_sums`.
    past_colour: most decibels by which the past's lows are changed where there is most
        noise: without it, grains that are told no sinusoid lose their bass.
    true_past: share of windows whose past is the true one nevertheless: more of them
        have fewer bits, and answer less truly when they sample.
    matmul: precision of matrix products in training. "default" is what the device
        does best: float32 on CPUs (bfloat16 was 1.1 to 1.2 times slower there),
        TensorFloat-32 on GPUs, bfloat16 on TPUs. Weights are float32 throughout.
    """

    frames: int = 48
    batch_size: int = 8
    side: float = 0.3
    without_sketch: float = 0.15
    without_coarse: float = 0.1
    without_style: float = 0.1
    thinned: float = 0.4
    past_noise: float = 0.4
    past_colour: float = 20.0
    true_past: float = 0.0
    matmul: Literal["default", "bfloat16", "tensorfloat32", "float32"] = "default"

    def __post_init__(self):
        if self.frames < 8 or self.frames % 2:
            raise ValueError(f"frames is even and at least 8, got {self.frames}")
        if self.batch_size < 0:
            raise ValueError(f"batch_size starts at 0, got {self.batch_size}")
        if self.past_colour < 0:
            raise ValueError(f"past_colour starts at 0 dB, got {self.past_colour}")
        for field in dataclasses.fields(self):
            share = getattr(self, field.name)
            if field.name == "past_colour":
                continue
            if isinstance(field.default, float) and not 0 <= share <= 1:
                raise ValueError(f"{field.name} is from 0 to 1, got {share}")


def _with_batch_size(lessons: LessonConfig, config: WaveNetConfig) -> LessonConfig:
    """Lessons whose batch size is settled."""
    if lessons.batch_size:
        return lessons
    # What a layer hands on and what its backward pass reads again, as float32.
    layer = 2 * (2 * config.gate + config.gate + config.residual) * 4
    steps = lessons.frames * config.steps_per_frame
    each = steps * len(config.dilations) * layer
    return dataclasses.replace(lessons, batch_size=suited_batch(each, jax.devices()))


def window_batches(
    lessons: Sequence[Lesson], config: LessonConfig, *, peaks: int, seed: int
) -> WindowBatches:
    """Batches of windows of all lessons: a pure function of the step."""
    units = config.frames // 2

    def cut(index: int, start: int, random: np.random.Generator) -> Window:
        lesson = lessons[index]
        side, sketch, coarse, style, thin = random.random(5)
        count = int(random.integers(1, peaks + 1)) if thin < config.thinned else peaks
        window = lesson.cut(
            start,
            units,
            channel=int(side < config.side and lesson.channels == 2),
            coarse=float(coarse >= config.without_coarse),
            peaks=0 if sketch < config.without_sketch else count,
            of=peaks,
        )
        if style < config.without_style:
            window = window._replace(style=np.int32(-1))
        return window

    return WindowBatches(
        cut,
        [lesson.units for lesson in lessons],
        window=units,
        batch_size=config.batch_size,
        seed=seed,
    )


def validation_windows(
    lessons: Sequence[Lesson], config: LessonConfig, *, peaks: int, batches: int = 6
) -> list[Window]:
    """The same windows each time, spread over the held-out recordings.

    Recordings that are shorter than a window are left out; none leave no windows.
    """
    units, random = config.frames // 2, np.random.default_rng(0)
    lessons, out = [one for one in lessons if _long_enough(one, config)], []
    if not lessons:
        return out
    for _ in range(batches):
        items = []
        for _ in range(config.batch_size):
            lesson = lessons[random.integers(len(lessons))]
            start = int(random.integers(max(1, lesson.units - units)))
            items.append(
                lesson.cut(start, units, channel=0, coarse=1.0, peaks=peaks, of=peaks)
            )
        out.append(jax.tree.map(lambda *parts: np.stack(parts), *items))
    return out


def _long_enough(lesson: Lesson, config: LessonConfig) -> bool:
    """Whether a window can be cut of it."""
    return lesson.units >= config.frames // 2


def fit_grains(
    model: WaveNet,
    train: Sequence[Lesson],
    held_out: Sequence[Lesson],
    out: str | Path,
    *,
    lessons: LessonConfig,
    fitting: FitConfig,
    resume: bool = False,
    settings: dict | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_checkpoint: Callable[[int, WaveNet], None] | None = None,
) -> FitResult:
    """Train a grain model in place; see `hierarchy.training.fitting.fit`."""
    peaks = model.config.peaks
    usable = [one for one in train if _long_enough(one, lessons)]

    def sums(model, window, keys):
        with jax.default_matmul_precision(lessons.matmul):
            return training_sums(
                model,
                window,
                keys,
                past_noise=lessons.past_noise,
                past_colour=lessons.past_colour,
                true_past=lessons.true_past,
            )

    def judge(model, window, key):
        return validation_loss(model, window, key, past_noise=lessons.past_noise)

    return fit(
        model,
        Additive(sums),
        window_batches(usable, lessons, peaks=peaks, seed=fitting.seed),
        validation=validation_windows(held_out, lessons, peaks=peaks),
        config=fitting,
        out=out,
        resume=resume,
        settings={
            "model": dataclasses.asdict(model.config),
            "lessons": dataclasses.asdict(lessons),
            **(settings or {}),
        },
        validation_loss=judge,
        items=lessons.batch_size * lessons.frames * model.config.steps_per_frame,
        on_progress=on_progress,
        on_checkpoint=on_checkpoint,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BookConfig:
    """What a style's book of gestures holds.

    seconds: how much of the style's recordings, at most.
    peaks: sinusoids of each frame, of which a corpus keeps 192; 0 takes as many as the
        model knows. A model that is adapted learns to be told so many.
    """

    seconds: float = SECONDS
    peaks: int = 0

    def __post_init__(self):
        if self.seconds < 10:
            raise ValueError(f"seconds is at least 10, got {self.seconds}")
        if self.peaks < 0:
            raise ValueError(f"peaks starts at 0, got {self.peaks}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrainRecipe:
    """All that settles how a grain model is trained."""

    model: WaveNetConfig = dataclasses.field(default_factory=WaveNetConfig)
    lessons: LessonConfig = dataclasses.field(default_factory=LessonConfig)
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    book: BookConfig = dataclasses.field(default_factory=BookConfig)

    @classmethod
    def read(cls, path: str | Path) -> GrainRecipe:
        """Read it from a TOML file with the sections [model], [lessons], [fit], [book].

        Raises:
            RequestError: naming file, section and key.
        """
        parts = {field.name: field.default_factory for field in dataclasses.fields(cls)}
        return cls(**read_config(path, parts))


def train_grains(
    corpora: Sequence[str | Path],
    out: str | Path,
    *,
    config: GrainRecipe | str | Path | None = None,
    start_from: str | Path | None = None,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    loading: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] | None = None,
    preview: Preview | None = None,
) -> FitResult:
    """Train a grain model on prepared corpora, and write it with its gestures.

    Args:
        corpora: folders from `prepare_corpus`; each is a style, named as its folder.
        out: what to write; see above.
        config: a recipe or its TOML file; None takes the defaults.
        start_from: a model to adapt; its shape replaces the recipe's, but for adaptive
            taps, which it is given if it has none, and the corpora become its styles.
            The styles that it had are not kept: their gestures stay with the model that
            they came with.
        resume: go on where an earlier call with the same arguments stopped.
        minutes: stop after this time, with what was learnt by then.
        steps: instead of the recipe's.
        seed: another seed, other weights and another order.
        progress: called with a Progress.
        loading: called with (songs made ready, songs in all).
        report: called with lines of text: bits per sample of the simple models, and
            of this one.
        preview: called at each checkpoint with held-out moments, asked and heard.

    Raises:
        RequestError: if a corpus does not fit, or there is nothing to learn from.
    """
    recipe = _recipe(config, start_from, minutes=minutes, steps=steps, seed=seed)
    opened = {Path(folder).absolute().name: Corpus.read(folder) for folder in corpora}
    if len(opened) < len(corpora):
        raise RequestError(
            "two corpora have the same name; the name of its folder is a style's name"
        )
    model_config = _with_styles(
        recipe.model, tuple(opened), keep=start_from is not None
    )
    say = report or (lambda line: None)
    for name, corpus in opened.items():
        if corpus.outdated:
            say(
                f"another version of this software measured {name}; it can be learned "
                "from, and prepare-corpus measures it anew"
            )
        if corpus.sample_rate != model_config.sample_rate:
            raise RequestError(
                f"the corpus {name} has {corpus.sample_rate} Hz and the model "
                f"{model_config.sample_rate} Hz; prepare it with --sample-rate "
                f"{model_config.sample_rate}"
            )
    lessons = _with_batch_size(recipe.lessons, model_config)
    model = WaveNet(model_config, rngs=nnx.Rngs(seed))
    if start_from is not None:
        take_over(model, start_from)

    train, held_out, show = lessons_of(opened, model_config, lessons, loading)
    say(
        f"{sum(one.seconds(model_config) for one in train) / 60:.1f} minutes to learn "
        f"from, {sum(one.seconds(model_config) for one in held_out) / 60:.1f} held out"
    )
    windows = functools.partial(
        validation_windows, config=lessons, peaks=model_config.peaks
    )
    bars = baseline_bits(train, windows(held_out) or windows(train))
    say(
        f"{_BITS_HELD_OUT}: marginal {bars['marginal']:.3f}, linear prediction "
        f"{bars['linear_prediction']:.3f}"
    )
    out = Path(out)
    books = {
        style: make_book(
            [
                (song.source, features_of(song, model_config), song.heard())
                for song in corpus.songs
            ],
            seconds=recipe.book.seconds,
            peaks=model_config.peaks,
        )
        for style, corpus in opened.items()
    }

    def on_checkpoint(step: int, learnt: WaveNet) -> None:
        if preview is not None:
            _preview(step, GrainModel(learnt, books), show, preview)

    result = fit_grains(
        model,
        train,
        held_out,
        out / "training",
        lessons=lessons,
        fitting=recipe.fit,
        resume=resume,
        settings={"songs": sorted(one.name for one in (*train, *held_out))},
        on_progress=progress,
        on_checkpoint=on_checkpoint,
    )
    if jax.process_index() == 0:
        about = {
            "bits_per_sample": {**bars, **result.best_metrics},
            "bins": BINS,
            "steps": result.steps,
            "seconds": round(result.seconds),
            "started_from": None if start_from is None else Path(start_from).name,
            "songs": {name: len(corpus.songs) for name, corpus in opened.items()},
        }
        moments = moments_of(
            (f"{style}/{song.source}", song.audio(), corpus.sample_rate)
            for style, corpus in opened.items()
            for song in corpus.songs
        )
        learnt = GrainModel(model, books, moments)
        if show:
            say("listening for how warm it may be sampled")
        warmth = _temperatures(learnt, show)
        dataclasses.replace(learnt, temperatures=warmth).write(out, about=about)
    if result.best_metrics:
        found = {k.removeprefix("bits_"): v for k, v in result.best_metrics.items()}
        say(
            f"{_BITS_HELD_OUT}: "
            + ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        )
    return result


def _recipe(config, start_from, *, minutes, steps, seed) -> GrainRecipe:
    recipe = config if isinstance(config, GrainRecipe) else GrainRecipe()
    if isinstance(config, str | Path):
        recipe = GrainRecipe.read(config)
    fitting = recipe.fit.limited(steps=steps, minutes=minutes)
    recipe = dataclasses.replace(recipe, fit=dataclasses.replace(fitting, seed=seed))
    if start_from is not None:
        given = read_model_config(start_from, WaveNetConfig)
        if not given.adaptive:
            # New taps are not trusted at first: it is the same model until it learns.
            taps = recipe.model
            given = dataclasses.replace(
                given, adaptive=taps.adaptive, memory=taps.memory
            )
        recipe = dataclasses.replace(recipe, model=given)
    if recipe.book.peaks:
        told = dataclasses.replace(recipe.model, peaks=recipe.book.peaks)
        recipe = dataclasses.replace(recipe, model=told)
    return recipe


def _with_styles(
    config: WaveNetConfig, styles: tuple[str, ...], *, keep: bool
) -> WaveNetConfig:
    old = config.styles if keep else ()
    new = tuple(style for style in styles if style not in old)
    return dataclasses.replace(config, styles=old + new)


def take_over(model: WaveNet, folder: str | Path) -> None:
    """Start from another model's weights; new styles begin at the mean of its own.

    What it does not have, such as adaptive taps, stays as it was made.
    """
    config = read_model_config(folder, WaveNetConfig)
    given = load_weights(WaveNet(config, rngs=nnx.Rngs(0)), folder)
    styles = given.style[...]
    lacking = len(model.config.styles) - len(styles)
    mean = jnp.broadcast_to(
        styles.mean(axis=0, keepdims=True), (lacking, styles.shape[1])
    )
    state = nnx.state(given, nnx.Param)
    state["style"] = nnx.Param(jnp.concatenate([styles, mean]))
    nnx.update(model, state)


def lessons_of(
    opened: Mapping[str, Corpus],
    config: WaveNetConfig,
    lessons: LessonConfig,
    loading: Callable[[int, int], None] | None = None,
) -> tuple[list[Lesson], list[Lesson], list[tuple]]:
    """Lessons to learn from, lessons held out, and moments to preview.

    `opened` are corpora by their names; `loading` is called with (songs made ready,
    songs in all).
    """
    train, held_out, show = [], [], []
    songs = [(name, c, song) for name, c in opened.items() for song in c.songs]
    for number, (name, corpus, song) in enumerate(songs):
        style = config.styles.index(name)
        whole = _one_lesson(song, config, style)
        share = corpus.training_seconds(song) / song.seconds
        border = round(whole.units * share)
        taught, asked = whole.between(0, border), whole.between(border, whole.units)
        if _long_enough(taught, lessons):
            train.append(taught)
        # A song that ends in silence leaves nothing to ask.
        if _long_enough(asked, lessons) and asked.audible:
            held_out.append(asked)
        if share < 1:
            show.append((f"{name}-{Path(song.source).stem}", song, style, share))
        if loading:
            loading(number + 1, len(songs))
    if not train:
        raise RequestError(
            f"no song is as long as a window of {lessons.frames} frames; "
            "add longer recordings"
        )
    return train, held_out, show


def features_of(song: CorpusSong, config: WaveNetConfig) -> Features:
    """A song's features, of as many bands and sinusoids as the model has."""
    features = song.features()
    sketch = features.sketch.strongest(config.peaks)
    features = dataclasses.replace(features, sketch=sketch)
    if features.levels.shape[-1] == config.bands:
        return features  # without reading the sound
    return with_bands(features, song.audio(), config.bands)


def _one_lesson(song: CorpusSong, config: WaveNetConfig, style: int) -> Lesson:
    return lesson(song.id, song.audio(), features_of(song, config), config, style=style)


def _preview(step, model, show, preview, *, seconds=4.0, most=3) -> None:
    """Ask the model for moments of held-out songs, or of what is held out of them."""
    chosen = show[:: max(1, len(show) // most)][:most]
    asked = [_moments(place, model.config, seconds, [0.4])[0] for place in chosen]
    grains = make_grains(model, [request for request, _ in asked])
    for (name, *_), (_, sound), grain in zip(chosen, asked, grains, strict=True):
        rate = model.config.sample_rate
        preview(f"step-{step:06d}-{name}", sound, grain.waveform, rate)


def _temperatures(model, show, *, seconds=3.0, moments=24) -> dict[str, float]:
    """Of each style that holds something out, see `warmth`."""
    found, spread = {}, (np.arange(moments) + 0.5) / moments
    for number, style in enumerate(model.config.styles):
        mine = [place for place in show if place[2] == number]
        if mine:
            asked = [
                moment
                for first, place in enumerate(mine[:moments])
                for moment in _moments(
                    place, model.config, seconds, spread[first :: len(mine)]
                )
            ]
            found[style] = warmest(fullness_off(model, *zip(*asked, strict=True)))
    return found


def _moments(place, config, seconds, ats) -> list[tuple[GrainRequest, np.ndarray]]:
    """Ask for what is heard in what is held out, each 0 to 1 of the way; the sounds."""
    _, song, style, share = place
    features, sound = features_of(song, config), song.audio()
    left = (1 - share) * song.seconds
    long = min(seconds, left)
    asked = []
    for at in ats:
        start = share * song.seconds + at * (left - long)
        first = int(np.ceil(start * config.sample_rate / (2 * FRAME))) * 2
        frames = int(long * config.sample_rate / (2 * FRAME)) * 2
        request = request_like(features, first, frames, style=style, seed=0)
        asked.append((request, sound[:, first * FRAME : (first + frames) * FRAME]))
    return asked
