"""INSERT, UPDATE, DELETE, MERGE, TRUNCATE: composed text run from a writer slot.

A statement outside of BEGIN … COMMIT is a transaction of its own: writers of one table take
turns, and if a commit from outside (another engine, through the REST catalog) came in
between, the whole statement is run again on the new state. Its ledger record is written in
the PostgreSQL transaction that swaps the pointer.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

import pyarrow as pa

from lakehold.catalog import LakeTransaction, Pointer, Relation
from lakehold.engines.duckdb.engine import DuckDBResult
from lakehold.errors import (
    CommitConflict,
    InternalError,
    InvalidRequest,
    InvalidValue,
    LakeholdError,
    StatementNotSupported,
    StorageFailed,
    UndefinedObject,
)
from lakehold.names import SYSTEM_SCHEMAS
from lakehold.query import statements as s
from lakehold.query.changing import (
    TARGET,
    Change,
    compose_delete,
    compose_insert,
    compose_merge,
    compose_update,
)
from lakehold.query.emptiness import Spare, effective
from lakehold.query.execution import Call
from lakehold.query.planning import Plan, plan_query
from lakehold.query.reading import pointers
from lakehold.query.result import Result
from lakehold.query.scope import Scope
from lakehold.query.system import Data, SystemRelations
from lakehold.query.tree import fold

ATTEMPTS_MAX = 12
"""How often a statement is run again after commits from outside."""

SLOT_TIMEOUT_S = 60.0
"""How long a writer waits for a free slot."""

Work = Callable[[LakeTransaction], int | None]
"""Does a statement's changes; returns the number of rows, ``None`` if it changes none."""


def change(call: Call) -> Result:
    """Run an INSERT, UPDATE, DELETE or MERGE."""
    return in_transaction(call, lambda transaction: _change(call, transaction))


def truncate(call: Call) -> Result:
    """TRUNCATE: a snapshot without files; the history stays (Iceberg spec: overwrite)."""
    assert isinstance(call.statement, s.Truncate)
    statement = s.Delete(call.statement.target, None, None, None)
    return in_transaction(call, lambda transaction: _change(call, transaction, statement))


def in_transaction(call: Call, work: Work) -> Result:
    """Do ``work`` in the session's transaction, or in one of its own, until it is committed.

    Raises:
        CommitConflict: in a session's transaction, or after many attempts.
    """
    if call.state.transaction is not None:
        return _in_session(call, call.state.transaction, work)
    for attempt in range(ATTEMPTS_MAX):
        call.running.check()
        transaction = call.gateway.catalog.begin()
        try:
            rows = work(transaction)
            call.running.check()
            _commit(call, transaction, rows)
        except CommitConflict:
            transaction.rollback()
            if attempt + 1 == ATTEMPTS_MAX or _is_stream(call.relations):
                raise
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))  # noqa: S311
            continue
        except BaseException:
            transaction.rollback()
            raise
        return call.done(affected=rows)
    raise AssertionError("unreachable")


def _in_session(call: Call, transaction: LakeTransaction, work: Work) -> Result:
    savepoint = transaction.savepoint()
    try:
        rows = work(transaction)
    except BaseException:
        transaction.rollback_to(savepoint)
        raise
    return call.answer(affected=rows)


def _commit(call: Call, transaction: LakeTransaction, rows: int | None) -> None:
    """Swap the pointers, give ownership, and close the ledger record, in one transaction."""
    gateway = call.gateway
    gateway.commit(
        transaction,
        call.state.session,
        lambda connection: gateway.recorder.finished(
            call.running, rows=rows or 0, connection=connection
        ),
    )


def _change(call: Call, transaction: LakeTransaction, statement: s.Statement | None = None) -> int:
    """Compose the statement in a snapshot, wait for the table's turn, and run it."""
    statement = statement or call.statement
    system = call.gateway.system()
    inputs = frozenset(fold(name) for name in call.relations)
    query_columns = _query_columns(call, statement, inputs)
    with call.gateway.snapshot(call.state, system, inputs) as scope:
        relation = _target(statement, scope)
        composed = _compose(statement, relation, scope, query_columns)
        call.running.reads.update(composed.plan.reads)
        call.running.writes.add(relation.name)
        call.running.reasons = composed.plan.reasons
        call.gateway.recorder.open(call.running, scope.connection)
        check = (composed.check, pointers(composed.check, scope)) if composed.check else None
    if check is not None:
        plan, present = check
        _run(call, plan.render(present), system).rows()
    transaction.lock([relation.id])
    try:
        return write(call, transaction, relation, composed.plan, system, spare=composed.spare)
    except (InvalidRequest, InvalidValue, UndefinedObject) as error:
        raise _without_names(error, composed.hidden) from None


