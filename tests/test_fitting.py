"""Training learns, stops where it should, and goes on as if it had not stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental.compilation_cache import compilation_cache

from hierarchy.training.fitting import Diverged, FitConfig, fit
from hierarchy.training.watching import read_log
from structure.errors import RequestError

ROOT = Path(__file__).parents[1]

QUICK = dict(
    steps=40,
    warmup_steps=4,
    learning_rate=1e-2,
    ema_decay=0.8,
    log_every=1,
    validate_every=10,
    checkpoint_every=10,
)


class Curve(nnx.Module):
    """A small network with everything that has a state: noise and statistics."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.inner = nnx.Linear(3, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.outer = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.outer(self.dropout(nnx.tanh(self.norm(self.inner(x)))))


def loss_of(model, batch, key):
    noise = 0.01 * jax.random.normal(key, batch["x"].shape)
    error = model(batch["x"] + noise) - batch["y"]
    return jnp.mean(error**2), {"mean_error": jnp.mean(jnp.abs(error))}


def batch_at(step: int, size: int = 8) -> dict[str, np.ndarray]:
    x = np.random.default_rng(step).normal(size=(size, 3)).astype(np.float32)
    return {"x": x, "y": np.sin(x.sum(1, keepdims=True))}


HELD_OUT = [batch_at(10_000, 64), batch_at(10_001, 32)]


def curve(seed: int = 0) -> Curve:
    return Curve(rngs=nnx.Rngs(seed))


def losses(out: Path) -> list[float]:
    return [
        line["train"]["loss"] for line in read_log(out / "log.jsonl") if "train" in line
    ]


def validations(out: Path) -> dict[int, float]:
    return {
        line["step"]: line["validation"]["loss"]
        for line in read_log(out / "log.jsonl")
        if "validation" in line
    }


