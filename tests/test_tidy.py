"""The house rules that no other tool checks (design §6 and §7)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lakehold"
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}


def shown(path: Path) -> str:
    return str(path.relative_to(SOURCE.parent.parent))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_file_is_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_function_fits_on_a_page(path: Path) -> None:
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in functions(ast.parse(path.read_text()))
        if node.end_lineno is not None and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    }
    assert not long


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda path: path.name)
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert not VAGUE & {path.stem, *path.parent.parts[-2:]}


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_only_settings_reads_the_environment(path: Path) -> None:
    if path.name == "settings.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert not (node.value.id == "os" and node.attr in ("environ", "getenv"))


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_postgres_is_spoken_in_state_and_stores_only(path: Path) -> None:
    if "state" in path.parts or path.name == "store.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.partition(".")[0] == "psycopg" for name in names)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_public_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_app_is_imported_by_the_command_line_alone() -> None:
    for path in FILES:
        place = path.relative_to(SOURCE).parts[0]
        if place in ("app", "cli", "__init__.py"):
            continue
        assert "from lakehold.app" not in path.read_text(), shown(path)


def test_nothing_of_the_workplace_is_in_the_repository() -> None:
    for path in (*FILES, *TESTS):
        if path == Path(__file__):
            continue
        text = path.read_text()
        assert "/work/" not in text, path
        assert "pypi.org" not in text, path
