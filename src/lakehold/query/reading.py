"""SELECT, PIVOT and EXPLAIN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID

from lakehold.engines.duckdb.engine import DuckDBResult
from lakehold.errors import (
    CommitConflict,
    InvalidDefinition,
    InvalidRequest,
    InvalidValue,
    LakeholdError,
    StatementNotSupported,
    UndefinedObject,
)
from lakehold.query import statements as s
from lakehold.query.execution import Call
from lakehold.query.planning import Plan, plan_query
from lakehold.query.result import Answer, Result
from lakehold.query.scope import Scope
from lakehold.query.system import Data, SystemRelations
from lakehold.query.tree import fold


def select(call: Call) -> Result:
    """Plan a query, or take its plan from the cache, and start it."""
    assert isinstance(call.statement, s.Select)
    system = call.gateway.system()
    with call.gateway.snapshot(call.state, system, _inputs(call)) as scope:
        plan, pointers = _plan(call, call.statement.text, scope)
        _note(call, plan)
        call.gateway.recorder.open(call.running, scope.connection)
    return _start(call, plan, plan.render(pointers), system)


def _plan(call: Call, text: str, scope: Scope) -> tuple[Plan, Mapping[UUID, str]]:
    """A plan that holds in this snapshot, with the pointers of its tables."""
    plans = call.gateway.plans
    cacheable = scope.transaction is None and not scope.inputs
    key = plans.key(text, scope.roles, scope.schema, scope.session.principal.id)
    cached = plans.get(key) if cacheable else None
    if cached is not None and cached.facts_version == scope.facts.version:
        pointers = _pointers(cached, scope)
        if pointers is not None:
            return cached, pointers
        plans.drop(key)
    plan = plan_query(text, scope)
    pointers = _pointers(plan, scope)
    if pointers is None:
        raise CommitConflict("a table changed while the statement was planned", hint="try again")
    if cacheable:
        plans.put(key, plan)
    return plan, pointers


def _pointers(plan: Plan, scope: Scope) -> dict[UUID, str] | None:
    """The present pointers of a plan's relations; ``None`` if one has changed its structure."""
    if not plan.dependencies:
        return {}
    found = scope.catalog.pointers(
        scope.connection, list(plan.dependencies), transaction=scope.transaction
    )
    pointers = {}
    for identity, version in plan.dependencies.items():
        present = found.get(identity)
        if present is None or present[0] != version:
            return None
        pointers[identity] = present[1]
    return pointers


def pointers(plan: Plan, scope: Scope) -> Mapping[UUID, str]:
    """The present pointers of a plan that was made in the same snapshot."""
    identities = list({scan.relation for scan in plan.scans})
    found = scope.catalog.pointers(scope.connection, identities, transaction=scope.transaction)
    return {identity: found[identity][1] for identity in identities}


def _start(call: Call, plan: Plan, text: str, system: SystemRelations) -> Result:
    """Start governed text on the engine as the statement's result."""
    try:
        engine = start_engine(call, text, {**system.data, **_used(call)})
    except (UndefinedObject, InvalidRequest, InvalidValue) as error:
        raise _outside_of_views(error, plan, call) from None

    def finish(rows: int, size: int, error: LakeholdError | None) -> None:
        recorder, running = call.gateway.recorder, call.running
        try:
            if error is None:
                recorder.finished(running, rows=rows, size=size)
            else:
                recorder.failed(running, error, rows=rows, size=size)
        finally:
            call.gateway.statements_running.finish(running, error)

    return Result(call.running, call.running.kind, engine=engine, finish=finish)


def _outside_of_views(error: LakeholdError, plan: Plan, call: Call) -> LakeholdError:
    """An error of the engine, unless it tells what a definer's view is made of."""
    if not plan.definers:
        return error
    own = {fold(word) for word in re.findall(r"\w+", call.sql)}
    named = {fold(word) for word in re.findall(r'"(\w+)"', error.message)}
    if named and named <= own:
        error.hint = None
        return error
    shown = ", ".join(str(name) for name in sorted(plan.definers))
    return InvalidDefinition(
        f"the statement fails inside of {shown}, or with a value of it",
        hint="its owner may have to make it again",
    )


