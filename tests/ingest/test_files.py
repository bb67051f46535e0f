"""Reading files of clients: types, what does not fit, and nothing outside of the folder."""

from __future__ import annotations

import gzip
from types import SimpleNamespace
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from lakehold.engines import EngineColumn
from lakehold.engines.duckdb.files import FileOptions, FileReader
from lakehold.errors import InvalidRequest, InvalidValue, UnsupportedMediaType
from lakehold.ingest import (
    LoadOptions,
    StagingArea,
    load,
    parse_columns,
    preview,
    table_name,
)

CSV = b'id,name,zip,day\n1,a,01234,2020-01-01\n2,"b,c",00999,2020-01-02\nx,d,1,2020-01-03\n4,e\n'
COLUMNS = parse_columns("id BIGINT, name VARCHAR, zip VARCHAR, day DATE")
NDJSON = b"""{"a": 1, "b": "x", "n": {"k": 1}}

{"a": "bad", "b": "y"}
{broken
{"a": null, "b": "z"}
[1]
"""


class Statements:
    """Stands for the gateway: runs what a load asks for on a database in memory."""

    def __init__(self):
        self.database = duckdb.connect()
        self.sql: list[str] = []

    def execute(self, sql, relations):
        self.sql.append(sql)
        cursor = self.database.cursor()
        for name, relation in relations.items():
            cursor.register(name, relation)
        try:
            count = cursor.execute(sql).fetchone()
        except duckdb.Error as error:
            raise InvalidValue(f"hidden by the engine: {error}") from error
        return SimpleNamespace(
            statement_id=uuid4(),
            affected=count[0],
            batches=list,
            close=lambda: None,
        )

    def describe(self, table):
        rows = self.database.execute(f"DESCRIBE {table}").fetchall()
        return [EngineColumn(row[0], row[1]) for row in rows]

    def rows(self, sql):
        return self.database.execute(sql).fetchall()


@pytest.fixture
def statements():
    return Statements()


@pytest.fixture
def stage(tmp_path):
    area = StagingArea(tmp_path / "staging")

    def staged(data):
        file = area.create()
        file.write(data)
        file.finish()
        return file

    return staged


def run(statements, staged, **options):
    return load(
        staged,
        LoadOptions(table="t", **options),
        statements.execute,
        statements.describe,
    )


def test_csv_rows_that_do_not_fit_are_named_with_line_and_reason(stage, statements):
    summary = run(statements, stage(CSV), format="csv", mode="create", columns=COLUMNS)
    assert summary.rows == 2
    assert summary.rejected == 2
    assert [(r.line, r.column) for r in summary.rejects] == [(4, "id"), (5, "zip")]
    assert "BIGINT" in summary.rejects[0].reason
    assert summary.rejects[0].text == "x,d,1,2020-01-03"
    assert statements.rows("SELECT zip FROM t ORDER BY id") == [("01234",), ("00999",)]


def test_appended_csv_is_read_with_the_tables_types(stage, statements):
    statements.database.execute('CREATE TABLE t("ID" BIGINT, zip VARCHAR)')
    summary = run(statements, stage(b"zip,id\n01234,1\n"), format="csv")
    assert summary.rows == 1
    assert statements.rows("SELECT * FROM t") == [(1, "01234")]


def test_csv_without_names_is_appended_by_position(stage, statements):
    statements.database.execute("CREATE TABLE t(id BIGINT, zip VARCHAR)")
    run(statements, stage(b"1,00001\n2,00002\n"), format="csv", header=False)
    assert statements.rows("SELECT * FROM t ORDER BY 1") == [(1, "00001"), (2, "00002")]


def test_a_column_that_the_table_lacks_is_refused(stage, statements):
    statements.database.execute("CREATE TABLE t(id BIGINT)")
    with pytest.raises(InvalidRequest, match='no column "nope"'):
        run(statements, stage(b"id,nope\n1,2\n"), format="csv")


