"""The corpus of escape attempts: each is refused, leaks nothing, and stands in the ledger once."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from actors import Actor, person
from escapes import ANALYST, OWNER, WRITER
from lakehold.app import Platform
from lakehold.errors import InternalError, LakeholdError

HIDDEN = (
    "vault",
    "salaries",
    r"wage\b",
    "token_value",
    "hidden_note",
    "hush",
    "forbidden",
    "motto",
)
"""Names that the attackers may not learn."""

SECRETS = ("TOPSECRET", "98765")
"""Values that nobody but the administrator may see."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)
PHYSICAL = re.compile(r"\bw\d+_[0-9a-f]|__relation_|lakehold_target|iceberg_scan|\.avro|\.parquet")


@dataclass
class House:
    """Schemas and attackers.

    Attributes:
        schema: holds ``people`` (partly granted), ``salaries`` (not granted) and views.
        forbidden: a schema in which nothing is granted.
        own: the owner's schema.
    """

    schema: str
    forbidden: str
    own: str
    admin: Actor
    analyst: Actor
    writer: Actor
    owner: Actor
    snapshot: int
    table_id: str

    def fill(self, text: str) -> str:
        """Put the names of this house into an attempt."""
        for mark, value in (
            ("<s>", self.schema),
            ("<f>", self.forbidden),
            ("<o>", self.own),
            ("<snapshot>", str(self.snapshot)),
            ("<uuid>", self.table_id),
            ("<warehouse>", str(self.admin.platform.settings.warehouse_location)),
            ("<other>", self.writer.name),
        ):
            text = text.replace(mark, value)
        return text


@pytest.fixture(scope="module")
def house(platform: Platform, admin: Actor, schema: str) -> House:
    s, f, o = schema, f"{schema}_forbidden", f"{schema}_own"
    for text in (
        f"CREATE SCHEMA {f}",
        f"CREATE SCHEMA {o}",
        f"CREATE TABLE {s}.people (id INTEGER NOT NULL, name VARCHAR, hush VARCHAR, "
        "payload STRUCT(hidden_note VARCHAR), old_secret VARCHAR)",
        f"INSERT INTO {s}.people VALUES (1, 'ann', 'TOPSECRET-1', {{'hidden_note': 'TOPSECRET-2'}},"
        f" 'TOPSECRET-3'), (2, 'bob', 'TOPSECRET-4', {{'hidden_note': 'TOPSECRET-5'}}, NULL)",
        f"CREATE TABLE {s}.salaries (id INTEGER, wage INTEGER)",
        f"INSERT INTO {s}.salaries VALUES (1, 98765)",
        f"CREATE TABLE {f}.vault (id INTEGER, token_value VARCHAR)",
        f"INSERT INTO {f}.vault VALUES (1, 'TOPSECRET-6')",
        f"CREATE VIEW {s}.wages_as_invoker AS SELECT * FROM {s}.salaries",
        f"CREATE VIEW {s}.names AS SELECT id, name FROM {s}.people",
    ):
        admin.run(text)
    admin.run(f"ALTER TABLE {s}.people RENAME COLUMN old_secret TO motto")
    granted = (
        f"USAGE ON SCHEMA {s}",
        f"SELECT (id, name) ON TABLE {s}.people",
        f"SELECT ON VIEW {s}.wages_as_invoker",
        f"SELECT ON VIEW {s}.names",
    )
    analyst = person(admin, *granted, schema=s)
    writer = person(
        admin,
        *granted,
        f"INSERT (id, name) ON TABLE {s}.people",
        f"UPDATE (name) ON TABLE {s}.people",
        f"DELETE ON TABLE {s}.people",
        schema=s,
    )
    owner = person(admin, *granted, f"OWNERSHIP ON SCHEMA {o}", schema=o)
    owner.run(f"CREATE TABLE {o}.mine (id INTEGER, name VARCHAR, note VARCHAR)")
    owner.run(f"INSERT INTO {o}.mine VALUES (1, 'x', 'y')")
    owner.run(f"CREATE VIEW {o}.my_view AS SELECT id FROM {o}.mine")
    snapshot = admin.run(
        f"SELECT snapshot_id FROM lakehold.snapshots WHERE table_schema = '{s}' "
        "AND table_name = 'people'"
    )[0][0]
    with platform.parts.database.transaction() as connection:
        row = connection.execute(
            "SELECT r.id FROM catalog.relation r JOIN catalog.schema s ON s.id = r.schema_id "
            "WHERE r.name = 'salaries' AND s.name = %s",
            (s,),
        ).fetchone()
    assert row is not None
    return House(s, f, o, admin, analyst, writer, owner, snapshot, str(row[0]))


def _leaks(error: LakeholdError, sql: str, house: House) -> list[str]:
    """What an answer tells beyond what the attacker wrote."""
    told = f"{error.message} {error.hint or ''}"
    found = [
        word
        for word in HIDDEN
        if re.search(word, told, re.IGNORECASE) and not re.search(word, sql, re.IGNORECASE)
    ]
    if "wages_as_invoker" in sql:  # who may use a view with the invoker's rights may read its text
        found = [word for word in found if word != "salaries"]
    found += [word for word in SECRETS if word in told and word not in sql]
    for pattern in (UUID, PHYSICAL):
        found += [item[0] for item in pattern.finditer(told) if item[0].lower() not in sql.lower()]
    folder = str(house.admin.platform.settings.dir)
    found += [folder] if folder in told and folder not in sql else []
    found += ["Error:"] if re.search(r"\b\w+ Error: ", told) else []
    return found


def _rows(house: House) -> list[tuple[object, ...]]:
    return house.admin.run(f"SELECT CAST(p AS VARCHAR) FROM {house.schema}.people p ORDER BY id")


def _attempt(actor: Actor, text: str, house: House) -> None:
    sql = house.fill(text)
    before, rows_before = actor.records(), _rows(house)
    with pytest.raises(LakeholdError) as caught:
        rows = actor.run(sql)
        print("ESCAPED", rows)
    assert _rows(house) == rows_before
    after = actor.records()
    assert after[: len(before)] == before
    assert after[len(before) :] in (["refused"], ["failed"])
    assert not isinstance(caught.value, InternalError)
    assert _leaks(caught.value, sql, house) == [], (caught.value.message, caught.value.hint)


def _shown(text: str) -> str:
    plain = text.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")
    return plain if len(plain) < 120 else f"{plain[:90]}...{len(plain)}"


@pytest.mark.parametrize("text", ANALYST, ids=_shown)
def test_an_analyst_does_not_escape(house: House, text: str) -> None:
    _attempt(house.analyst, text, house)


@pytest.mark.parametrize("text", WRITER, ids=_shown)
def test_a_writer_of_columns_does_not_read_the_others(house: House, text: str) -> None:
    _attempt(house.writer, text, house)


@pytest.mark.parametrize("text", OWNER, ids=_shown)
def test_an_owner_does_not_leave_his_schema(house: House, text: str) -> None:
    _attempt(house.owner, text, house)


def test_the_corpus_is_large() -> None:
    assert len(set(ANALYST) | set(WRITER) | set(OWNER)) >= 160
