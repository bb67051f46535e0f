"""Statements that the engine's extension takes badly, and what becomes of the engine then."""

from __future__ import annotations

import pytest

from lakehold.client import connect

EMPTY_CHANGES = [
    "UPDATE {t} SET a = 1 WHERE false",
    "UPDATE {t} SET a = 1 WHERE a > 5 AND a < 3",
    "UPDATE {t} SET a = 1 WHERE a IS NULL AND a = 2",
    "UPDATE {t} SET a = 1 WHERE NULL",
    "UPDATE {t} SET a = 1 WHERE 1 = 2 OR false",
    "UPDATE {t} SET a = 1 WHERE a > 1000000",
    "UPDATE {t} SET a = 1 WHERE a IN (SELECT x FROM (SELECT 1 x WHERE false))",
    "UPDATE {t} SET a = 1 WHERE a IN (SELECT a FROM {empty})",
    "UPDATE {t} SET a = 1 WHERE EXISTS (SELECT 1 WHERE false)",
    "UPDATE {t} SET a = 1 WHERE a = (SELECT 1 WHERE false)",
    "UPDATE {t} SET a = 1 WHERE a IN (SELECT 7 LIMIT 0)",
    "UPDATE {t} SET a = s.x FROM (SELECT 1 x WHERE false) s WHERE s.x = t.a",
    "UPDATE {t} SET a = s.x FROM (SELECT 1 x LIMIT 0) s WHERE s.x = t.a",
    "UPDATE {t} SET a = s.a FROM {empty} s WHERE s.a = t.a",
    "UPDATE {t} SET a = s.a FROM {t} s WHERE s.a = t.a AND false",
    "UPDATE {t} SET a = (SELECT 1 WHERE false) WHERE b = 'no such'",
    "UPDATE {t} SET b = 'x' WHERE b LIKE 'a%' AND b LIKE 'b%' AND 1 > 2",
    "UPDATE {t} SET a = 1 WHERE a BETWEEN 9 AND 3",
    "UPDATE {t} SET a = 1 WHERE a IN (1, 2) AND a NOT IN (1, 2)",
    "UPDATE {empty} SET a = 1",
    "UPDATE {empty} SET a = 1 WHERE a = 3",
    "UPDATE {empty} SET a = 1 WHERE false",
    "UPDATE {empty} SET a = s.a FROM {t} s WHERE s.a = empty.a",
    "DELETE FROM {t} WHERE false",
    "DELETE FROM {t} WHERE a > 1000000",
    "DELETE FROM {t} USING (SELECT 1 x WHERE false) s WHERE s.x = t.a",
    "DELETE FROM {empty}",
    "INSERT INTO {t} SELECT * FROM {t} WHERE false",
    "INSERT INTO {t} SELECT * FROM {empty}",
    "MERGE INTO {t} USING (SELECT 1 x WHERE false) s ON s.x = t.a "
    "WHEN MATCHED THEN UPDATE SET a = 2",
    "MERGE INTO {t} USING {empty} s ON s.a = t.a WHEN MATCHED THEN UPDATE SET b = 'x'",
    "MERGE INTO {t} USING {empty} s ON s.a = t.a WHEN MATCHED THEN UPDATE SET b = 'x' "
    "WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b)",
    "MERGE INTO {t} USING (SELECT 99 x) s ON s.x = t.a AND false "
    "WHEN MATCHED THEN UPDATE SET a = 2",
    "MERGE INTO {t} USING (SELECT 99 x) s ON s.x = t.a "
    "WHEN MATCHED AND false THEN UPDATE SET a = 2",
    "MERGE INTO {t} USING (SELECT 1 x) s ON s.x = t.a WHEN MATCHED AND false THEN UPDATE SET a = 2",
    "MERGE INTO {t} USING {empty} s ON s.a = t.a WHEN MATCHED THEN DELETE",
    "MERGE INTO {empty} USING (SELECT 1 x WHERE false) s ON s.x = empty.a "
    "WHEN MATCHED THEN UPDATE SET a = 2 WHEN NOT MATCHED THEN INSERT VALUES (s.x, 'x')",
    "MERGE INTO {empty} USING {t} s ON s.a = empty.a WHEN MATCHED THEN UPDATE SET a = 2",
    "MERGE INTO {t} USING {t} s ON s.a = t.a AND false WHEN MATCHED THEN UPDATE SET b = 'x'",
    "WITH c AS MATERIALIZED (SELECT a FROM {t}) "
    "UPDATE {t} SET a = c.a FROM c WHERE c.a = t.a AND false",
]


