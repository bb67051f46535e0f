"""What principals with differing grants may do through the REST catalog."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError

from lake_server import LakeServer

ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["a", "b"]})


def catalog_of(lake: LakeServer, token: str) -> RestCatalog:
    return RestCatalog("lake", uri=lake.iceberg, token=token)


@pytest.fixture
def table(lake: LakeServer, namespace: str) -> str:
    """A table with two rows, by its full name."""
    name = f"{namespace}.t"
    catalog_of(lake, lake.admin_token).create_table(name, ROWS.schema).append(ROWS)
    return name


def status(lake: LakeServer, token: str, table: str) -> int:
    namespace, name = table.split(".")
    return lake.http(token).get(f"namespaces/{namespace}/tables/{name}").status_code


def test_without_any_grant_nothing_is_there(lake: LakeServer, table: str) -> None:
    """Invariant 2; and what may not be seen looks like what is not there."""
    token = lake.principal()
    namespace, name = table.split(".")
    client = lake.http(token)
    hidden = client.get(f"namespaces/{namespace}/tables/{name}")
    absent = client.get(f"namespaces/{namespace}/tables/{name[:-1]}x")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["error"]["message"].replace(f".{name}", "") == absent.json()["error"][
        "message"
    ].replace(f".{name[:-1]}x", "")
    assert client.head(f"namespaces/{namespace}").status_code == 404
    assert [namespace] not in client.get("namespaces").json()["namespaces"]
    for verb, path in (("DELETE", f"namespaces/{namespace}"), ("GET", f"namespaces/{namespace}")):
        assert client.request(verb, path).status_code == 404


def test_select_on_the_whole_table_reads_it(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {table}")
    assert catalog_of(lake, token).load_table(table).scan().to_arrow().num_rows == 2


def test_select_on_a_column_gets_no_files(lake: LakeServer, table: str) -> None:
    """Invariant 8: raw files cannot be restricted, so they are not handed out."""
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT (id) ON TABLE {table}")
    assert status(lake, token, table) == 403
    client = lake.http(token)
    path = f"namespaces/{namespace}/tables/t"
    assert client.head(path).status_code == 204
    assert client.get(f"{path}/credentials").status_code == 403
    assert client.post(path, json={"requirements": [], "updates": []}).status_code == 403


def test_insert_without_select_gets_no_files(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"INSERT ON TABLE {table}")
    assert status(lake, token, table) == 403


def test_select_does_not_commit(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {table}")
    loaded = catalog_of(lake, token).load_table(table)
    with pytest.raises(ForbiddenError):
        loaded.append(ROWS)
    with pytest.raises(ForbiddenError):
        loaded.transaction().set_properties(a="b").commit_transaction()
    with pytest.raises(ForbiddenError):
        catalog_of(lake, token).drop_table(table)
    with pytest.raises(ForbiddenError):
        catalog_of(lake, token).rename_table(table, f"{namespace}.x")
    assert loaded.refresh().scan().to_arrow().num_rows == 2


def test_insert_appends_and_does_no_more(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(
        f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {table}", f"INSERT ON TABLE {table}"
    )
    loaded = catalog_of(lake, token).load_table(table)
    loaded.append(ROWS)
    assert loaded.scan().to_arrow().num_rows == 4
    with pytest.raises(ForbiddenError):
        loaded.overwrite(ROWS)
    with pytest.raises(ForbiddenError):
        loaded.refresh().delete("id = 1")
    assert loaded.refresh().scan().to_arrow().num_rows == 4


def test_changing_rows_needs_all_privileges_on_rows(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(
        f"USAGE ON SCHEMA {namespace}",
        f"SELECT, INSERT, UPDATE, DELETE ON TABLE {table}",
    )
    loaded = catalog_of(lake, token).load_table(table)
    loaded.overwrite(ROWS.slice(0, 1))
    loaded.refresh().delete("id = 1")
    assert loaded.refresh().scan().to_arrow().num_rows == 0
    with pytest.raises(ForbiddenError), loaded.update_schema() as update:
        update.delete_column("name")


def test_ownership_changes_the_table(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"OWNERSHIP ON TABLE {table}")
    catalog = catalog_of(lake, token)
    with catalog.load_table(table).update_schema() as update:
        update.rename_column("name", "label")
    assert "label" in catalog.load_table(table).schema().column_names
    catalog.drop_table(table)


def test_create_on_a_namespace_makes_tables_of_ones_own(lake: LakeServer, namespace: str) -> None:
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"CREATE ON SCHEMA {namespace}")
    catalog = catalog_of(lake, token)
    made = catalog.create_table(f"{namespace}.mine", ROWS.schema)
    made.append(ROWS)
    assert made.scan().to_arrow().num_rows == 2
    reader = lake.principal(f"USAGE ON SCHEMA {namespace}")
    assert status(lake, reader, f"{namespace}.mine") == 404
    catalog.drop_table(f"{namespace}.mine")


def test_usage_alone_creates_nothing(lake: LakeServer, namespace: str) -> None:
    token = lake.principal(f"USAGE ON SCHEMA {namespace}")
    with pytest.raises(ForbiddenError):
        catalog_of(lake, token).create_table(f"{namespace}.t", ROWS.schema)
    with pytest.raises(ForbiddenError):
        catalog_of(lake, token).create_namespace(lake.name("ns"))


def test_a_commit_cannot_show_another_tables_rows(lake: LakeServer, table: str) -> None:
    """A manifest that names files of another table is refused, whoever wrote it."""
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"CREATE ON SCHEMA {namespace}")
    catalog = catalog_of(lake, token)
    mine = catalog.create_table(f"{namespace}.mine", ROWS.schema)
    secret = catalog_of(lake, lake.admin_token).load_table(table)
    foreign = [task.file.file_path for task in secret.scan().plan_files()]
    with pytest.raises(Exception, match="not in the table's folder"):
        mine.add_files(foreign)
    assert mine.refresh().scan().to_arrow().num_rows == 0


def test_a_revoked_token_is_refused_at_once(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {table}")
    assert status(lake, token, table) == 200
    lake.revoke(token)
    assert status(lake, token, table) == 401


def test_a_revoked_grant_counts_at_once(lake: LakeServer, table: str) -> None:
    namespace = table.split(".")[0]
    role = lake.name("shared")
    lake.sql(f"CREATE ROLE {role}")
    lake.sql(f"GRANT USAGE ON SCHEMA {namespace} TO ROLE {role}")
    lake.sql(f"GRANT SELECT ON TABLE {table} TO ROLE {role}")
    user = lake.name("user")
    lake.sql(f"CREATE USER {user}")
    lake.sql(f"GRANT ROLE {role} TO USER {user}")
    token = lake.token(user)
    assert status(lake, token, table) == 200
    lake.sql(f"REVOKE SELECT ON TABLE {table} FROM ROLE {role}")
    assert status(lake, token, table) == 404


def test_listing_shows_what_may_be_seen(lake: LakeServer, namespace: str, table: str) -> None:
    catalog_of(lake, lake.admin_token).create_table(f"{namespace}.hidden", ROWS.schema)
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {table}")
    names = lake.http(token).get(f"namespaces/{namespace}/tables").json()["identifiers"]
    assert names == [{"namespace": [namespace], "name": "t"}]


def test_a_client_that_hangs_up_leaves_nothing_open(lake: LakeServer) -> None:
    target = urlsplit(lake.url)
    head = (
        "POST /iceberg/v1/namespaces HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {lake.admin_token}\r\nContent-Length: 10\r\n\r\n{{"
    )
    for _ in range(50):
        with socket.create_connection((target.hostname, target.port), timeout=5) as connection:
            connection.sendall(head.encode())
    assert lake.http().get("namespaces").status_code == 200
