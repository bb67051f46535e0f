"""The catalog's rows in PostgreSQL: all SQL on the schema ``catalog``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors as postgres
from psycopg.types.json import Jsonb

from lakehold.catalog.relation import Kind, Pointer, Schema
from lakehold.errors import (
    CommitConflict,
    DuplicateSchema,
    DuplicateTable,
    InvalidDefinition,
    LockTimeout,
    SchemaNotEmpty,
    UndefinedSchema,
)
from lakehold.names import TableName
from lakehold.state import Connection

_POINTER = """
    SELECT r.id, r.schema_id, s.name, r.name, r.kind, r.version, r.metadata_location, r.location
    FROM catalog.relation r JOIN catalog.schema s ON s.id = r.schema_id
"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A relation that was dropped and whose files are kept."""

    id: UUID
    name: TableName
    kind: Kind
    metadata_location: str
    location: str
    dropped_at: datetime


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder to be deleted."""

    location: str
    is_folder: bool


def _pointer(row: Sequence[Any]) -> Pointer:
    relation_id, schema_id, schema, name, kind, version, metadata_location, location = row
    return Pointer(
        relation_id, schema_id, TableName(schema, name), kind, version, metadata_location, location
    )


def _schema(row: Sequence[Any]) -> Schema:
    schema_id, name, properties = row
    return Schema(schema_id, name, MappingProxyType(properties))


# --- reading ------------------------------------------------------------------------------


def pointers_by_name(conn: Connection, names: Collection[TableName]) -> list[Pointer]:
    """The relations of those names that there are."""
    keys = [name.key for name in names]
    rows = conn.execute(
        """
        SELECT r.id, r.schema_id, s.name, r.name, r.kind, r.version, r.metadata_location,
               r.location
        FROM unnest(%s::text[], %s::text[]) AS wanted (schema_key, key)
        JOIN catalog.schema s ON s.key = wanted.schema_key
        JOIN catalog.relation r ON r.schema_id = s.id AND r.key = wanted.key
        """,
        ([schema for schema, _ in keys], [table for _, table in keys]),
    )
    return [_pointer(row) for row in rows]


def pointers_by_id(conn: Connection, ids: Collection[UUID]) -> list[Pointer]:
    """The relations of those ids that there are."""
    rows = conn.execute(_POINTER + "WHERE r.id = ANY (%s)", (list(ids),))
    return [_pointer(row) for row in rows]


def pointers_of_schemas(conn: Connection, ids: Collection[UUID] | None) -> list[Pointer]:
    """The relations of those schemas, or of all."""
    if ids is None:
        rows = conn.execute(_POINTER)
    else:
        rows = conn.execute(_POINTER + "WHERE r.schema_id = ANY (%s)", (list(ids),))
    return [_pointer(row) for row in rows]


def schema_by_name(conn: Connection, name: str) -> Schema | None:
    """The schema of that name, compared without case."""
    row = conn.execute(
        "SELECT id, name, properties FROM catalog.schema WHERE key = %s", (name.lower(),)
    ).fetchone()
    return _schema(row) if row else None


def all_schemas(conn: Connection) -> list[Schema]:
    """Every schema, by name."""
    rows = conn.execute("SELECT id, name, properties FROM catalog.schema ORDER BY key")
    return [_schema(row) for row in rows]


def overlapping_location(conn: Connection, location: str, own_id: UUID) -> bool:
    """Whether a folder lies in, or holds, the folder of another relation, kept or dropped."""
    row = conn.execute(
        """
        SELECT EXISTS (
            SELECT FROM (
                SELECT id, location FROM catalog.relation
                UNION ALL SELECT id, location FROM catalog.dropped_relation
            ) AS other
            WHERE id <> %(id)s AND (
                starts_with(location || '/', %(location)s || '/')
                OR starts_with(%(location)s || '/', location || '/')
            )
        )
        """,
        {"id": own_id, "location": location},
    ).fetchone()
    return bool(row and row[0])


# --- locks --------------------------------------------------------------------------------


def lock_tables(conn: Connection, ids: Collection[UUID], *, timeout_ms: int) -> None:
    """Take the write locks of tables until the end of the PostgreSQL transaction.

    Raises:
        LockTimeout: if another process holds one for longer than ``timeout_ms``.
        CommitConflict: if waiting would never end (two wait for each other).
    """
    keys = sorted(_lock_key(table_id) for table_id in ids)
    with mapped_errors():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{max(timeout_ms, 1)}ms",))
        for key in keys:
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (key,))


def _lock_key(table_id: UUID) -> int:
    """64 of the id's bits, as PostgreSQL's advisory locks take them."""
    return int.from_bytes(table_id.bytes[8:], "big", signed=True)


# --- writing ------------------------------------------------------------------------------


def insert_schema(conn: Connection, schema: Schema) -> None:
    """Add a schema; ``DuplicateSchema`` if the name is taken."""
    conn.execute(
        "INSERT INTO catalog.schema (id, name, key, properties) VALUES (%s, %s, %s, %s)",
        (schema.id, schema.name, schema.name.lower(), Jsonb(dict(schema.properties))),
    )


def update_schema(conn: Connection, before: Schema, after: Schema) -> bool:
    """Change a schema's properties, if they are still as they were ``before``."""
    cursor = conn.execute(
        "UPDATE catalog.schema SET properties = %s WHERE id = %s AND properties = %s",
        (Jsonb(dict(after.properties)), after.id, Jsonb(dict(before.properties))),
    )
    return cursor.rowcount == 1


