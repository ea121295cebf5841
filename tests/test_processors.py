"""The compiled sampler on processors of other makes than the one at hand."""

import os
import platform
import subprocess
import sys

import jax
import numpy as np
import pytest

from hierarchy.micro.registers import LANES
from hierarchy.micro.sampling import sample
from tests.small_worlds import random_request, tiny_net

OLDER = {
    8: ("haswell", "+sse2,+sse4.1,+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt"),
    4: ("x86-64", "+sse2"),
}
"""Floats of a register: a processor that has no more, and what it can do."""

SAMPLE = """
import sys
import numpy as np
from hierarchy.micro.registers import LANES
from tests.test_processors import samples_of
assert LANES == int(sys.argv[1]), LANES
np.save(sys.argv[2], samples_of("compiled"))
"""


def samples_of(engine):
    net = tiny_net(bands=4, dilations=(1, 2, 4))
    request = random_request(net, batch=5, frames=2)
    keys = jax.random.split(jax.random.key(0), 5)
    return sample(net, *request, keys, engine=engine)


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="makes believe to be an older processor of this kind, x86-64",
)
@pytest.mark.parametrize("lanes", [lanes for lanes in OLDER if lanes < LANES])
def test_processors_with_smaller_registers_draw_the_same_samples(lanes, tmp_path):
    name, features = OLDER[lanes]
    where = str(tmp_path / "samples.npy")
    subprocess.run(
        [sys.executable, "-c", SAMPLE, str(lanes), where],
        check=True,
        env=os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features},
    )
    np.testing.assert_allclose(np.load(where), samples_of("jax"), atol=1e-4)
