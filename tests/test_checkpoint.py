"""Weights come back as they were, or say why they cannot."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hierarchy.training.checkpoint import (
    Checkpoints,
    load_weights,
    named_arrays,
    read_config,
    read_extra,
    with_arrays,
    write_model,
)
from structure.errors import RequestError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PadConfig:
    width: int = 4
    dilations: tuple[int, ...] = (1, 2)


class Pad(nnx.Module):
    """Every kind of state that a model may have."""

    def __init__(self, config: PadConfig, *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [nnx.Linear(config.width, config.width, rngs=rngs) for _ in range(12)]
        )
        self.norm = nnx.BatchNorm(config.width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.counts = nnx.Variable(jnp.arange(3))


def arrays(model: nnx.Module) -> dict[str, np.ndarray]:
    return {n: np.asarray(x) for n, x in named_arrays(nnx.state(model)).items()}


def test_a_model_survives_its_folder(tmp_path):
    config = PadConfig(width=3, dilations=(1, 2, 4))
    model = Pad(config, rngs=nnx.Rngs(0))
    write_model(tmp_path / "pad", model, config, extra={"licence": "CC0-1.0"})

    assert read_config(tmp_path / "pad", PadConfig) == config
    assert read_config(tmp_path / "pad") == {"width": 3, "dilations": [1, 2, 4]}
    assert read_extra(tmp_path / "pad") == {"licence": "CC0-1.0"}
    other = Pad(config, rngs=nnx.Rngs(1))
    other.counts[...] = jnp.zeros(3, jnp.int32)
    back = arrays(load_weights(other, tmp_path / "pad"))
    for name, x in arrays(model).items():
        if not name.startswith("dropout"):  # its randomness is nobody's weight
            np.testing.assert_array_equal(back[name], x, err_msg=name)


@pytest.mark.parametrize(
    "dtype, digits", [("float32", 24), ("float16", 11), ("bfloat16", 8)]
)
def test_smaller_numbers_cost_only_their_digits(tmp_path, dtype, digits):
    config = PadConfig(width=32)
    model = Pad(config, rngs=nnx.Rngs(0))
    write_model(tmp_path / "pad", model, config, dtype=dtype)
    back = load_weights(Pad(config, rngs=nnx.Rngs(1)), tmp_path / "pad")

    kernel, there = model.layers[0].kernel[...], back.layers[0].kernel[...]
    assert there.dtype == jnp.float32
    error = jnp.abs(there - kernel) / jnp.abs(kernel)
    assert jnp.max(error) <= 2.0**-digits
    size = (tmp_path / "pad" / "weights.safetensors").stat().st_size
    numbers = sum(x.size for x in arrays(model).values())
    assert size < numbers * (4 if dtype == "float32" else 2) + 4096


def test_random_keys_travel_as_numbers_and_come_back_as_keys():
    model = Pad(PadConfig(), rngs=nnx.Rngs(7))
    state = nnx.state(model)
    flat = named_arrays(state)
    assert all(isinstance(np.asarray(x), np.ndarray) for x in flat.values())
    again = with_arrays(state, flat)
    key = again["dropout"]["rngs"]["key"].get_value()
    assert jax.random.uniform(key) == jax.random.uniform(
        model.dropout.rngs.key.get_value()
    )


def test_weights_of_another_model_are_refused_by_name_and_shape(tmp_path):
    write_model(tmp_path, Pad(PadConfig(), rngs=nnx.Rngs(0)), PadConfig())
    wider = Pad(PadConfig(width=5), rngs=nnx.Rngs(0))
    with pytest.raises(RequestError, match=r"\[4, 4\] where the model has \[5, 5\]"):
        load_weights(wider, tmp_path)

    richer = Pad(PadConfig(), rngs=nnx.Rngs(0))
    richer.head = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(RequestError, match=r"without head\.bias, head\.kernel"):
        load_weights(richer, tmp_path)

    poorer = Pad(PadConfig(), rngs=nnx.Rngs(0))
    del poorer.norm
    with pytest.raises(RequestError, match=r"with norm\.bias, norm\.mean, norm\.scal"):
        load_weights(poorer, tmp_path)


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path):
    write_model(tmp_path, Pad(PadConfig(), rngs=nnx.Rngs(0)), PadConfig())
    model = Pad(PadConfig(width=5), rngs=nnx.Rngs(3))
    before = arrays(model)
    with pytest.raises(RequestError):
        load_weights(model, tmp_path)
    for name, x in arrays(model).items():
        np.testing.assert_array_equal(x, before[name])


def test_what_is_no_model_folder_says_so(tmp_path):
    model = Pad(PadConfig(), rngs=nnx.Rngs(0))
    with pytest.raises(RequestError, match=r"config\.json is missing"):
        read_config(tmp_path)
    with pytest.raises(RequestError, match=r"weights\.safetensors is missing"):
        load_weights(model, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RequestError, match="is not JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(RequestError, match="no 'config' in it"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"config": {"widht": 3}}')
    with pytest.raises(RequestError, match="is 'width' meant"):
        read_config(tmp_path, PadConfig)
    (tmp_path / "weights.safetensors").write_bytes(b"RIFF" * 10)
    with pytest.raises(RequestError, match="is not a safetensors file"):
        load_weights(model, tmp_path)
    with pytest.raises(RequestError, match=r"'int8'; there are float32, float16"):
        write_model(tmp_path, model, PadConfig(), dtype="int8")


# ---- While training ------------------------------------------------------------


def weights(scale: float) -> dict:
    return {"weights": {"a": jnp.full([4, 2], scale), "b.c": jnp.full([3], scale)}}


def test_only_the_newest_and_the_best_checkpoint_stay(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step, best in [(1, 1), (2, 2), (3, 2), (4, 2)]:
            checkpoints.best_step = best
            checkpoints.save(step, weights(step), {"best": best})
        checkpoints.wait()
        assert checkpoints.steps == [2, 4]
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == [2, 4]
        assert checkpoints.record(4) == {"best": 2}
        back = checkpoints.restore(2, weights(0.0))
    np.testing.assert_array_equal(back["weights"]["b.c"], np.full([3], 2.0))


def test_a_checkpoint_holds_what_was_there_when_it_was_asked_for(tmp_path):
    # Training reuses the memory of a state while its checkpoint is being written.
    grow = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    state = {"x": jnp.zeros([1_000_000]), "y": jnp.zeros([7])}
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(12):
            if step == 6:
                checkpoints.save(step, state, {})
            state = grow(state)
        jax.block_until_ready(state)
        checkpoints.wait()
        back = checkpoints.restore(6, state)
    np.testing.assert_array_equal(back["x"], np.full([1_000_000], 6.0))
    np.testing.assert_array_equal(back["y"], np.full([7], 6.0))


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, weights(1.0), {})
        checkpoints.wait()
        other = weights(0.0)
        other["weights"]["a"] = jnp.zeros([4, 3])
        with pytest.raises(RequestError, match=r"weights\.a is \[4, 2\] where the mo"):
            checkpoints.restore(5, other)


SAVE_ON_TWO = """
import sys
import jax, jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from hierarchy.training.checkpoint import Checkpoints

mesh = Mesh(jax.devices(), ("data",), axis_types=(AxisType.Auto,))
assert mesh.size == 2
split = NamedSharding(mesh, PartitionSpec("data"))
state = {"x": jax.device_put(jnp.arange(8.0), split)}
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, state, {"devices": 2})
"""


def test_two_devices_write_what_one_device_reads(tmp_path):
    root = Path(__file__).parents[1]
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-c", SAVE_ON_TWO, str(tmp_path)],
        env={**environment, "PYTHONPATH": str(root)},
        check=True,
    )
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.record(1) == {"devices": 2}
        back = checkpoints.restore(1, {"x": jnp.zeros(8)})
    np.testing.assert_array_equal(back["x"], np.arange(8.0))
    assert len(back["x"].devices()) == 1


def test_a_config_file_is_readable_by_people(tmp_path):
    write_model(tmp_path, Pad(PadConfig(), rngs=nnx.Rngs(0)), PadConfig())
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["kind"] == "PadConfig"
    assert about["dtype"] == "float32"