def test_strict_writes_nothing_if_a_row_does_not_fit(stage, statements):
    statements.database.execute("CREATE TABLE t(id BIGINT, name VARCHAR, zip VARCHAR, day DATE)")
    with pytest.raises(InvalidValue, match="2 rows do not fit; the first is line 4"):
        run(statements, stage(CSV), format="csv", strict=True)
    assert statements.rows("SELECT count(*) FROM t") == [(0,)]


def test_json_lines_that_do_not_fit_are_named_with_line_and_reason(stage, statements):
    columns = parse_columns("a INTEGER, b VARCHAR, n STRUCT(k INTEGER)")
    summary = run(statements, stage(NDJSON), format="ndjson", mode="create", columns=columns)
    assert [(r.line, r.column, r.reason) for r in summary.rejects] == [
        (3, "a", '"bad" is not a INTEGER'),
        (4, None, "the line is not JSON"),
        (6, None, "the line is not a JSON object"),
    ]
    assert statements.rows("SELECT a, b, n FROM t ORDER BY a NULLS LAST") == [
        (1, "x", {"k": 1}),
        (None, "z", None),
    ]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("csv", b"a,b\n1,x\n2,y\n"),
        ("tsv", b"a\tb\n1\tx\n2\ty\n"),
        ("ndjson", b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'),
        ("json", b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'),
    ],
)
def test_every_text_format_is_read_compressed_and_plain(stage, statements, form, data, compression):
    packed = {
        "none": data,
        "gzip": gzip.compress(data),
        "zstd": zstandard.compress(data),
    }[compression]
    summary = run(statements, stage(packed), format=form, mode="create", compression=compression)
    assert summary.rows == 2
    assert statements.rows("SELECT a, b FROM t ORDER BY a") == [(1, "x"), (2, "y")]


def test_parquet_and_arrow_are_read(stage, statements):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    parquet, arrow = pa.BufferOutputStream(), pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    run(
        statements,
        stage(parquet.getvalue().to_pybytes()),
        format="parquet",
        mode="create",
    )
    run(statements, stage(arrow.getvalue().to_pybytes()), format="arrow")
    assert statements.rows("SELECT count(*), count(b) FROM t") == [(4, 2)]


@pytest.mark.parametrize("form", ["parquet", "ndjson", "json", "arrow"])
def test_a_file_that_is_not_of_its_format_is_a_clear_error(stage, form):
    staged = stage(b"certainly not\x00\xff")
    with pytest.raises((InvalidValue, InvalidRequest)) as refused:
        preview(staged, LoadOptions(format=form))
    assert str(staged.path) not in refused.value.message


def test_an_unknown_format_is_refused(stage):
    with pytest.raises(UnsupportedMediaType):
        preview(stage(b"x"), LoadOptions(format="docx"))


def test_a_preview_shows_columns_and_first_rows(stage):
    rows = b"".join(b'%d,"n%d"\n' % (i, i) for i in range(100))
    found = preview(stage(b"id,name\n" + rows), LoadOptions(format="csv"), rows=3)
    assert [(c.name, c.type) for c in found.columns] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
    ]
    assert found.rows.num_rows == 3


def test_the_reader_reaches_nothing_outside_of_its_folder(stage, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    reader = FileReader(stage(b"a\n1\n").path, FileOptions("csv"))
    with pytest.raises(InvalidValue, match="may not reach outside"):
        reader._run(f"SELECT * FROM read_csv('{secret}')")
    with pytest.raises(InvalidValue):
        reader._run("SET enable_external_access = true")
    reader.close()


@pytest.mark.parametrize(
    "text",
    ["t; DROP TABLE x", "", "a.", ".a", 'a."b', "a b", "a.b.c d", "t -- x"],
)
def test_what_is_not_a_tables_name_is_refused(text):
    with pytest.raises(InvalidRequest):
        table_name(text)


def test_a_tables_name_is_quoted():
    assert table_name('a."b ""c"') == '"a"."b ""c"'


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a INTEGER) FROM read_text('/etc/passwd'",
        "a INTEGER; x",
        "a (INTEGER",
        "'a' INTEGER'",
    ],
)
def test_what_is_not_a_list_of_columns_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_columns(text)


