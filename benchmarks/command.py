"""What the benchmarks' command lines share."""

from __future__ import annotations

import argparse


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, as it stands."""
    return argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


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
