"""The Python client: DB-API 2.0 (PEP 249) over HTTP, with Arrow, Polars and pandas beside.

>>> db = connect("http://127.0.0.1:8090", token="lh_…")            # doctest: +SKIP
>>> db.execute("SELECT count(*) FROM sales.orders").fetchone()      # doctest: +SKIP
>>> db.arrow("SELECT * FROM sales.orders WHERE day = ?", [day])     # doctest: +SKIP
"""

from __future__ import annotations

from lakehold.client.connection import Connection, LoadMode, Statement
from lakehold.client.cursor import Cursor, Parameters
from lakehold.client.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from lakehold.client.transport import Transport
from lakehold.client.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"


def connect(
    url: str,
    token: str | None = None,
    *,
    schema: str | None = None,
    roles: list[str] | None = None,
    purpose: str | None = None,
    autocommit: bool = True,
    timeout_s: float | None = None,
    verify: bool | str = True,
    application: str = "",
) -> Connection:
    """Open a session on a Lakehold server.

    Args:
        url: base URL, such as ``https://lake.example:8443``.
        token: a Bearer token (``lakehold token create``).
        schema: the schema of names without one.
        roles: the roles to be active; all of the principal's where not given.
        purpose: why data is being read.
        autocommit: false for transactions that begin by themselves, as PEP 249 asks.
        timeout_s: seconds that one statement may take.
        verify: check the server's certificate; or the path of a CA bundle.
        application: what the ledger shall show as the client.

    Raises:
        OperationalError: the server cannot be reached, or the token is not good.
    """
    transport = Transport(url, token, verify=verify, application=application)
    return Connection(
        transport,
        schema=schema,
        roles=roles,
        purpose=purpose,
        autocommit=autocommit,
        timeout_s=timeout_s,
    )


__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "LoadMode",
    "NotSupportedError",
    "OperationalError",
    "Parameters",
    "ProgrammingError",
    "Statement",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Transport",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
