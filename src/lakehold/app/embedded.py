"""The platform in this process: ``lakehold.open``."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from lakehold.app.platform import Platform
from lakehold.client import Connection, connect
from lakehold.errors import LakeholdError
from lakehold.logging import configure
from lakehold.settings import load_settings

TOKEN_LIFE = timedelta(days=30)


def open_embedded(path: str | Path, settings: Mapping[str, Any]) -> Connection:
    """Start a platform on any free port of the loopback interface, and connect to it.

    Raises:
        PlatformInUse, ConfigurationInvalid, StateUnavailable, StorageFailed
    """
    platform = Platform(load_settings(Path(path), **{"http_port": 0, **settings}))
    platform.when_locked = lambda: configure(platform.settings, guest=True)
    platform.start()
    try:
        access = platform.parts.access
        admin = access.principal("admin")
        token = access.create_token(admin.name, name="embedded", expires_in=TOKEN_LIFE, by=admin)
        connection = connect(platform.url, token, application="embedded")
    except BaseException:
        platform.stop()
        raise
    close = connection.close

    def stop() -> None:
        with suppress(LakeholdError):  # of a platform that was stopped before
            platform.parts.access.revoke_token(UUID(token.split("_")[1]), by=admin)
        platform.stop()

    def close_both() -> None:
        close()
        stop()
        atexit.unregister(stop)

    connection.close = close_both  # type: ignore[method-assign]
    # At exit, requests are no longer answered: the session ends with the platform.
    atexit.register(stop)
    return connection