def test_columns_with_nested_types_are_read():
    found = parse_columns('a DECIMAL(10,2), "b c" STRUCT(x INTEGER, y VARCHAR[])')
    assert [(c.name, c.type) for c in found] == [
        ("a", "DECIMAL(10,2)"),
        ("b c", "STRUCT(x INTEGER, y VARCHAR[])"),
    ]


NESTED = [
    ('{"v": {"a": 1, "b": [1, 2]}}', "STRUCT(a INTEGER, b INTEGER[])", True),
    ('{"v": {"a": 1}}', "STRUCT(a INTEGER, b INTEGER[])", True),
    ('{"v": {"a": null, "b": [null]}}', "STRUCT(a INTEGER, b INTEGER[])", True),
    ('{"v": null}', "STRUCT(a INTEGER, b INTEGER[])", True),
    ('{"w": 1}', "STRUCT(a INTEGER, b INTEGER[])", True),
    ('{"v": {"a": "x"}}', "STRUCT(a INTEGER, b INTEGER[])", False),
    ('{"v": {"b": [1, "q"]}}', "STRUCT(a INTEGER, b INTEGER[])", False),
    ('{"v": 5}', "STRUCT(a INTEGER, b INTEGER[])", False),
    ('{"v": [1]}', "STRUCT(a INTEGER, b INTEGER[])", False),
    ('{"v": {"b": 3}}', "STRUCT(a INTEGER, b INTEGER[])", False),
    ('{"v": [{"d": "2020-01-02"}, {}]}', "STRUCT(d DATE)[]", True),
    ('{"v": [{"d": "2020-13-02"}]}', "STRUCT(d DATE)[]", False),
    ('{"v": {"k": 1, "l": null}}', "MAP(VARCHAR, INTEGER)", True),
    ('{"v": {"k": "one"}}', "MAP(VARCHAR, INTEGER)", False),
    ('{"v": {"any": [1, {"x": 2}]}}', "JSON", True),
]


@pytest.mark.parametrize(("line", "kind", "fits"), NESTED)
def test_a_bad_value_inside_of_a_nested_one_rejects_its_row(stage, statements, line, kind, fits):
    columns = (EngineColumn("v", kind),)
    staged = stage(f"{line}\n".encode())
    summary = run(statements, staged, format="ndjson", mode="create", columns=columns)
    assert (summary.rows, len(summary.rejects)) == ((1, 0) if fits else (0, 1))
    if not fits:
        assert summary.rejects[0].column == "v"


BAD_ROWS = {
    "csv": (b"id,b\n1,x\n", b"bad,y\n", b""),
    "ndjson": (b'{"id": 1}\n', b'{"id": "bad"}\n', b""),
    "json": (b'[{"id": 1}', b', {"id": "bad"}', b"]"),
}


@pytest.mark.parametrize("form", BAD_ROWS)
def test_more_bad_rows_than_can_be_kept_refuse_the_load(stage, statements, form):
    statements.database.execute("CREATE TABLE t(id BIGINT, b VARCHAR)")
    start, bad, end = BAD_ROWS[form]
    columns = parse_columns("id BIGINT, b VARCHAR")
    with pytest.raises(InvalidValue, match=r"more than 100,000 \w+ do not fit"):
        run(statements, stage(start + bad * 150_000 + end), format=form, columns=columns)
    assert statements.rows("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("form", BAD_ROWS)
def test_every_bad_row_is_counted_up_to_the_limit(stage, statements, form):
    statements.database.execute("CREATE TABLE t(id BIGINT, b VARCHAR)")
    start, bad, end = BAD_ROWS[form]
    columns = parse_columns("id BIGINT, b VARCHAR")
    summary = run(statements, stage(start + bad * 100_000 + end), format=form, columns=columns)
    assert (summary.rows, summary.rejected) == (1, 100_000)
    assert summary.rejects[0].column == "id"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"v": [1, 2, 3]}', "INTEGER[2]"),
        ('{"v": 1.5}', "INTEGER"),
        ('{"v": "1.5"}', "BIGINT"),
        ('{"v": {"k": [0.5]}}', "STRUCT(k SMALLINT[])"),
    ],
)
def test_a_value_is_never_cut_to_fit(stage, statements, line, kind):
    columns = (EngineColumn("v", kind),)
    summary = run(statements, stage(line.encode()), format="ndjson", mode="create", columns=columns)
    assert (summary.rows, summary.rejected) == (0, 1)


