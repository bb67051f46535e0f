"""``lakehold sql`` against a real server."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import sys
import time

import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from lakehold.cli.audit import audit
from lakehold.cli.load import load
from lakehold.cli.login import login, logout, whoami
from lakehold.cli.sql import sql
from lakehold.cli.token import token

application = typer.Typer()
for command in (sql, load, login, logout, whoami):
    application.command()(command)
application.add_typer(token, name="token")
application.add_typer(audit, name="audit")


@pytest.fixture
def cli(platform, admin_token, monkeypatch, tmp_path):
    monkeypatch.setenv("LAKEHOLD_URL", platform.url)
    monkeypatch.setenv("LAKEHOLD_TOKEN", admin_token)
    monkeypatch.setenv("LAKEHOLD_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*arguments, **options):
        result = runner.invoke(application, list(arguments), **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_command_prints_a_table_and_ends_with_0(cli):
    result = cli("sql", "-c", "SELECT 1 AS a, NULL AS b, 'x;y' AS c")
    assert result.exit_code == 0
    assert "│ 1 │ NULL │ x;y │" in result.stdout
    assert "(1 row)" in result.stdout


def test_an_error_shows_the_place_and_ends_with_1(cli):
    result = cli("sql", "-c", "SELECT nope FROM range(1); SELECT 2")
    assert result.exit_code == 1
    assert "LINE 1: SELECT nope" in result.stderr
    assert "\n               ^" in result.stderr
    assert "2" not in result.stdout


def test_continue_goes_on_after_an_error(cli):
    result = cli("sql", "--continue", "-c", "SELEC; SELECT 222")
    assert result.exit_code == 1
    assert "222" in result.stdout


def test_a_pipe_is_run(cli, schema):
    text = f"CREATE TABLE {schema}.t (a INTEGER);\nINSERT INTO {schema}.t\nVALUES (1), (2);\n\\d {schema}.t\n"
    result = cli("sql", input=text)
    assert result.exit_code == 0, result.stderr
    assert "INSERT: 2 rows" in result.stdout
    assert "INTEGER" in result.stdout


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", '"a","b"\n1,"x"\n'),
        ("ndjson", '{"a":1,"b":"x"}\n'),
        ("markdown", "| a | b |\n| ---: | --- |\n| 1 | x |\n"),
        ("expanded", "a │ 1\nb │ x\n"),
        ("json", '"rows":[[1,"x"]]'),
    ],
)
def test_formats(cli, form, expected):
    assert expected in cli("sql", "--format", form, "-c", "SELECT 1 AS a, 'x' AS b").stdout


def test_output_files_take_their_format_from_their_name(cli, tmp_path):
    result = cli("sql", "-o", "out.parquet", "-c", "SELECT range AS n FROM range(5)")
    assert result.exit_code == 0
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 5
    assert cli("sql", "-o", "out.docx", "-c", "SELECT 1").exit_code == 1


def test_backslash_commands(cli, schema):
    text = f"CREATE TABLE {schema}.t (a INTEGER);\n\\d\n\\dn\n\\x on\nSELECT 7 AS seven;\n\\conninfo\n\\?\n\\q\nSELECT 3;"
    result = cli("sql", input=text)
    assert result.exit_code == 0, result.stderr
    assert schema in result.stdout
    assert "seven │ 7" in result.stdout
    assert "session" in result.stdout
    assert "│ 3 │" not in result.stdout
    assert cli("sql", "-c", "\\nope").exit_code == 1


def test_no_server_ends_with_2(cli):
    assert cli("sql", "--url", "http://127.0.0.1:1", "-c", "SELECT 1").exit_code == 2


def test_login_keeps_a_token_that_nobody_sees(cli, admin_token, monkeypatch, platform):
    monkeypatch.delenv("LAKEHOLD_TOKEN")
    assert cli("whoami").exit_code == 1
    made = platform.parts.access.create_token(
        "admin",
        name="login",
        expires_in=None,
        by=platform.parts.access.principal("admin"),
    )
    result = cli("login", input=made + "\n")
    assert result.exit_code == 0, result.stderr
    assert made not in result.output
    assert "admin" in cli("whoami").stdout
    assert cli("logout").exit_code == 0
    assert cli("whoami").exit_code == 1


def test_tokens_are_made_listed_and_revoked(cli, platform):
    made = cli("token", "create", "temporary", "--expires", "1h").stdout.strip()
    assert platform.parts.access.authenticate(made).name == "admin"
    assert "temporary" in cli("token", "list").stdout
    identity = made.split("_")[1]
    assert cli("token", "revoke", identity).exit_code == 0
    with pytest.raises(Exception, match="token"):
        platform.parts.access.authenticate(made)


def test_the_ledger_is_verified_and_shown(cli):
    cli("sql", "-c", "SELECT 'look for me'")
    assert cli("audit", "verify").exit_code == 0
    assert cli("audit", "show", "-n", "5").exit_code == 0


def test_load_reports_rows_and_rejects(cli, schema, tmp_path):
    (tmp_path / "a.csv").write_text("id,name\n1,x\n2,y\n")
    (tmp_path / "b.csv").write_text("id,name\n3,z\nq,w\n")
    result = cli("load", "*.csv", "--into", f"{schema}.t", "--create")
    assert result.exit_code == 1
    assert f"3 rows of 2 files loaded into {schema}.t" in result.stderr
    assert "b.csv:3" in result.stderr
    assert "q,w" in (tmp_path / "rejects.csv").read_text()
    assert cli("load", "a.csv", "--into", f"{schema}.t").exit_code == 0
    count = cli("sql", "--format", "csv", "-c", f"SELECT count(*) AS n FROM {schema}.t").stdout
    assert count == '"n"\n5\n'
    assert cli("load", "nothing-*.csv", "--into", "t").exit_code == 1


def test_a_person_at_a_terminal_gets_an_answer(platform, admin_token, tmp_path):
    program = "import typer; from lakehold.cli.sql import sql; typer.run(sql)"
    environment = {
        **os.environ,
        "LAKEHOLD_URL": platform.url,
        "LAKEHOLD_TOKEN": admin_token,
        "LAKEHOLD_CONFIG": str(tmp_path),
        "TERM": "xterm",
    }
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-c", program], environment)
    seen = b""

    def wait_for(text, within_s=20.0):
        nonlocal seen
        until = time.monotonic() + within_s
        while text not in seen and time.monotonic() < until:
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)
                if b"\x1b[6n" in seen:  # the prompt asks where the cursor is
                    seen = seen.replace(b"\x1b[6n", b"")
                    os.write(terminal, b"\x1b[1;1R")
        assert text in seen, seen[-2000:]
        seen = b""

    try:
        wait_for(b"lakehold>")
        os.write(terminal, b"SELECT 40 +\r")
        wait_for(b"->")
        os.write(terminal, b"2 AS answer;\r")
        wait_for("│     42 │".encode())
        wait_for(b"lakehold>")
        os.write(terminal, b"\x04")
        with contextlib.suppress(OSError):  # Linux says so at the end of a terminal
            while select.select([terminal], [], [], 20)[0] and os.read(terminal, 65536):
                pass
        assert os.waitpid(process, 0)[1] == 0
    finally:
        os.close(terminal)
