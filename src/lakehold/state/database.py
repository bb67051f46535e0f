"""A bounded pool of PostgreSQL connections, and transactions on them."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeAlias

import psycopg
from psycopg import errors as postgres
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    ConfigurationInvalid,
    InvalidValue,
    LakeholdError,
    LockTimeout,
    StateUnavailable,
    StorageFailed,
)

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
"""A PostgreSQL connection inside of a transaction; rows are tuples."""

POOL_MAX = 40
"""Connections of one platform."""

WAIT_S = 10.0
"""Seconds that a statement waits for a connection before it is refused."""

WAITING_MAX = 500
"""Statements that may wait for a connection; more are refused at once."""

RECONNECT_S = 5.0
"""Seconds for which one lost connection is tried again before the next statement tries anew."""

VERSION_MIN = 170000
"""PostgreSQL 17."""


_REFUSALS = {
    "password authentication failed": "refuses the user or the password",
    "no password supplied": "wants a password",
    "authentication failed": "does not let the user in",
    "no pg_hba.conf entry": "does not let the user in from this machine",
    "does not exist": "has no such user or database",
    "could not translate host name": "cannot be found: its host name is not known",
}
"""Words of libpq and PostgreSQL for a start that will not become better by waiting."""


class Isolation(Enum):
    """How much of others' commits a transaction sees (PostgreSQL: Transaction Isolation)."""

    READ_COMMITTED = psycopg.IsolationLevel.READ_COMMITTED
    REPEATABLE_READ = psycopg.IsolationLevel.REPEATABLE_READ


_IN_TRANSACTION = psycopg.pq.TransactionStatus.INTRANS

READ_COMMITTED = Isolation.READ_COMMITTED
REPEATABLE_READ = Isolation.REPEATABLE_READ


class Database:
    """PostgreSQL as every domain gets it. Thread safe.

    Args:
        conninfo: a libpq connection string or URI. It may hold a password and is never shown.
        pool_max: connections at most.

    Raises:
        StateUnavailable: if it cannot be reached.
        ConfigurationInvalid: if it is older than PostgreSQL 17, or the string is malformed.
    """

    def __init__(self, conninfo: str, *, pool_max: int = POOL_MAX, wait_s: float = WAIT_S) -> None:
        try:
            given = psycopg.conninfo.conninfo_to_dict(conninfo)
        except psycopg.ProgrammingError:
            raise ConfigurationInvalid(
                "the PostgreSQL connection string is malformed",
                hint="postgresql://user@host:port/database, the password in ~/.pgpass",
            ) from None
        self._wait_s = wait_s
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=pool_max,
            max_waiting=WAITING_MAX,
            timeout=wait_s,
            max_idle=300,
            reconnect_timeout=RECONNECT_S,
            kwargs={
                "application_name": "lakehold",
                "connect_timeout": 5,
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                "options": f"{given.get('options') or ''} -c timezone=UTC"
                " -c idle_in_transaction_session_timeout=0",
            },
            configure=_configure,
            check=_check,
            name="lakehold",
            connection_class=_PooledConnection,
            open=False,
        )
        _check_server(conninfo)
        self._pool.open()

    @contextmanager
    def transaction(
        self, *, isolation: Isolation = READ_COMMITTED, read_only: bool = False
    ) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on an exception.

        Raises:
            StateUnavailable: if PostgreSQL cannot be reached, or no connection becomes free.
            StorageFailed: if PostgreSQL's disk is full.
            CommitConflict, LockTimeout: if it had to give way to another transaction.
            CommitUnknown: if PostgreSQL vanished while it committed what had been written.
        """
        try:
            connection = self._pool.getconn(timeout=self._wait_s)
        except (PoolTimeout, TooManyRequests):
            raise StateUnavailable(
                "no connection to PostgreSQL became free, or it cannot be reached",
                hint="lakehold doctor tells which",
            ) from None
        except psycopg.Error:
            raise _unreachable() from None
        try:
            if isolation is not READ_COMMITTED or read_only:
                connection.isolation_level = isolation.value
                connection.read_only = read_only or None
            try:
                yield connection
            except BaseException:
                _roll_back(connection)
                raise
            _commit(connection, read_only=read_only)
        except psycopg.Error as error:
            _roll_back(connection)
            raise translate(error) from error
        finally:
            if not connection.closed and (isolation is not READ_COMMITTED or read_only):
                connection.isolation_level = None
                connection.read_only = None
            self._pool.putconn(connection)

    def check(self) -> int:
        """The server's version number, such as 180006.

        Raises:
            StateUnavailable: if it cannot be reached.
        """
        with self.transaction() as connection:
            connection.execute("SELECT 1")
            return connection.info.server_version

    def close(self) -> None:
        """Close all connections."""
        self._pool.close(timeout=5)


class _PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """Says in our words that it was lost, also to those who hold it for long."""

    def execute(self, *arguments: Any, **options: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        try:
            return super().execute(*arguments, **options)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if self.closed:
                raise _unreachable() from error
            raise


def translate(error: psycopg.Error) -> LakeholdError:
    """What PostgreSQL's error means for a user; its own text stays in the log."""
    if isinstance(error, postgres.DiskFull):
        return StorageFailed("PostgreSQL's disk is full; nothing was committed")
    if isinstance(error, postgres.SerializationFailure | postgres.DeadlockDetected):
        return CommitConflict("another transaction came first", hint="try again")
    if isinstance(error, postgres.LockNotAvailable):
        return LockTimeout("another transaction held what this one needed", hint="try again")
    if isinstance(error, postgres.QueryCanceled):
        return StateUnavailable("PostgreSQL cancelled it: its own time limit, or its administrator")
    if isinstance(error, postgres.InsufficientPrivilege):
        return ConfigurationInvalid(
            "PostgreSQL's user may not do this", hint="make it the owner of the database"
        )
    if isinstance(error, psycopg.DataError):
        return InvalidValue("PostgreSQL cannot keep one of the values", hint="a NUL in a text?")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return _unreachable()
    if isinstance(error, postgres.ReadOnlySqlTransaction):
        return StateUnavailable("PostgreSQL is read-only now (a standby?)")
    return StateUnavailable(f"PostgreSQL refused ({error.sqlstate or type(error).__name__})")


