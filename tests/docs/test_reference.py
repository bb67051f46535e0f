"""The reference says what the code says: every setting, error, command, route, function, type,
statement and relation of the platform stands in it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from docs.generated import PARTS, REFERENCE, rendered
from docs.markdown import DOCS, PAGES, ROOT, anchors, links
from lakehold.policy import Privilege
from lakehold.query import statements
from lakehold.query.altering import _ACTIONS
from lakehold.query.grammar.governance import _SHOWN
from lakehold.query.system import _RELATIONS

SQL = (DOCS / "guide" / "sql.md").read_text(encoding="utf-8")
STATEMENTS = [
    kind
    for _, kind in inspect.getmembers(statements, inspect.isclass)
    if issubclass(kind, statements.Statement) and kind is not statements.Statement
]
CHANGES = {"SET PROPERTIES": "SET TBLPROPERTIES", "RESET PROPERTIES": "RESET (…)"}
WORDS = {"DynamicPivot": "PIVOT", "GrantPrivileges": "GRANT", "Drop": "DROP TABLE"}


def words(kind: type) -> str:
    """The words that a statement begins with."""
    return WORDS.get(kind.__name__) or " ".join(re.findall("[A-Z][a-z]*", kind.__name__)).upper()


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=page_name)
def test_a_reference_page_is_what_the_code_says(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert rendered(page) == page, "run make docs"


def test_every_part_of_the_reference_stands_on_a_page() -> None:
    marked = "".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    assert set(re.findall(r"from the code: (\w+)", marked)) == set(PARTS)


@pytest.mark.parametrize("kind", STATEMENTS, ids=words)
def test_every_statement_is_documented(kind: type) -> None:
    assert f"`{words(kind)}" in SQL or f"\n{words(kind)}" in SQL


@pytest.mark.parametrize("what", _SHOWN)
def test_every_form_of_show_is_documented(what: str) -> None:
    assert f"`SHOW {what}" in SQL or f"`{what}`" in SQL


@pytest.mark.parametrize("privilege", [privilege.name for privilege in Privilege])
def test_every_privilege_is_documented(privilege: str) -> None:
    assert f"`{privilege}`" in (DOCS / "guide" / "access.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("action", _ACTIONS)
def test_every_change_of_a_table_is_documented(action: str) -> None:
    table = SQL[SQL.index("| `ALTER TABLE t …`") :].partition("\n\n")[0]
    assert CHANGES.get(action, action) in table


@pytest.mark.parametrize("name", [".".join(key) for key in _RELATIONS])
def test_every_relation_of_the_platform_is_documented(name: str) -> None:
    assert f"`{name}`" in SQL


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=page_name)
def test_every_page_is_in_the_index(path: Path) -> None:
    index = DOCS / "README.md"
    assert path == index or path in {
        (DOCS / link.partition("#")[0]).resolve() for link in links(index)
    }
