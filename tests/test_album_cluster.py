"""An album made by a real Ray cluster of two nodes, one of which dies half-way."""

import importlib.util
import os
import subprocess
import sys

import pytest

from hierarchy.album.cluster import mix_remotely, pack_model
from hierarchy.album.manifest import Manifest
from hierarchy.album.planning import fingerprint
from hierarchy.album.rendering import render_album
from hierarchy.macro.rendering import render_song
from structure.errors import RequestError
from structure.plan import SongPlan
from tests.album_worlds import (
    ROOT,
    hashes,
    small_album_file,
    small_request,
    start,
    write_tiny_model,
)

SONGS = 5

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed; pip install 'macrotime[cluster]'",
)

# Ray lives in processes of its own: what it starts and warns of is no part of pytest.
_CLUSTER = """
import sys
from ray.cluster_utils import Cluster

def start():
    # Ray gives a node 30 seconds to start, which a busy machine may not have.
    size = {"num_cpus": 1, "object_store_memory": 200_000_000}
    for attempt in range(3):
        cluster = Cluster()
        try:
            cluster.add_node(**size, include_dashboard=False)
            second = cluster.add_node(**size)
            cluster.wait_for_nodes()
            return cluster, second
        except Exception as error:
            print("again:", error, flush=True)
            cluster.shutdown()
    raise SystemExit("no cluster could be started")

cluster, second = start()
print("address", cluster.address, flush=True)
for line in sys.stdin:
    if line == "kill\\n":
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    else:
        break
cluster.shutdown()
print("down", flush=True)
"""


@pytest.fixture(scope="module")
def tiny(small_song, tmp_path_factory):
    """A model and its folder."""
    folder = tmp_path_factory.mktemp("model")
    return write_tiny_model(small_song, folder), folder


@pytest.fixture
def cluster(tmp_path):
    """A process that holds a cluster: its address, and pipes to talk to it."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MACROTIME_CACHE": str(tmp_path / "cache"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        process.address = _said(process, "address").split()[1]
        yield process
        process.stdin.write("end\n")
        process.stdin.flush()
        _said(process, "down")


def _said(process, word: str) -> str:
    """The line of a process that begins with a word; Ray may print others."""
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"the cluster ended before it said {word!r}")


@needs_ray
def test_a_cluster_that_loses_a_node_makes_every_song_once(cluster, tiny, tmp_path):
    _, model = tiny
    here = render_album(
        small_request(tmp_path / "asked", SONGS), tmp_path / "here", model=model
    )
    file = small_album_file(tmp_path / "asked", SONGS)
    there = tmp_path / "there"
    run = start(
        *(file, "--model", model, "--out", there, "--cluster", cluster.address),
        cache=tmp_path / "cache",
    )
    mixed, lines = [], []
    with run:
        for line in run.stderr:
            lines.append(line)
            if ": mixed; " in line:
                mixed.append(int(line.split(":")[0].removeprefix("Song ")))
                if len(mixed) == 2:
                    cluster.stdin.write("kill\n")
                    cluster.stdin.flush()
                    _said(cluster, "killed")
        lines.append(run.stdout.read())
    assert run.returncode == 0, "".join(lines)
    assert sorted(mixed) == list(range(1, SONGS + 1)), "each song once"
    manifest = Manifest.read(there / "album.json")
    assert manifest.complete and len(manifest.songs) == SONGS
    assert hashes(there) == hashes(here.folder)


def test_what_a_machine_of_the_cluster_does_is_what_is_done_here(tiny, tmp_path):
    """The task by itself: a plan and the bytes of a model to a mix."""
    net, model = tiny
    small_request(tmp_path, 1)
    plan = SongPlan.read(tmp_path / "0.json")
    text, mix, rate = mix_remotely(
        plan.to_json(), pack_model(model), fingerprint(model), cores=1, graphics=True
    )
    alone = render_song(plan, net)
    assert mix.tobytes() == alone.mix.tobytes() and rate == alone.sample_rate
    assert SongPlan.from_json(text).sections == alone.plan.sections


def test_a_model_that_does_not_arrive_whole_is_not_used(tiny):
    packed = pack_model(tiny[1])
    name = "config.json"
    packed[name] = packed[name].replace(b"own", b"own ")
    with pytest.raises(ValueError, match="did not arrive"):
        mix_remotely("{}", packed, "another fingerprint", cores=1, graphics=True)


def test_without_ray_a_cluster_is_refused_with_the_way_to_get_it(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    request = small_request(tmp_path / "asked", 1)
    with pytest.raises(RequestError, match=r"pip install 'macrotime\[cluster\]'"):
        render_album(request, tmp_path / "a", model=tiny[1], cluster="auto")