def _check_server(conninfo: str) -> None:
    """Connect once, without the pool's patience, so that what is wrong is told at once.

    Raises:
        StateUnavailable, ConfigurationInvalid
    """
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.OperationalError as error:
        # Before a session there is no SQLSTATE, and the text may be in any language.
        text = str(error)
        for mark, told in _REFUSALS.items():
            if mark in text:
                raise ConfigurationInvalid(
                    f"PostgreSQL {told}", hint="correct postgres_dsn, or mend it there"
                ) from None
        raise StateUnavailable(
            "PostgreSQL cannot be reached", hint="is it running, and is postgres_dsn right?"
        ) from None
    if version < VERSION_MIN:
        raise ConfigurationInvalid(
            f"PostgreSQL {version // 10000} is too old", hint="17 or newer is needed"
        )


def _unreachable() -> StateUnavailable:
    return StateUnavailable(
        "PostgreSQL cannot be reached; nothing was done",
        hint="it is tried again with the next statement; lakehold doctor tells more",
    )


def _commit(connection: Connection, *, read_only: bool) -> None:
    """Commit; a connection that breaks meanwhile leaves open whether it was done."""
    wrote = not read_only and connection.info.transaction_status is _IN_TRANSACTION
    try:
        connection.commit()
    except psycopg.OperationalError as error:
        if wrote and connection.broken:
            raise CommitUnknown(
                "PostgreSQL was lost during a commit; it is not known whether it was made",
                hint="look before you try again",
            ) from error
        raise


def _roll_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()


def _configure(connection: Connection) -> None:
    connection.autocommit = False
    connection.prepare_threshold = 3


def _check(connection: Connection) -> None:
    """Called before a connection is handed out: one that broke is replaced."""
    if connection.closed or connection.broken:
        raise psycopg.OperationalError("the connection broke")
    socket = connection.pgconn.socket
    # An idle connection has nothing to say; readable means that the server hung up.
    poller = select.poll()
    poller.register(socket, select.POLLIN | select.POLLHUP)
    if poller.poll(0):
        connection.execute("SELECT 1")
        connection.rollback()