def start_engine(call: Call, text: str, relations: Mapping[str, Data]) -> DuckDBResult:
    """Start text on the engine, so that the statement's cancel and timeout reach it."""
    call.running.engine = call.gateway.engine.name
    result = call.gateway.engine.run(text, call.parameters, relations=relations)
    call.running.attach(result.interrupt, result.progress)
    try:
        call.running.check()
        return result.start()
    except BaseException:
        result.close()
        raise


def pivot(call: Call) -> Result:
    """PIVOT without a list of values: look them up, under the same rights, then pivot."""
    found = call.statement
    assert isinstance(found, s.DynamicPivot)
    system = call.gateway.system()
    with call.gateway.snapshot(call.state, system, _inputs(call)) as scope:
        source = found.source if found.source.lstrip().startswith("(") else f"{found.source}"
        lookup = plan_query(
            f"SELECT DISTINCT CAST({found.on} AS VARCHAR) AS value FROM {source} "
            "WHERE value IS NOT NULL ORDER BY 1 LIMIT 1001",
            scope,
        )
        _note(call, lookup)
        call.gateway.recorder.open(call.running, scope.connection)
        lookup_text = lookup.render(pointers(lookup, scope))
    result = start_engine(call, lookup_text, {**system.data, **_used(call)})
    values = [value for batch in result.batches() for value in batch.column(0).to_pylist()]
    if len(values) > 1000:
        raise StatementNotSupported(
            f"PIVOT ON {found.on} would make more than 1,000 columns", hint="name them with IN"
        )
    if not values:
        raise StatementNotSupported(f"PIVOT ON {found.on} finds no values")
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    text = f"PIVOT (SELECT * REPLACE (CAST({found.on} AS VARCHAR) AS {found.on}) FROM {source}) "
    text += f"ON {found.on} IN ({listed})"
    text += f" USING {found.using}" if found.using else ""
    text += f" GROUP BY {found.group_by}" if found.group_by else ""
    text += f" {found.tail}" if found.tail else ""
    system = call.gateway.system()
    with call.gateway.snapshot(call.state, system, _inputs(call)) as scope:
        plan = plan_query(text, scope)
        _note(call, plan)
        rendered = plan.render(pointers(plan, scope))
    return _start(call, plan, rendered, system)


def explain(call: Call) -> Result:
    """EXPLAIN [ANALYZE] of a query: the engine's plan of the rewritten text.

    The names in it are those of columns and of what the user wrote; pointers and paths do not
    stand in it.
    """
    found = call.statement
    assert isinstance(found, s.Explain)
    if not isinstance(found.statement, s.Select):
        raise StatementNotSupported(f"EXPLAIN of {found.statement.kind} is not supported")
    system = call.gateway.system()
    with call.gateway.snapshot(call.state, system, _inputs(call)) as scope:
        plan = plan_query(found.statement.text, scope)
        _note(call, plan)
        call.gateway.recorder.open(call.running, scope.connection)
        rendered = plan.render(pointers(plan, scope))
    word = "EXPLAIN ANALYZE" if found.analyze else "EXPLAIN"
    result = start_engine(call, f"{word} {rendered}", {**system.data, **_used(call)})
    text = "\n".join(
        str(value) for batch in result.batches() for value in batch.column(1).to_pylist()
    )
    return call.answer(Answer.of(("plan",), [(line,) for line in _clean(text).splitlines()]))


def _clean(text: str) -> str:
    """Take the rewritten statement, and with it the physical names, out of a profile."""
    lines = []
    skip = False
    for line in text.splitlines():
        if "iceberg_scan(" in line.lower() or line.lstrip().upper().startswith("EXPLAIN ANALYZE"):
            skip = True
            continue
        if skip and not line.startswith(("┌", "│", "└")):
            continue
        skip = False
        lines.append(line)
    return "\n".join(lines)


def _note(call: Call, plan: Plan) -> None:
    """Keep for the ledger what a plan reads and why it may."""
    call.running.reads.update(plan.reads)
    call.running.reasons = tuple(dict.fromkeys((*call.running.reasons, *plan.reasons)))


def _inputs(call: Call) -> frozenset[str]:
    return frozenset(fold(name) for name in call.relations)


def _used(call: Call) -> Mapping[str, Data]:
    return call.relations
