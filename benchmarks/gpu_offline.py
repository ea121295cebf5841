"""What XLA makes of the kernel for an H100, on a machine that has no GPU.

    pip install jax-cuda13-plugin jax-cuda13-pjrt    (of the same version as jax)
    python benchmarks/gpu_offline.py [--network reference|default] [--cuda FOLDER]

Compiles `hierarchy.micro.fused.step` to the end, with XLA's own compiler for CUDA, and
tells how long that took, what memory the program needs, and, where CUDA's ptxas is on
the path, how many registers a thread has and how much of them did not fit. Says nothing
of speed, but what cannot be compiled, or is copied, or spills, is seen before a GPU is.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 } runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
TRIED = [  # precision, tile, tiles
    *((precision, 16, 128) for precision in ("float32", "tensorfloat32", "bfloat16")),
    ("tensorfloat32", 32, 264),
    ("bfloat16", 32, 264),
    ("bfloat16", 64, 132),
]


def compiled(net, precision: str, tile: int, tiles: int):
    """The program for so many streams, from shapes alone."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from hierarchy.micro import conditions, fused
    from hierarchy.micro.fused_kernel import SHARED, Program
    from hierarchy.micro.fused_packing import Sizes, pack

    gpu = topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=H100, topology="1x1x1"
    )
    mesh = Mesh(np.array(gpu.devices[:1]), ("grains",))
    config, streams = net.config, tile * tiles
    program = Program(Sizes.of(config), tile, precision, SHARED[9, 0], False)
    graph, weights = nnx.split(net)
    frames = max(1, fused.STEPS // config.steps_per_frame)

    def asked():
        steps = frames * config.steps_per_frame
        return (
            fused.FusedState.silence(program, streams),
            jnp.zeros([streams, 1 + steps + 1, config.bands]),
            jnp.zeros([streams, 1 + frames + 1, conditions.width(config.bands)]),
            jnp.zeros([streams], jnp.int32),
            jax.vmap(jax.random.key)(jnp.arange(streams, dtype=jnp.uint32)),
            jnp.float32(1),
            jnp.zeros([tiles], jnp.int32),
        )

    placed = NamedSharding(mesh, PartitionSpec())
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed),
        (weights, pack(net, precision), *jax.eval_shape(asked)),
    )
    return fused.step.lower(graph, program, mesh, *shapes).compile()


def registers(dumped: Path) -> str:
    """What ptxas says of the kernel, whose code XLA has written down."""
    code = [x for x in dumped.glob("*.ptx") if "entry wavenet" in x.read_text()]
    if not code or not shutil.which("ptxas"):
        return ""  # later JAX keeps it to itself
    told = subprocess.run(
        ["ptxas", "-arch=sm_90a", "-v", str(code[0]), "-o", str(dumped / "kernel")],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    used = re.search(r"Used (\d+) registers", told)[1]
    spilt = re.search(r"(\d+) bytes spill stores", told)[1]
    return f"; {used} registers a thread, {spilt} bytes did not fit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--network", choices=["reference", "default"])
    parser.add_argument("--cuda", default="/usr/local/cuda", help="CUDA's own folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Read when JAX starts; the cache would leave nothing to compile.
        os.environ["JAX_PLATFORMS"], os.environ["MACROTIME_CACHE"] = "cpu", ""
        os.environ["XLA_FLAGS"] = (
            f"--xla_gpu_cuda_data_dir={asked.cuda} --xla_dump_to={folder}"
        )
        here = Path(__file__).parent
        sys.path[:0] = [str(here), str(here.parent)]
        from sampling import reference, shipped

        nets = {"reference": reference, "default": shipped}
        for name in [asked.network] if asked.network else nets:
            net = nets[name]()
            for precision, tile, tiles in TRIED:
                for old in Path(folder).glob("*.ptx"):
                    old.unlink()
                began = time.perf_counter()
                memory = compiled(net, precision, tile, tiles).memory_analysis()
                print(
                    f"{name}, {precision}, {tiles} tiles of {tile}:"
                    f" {time.perf_counter() - began:.1f} s;"
                    f" {memory.temp_size_in_bytes / 1e6:,.0f} MB to work in,"
                    f" {memory.alias_size_in_bytes / 1e6:,.0f} MB of"
                    f" {memory.output_size_in_bytes / 1e6:,.0f} MB updated in place"
                    + registers(Path(folder)),
                    flush=True,
                )


if __name__ == "__main__":
    main()
