"""Invariant 2, default deny: what is not granted cannot be told from what is not there."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from actors import Actor, person
from lakehold.app import Platform
from lakehold.errors import (
    LakeholdError,
    PermissionDenied,
    SessionUnknown,
    UndefinedColumn,
    UndefinedObject,
    UndefinedTable,
)


@pytest.fixture(scope="module")
def tables(admin: Actor, schema: str) -> str:
    for text in (
        f"CREATE TABLE {schema}.open (id INTEGER, name VARCHAR, hush VARCHAR COMMENT 'psst')",
        f"INSERT INTO {schema}.open VALUES (1, 'ann', 'one'), (2, 'bob', 'two')",
        f"CREATE TABLE {schema}.jjz (id INTEGER)",
        f"INSERT INTO {schema}.jjz VALUES (7)",
        f"CREATE SCHEMA {schema}_jjz",
        f"CREATE TABLE {schema}_jjz.jjz (id INTEGER)",
        f"CREATE VIEW {schema}.by_definer SECURITY DEFINER AS SELECT id, hush FROM {schema}.open",
        f"CREATE VIEW {schema}.by_invoker AS SELECT id, hush FROM {schema}.open",
    ):
        admin.run(text)
    return schema


@pytest.fixture(scope="module")
def analyst(admin: Actor, tables: str) -> Actor:
    return person(
        admin,
        f"USAGE ON SCHEMA {tables}",
        f"SELECT (id, name) ON TABLE {tables}.open",
        f"SELECT ON VIEW {tables}.by_definer",
        f"SELECT ON VIEW {tables}.by_invoker",
        f"UPDATE (name) ON TABLE {tables}.open",
        schema=tables,
    )


@pytest.fixture(scope="module")
def nobody(admin: Actor, tables: str) -> Actor:
    return person(admin, schema=tables)


Text = Callable[[str], str]


@pytest.mark.parametrize(
    ("hidden", "missing"),
    [
        ("SELECT * FROM jjz", "SELECT * FROM jjx"),
        ("SELECT * FROM <s>_jjz.jjz", "SELECT * FROM <s>_jjx.jjz"),
        ("SELECT * FROM <s>_jjz.jjz", "SELECT * FROM <s>_jjz.jjx"),
        ("DESCRIBE jjz", "DESCRIBE jjx"),
        ("SHOW COLUMNS FROM jjz", "SHOW COLUMNS FROM jjx"),
        ("SHOW TABLES FROM <s>_jjz", "SHOW TABLES FROM <s>_jjx"),
        ("SHOW GRANTS ON TABLE jjz", "SHOW GRANTS ON TABLE jjx"),
        ("USE <s>_jjz", "USE <s>_jjx"),
        ("INSERT INTO jjz VALUES (1)", "INSERT INTO jjx VALUES (1)"),
        ("UPDATE jjz SET id = 1", "UPDATE jjx SET id = 1"),
        ("DELETE FROM jjz", "DELETE FROM jjx"),
        ("TRUNCATE jjz", "TRUNCATE jjx"),
        ("DROP TABLE jjz", "DROP TABLE jjx"),
        ("DROP TABLE IF EXISTS jjz", "DROP TABLE IF EXISTS jjx"),
        ("ALTER TABLE jjz ADD COLUMN a INTEGER", "ALTER TABLE jjx ADD COLUMN a INTEGER"),
        ("ALTER TABLE IF EXISTS jjz RENAME TO x", "ALTER TABLE IF EXISTS jjx RENAME TO x"),
        ("COMMENT ON TABLE jjz IS 'x'", "COMMENT ON TABLE jjx IS 'x'"),
        ("DROP SCHEMA <s>_jjz", "DROP SCHEMA <s>_jjx"),
        ("DROP SCHEMA IF EXISTS <s>_jjz", "DROP SCHEMA IF EXISTS <s>_jjx"),
        ("COMMENT ON SCHEMA <s>_jjz IS 'x'", "COMMENT ON SCHEMA <s>_jjx IS 'x'"),
        ("CREATE TABLE <s>_jjz.t (a INTEGER)", "CREATE TABLE <s>_jjx.t (a INTEGER)"),
        ("CREATE TABLE <s>_jjz.jjz (a INTEGER)", "CREATE TABLE <s>_jjz.jjx (a INTEGER)"),
        ("CREATE TABLE IF NOT EXISTS <s>.jjz (a INTEGER)",
         "CREATE TABLE IF NOT EXISTS <s>.jjx (a INTEGER)"),
        ("CREATE OR REPLACE TABLE <s>.jjz (a INTEGER)",
         "CREATE OR REPLACE TABLE <s>.jjx (a INTEGER)"),
        ("CREATE VIEW <s>.jjz AS SELECT 1 AS a", "CREATE VIEW <s>.jjx AS SELECT 1 AS a"),
        ("CREATE SCHEMA <s>_jjz", "CREATE SCHEMA <s>_jjx"),
        ("CREATE SCHEMA IF NOT EXISTS <s>_jjz", "CREATE SCHEMA IF NOT EXISTS <s>_jjx"),
        ("GRANT SELECT ON TABLE jjz TO ROLE public", "GRANT SELECT ON TABLE jjx TO ROLE public"),
        ("GRANT SELECT ON SCHEMA <s>_jjz TO ROLE public",
         "GRANT SELECT ON SCHEMA <s>_jjx TO ROLE public"),
        ("MERGE INTO jjz USING open o ON o.id = jjz.id WHEN MATCHED THEN DELETE",
         "MERGE INTO jjx USING open o ON o.id = jjx.id WHEN MATCHED THEN DELETE"),
        ("SELECT hush FROM open", "SELECT hosh FROM open"),
        ("SELECT open.hush FROM open", "SELECT open.hosh FROM open"),
        ("UPDATE open SET name = hush", "UPDATE open SET name = hosh"),
        ("UPDATE open SET name = 'x' WHERE open.hush = 'one'",
         "UPDATE open SET name = 'x' WHERE open.hosh = 'one'"),
        ("UPDATE open SET hush = 'x'", "UPDATE open SET hosh = 'x'"),
        ("SHOW GRANTS TO ROLE admin", "SHOW GRANTS TO ROLE odmin"),
        ("SHOW GRANTS TO USER admin", "SHOW GRANTS TO USER odmin"),
        ("DROP USER admin", "DROP USER odmin"),
        ("DROP ROLE IF EXISTS admin", "DROP ROLE IF EXISTS odmin"),
        ("CREATE ROLE IF NOT EXISTS admin", "CREATE ROLE IF NOT EXISTS odmin"),
        ("GRANT ROLE admin TO USER admin", "GRANT ROLE odmin TO USER odmin"),
        ("SELECT * FROM open o JOIN jjz USING (id)", "SELECT * FROM open o JOIN jjx USING (id)"),
        ("SET ROLE admin", "SET ROLE odmin"),
    ],
)  # fmt: skip
def test_hidden_and_missing_answer_alike(
    analyst: Actor, tables: str, hidden: str, missing: str
) -> None:
    answers = []
    for text in (hidden, missing):
        sql = text.replace("<s>", tables)
        try:
            answers.append(("rows", analyst.run(sql)))
        except LakeholdError as error:
            told = f"{type(error).__name__}: {error.message}\n{error.hint}"
            for one, other in (("jjx", "jjz"), ("hosh", "hush"),
                               ("odmin", "admin")):  # fmt: skip
                told = told.replace(one, other)
            answers.append(("error", told))
    assert answers[0] == answers[1]


def test_a_principal_without_grants_sees_nothing(nobody: Actor) -> None:
    assert nobody.run("SELECT * FROM information_schema.tables") == []
    assert nobody.run("SELECT * FROM information_schema.columns") == []
    assert nobody.run("SELECT * FROM information_schema.views") == []
    assert nobody.run("SELECT * FROM information_schema.schemata") == []
    assert nobody.run("SELECT * FROM lakehold.snapshots") == []
    assert nobody.run("SHOW SCHEMAS") == []
    assert nobody.run("SHOW ALL TABLES") == []


def test_information_schema_shows_what_may_be_known(analyst: Actor, tables: str) -> None:
    schemas = analyst.run("SELECT schema_name FROM information_schema.schemata")
    assert schemas == [(tables,)]
    names = {row[0] for row in analyst.run("SELECT table_name FROM information_schema.tables")}
    assert names == {"open", "by_definer", "by_invoker"}
    columns = analyst.run(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'open'"
    )
    assert columns == [("id",), ("name",)]
    snapshots = analyst.run("SELECT DISTINCT table_name FROM lakehold.snapshots")
    assert snapshots == [("open",)]


def test_describe_and_show_leave_out_what_is_hidden(analyst: Actor) -> None:
    assert [row[0] for row in analyst.run("DESCRIBE open")] == ["id", "name"]
    assert [row[0] for row in analyst.run("SHOW COLUMNS FROM open")] == ["id", "name"]
    assert [row[0] for row in analyst.run("DESCRIBE SELECT * FROM open")] == ["id", "name"]
    assert [row[0] for row in analyst.run("SUMMARIZE open")] == ["id", "name"]
    assert {row[0] for row in analyst.run("SHOW TABLES")} == {"open", "by_definer", "by_invoker"}


def test_every_way_to_name_all_columns_leaves_out_what_is_hidden(analyst: Actor) -> None:
    assert analyst.run("SELECT * FROM open WHERE id = 1") == [(1, "ann")]
    assert analyst.run("SELECT COLUMNS(*) FROM open WHERE id = 1") == [(1, "ann")]
    assert analyst.run("SELECT open FROM open WHERE id = 1") == [({"id": 1, "name": "ann"},)]
    assert analyst.run("SELECT o.* FROM open o WHERE id = 1") == [(1, "ann")]
    assert analyst.run("TABLE open ORDER BY id LIMIT 1") == [(1, "ann")]
    assert analyst.run("SELECT to_json(o) FROM open o WHERE id = 1") == [('{"id":1,"name":"ann"}',)]
    assert "hush" not in str(analyst.run("EXPLAIN SELECT * FROM open"))
    assert "hush" not in str(analyst.run("EXPLAIN ANALYZE SELECT * FROM open"))


def test_explain_hides_paths_and_internal_names(analyst: Actor, platform: Platform) -> None:
    for text in ("EXPLAIN SELECT * FROM open", "EXPLAIN ANALYZE SELECT count(*) FROM open"):
        shown = str(analyst.run(text))
        assert str(platform.settings.dir) not in shown
        assert "iceberg_scan(" not in shown.lower()
        assert ".parquet" not in shown
        assert "metadata.json" not in shown


def test_a_definers_view_shows_what_its_owner_may_see(analyst: Actor) -> None:
    assert analyst.run("SELECT hush FROM by_definer ORDER BY id") == [("one",), ("two",)]


def test_an_invokers_view_shows_what_the_invoker_may_see(analyst: Actor) -> None:
    with pytest.raises(UndefinedColumn):
        analyst.run("SELECT hush FROM by_invoker")


def test_a_definers_view_hides_its_text(analyst: Actor, tables: str) -> None:
    rows = dict(
        analyst.run(
            "SELECT table_name, view_definition FROM information_schema.views "
            f"WHERE table_schema = '{tables}'"
        )
    )
    assert rows["by_definer"] is None


def test_a_definers_view_does_not_lend_its_rights_to_the_query_around_it(analyst: Actor) -> None:
    with pytest.raises(UndefinedTable):
        analyst.run("SELECT * FROM by_definer, jjz")
    with pytest.raises(UndefinedColumn):
        analyst.run("SELECT o.hush FROM by_definer d JOIN open o ON o.id = d.id")
    with pytest.raises(UndefinedTable):
        analyst.run("WITH d AS (SELECT * FROM by_definer) SELECT (SELECT max(id) FROM jjz) FROM d")


def test_names_of_the_statement_do_not_reach_into_a_view(analyst: Actor) -> None:
    rows = analyst.run(
        "WITH open AS (SELECT 9 AS id, 'forged' AS hush) SELECT hush FROM by_definer ORDER BY id"
    )
    assert rows == [("one",), ("two",)]


def test_data_of_the_statement_does_not_reach_into_a_view(analyst: Actor) -> None:
    import pyarrow as pa

    forged = pa.table({"id": [9], "hush": ["forged"]})
    rows = analyst.run("SELECT hush FROM by_definer ORDER BY id", relations={"open": forged})
    assert rows == [("one",), ("two",)]


def test_a_narrow_writer_can_still_change_what_is_granted(admin: Actor, schema: str) -> None:
    admin.run(f"CREATE TABLE {schema}.narrow (id INTEGER, name VARCHAR, hush VARCHAR)")
    admin.run(f"INSERT INTO {schema}.narrow VALUES (1, 'a', 'one'), (2, 'b', 'two')")
    writer = person(
        admin,
        f"USAGE ON SCHEMA {schema}",
        f"SELECT (id, name) ON TABLE {schema}.narrow",
        f"UPDATE (name) ON TABLE {schema}.narrow",
        f"INSERT (id, name) ON TABLE {schema}.narrow",
        f"DELETE ON TABLE {schema}.narrow",
        schema=schema,
    )
    writer.run("UPDATE narrow SET name = upper(name) WHERE id = 1")
    writer.run("UPDATE narrow SET name = s.hush FROM (SELECT 2 AS id, 'new' AS hush) s "
               "WHERE s.id = narrow.id")  # fmt: skip
    writer.run("INSERT INTO narrow (id, name) VALUES (3, 'lakehold_target')")
    writer.run("MERGE INTO narrow USING (SELECT 4 AS id, 'd' AS name) s ON s.id = narrow.id "
               "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)")  # fmt: skip
    writer.run("DELETE FROM narrow WHERE id = (SELECT max(id) FROM narrow n WHERE n.name = 'd')")
    assert admin.run(f"SELECT * FROM {schema}.narrow ORDER BY id") == [
        (1, "A", "one"), (2, "new", "two"), (3, "lakehold_target", None),
    ]  # fmt: skip


def test_text_that_looks_like_our_own_marks_is_text(admin: Actor, schema: str) -> None:
    admin.run(f"CREATE TABLE {schema}.marks (a VARCHAR)")
    texts = [
        "lakehold_target",
        "lakehold:0:0",
        "__relation_x",
        "123454321",
        "w0_.tables",
        "nothing",
    ]
    for text in texts:
        admin.run(f"WITH lakehold_target AS (SELECT '{text}' AS a) INSERT INTO {schema}.marks "
                  "SELECT a FROM lakehold_target")  # fmt: skip
        admin.run(f"UPDATE {schema}.marks SET a = '{text}' WHERE a = '{text}'")
    found = {row[0] for row in admin.run(f"SELECT a FROM {schema}.marks")}
    assert found == set(texts)


def test_statements_and_sessions_of_others_are_not_there(
    admin: Actor, analyst: Actor, platform: Platform
) -> None:
    gateway = platform.gateway
    statement_id = uuid4()
    result = gateway.execute(
        admin.session, "SELECT * FROM range(10_000_000)", statement_id=statement_id
    )
    try:
        seen = analyst.run("SELECT statement_id FROM lakehold.statements")
        assert str(statement_id) not in str(seen)
        with pytest.raises(UndefinedObject):
            gateway.cancel(analyst.session.principal, statement_id)
        with pytest.raises(UndefinedObject):
            gateway.statement(analyst.session.principal, statement_id)
        with pytest.raises(SessionUnknown):
            gateway.find_session(analyst.session.principal, admin.session.id)
        with pytest.raises(LakeholdError):
            analyst.run("SELECT 1", statement_id=statement_id)
    finally:
        result.close()


def test_a_session_takes_no_role_that_its_principal_has_not(
    analyst: Actor, platform: Platform
) -> None:
    with pytest.raises(PermissionDenied):
        platform.gateway.open_session(
            analyst.session.principal, analyst.session.client, roles=frozenset({"admin"})
        )


def test_a_column_keeps_its_grant_through_renames_and_time_travel(
    admin: Actor, schema: str
) -> None:
    """Names swap between a granted and a hidden column; the grant follows the column."""
    admin.run(f"CREATE TABLE {schema}.swapped (id INTEGER, a VARCHAR, b VARCHAR)")
    admin.run(f"INSERT INTO {schema}.swapped VALUES (1, 'granted', 'hidden')")
    reader = person(
        admin,
        f"USAGE ON SCHEMA {schema}",
        f"SELECT (a) ON TABLE {schema}.swapped",
        schema=schema,
    )
    first = admin.run(
        f"SELECT snapshot_id FROM lakehold.snapshots WHERE table_schema = '{schema}' "
        "AND table_name = 'swapped'"
    )[0][0]
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        admin.run(f"ALTER TABLE {schema}.swapped RENAME COLUMN {old} TO {new}")
    admin.run(f"INSERT INTO {schema}.swapped VALUES (2, 'granted', 'hidden')")
    assert reader.run("SELECT * FROM swapped") == [("granted",), ("granted",)]
    assert reader.run("SELECT b FROM swapped WHERE b = 'granted' LIMIT 1") == [("granted",)]
    assert reader.run(f"SELECT * FROM swapped AT (VERSION => {first})") == [("granted",)]
    with pytest.raises(UndefinedColumn):
        reader.run("SELECT a FROM swapped")


def test_a_new_column_of_an_old_name_is_not_granted(admin: Actor, schema: str) -> None:
    admin.run(f"CREATE TABLE {schema}.renewed (id INTEGER, a VARCHAR, b VARCHAR)")
    admin.run(f"INSERT INTO {schema}.renewed VALUES (1, 'granted', 'hidden')")
    reader = person(
        admin,
        f"USAGE ON SCHEMA {schema}",
        f"SELECT (id, a) ON TABLE {schema}.renewed",
        schema=schema,
    )
    admin.run(f"ALTER TABLE {schema}.renewed DROP COLUMN a")
    admin.run(f"ALTER TABLE {schema}.renewed RENAME COLUMN b TO a")
    assert reader.run("SELECT * FROM renewed") == [(1,)]
    with pytest.raises(UndefinedColumn):
        reader.run("SELECT a FROM renewed")


def test_a_table_dropped_and_made_again_is_not_granted(admin: Actor, schema: str) -> None:
    admin.run(f"CREATE TABLE {schema}.again (id INTEGER)")
    reader = person(
        admin, f"USAGE ON SCHEMA {schema}", f"SELECT ON TABLE {schema}.again", schema=schema
    )
    assert reader.run("SELECT * FROM again") == []
    admin.run(f"DROP TABLE {schema}.again")
    admin.run(f"CREATE TABLE {schema}.again (id INTEGER)")
    with pytest.raises(UndefinedTable):
        reader.run("SELECT * FROM again")


def test_a_revoked_grant_ends_at_once_also_for_plans_that_are_kept(
    admin: Actor, schema: str
) -> None:
    admin.run(f"CREATE TABLE {schema}.revoked (id INTEGER, a VARCHAR)")
    reader = person(admin, f"USAGE ON SCHEMA {schema}", schema=schema)
    role = next(iter(reader.session.roles - {"public"}))
    admin.run(f"GRANT SELECT ON TABLE {schema}.revoked TO ROLE {role}")
    for _ in range(2):
        assert reader.run("SELECT * FROM revoked") == []
    admin.run(f"REVOKE SELECT ON TABLE {schema}.revoked FROM ROLE {role}")
    with pytest.raises(UndefinedTable):
        reader.run("SELECT * FROM revoked")
    admin.run(f"GRANT SELECT (id) ON TABLE {schema}.revoked TO ROLE {role}")
    with pytest.raises(UndefinedColumn):
        reader.run("SELECT a FROM revoked")


def test_a_definers_view_ends_with_its_owners_right(admin: Actor, schema: str) -> None:
    admin.run(f"CREATE TABLE {schema}.lent (id INTEGER)")
    admin.run(f"CREATE SCHEMA {schema}_lender")
    lender = person(
        admin,
        f"USAGE ON SCHEMA {schema}",
        f"SELECT ON TABLE {schema}.lent",
        f"OWNERSHIP ON SCHEMA {schema}_lender",
        schema=f"{schema}_lender",
    )
    lender.run(f"CREATE VIEW v SECURITY DEFINER AS SELECT * FROM {schema}.lent")
    reader = person(
        admin,
        f"USAGE ON SCHEMA {schema}_lender",
        f"SELECT ON VIEW {schema}_lender.v",
        schema=f"{schema}_lender",
    )
    assert reader.run("SELECT * FROM v") == []
    role = next(iter(lender.session.roles - {"public"}))
    admin.run(f"REVOKE SELECT ON TABLE {schema}.lent FROM ROLE {role}")
    with pytest.raises(LakeholdError):
        reader.run("SELECT * FROM v")


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("set-properties", {"lakehold.rights": "definer"}),
        ("set-properties", {"lakehold.owner": "admin"}),
        ("set-properties", {"Lakehold.rights": "definer"}),
        ("remove-properties", ["lakehold.rights"]),
    ],
)
def test_a_views_rights_cannot_be_set_through_the_rest_catalog(
    admin: Actor, schema: str, platform: Platform, action: str, names: object
) -> None:
    import httpx

    admin.run(f"CREATE OR REPLACE VIEW {schema}.mine AS SELECT 1 AS a")
    owner = person(admin, f"USAGE ON SCHEMA {schema}", f"OWNERSHIP ON VIEW {schema}.mine")
    access = platform.parts.access
    token = access.create_token(
        owner.name, name="rest", expires_in=None, by=access.principal("admin")
    )
    member = "updates" if action == "set-properties" else "removals"
    answer = httpx.post(
        f"{platform.url}/iceberg/v1/namespaces/{schema}/views/mine",
        headers={"Authorization": f"Bearer {token}"},
        json={"identifier": {"namespace": [schema], "name": "mine"}, "requirements": [],
              "updates": [{"action": action, member: names}]},
    )  # fmt: skip
    assert answer.status_code == 400, answer.text
    assert "platform" in answer.text
