"""The loopback catalog of the embedded engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from lakehold.errors import CommitConflict
from lakehold.server.engine_port import EnginePort, for_writing

TOKEN, OTHER = "slot-a", "slot-b"


@dataclass
class OneTable:
    """A transaction with one table, as far as the port looks at it."""

    id: UUID = field(default_factory=uuid4)
    commits: list[list[dict[str, Any]]] = field(default_factory=list)
    conflict: bool = False

    def load(self, table: UUID) -> tuple[dict[str, Any], str]:
        assert table == self.id
        return {"table-uuid": str(table), "snapshots": [], "refs": {}}, "/w/t/metadata/0.json"

    def update_table(
        self, table_id: UUID, requirements: list[Any], updates: list[Any]
    ) -> tuple[dict[str, Any], str]:
        if self.conflict:
            raise CommitConflict("another commit came first")
        self.commits.append(updates)
        return self.load(table_id)


@dataclass
class Bound:
    transaction: OneTable
    allowed: frozenset[UUID]


@pytest.fixture
def table() -> OneTable:
    return OneTable()


@pytest.fixture
def bound(table: OneTable) -> dict[str, Bound]:
    return {TOKEN: Bound(table, frozenset({table.id}))}


@pytest.fixture
def port(bound: dict[str, Bound]) -> Iterator[EnginePort]:
    served = EnginePort(bound, [TOKEN, OTHER])
    served.start()
    yield served
    served.stop()


def call(
    port: EnginePort, method: str, path: str, token: str = TOKEN, **options: Any
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{port.endpoint}/v1/{path}", headers=headers, **options)


ADD = {"action": "add-snapshot", "snapshot": {"snapshot-id": 1}}


def test_it_listens_on_the_loopback_interface_alone(port: EnginePort) -> None:
    assert port.endpoint.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("token", ["-", "x", TOKEN + "x", TOKEN[:-1], TOKEN.upper()])
def test_a_stranger_gets_no_answer(port: EnginePort, table: OneTable, token: str) -> None:
    for path in ("config", "namespaces", f"namespaces/tables/tables/{table.id}"):
        assert call(port, "GET", path, token).status_code == 401
    assert httpx.get(f"{port.endpoint}/v1/config").status_code == 401


def test_a_slot_without_a_statement_sees_no_table(port: EnginePort, table: OneTable) -> None:
    path = f"namespaces/tables/tables/{table.id}"
    assert call(port, "GET", path, OTHER).status_code == 403
    assert call(port, "POST", path, OTHER, json={"updates": [ADD]}).status_code == 403
    assert call(port, "GET", "namespaces/tables/tables", OTHER).json() == {"identifiers": []}


@pytest.mark.parametrize("name", [str(uuid4()), "t", "%20", "' OR 1"])
def test_a_slot_sees_its_statements_tables_alone(port: EnginePort, name: str) -> None:
    assert call(port, "GET", f"namespaces/tables/tables/{name}").status_code == 404


def test_data_is_committed_into_the_transaction(port: EnginePort, table: OneTable) -> None:
    path = f"namespaces/tables/tables/{table.id}"
    assert call(port, "GET", path).json()["metadata"]["table-uuid"] == str(table.id)
    assert call(port, "POST", path, json={"updates": [ADD]}).status_code == 200
    change = {"identifier": {"namespace": ["tables"], "name": str(table.id)}, "updates": [ADD]}
    committed = call(port, "POST", "transactions/commit", json={"table-changes": [change]})
    assert committed.status_code == 204
    assert table.commits == [[ADD], [ADD]]


@pytest.mark.parametrize("action", ["add-schema", "set-properties", "set-location", "", None])
def test_the_engine_commits_nothing_but_data(
    port: EnginePort, table: OneTable, action: str | None
) -> None:
    path = f"namespaces/tables/tables/{table.id}"
    updates = [ADD, {"action": action}]
    assert call(port, "POST", path, json={"updates": updates}).status_code == 403
    assert table.commits == []


def test_one_forbidden_table_stops_the_whole_commit(port: EnginePort, table: OneTable) -> None:
    changes = [
        {"identifier": {"namespace": ["tables"], "name": str(name)}, "updates": [ADD]}
        for name in (table.id, uuid4())
    ]
    refused = call(port, "POST", "transactions/commit", json={"table-changes": changes})
    assert refused.status_code == 404
    assert table.commits == []


def test_what_really_happened_can_be_asked_for(port: EnginePort, table: OneTable) -> None:
    table.conflict = True
    path = f"namespaces/tables/tables/{table.id}"
    refused = call(port, "POST", path, json={"updates": [ADD]})
    assert refused.status_code == 409
    assert refused.json()["error"]["type"] == "CommitFailedException"
    assert isinstance(port.take_error(TOKEN), CommitConflict)
    assert port.take_error(TOKEN) is None


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_nothing_else_is_served(port: EnginePort, table: OneTable, method: str) -> None:
    for path in ("namespaces", f"namespaces/tables/tables/{table.id}", "tables/rename", ""):
        assert call(port, method, path).status_code == 404


def test_a_writer_is_spared_the_history() -> None:
    metadata = {
        "snapshots": [{"snapshot-id": number} for number in range(5)],
        "refs": {"main": {"snapshot-id": 4, "type": "branch"}},
        "current-snapshot-id": 4,
        "snapshot-log": [1],
        "metadata-log": [1],
        "format-version": 2,
    }
    shown = for_writing(metadata)
    assert shown["snapshots"] == [{"snapshot-id": 4}]
    assert (shown["snapshot-log"], shown["metadata-log"]) == ([], [])
    assert len(metadata["snapshots"]) == 5
