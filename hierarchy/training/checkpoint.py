"""Weights on disk: orbax while a training runs, safetensors and JSON to ship.

Both see a model as a flat mapping from dotted names ("layers.0.kernel") to
arrays, so that neither depends on how a version of Flax nests its state, and a
person can list what a file holds.

    out/checkpoints/1200/   a training's whole state, to go on from (orbax)
    model/config.json       what the model is
    model/weights.safetensors
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import safetensors
import safetensors.numpy
from flax import nnx

from hierarchy.training.configuration import dataclass_from
from structure.errors import RequestError
from structure.files import whole_folder

STORED_AS = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": jnp.dtype(jnp.bfloat16),
}
"""The number formats that `write_model` knows."""

Config = TypeVar("Config")
Model = TypeVar("Model", bound=nnx.Module)

_NOT_SHIPPED = (nnx.RngState, nnx.Cache, nnx.Intermediate)


# ---- A model as names and arrays ---------------------------------------------


def named_arrays(state: nnx.State) -> dict[str, jax.Array]:
    """The arrays of a state under dotted names; random keys as their raw data."""
    return {
        ".".join(map(str, path)): _raw(variable.get_value())
        for path, variable in nnx.to_flat_state(state)
    }


def with_arrays(state: nnx.State, arrays: Mapping[str, Any]) -> nnx.State:
    """The same state around other arrays: undoes `named_arrays`."""
    return nnx.from_flat_state(
        [
            (path, variable.replace(_like(variable.get_value(), arrays[name])))
            for path, variable in nnx.to_flat_state(state)
            for name in [".".join(map(str, path))]
        ]
    )


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _raw(x: Any) -> Any:
    return jax.random.key_data(x) if _is_key(x) else x


def _like(old: Any, new: Any) -> Any:
    if _is_key(old):
        return jax.random.wrap_key_data(new, impl=jax.random.key_impl(old))
    return new


# ---- Models to ship ------------------------------------------------------------


def write_model(
    folder: str | Path,
    model: nnx.Module,
    config: Any,
    *,
    dtype: str = "float32",
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as config.json and weights.safetensors; whole or not at all.

    Args:
        folder: what to write; an existing folder is replaced.
        model: its parameters and statistics are stored, its random state is not.
        config: a dataclass of values that JSON knows: what builds the model.
        dtype: how floats are stored, "float32", "float16" or "bfloat16".
            Whole numbers stay as they are.
        extra: anything else worth keeping beside the config, as JSON.

    Raises:
        RequestError: for another dtype.
    """
    if dtype not in STORED_AS:
        raise RequestError(f"weights as {dtype!r}; there are {', '.join(STORED_AS)}")
    weights = {}
    for name, x in named_arrays(_shipped(model)).items():
        x = np.asarray(x)
        if jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(STORED_AS[dtype])
        weights[name] = np.ascontiguousarray(x)
    about = {
        "kind": type(config).__name__,
        "dtype": dtype,
        "config": dataclasses.asdict(config),
        "extra": dict(extra or {}),
    }
    text = json.dumps(about, indent=2, allow_nan=False) + "\n"
    with whole_folder(folder) as draft:
        (draft / "config.json").write_text(text, encoding="utf-8")
        safetensors.numpy.save_file(weights, draft / "weights.safetensors")


def read_config(folder: str | Path, kind: type[Config] | None = None) -> Config | dict:
    """The config that a model was written with: as `kind`, or as a plain dict.

    Raises:
        RequestError: if there is no model, or its config does not fit `kind`.
    """
    about = _read_about(folder)
    if kind is None:
        return about["config"]
    return dataclass_from(kind, about["config"], where=str(Path(folder, "config.json")))


def read_extra(folder: str | Path) -> dict:
    """What was written beside the config."""
    return _read_about(folder)["extra"]