def delete_schema(conn: Connection, schema_id: UUID) -> bool:
    """Remove a schema; one that is not empty shows as ``SchemaNotEmpty``."""
    return conn.execute("DELETE FROM catalog.schema WHERE id = %s", (schema_id,)).rowcount == 1


def park_schemas(conn: Connection, ids: Collection[UUID]) -> None:
    """Free the names of schemas that this transaction drops, for schemas that it makes."""
    conn.execute(
        "UPDATE catalog.schema SET key = chr(1) || id::text WHERE id = ANY (%s)", (list(ids),)
    )


def park_relations(conn: Connection, ids: Collection[UUID]) -> None:
    """Free the names of relations that this transaction renames, so that names can be swapped."""
    conn.execute(
        "UPDATE catalog.relation SET key = chr(1) || id::text WHERE id = ANY (%s)", (list(ids),)
    )


def lock_rows(conn: Connection, ids: Collection[UUID]) -> None:
    """Lock the rows that a commit changes, always in the same order, so that none deadlock."""
    conn.execute(
        "SELECT FROM catalog.relation WHERE id = ANY (%s) ORDER BY id FOR UPDATE", (list(ids),)
    )


def insert_relation(conn: Connection, pointer: Pointer) -> None:
    """Add a relation; ``DuplicateTable`` if the name is taken."""
    conn.execute(
        """
        INSERT INTO catalog.relation
            (id, schema_id, name, key, kind, version, metadata_location, location)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            pointer.id,
            pointer.schema_id,
            pointer.name.table,
            pointer.name.table.lower(),
            pointer.kind,
            pointer.version,
            pointer.metadata_location,
            pointer.location,
        ),
    )


def swap_pointer(conn: Connection, before: Pointer, after: Pointer) -> bool:
    """The compare-and-swap of a commit; false if it is lost.

    What did not change in this commit is not compared: a data commit and a rename by
    another do not exclude each other.
    """
    moved = (before.schema_id, before.name) != (after.schema_id, after.name)
    cursor = conn.execute(
        """
        UPDATE catalog.relation SET
            metadata_location = CASE WHEN %(written)s THEN %(new)s ELSE metadata_location END,
            location = CASE WHEN %(written)s THEN %(location)s ELSE location END,
            version = version + %(steps)s,
            schema_id = CASE WHEN %(moved)s THEN %(schema_id)s ELSE schema_id END,
            name = CASE WHEN %(moved)s THEN %(name)s ELSE name END,
            key = CASE WHEN %(moved)s THEN %(key)s ELSE key END,
            changed_at = now()
        WHERE id = %(id)s
          AND (NOT %(written)s OR metadata_location = %(old)s)
          AND (NOT %(moved)s OR (schema_id = %(old_schema_id)s AND name = %(old_name)s))
        """,
        {
            "id": after.id,
            "written": before.metadata_location != after.metadata_location,
            "old": before.metadata_location,
            "new": after.metadata_location,
            "location": after.location,
            "steps": after.version - before.version,
            "moved": moved,
            "schema_id": after.schema_id,
            "name": after.name.table,
            "key": after.name.table.lower(),
            "old_schema_id": before.schema_id,
            "old_name": before.name.table,
        },
    )
    return cursor.rowcount == 1


def delete_relation(conn: Connection, pointer: Pointer, *, purge: bool) -> Pointer | None:
    """Remove a relation; returns its row as it was at that moment, or ``None`` if it is gone.

    With ``purge`` its files become garbage in the same transaction; without, they are kept.
    """
    row = conn.execute(
        """
        DELETE FROM catalog.relation r USING catalog.schema s
        WHERE r.id = %s AND s.id = r.schema_id
        RETURNING r.id, r.schema_id, s.name, r.name, r.kind, r.version, r.metadata_location,
                  r.location
        """,
        (pointer.id,),
    ).fetchone()
    if row is None:
        return None
    gone = _pointer(row)
    if purge or gone.kind == "view":
        add_garbage(conn, [Garbage(gone.location, is_folder=True)])
    else:
        conn.execute(
            """
            INSERT INTO catalog.dropped_relation
                (id, schema_name, name, kind, metadata_location, location)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            (
                gone.id,
                gone.name.schema,
                gone.name.table,
                gone.kind,
                gone.metadata_location,
                gone.location,
            ),
        )
    return gone


