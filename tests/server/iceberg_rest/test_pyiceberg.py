"""PyIceberg's REST catalog as a client."""

from __future__ import annotations

import threading

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import IntegerType, LongType, NestedField, StringType, TimestampType

from iceberg_openapi import OpenApi
from lake_server import LakeServer

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", None]})


@pytest.fixture
def catalog(lake: LakeServer, openapi: OpenApi) -> RestCatalog:
    """An administrator's catalog; each response is checked against the OpenAPI document."""
    made = RestCatalog("lake", uri=lake.iceberg, token=lake.admin_token, warehouse="lake")

    def check(response: object, *_: object, **__: object) -> None:
        openapi.check(
            response.request.method,  # type: ignore[attr-defined]
            response.url,  # type: ignore[attr-defined]
            response.status_code,  # type: ignore[attr-defined]
            response.content,  # type: ignore[attr-defined]
        )

    made._session.hooks["response"].append(check)
    return made


def ids(table: object) -> list[int]:
    found: list[int] = table.scan().to_arrow()["id"].to_pylist()  # type: ignore[attr-defined]
    return sorted(found)


def test_rows_are_appended_overwritten_and_deleted(catalog: RestCatalog, namespace: str) -> None:
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    table.append(ROWS)
    table.append(ROWS.slice(0, 1))
    assert ids(table) == [1, 1, 2, 3]
    table.overwrite(ROWS.slice(2, 1), overwrite_filter="id < 3")
    assert ids(table) == [3, 3]
    table.delete("id = 3")
    assert ids(table) == []
    assert len(table.history()) >= 4


def test_pyiceberg_and_sql_see_the_same_rows(
    lake: LakeServer, catalog: RestCatalog, namespace: str
) -> None:
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    table.append(ROWS)
    assert lake.sql(f"SELECT sum(id), count(name) FROM {namespace}.t") == [(6, 2)]
    lake.sql(f"INSERT INTO {namespace}.t VALUES (10, 'ten')")
    lake.sql(f"DELETE FROM {namespace}.t WHERE id = 2")
    lake.sql(f"UPDATE {namespace}.t SET name = 'three' WHERE id = 3")
    found = table.refresh().scan().to_arrow().sort_by("id").to_pylist()
    assert found == [
        {"id": 1, "name": "a"},
        {"id": 3, "name": "three"},
        {"id": 10, "name": "ten"},
    ]


def test_a_schema_evolves(catalog: RestCatalog, namespace: str) -> None:
    schema = Schema(
        NestedField(1, "id", LongType(), required=False),
        NestedField(2, "number", IntegerType(), required=False),
        NestedField(3, "name", StringType(), required=False),
    )
    table = catalog.create_table(f"{namespace}.t", schema)
    rows = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "number": pa.array([7], pa.int32()),
            "name": ["a"],
        }
    )
    table.append(rows)
    with table.update_schema() as update:
        update.add_column("added", StringType())
        update.rename_column("name", "label")
        update.update_column("number", LongType())
    with table.update_schema() as update:
        update.move_first("label")
    assert table.schema().column_names == ["label", "id", "number", "added"]
    assert table.scan().to_arrow().to_pylist() == [
        {"label": "a", "id": 1, "number": 7, "added": None}
    ]
    with table.update_schema() as update:
        update.delete_column("added")
    assert table.schema().column_names == ["label", "id", "number"]


def test_partitioning_evolves(lake: LakeServer, catalog: RestCatalog, namespace: str) -> None:
    schema = Schema(
        NestedField(1, "id", LongType(), required=False),
        NestedField(2, "at", TimestampType(), required=False),
    )
    spec = PartitionSpec(PartitionField(2, 1000, DayTransform(), "at_day"))
    table = catalog.create_table(f"{namespace}.t", schema, partition_spec=spec)
    lake.sql(f"INSERT INTO {namespace}.t VALUES (1, '1970-01-01'), (2, '1970-01-02')")
    table.refresh()
    with table.update_spec() as update:
        update.remove_field("at_day")
        update.add_field("id", IdentityTransform(), "id_itself")
    at = pa.array([0, 86_400_000_000], pa.timestamp("us"))
    table.append(pa.table({"id": pa.array([3, 4], pa.int64()), "at": at}))
    assert len(table.specs()) == 2
    assert ids(table) == [1, 2, 3, 4]
    late = table.scan("at >= '1970-01-02T00:00:00'")
    assert sorted(late.to_arrow()["id"].to_pylist()) == [2, 4]
    since = "t.at >= TIMESTAMP '1970-01-02'"
    assert lake.sql(f"SELECT sum(id) FROM {namespace}.t AS t WHERE {since}") == [(6,)]


