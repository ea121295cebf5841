"""A song for other eyes and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hierarchy.export.session import KINDS, export_song

__all__ = ["KINDS", "export_song"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: pictures alone do not need it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hierarchy.export import session

    return getattr(session, name)
