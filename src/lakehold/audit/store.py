"""The ledger in PostgreSQL: all SQL on the schema ``audit``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import errors as postgres
from psycopg.rows import class_row

from lakehold.audit.chain import Head, Link
from lakehold.errors import (
    CommitConflict,
    LakeholdError,
    LedgerUnavailable,
    StateUnavailable,
    StorageFailed,
)
from lakehold.state import Connection

VERIFY_ROWS = 2_000
"""Records that a verification holds at once."""


class RecordedAlready(Exception):
    """There is a record of the statement."""


@contextmanager
def reaching() -> Iterator[None]:
    """Turn every failure to write into ``LedgerUnavailable``; a conflict stays one."""
    try:
        yield
    except (CommitConflict, LedgerUnavailable):
        raise
    except (postgres.SerializationFailure, postgres.DeadlockDetected):
        raise
    except (psycopg.Error, StateUnavailable, StorageFailed) as error:
        detail = error.message if isinstance(error, LakeholdError) else "PostgreSQL refused"
        raise LedgerUnavailable(
            f"the ledger cannot be written: {detail}", hint="lakehold doctor tells more"
        ) from error


def lock_number(instance: str) -> int:
    """The number of the advisory lock that a running instance holds."""
    return int.from_bytes(hashlib.sha256(instance.encode()).digest()[:8], "big", signed=True)


def hold(conn: Connection, instance: str) -> None:
    """Hold the instance's lock until the transaction ends."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", [lock_number(instance)])


def claim(conn: Connection, instance: str) -> bool:
    """Take the lock of an instance if it is gone; false if it lives."""
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock_number(instance)]).fetchone()
    return row is not None and bool(row[0])


def alive(conn: Connection) -> None:
    conn.execute("SELECT 1")


@dataclass(frozen=True, slots=True)
class Opened:
    """A statement that has begun and not ended."""

    key: UUID
    at: datetime
    instance: str
    start: str
    seal: bytes


def open_statement(conn: Connection, statement: Opened) -> None:
    conn.execute(
        """
        INSERT INTO audit.opened (key, at, instance, start, seal) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (key) DO NOTHING
        """,
        [statement.key, statement.at, statement.instance, statement.start, statement.seal],
    )


def opened_by_others(conn: Connection, instance: str) -> list[str]:
    """The instances, other than one, that have statements open."""
    rows = conn.execute(
        "SELECT DISTINCT instance FROM audit.opened WHERE instance <> %s", [instance]
    )
    return [row[0] for row in rows]


def opened(conn: Connection, instance: str, after: Opened | None, limit: int) -> list[Opened]:
    """Statements that an instance has open, the oldest first, after one of them."""
    rows = conn.execute(
        """
        SELECT key, at, instance, start, seal FROM audit.opened
        WHERE instance = %(instance)s
          AND (%(at)s::timestamptz IS NULL OR (at, key) > (%(at)s, %(key)s))
        ORDER BY at, key LIMIT %(limit)s
        """,
        {
            "instance": instance,
            "at": None if after is None else after.at,
            "key": None if after is None else after.key,
            "limit": limit,
        },
    )
    return [Opened(*row) for row in rows]


def all_opened(conn: Connection) -> Iterator[Opened]:
    """All statements that are open, through a cursor of the server."""
    with conn.cursor("opened", row_factory=class_row(Opened)) as cursor:
        cursor.itersize = VERIFY_ROWS
        cursor.execute("SELECT key, at, instance, start, seal FROM audit.opened ORDER BY at, key")
        yield from cursor


def forget_opened(conn: Connection, keys: Sequence[UUID]) -> None:
    conn.execute("DELETE FROM audit.opened WHERE key = ANY (%s)", [list(keys)])


