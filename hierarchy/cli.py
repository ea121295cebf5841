"""What all commands share: exit codes, messages, progress, checks before long work.

Nothing here imports more than the command line needs, so that `--help` is there
at once; each command imports its work when it starts to work.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rich.console
import rich.progress
import typer

from structure.errors import RequestError

DONE, FAULT, REQUEST, INTERRUPTED = 0, 1, 2, 130

PRETRAINED = Path(__file__).parent / "pretrained"
"""The models that come with the package."""

Progress = Callable[[int, int], None]

console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and messages; standard output is for results."""


def command(function: Callable[..., None]) -> typer.Typer:
    """Make a function the command that a person types.

    Its docstring is the help, its annotations are the options. What goes wrong
    becomes an exit code: 2 with one message for a RequestError, 1 with one for
    what the system refuses (a full disk) and with a traceback for a fault of the
    program, 130 for Ctrl-C.
    """

    name = function.__name__.replace("_", "-")

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except RequestError as error:
            _complain(name, str(error))
            raise typer.Exit(REQUEST) from None
        except KeyboardInterrupt:
            _complain(name, "stopped; nothing half-written was left behind")
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as error:  # noqa: BLE001, whatever it is, the exit code is ours
            if isinstance(error, OSError) and error.errno is not None:
                # A full disk, a folder that went away: nobody's fault, one line.
                where = f"{error.filename}: " if error.filename else ""
                _complain(name, f"{where}{error.strerror}")
                raise typer.Exit(FAULT) from None
            console.print_exception()
            _complain(
                name,
                "this is a fault of macrotime and not of what you asked; please "
                "report it together with the lines above",
            )
            raise typer.Exit(FAULT) from None

    app = typer.Typer(
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(guarded)
    return app


def _complain(name: str, message: str) -> None:
    console.print(f"{name}: {message}", markup=False, style="red")


def say(message: str) -> None:
    """Tell the person something that is not the result."""
    console.print(message, markup=False)


def answer(result: dict[str, Any], *, as_json: bool, text: str) -> None:
    """Print the result of a command: as text, or as one JSON object for programs."""
    print(json.dumps(result) if as_json else text, flush=True)


class Stages:
    """A bar for each stage of a long work, with its time from the first second.

    Where nobody watches (a log file, a pipe) each tenth of a stage is a line.
    """

    def __init__(self, bars: rich.progress.Progress | None):
        self._bars = bars
        self._task: rich.progress.TaskID | None = None
        self._started = time.monotonic()

    def __call__(self, name: str) -> Progress:
        """Begin a stage; returns what is to be called with (done, total)."""
        self.finish()
        if self._bars is None:
            return self._plain(name)
        self._task = task = self._bars.add_task(name, total=None)

        def report(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=total)

        return report

    @property
    def plain(self) -> bool:
        """Whether lines are printed instead of bars."""
        return self._bars is None

    def note(self, text: str) -> None:
        """Say more beside the name of this stage."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, note=text)

    def finish(self) -> None:
        """Fill the bar of the stage that ran until now."""
        if self._bars is not None and self._task is not None:
            total = self._bars.tasks[self._task].total or 1
            self._bars.update(self._task, total=total, completed=total)
            self._task = None

    def _plain(self, name: str) -> Progress:
        say(f"{name} ...")
        tenth = 0

        def report(done: int, total: int) -> None:
            nonlocal tenth
            reached = 10 * done // max(total, 1)
            if reached > tenth:
                tenth = reached
                passed = time.monotonic() - self._started
                say(f"{name}: {done} of {total}, {passed:.0f} s since the start")

        return report


@contextlib.contextmanager
def stages(first: str) -> Iterator[Stages]:
    """Show what is being done for as long as it takes; starts with stage `first`."""
    if not console.is_terminal:
        plain = Stages(None)
        plain(first)
        yield plain
        return
    bars = rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
        rich.progress.TextColumn("{task.fields[note]}"),
        console=console,
    )
    add_task = bars.add_task
    bars.add_task = functools.partial(add_task, note="")
    with bars:
        shown = Stages(bars)
        shown(first)
        yield shown
        shown.finish()


def check_file(option: str, path: Path, suffixes: tuple[str, ...]) -> Path:
    """See that a file can be written before the work that fills it.

    Raises:
        RequestError: if the suffix names no format of ours, the path is a folder
            or its folder cannot be written.
    """
    if path.suffix.lower() not in suffixes:
        came = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise RequestError(f"{option} {path} {came}; it takes {', '.join(suffixes)}")
    if path.is_dir():
        raise RequestError(f"{option} {path} is a folder; it takes the name of a file")
    _check_parent(option, path)
    return path


def check_folder(option: str, path: Path) -> Path:
    """See that a folder can be made or written before the work that fills it.

    Raises:
        RequestError: if there is a file of that name or no right to write there.
    """
    if path.exists() and not path.is_dir():
        raise RequestError(f"{option} {path} is a file; it takes the name of a folder")
    _check_parent(option, path / "inside")
    return path


def _check_parent(option: str, path: Path) -> None:
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise RequestError(f"{option} {path}: {parent} is a file, not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RequestError(f"{option} {path}: no right to write in {parent}")


def chosen_seed(seed: int | None) -> int:
    """The seed that was asked for, or one that nobody knows yet."""
    return secrets.randbelow(2**31) if seed is None else seed


def wake_jax() -> None:
    """Import JAX with all cores and what it compiled before."""
    from hierarchy.devices import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    use_all_cores()
