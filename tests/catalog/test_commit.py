"""Invariant 5: a commit is one compare-and-swap; all of a transaction, or nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest

from lakehold.catalog import Catalog, TransactionState, commit
from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    DuplicateTable,
    LakeholdError,
    StateUnavailable,
    StorageFailed,
    TransactionInvalid,
    UndefinedSchema,
    UndefinedTable,
)
from lakehold.state import Connection, Database
from lakehold.storage import ObjectStore
from tests.catalog.lake import NUMBERS, create, find, name, set_property


def metadata_files(store: ObjectStore) -> set[str]:
    return {i.location for i in store.list(store.root) if i.location.endswith(".metadata.json")}


def test_invariant_5_commit_is_one_compare_and_swap(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    first, second = catalog.begin(), catalog.begin()
    set_property(first, table.id, "by", "first")
    set_property(second, table.id, "by", "second")
    first.commit()
    with pytest.raises(CommitConflict):
        second.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert found.properties["by"] == "first"
    assert metadata_files(store) == {table.metadata_location, found.metadata_location}


def test_invariant_5_of_two_committers_at_once_one_wins(
    catalog: Catalog, database: Database
) -> None:
    table = create(catalog, "t")
    together = Barrier(2)

    def write(who: str) -> bool:
        transaction = catalog.begin()
        set_property(transaction, table.id, "by", who)
        together.wait()
        try:
            transaction.commit()
        except CommitConflict:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            won = list(threads.map(write, ["a", "b"]))
            assert won.count(True) == 1
            found = find(catalog, database, "t")
            assert found is not None
            assert found.properties["by"] == "ab"[won.index(True)]


def test_invariant_5_several_tables_change_together_or_not_at_all(
    catalog: Catalog, database: Database
) -> None:
    tables = [create(catalog, text) for text in ("t1", "t2", "t3")]
    late = catalog.begin()
    for table in tables:
        set_property(late, table.id, "by", "late")
    late.create_table(name("t4"), NUMBERS)
    early = catalog.begin()
    set_property(early, tables[2].id, "by", "early")
    early.commit()
    with pytest.raises(CommitConflict, match="t3"):
        late.commit()
    assert [_by(catalog, database, text) for text in ("t1", "t2", "t3")] == [None, None, "early"]
    assert find(catalog, database, "t4") is None


def test_invariant_5_what_goes_along_is_committed_or_not_with_it(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    with database.transaction() as conn:
        conn.execute("CREATE TABLE ledger (entry text)")
    good, bad = catalog.begin(), catalog.begin()
    set_property(good, table.id, "by", "good")
    good.commit(lambda conn: _write(conn, "good"))
    set_property(bad, table.id, "by", "bad")
    before = metadata_files(store)

    def fail(conn: Connection) -> None:
        _write(conn, "bad")
        raise StorageFailed("the ledger is full")

    with pytest.raises(StorageFailed, match="ledger"):
        bad.commit(fail)
    assert _by(catalog, database, "t") == "good"
    assert len(metadata_files(store)) == len(before) - 1
    with database.transaction() as conn:
        assert conn.execute("SELECT entry FROM ledger").fetchall() == [("good",)]


def test_nothing_is_visible_before_the_commit(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    transaction.create_schema("s")
    table = transaction.create_table(name("s.t"), NUMBERS)
    set_property(transaction, table.id, "a", "1")
    assert find(catalog, database, "s.t") is None
    with database.transaction() as conn:
        inside = catalog.resolve(conn, [name("S.T")], transaction=transaction)
        pointers = catalog.pointers(conn, [table.id], transaction=transaction)
        assert catalog.schema(conn, "s") is None
        assert catalog.schema(conn, "s", transaction) is not None
    assert inside[name("S.T")].properties["a"] == "1"
    assert pointers[table.id][0] == 1
    transaction.commit()
    found = find(catalog, database, "s.t")
    assert found is not None
    assert found.metadata_location == inside[name("S.T")].metadata_location


def test_files_between_the_first_and_the_last_state_of_a_transaction_are_deleted(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    for number in range(5):
        set_property(transaction, table.id, "n", str(number))
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert metadata_files(store) == {table.metadata_location, found.metadata_location}
    log = catalog.metadata(found.metadata_location)["metadata-log"]
    assert [entry["metadata-file"] for entry in log] == [table.metadata_location]


def test_a_rolled_back_transaction_leaves_no_trace(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    before = [item.location for item in store.list(store.root)]
    transaction = catalog.begin()
    table = transaction.create_table(name("t"), NUMBERS)
    store.write(f"{catalog.metadata(table.metadata_location)['location']}/data/x.parquet", b"1")
    transaction.create_view(name("v"), "SELECT 1 AS a", [("a", "BIGINT")], owner="ada")
    transaction.rollback()
    transaction.rollback()
    assert [item.location for item in store.list(store.root)] == before
    assert find(catalog, database, "t") is None
    with pytest.raises(TransactionInvalid):
        transaction.commit()
    with pytest.raises(TransactionInvalid):
        transaction.load(name("t"))


def test_a_crash_between_the_file_and_the_swap_changes_nothing(
    catalog: Catalog, database: Database
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    transaction.lock([table.id])
    set_property(transaction, table.id, "by", "lost")

    def die(conn: Connection) -> None:
        _terminate(database, conn)
        conn.execute("SELECT 1")

    with pytest.raises(StateUnavailable):
        transaction.commit(die)
    assert _by(catalog, database, "t") is None
    again = catalog.begin()
    again.lock([table.id], timeout_s=5)
    set_property(again, table.id, "by", "again")
    again.commit()
    assert _by(catalog, database, "t") == "again"


def test_a_connection_lost_while_it_holds_a_table_gives_the_table_back(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    transaction.lock([table.id])
    set_property(transaction, table.id, "by", "lost")
    _terminate_all(database)
    with pytest.raises(StateUnavailable):
        transaction.commit()
    assert transaction.state is TransactionState.ROLLED_BACK
    assert metadata_files(store) == {table.metadata_location}
    again = catalog.begin()
    again.lock([table.id], timeout_s=5)
    again.rollback()


def test_a_lost_answer_to_a_commit_is_asked_after(
    catalog: Catalog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after PostgreSQL has committed and before it could say so."""
    table = create(catalog, "t")
    transaction = catalog.begin()
    set_property(transaction, table.id, "by", "kept")

    def lose_the_answer(conn: Connection) -> None:
        commit_it = conn.commit

        def committed() -> None:
            commit_it()
            conn.close()
            raise _lost()

        monkeypatch.setattr(conn, "commit", committed)

    transaction.commit(lose_the_answer)
    assert transaction.state is TransactionState.COMMITTED
    assert _by(catalog, database, "t") == "kept"