# --- what is to be cleaned ------------------------------------------------------------------


def add_garbage(conn: Connection, garbage: Collection[Garbage]) -> None:
    """Remember what is to be deleted once the transaction is committed."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO catalog.garbage (location, is_folder) VALUES (%s, %s)
            ON CONFLICT (location) DO NOTHING
            """,
            [(item.location, item.is_folder) for item in garbage],
        )


def remove_garbage(conn: Connection, locations: Collection[str]) -> None:
    """Forget what was deleted."""
    conn.execute("DELETE FROM catalog.garbage WHERE location = ANY (%s)", (list(locations),))


def all_garbage(conn: Connection) -> list[Garbage]:
    """All that is to be deleted."""
    rows = conn.execute("SELECT location, is_folder FROM catalog.garbage")
    return [Garbage(location, is_folder) for location, is_folder in rows]


def dropped_relations(conn: Connection) -> list[Dropped]:
    """What was dropped and is kept, newest first."""
    rows = conn.execute(
        """
        SELECT id, schema_name, name, kind, metadata_location, location, dropped_at
        FROM catalog.dropped_relation ORDER BY dropped_at DESC
        """
    )
    return [
        Dropped(relation_id, TableName(schema, name), kind, metadata_location, location, at)
        for relation_id, schema, name, kind, metadata_location, location, at in rows
    ]


def remove_dropped(conn: Connection, location: str) -> None:
    """Forget that a relation was dropped: what is at its location is registered again."""
    conn.execute("DELETE FROM catalog.dropped_relation WHERE location = %s", (location,))


# --- was it committed? ----------------------------------------------------------------------


def transaction_id(conn: Connection) -> str:
    """PostgreSQL's id of the running transaction."""
    row = conn.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return str(row[0])


def transaction_status(conn: Connection, xid: str) -> str:
    """``committed``, ``aborted`` or ``in progress``; ``unknown`` if it is too long ago."""
    row = conn.execute("SELECT pg_xact_status(%s::text::xid8)", (xid,)).fetchone()
    return str(row[0]) if row and row[0] else "unknown"


# --- errors ---------------------------------------------------------------------------------


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn what PostgreSQL says about a change of the catalog into our errors."""
    try:
        yield
    except psycopg.IntegrityError as error:
        raise _integrity_error(error) from error
    except (postgres.SerializationFailure, postgres.DeadlockDetected) as error:
        raise CommitConflict("another commit came first") from error
    except postgres.LockNotAvailable as error:
        raise LockTimeout(
            "another writer holds the table", hint="try again, or end the other transaction"
        ) from error


def _integrity_error(error: psycopg.IntegrityError) -> Exception:
    constraint = error.diag.constraint_name
    if constraint == "schema_name":
        return DuplicateSchema("another session has created the schema")
    if constraint == "relation_name":
        return DuplicateTable("another session has created a table or view of that name")
    if constraint == "relation_location":
        return InvalidDefinition("another table is at that location")
    if constraint == "relation_schema":
        if (error.diag.message_primary or "").startswith("update or delete"):
            return SchemaNotEmpty("the schema is not empty")
        return UndefinedSchema("another session has dropped the schema")
    return error
