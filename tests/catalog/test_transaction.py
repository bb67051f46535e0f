"""What a lake transaction sees, and how it is undone."""

from __future__ import annotations

import pytest

from lakehold.catalog import Catalog, Touched
from lakehold.errors import (
    CommitConflict,
    DuplicateTable,
    InvalidDefinition,
    TransactionInvalid,
    UndefinedTable,
)
from lakehold.state import Database
from lakehold.storage import ObjectStore
from tests.catalog.lake import NUMBERS, create, find, name, set_property


def test_a_transaction_with_a_snapshot_sees_one_moment(
    catalog: Catalog, database: Database
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin(snapshot=True)
    create(catalog, "later")
    other = catalog.begin()
    set_property(other, table.id, "a", "1")
    other.rename(name("t"), name("t2"))
    other.commit()
    with database.transaction() as conn:
        seen = catalog.resolve(
            conn, [name("t"), name("t2"), name("later")], transaction=transaction
        )
        names = [str(r.name) for r in catalog.relations(conn, transaction=transaction)]
        pointers = catalog.pointers(conn, [table.id], transaction=transaction)
    assert list(seen) == [name("t")]
    assert names == ["main.t"]
    assert dict(seen[name("t")].properties) == {}
    assert pointers[table.id] == (1, table.metadata_location, name("t"))
    assert transaction.load(table.id)[1] == table.metadata_location


def test_the_first_committer_wins_over_an_older_snapshot(catalog: Catalog) -> None:
    table = create(catalog, "t")
    old = catalog.begin(snapshot=True)
    new = catalog.begin()
    set_property(new, table.id, "a", "1")
    new.commit()
    with pytest.raises(CommitConflict, match=r"main\.t"):
        old.lock([table.id])
    set_property(old, table.id, "b", "2")
    with pytest.raises(CommitConflict):
        old.commit()


def test_a_table_changed_since_the_snapshot_is_not_dropped(
    catalog: Catalog, database: Database
) -> None:
    table = create(catalog, "t")
    old = catalog.begin(snapshot=True)
    old.drop(name("t"))
    new = catalog.begin()
    set_property(new, table.id, "a", "1")
    new.commit()
    with pytest.raises(CommitConflict):
        old.commit()
    assert find(catalog, database, "t") is not None


def test_without_a_snapshot_the_state_after_the_lock_counts(catalog: Catalog) -> None:
    table = create(catalog, "t")
    writer = catalog.begin()
    assert writer.load(table.id)[1] == table.metadata_location
    other = catalog.begin()
    set_property(other, table.id, "a", "1")
    other.commit()
    writer.lock([table.id])
    assert writer.load(table.id)[0]["properties"]["a"] == "1"
    set_property(writer, table.id, "b", "2")
    writer.commit()


def test_a_savepoint_undoes_one_statement(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin(snapshot=True)
    set_property(transaction, table.id, "a", "1")
    savepoint = transaction.savepoint()
    set_property(transaction, table.id, "a", "2")
    transaction.create_schema("s")
    made = transaction.create_table(name("s.t"), NUMBERS)
    transaction.rename(name("t"), name("u"))
    transaction.rollback_to(savepoint)
    assert transaction.find(name("s.t")) is None
    assert transaction.load(name("t"))[0]["properties"] == {"a": "1"}
    set_property(transaction, table.id, "b", "3")
    transaction.rollback_to(savepoint)
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert dict(found.properties) == {"a": "1"}
    left = {item.location for item in store.list(store.root)}
    assert left == {table.metadata_location, found.metadata_location}
    assert made.metadata_location not in left


def test_a_savepoint_is_of_its_own_transaction(catalog: Catalog) -> None:
    with pytest.raises(TransactionInvalid):
        catalog.begin().rollback_to(catalog.begin().savepoint())


def test_a_transaction_tells_what_it_touched(catalog: Catalog) -> None:
    kept, gone = create(catalog, "kept"), create(catalog, "gone")
    transaction = catalog.begin()
    schema = transaction.create_schema("s")
    made = transaction.create_table(name("s.t"), NUMBERS)
    passing = transaction.create_table(name("s.passing"), NUMBERS)
    set_property(transaction, kept.id, "a", "1")
    transaction.drop(name("gone"))
    transaction.drop(name("s.passing"))
    assert transaction.created == (
        Touched(schema.id, "schema", "s", None),
        Touched(made.id, "table", name("s.t"), schema.id),
    )
    assert [item.id for item in transaction.changed] == [kept.id]
    assert [item.id for item in transaction.dropped] == [gone.id]
    assert passing.id not in {item.id for item in transaction.created}
    transaction.commit()
    assert transaction.created[1].id == made.id


def test_data_does_not_change_the_structures_version(catalog: Catalog, database: Database) -> None:
    from tests.catalog.lake import append

    table = create(catalog, "t")
    append(catalog, table.id, 3)
    found = find(catalog, database, "t")
    assert found is not None
    assert (found.version, found.columns) == (1, table.columns)
    assert found.metadata_location != table.metadata_location
    transaction = catalog.begin()
    set_property(transaction, table.id, "a", "1")
    set_property(transaction, table.id, "b", "1")
    transaction.rename(name("t"), name("u"))
    transaction.commit()
    found = find(catalog, database, "u")
    assert found is not None
    assert found.version == 2


def test_a_property_set_to_what_it_was_changes_no_structure(
    catalog: Catalog, database: Database
) -> None:
    table = create(catalog, "t", properties={"a": "1"})
    transaction = catalog.begin()
    set_property(transaction, table.id, "a", "1")
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert found.version == table.version


def test_names_are_compared_without_case_and_kept(catalog: Catalog, database: Database) -> None:
    create(catalog, "Flights")
    with pytest.raises(DuplicateTable):
        create(catalog, "FLIGHTS")
    found = find(catalog, database, "flights")
    assert found is not None
    assert found.name == name("Flights")
    transaction = catalog.begin()
    transaction.rename(name("flights"), name("FLIGHTS"))
    transaction.commit()
    found = find(catalog, database, "flights")
    assert found is not None
    assert found.name.table == "FLIGHTS"


def test_what_is_not_there_cannot_be_dropped_renamed_or_changed(catalog: Catalog) -> None:
    transaction = catalog.begin()
    create(catalog, "t")
    for act in (
        lambda: transaction.drop(name("none")),
        lambda: transaction.drop(name("t"), "view"),
        lambda: transaction.rename(name("none"), name("x")),
        lambda: transaction.load(name("none")),
        lambda: transaction.update_table(transaction.id, [], []),
    ):
        with pytest.raises(UndefinedTable):
            act()


def test_a_dropped_table_keeps_its_files_and_its_name_is_free(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    transaction.drop(name("t"))
    again = transaction.create_table(name("t"), NUMBERS)
    transaction.commit()
    assert store.exists(table.metadata_location)
    assert again.id != table.id
    with database.transaction() as conn:
        dropped = catalog.dropped(conn)
    assert [(item.id, item.metadata_location) for item in dropped] == [
        (table.id, table.metadata_location)
    ]


def test_a_dropped_table_can_be_registered_again(catalog: Catalog, database: Database) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    transaction.drop(name("t"))
    transaction.commit()
    transaction = catalog.begin()
    back = transaction.register_table(name("back"), table.metadata_location)
    transaction.commit()
    found = find(catalog, database, "back")
    assert found is not None
    assert (found.id, found.columns) == (back.id, table.columns)
    with database.transaction() as conn:
        assert catalog.dropped(conn) == []


def test_a_tables_files_belong_to_one_table(catalog: Catalog) -> None:
    table = create(catalog, "t")
    folder = str(catalog.metadata(table.metadata_location)["location"])
    transaction = catalog.begin()
    transaction.register_table(name("twice"), table.metadata_location)
    with pytest.raises(InvalidDefinition):
        transaction.commit()
    for location in (folder, f"{folder}/inside", folder.rpartition("/")[0]):
        transaction = catalog.begin()
        transaction.create_table(name("other"), NUMBERS, location=location)
        with pytest.raises(InvalidDefinition):
            transaction.commit()


def test_a_purged_table_takes_its_files_along(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    folder = catalog.metadata(table.metadata_location)["location"]
    store.write(f"{folder}/data/a.parquet", b"1")
    transaction = catalog.begin()
    transaction.drop(name("t"), purge=True)
    assert store.exists(table.metadata_location)
    transaction.commit()
    assert list(store.list(folder)) == []
    with database.transaction() as conn:
        assert catalog.dropped(conn) == []


def test_a_replaced_table_keeps_its_identity_and_history(
    catalog: Catalog, database: Database
) -> None:
    from tests.catalog.lake import append

    table = create(catalog, "t", properties={"a": "1", "b": "2"})
    append(catalog, table.id, 3)
    before = find(catalog, database, "t")
    transaction = catalog.begin()
    columns = [
        {"id": 1, "name": "fresh", "type": "string", "required": False},
        {"id": 2, "name": "x", "type": "long", "required": False},
    ]
    schema = {"type": "struct", "schema-id": 0, "fields": columns}
    spec = {
        "spec-id": 0,
        "fields": [{"source-id": 2, "field-id": 1000, "name": "x_b", "transform": "bucket[4]"}],
    }
    transaction.create_table(name("t"), schema, spec, properties={"b": "3"}, replace=True)
    transaction.commit()
    found = find(catalog, database, "t")
    assert before is not None
    assert found is not None
    assert found.id == table.id
    assert found.version == before.version + 1
    assert [(c.field_id, c.name) for c in found.columns] == [(3, "fresh"), (1, "x")]
    assert found.partitioning == ("bucket(4, x)",)
    assert dict(found.properties) == {"b": "3"}
    metadata = catalog.metadata(found.metadata_location)
    assert len(metadata["snapshots"]) == 1
    assert "main" not in (metadata.get("refs") or {})
    with pytest.raises(DuplicateTable):
        create(catalog, "t")


def test_a_staged_table_is_nothing_until_it_is_committed(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    staging = catalog.begin()
    staged = staging.stage_table(name("t"), NUMBERS)
    staging.rollback()
    assert find(catalog, database, "t") is None
    assert list(store.list(store.root)) == []
    updates = [
        {"action": "assign-uuid", "uuid": staged["table-uuid"]},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": NUMBERS, "last-column-id": 2},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": staged["location"]},
        {"action": "set-properties", "updates": {"a": "1"}},
    ]
    transaction = catalog.begin()
    transaction.create_from_updates(name("t"), [{"type": "assert-create"}], updates)
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert [column.name for column in found.columns] == ["x", "note"]
    metadata = catalog.metadata(found.metadata_location)
    assert (metadata["location"], metadata["table-uuid"]) == (
        staged["location"],
        staged["table-uuid"],
    )
    again = catalog.begin()
    with pytest.raises(CommitConflict):
        again.create_from_updates(name("t"), [{"type": "assert-create"}], updates)