def test_a_commit_that_never_arrived_is_known_to_have_failed(
    catalog: Catalog, database: Database, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    set_property(transaction, table.id, "by", "lost")

    def break_off(conn: Connection) -> None:
        def never() -> None:
            conn.close()
            raise _lost()

        monkeypatch.setattr(conn, "commit", never)

    with pytest.raises(StateUnavailable):
        transaction.commit(break_off)
    assert transaction.state is TransactionState.ROLLED_BACK
    assert metadata_files(store) == {table.metadata_location}


def test_if_nobody_can_say_whether_it_was_committed_nothing_is_deleted(
    catalog: Catalog, database: Database, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    set_property(transaction, table.id, "by", "who knows")
    monkeypatch.setattr(commit, "outcome", lambda *_: "unknown")

    def lose_the_answer(conn: Connection) -> None:
        commit_it = conn.commit

        def committed() -> None:
            commit_it()
            conn.close()
            raise _lost()

        monkeypatch.setattr(conn, "commit", committed)

    with pytest.raises(CommitUnknown):
        transaction.commit(lose_the_answer)
    assert transaction.state is TransactionState.UNKNOWN
    assert len(metadata_files(store)) == 2
    assert _by(catalog, database, "t") == "who knows"


def test_of_two_who_make_the_same_table_one_wins(catalog: Catalog, database: Database) -> None:
    together = Barrier(4)

    def make(number: int) -> Any:
        transaction = catalog.begin()
        relation = transaction.create_table(name("same"), NUMBERS)
        together.wait()
        try:
            transaction.commit()
        except LakeholdError as error:
            return error
        return relation

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(make, range(4)))
    won = [result for result in results if not isinstance(result, LakeholdError)]
    lost = [result for result in results if isinstance(result, LakeholdError)]
    assert len(won) == 1
    assert {type(error) for error in lost} == {DuplicateTable}
    found = find(catalog, database, "same")
    assert found is not None
    assert found.id == won[0].id


def test_a_name_taken_meanwhile_stops_a_rename(catalog: Catalog, database: Database) -> None:
    create(catalog, "old")
    renaming = catalog.begin()
    renaming.rename(name("old"), name("new"))
    create(catalog, "new")
    with pytest.raises(DuplicateTable):
        renaming.commit()
    assert find(catalog, database, "old") is not None


def test_a_table_dropped_meanwhile_cannot_be_changed(catalog: Catalog) -> None:
    table = create(catalog, "t")
    changing, dropping = catalog.begin(), catalog.begin()
    set_property(changing, table.id, "a", "1")
    dropping.drop(name("t"))
    dropping.commit()
    with pytest.raises(UndefinedTable):
        changing.commit()


def test_a_schema_dropped_meanwhile_takes_no_table(catalog: Catalog) -> None:
    _make_schema(catalog, "s")
    creating, dropping = catalog.begin(), catalog.begin()
    creating.create_table(name("s.t"), NUMBERS)
    dropping.drop_schema("s")
    dropping.commit()
    with pytest.raises(UndefinedSchema):
        creating.commit()


def test_a_schema_filled_meanwhile_is_not_dropped(catalog: Catalog) -> None:
    _make_schema(catalog, "s")
    dropping = catalog.begin()
    dropping.drop_schema("s")
    create(catalog, "s.t")
    with pytest.raises(LakeholdError, match="not empty"):
        dropping.commit()


def test_names_can_be_swapped_in_one_transaction(catalog: Catalog, database: Database) -> None:
    first, second = create(catalog, "a"), create(catalog, "b")
    transaction = catalog.begin()
    transaction.rename(name("a"), name("c"))
    transaction.rename(name("b"), name("a"))
    transaction.rename(name("c"), name("b"))
    transaction.commit()
    now_a, now_b = find(catalog, database, "a"), find(catalog, database, "b")
    assert now_a is not None
    assert now_b is not None
    assert (now_a.id, now_b.id) == (second.id, first.id)
    assert now_a.version == second.version + 1


def test_data_and_a_rename_do_not_exclude_each_other(catalog: Catalog, database: Database) -> None:
    table = create(catalog, "old")
    writing, renaming = catalog.begin(), catalog.begin()
    set_property(writing, table.id, "a", "1")
    renaming.rename(name("old"), name("new"))
    renaming.commit()
    writing.commit()
    found = find(catalog, database, "new")
    assert found is not None
    assert found.properties["a"] == "1"


def _by(catalog: Catalog, database: Database, text: str) -> str | None:
    found = find(catalog, database, text)
    assert found is not None
    return found.properties.get("by")


def _make_schema(catalog: Catalog, text: str) -> None:
    transaction = catalog.begin()
    transaction.create_schema(text)
    transaction.commit()


def _write(conn: Connection, entry: str) -> None:
    conn.execute("INSERT INTO ledger VALUES (%s)", (entry,))


def _lost() -> Exception:
    return psycopg.OperationalError("server closed the connection unexpectedly")


def _terminate(database: Database, victim: Connection) -> None:
    pid = victim.info.backend_pid
    with database.transaction() as conn:
        conn.execute("SELECT pg_terminate_backend(%s)", (pid,))


def _terminate_all(database: Database) -> None:
    with database.transaction() as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