def held_out_loss(model) -> float:
    model = nnx.view(model, deterministic=True, use_running_average=True)
    errors = [np.square(model(b["x"]) - b["y"]) for b in HELD_OUT]
    return float(np.concatenate(errors).mean())


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """The same few steps are trained over and over; most of it is compiling."""
    folder = tmp_path_factory.mktemp("compiled")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A training that nothing interrupted, its model and its folder."""
    out = tmp_path_factory.mktemp("unbroken")
    model = curve()
    result = fit(
        model,
        loss_of,
        batch_at,
        validation=HELD_OUT,
        config=FitConfig(**QUICK),
        out=out,
    )
    return result, model, out


def test_training_learns_and_hands_over_the_best_weights(unbroken):
    result, model, out = unbroken
    assert result.stopped == "steps"
    assert result.finished
    assert result.steps == 40
    assert len(losses(out)) == 40
    scores = validations(out)
    assert list(scores) == [10, 20, 30, 40]
    assert result.best_loss == min(scores.values()) == scores[result.best_step]
    assert set(result.best_metrics) == {"mean_error"}
    assert result.best_loss < 0.5 * held_out_loss(curve())
    # Validation adds its noise to the input, so the two are close, not equal.
    assert held_out_loss(model) == pytest.approx(result.best_loss, rel=0.1)


def test_a_share_of_the_start_stays_in_what_is_judged_and_shipped(unbroken, tmp_path):
    plain, learnt, _ = unbroken
    config = FitConfig(**QUICK | {"start_share": 0.25})
    told = dict(validation=HELD_OUT, config=config, out=tmp_path, resume=True)
    with pytest.raises(Enough):
        fit(curve(), loss_of, stop_at(27), **told)
    model = curve()
    result = fit(model, loss_of, batch_at, **told)
    assert plain.best_step == result.best_step == 40
    weights = [nnx.to_pure_dict(nnx.state(m, nnx.Param)) for m in (curve(), learnt)]
    jax.tree.map(
        lambda start, end, got: np.testing.assert_allclose(
            got, 0.25 * start + 0.75 * end, rtol=1e-5, atol=1e-7
        ),
        *weights,
        nnx.to_pure_dict(nnx.state(model, nnx.Param)),
    )
    assert result.best_loss != plain.best_loss
    assert held_out_loss(model) == pytest.approx(result.best_loss, rel=0.1)


class Enough(Exception):
    """Somebody pulled the plug."""


def stop_at(step: int):
    def batches(at: int):
        if at == step:
            raise Enough
        return batch_at(at)

    return batches


def test_a_broken_training_goes_on_to_the_last_bit(unbroken, tmp_path):
    result, model, out = unbroken
    config = FitConfig(**QUICK)
    again = curve()
    with pytest.raises(Enough):
        fit(
            again,
            loss_of,
            stop_at(27),
            validation=HELD_OUT,
            config=config,
            out=tmp_path,
        )
    assert json.loads((tmp_path / "fit.json").read_text())["status"] == "broken off"

    # Another start must not matter: everything comes from the checkpoint.
    again = curve(seed=5)
    resumed = fit(
        again,
        loss_of,
        batch_at,
        validation=HELD_OUT,
        config=config,
        out=tmp_path,
        resume=True,
    )
    assert losses(tmp_path) == losses(out)
    assert validations(tmp_path) == validations(out)
    assert resumed.best_step == result.best_step
    assert resumed.best_metrics == result.best_metrics
    for mine, theirs in zip(
        jax.tree.leaves(nnx.state(again, nnx.Param)),
        jax.tree.leaves(nnx.state(model, nnx.Param)),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_resuming_what_is_finished_changes_nothing(unbroken):
    result, model, out = unbroken
    before = (out / "log.jsonl").read_text()
    again = curve(seed=3)
    resumed = fit(
        again,
        loss_of,
        stop_at(40),
        validation=HELD_OUT,
        config=FitConfig(**QUICK),
        out=out,
        resume=True,
    )
    assert (resumed.best_step, resumed.steps) == (result.best_step, 40)
    assert resumed.stopped == "steps"
    np.testing.assert_array_equal(again.inner.kernel[...], model.inner.kernel[...])
    assert (out / "log.jsonl").read_text() == before


def test_a_training_is_not_overwritten_nor_continued_as_another(unbroken):
    _, _, out = unbroken
    with pytest.raises(RequestError, match=r"holds a training \(finished, step 40\)"):
        fit(curve(), loss_of, batch_at, config=FitConfig(**QUICK), out=out)
    other = FitConfig(**QUICK | dict(learning_rate=3e-3, minutes=1.0))
    with pytest.raises(RequestError) as error:
        fit(
            curve(),
            loss_of,
            batch_at,
            config=other,
            out=out,
            settings={"corpus": "b1946ac9"},
            resume=True,
        )
    assert "learning_rate was 0.01 and is 0.003" in str(error.value)
    assert "corpus was None and is 'b1946ac9'" in str(error.value)
    assert "minutes" not in str(error.value)


def test_training_stops_when_validation_no_longer_improves(tmp_path):
    # The held-out truth is the opposite of what training shows: it only gets worse.
    held_out = [{"x": b["x"], "y": -3 * b["y"]} for b in HELD_OUT]
    config = FitConfig(**QUICK | dict(steps=400, validate_every=5, patience=3))
    result = fit(
        model := curve(),
        loss_of,
        batch_at,
        validation=held_out,
        config=config,
        out=tmp_path,
    )
    scores = validations(tmp_path)
    assert result.stopped == "patience"
    assert result.finished
    assert result.steps == result.best_step + 15 < 400
    assert scores[result.best_step] == result.best_loss == min(scores.values())
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert kept == sorted({result.best_step, result.steps})

    again = curve(seed=1)
    resumed = fit(
        again,
        loss_of,
        stop_at(result.steps),
        validation=held_out,
        config=config,
        out=tmp_path,
        resume=True,
    )
    assert resumed.stopped == "patience"
    np.testing.assert_array_equal(again.outer.kernel[...], model.outer.kernel[...])


def test_a_loss_that_is_no_number_names_its_step_and_keeps_the_checkpoint(tmp_path):
    def batches(step):
        batch = batch_at(step)
        return {**batch, "y": batch["y"] * (np.nan if step == 25 else 1)}

    with pytest.raises(
        Diverged, match=r"at step 26 the loss became nan.* step 20 stays in .*checkpoin"
    ):
        fit(curve(), loss_of, batches, config=FitConfig(**QUICK), out=tmp_path)
    assert (tmp_path / "checkpoints" / "20").is_dir()
    model = curve()
    fit(model, loss_of, batch_at, config=FitConfig(**QUICK), out=tmp_path, resume=True)
    assert all(
        np.isfinite(x).all() for x in jax.tree.leaves(nnx.state(model, nnx.Param))
    )


def test_an_infinite_gradient_counts_as_no_number(tmp_path):
    def loss(model, batch, key):
        value, scalars = loss_of(model, batch, key)
        # The root of nothing has a value and no slope.
        return value + jnp.sqrt(value - jax.lax.stop_gradient(value)), scalars

    with pytest.raises(
        Diverged, match=r"at step 1 the gradient became.* no checkpoint"
    ):
        fit(curve(), loss, batch_at, config=FitConfig(**QUICK), out=tmp_path)


def test_when_time_is_up_training_is_saved_and_can_go_on(unbroken, tmp_path):
    _, _, whole = unbroken
    hurry = FitConfig(**QUICK | dict(minutes=1e-5))
    result = fit(
        curve(), loss_of, batch_at, validation=HELD_OUT, config=hurry, out=tmp_path
    )
    assert result.stopped == "time"
    assert not result.finished
    assert result.steps < 40
    assert (
        json.loads((tmp_path / "fit.json").read_text())["status"] == "unfinished (time)"
    )
    result = fit(
        curve(),
        loss_of,
        batch_at,
        validation=HELD_OUT,
        config=FitConfig(**QUICK),
        out=tmp_path,
        resume=True,
    )
    assert result.finished
    assert losses(tmp_path) == losses(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(unbroken, tmp_path, number):
    _, _, whole = unbroken
    before = signal.getsignal(number)

    def interrupt(progress):
        if progress.step >= 15 and not sent:
            sent.append(progress.step)
            os.kill(os.getpid(), number)

    sent = []
    config = FitConfig(**QUICK | dict(steps=40))
    everyone = pytest.MonkeyPatch()
    everyone.setattr("hierarchy.training.watching._SECONDS_BETWEEN", 0.0)
    with everyone.context():
        result = fit(
            curve(),
            loss_of,
            batch_at,
            config=config,
            out=tmp_path,
            on_progress=interrupt,
        )
    everyone.undo()
    assert result.stopped == "signal"
    assert 15 <= result.steps < 40
    assert (tmp_path / "checkpoints" / str(result.steps)).is_dir()
    assert signal.getsignal(number) is before
    fit(curve(), loss_of, batch_at, config=config, out=tmp_path, resume=True)
    assert losses(tmp_path) == losses(whole)


def test_progress_and_previews_say_where_training_is(tmp_path):
    seen, shown = [], {}
    fit(
        curve(),
        loss_of,
        batch_at,
        validation=HELD_OUT,
        config=FitConfig(**QUICK | dict(checkpoint_every=16)),
        out=tmp_path,
        on_progress=seen.append,
        on_checkpoint=lambda step, model: shown.update({step: held_out_loss(model)}),
    )
    assert seen[0].step == 0
    assert seen[0].loss is None
    assert seen[-1].step == seen[-1].steps == 40
    assert seen[-1].validation == validations(tmp_path)[40]
    assert {"grad_norm", "learning_rate", "mean_error"} <= set(seen[-1].metrics)
    steps = [progress.step for progress in seen]
    assert steps == sorted(steps)
    assert list(shown) == [16, 32, 40]
    assert shown[40] == pytest.approx(validations(tmp_path)[40], rel=0.1)


def test_the_learning_rate_rises_and_falls_as_asked(tmp_path):
    config = FitConfig(**QUICK | dict(final_fraction=0.1))
    fit(curve(), loss_of, batch_at, config=config, out=tmp_path)
    rates = [
        line["train"]["learning_rate"]
        for line in read_log(tmp_path / "log.jsonl")
        if "train" in line
    ]
    assert rates[0] == pytest.approx(config.learning_rate / 4)
    assert rates[4] == max(rates) == pytest.approx(config.learning_rate)
    halfway = config.learning_rate * (0.1 + 1) / 2
    assert rates[22] == pytest.approx(halfway)
    assert rates[-1] == pytest.approx(config.learning_rate * 0.1, rel=0.05)


def test_what_is_not_trained_stays_as_it_was(tmp_path):
    model, fresh = curve(), curve()
    outer = nnx.All(nnx.Param, nnx.PathContains("outer"))
    fit(
        model,
        loss_of,
        batch_at,
        config=FitConfig(**QUICK),
        out=tmp_path,
        trainable=outer,
    )
    np.testing.assert_array_equal(model.inner.kernel[...], fresh.inner.kernel[...])
    assert not np.array_equal(model.outer.kernel[...], fresh.outer.kernel[...])


# ---- More devices, more processes ----------------------------------------------

ELSEWHERE = """
import importlib.util, json, sys
import jax

