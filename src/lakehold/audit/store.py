"""The ledger in PostgreSQL: all SQL on the schema ``audit``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import psycopg

from lakehold.errors import LedgerUnavailable
from lakehold.state import Connection, Database

INSTANCE_LOCK = 42420002


@contextmanager
def reachable() -> Iterator[None]:
    """Turn PostgreSQL's errors into ``LedgerUnavailable``."""
    try:
        yield
    except psycopg.Error:
        raise LedgerUnavailable(
            "the ledger cannot be written, so nothing may run", hint="lakehold doctor"
        ) from None


def new_instance(conn: Connection) -> int:
    row = conn.execute("INSERT INTO audit.instance DEFAULT VALUES RETURNING number").fetchone()
    assert row is not None
    return int(row[0])


def hold_instance(conn: Connection, number: int) -> bool:
    row = conn.execute(
        "SELECT pg_try_advisory_lock(%s, %s)", [INSTANCE_LOCK, number]
    ).fetchone()
    return bool(row and row[0])


def dead_instances(conn: Connection, own: int) -> list[int]:
    """Instances whose lock nobody holds; they are locked until the transaction ends."""
    rows = conn.execute(
        "SELECT number FROM audit.instance WHERE number <> %s ORDER BY number", [own]
    ).fetchall()
    found = []
    for (number,) in rows:
        row = conn.execute(
            "SELECT pg_try_advisory_xact_lock(%s, %s)", [INSTANCE_LOCK, number]
        ).fetchone()
        if row and row[0]:
            found.append(int(number))
    return found


def forget_instances(conn: Connection, numbers: Sequence[int]) -> None:
    conn.execute("DELETE FROM audit.instance WHERE number = ANY (%s)", [list(numbers)])


def open_statement(conn: Connection, id: UUID, instance: int, start: bytes) -> None:
    conn.execute(
        "INSERT INTO audit.open_statement (id, instance, start) VALUES (%s, %s, %s)",
        [id, instance, start],
    )


def left_open(conn: Connection, instances: Sequence[int]) -> list[tuple[UUID, bytes]]:
    rows = conn.execute(
        "SELECT id, start FROM audit.open_statement WHERE instance = ANY (%s) ORDER BY id",
        [list(instances)],
    ).fetchall()
    return [(row[0], bytes(row[1])) for row in rows]


def lock_head(conn: Connection) -> tuple[int, bytes]:
    """The end of the chain; others wait until this transaction ends."""
    row = conn.execute("SELECT seq, hash FROM audit.head FOR UPDATE").fetchone()
    assert row is not None
    return int(row[0]), bytes(row[1])


def head(conn: Connection) -> tuple[int, bytes]:
    row = conn.execute("SELECT seq, hash FROM audit.head").fetchone()
    assert row is not None
    return int(row[0]), bytes(row[1])


def append(
    conn: Connection,
    rows: Sequence[tuple[int, UUID, datetime, bytes, bytes]],
    closed: Sequence[UUID],
) -> None:
    """Add records, close the statements they complete, and move the head."""
    with conn.pipeline():
        if closed:
            conn.execute("DELETE FROM audit.open_statement WHERE id = ANY (%s)", [list(closed)])
        cursor = conn.cursor()
        for row in rows:
            cursor.execute(
                "INSERT INTO audit.record (seq, statement_id, at, body, hash) "
                "VALUES (%s, %s, %s, %s, %s)",
                row,
            )
        conn.execute("UPDATE audit.head SET seq = %s, hash = %s", [rows[-1][0], rows[-1][4]])


def records(
    database: Database, *, after: int = 0, upto: int | None = None, page: int = 2000
) -> Iterator[tuple[int, UUID, datetime, bytes, bytes]]:
    """Records in order, page by page, each page in a transaction of its own."""
    last = after
    while True:
        with database.transaction(read_only=True) as conn:
            rows = conn.execute(
                """
                SELECT seq, statement_id, at, body, hash FROM audit.record
                WHERE seq > %s AND (%s::bigint IS NULL OR seq <= %s) ORDER BY seq LIMIT %s
                """,
                [last, upto, upto, page],
            ).fetchall()
        if not rows:
            return
        for row in rows:
            yield int(row[0]), row[1], row[2], bytes(row[3]), bytes(row[4])
        last = int(rows[-1][0])
