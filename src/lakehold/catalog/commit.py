"""The commit of a lake transaction: every pointer swapped in one PostgreSQL transaction."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress

from lakehold.catalog import store
from lakehold.catalog.overlay import Change, Overlay, SchemaChange
from lakehold.catalog.relation import Pointer
from lakehold.catalog.resources import Resources
from lakehold.catalog.store import Garbage
from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    InvalidDefinition,
    LakeholdError,
    StateUnavailable,
    Unavailable,
    UndefinedSchema,
    UndefinedTable,
)
from lakehold.state import Connection, Database

OUTCOME_TIMEOUT_S = 5.0
"""How long a commit whose answer was lost is asked after."""


def apply(conn: Connection, overlay: Overlay, *, pinned: bool) -> None:
    """Write an overlay into PostgreSQL: all of it, or an error and none of it.

    The order lets a name that is given up be taken again in the same transaction.

    Args:
        pinned: whether the transaction saw the catalog of one moment, so that dropping what
            has changed since then is a conflict too.

    Raises:
        CommitConflict: if a pointer, a name or a schema is not as the transaction found it.
        DuplicateTable, DuplicateSchema, UndefinedSchema, SchemaNotEmpty: if another session
            made that so meanwhile.
    """
    schemas = list(overlay.schemas.values())
    relations = list(overlay.relations.values())
    with store.mapped_errors():
        _make_schemas(conn, schemas)
        found = [change.before.id for change in relations if change.before is not None]
        if len(found) > 1:
            store.lock_rows(conn, found)
        for change in relations:
            if change.before is not None and change.after is None:
                _delete(conn, change.before, purge=change.purge, pinned=pinned)
        moved = [change.before.id for change in relations if change.before and _moves(change)]
        if len(moved) > 1:
            store.park_relations(conn, moved)
        for change in relations:
            if change.before is not None and change.after is not None:
                _swap(conn, change.before, change.after)
        made = [c for c in relations if c.before is None and c.after is not None]
        for change in sorted(made, key=_name_key):
            _insert(conn, change)
        for schema_change in schemas:
            _change_schema(conn, schema_change)


def _make_schemas(conn: Connection, changes: Collection[SchemaChange]) -> None:
    made = [c.after for c in changes if c.before is None and c.after is not None]
    gone = [c.before.id for c in changes if c.before is not None and c.after is None]
    if made and gone:
        store.park_schemas(conn, gone)
    for schema in sorted(made, key=lambda schema: schema.name.lower()):
        store.insert_schema(conn, schema)


def _moves(change: Change) -> bool:
    before, after = change.before, change.after
    return before is not None and after is not None and before.name != after.name


def _name_key(change: Change) -> tuple[str, str]:
    assert change.after is not None
    return change.after.name.key


def _swap(conn: Connection, before: Pointer, after: Pointer) -> None:
    if before == after or store.swap_pointer(conn, before, after):
        return
    if not store.pointers_by_id(conn, [before.id]):
        raise UndefinedTable(f"{before.name} has been dropped by another")
    raise CommitConflict(
        f"another commit to {before.name} came first", hint="run the statement again"
    )


def _delete(conn: Connection, before: Pointer, *, purge: bool, pinned: bool) -> None:
    gone = store.delete_relation(conn, before, purge=purge)
    if gone is None:
        raise UndefinedTable(f"{before.name} has been dropped by another")
    changed = gone.metadata_location != before.metadata_location
    if gone.name.key != before.name.key or (pinned and changed):
        raise CommitConflict(f"another commit to {before.name} came first")


def _insert(conn: Connection, change: Change) -> None:
    pointer = change.after
    assert pointer is not None
    if change.registered:
        store.remove_dropped(conn, pointer.location)
    chosen_by_catalog = pointer.location.endswith(pointer.id.hex)
    if not chosen_by_catalog and store.overlapping_location(conn, pointer.location, pointer.id):
        raise InvalidDefinition(f"another table is in or around {pointer.location!r}")
    store.insert_relation(conn, pointer)


def _change_schema(conn: Connection, change: SchemaChange) -> None:
    if change.before is None:
        return
    if change.after is None:
        if not store.delete_schema(conn, change.before.id):
            raise UndefinedSchema(f"the schema {change.before.name} has been dropped by another")
    elif not store.update_schema(conn, change.before, change.after):
        raise CommitConflict(f"another session has changed the schema {change.before.name}")


# --- after it -----------------------------------------------------------------------------


def outcome(database: Database, xid: str) -> str:
    """Whether a PostgreSQL transaction whose answer was lost is ``committed`` or ``aborted``.

    ``unknown`` if PostgreSQL cannot be asked within ``OUTCOME_TIMEOUT_S``.
    """
    deadline = time.monotonic() + OUTCOME_TIMEOUT_S
    while True:
        with suppress(Unavailable), database.transaction(read_only=True) as conn:
            status = store.transaction_status(conn, xid)
            if status in ("committed", "aborted"):
                return status
        if time.monotonic() > deadline:
            return "unknown"
        time.sleep(0.05)


def unknown() -> CommitUnknown:
    """The error of a commit of which nobody can say whether it was made."""
    return CommitUnknown(
        "PostgreSQL was lost during the commit; it is not known whether it was made",
        hint="look at the table before you run the statement again",
    )


def undone() -> StateUnavailable:
    """The error of a commit that PostgreSQL lost, and of which it is known that it was not made."""
    return StateUnavailable("PostgreSQL was lost during the commit; nothing was committed")


def clean(
    resources: Resources, live: Overlay, files: Collection[str], folders: Collection[str]
) -> None:
    """Delete what a transaction wrote and no pointer refers to; a sweep takes what is left."""
    kept = set(live.metadata_locations().values())
    in_use = {c.after.location for c in live.relations.values() if c.after is not None}
    for location in files:
        if location not in kept:
            with suppress(LakeholdError):
                resources.files.forget(location)
    for folder in folders:
        if folder not in in_use:
            with suppress(LakeholdError):
                resources.store.delete_under(folder)


def purge(resources: Resources, overlay: Overlay) -> None:
    """Delete the files of what was dropped for good; a sweep takes what fails here."""
    folders = [
        change.before.location
        for change in overlay.relations.values()
        if change.after is None
        and change.before is not None
        and (change.purge or change.before.kind == "view")
    ]
    if folders:
        with suppress(LakeholdError):
            empty(resources, [Garbage(folder, is_folder=True) for folder in folders])


def empty(resources: Resources, garbage: Collection[Garbage]) -> int:
    """Delete garbage and forget it; returns how many objects went."""
    deleted = 0
    done = []
    for item in garbage:
        with suppress(LakeholdError):
            if item.is_folder:
                deleted += resources.store.delete_under(item.location)
            else:
                resources.store.delete(item.location)
                deleted += 1
            done.append(item.location)
    with resources.database.transaction() as conn:
        store.remove_garbage(conn, done)
    return deleted
