"""Every legitimate form of SELECT gives what plain DuckDB gives on the same data.

The analyst may not read a column of one table, so that the rewriter has something to do; plain
DuckDB is given the tables without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from actors import Actor, person

TABLES = {
    "orders": (
        "id INTEGER, customer INTEGER, day DATE, amount DECIMAL(10, 2), tags VARCHAR[], "
        "detail STRUCT(city VARCHAR, zip INTEGER), moment TIMESTAMP",
        """
        (1, 1, DATE '2024-01-01', 10.50, ['a', 'b'], {'city': 'Ulm', 'zip': 89}, '2024-01-01 10:00'),
        (2, 1, DATE '2024-01-02', 20.00, ['b'], {'city': 'Bonn', 'zip': 53}, '2024-01-02 11:30'),
        (3, 2, DATE '2024-01-02', 5.25, [], {'city': 'Ulm', 'zip': 89}, '2024-01-02 12:00'),
        (4, 3, DATE '2024-02-10', NULL, NULL, NULL, NULL),
        (5, 2, DATE '2024-02-11', 99.99, ['c', 'a'], {'city': 'Kiel', 'zip': 24}, '2024-02-11 01:02')
        """,
    ),
    "customers": (
        "id INTEGER, name VARCHAR, parent INTEGER, note VARCHAR",
        "(1, 'ann', NULL, '{\"k\": [1, 2], \"x\": \"y\"}'), (2, 'bob', 1, '{\"k\": []}'), "
        "(3, 'cid', 2, NULL), (4, 'dot', 1, '{}')",
    ),
    "prices": (
        "moment TIMESTAMP, price DOUBLE",
        "('2024-01-01 00:00', 1.0), ('2024-01-02 11:45', 2.0), ('2024-02-01 00:00', 3.0)",
    ),
}

QUERIES = [
    "SELECT * FROM orders ORDER BY id",
    "FROM orders ORDER BY id",
    "FROM orders SELECT id, amount WHERE amount > 6 ORDER BY ALL",
    "TABLE customers ORDER BY id",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(n, s) ORDER BY n",
    "SELECT o.*, c.name FROM orders o JOIN customers c ON c.id = o.customer ORDER BY o.id",
    "SELECT * FROM orders o JOIN customers c ON c.id = o.customer ORDER BY o.id",
    "SELECT * FROM orders LEFT JOIN customers USING (id) ORDER BY id",
    "SELECT o.id, c.id FROM orders o FULL JOIN customers c ON c.id = o.customer ORDER BY ALL",
    "SELECT count(*) FROM orders CROSS JOIN customers",
    "SELECT count(*) FROM orders, customers",
    "SELECT id, name FROM customers NATURAL JOIN (SELECT 2 AS id) x",
    "SELECT id FROM customers c SEMI JOIN orders o ON o.customer = c.id ORDER BY id",
    "SELECT id FROM customers c ANTI JOIN orders o ON o.customer = c.id ORDER BY id",
    "SELECT o.id, p.price FROM orders o ASOF JOIN prices p ON o.moment >= p.moment ORDER BY o.id",
    "SELECT o.id, p.price FROM orders o ASOF LEFT JOIN prices p ON o.moment >= p.moment ORDER BY o.id",
    "SELECT a.x, b.y FROM (SELECT unnest([1, 2, 3]) AS x) a POSITIONAL JOIN "
    "(SELECT unnest([7, 8, 9]) AS y) b",
    "SELECT c.name, l.total FROM customers c, LATERAL (SELECT sum(amount) AS total FROM orders o "
    "WHERE o.customer = c.id) l ORDER BY c.id",
    "SELECT c.name, l.day FROM customers c LEFT JOIN LATERAL (SELECT day FROM orders o WHERE "
    "o.customer = c.id ORDER BY day DESC LIMIT 1) l ON true ORDER BY c.id",
    "SELECT id, t FROM orders, unnest(tags) u(t) ORDER BY ALL",
    "SELECT id, unnest(tags) AS t FROM orders ORDER BY ALL",
    "SELECT unnest(detail) FROM orders ORDER BY id",
    "WITH big AS (SELECT * FROM orders WHERE amount > 6) SELECT count(*), sum(amount) FROM big",
    "WITH a AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM a) SELECT * FROM a, b",
    "WITH a(x) AS MATERIALIZED (SELECT id FROM orders) SELECT sum(x) FROM a",
    "WITH orders AS (SELECT id, amount FROM orders WHERE id < 3) SELECT * FROM orders ORDER BY id",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) "
    "SELECT sum(n) FROM r",
    "WITH RECURSIVE tree AS (SELECT id, name, 0 AS depth FROM customers WHERE parent IS NULL "
    "UNION ALL SELECT c.id, c.name, depth + 1 FROM customers c JOIN tree t ON c.parent = t.id) "
    "SELECT * FROM tree ORDER BY id",
    "WITH RECURSIVE t(a, b) USING KEY (a) AS (SELECT 1, 1 UNION SELECT a, b + 1 FROM t "
    "WHERE b < 5) SELECT * FROM t",
    "SELECT id, row_number() OVER (ORDER BY id DESC) AS n FROM orders ORDER BY id",
    "SELECT id, sum(amount) OVER (PARTITION BY customer ORDER BY day ROWS BETWEEN UNBOUNDED "
    "PRECEDING AND CURRENT ROW) AS running FROM orders ORDER BY id",
    "SELECT id, lag(day, 1) OVER w, lead(day) OVER w, first_value(id) OVER w FROM orders "
    "WINDOW w AS (PARTITION BY customer ORDER BY day) ORDER BY id",
    "SELECT id, avg(amount) OVER (ORDER BY day RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND "
    "INTERVAL 1 DAY FOLLOWING) AS a FROM orders ORDER BY id",
    "SELECT id, count(*) FILTER (WHERE amount > 6) OVER (ORDER BY id) AS n FROM orders ORDER BY id",
    "SELECT id, ntile(2) OVER (ORDER BY id), rank() OVER (ORDER BY customer), "
    "last_value(amount IGNORE NULLS) OVER (ORDER BY id) FROM orders ORDER BY id",
    "SELECT id, sum(amount) OVER (ORDER BY id GROUPS 1 PRECEDING EXCLUDE CURRENT ROW) AS s "
    "FROM orders ORDER BY id",
    "SELECT * FROM orders QUALIFY row_number() OVER (PARTITION BY customer ORDER BY id) = 1 "
    "ORDER BY id",
    "SELECT customer, count(*) AS n, sum(amount) AS s FROM orders GROUP BY customer HAVING n > 1 "
    "ORDER BY customer",
    "SELECT customer, day, sum(amount) FROM orders GROUP BY ALL ORDER BY ALL",
    "SELECT customer, day, sum(amount), grouping(customer, day) AS g FROM orders "
    "GROUP BY GROUPING SETS ((customer, day), (customer), ()) ORDER BY ALL",
    "SELECT customer, day, count(*) FROM orders GROUP BY ROLLUP (customer, day) ORDER BY ALL",
    "SELECT customer, day, count(*) FROM orders GROUP BY CUBE (customer, day) ORDER BY ALL",
    "SELECT count(*) FILTER (WHERE amount > 6), sum(DISTINCT customer), "
    "string_agg(id::VARCHAR, ',' ORDER BY id DESC), list(id ORDER BY id), "
    "arg_max(id, amount), median(amount), mode(customer) FROM orders",
    "SELECT DISTINCT customer FROM orders ORDER BY customer",
    "SELECT DISTINCT ON (customer) customer, id FROM orders ORDER BY customer, id",
    "SELECT id FROM orders ORDER BY amount DESC NULLS LAST LIMIT 2 OFFSET 1",
    "SELECT id FROM orders ORDER BY id LIMIT 40 PERCENT",
    "SELECT id FROM orders ORDER BY id LIMIT (SELECT 2)",
    "SELECT id FROM orders UNION SELECT id FROM customers ORDER BY id",
    "SELECT id FROM orders UNION ALL SELECT id FROM customers ORDER BY id",
    "SELECT id FROM orders INTERSECT SELECT id FROM customers ORDER BY id",
    "SELECT id FROM orders EXCEPT SELECT id FROM customers ORDER BY id",
    "SELECT id, name FROM customers UNION BY NAME SELECT id, day FROM orders ORDER BY ALL",
    "(SELECT 1 AS a UNION ALL SELECT 2) INTERSECT SELECT 2",
    "SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id) "
    "ORDER BY id",
    "SELECT id FROM customers WHERE id NOT IN (SELECT customer FROM orders) ORDER BY id",
    "SELECT id FROM orders WHERE amount > ALL (SELECT amount FROM orders WHERE id < 3) ORDER BY id",
    "SELECT id FROM orders WHERE id = ANY ([1, 3]) ORDER BY id",
    "SELECT id FROM orders WHERE id = ANY (SELECT id FROM customers) ORDER BY id",
    "SELECT id, (SELECT name FROM customers c WHERE c.id = o.customer) AS name FROM orders o "
    "ORDER BY id",
    "SELECT id, (SELECT sum(amount) FROM orders i WHERE i.day <= o.day) AS s FROM orders o "
    "ORDER BY id",
    "SELECT (SELECT (SELECT max(id) FROM orders) + min(id) FROM customers)",
    "SELECT * EXCLUDE (tags, detail) FROM orders ORDER BY id",
    "SELECT * REPLACE (amount * 2 AS amount) FROM orders ORDER BY id",
    "SELECT * RENAME (amount AS money) FROM orders ORDER BY id",
    "SELECT COLUMNS('i.*|day') FROM orders ORDER BY id",
    "SELECT COLUMNS(c -> c LIKE '%a%') FROM customers ORDER BY ALL",
    "SELECT min(COLUMNS(* EXCLUDE (tags, detail))) FROM orders",
    "SELECT c FROM customers c ORDER BY c.id",
    "SELECT c.name, customers.id FROM customers c, (SELECT 1 AS id) customers ORDER BY ALL",
    "SELECT detail.city, detail['zip'], (detail).city FROM orders ORDER BY id",
    "SELECT orders.detail.city FROM orders ORDER BY id",
    "SELECT tags[1], tags[-1], tags[1:1], len(tags), list_contains(tags, 'a') FROM orders "
    "ORDER BY id",
    "SELECT [x * 2 FOR x IN [1, 2, 3] IF x > 1] AS l",
    "SELECT list_transform(tags, lambda t: upper(t)), list_filter(tags, lambda t: t <> 'a') "
    "FROM orders ORDER BY id",
    "SELECT list_reduce([1, 2, 3], lambda x, y: x + y), apply([1, 2], lambda x, i: x + i)",
    "SELECT {'a': 1, 'b': {'c': [1, 2]}} AS s, MAP {'k': 1, 'l': 2} AS m, MAP {'k': 1}['k']",
    "SELECT struct_pack(x := 1, y := 'b'), CAST(row(1, 2) AS VARCHAR), map_keys(MAP {'a': 1}), list_sort([3, 1])",
    "SELECT note::JSON -> 'k' -> 0, note::JSON ->> 'x', json_extract(note, '$.k'), "
    "json_keys(note) FROM customers ORDER BY id",
    "SELECT json_group_array(id), json_object('a', 1), to_json([1, 2]) FROM customers",
    "SELECT j.key, j.value FROM customers, json_each(note) j WHERE customers.id = 1 ORDER BY ALL",
    "SELECT regexp_matches(name, '^[ab]'), regexp_replace(name, 'n+', 'm'), "
    "regexp_extract(name, '(.)n', 1), name ~ 'ann', name SIMILAR TO 'b.*' FROM customers "
    "ORDER BY id",
    "SELECT name LIKE '%n%', name ILIKE 'A%', name NOT LIKE '_o_', name GLOB 'a*' FROM customers "
    "ORDER BY id",
    "SELECT upper(name) COLLATE nocase = 'ann' FROM customers ORDER BY id",
    "SELECT day + INTERVAL 1 MONTH, date_trunc('month', day), day - DATE '2024-01-01', "
    "extract(dow FROM day), date_diff('day', DATE '2024-01-01', day), strftime(day, '%Y/%m') "
    "FROM orders ORDER BY id",
    "SELECT moment AT TIME ZONE 'Europe/Berlin', time_bucket(INTERVAL 1 HOUR, moment), epoch(moment), "
    "age(moment, TIMESTAMP '2024-01-01') FROM orders ORDER BY id",
    "SELECT CASE WHEN amount > 6 THEN 'big' WHEN amount IS NULL THEN 'none' ELSE 'small' END, "
    "coalesce(amount, 0), nullif(id, 1), amount IS DISTINCT FROM 5.25, id BETWEEN 2 AND 3 "
    "FROM orders ORDER BY id",
    "SELECT CAST('1' AS INTEGER), TRY_CAST('x' AS INTEGER), '2'::DOUBLE, DATE '2024-01-01', "
    "1_000, 0xFF, 1e3, 'it''s', $$dollar$$, E'\\n', true AND NULL, NOT false, 7 // 2, 7 % 2, 2 ** 3",
    "SELECT id AS a, a + 1 AS b FROM orders ORDER BY a",
    "SELECT n: id, m: amount FROM orders ORDER BY n",
    "SELECT #1, #2 FROM customers ORDER BY #1",
    "SELECT ('a').upper().lower() AS chained, ([1, 2]).list_sum()",
    "SELECT * FROM range(3) r(n), generate_series(1, 2) g(m) ORDER BY ALL",
    "SELECT unnest(range(3)) AS n",
    "SELECT * FROM orders TABLESAMPLE reservoir(100%) REPEATABLE (42) ORDER BY id",
    "SELECT count(*) FROM (SELECT * FROM range(1000) USING SAMPLE 10% (bernoulli, 7))",
    "PIVOT orders ON customer IN (1, 2) USING sum(amount) GROUP BY day ORDER BY day",
    "SELECT * FROM orders PIVOT (sum(amount) FOR customer IN (1, 2, 3) GROUP BY day) ORDER BY day",
    "FROM (PIVOT (SELECT customer, day, amount FROM orders) ON customer IN (1, 2) "
    "USING sum(amount)) ORDER BY day",
    "PIVOT (SELECT customer, day, amount FROM orders) ON customer USING sum(amount) ORDER BY day",
    "PIVOT orders ON customer USING count(*) GROUP BY day ORDER BY day",
    "UNPIVOT (SELECT id, customer AS a, id * 2 AS b FROM orders) ON a, b INTO NAME n VALUE v "
    "ORDER BY ALL",
    "SELECT * FROM (SELECT id, customer AS a, id * 2 AS b FROM orders) UNPIVOT (v FOR n IN (a, b)) "
    "ORDER BY ALL",
    "UNPIVOT (SELECT id, customer AS a FROM orders) ON COLUMNS(* EXCLUDE id) ORDER BY ALL",
    'SELECT column_name, column_type, "count" FROM (SUMMARIZE customers) ORDER BY ALL',
    "SELECT a.b FROM (SELECT {'b': 1} AS a) t",
    'SELECT "weird name", "q""q" FROM (SELECT 1 AS "weird name", 2 AS "q""q")',
    'SELECT 1 AS "select", 2 AS "FROM"',
    "SELECT /* a /* nested */ comment */ 1 -- and one more\n + 1 AS n",
    "SELECT count(*) FROM orders o1, orders o2, orders o3 WHERE o1.id < o2.id AND o2.id < o3.id",
    "SELECT ((((((((((1))))))))))",
    "SELECT try(CAST('x' AS INTEGER)), greatest(1, 2), least('a', 'b'), abs(-1), round(2.567, 2)",
    "SELECT md5('a'), sha256('a'), hash(1) = hash(1), to_base64('a'::BLOB), bit_count(7)",
    "SELECT 1 WHERE false",
    "SELECT NULL, NULL::INTEGER, []",
]

WITH_PARAMETERS: list[tuple[str, Any]] = [
    ("SELECT id FROM orders WHERE id = ?", [2]),
    ("SELECT id FROM orders WHERE id > ? AND id < ? ORDER BY id", [1, 4]),
    ("SELECT id FROM orders WHERE id > $1 AND id < $2 AND id <> $1 ORDER BY id", [1, 4]),
    ("SELECT $a + $b AS c, $a AS d", {"a": 1, "b": 2}),
    ("SELECT id FROM customers WHERE name = $name", {"name": "bob"}),
    ("SELECT id FROM customers WHERE name = ?", ["x' OR 1=1 --"]),
    ("SELECT ?::VARCHAR, ?::DATE, ?::DOUBLE, ?::BOOLEAN", ["é\u202e", "2024-01-01", 1.5, True]),
    ("SELECT list_contains(?, id) FROM orders ORDER BY id", [[1, 2]]),
    ("WITH a AS (SELECT ? AS n) SELECT n + ? FROM a", [1, 2]),
    ("SELECT id FROM orders ORDER BY id LIMIT ?", [2]),
    ("SELECT ? IS NULL", [None]),
]


@pytest.fixture(scope="module")
def analyst(admin: Actor, schema: str) -> Actor:
    grants = [f"USAGE ON SCHEMA {schema}"]
    for name, (columns, rows) in TABLES.items():
        hidden = ", hush VARCHAR" if name == "customers" else ""
        admin.run(f"CREATE TABLE {schema}.{name} ({columns}{hidden})")
        source = f"SELECT *, 'hidden' AS hush FROM (VALUES {rows})" if hidden else f"VALUES {rows}"
        admin.run(f"INSERT INTO {schema}.{name} {source}")
        what = "SELECT (id, name, parent, note)" if hidden else "SELECT"
        grants.append(f"{what} ON TABLE {schema}.{name}")
    return person(admin, *grants, schema=schema)


@pytest.fixture(scope="module")
def plain() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    for name, (columns, rows) in TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
        connection.execute(f"INSERT INTO {name} VALUES {rows}")
    yield connection
    connection.close()


def _compare(analyst: Actor, plain: duckdb.DuckDBPyConnection, sql: str, parameters: Any) -> None:
    expected = plain.execute(sql, parameters).to_arrow_table()
    result = analyst.platform.gateway.execute(analyst.session, sql, parameters)
    found = result.read_all()
    # A name that the query does not give is the expression, as DuckDB writes it back.
    for one, other in zip(found.column_names, expected.column_names, strict=True):
        assert one == other or not other.isidentifier()
    found = found.rename_columns(expected.column_names)
    assert found.to_pylist() == expected.to_pylist()
    assert found.schema.types == expected.schema.types


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_gives_what_plain_duckdb_gives(
    analyst: Actor, plain: duckdb.DuckDBPyConnection, sql: str
) -> None:
    _compare(analyst, plain, sql, None)


@pytest.mark.parametrize(("sql", "parameters"), WITH_PARAMETERS)
def test_parameters_give_what_plain_duckdb_gives(
    analyst: Actor, plain: duckdb.DuckDBPyConnection, sql: str, parameters: Any
) -> None:
    _compare(analyst, plain, sql, parameters)


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_gives_the_same_from_the_plan_cache(analyst: Actor, sql: str) -> None:
    assert str(analyst.run(sql)) == str(analyst.run(sql))
