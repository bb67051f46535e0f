"""Random commits, compared with what PyIceberg's own update engine makes of them.

Known differences, on purpose: PyIceberg forgets the parent of a snapshot when that expires,
keeps history from before an expired snapshot (the spec removes it) and its partition
statistics, and writes no trail for a commit that changes nothing.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pyiceberg.table.metadata import TableMetadataUtil
from pyiceberg.table.update import TableUpdate, update_table_metadata

from lakehold.catalog.metadata import apply_updates, finish_commit
from tests.catalog.metadata.tables import (
    NOW_MS,
    PLACE,
    TRIPS,
    Json,
    column,
    list_of,
    snapshot,
    struct,
    table,
    to_main,
)

UPDATES = TypeAdapter(tuple[TableUpdate, ...])
LOOSE = ("last-updated-ms", "snapshot-log", "snapshots", "metadata-log", "partition-statistics")
"""Not compared word by word."""

KINDS = st.sampled_from(["int", "long", "string", "date", "timestamp", "decimal(9, 2)", "uuid"])


class Commits:
    """Draws updates that fit the metadata, as a client would make them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.metadata = table()
        self.names = 0

    def commit(self) -> list[Json]:
        drawn = st.lists(st.sampled_from(self.choices), min_size=1, max_size=3)
        updates: list[Json] = []
        for choice in self.draw(drawn):
            made = choice(self)
            updates += made
            self.metadata = apply_updates(self.metadata, made, now_ms=NOW_MS)
        return updates

    def _name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def _schema(self) -> Json:
        current = self.metadata["current-schema-id"]
        found = next(s for s in self.metadata["schemas"] if s["schema-id"] == current)
        return copy.deepcopy(found)

    def append(self) -> list[Json]:
        sequence = self.metadata["last-sequence-number"] + 1
        current = self.metadata["current-snapshot-id"]
        schema = self.metadata["current-schema-id"]
        made = snapshot(1000 + sequence, sequence, current, **{"schema-id": schema})
        return [{"action": "add-snapshot", "snapshot": made}, to_main(1000 + sequence)]

    def add_column(self) -> list[Json]:
        schema, last = self._schema(), self.metadata["last-column-id"]
        kind = self.draw(
            st.one_of(
                KINDS,
                KINDS.map(lambda kind: list_of(last + 2, kind)),
                KINDS.map(lambda kind: struct(column(last + 2, "x", kind))),
            )
        )
        schema["fields"].append(column(last + 1, self._name(), kind))
        return self._set_schema(schema)

    def rename_column(self) -> list[Json]:
        schema = self._schema()
        item = self.draw(st.sampled_from(schema["fields"]))
        item["name"] = self._name()
        return self._set_schema(schema)

    def drop_column(self) -> list[Json]:
        schema = self._schema()
        used = {f["source-id"] for s in self.metadata["partition-specs"] for f in s["fields"]}
        used |= {f["source-id"] for o in self.metadata["sort-orders"] for f in o["fields"]}
        free = [item for item in schema["fields"] if item["id"] not in used and item["id"] > 1]
        if not free:
            return []
        schema["fields"].remove(self.draw(st.sampled_from(free)))
        return self._set_schema(schema)

    def _set_schema(self, schema: Json) -> list[Json]:
        for known in self.metadata["schemas"]:
            if known["fields"] == schema["fields"]:
                return [{"action": "set-current-schema", "schema-id": known["schema-id"]}]
        schema["schema-id"] = 1 + max(s["schema-id"] for s in self.metadata["schemas"])
        return [
            {"action": "add-schema", "schema": schema},
            {"action": "set-current-schema", "schema-id": -1},
        ]

    def partition(self) -> list[Json]:
        number = 1 + max(s["spec-id"] for s in self.metadata["partition-specs"])
        last = self.metadata["last-partition-id"] + 1
        transform = f"bucket[{self.draw(st.integers(1, 10**6))}]"
        field = {"source-id": 1, "transform": transform, "name": self._name(), "field-id": last}
        return [
            {"action": "add-spec", "spec": {"spec-id": number, "fields": [field]}},
            {"action": "set-default-spec", "spec-id": -1},
        ]

    def sort(self) -> list[Json]:
        number = 1 + max(o["order-id"] for o in self.metadata["sort-orders"])
        self.names += 1
        key = {
            "source-id": 1,
            "transform": f"bucket[{self.names}]",
            "direction": self.draw(st.sampled_from(["asc", "desc"])),
            "null-order": self.draw(st.sampled_from(["nulls-first", "nulls-last"])),
        }
        return [
            {"action": "add-sort-order", "sort-order": {"order-id": number, "fields": [key]}},
            {"action": "set-default-sort-order", "sort-order-id": -1},
        ]

    def set_properties(self) -> list[Json]:
        updates = self.draw(st.dictionaries(st.sampled_from("abc"), st.text(max_size=3)))
        return [{"action": "set-properties", "updates": updates}]

    def remove_properties(self) -> list[Json]:
        return [{"action": "remove-properties", "removals": sorted(self.metadata["properties"])}]

    def set_reference(self) -> list[Json]:
        known = [s["snapshot-id"] for s in self.metadata["snapshots"]]
        if not known:
            return []
        name = self.draw(st.sampled_from(["main", "dev", "v1"]))
        kind = {"main": "branch", "dev": "branch", "v1": "tag"}[name]
        update = {"snapshot-id": self.draw(st.sampled_from(known)), "type": kind}
        if kind == "tag" and self.draw(st.booleans()):
            update["max-ref-age-ms"] = 1000
        return [{"action": "set-snapshot-ref", "ref-name": name, **update}]

    def remove_reference(self) -> list[Json]:
        name = self.draw(st.sampled_from(["main", "dev", "v1"]))
        return [{"action": "remove-snapshot-ref", "ref-name": name}]

    def expire(self) -> list[Json]:
        current = self.metadata["current-snapshot-id"]
        known = [s["snapshot-id"] for s in self.metadata["snapshots"]]
        gone = [number for number in known if number != current][:2]
        return [{"action": "remove-snapshots", "snapshot-ids": gone}] if gone else []

    def set_statistics(self) -> list[Json]:
        known = [s["snapshot-id"] for s in self.metadata["snapshots"]]
        if not known:
            return []
        number = self.draw(st.sampled_from(known))
        file = {
            "snapshot-id": number,
            "statistics-path": f"{PLACE}/metadata/{self._name()}.puffin",
            "file-size-in-bytes": 10,
        }
        whole = {**file, "file-footer-size-in-bytes": 4, "blob-metadata": []}
        return [
            {"action": "set-statistics", "statistics": whole},
            {"action": "set-partition-statistics", "partition-statistics": file},
        ]

    choices = (
        append,
        append,
        append,
        add_column,
        rename_column,
        drop_column,
        partition,
        sort,
        set_properties,
        remove_properties,
        set_reference,
        remove_reference,
        expire,
        set_statistics,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[list[Json]]:
    """The commits of a table's life."""
    commits = Commits(draw)
    made = [commits.commit() for _ in range(draw(st.integers(1, 5)))]
    return [updates for updates in made if updates]


def shown(metadata: Any) -> Json:
    dumped: Json = metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


@given(histories())
@settings(max_examples=150, deadline=None)
def test_commits_make_what_pyiceberg_makes_of_them(history: list[list[Json]]) -> None:
    ours = table()
    theirs = TableMetadataUtil.parse_obj(copy.deepcopy(ours))
    for number, updates in enumerate(history):
        before = copy.deepcopy((ours, updates))
        draft = apply_updates(ours, updates, now_ms=NOW_MS)
        assert (ours, updates) == before
        ours = finish_commit(ours, draft, base_location=f"/m/{number}.json", now_ms=NOW_MS)
        theirs = update_table_metadata(
            theirs, UPDATES.validate_python(updates), metadata_location=f"/m/{number}.json"
        )
        read, expected = shown(TableMetadataUtil.parse_obj(copy.deepcopy(ours))), shown(theirs)
        for key in LOOSE:
            mine, other = read.pop(key, []), expected.pop(key, [])
            if key == "partition-statistics":
                known = {item["snapshot-id"] for item in ours["snapshots"]}
                assert mine == [item for item in other if item["snapshot-id"] in known]
            if key == "snapshots":
                for item in (*mine, *other):
                    item.pop("parent-snapshot-id", None)
                assert mine == other
        assert read == expected
        check_log(ours)


def check_log(metadata: Json) -> None:
    """History is in order, ends with what is current, and knows every snapshot that it names."""
    log = metadata["snapshot-log"]
    moments = [entry["timestamp-ms"] for entry in log]
    assert moments == sorted(moments)
    known = {item["snapshot-id"] for item in metadata["snapshots"]}
    assert {entry["snapshot-id"] for entry in log} <= known
    current = metadata["current-snapshot-id"]
    if current is not None:
        assert log[-1]["snapshot-id"] == current
    assert not moments or metadata["last-updated-ms"] >= moments[-1]


@given(histories(), st.dictionaries(st.text(min_size=1), st.integers(), max_size=3))
@settings(max_examples=50, deadline=None)
def test_unknown_keys_survive_every_commit(
    history: list[list[Json]], unknown: dict[str, int]
) -> None:
    mine = {f"x-{key}": value for key, value in unknown.items()}
    metadata = {**table(TRIPS), **mine}
    for updates in history:
        metadata = apply_updates(metadata, updates, now_ms=NOW_MS)
    assert metadata.items() >= mine.items()
