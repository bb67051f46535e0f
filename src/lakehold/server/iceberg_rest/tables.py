"""Routes of tables."""

from __future__ import annotations

import hashlib
from typing import Literal

import structlog

from lakehold.errors import InvalidRequest, StatementNotSupported
from lakehold.names import TableName
from lakehold.query.governed_catalog import LoadedTable, TableCommit, TableRequest
from lakehold.server.iceberg_rest.requests import (
    Answer,
    Json,
    Request,
    as_identifier,
    as_metadata,
    checked,
    identifier,
    objects,
    optional,
    page,
    required,
    texts,
)

_log = structlog.get_logger("lakehold.iceberg_rest")

REPORT_MEMBERS = {
    "scan-report": ("table-name", "snapshot-id", "filter", "schema-id", "metrics"),
    "commit-report": ("table-name", "snapshot-id", "sequence-number", "operation", "metrics"),
}
"""The members that a report of each kind must have (REST: ReportMetricsRequest)."""


def list_tables(request: Request) -> Answer:
    found = request.catalog.tables.names(request.namespace)
    names, token = page(request, found, lambda name: name.table.lower())
    return Answer(
        body={"identifiers": [as_identifier(name) for name in names], "next-page-token": token}
    )


def create_table(request: Request) -> Answer:
    body = request.json()
    stage = body.get("stage-create") or False
    if not isinstance(stage, bool):
        raise InvalidRequest("stage-create must be true or false")
    wanted = TableRequest(
        schema=required(body, "schema", dict),
        partition_spec=optional(body, "partition-spec", dict),
        sort_order=optional(body, "write-order", dict),
        properties=texts(body, "properties"),
        location=optional(body, "location", str),
    )
    name = TableName(request.namespace, checked(body.get("name"), "name"))
    return _loaded(request, request.catalog.tables.create(name, wanted, stage=stage))


def register_table(request: Request) -> Answer:
    body = request.json()
    if body.get("overwrite"):
        raise StatementNotSupported("register with overwrite is not supported")
    name = TableName(request.namespace, checked(body.get("name"), "name"))
    location = required(body, "metadata-location", str)
    return _loaded(request, request.catalog.tables.register(name, location))


def load_table(request: Request) -> Answer:
    mode = request.query.get("snapshots", "all") or "all"
    if mode not in ("all", "refs"):
        raise InvalidRequest(f"snapshots is all or refs, not {mode!r}")
    snapshots: Literal["all", "refs"] = "refs" if mode == "refs" else "all"
    table = request.catalog.tables.load(request.table(), snapshots=snapshots)
    tag = _entity_tag(table, snapshots)
    if tag is not None and _matches(request.headers.get("if-none-match", ""), tag):
        return Answer(304, headers={"ETag": tag})
    return _loaded(request, table, snapshots)


def table_exists(request: Request) -> Answer:
    request.catalog.tables.exists(request.table())
    return Answer(204)


def commit_table(request: Request) -> Answer:
    table = request.catalog.tables.commit(_commit(request.json(), request.table()))
    return Answer(
        body={
            "metadata-location": table.metadata_location,
            "metadata": as_metadata(table.metadata),
        },
        headers=_tag_headers(table),
    )


def commit_transaction(request: Request) -> Answer:
    changes = objects(request.json(), "table-changes")
    request.catalog.tables.commit_all([_commit(change, None) for change in changes])
    return Answer(204)


def drop_table(request: Request) -> Answer:
    request.catalog.tables.drop(request.table(), purge=request.flag("purgeRequested"))
    return Answer(204)


def rename_table(request: Request) -> Answer:
    body = request.json()
    request.catalog.tables.rename(
        identifier(body.get("source")), identifier(body.get("destination"))
    )
    return Answer(204)


def report_metrics(request: Request) -> Answer:
    body = request.json()
    members = REPORT_MEMBERS.get(str(body.get("report-type")))
    if members is None:
        raise InvalidRequest(f"report-type is one of {', '.join(REPORT_MEMBERS)}")
    missing = [member for member in members if member not in body]
    if missing:
        raise InvalidRequest(f"the report lacks {', '.join(missing)}")
    table = request.table()
    request.catalog.tables.report(table)
    _log.info(
        "metrics_report",
        table=str(table),
        report_type=body["report-type"],
        snapshot_id=body["snapshot-id"],
        metrics=body["metrics"],
    )
    return Answer(204)


def load_credentials(request: Request) -> Answer:
    request.catalog.tables.credentials(request.table())
    return Answer(body={"storage-credentials": request.storage.storage_credentials()})


def _commit(body: Json, name: TableName | None) -> TableCommit:
    """A ``CommitTableRequest``; the name in the path wins over the body's."""
    target = identifier(body.get("identifier")) if name is None else name
    return TableCommit(target, objects(body, "requirements"), objects(body, "updates"))


def _loaded(
    request: Request, table: LoadedTable, snapshots: Literal["all", "refs"] = "all"
) -> Answer:
    """A ``LoadTableResult``."""
    asked = request.headers.get("x-iceberg-access-delegation", "")
    delegated = "vended-credentials" in [item.strip() for item in asked.split(",")]
    body: Json = {
        "metadata-location": table.metadata_location,
        "metadata": as_metadata(table.metadata),
        "config": request.storage.config(delegated=delegated),
    }
    if delegated:
        body["storage-credentials"] = request.storage.storage_credentials()
    return Answer(body=body, headers=_tag_headers(table, snapshots))


def _tag_headers(table: LoadedTable, snapshots: Literal["all", "refs"] = "all") -> dict[str, str]:
    tag = _entity_tag(table, snapshots)
    return {} if tag is None else {"ETag": tag}


def _entity_tag(table: LoadedTable, snapshots: Literal["all", "refs"]) -> str | None:
    """A tag of the metadata's version and form: a metadata file never changes."""
    if table.metadata_location is None:
        return None
    text = f"{snapshots}:{table.metadata_location}"
    return '"' + hashlib.sha256(text.encode()).hexdigest()[:32] + '"'


def _matches(header: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names the tag (RFC 9110, weak comparison)."""
    given = {item.strip().removeprefix("W/") for item in header.split(",")}
    return tag in given or "*" in given
