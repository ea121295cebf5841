"""What the benchmarks' command lines share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, as it stands."""
    return argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def takes_corpora(parser: argparse.ArgumentParser) -> None:
    """Add the prepared corpora, one for each style."""
    parser.add_argument(
        "corpora",
        nargs="+",
        type=Path,
        help="prepared corpora, named as their styles",
    )


def takes_model(parser: argparse.ArgumentParser) -> None:
    """Add --model, which `GrainModel.read` takes."""
    parser.add_argument(
        "--model", type=Path, help="a folder from train-grains; default: ours"
    )


def takes_report(parser: argparse.ArgumentParser) -> None:
    """Add --json, for `write_report`."""
    parser.add_argument("--json", type=Path, help="write the report here")


def parsed(
    parser: argparse.ArgumentParser, *, keep_programs: bool = True
) -> argparse.Namespace:
    """The arguments; JAX is made ready to use this machine, unless they are wrong.

    What is measured with its compiling should not keep programs for the next time.
    """
    found = parser.parse_args()
    from hierarchy.devices import keep_compiled_programs, use_all_cores

    use_all_cores()
    if keep_programs:
        keep_compiled_programs()
    return found


def write_report(report: object, path: Path | None) -> None:
    """Write it as JSON, if --json says where."""
    if path:
        path.write_text(json.dumps(report, indent=1))