out, process, port = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if port != "none":
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
assert jax.device_count() == 2, jax.devices()

spec = importlib.util.spec_from_file_location("here", sys.argv[4])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
model = here.curve()
config = here.FitConfig(**here.QUICK)
# Only one process knows of a time limit; both must stop at the same step.
hurried = here.FitConfig(**here.QUICK | {"minutes": 1e-5 if process == 1 else None})
first = here.fit(
    model, here.loss_of, here.batch_at, validation=here.HELD_OUT, config=hurried,
    out=out,
) if port != "none" else None
result = here.fit(
    model, here.loss_of, here.batch_at, validation=here.HELD_OUT, config=config,
    out=out, resume=True,
)
if process == 0:
    stopped = first and [first.stopped, first.steps]
    kernel = here.np.asarray(model.outer.kernel[...]).ravel().tolist()
    print(json.dumps({"stopped": stopped, "best": result.best_step, "kernel": kernel}))
"""


def environment(devices: int) -> dict[str, str]:
    """Of a process that has so many devices, and compiles what nobody has yet."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }


def start(out: Path, process: int, port: int | str, devices: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(out), str(process), str(port), __file__],
        env=environment(devices),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen]) -> dict:
    try:
        ends = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, complaints) in zip(processes, ends, strict=True):
        assert process.returncode == 0, complaints[-4000:]
    return json.loads(ends[0][0].splitlines()[-1])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_devices_and_two_processes_learn_what_one_device_learns(unbroken, tmp_path):
    result, model, out = unbroken
    port = free_port()
    devices = [start(tmp_path / "devices", 0, "none", devices=2)]
    hosts = [start(tmp_path / "hosts", i, port, devices=1) for i in range(2)]
    by_devices, by_hosts = finish(devices), finish(hosts)

    kernel = np.asarray(model.outer.kernel[...]).ravel()
    for name, found in [("devices", by_devices), ("hosts", by_hosts)]:
        np.testing.assert_allclose(losses(tmp_path / name), losses(out), rtol=1e-4)
        assert found["best"] == result.best_step
        np.testing.assert_allclose(found["kernel"], kernel, atol=1e-4)
    # The limit of one process stopped both, and both went on from the same step.
    assert by_hosts["stopped"][0] == "time"
    assert 0 < by_hosts["stopped"][1] < 40

    # What two processes saved, one goes on with.
    again = curve(seed=4)
    fit(
        again,
        loss_of,
        batch_at,
        validation=HELD_OUT,
        config=FitConfig(**QUICK),
        out=tmp_path / "hosts",
        resume=True,
    )
    np.testing.assert_allclose(again.outer.kernel[...].ravel(), kernel, atol=1e-4)


def test_a_batch_that_does_not_divide_says_what_would():
    code = (
        "import importlib.util, sys, numpy\n"
        "from hierarchy.training.stepping import Devices\n"
        "try:\n    Devices.all().place({'x': numpy.zeros([7, 2])})\n"
        "except ValueError as error:\n    print(error)\n"
        "print(Devices.all().place(numpy.zeros([7]), or_whole=True).sharding.spec)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(devices=2),
        check=True,
        capture_output=True,
        text=True,
    )
    complaint, whole = done.stdout.splitlines()
    assert complaint == "a batch of 7 does not divide among 2 devices; 6 or 8 does"
    assert whole == "P()"
