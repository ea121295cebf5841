"""The kernel for GPUs draws what plain JAX draws, run here by XLA without a GPU."""

import types

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hierarchy.micro import conditions, fused, sampling
from hierarchy.micro.fused_kernel import Program
from hierarchy.micro.fused_packing import Sizes, pack
from hierarchy.micro.wavenet import WaveNet, WaveNetConfig
from tests.small_worlds import random_request, tiny_net

# Widths that are no powers of two, some of two pieces; a dilation longer than a frame
# of 32 steps and shorter ones; bands that are filled up; components in two products.
WIDE = {"residual": 72, "gate": 20, "skip": 80, "head": 10, "bands": 16}
KINDS = [
    WIDE | {"dilations": (40, 1, 2), "linear": 5, "mixtures": 5},
    {"dilations": (1, 3), "linear": 1, "bands": 1, "mixtures": 1},
    {"classes": 70, "bands": 8},
]


def keys(*seeds):
    return jax.vmap(jax.random.key)(jnp.uint32(seeds))


def drawn_by_kernel(net, request, seeds, **options):
    return fused.sample(net, *request, keys(*seeds), interpret=True, **options)


@pytest.mark.parametrize("changes", KINDS)
def test_the_kernel_draws_the_samples_of_plain_jax(changes):
    net = tiny_net(**changes)
    request = random_request(net, batch=2, frames=2)
    drawn = drawn_by_kernel(net, request, (1, 2), temperature=0.9)
    wanted = sampling.sample(net, *request, keys(1, 2), engine="jax", temperature=0.9)
    np.testing.assert_allclose(drawn, wanted, atol=1e-3)
    assert drawn.std() > 0.1


def test_any_tile_and_any_cut_of_time_give_the_same_samples(monkeypatch):
    net = tiny_net(**KINDS[0])
    request = random_request(net, batch=3, frames=3)
    wanted = sampling.sample(net, *request, keys(1, 2, 3), engine="jax")
    whole = drawn_by_kernel(net, request, (1, 2, 3))
    np.testing.assert_allclose(whole, wanted, atol=1e-3)
    told = []
    monkeypatch.setattr(fused, "STEPS", net.config.steps_per_frame)
    parts = drawn_by_kernel(
        net, request, (1, 2, 3), tile=32, progress=lambda *at: told.append(at)
    )
    np.testing.assert_allclose(parts, wanted, atol=1e-3)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_grain_does_not_depend_on_its_company_to_the_bit():
    net = tiny_net(**KINDS[0])
    sketch, frames, style = random_request(net, batch=19, frames=3)
    lengths = [1 + number % 3 for number in range(19)]
    together = drawn_by_kernel(net, (sketch, frames, style), range(19), lengths=lengths)
    for some in ([5], [18, 1, 11]):
        at = jnp.asarray(some)
        few = drawn_by_kernel(net, (sketch[at], frames[at], style[at]), some)
        for row, stream in enumerate(some):
            steps = lengths[stream] * net.config.steps_per_frame
            assert few[row, :steps].tobytes() == together[stream, :steps].tobytes()
            np.testing.assert_array_equal(together[stream, steps:], 0)


def test_products_of_fewer_bits_change_the_samples_little():
    net = tiny_net(**KINDS[0])
    request = random_request(net, batch=2, frames=1)
    exact, coarse = (
        drawn_by_kernel(net, request, (1, 2), precision=precision)
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(exact - coarse).mean() < 0.01


def default_net():
    return WaveNet(WaveNetConfig(), rngs=nnx.Rngs(0))


def reference_net():
    """That of `benchmarks/sampling.py`."""
    config = WaveNetConfig(
        sample_rate=16_000,
        bands=1,
        residual=64,
        gate=64,
        skip=128,
        head=128,
        context=1,
        style=1,
        dilations=(1, 2, 4, 8, 16, 32, 64, 128) * 3,
        linear=1,
        classes=256,
    )
    return WaveNet(config, rngs=nnx.Rngs(0))


def one_gpu() -> jax.sharding.AbstractMesh:
    """An H100, which nobody here has: later JAX asks for which GPU it translates."""
    device = jax.sharding.AbstractDevice(
        device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu"
    )
    return jax.sharding.AbstractMesh(
        (1,), ("grains",), (jax.sharding.AxisType.Auto,), abstract_device=device
    )


# Pallas for Triton goes from some later JAX, and says so from 0.11 on.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend:DeprecationWarning")
@pytest.mark.parametrize("make", [default_net, reference_net])
@pytest.mark.parametrize(
    "tile, precision", [(16, "float32"), (32, "tensorfloat32"), (64, "bfloat16")]
)
def test_networks_of_real_size_can_be_compiled_for_gpus(make, tile, precision):
    net = make()
    program = Program(Sizes.of(net.config), tile, precision, 227, interpret=False)
    graph, weights = nnx.split(net)
    streams, steps, bands = 2 * tile, net.config.steps_per_frame, net.config.bands
    # Triton's code is promised to no later JAX, which is no matter here.
    unpromised = jax.export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")
    export = jax.export.export(
        fused.step, platforms=["cuda"], disabled_checks=[unpromised]
    )
    arguments = (
        graph,
        program,
        one_gpu(),
        weights,
        pack(net, precision),
        fused.FusedState.silence(program, streams),
        jnp.zeros([streams, 1 + steps + 1, bands]),
        jnp.zeros([streams, 1 + 1 + 1, conditions.width(bands)]),
        jnp.zeros([streams], jnp.int32),
        keys(*range(streams)),
        1.0,
        jnp.ones([2], jnp.int32),
    )
    with jax.sharding.use_abstract_mesh(one_gpu()):
        exported = export(*arguments)
    assert exported.mlir_module().count("__gpu$xla.gpu.triton") == 1


def test_where_the_kernel_cannot_run_it_says_so():
    net = tiny_net()
    request = random_request(net, batch=1, frames=1)
    with pytest.raises(ValueError, match="runs on GPUs, and this is a cpu: take 'comp"):
        sampling.sample(net, *request, keys(1), engine="fused")
    old = types.SimpleNamespace(
        platform="gpu", compute_capability="7.5", device_kind="Tesla T4"
    )
    with pytest.raises(
        ValueError, match=r"from compute capability 8\.0 on; Tesla T4 has"
    ):
        fused.shared_kilobytes(old)
    with pytest.raises(ValueError, match="tiles of 16, 32, 64 streams, got 8"):
        drawn_by_kernel(net, request, (1,), tile=8)
    with pytest.raises(ValueError, match="multiplies in float32, tensorfloat32, bfl"):
        drawn_by_kernel(net, request, (1,), precision="int8")
    with pytest.raises(ValueError, match="64 streams have room for bfloat16 alone"):
        drawn_by_kernel(net, request, (1,), tile=64)
