"""The REST catalog as it stands on the wire; every response is checked against the OpenAPI."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from lake_server import LakeServer

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 1, "name": "id", "required": True, "type": "long"},
        {"id": 2, "name": "name", "required": False, "type": "string"},
    ],
}


def error_of(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error["type"]


def create(http: httpx.Client, namespace: str, name: str, **more: Any) -> dict[str, Any]:
    path = f"namespaces/{quote(namespace, safe='')}/tables"
    response = http.post(path, json={"name": name, "schema": SCHEMA, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def set_property(key: str, value: str) -> dict[str, Any]:
    return {
        "requirements": [],
        "updates": [{"action": "set-properties", "updates": {key: value}}],
    }


def test_config_lists_the_endpoints_that_are_served(http: httpx.Client) -> None:
    config = http.get("config").json()
    assert "POST /v1/{prefix}/transactions/commit" in config["endpoints"]
    assert "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}" in config["endpoints"]


def test_another_warehouse_is_not_here(http: httpx.Client) -> None:
    assert http.get("config?warehouse=lake").status_code == 200
    assert error_of(http.get("config?warehouse=other")) == (404, "NoSuchWarehouseException")


def test_the_prefix_may_be_given(http: httpx.Client, namespace: str) -> None:
    assert http.get(f"lake/namespaces/{namespace}").status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer lh_no_token", "Basic x", "Bearer"])
def test_no_good_token_is_not_authorized(lake: LakeServer, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("config", "namespaces", "namespaces/main/tables/t"):
        response = httpx.get(f"{lake.iceberg}/v1/{path}", headers=headers)
        assert error_of(response) == (401, "NotAuthorizedException")


def test_namespaces_are_nested(http: httpx.Client, namespace: str) -> None:
    for levels in ([namespace, "a"], [namespace, "a", "b"]):
        made = http.post("namespaces", json={"namespace": levels, "properties": {"x": "1"}})
        assert made.json() == {"namespace": levels, "properties": {"x": "1"}}
    below = http.get("namespaces", params={"parent": namespace}).json()["namespaces"]
    assert below == [[namespace, "a"]]
    below = http.get("namespaces", params={"parent": f"{namespace}\x1fa"}).json()["namespaces"]
    assert below == [[namespace, "a", "b"]]
    assert http.head(f"namespaces/{namespace}%1Fa%1Fb").status_code == 204
    assert error_of(http.delete(f"namespaces/{namespace}")) == (409, "NamespaceNotEmptyException")
    assert http.delete(f"namespaces/{namespace}%1Fa%1Fb").status_code == 204
    assert http.head(f"namespaces/{namespace}%1Fa%1Fb").status_code == 404


def test_namespace_properties_change(http: httpx.Client, namespace: str) -> None:
    path = f"namespaces/{namespace}/properties"
    assert http.post(path, json={"updates": {"a": "1", "b": "2"}}).json() == {
        "updated": ["a", "b"],
        "removed": [],
        "missing": [],
    }
    changed = http.post(path, json={"updates": {"a": "3"}, "removals": ["b", "c"]}).json()
    assert changed == {"updated": ["a"], "removed": ["b"], "missing": ["c"]}
    assert http.get(f"namespaces/{namespace}").json()["properties"] == {"a": "3"}
    both = http.post(path, json={"updates": {"a": "1"}, "removals": ["a"]})
    assert error_of(both) == (422, "UnprocessableEntityException")


def test_what_is_not_there_is_named_by_its_kind(http: httpx.Client, namespace: str) -> None:
    missing = "namespaces/no_such_namespace"
    assert error_of(http.get(missing)) == (404, "NoSuchNamespaceException")
    assert error_of(http.get(f"{missing}/tables")) == (404, "NoSuchNamespaceException")
    table = f"namespaces/{namespace}/tables/none"
    assert error_of(http.get(table)) == (404, "NoSuchTableException")
    assert error_of(http.delete(table)) == (404, "NoSuchTableException")
    assert error_of(http.post(table, json=set_property("a", "b")))[1] == "NoSuchTableException"
    view = f"namespaces/{namespace}/views/none"
    assert error_of(http.get(view)) == (404, "NoSuchViewException")
    assert http.head(table).status_code == 404
    assert http.head(view).status_code == 404


def test_a_table_is_created_once(http: httpx.Client, namespace: str) -> None:
    created = create(http, namespace, "t", properties={"owner": "me"})
    assert created["metadata"]["properties"]["owner"] == "me"
    assert created["metadata-location"].endswith(".metadata.json")
    again = http.post(f"namespaces/{namespace}/tables", json={"name": "t", "schema": SCHEMA})
    assert error_of(again) == (409, "AlreadyExistsException")


def test_a_staged_table_is_made_by_its_commit(http: httpx.Client, namespace: str) -> None:
    staged = create(http, namespace, "s", **{"stage-create": True})
    path = f"namespaces/{namespace}/tables/s"
    assert http.head(path).status_code == 404
    metadata = staged["metadata"]
    commit = {
        "requirements": [{"type": "assert-create"}],
        "updates": [
            {"action": "assign-uuid", "uuid": metadata["table-uuid"]},
            {"action": "upgrade-format-version", "format-version": 2},
            {"action": "add-schema", "schema": metadata["schemas"][0]},
            {"action": "set-current-schema", "schema-id": -1},
            {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
            {"action": "set-default-spec", "spec-id": -1},
            {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
            {"action": "set-default-sort-order", "sort-order-id": -1},
            {"action": "set-location", "location": metadata["location"]},
            {"action": "set-properties", "updates": {"k": "v"}},
        ],
    }
    made = http.post(path, json=commit)
    assert made.status_code == 200, made.text
    assert made.json()["metadata"]["location"] == metadata["location"]
    assert error_of(http.post(path, json=commit)) == (409, "CommitFailedException")


def test_a_commit_whose_requirement_fails_is_a_conflict(http: httpx.Client, namespace: str) -> None:
    create(http, namespace, "t")
    commit = set_property("a", "b")
    commit["requirements"] = [{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": 123}]
    response = http.post(f"namespaces/{namespace}/tables/t", json=commit)
    assert error_of(response) == (409, "CommitFailedException")


@pytest.mark.parametrize(
    "commit",
    [
        {"requirements": [{"type": "assert-weather"}], "updates": []},
        {"requirements": [], "updates": [{"action": "add-magic"}]},
        {"requirements": "x", "updates": []},
        {"requirements": [], "updates": [1]},
    ],
)
def test_unknown_updates_and_requirements_are_refused(
    http: httpx.Client, namespace: str, commit: dict[str, Any]
) -> None:
    create(http, namespace, "t")
    response = http.post(f"namespaces/{namespace}/tables/t", json=commit)
    assert error_of(response) == (400, "BadRequestException")


def test_the_platforms_own_properties_cannot_be_set(http: httpx.Client, namespace: str) -> None:
    """A default is SQL that the gateway runs; it must come through the gateway."""
    create(http, namespace, "t")
    commit = set_property("lakehold.default.1", "(SELECT 1)")
    response = http.post(f"namespaces/{namespace}/tables/t", json=commit)
    assert error_of(response) == (400, "BadRequestException")


def test_a_load_is_not_repeated_while_nothing_changed(http: httpx.Client, namespace: str) -> None:
    create(http, namespace, "t")
    path = f"namespaces/{namespace}/tables/t"
    first = http.get(path)
    tag = first.headers["etag"]
    unchanged = http.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert http.get(f"{path}?snapshots=refs").headers["etag"] != tag
    http.post(path, json=set_property("a", "b"))
    assert http.get(path, headers={"If-None-Match": f'"x", {tag}'}).status_code == 200


def test_lists_come_in_pages(http: httpx.Client, namespace: str) -> None:
    for number in range(5):
        create(http, namespace, f"t{number}")
    path = f"namespaces/{namespace}/tables"
    whole = http.get(path).json()
    assert len(whole["identifiers"]) == 5
    assert whole["next-page-token"] is None
    found, token = [], ""
    while token is not None:
        page = http.get(path, params={"pageToken": token, "pageSize": "2"}).json()
        assert len(page["identifiers"]) <= 2
        found += [item["name"] for item in page["identifiers"]]
        token = page["next-page-token"]
    assert found == ["t0", "t1", "t2", "t3", "t4"]
    bad = http.get(path, params={"pageToken": "€", "pageSize": "2"})
    assert error_of(bad) == (400, "BadRequestException")
    assert error_of(http.get(path, params={"pageToken": "", "pageSize": "0"}))[0] == 400


def test_names_may_hold_any_character(http: httpx.Client, namespace: str) -> None:
    name = "a/b %2F 'ü\"日本;.x"
    create(http, namespace, name)
    path = f"namespaces/{namespace}/tables/{quote(name, safe='')}"
    assert http.head(path).status_code == 204
    assert http.get(f"namespaces/{namespace}/tables").json()["identifiers"] == [
        {"namespace": [namespace], "name": name}
    ]
    assert http.delete(path).status_code == 204


def test_rename_moves_between_namespaces(
    lake: LakeServer, http: httpx.Client, namespace: str
) -> None:
    other = lake.name("ns")
    http.post("namespaces", json={"namespace": [other]})
    create(http, namespace, "old")
    create(http, other, "taken")

    def rename(new: str) -> httpx.Response:
        source = {"namespace": [namespace], "name": "old"}
        destination = {"namespace": [other], "name": new}
        return http.post("tables/rename", json={"source": source, "destination": destination})

    assert error_of(rename("taken")) == (409, "AlreadyExistsException")
    assert rename("new").status_code == 204
    assert http.head(f"namespaces/{namespace}/tables/old").status_code == 404
    assert http.head(f"namespaces/{other}/tables/new").status_code == 204


def test_a_transaction_commits_all_or_nothing(http: httpx.Client, namespace: str) -> None:
    create(http, namespace, "a")
    create(http, namespace, "b")

    def change(name: str, requirements: list[Any]) -> dict[str, Any]:
        identifier = {"namespace": [namespace], "name": name}
        return {**set_property("x", "1"), "identifier": identifier, "requirements": requirements}

    wrong = [{"type": "assert-table-uuid", "uuid": "00000000-0000-0000-0000-000000000000"}]
    failed = http.post(
        "transactions/commit", json={"table-changes": [change("a", []), change("b", wrong)]}
    )
    assert error_of(failed) == (409, "CommitFailedException")
    path = f"namespaces/{namespace}/tables/a"
    assert "x" not in http.get(path).json()["metadata"]["properties"]
    done = http.post(
        "transactions/commit", json={"table-changes": [change("a", []), change("b", [])]}
    )
    assert done.status_code == 204
    assert http.get(path).json()["metadata"]["properties"]["x"] == "1"


def test_a_dropped_table_can_be_purged(
    lake: LakeServer, http: httpx.Client, namespace: str
) -> None:
    location = create(http, namespace, "t")["metadata"]["location"].removeprefix("file://")
    folder = lake.warehouse / location.removeprefix(str(lake.warehouse) + "/")
    assert folder.exists()
    path = f"namespaces/{namespace}/tables/t"
    assert error_of(http.delete(f"{path}?purgeRequested=perhaps"))[0] == 400
    assert http.delete(f"{path}?purgeRequested=true").status_code == 204
    assert not any(item.is_file() for item in folder.rglob("*"))


def test_a_location_outside_of_the_warehouse_is_refused(http: httpx.Client, namespace: str) -> None:
    for location in ("/etc/x", "file:///etc/x", "s3://other/x"):
        response = http.post(
            f"namespaces/{namespace}/tables",
            json={"name": "t", "schema": SCHEMA, "location": location},
        )
        assert error_of(response) == (400, "BadRequestException")


VIEW_VERSION = {
    "version-id": 1,
    "timestamp-ms": 1,
    "schema-id": 0,
    "summary": {"engine-name": "test"},
    "representations": [{"type": "sql", "sql": "SELECT 1 AS id", "dialect": "spark"}],
    "default-namespace": ["main"],
}


def test_views_live_beside_tables(http: httpx.Client, namespace: str) -> None:
    path = f"namespaces/{namespace}/views"
    body = {"name": "v", "schema": SCHEMA, "view-version": VIEW_VERSION, "properties": {"a": "b"}}
    made = http.post(path, json=body)
    assert made.status_code == 200, made.text
    assert error_of(http.post(path, json=body)) == (409, "AlreadyExistsException")
    assert http.get(path).json()["identifiers"] == [{"namespace": [namespace], "name": "v"}]
    assert http.get(f"namespaces/{namespace}/tables").json()["identifiers"] == []
    assert http.head(f"{path}/v").status_code == 204
    uuid = made.json()["metadata"]["view-uuid"]
    replaced = http.post(
        f"{path}/v",
        json={
            "requirements": [{"type": "assert-view-uuid", "uuid": uuid}],
            "updates": [
                {"action": "add-view-version", "view-version": {**VIEW_VERSION, "version-id": 2}},
                {"action": "set-current-view-version", "view-version-id": -1},
            ],
        },
    )
    assert replaced.status_code == 200, replaced.text
    renamed = {
        "source": {"namespace": [namespace], "name": "v"},
        "destination": {"namespace": [namespace], "name": "w"},
    }
    assert http.post("views/rename", json=renamed).status_code == 204
    assert http.get(f"{path}/w").json()["metadata"]["view-uuid"] == uuid
    assert http.delete(f"{path}/w").status_code == 204


def test_a_view_cannot_take_another_rights(http: httpx.Client, namespace: str) -> None:
    properties = {"lakehold.view-rights": "definer", "lakehold.view-owner": "admin"}
    body = {
        "name": "v",
        "schema": SCHEMA,
        "view-version": VIEW_VERSION,
        "properties": properties,
    }
    response = http.post(f"namespaces/{namespace}/views", json=body)
    assert error_of(response) == (400, "BadRequestException")


def test_metrics_reports_are_checked(http: httpx.Client, namespace: str) -> None:
    create(http, namespace, "t")
    path = f"namespaces/{namespace}/tables/t/metrics"
    report = {
        "report-type": "scan-report",
        "table-name": "t",
        "snapshot-id": 1,
        "filter": {"type": "always-true"},
        "schema-id": 0,
        "projected-field-ids": [1],
        "projected-field-names": ["id"],
        "metrics": {},
    }
    assert http.post(path, json=report).status_code == 204
    assert error_of(http.post(path, json={"report-type": "scan-report"}))[0] == 400


def test_no_credentials_are_handed_out(http: httpx.Client, namespace: str) -> None:
    create(http, namespace, "t")
    path = f"namespaces/{namespace}/tables/t"
    assert http.get(f"{path}/credentials").json() == {"storage-credentials": []}
    delegated = http.get(path, headers={"X-Iceberg-Access-Delegation": "vended-credentials"})
    assert delegated.json()["config"] == {}


def test_a_secret_becomes_an_access_token(lake: LakeServer, openapi: Any) -> None:
    url = f"{lake.iceberg}/v1/oauth/tokens"
    form = {
        "grant_type": "client_credentials",
        "client_id": "x",
        "client_secret": lake.admin_token,
        "scope": "catalog",
    }
    granted = httpx.post(url, data=form)
    assert granted.status_code == 200, granted.text
    openapi.check("POST", url, 200, granted.content)
    assert granted.headers["cache-control"] == "no-store"
    token = granted.json()["access_token"]
    assert token != lake.admin_token
    assert lake.http(token).get("namespaces").status_code == 200
    basic = httpx.post(url, data={"grant_type": "client_credentials"}, auth=("x", lake.admin_token))
    assert basic.status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_secret": "lh_x_y"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_secret_gets_no_token(
    lake: LakeServer, openapi: Any, form: dict[str, str], status: int, error: str
) -> None:
    url = f"{lake.iceberg}/v1/oauth/tokens"
    refused = httpx.post(url, data=form)
    openapi.check("POST", url, refused.status_code, refused.content)
    if form:
        assert (refused.status_code, refused.json()["error"]) == (status, error)


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff", b'{"namespace": "x"}', b"null"])
def test_a_malformed_body_is_a_bad_request(http: httpx.Client, body: bytes) -> None:
    assert error_of(http.post("namespaces", content=body)) == (400, "BadRequestException")


@pytest.mark.parametrize("levels", [[], [""], ["a.b"], ["a\x00"], [1], ["a"] * 40])
def test_a_namespace_that_cannot_be_is_refused(http: httpx.Client, levels: list[Any]) -> None:
    response = http.post("namespaces", json={"namespace": levels})
    assert error_of(response) == (400, "BadRequestException")


def test_unknown_paths_and_methods_are_told_apart(http: httpx.Client) -> None:
    assert error_of(http.get("nothing/here"))[0] == 404
    assert error_of(http.put("namespaces"))[0] == 405


def test_each_operation_leaves_one_record(
    lake: LakeServer, http: httpx.Client, namespace: str
) -> None:
    """Invariant 1: exactly one ledger record, also for what fails."""
    create(http, namespace, "t")
    http.get(f"namespaces/{namespace}/tables/t")
    http.get(f"namespaces/{namespace}/tables/none")
    rows = lake.sql(
        "SELECT kind, status FROM lakehold.ledger "
        f"WHERE statement LIKE '%{namespace}%' AND protocol = 'iceberg-rest'"
    )
    assert sorted(rows) == [
        ("CREATE NAMESPACE", "ok"),
        ("CREATE TABLE", "ok"),
        ("LOAD TABLE", "ok"),
        ("LOAD TABLE", "refused"),
    ]
