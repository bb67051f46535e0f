"""Lakehold: a governed data platform.

>>> import lakehold
>>> db = lakehold.connect("http://127.0.0.1:8090", token="lh_…")    # doctest: +SKIP
>>> db.arrow("SELECT count(*) FROM nyc.flights")                     # doctest: +SKIP

>>> db = lakehold.open("my-lake")      # the platform in this process  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from lakehold.client import Connection, connect

__all__ = ["connect", "open"]


def __getattr__(name: str) -> Any:
    if name == "connect":
        from lakehold.client import connect

        return connect
    raise AttributeError(f"module 'lakehold' has no attribute {name!r}")


def open(path: str | Path = "lakehold-data", **settings: Any) -> Connection:
    """Run a platform in this process, for a notebook or a test, and connect to it.

    Who may write the folder is its administrator. The platform stops with the connection.

    Args:
        path: the platform's folder; made if it is not there.
        settings: as in ``lakehold.toml``.

    Raises:
        PlatformInUse: if a platform runs in the folder already; use ``connect``.
    """
    from lakehold.app import open_embedded

    return open_embedded(path, settings)