@pytest.fixture
def db(platform, admin_token, schema):
    """A connection, a table of three rows and an empty one."""
    with connect(platform.url, admin_token) as connection:
        connection.execute(f"CREATE TABLE {schema}.t (a INTEGER, b VARCHAR)")
        connection.execute(f"CREATE TABLE {schema}.empty (a INTEGER, b VARCHAR)")
        connection.execute(f"INSERT INTO {schema}.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        yield connection


def names(schema):
    return {"t": f"{schema}.t", "empty": f"{schema}.empty"}


def test_a_change_that_finds_nothing_changes_nothing_and_the_engine_lives(platform, db, schema):
    instance = platform.parts.engine._instance
    wrong = []
    for template in EMPTY_CHANGES:
        text = template.format(**names(schema))
        try:
            count = db.execute(text).rowcount
            if count != 0:
                wrong.append((text, count))
        except Exception as error:
            wrong.append((text, error))
        if platform.parts.engine._instance is not instance:
            wrong.append((text, "the engine was renewed"))
            instance = platform.parts.engine._instance
    assert not wrong, "\n".join(map(str, wrong))
    found = db.execute(f"SELECT a, b FROM {schema}.t ORDER BY a").fetchall()
    assert found == [(1, "a"), (2, "b"), (3, "c")]
    assert db.execute(f"SELECT count(*) FROM {schema}.empty").fetchall() == [(0,)]


def test_parameters_that_make_a_change_find_nothing_are_as_harmless(platform, db, schema):
    instance = platform.parts.engine._instance
    t = f"{schema}.t"
    for text, values in [
        (f"UPDATE {t} SET a = 1 WHERE ?", [False]),
        (f"UPDATE {t} SET a = 1 WHERE a = ?", [None]),
        (f"UPDATE {t} SET a = 1 WHERE a > ? AND a < ?", [5, 3]),
        (f"UPDATE {t} SET a = 1 WHERE a > ?", [10**6]),
        (f"UPDATE {t} SET a = 1 WHERE a IN (SELECT x FROM range(?) r(x))", [0]),
        (f"UPDATE {t} SET a = s.x FROM (SELECT 1 x WHERE ?) s WHERE s.x = a", [False]),
        (f"UPDATE {t} SET a = ? WHERE false", [9]),
        (
            f"MERGE INTO {t} USING (SELECT 1 x WHERE ?) s ON s.x = t.a "
            "WHEN MATCHED THEN UPDATE SET a = 2",
            [False],
        ),
    ]:
        assert db.execute(text, values).rowcount == 0, text
        assert platform.parts.engine._instance is instance, text


@pytest.mark.parametrize("source", ["(SELECT 7 AS x)", "(SELECT a + 6 AS x FROM {s}.one)",
                                    "(SELECT a + 6 AS x FROM {s}.one, (SELECT 1 AS one))"])  # fmt: skip
@pytest.mark.parametrize("values", [None, ["n"]])
@pytest.mark.parametrize("target", ["t", "empty"])
def test_a_merge_that_can_match_nothing_still_inserts(platform, db, schema, source, values, target):
    instance = platform.parts.engine._instance
    db.execute(f"CREATE TABLE {schema}.one AS SELECT 1 AS a")
    updated, inserted = ("'n'", "'n'") if values is None else ("?", "'n'")
    done = db.execute(
        f"MERGE INTO {schema}.{target} USING {source.format(s=schema)} s "
        f"ON s.x = {target}.a AND false "
        f"WHEN MATCHED THEN UPDATE SET b = {updated} "
        f"WHEN NOT MATCHED THEN INSERT VALUES (s.x, {inserted})",
        values,
    )
    assert done.rowcount == 1
    assert db.execute(f"SELECT b FROM {schema}.{target} WHERE a = 7").fetchall() == [("n",)]
    assert platform.parts.engine._instance is instance


def test_a_merge_from_a_table_beside_a_row_updates_and_inserts(platform, db, schema):
    instance = platform.parts.engine._instance
    done = db.execute(
        f"MERGE INTO {schema}.t USING (SELECT a + 1 AS x, one FROM {schema}.t, (SELECT 1 AS one)) s "
        "ON s.x = t.a WHEN MATCHED THEN UPDATE SET b = ? WHEN NOT MATCHED THEN INSERT VALUES (x, ?)",
        ["u", "n"],
    )
    assert done.rowcount == 3
    found = db.execute(f"SELECT a, b FROM {schema}.t ORDER BY a").fetchall()
    assert found == [(1, "a"), (2, "u"), (3, "u"), (4, "n")]
    assert platform.parts.engine._instance is instance


def test_changes_in_partitioned_and_pruned_tables_live(platform, db, schema):
    instance = platform.parts.engine._instance
    db.execute(f"CREATE TABLE {schema}.p (d DATE, a INTEGER) PARTITIONED BY (month(d))")
    db.execute(
        f"INSERT INTO {schema}.p VALUES ('2026-01-01', 1), ('2026-02-01', 2), ('2026-03-01', 3)"
    )
    for text in (
        f"UPDATE {schema}.p SET a = 9 WHERE d = DATE '1999-01-01'",
        f"UPDATE {schema}.p SET a = 9 WHERE d > DATE '2026-03-01' AND a < 0",
        f"UPDATE {schema}.p SET a = 9 WHERE d = DATE '2026-02-01' AND a = 1",
        f"MERGE INTO {schema}.p USING (SELECT DATE '1999-01-01' x) s ON s.x = p.d "
        "WHEN MATCHED THEN UPDATE SET a = 1",
    ):
        assert db.execute(text).rowcount == 0, text
        assert platform.parts.engine._instance is instance, text
    assert db.execute(f"DELETE FROM {schema}.p WHERE a > 0").rowcount == 3
    assert db.execute(f"UPDATE {schema}.p SET a = 9").rowcount == 0
    assert db.execute(f"UPDATE {schema}.p SET a = 9 WHERE a = 2").rowcount == 0
    assert platform.parts.engine._instance is instance


def test_an_engine_that_broke_is_renewed_and_one_statement_alone_fails(platform, db, schema):
    engine = platform.parts.engine
    before = engine._instance
    slot = engine.slots[0]
    table = platform.gateway.database
    with table.transaction() as connection:
        from lakehold.names import TableName

        relation = platform.parts.catalog.resolve(connection, [TableName(schema, "t")])
    identity = next(iter(relation.values())).id
    transaction = platform.parts.catalog.begin()
    platform.gateway.bindings.bind(slot.token, transaction, frozenset({identity}))
    try:
        with pytest.raises(Exception) as caught:
            engine.run(
                f'UPDATE {slot.catalog}.tables."{identity}" SET a = 1 WHERE false'
            ).start().rows()
    finally:
        platform.gateway.bindings.unbind(slot.token)
        transaction.rollback()
    assert "restarted" in str(caught.value.hint)
    assert engine._instance is not before
    assert db.execute(f"SELECT count(*) FROM {schema}.t").fetchall() == [(3,)]
    assert db.execute(f"UPDATE {schema}.t SET a = a + 1").rowcount == 3
    assert db.execute(f"INSERT INTO {schema}.t VALUES (9, 'x')").rowcount == 1
