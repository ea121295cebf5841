"""Small models, songs and books that several tests share, each made once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hierarchy.macro.grain_store import GrainStore
from hierarchy.macro.rendering import Song, render_song
from hierarchy.material.features import Features, measure
from hierarchy.material.gestures import Book, make_book
from hierarchy.micro.grains import GrainModel
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from structure.listening import Heard
from structure.plan import Section, SongPlan

RATE = 16_000


def tiny_config(**changes) -> WaveNetConfig:
    """A grain model that takes no time."""
    values = {
        "sample_rate": RATE,
        "residual": 8,
        "gate": 8,
        "skip": 8,
        "head": 8,
        "context": 8,
        "style": 2,
        "dilations": (1, 2, 8),
        "linear": 6,
        "mixtures": 2,
        "peaks": 8,
    }
    return WaveNetConfig(**(values | changes))


@functools.cache
def tiny_net(seed: int = 0, **changes) -> WaveNet:
    """An untrained network whose every path matters, the linear one too."""

    # Compiled as one: one by one the many small weights take longer than a test.
    @nnx.jit
    def make():
        net = WaveNet(tiny_config(**changes), rngs=nnx.Rngs(seed))
        key = jax.random.key(seed)
        net.linear[...] = 0.05 * jax.random.normal(key, net.linear.shape)
        net.last[...] = 3 * net.last[...]
        if net.config.adaptive:
            entering = jax.random.normal(key, net.enter_foreseen.shape)
            net.enter_foreseen[...] = 0.2 * entering
            net.trust[...] = 0.2 * jax.random.normal(key, net.trust.shape)
            net.trust_bias[...] = net.trust_bias[...] + 0.4
        return net

    return make()


@nnx.jit
def forward(net: WaveNet, shape, sketch, frames, style) -> jax.Array:
    """The whole window at once, compiled."""
    return net(shape, sketch, frames, style)


def random_request(net: WaveNet, *, batch: int, frames: int, seed: int = 0):
    """Sketch, frames and styles of about unit size."""
    random, config = np.random.default_rng(seed), net.config
    steps = frames * config.steps_per_frame
    wide = net.look_frames.shape[0] // 3
    return (
        jnp.asarray(random.normal(size=[batch, steps, config.bands]), jnp.float32),
        jnp.asarray(random.normal(size=[batch, frames, wide]), jnp.float32),
        jnp.zeros([batch], jnp.int32),
    )


VERSE = (("A:min",), ("F:maj",), ("C:maj",), ("G:maj",))
CHORUS = (("C:maj",), ("G:maj",), ("A:min", "F:maj"), ("C:maj",))


def small_plan(form: str = "ABAB", **changes) -> SongPlan:
    """Letters to a plan: A a soft verse, B a loud chorus, C a short outro."""
    kinds = {
        "A": Section(label="verse", letter="A", energy=0.3, chords=VERSE),
        "B": Section(label="chorus", letter="B", energy=0.9, chords=CHORUS),
        "C": Section(label="outro", letter="C", energy=0.5, chords=(("A:min",),)),
    }
    values = {"key": "C:maj", "tempo": 120, "seed": 3}
    return SongPlan(sections=[kinds[x] for x in form], **(values | changes))


def heard_in(small_song) -> Heard:
    """What a perfect listener hears in conftest's small song."""
    plan = small_song.plan
    beats = plan.bars * plan.beats_per_bar
    chords = [
        bar[beat * len(bar) // plan.beats_per_bar]
        for section in plan.sections
        for bar in section.chords
        for beat in range(plan.beats_per_bar)
    ]
    return Heard(
        seconds=plan.seconds,
        tempo=plan.tempo,
        steady=True,
        meter=plan.meter,
        key=plan.key,
        beat_times=tuple(plan.beat_seconds * beat for beat in range(beats)),
        downbeats=tuple(range(0, beats, plan.beats_per_bar)),
        chords=tuple(chords),
        boundaries=tuple(plan.starts()),
        labels=tuple(section.label for section in plan.sections),
        label_confidence=(1.0,) * len(plan.sections),
        letters=tuple(section.letter for section in plan.sections),
        energy=tuple(section.energy for section in plan.sections),
        brightness=tuple(section.brightness for section in plan.sections),
    )


_measured: dict[int, tuple[Features, Book]] = {}


def features_and_book(small_song) -> tuple[Features, Book]:
    """The small song measured, and the gestures of all of it."""
    if not _measured:
        heard = heard_in(small_song)
        features = measure(
            small_song.waveform,
            small_song.sample_rate,
            beat_times=np.asarray(heard.beat_times),
        )
        _measured[0] = features, make_book([("small.wav", features, heard)])
    return _measured[0]


def tiny_model(small_song) -> GrainModel:
    """An untrained network with the small song's gestures."""
    return GrainModel(tiny_net(), {"own": features_and_book(small_song)[1]})


_grains: dict[int, GrainStore] = {}
_songs: dict[str, Song] = {}


def rendered(small_song, plan: SongPlan, **dials) -> Song:
    """A song of the tiny model; tests share what was sampled."""
    name = f"{plan.to_json()} {dials}"
    if name not in _songs:
        known = _grains.setdefault(0, GrainStore())
        _songs[name] = render_song(plan, tiny_model(small_song), known=known, **dials)
    return _songs[name]
