"""What JAX compiles here can be compiled for GPUs and TPUs, and shared among devices."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hierarchy.micro import fused, grains
from hierarchy.micro.conditions import width
from hierarchy.micro.lessons import Window
from hierarchy.micro.objective import training_loss, validation_loss
from hierarchy.micro.sampling import sample
from hierarchy.training.stepping import Devices, Stepper
from tests.small_worlds import random_request, tiny_net

ELSEWHERE = ("cuda", "tpu")


def test_sketches_and_sound_can_be_compiled_for_gpu_and_tpu():
    frames, peaks, bands = grains.PIECE, 8, 8
    partials = jnp.zeros([2, frames // 2 + 3, peaks])
    levels = jnp.ones([2, frames + 2 * grains.CONTEXT, bands])
    shape = jnp.zeros([2, levels.shape[1] * grains.FRAME // bands, bands])
    for program, arguments in (
        (grains._draw_pieces, (16_000, partials, partials, partials, levels)),
        (grains._sound_pieces, (shape, levels)),
    ):
        exported = jax.export.export(program, platforms=ELSEWHERE)(*arguments)
        assert exported.platforms == ELSEWHERE


@pytest.mark.parametrize("changes", [{}, {"classes": 21}])
def test_training_and_judging_can_be_compiled_for_gpu_and_tpu(changes):
    net = tiny_net(**changes)
    config, batch, frames = net.config, 2, 8
    window = Window(
        shape=jnp.zeros([batch, frames * config.steps_per_frame, config.bands]),
        frames=jnp.zeros([batch, frames, width(config.bands)]),
        levels=jnp.ones([batch, frames + 4, config.bands]),
        frequency=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        amplitude=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        phase=jnp.zeros([batch, frames // 2 + 3, config.peaks]),
        style=jnp.zeros([batch], jnp.int32),
        coarse=jnp.ones([batch]),
        share=jnp.ones([batch]),
    )
    stepper = Stepper(
        net,
        training_loss,
        validation_loss=validation_loss,
        optimizer=optax.adam(1e-3),
        schedule=optax.constant_schedule(1e-3),
        ema_decay=0.99,
        seed=0,
        trainable=nnx.Param,
        devices=Devices.all(),
    )
    state = stepper.start()
    for program, arguments in (
        (stepper.program(1), (state, window, jnp.zeros([1], jnp.int32))),
        (
            stepper._evaluate,
            (state["weights"], state["rest"], window, np.uint32(0)),
        ),
    ):
        exported = jax.export.export(program, platforms=ELSEWHERE)(*arguments)
        assert exported.platforms == ELSEWHERE


def draw() -> np.ndarray:
    """What both processes of the next test sample: 19 streams, 2 frames, twice."""
    keys = jax.vmap(jax.random.key)(np.arange(19, dtype=np.uint32))
    net = tiny_net()
    request = random_request(net, batch=19, frames=2)
    return np.stack(
        [
            sample(net, *request, keys, engine="jax"),
            fused.sample(net, *request, keys, interpret=True),
        ]
    )


def test_grains_are_the_same_to_the_bit_on_one_device_and_on_eight(tmp_path):
    code = (
        "import sys, jax, numpy; jax.config.update('jax_num_cpu_devices', 8); "
        "jax.config.update('jax_default_matmul_precision', 'float32'); "
        "from tests.test_lowering import draw; "
        "assert jax.local_device_count() == 8; numpy.save(sys.argv[1], draw())"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "eight.npy")],
        cwd=Path(__file__).parent.parent,
        check=True,
    )
    assert np.load(tmp_path / "eight.npy").tobytes() == draw().tobytes()
