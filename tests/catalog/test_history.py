"""Time travel finds the snapshot that counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lakehold.catalog import Catalog
from lakehold.catalog.history import columns_at, snapshot_at
from lakehold.errors import InvalidParameter, UndefinedObject
from lakehold.state import Database
from tests.catalog.lake import append, create, find

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def moment(hours: float) -> datetime:
    return BEGAN + timedelta(hours=hours)


def milliseconds(hours: float) -> int:
    return int(moment(hours).timestamp() * 1000)


METADATA: dict[str, Any] = {
    "snapshots": [
        {"snapshot-id": 11, "timestamp-ms": milliseconds(1), "schema-id": 0},
        {"snapshot-id": 22, "timestamp-ms": milliseconds(2), "schema-id": 0},
        {"snapshot-id": 33, "timestamp-ms": milliseconds(3), "schema-id": 1},
    ],
    # At hour 4 the table was set back to its second snapshot.
    "snapshot-log": [
        {"snapshot-id": 11, "timestamp-ms": milliseconds(1)},
        {"snapshot-id": 22, "timestamp-ms": milliseconds(2)},
        {"snapshot-id": 33, "timestamp-ms": milliseconds(3)},
        {"snapshot-id": 22, "timestamp-ms": milliseconds(4)},
    ],
    "refs": {"main": {"snapshot-id": 22}, "audited": {"snapshot-id": 11}},
}


@pytest.mark.parametrize(
    ("hours", "expected"), [(1, 11), (1.5, 11), (2, 22), (3.9, 33), (4, 22), (99, 22)]
)
def test_a_moment_finds_what_was_current_then(hours: float, expected: int) -> None:
    assert snapshot_at(METADATA, timestamp=moment(hours))["snapshot-id"] == expected


def test_a_moment_without_a_zone_is_utc_and_any_zone_will_do() -> None:
    naive = moment(2.5).replace(tzinfo=None)
    assert snapshot_at(METADATA, timestamp=naive)["snapshot-id"] == 22
    abroad = moment(2.5).astimezone(timezone(timedelta(hours=9)))
    assert snapshot_at(METADATA, timestamp=abroad)["snapshot-id"] == 22


@pytest.mark.parametrize(("version", "expected"), [(33, 33), ("audited", 11), ("main", 22)])
def test_a_version_is_a_snapshot_a_branch_or_a_tag(version: int | str, expected: int) -> None:
    assert snapshot_at(METADATA, version=version)["snapshot-id"] == expected


def test_before_the_first_snapshot_the_oldest_is_named() -> None:
    with pytest.raises(UndefinedObject) as caught:
        snapshot_at(METADATA, timestamp=moment(0.5))
    assert "11, as of 2026-01-01T01:00:00+00:00" in (caught.value.hint or "")
    with pytest.raises(UndefinedObject):
        snapshot_at(METADATA, version=44)
    with pytest.raises(UndefinedObject, match="no snapshot nowhere"):
        snapshot_at(METADATA, version="nowhere")


def test_an_empty_table_has_no_past() -> None:
    with pytest.raises(UndefinedObject) as caught:
        snapshot_at({"snapshots": []}, timestamp=moment(1))
    assert "no snapshots yet" in (caught.value.hint or "")


def test_an_expired_snapshot_is_not_made_up() -> None:
    expired = METADATA | {"snapshots": METADATA["snapshots"][1:]}
    with pytest.raises(UndefinedObject) as caught:
        snapshot_at(expired, timestamp=moment(1.5))
    assert "the oldest is 22" in (caught.value.hint or "")


def test_a_version_and_a_moment_exclude_each_other() -> None:
    with pytest.raises(InvalidParameter):
        snapshot_at(METADATA)
    with pytest.raises(InvalidParameter):
        snapshot_at(METADATA, version=11, timestamp=moment(1))


def test_a_snapshot_shows_the_columns_of_its_time(catalog: Catalog, database: Database) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 3)
    transaction = catalog.begin()
    metadata, _ = transaction.load(table.id)
    fields = [
        *metadata["schemas"][0]["fields"],
        {"id": 3, "name": "z", "type": "long", "required": False},
    ]
    transaction.update_table(
        table.id,
        [],
        [
            {"action": "add-schema", "schema": {"type": "struct", "fields": fields}},
            {"action": "set-current-schema", "schema-id": -1},
        ],
    )
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert found.version == 2
    now = catalog.metadata(found.metadata_location)
    snapshot = catalog.snapshot_at(now, timestamp=datetime.now(UTC))
    assert [column.name for column in columns_at(now, snapshot)] == ["x", "note"]
    assert [column.name for column in found.columns] == ["x", "note", "z"]
