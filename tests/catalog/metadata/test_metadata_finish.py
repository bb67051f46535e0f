"""What a commit leaves behind: its time, and a bounded trail of where the metadata was."""

from __future__ import annotations

import pytest

from lakehold.catalog.metadata import finish_commit
from tests.catalog.metadata.tables import (
    NOW_MS,
    Json,
    appended,
    apply,
    table,
    to_main,
    with_rows,
)


def finish(base: Json, new: Json, now_ms: int = NOW_MS, place: str = "/m/1.json") -> Json:
    return finish_commit(base, new, base_location=place, now_ms=now_ms)


def renamed(metadata: Json, **properties: str) -> Json:
    return apply(metadata, {"action": "set-properties", "updates": properties})


def test_the_last_metadata_is_remembered_with_its_own_time() -> None:
    base = table()
    made = finish(base, renamed(base, a="b"), NOW_MS + 5)
    assert made["last-updated-ms"] == NOW_MS + 5
    assert made["metadata-log"] == [{"timestamp-ms": NOW_MS, "metadata-file": "/m/1.json"}]


def test_a_commit_of_rows_has_the_time_of_its_snapshot() -> None:
    base = table()
    made = finish(base, apply(base, *appended(1, 1)), NOW_MS + 5)
    assert made["last-updated-ms"] == NOW_MS + 1000 == made["snapshot-log"][-1]["timestamp-ms"]


def test_time_never_goes_back() -> None:
    base = {**table(), "last-updated-ms": NOW_MS + 90_000}
    assert finish(base, renamed(base, a="b"))["last-updated-ms"] == NOW_MS + 90_000
    assert finish(base, apply(base, *appended(1, 1)))["last-updated-ms"] == NOW_MS + 90_000


@pytest.mark.parametrize(
    ("wanted", "kept"), [(None, 100), ("3", 3), ("1", 1), ("0", 1), ("-5", 1), ("many", 100)]
)
def test_the_trail_is_bounded(wanted: str | None, kept: int) -> None:
    properties = {} if wanted is None else {"write.metadata.previous-versions-max": wanted}
    made = table(properties=properties)
    for number in range(103):
        made = finish(made, renamed(made, n=str(number)), place=f"/m/{number}.json")
    files = [entry["metadata-file"] for entry in made["metadata-log"]]
    assert files == [f"/m/{number}.json" for number in range(103 - kept, 103)]


def test_a_table_that_was_nowhere_before_leaves_no_trail() -> None:
    assert finish(table(), renamed(table(), a="b"), place="")["metadata-log"] == []


def test_snapshots_that_were_current_only_within_the_commit_leave_the_log() -> None:
    base = with_rows(2)
    draft = apply(base, *appended(201, 3, 102))
    draft = apply(draft, to_main(101), now_ms=NOW_MS + 50_000)
    draft = apply(draft, *appended(202, 4, 101, **{"timestamp-ms": NOW_MS + 60_000}))
    made = finish(base, draft)
    assert [entry["snapshot-id"] for entry in made["snapshot-log"]] == [101, 102, 101, 202]
    assert len(draft["snapshot-log"]) == 5


def test_the_draft_is_not_changed() -> None:
    base = with_rows(1)
    draft = apply(base, *appended(201, 2, 101))
    made = finish(base, draft)
    assert draft["metadata-log"] == []
    assert made["snapshots"] is draft["snapshots"]
