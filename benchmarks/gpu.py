"""All that is worth measuring on one GPU, in one go of ten minutes.

    python benchmarks/gpu.py [--json OUT.json] [--part PART ...] [--small]

    device    what there is
    sampling  the reference WaveNet of `sampling.py`: 1 to 16,384 streams in one program
    fused     the same by one kernel for all layers and steps, which is first compared
              with plain JAX, in float32, TensorFloat-32 and bfloat16
    torch     PyTorch's cached sampler of the same network as CUDA graphs, the same streams
    training  training steps of it, in float32, TensorFloat-32 and bfloat16
    peers     PyTorch's training steps, in the same three
    song      a song of three minutes: cold, with what was compiled before, stage by stage

Each part is a process of its own, with a limit, so that none takes another's memory or
time; what has been found is written after each, to --json, or to results.json in the
folder that OUT names in the environment. `--small` takes little enough for a CPU, to see
that all works. What is not installed, or needs CUDA and has none, says so and is skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
LIMITS = {  # seconds
    "device": 20,
    "sampling": 120,
    "fused": 145,
    "torch": 75,
    "training": 100,
    "peers": 45,
    "song": 90,
}
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


def device(small: bool) -> dict:
    """What runs all the rest."""
    import jax

    return {
        "machine": platform.platform(),
        "devices": [one.device_kind for one in jax.devices()],
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "cores": os.cpu_count(),
    }


def sampling(small: bool):
    """Ours: one program of as many streams as there are, without set-up and transfers."""
    import jax
    import numpy as np
    from flax import nnx
    from sampling import reference

    from hierarchy.micro import conditions
    from hierarchy.micro.sampling import SamplerState, step

    net = reference()
    graph, weights = nnx.split(net)
    wide, per_frame = conditions.width(1), net.config.steps_per_frame
    frames = 1 if small else 4
    tried = [(1, 4), (16, 4)]
    if not small:
        tried = [(n, 4) for n in (1, 64, 256, 1024, 4096, 16_384)]
        # Few streams wait for each operation to start, and many for pasts that are
        # copied once a block: longer blocks may help both.
        tried += [(1, 16), (1024, 16), (16_384, 16), (1, 64)]
    rows = []
    for streams, block in tried:
        steps = frames * per_frame
        asked = (
            np.zeros([streams, steps + 2, 1], np.float32),
            np.zeros([streams, frames + 2, wide], np.float32),
            np.zeros(streams, np.int32),
        )
        keys = jax.vmap(jax.random.key)(np.arange(streams, dtype=np.uint32))
        given = jax.device_put((*asked, keys))
        state = SamplerState.silence(net, streams)
        began = time.perf_counter()
        program = step.lower(graph, block, weights, state, *given, 1.0).compile()
        compiled = time.perf_counter() - began

        def once(program=program, state=state, given=given):
            jax.block_until_ready(program(weights, state, *given, 1.0))

        rate = steps / _median_seconds(once, small)
        held = jax.local_devices()[0].memory_stats() or {}
        row = {
            "streams": streams,
            "block": block,
            "steps_per_second": rate,
            "samples_per_second": rate * streams,
            "seconds_to_compile": compiled,
            "peak_megabytes": held.get("peak_bytes_in_use", 0) / 1e6,
        }
        rows.append(row)
        yield rows
        print(
            f"  {streams:6d} streams, blocks of {block:2d}: {rate:10,.0f} steps a second,"
            f" {rate * streams:13,.0f} samples; compiled in {compiled:.1f} s",
            flush=True,
        )


def fused(small: bool):
    """Ours as one kernel, see `gpu_fused.py`."""
    import gpu_fused

    yield from gpu_fused.measure(small)


def torch(small: bool):
    """PyTorch: 128 steps, after which every ring is where it was, as one CUDA graph."""
    import torch
    from sampling_peers import CLASSES, DILATIONS, GATE, RESIDUAL, SKIP, weights

    cuda = torch.cuda.is_available()
    if not (cuda or small):
        yield "no CUDA for PyTorch"
        return
    kind = "cuda" if cuda else "cpu"
    w = {name: torch.from_numpy(x).to(kind) for name, x in weights().items()}
    torch.backends.cuda.matmul.allow_tf32 = True
    rows, turn = [], 8 if small else max(DILATIONS)
    for streams in (1, 16) if small else (1, 64, 256, 1024, 4096, 16_384):
        pasts = [torch.zeros(d, streams, RESIDUAL, device=kind) for d in DILATIONS]
        classes = torch.full([streams], CLASSES // 2, device=kind)

        def steps(classes=classes, pasts=pasts, streams=streams):
            h_classes = classes
            for now in range(turn):
                h, skip = w["enter"][h_classes], 0
                for layer, past in enumerate(pasts):
                    slot = past[now % len(past)]
                    joined = torch.cat([slot, h], dim=1)
                    z = torch.addmm(w["gate_bias"][layer], joined, w["gate"][layer])
                    slot.copy_(h)
                    given = (z[:, :GATE].tanh() * z[:, GATE:].sigmoid()) @ w["out"][
                        layer
                    ]
                    h, skip = h + given[:, :RESIDUAL], skip + given[:, RESIDUAL:]
                skip = skip.view(streams, SKIP).relu()
                hidden = torch.addmm(w["head_bias"], skip, w["head"]).relu()
                logits = torch.addmm(w["last_bias"], hidden, w["last"])
                # A draw that no graph has to wait for: exponential clocks.
                chances = torch.softmax(logits, dim=1)
                h_classes = (chances / torch.empty_like(chances).exponential_()).argmax(
                    1
                )
            classes.copy_(h_classes)

        with torch.inference_mode():
            run = _as_graph(torch, steps) if cuda else steps

            def once(run=run):
                run()
                if cuda:
                    torch.cuda.synchronize()

            rate = turn / _median_seconds(once, small)
        row = {"streams": streams, "steps_per_second": rate}
        rows.append(row | {"samples_per_second": rate * streams})
        yield rows
        print(
            f"  {streams:6d} streams: {rate:10,.0f} steps a second,"
            f" {rate * streams:13,.0f} samples",
            flush=True,
        )


def _as_graph(torch, steps):
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        steps()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        steps()
    return graph.replay


def training(small: bool):
    """Ours, at several sizes of batch and precisions of products."""
    import jax
    import training_peers

    rows = []
    for precision in PRECISIONS[:1] if small else PRECISIONS:
        jax.config.update("jax_default_matmul_precision", precision)
        for windows in (1,) if small else (8, 64):
            training_peers.WINDOWS = windows
            training_peers.LONG = 1024 if small else 8192
            began = time.perf_counter()
            ours = training_peers.Ours(1)
            ours.run(1)
            compiled = time.perf_counter() - began
            rows.append(_trained(training_peers, ours, precision, small))
            rows[-1]["seconds_to_compile"] = compiled
            yield rows


def peers(small: bool):
    """PyTorch's, on the GPU: bfloat16 by autocast."""
    import torch
    import training_peers

    cuda = torch.cuda.is_available()
    if not (cuda or small):
        yield "no CUDA for PyTorch"
        return
    kind, rows = "cuda" if cuda else "cpu", []
    torch.set_default_device(kind)
    for precision in PRECISIONS[:1] if small else PRECISIONS:
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        half = torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
        for windows in (1,) if small else (8, 64):
            training_peers.WINDOWS = windows
            training_peers.LONG = 1024 if small else 8192
            theirs = training_peers.Torch(1)
            wait = torch.cuda.synchronize if cuda else (lambda: None)
            with half:
                theirs.run(1)
                rows.append(_trained(training_peers, theirs, precision, small, wait))
            yield rows


