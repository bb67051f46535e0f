"""Whatever is done to the ledger's tables behind its back is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit.statements import OK, begin
from lakehold.audit import Ledger, StatementOutcome, Verification, store
from lakehold.audit.chain import Head, Link, extend
from lakehold.audit.record import outcome_fields, start_fields
from lakehold.state import Connection, Database

RECORDS = 20

COLUMNS = {
    "key": "gen_random_uuid()",
    "at": "at + interval '1 microsecond'",
    "principal": "'eve'",
    "status": "'failed'",
    "tables": "array['sales.other']",
    "record": """replace(record, '"rows":3', '"rows":2')""",
    "previous": "sha256(previous)",
    "hash": "sha256(hash)",
}


@pytest.fixture
def full(ledger: Ledger) -> Ledger:
    """A ledger with records."""
    for number in range(RECORDS):
        ledger.record(begin(application=str(number)), OK)
    return ledger


def tamper(database: Database, *statements: str) -> None:
    """What someone with all rights on PostgreSQL, and without the key, can do."""
    with database.transaction() as conn:
        conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            conn.execute(statement.encode())


def found(ledger: Ledger) -> tuple[bool, str | None, int | None]:
    result = ledger.verify()
    return result.ok, result.what, result.first_bad


def test_untouched_ledger_is_whole(full: Ledger) -> None:
    assert full.verify() == Verification(True, RECORDS)


def test_empty_ledger_is_whole(ledger: Ledger) -> None:
    assert ledger.verify() == Verification(True, 0)


@pytest.mark.parametrize("seq", [1, 7, RECORDS])
@pytest.mark.parametrize("column", COLUMNS)
def test_changed_column_is_found(full: Ledger, database: Database, column: str, seq: int) -> None:
    tamper(database, f"UPDATE audit.ledger SET {column} = {COLUMNS[column]} WHERE seq = {seq}")
    result = full.verify()
    assert (result.ok, result.first_bad, result.records) == (False, seq, seq - 1)
    assert result.reason
    assert result.what in ("changed", "forged")


@pytest.mark.parametrize("text", ["", "{}", "not JSON", "null"])
def test_record_that_was_made_unreadable_is_found(
    full: Ledger, database: Database, text: str
) -> None:
    tamper(database, f"UPDATE audit.ledger SET record = '{text}' WHERE seq = 5")
    assert found(full) == (False, "changed", 5)


def test_every_part_of_a_record_is_bound(full: Ledger, database: Database) -> None:
    with database.transaction() as conn:
        row = conn.execute("SELECT record::jsonb FROM audit.ledger WHERE seq = 4").fetchone()
    assert row is not None
    for name in row[0]:
        undo = "UPDATE audit.ledger SET record = spare.record FROM spare WHERE seq = 4"
        change = (
            "UPDATE audit.ledger SET record = replace(record, '\"NAME\":', '\"NAME\": ') "
            "WHERE seq = 4"
        ).replace("NAME", name)
        with database.transaction() as conn:
            conn.execute(
                "CREATE TABLE IF NOT EXISTS spare AS SELECT record FROM audit.ledger WHERE seq = 4"
            )
        tamper(database, change)
        assert found(full) == (False, "changed", 4)
        tamper(database, undo)
    assert full.verify().ok


@pytest.mark.parametrize("seq", [1, 9, RECORDS - 1])
def test_missing_record_is_found(full: Ledger, database: Database, seq: int) -> None:
    tamper(database, f"DELETE FROM audit.ledger WHERE seq = {seq}")
    assert found(full) == (False, "missing", seq)


def test_missing_record_with_later_ones_renumbered_is_found(
    full: Ledger, database: Database
) -> None:
    tamper(
        database,
        "DELETE FROM audit.ledger WHERE seq = 6",
        "UPDATE audit.ledger SET seq = -seq WHERE seq > 6",
        "UPDATE audit.ledger SET seq = -seq - 1 WHERE seq < 0",
        "UPDATE audit.head SET seq = seq - 1",
    )
    assert found(full) == (False, "reordered", 6)


def test_swapped_records_are_found(full: Ledger, database: Database) -> None:
    tamper(
        database,
        "UPDATE audit.ledger SET seq = -1 WHERE seq = 8",
        "UPDATE audit.ledger SET seq = 8 WHERE seq = 12",
        "UPDATE audit.ledger SET seq = 12 WHERE seq = -1",
    )
    assert found(full) == (False, "reordered", 8)


def test_cut_tail_is_found(full: Ledger, database: Database) -> None:
    tamper(database, "DELETE FROM audit.ledger WHERE seq > 15")
    assert found(full) == (False, "truncated", 16)


def test_cut_tail_with_the_head_set_back_is_found_by_a_checkpoint(
    full: Ledger, database: Database
) -> None:
    full.stop()
    cut_off(database, 15)
    assert found(full) == (False, "truncated", 16)


def test_emptied_ledger_is_found_by_a_checkpoint(full: Ledger, database: Database) -> None:
    full.stop()
    tamper(
        database,
        "TRUNCATE audit.ledger",
        "UPDATE audit.head SET seq = 0, hash = decode(repeat('00', 32), 'hex')",
    )
    assert found(full) == (False, "truncated", 1)


def test_cut_after_the_last_checkpoint_is_found_by_the_living_platform(
    full: Ledger, database: Database
) -> None:
    cut_off(database, 15)
    full.record(begin(), OK)
    assert found(full) == (False, "truncated", 17)


def test_older_copy_that_was_restored_and_written_on_is_found(
    full: Ledger, database: Database, make_ledger: Callable[..., Ledger]
) -> None:
    full.stop()
    cut_off(database, 10)
    later = make_ledger()
    assert found(later) == (False, "truncated", 11)
    for _ in range(RECORDS):
        later.record(begin(), OK)
    assert found(later) == (False, "replaced", RECORDS)


def test_forged_record_is_found(full: Ledger, database: Database) -> None:
    with database.transaction() as conn:
        append(conn, b"another key" * 3, RECORDS + 1)
    ok, what, seq = found(full)
    assert (ok, seq) == (False, RECORDS + 1)
    assert what in ("forged", "changed")


def test_record_inserted_behind_the_head_is_found(full: Ledger, database: Database) -> None:
    tamper(
        database,
        f"""
        INSERT INTO audit.ledger SELECT {RECORDS + 1}, gen_random_uuid(), at, principal, status,
            tables, record, previous, hash FROM audit.ledger WHERE seq = {RECORDS}
        """,
    )
    ok, what, seq = found(full)
    assert not ok
    assert seq == RECORDS + 1
    assert what in ("forged", "reordered")


def test_removed_head_is_an_error(full: Ledger, database: Database) -> None:
    tamper(database, "UPDATE audit.head SET seq = seq - 1")
    assert full.verify().ok is False


def test_ledger_of_another_key_is_not_genuine(
    full: Ledger, database: Database, make_ledger: Callable[..., Ledger]
) -> None:
    from lakehold.clock import system_clock

    other = Ledger(database, system_clock, b"not the key of this ledger......")
    try:
        assert not other.verify().ok
    finally:
        other.stop()


def test_changed_checkpoint_is_found(full: Ledger, checkpoint_file: Path) -> None:
    full.stop()
    text = checkpoint_file.read_text()
    checkpoint_file.write_text(text.replace('"seq": 20', '"seq": 19'))
    ok, what, _ = found(full)
    assert (ok, what) == (False, "forged")


def test_checkpoint_that_a_crash_left_unfinished_is_forgotten(
    full: Ledger, checkpoint_file: Path, make_ledger: Callable[..., Ledger]
) -> None:
    full.stop()
    with checkpoint_file.open("a") as file:
        file.write('{"at": "2026-')
    again = make_ledger()
    assert again.verify().ok
    again.record(begin(), OK)
    again.stop()
    assert again.verify().ok
    assert len(checkpoint_file.read_text().splitlines()) == 2


def test_checkpoints_are_written_every_so_many_records(
    make_ledger: Callable[..., Ledger], checkpoint_file: Path
) -> None:
    ledger = make_ledger(checkpoint_records=10)
    for _ in range(35):
        ledger.record(begin(), OK)
    assert len(checkpoint_file.read_text().splitlines()) == 3


def test_a_checkpoint_written_during_a_verification_is_none_of_its_business(
    make_ledger: Callable[..., Ledger], checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make_ledger(checkpoint_records=10)
    for _ in range(20):
        ledger.record(begin(), OK)
    before, stream = checkpoint_file.read_text(), store.chain

    def meanwhile(conn: Connection) -> Iterator[Link]:
        for _ in range(20):
            ledger.record(begin(), OK)
        yield from stream(conn)

    monkeypatch.setattr(store, "chain", meanwhile)
    assert ledger.verify() == Verification(True, 20)
    assert len(checkpoint_file.read_text()) > len(before)


def test_what_the_key_was_used_on_elsewhere_is_no_record(full: Ledger, database: Database) -> None:
    opened = full.open(None, begin())
    with database.transaction() as conn:
        row = conn.execute("SELECT instance, start, seal FROM audit.opened").fetchone()
        assert row is not None
        conn.execute(
            """
            INSERT INTO audit.ledger SELECT %s, %s, at, principal, status, tables, %s, %s, %s
            FROM audit.ledger WHERE seq = 1
            """,
            [RECORDS + 1, opened.key, row[1], f"opened\0{row[0]}\0".encode(), row[2]],
        )
    assert found(full) == (False, "forged", RECORDS + 1)


def cut_off(database: Database, seq: int) -> None:
    """Put the ledger back to an older state that fits in itself."""
    tamper(
        database,
        f"DELETE FROM audit.ledger WHERE seq > {seq}",
        f"UPDATE audit.head SET seq = {seq}, "
        f"hash = (SELECT hash FROM audit.ledger WHERE seq = {seq})",
    )


def append(conn: Connection, key: bytes, seq: int) -> None:
    """Append a record as the platform would, with a key that is not its."""
    row = conn.execute("SELECT seq, hash FROM audit.head").fetchone()
    assert row is not None
    rest = {"instance": "eve", "recorded_at": "2026-01-01T00:00:00.000000+00:00"}
    outcome = outcome_fields(StatementOutcome(status="ok", decision="allowed"))
    (link,), head = extend(
        key, Head(row[0], bytes(row[1])), [start_fields(begin()) | outcome | rest]
    )
    assert link.seq == seq
    conn.execute(
        "INSERT INTO audit.ledger VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            link.seq,
            link.key,
            link.at,
            link.principal,
            link.status,
            link.tables,
            link.record,
            link.previous,
            link.hash,
        ],
    )
    conn.execute("UPDATE audit.head SET seq = %s, hash = %s", [head.seq, head.hash])