def load_weights(model: Model, folder: str | Path) -> Model:
    """Fill a model with the weights of a folder, in place, and return it.

    Stored numbers become the model's own dtype.

    Raises:
        RequestError: if the file cannot be read, or if names or shapes differ;
            the message says which.
    """
    path = Path(folder, "weights.safetensors")
    try:
        stored = safetensors.numpy.load_file(path)
    except FileNotFoundError:
        raise RequestError(f"no model in {folder}: {path.name} is missing") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise RequestError(f"{path} is not a safetensors file: {error}") from None
    state = _shipped(model)
    wanted = named_arrays(state)
    _check_shapes(
        {name: x.shape for name, x in stored.items()},
        {name: x.shape for name, x in wanted.items()},
        where=str(path),
    )
    nnx.update(
        model,
        with_arrays(
            state,
            {name: jnp.asarray(stored[name], x.dtype) for name, x in wanted.items()},
        ),
    )
    return model


def _shipped(model: nnx.Module) -> nnx.State:
    return nnx.state(model, nnx.Not(nnx.Any(*_NOT_SHIPPED)))


def _read_about(folder: str | Path) -> dict:
    path = Path(folder, "config.json")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"no model in {folder}: {path.name} is missing") from None
    except ValueError as error:
        raise RequestError(f"{path} is not JSON: {error}") from None
    if not isinstance(about, dict) or not isinstance(about.get("config"), dict):
        raise RequestError(f"{path} does not describe a model: no 'config' in it")
    return {"extra": {}, **about}


def _check_shapes(found: Mapping, wanted: Mapping, *, where: str) -> None:
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    misfits = [
        f"{name} is {list(found[name])} where the model has {list(wanted[name])}"
        for name in wanted
        if name in found and tuple(found[name]) != tuple(wanted[name])
    ]
    complaints = []
    if missing:
        complaints.append(f"without {_some(missing)}")
    if surplus:
        complaints.append(f"with {_some(surplus)}, which the model does not know")
    complaints += misfits[:4]
    if complaints:
        raise RequestError(
            f"the weights in {where} are of another model: {'; '.join(complaints)}"
        )


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ---- Checkpoints of a running training -----------------------------------------


@dataclasses.dataclass
class _LastAndBest:
    """Keeps the newest checkpoint and the one that validated best."""

    best: Callable[[], int | None]

    def should_preserve(self, checkpoints, *, context):
        newest = max((c.step for c in checkpoints), default=None)
        return [c.step in (newest, self.best()) for c in checkpoints]


class Checkpoints:
    """The checkpoints of one training: a pytree of arrays and a JSON record each.

    Writing happens in the background; a checkpoint stands under its name only
    when it is whole. With several processes each of them calls every method,
    and `folder` is one that all of them see.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        self.best_step: int | None = None
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=_LastAndBest(lambda: self.best_step),
                cleanup_tmp_directories=True,
            ),
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "record": ocp.JsonCheckpointHandler(),
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """The steps that can be restored, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, record: Mapping[str, Any]) -> None:
        """Begin to write a checkpoint; the arrays are free again on return."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.JsonSave(dict(record)),
            ),
            force=True,
        )

    def wait(self) -> None:
        """Return when all that was begun is on disk."""
        self._manager.wait_until_finished()

    def record(self, step: int) -> dict[str, Any]:
        """The JSON record of a checkpoint."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["record"]

    def restore(self, step: int, like: Any) -> Any:
        """The state of a checkpoint, wherever it was written.

        Args:
            step: one of `steps`.
            like: a tree of arrays or jax.ShapeDtypeStruct with shardings; the
                checkpoint's arrays are laid out so, on whatever devices it was
                saved.

        Raises:
            RequestError: if names or shapes differ.
        """
        stored = self._manager.item_metadata(step)["state"]
        _check_shapes(
            {name: tuple(x.shape) for name, x in _leaves(stored)},
            {name: tuple(x.shape) for name, x in _leaves(like)},
            where=str(self.folder / str(step)),
        )
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        return self._manager.restore(step, args=args)["state"]


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    tree = getattr(tree, "tree", tree)
    return [
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(
            tree, is_leaf=lambda x: hasattr(x, "shape")
        )
    ]