def test_a_key_that_comes_after_the_sample_rejects_its_row(stage, statements, monkeypatch):
    monkeypatch.setattr("lakehold.engines.duckdb.files.SAMPLE_ROWS", 2)
    lines = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4, "late": 5}\n'
    summary = run(statements, stage(lines), format="ndjson", mode="create")
    assert (summary.rows, summary.rejected) == (3, 1)
    assert (summary.rejects[0].line, summary.rejects[0].reason) == (4, "no column is named 'late'")


def test_a_nested_key_that_the_table_lacks_rejects_its_row(stage, statements):
    statements.database.execute("CREATE TABLE t(v STRUCT(a INTEGER))")
    lines = b'{"v": {"a": 1}}\n{"v": {"a": 2, "b": 3}}\n'
    summary = run(statements, stage(lines), format="ndjson")
    assert (summary.rows, [reject.line for reject in summary.rejects]) == (1, [2])


def test_keys_that_differ_in_case_alone_are_refused(stage, statements):
    with pytest.raises(InvalidValue, match="'V' and 'v' differ in case alone"):
        run(statements, stage(b'{"v": 1}\n{"V": 2}\n'), format="ndjson", mode="create")


def test_elements_of_an_array_that_do_not_fit_are_named_with_number_and_reason(stage, statements):
    data = b'[{"a": 1,\n "b": "x"}, {"a": "bad"}, 7, null, {"a": 2}]'
    columns = parse_columns("a INTEGER, b VARCHAR")
    summary = run(statements, stage(data), format="json", mode="create", columns=columns)
    assert [(r.line, r.column, r.reason) for r in summary.rejects] == [
        (2, "a", '"bad" is not a INTEGER'),
        (3, None, "the element is not a JSON object"),
        (4, None, "the element is not a JSON object"),
    ]
    assert statements.rows("SELECT a, b FROM t ORDER BY a") == [(1, "x"), (2, None)]


ARRAY = b'[{"a": 1}, {"a": 2}, {"a": 3}]'


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("length", [10, 11, 20, 25, len(ARRAY) - 1])
def test_an_array_that_is_cut_off_is_refused(stage, statements, length, compression):
    pack = {"none": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[compression]
    columns = parse_columns("a INTEGER")
    statements.database.execute("CREATE TABLE t(a INTEGER)")
    cut = stage(pack(ARRAY[:length]))
    with pytest.raises(InvalidValue):
        run(statements, cut, format="json", columns=columns, compression=compression)
    assert statements.rows("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_a_compressed_file_that_is_cut_off_is_refused(stage, statements, form, pack):
    data = {
        "csv": b"a\n" + b"".join(b"%d\n" % n for n in range(100_000)),
        "ndjson": b"".join(b'{"a": %d}\n' % n for n in range(100_000)),
        "json": b"[" + b",".join(b'{"a": %d}' % n for n in range(100_000)) + b"]",
    }[form]
    packed = pack(data)
    statements.database.execute("CREATE TABLE t(a INTEGER)")
    compression = "gzip" if pack is gzip.compress else "zstd"
    with pytest.raises(InvalidValue):
        run(
            statements,
            stage(packed[: len(packed) * 2 // 3]),
            format=form,
            compression=compression,
            columns=parse_columns("a INTEGER"),
        )
    assert statements.rows("SELECT count(*) FROM t") == [(0,)]


def test_a_parquet_value_that_does_not_fit_names_its_column(stage, statements):
    parquet = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"good": [1], "bad": ["x"]}), parquet)
    statements.database.execute("CREATE TABLE t(good INTEGER, bad INTEGER)")
    with pytest.raises(InvalidValue, match="bad"):
        run(statements, stage(parquet.getvalue().to_pybytes()), format="parquet")
    assert statements.rows("SELECT count(*) FROM t") == [(0,)]