def head(conn: Connection, *, lock: bool = False) -> Head:
    """The end of the chain; locked, it stays so until the transaction ends.

    Raises:
        LedgerUnavailable: if someone removed it.
    """
    query = "SELECT seq, hash FROM audit.head" + (" FOR UPDATE" if lock else "")
    row = conn.execute(query).fetchone()
    if row is None:
        raise LedgerUnavailable("the ledger has no head", hint="lakehold audit verify")
    return Head(row[0], bytes(row[1]))


def append(conn: Connection, before: Head, links: Sequence[Link], after: Head) -> bool:
    """Append links and end their open statements, if the chain still ends as it did before.

    Raises:
        RecordedAlready: if there is a record of one of the statements.
    """
    try:
        done = conn.execute(
            """
            WITH moved AS (
                UPDATE audit.head SET seq = %(seq)s, hash = %(hash)s
                WHERE seq = %(before_seq)s AND hash = %(before_hash)s
                RETURNING 1
            ), ended AS (
                DELETE FROM audit.opened WHERE key = ANY (%(keys)s) AND EXISTS (SELECT FROM moved)
            )
            INSERT INTO audit.ledger
                (seq, key, at, principal, status, tables, record, previous, hash)
            SELECT l.seq, l.key, l.at, l.principal, l.status,
                   string_to_array(l.tables, chr(31)), l.record, l.previous, l.hash
            FROM moved, unnest(
                %(seqs)s::bigint[], %(keys)s::uuid[], %(ats)s::timestamptz[],
                %(principals)s::text[], %(statuses)s::text[], %(tables)s::text[],
                %(records)s::text[], %(previous)s::bytea[], %(hashes)s::bytea[]
            ) AS l (seq, key, at, principal, status, tables, record, previous, hash)
            """,
            {
                "seq": after.seq,
                "hash": after.hash,
                "before_seq": before.seq,
                "before_hash": before.hash,
                "seqs": [link.seq for link in links],
                "keys": [link.key for link in links],
                "ats": [link.at for link in links],
                "principals": [link.principal for link in links],
                "statuses": [link.status for link in links],
                "tables": ["\x1f".join(link.tables) for link in links],
                "records": [link.record for link in links],
                "previous": [link.previous for link in links],
                "hashes": [link.hash for link in links],
            },
        )
    except postgres.UniqueViolation:
        raise RecordedAlready from None
    return done.rowcount == len(links)


def recorded(conn: Connection, keys: Sequence[UUID]) -> set[UUID]:
    """Which of the statements have a record."""
    rows = conn.execute("SELECT key FROM audit.ledger WHERE key = ANY (%s)", [list(keys)])
    return {row[0] for row in rows}


_LINK = "seq, key, at, principal, status, tables, record, previous, hash"


def chain(conn: Connection) -> Iterator[Link]:
    """All links by number, through a cursor of the server."""
    with conn.cursor("chain", row_factory=class_row(Link)) as cursor:
        cursor.itersize = VERIFY_ROWS
        cursor.execute(f"SELECT {_LINK} FROM audit.ledger ORDER BY seq")
        yield from cursor


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which records are meant; ``None`` for any."""

    since: datetime | None = None
    until: datetime | None = None
    principal: str | None = None
    status: str | None = None
    table: str | None = None


def newest(
    conn: Connection, conditions: Conditions, below: int | None, limit: int
) -> list[tuple[int, str, bytes]]:
    """Number, canonical form and hash of the newest records that meet all conditions.

    Args:
        below: a number that theirs are smaller than.
    """
    rows = conn.execute(
        """
        SELECT seq, record, hash FROM audit.ledger
        WHERE (%(below)s::bigint IS NULL OR seq < %(below)s)
          AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
          AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
          AND (%(principal)s::text IS NULL OR principal = %(principal)s)
          AND (%(status)s::text IS NULL OR status = %(status)s)
          AND (%(table)s::text IS NULL OR %(table)s = ANY (tables))
        ORDER BY seq DESC LIMIT %(limit)s
        """,
        asdict(conditions) | {"below": below, "limit": limit},
    )
    return [(seq, record, bytes(digest)) for seq, record, digest in rows]