def write(
    call: Call,
    transaction: LakeTransaction,
    relation: Relation,
    plan: Plan,
    system: SystemRelations,
    replaced: Mapping[UUID, Pointer] = MappingProxyType({}),
    spare: Spare | None = None,
) -> int:
    """Run composed text from a writer slot, on the state after the lock.

    Args:
        replaced: what is read as it was before this statement replaced it.
        spare: what to do if nothing of the target is read.

    Raises:
        CommitConflict: if what the plan rests on has changed its structure meanwhile.
    """
    gateway = call.gateway
    present = transaction.pointers([*plan.dependencies, relation.id])
    read = {**present, **replaced}
    if relation.id not in present or any(
        identity not in read or read[identity].version != version
        for identity, version in plan.dependencies.items()
    ):
        raise CommitConflict("a table changed its structure meanwhile", hint="try again")
    if present[relation.id].version != relation.version:
        raise CommitConflict("the table changed its structure meanwhile", hint="try again")
    locations = {identity: pointer.metadata_location for identity, pointer in read.items()}
    with gateway.engine.writer(SLOT_TIMEOUT_S) as slot:
        gateway.bindings.bind(slot.token, transaction, frozenset({relation.id}))
        try:
            target = f'{slot.catalog}.tables."{relation.id}"'

            def render(text: str) -> str:
                return replace(plan, text=text).render(locations).replace(TARGET, target, 1)

            text = effective(
                render(plan.text),
                spare.changed(render) if spare else None,
                lambda query: _run(call, query, system).rows(),
                call.parameters or (),
            )
            return _run(call, text, system).affected() if text is not None else 0
        except (StorageFailed, InvalidRequest, InternalError) as error:
            refusal = gateway.refusal(slot.token)
            if refusal is not None:
                raise refusal from error
            raise
        finally:
            gateway.bindings.unbind(slot.token)
            gateway.refusal(slot.token)


def _without_names(error: LakeholdError, hidden: frozenset[str]) -> LakeholdError:
    """An error of the engine, unless it tells the name of a column that is hidden."""
    told = {fold(word) for word in re.findall(r"\w+", f"{error.message} {error.hint or ''}")}
    if not any(set(re.findall(r"\w+", name)) <= told for name in hidden):
        return error
    return type(error)(
        "the statement names a column that cannot be told from another, or breaks a rule of a "
        "column that is not granted",
        hint="write columns as table.column",
    )


def _run(call: Call, text: str, system: SystemRelations) -> DuckDBResult:
    from lakehold.query.reading import start_engine

    return start_engine(call, text, {**system.data, **call.relations})


def _compose(
    statement: s.Statement,
    relation: Relation,
    scope: Scope,
    query_columns: tuple[str, ...] | None,
) -> Change:
    match statement:
        case s.Insert():
            return compose_insert(statement, relation, scope, query_columns)
        case s.Update():
            return compose_update(statement, relation, scope)
        case s.Delete():
            return compose_delete(statement, relation, scope)
        case s.Merge():
            return compose_merge(statement, relation, scope)
    raise StatementNotSupported(f"{statement.kind} is not supported")


def _target(statement: s.Statement, scope: Scope) -> Relation:
    """The table that a statement changes.

    Raises:
        UndefinedTable: if there is none, or the session may not know that there is.
        StatementNotSupported: for a view, or a relation of the platform.
    """
    assert isinstance(statement, s.Insert | s.Update | s.Delete | s.Merge)
    return writable(statement.target, scope)


def writable(path: s.Path, scope: Scope) -> Relation:
    """The table of a name, if it is one that can be written.

    Raises:
        UndefinedTable, StatementNotSupported
    """
    name = scope.table_name(path)
    if fold(name.schema) in SYSTEM_SCHEMAS:
        raise StatementNotSupported(f"{name} belongs to the platform; nobody writes in it")
    relation = scope.relation(path)
    if relation.kind != "table":
        raise StatementNotSupported(f"{relation.name} is a view; rows are changed in its tables")
    return relation


def _query_columns(
    call: Call, statement: s.Statement, inputs: frozenset[str]
) -> tuple[str, ...] | None:
    """For INSERT … BY NAME: the names of the query's columns."""
    if not isinstance(statement, s.Insert) or not statement.by_name or statement.query is None:
        return None
    columns = describe_query(call, statement.query, inputs)
    return tuple(name for name, _ in columns)


def describe_query(
    call: Call, text: str, inputs: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """The names and types of a query's columns, without running it."""
    system = call.gateway.system()
    with call.gateway.snapshot(call.state, system, inputs) as scope:
        plan = plan_query(text, scope)
        call.running.reads.update(plan.reads)
        call.gateway.recorder.open(call.running, scope.connection)
        rendered = plan.render(pointers(plan, scope))
    empty: dict[str, Data] = {
        name: pa.table([[] for _ in data.schema], schema=data.schema)
        for name, data in call.relations.items()
    }
    described = replace(call, relations=empty)
    rows = _run(described, f"DESCRIBE {rendered}", system).rows()
    return [(str(row[0]), str(row[1])) for row in rows]


def _is_stream(relations: Mapping[str, Data]) -> bool:
    """Whether the data that came along can be read once only."""
    return any(isinstance(data, pa.RecordBatchReader) for data in relations.values())