def test_a_transaction_changes_schema_and_rows_at_once(
    catalog: RestCatalog, namespace: str
) -> None:
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    with table.transaction() as transaction:
        with transaction.update_schema() as update:
            update.add_column("more", LongType())
        transaction.append(ROWS.append_column("more", pc.multiply(ROWS["id"], 10).cast(pa.int64())))
        transaction.set_properties(a="1")
    loaded = catalog.load_table(f"{namespace}.t")
    assert sorted(loaded.scan().to_arrow()["more"].to_pylist()) == [10, 20, 30]
    assert loaded.properties["a"] == "1"


def test_a_create_transaction_makes_table_and_rows_at_once(
    catalog: RestCatalog, namespace: str
) -> None:
    with catalog.create_table_transaction(f"{namespace}.t", ROWS.schema) as transaction:
        transaction.append(ROWS)
        assert not catalog.table_exists(f"{namespace}.t")
    assert ids(catalog.load_table(f"{namespace}.t")) == [1, 2, 3]


def test_snapshots_are_tagged_and_rolled_back(catalog: RestCatalog, namespace: str) -> None:
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    table.append(ROWS)
    first = table.current_snapshot()
    assert first is not None
    table.manage_snapshots().create_tag(first.snapshot_id, "first").commit()
    table.append(ROWS)
    assert len(table.scan(snapshot_id=first.snapshot_id).to_arrow()) == 3
    assert catalog.load_table(f"{namespace}.t").refs()["first"].snapshot_id == first.snapshot_id


def test_names_are_taken_given_up_and_listed(catalog: RestCatalog, namespace: str) -> None:
    catalog.create_table(f"{namespace}.a", ROWS.schema)
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table(f"{namespace}.a", ROWS.schema)
    catalog.rename_table(f"{namespace}.a", f"{namespace}.b")
    assert catalog.list_tables(namespace) == [(namespace, "b")]
    with pytest.raises(NamespaceNotEmptyError):
        catalog.drop_namespace(namespace)
    catalog.purge_table(f"{namespace}.b")
    assert not catalog.table_exists(f"{namespace}.b")
    with pytest.raises(NoSuchTableError):
        catalog.load_table(f"{namespace}.b")
    catalog.drop_namespace(namespace)
    with pytest.raises(NoSuchNamespaceError):
        catalog.list_tables(namespace)


def test_nested_namespaces_hold_tables(
    lake: LakeServer, catalog: RestCatalog, namespace: str
) -> None:
    catalog.create_namespace((namespace, "inner"), {"owner": "me"})
    table = catalog.create_table((namespace, "inner", "t"), ROWS.schema)
    table.append(ROWS)
    assert catalog.list_namespaces(namespace) == [(namespace, "inner")]
    assert catalog.load_namespace_properties((namespace, "inner"))["owner"] == "me"
    assert lake.sql(f'SELECT count(*) FROM "{namespace}.inner".t') == [(3,)]


def test_a_registered_table_is_read(catalog: RestCatalog, namespace: str) -> None:
    """A table that another catalog wrote into the warehouse's folder is taken over."""
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    table.append(ROWS)
    with pytest.raises(Exception, match="another table"):
        catalog.register_table(f"{namespace}.again", table.metadata_location)


def test_concurrent_committers_conflict_and_retry(catalog: RestCatalog, namespace: str) -> None:
    """Invariant 5: one compare-and-swap decides; who lost is told 409, and retries."""
    table = catalog.create_table(f"{namespace}.t", ROWS.schema)
    stale = catalog.load_table(f"{namespace}.t")
    table.append(ROWS)
    stale.append(ROWS)
    assert ids(stale) == [1, 1, 2, 2, 3, 3]

    def write(number: int) -> None:
        for _ in range(30):
            mine = catalog.load_table(f"{namespace}.t")
            try:
                mine.append(pa.table({"id": pa.array([number], pa.int64()), "name": ["x"]}))
                return
            except CommitFailedException:
                continue
        raise AssertionError("never committed")

    threads = [threading.Thread(target=write, args=(100 + number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ids(catalog.load_table(f"{namespace}.t"))
    assert [number for number in found if number >= 100] == [100, 101, 102, 103, 104, 105]


def test_views_are_listed_checked_and_dropped(
    lake: LakeServer, catalog: RestCatalog, namespace: str
) -> None:
    lake.sql(f"CREATE VIEW {namespace}.v AS SELECT 1 AS one")
    assert catalog.list_views(namespace) == [(namespace, "v")]
    assert catalog.view_exists(f"{namespace}.v")
    catalog.drop_view(f"{namespace}.v")
    assert not catalog.view_exists(f"{namespace}.v")


def test_oauth_credentials_are_exchanged(lake: LakeServer, namespace: str) -> None:
    made = RestCatalog("lake", uri=lake.iceberg, credential=f"me:{lake.admin_token}")
    assert (namespace,) in made.list_namespaces()
