"""BEGIN, COMMIT, ROLLBACK, USE, SET ROLE: what changes a session."""

from __future__ import annotations

from lakehold.errors import LakeholdError, PermissionDenied, TransactionInvalid
from lakehold.names import TableName
from lakehold.query import statements as s
from lakehold.query.execution import Call
from lakehold.query.result import Result
from lakehold.query.sessions import must_last


def begin(call: Call) -> Result:
    """Open a transaction. It sees the lake as it is now; the first of two committers wins."""
    must_last(call.state)
    if call.state.transaction is not None:
        raise TransactionInvalid("a transaction is open already", hint="COMMIT or ROLLBACK first")
    call.state.transaction = call.gateway.catalog.begin(snapshot=True)
    return call.answer()


def commit(call: Call) -> Result:
    """Make everything since BEGIN visible at once; after a failed statement, roll back.

    Raises:
        CommitConflict: if another has changed one of the tables since BEGIN.
    """
    must_last(call.state)
    transaction = call.state.transaction
    if transaction is None:
        raise TransactionInvalid("no transaction is open", hint="BEGIN opens one")
    if call.state.failed:
        call.state.end()
        raise TransactionInvalid("the transaction had failed; it was rolled back")
    call.running.writes.update(
        item.name
        for item in (*transaction.changed, *transaction.created)
        if isinstance(item.name, TableName)
    )
    try:
        if transaction.is_empty:
            transaction.rollback()
            return call.answer()
        call.gateway.commit(
            transaction,
            call.state.session,
            lambda connection: call.gateway.recorder.finished(
                call.running, rows=0, connection=connection
            ),
        )
        return call.done()
    except LakeholdError:
        transaction.rollback()
        raise
    finally:
        call.state.transaction, call.state.failed = None, False


def rollback(call: Call) -> Result:
    """Undo everything since BEGIN."""
    must_last(call.state)
    if call.state.transaction is None:
        raise TransactionInvalid("no transaction is open", hint="BEGIN opens one")
    call.state.end()
    return call.answer()


def use(call: Call) -> Result:
    """Set the schema of names without one."""
    assert isinstance(call.statement, s.Use)
    must_last(call.state)
    with call.gateway.snapshot(call.state) as scope:
        name = scope.schema_name(call.statement.schema)
        scope.schema_id(name)
    call.state.change(schema=name)
    return call.answer()


def set_role(call: Call) -> Result:
    """Activate one role, or ALL that the principal has."""
    assert isinstance(call.statement, s.SetRole)
    must_last(call.state)
    principal = call.state.session.principal
    if call.statement.role is None:
        call.state.change(roles=principal.roles)
        return call.answer()
    with call.gateway.snapshot(call.state) as scope:
        held = scope.facts.effective_roles(principal.roles)
    named = {role.lower(): role for role in held}
    role = named.get(call.statement.role.lower())
    if role is None:
        raise PermissionDenied(f"role {call.statement.role} is not granted to {principal.name}")
    call.state.change(roles=frozenset({role}))
    return call.answer()
