"""Writers of one table take turns."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from uuid import uuid4

import pytest

from lakehold.catalog import Catalog
from lakehold.catalog.locks import WriterQueues
from lakehold.clock import system_clock
from lakehold.errors import CommitConflict, LockTimeout, StatementCancelled
from lakehold.state import Database
from lakehold.storage import ObjectStore
from tests.catalog.lake import create, find, set_property


def test_eight_writers_of_one_table_all_succeed(catalog: Catalog, database: Database) -> None:
    table = create(catalog, "t")

    def write(writer: int) -> None:
        for number in range(10):
            transaction = catalog.begin()
            transaction.lock([table.id])
            set_property(transaction, table.id, f"{writer}.{number}", "1")
            transaction.commit()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    found = find(catalog, database, "t")
    assert found is not None
    assert len(found.properties) == 80


def test_two_platforms_on_one_database_take_turns_too(
    catalog: Catalog, database: Database, conninfo: str, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    other_database = Database(conninfo)
    other = Catalog(other_database, store, clock=system_clock)

    def write(arguments: tuple[Catalog, int]) -> None:
        lake, writer = arguments
        for number in range(10):
            transaction = lake.begin()
            transaction.lock([table.id])
            set_property(transaction, table.id, f"{writer}.{number}", "1")
            transaction.commit()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, [(catalog, 0), (other, 1), (catalog, 2), (other, 3)]))
    other_database.close()
    found = find(catalog, database, "t")
    assert found is not None
    assert len(found.properties) == 40


def test_waiting_in_the_queue_holds_no_connection(catalog: Catalog, database: Database) -> None:
    table = create(catalog, "t")
    holder = catalog.begin()
    holder.lock([table.id])
    waiting = [catalog.begin() for _ in range(60)]
    with ThreadPoolExecutor(60) as threads:
        turns = [threads.submit(each.lock, [table.id]) for each in waiting]
        time.sleep(0.2)
        assert find(catalog, database, "t") is not None
        holder.rollback()
        for turn, transaction in zip(turns, waiting, strict=True):
            while not turn.done():
                for other in waiting:
                    if other.holds(table.id):
                        other.rollback()
                time.sleep(0.001)
            transaction.rollback()


def test_waiting_ends_at_its_time_limit(catalog: Catalog) -> None:
    table = create(catalog, "t")
    holder, waiter = catalog.begin(), catalog.begin()
    holder.lock([table.id])
    began = time.monotonic()
    with pytest.raises(LockTimeout):
        waiter.lock([table.id], timeout_s=0.2)
    assert 0.15 < time.monotonic() - began < 2
    holder.commit()
    waiter.lock([table.id], timeout_s=5)
    waiter.commit()


def test_waiting_for_another_platform_ends_at_its_time_limit(
    catalog: Catalog, conninfo: str, store: ObjectStore
) -> None:
    tables = [create(catalog, text) for text in ("t1", "t2")]
    other_database = Database(conninfo)
    holder = Catalog(other_database, store, clock=system_clock).begin()
    holder.lock([tables[1].id])
    waiter = catalog.begin()
    waiter.lock([tables[0].id])
    set_property(waiter, tables[0].id, "a", "1")
    with pytest.raises(LockTimeout):
        waiter.lock([tables[1].id], timeout_s=0.2)
    waiter.commit()
    holder.rollback()
    other_database.close()


def test_two_that_wait_for_each_other_are_told_at_once(catalog: Catalog) -> None:
    tables = [create(catalog, text) for text in ("t1", "t2")]
    first, second = catalog.begin(), catalog.begin()
    first.lock([tables[0].id])
    second.lock([tables[1].id])
    waiting = Thread(target=first.lock, args=([tables[1].id],))
    waiting.start()
    time.sleep(0.1)
    with pytest.raises(CommitConflict):
        second.lock([tables[0].id], timeout_s=30)
    second.rollback()
    waiting.join(5)
    assert not waiting.is_alive()
    first.commit()


def test_several_tables_are_taken_in_one_order(catalog: Catalog) -> None:
    ids = [create(catalog, text).id for text in ("t1", "t2", "t3")]

    def write(number: int) -> None:
        transaction = catalog.begin()
        transaction.lock(ids if number % 2 else ids[::-1], timeout_s=30)
        for table_id in ids:
            set_property(transaction, table_id, str(number), "1")
        transaction.commit()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(24)))


def test_a_rollback_from_another_thread_ends_the_waiting(catalog: Catalog) -> None:
    table = create(catalog, "t")
    holder, waiter = catalog.begin(), catalog.begin()
    holder.lock([table.id])
    with ThreadPoolExecutor(1) as threads:
        turn = threads.submit(waiter.lock, [table.id])
        time.sleep(0.1)
        waiter.rollback()
        with pytest.raises(StatementCancelled):
            turn.result(5)
    holder.commit()


def test_the_queue_is_fair() -> None:
    queues = WriterQueues()
    table, holder = uuid4(), uuid4()
    far = time.monotonic() + 30
    queues.acquire(holder, table, far)
    order: list[int] = []
    entered = Event()

    def wait(number: int) -> None:
        owner = uuid4()
        entered.set()
        queues.acquire(owner, table, far)
        order.append(number)
        queues.release(owner, table)

    threads = []
    for number in range(10):
        entered.clear()
        thread = Thread(target=wait, args=(number,))
        thread.start()
        entered.wait()
        time.sleep(0.01)
        threads.append(thread)
    queues.release(holder, table)
    for thread in threads:
        thread.join(5)
    assert order == list(range(10))
    assert queues.acquire(holder, table, far)


def test_a_table_is_not_queued_for_twice_by_one_transaction() -> None:
    queues = WriterQueues()
    table, owner = uuid4(), uuid4()
    far = time.monotonic() + 30
    assert queues.acquire(owner, table, far)
    assert not queues.acquire(owner, table, far)