def _trained(peers, one, precision: str, small: bool, wait=lambda: None) -> dict:
    def once():
        one.run(1 if small else 4)
        wait()

    taken = _median_seconds(once, small) / (1 if small else 4)
    rate = peers.WINDOWS * peers.LONG / taken
    print(
        f"  {precision:13s} {peers.WINDOWS:3d} windows: {rate:13,.0f} samples a second,"
        f" {rate * peers.FLOPS / 1e12:7.2f} TFLOP/s",
        flush=True,
    )
    return {
        "precision": precision,
        "windows": peers.WINDOWS,
        "samples_per_second": rate,
        "teraflops": rate * peers.FLOPS / 1e12,
    }


def song(small: bool):
    """Three minutes of music, see `rendering.py`."""
    import rendering

    minutes = 0.2 if small else 3.0
    asked = argparse.Namespace(model=None, minutes=minutes, style=None, rounds=1)
    found = {"minutes": minutes, "command": rendering.command_seconds(asked)}
    print("  " + json.dumps(found), flush=True)
    yield found
    yield found | {"stages": rendering.stages(asked)}


def _median_seconds(once, small: bool) -> float:
    once()
    times = []
    for _ in range(1 if small else 5):
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


PARTS = {
    "device": device,
    "sampling": sampling,
    "fused": fused,
    "torch": torch,
    "training": training,
    "peers": peers,
    "song": song,
}


def run_part(name: str, *, small: bool, found: Path) -> None:
    """In this process: measure, and write what there is after each figure."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    told = PARTS[name](small)
    for value in [told] if isinstance(told, dict) else told:
        found.write_text(json.dumps(value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.found:
        run_part(asked.part[0], small=asked.small, found=asked.found)
        return
    out = asked.json
    if out is None and os.environ.get("OUT"):
        out = Path(os.environ["OUT"]) / "results.json"
    # JAX takes most of a GPU's memory when it starts unless it is told not to.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    results = {"date": time.strftime("%Y-%m-%d"), "small": asked.small}
    for name in asked.part:
        print(name, flush=True)
        results[name] = _apart(name, asked.small, environment)
        print(f"  {results[name]['seconds']:.0f} s, {results[name]['end']}", flush=True)
        if out:
            out.write_text(json.dumps(results, indent=2) + "\n")


def _apart(name: str, small: bool, environment: dict) -> dict:
    """A part in a process of its own: what it found, how it ended, how long it took."""
    began, end = time.perf_counter(), "done"
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [sys.executable, __file__, "--part", name, "--found", str(found)]
        command += ["--small"] if small else []
        try:
            ran = subprocess.run(
                command,
                check=False,
                env=environment,
                timeout=LIMITS[name],
                stderr=subprocess.PIPE,
                text=True,
            )
            if ran.returncode:
                end = "failed: " + " | ".join(ran.stderr.strip().splitlines()[-3:])
        except subprocess.TimeoutExpired:
            end = f"stopped after {LIMITS[name]} s"
        figures = None
        with contextlib.suppress(OSError, json.JSONDecodeError):
            figures = json.loads(found.read_text())
    return {"figures": figures, "end": end, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    main()
