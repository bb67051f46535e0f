"""The ledger record of each statement: opened before its first row leaves, closed at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lakehold.audit import Ledger, StatementOutcome, StatementStart
from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import (
    LakeholdError,
    NotAuthenticated,
    PermissionDenied,
    StatementCancelled,
    StatementNotSupported,
    StatementTimeout,
    UndefinedFunction,
    UndefinedObject,
)
from lakehold.names import TableName
from lakehold.state import Connection

if TYPE_CHECKING:
    from lakehold.query.running import RunningStatement

REFUSALS = (
    PermissionDenied,
    NotAuthenticated,
    StatementNotSupported,
    UndefinedObject,
    UndefinedFunction,
)
"""What counts as refused: the gateway would not let it run. Names that the session may not
know are among them, since they look like names that are not there."""


class Recorder:
    """Writes one ledger record for each statement, and only one (invariant 1)."""

    def __init__(self, ledger: Ledger, parser: DuckDBParser) -> None:
        self._ledger = ledger
        self._parser = parser

    def open(self, running: RunningStatement, connection: Connection | None = None) -> None:
        """Make the statement's start durable, in the caller's transaction if there is one."""
        if running.ticket is None and not running.recorded:
            running.ticket = self._ledger.open(connection, self._start(running))

    def finished(
        self,
        running: RunningStatement,
        *,
        rows: int,
        size: int = 0,
        connection: Connection | None = None,
    ) -> None:
        """Record a statement that ran; within the transaction that commits it, if given."""
        self._close(running, self._outcome(running, "ok", None, rows, size), connection)

    def failed(
        self, running: RunningStatement, error: LakeholdError, *, rows: int = 0, size: int = 0
    ) -> None:
        """Record a statement that failed, was refused, or was cancelled."""
        if isinstance(error, StatementCancelled | StatementTimeout):
            status = "cancelled"
        elif isinstance(error, REFUSALS):
            status = "refused"
        else:
            status = "failed"
        self._close(running, self._outcome(running, status, error, rows, size), None)

    def _close(
        self,
        running: RunningStatement,
        outcome: StatementOutcome,
        connection: Connection | None,
    ) -> None:
        if running.recorded:
            return
        if running.ticket is not None:
            self._ledger.close(running.ticket, outcome, connection)
        else:
            self._ledger.record(self._start(running), outcome, connection)
        if connection is None:
            running.recorded = True

    def _start(self, running: RunningStatement) -> StatementStart:
        session = running.session
        return StatementStart(
            id=running.id,
            at=running.started_at,
            principal_id=session.principal.id,
            principal=session.principal.name,
            roles=tuple(sorted(session.roles)),
            purpose=session.purpose,
            protocol=session.client.protocol.value,
            address=session.client.address,
            application=session.client.application,
            session_id=session.id,
            kind=running.kind,
            statement=running.text,
            fingerprint=fingerprint(running.text, self._parser),
        )

    def _outcome(
        self,
        running: RunningStatement,
        status: str,
        error: LakeholdError | None,
        rows: int,
        size: int,
    ) -> StatementOutcome:
        refused = status == "refused"
        reasons = "; ".join(running.reasons)
        return StatementOutcome(
            status=status,
            decision="refused" if refused else "allowed",
            reason=error.message if error is not None and refused else reasons,
            sqlstate=error.sqlstate if error is not None else None,
            error=error.message if error is not None else None,
            reads=_columns(running.reads),
            writes=_names(running.writes),
            engine=running.engine,
            rows=rows,
            bytes=size,
            duration_ms=running.duration_ms,
        )


def fingerprint(text: str, parser: DuckDBParser) -> str:
    """The statement without its literals, blanks and comments, as 16 hexadecimal digits.

    Two statements that differ in values alone have the same fingerprint.
    """
    parts = []
    text = text.encode(errors="replace").decode()
    if "\0" not in text and len(text) < 1_000_000:
        for token in parser.tokens(text):
            literal = token.kind in ("string_const", "numeric_const")
            plain = token.text if token.text.startswith('"') else token.text.lower()
            parts.append("?" if literal else plain)
    shape = " ".join(parts) or text[:100]
    return hashlib.sha256(shape.encode(errors="replace")).hexdigest()[:16]


def _columns(reads: Mapping[TableName, Iterable[str]]) -> dict[str, list[str]]:
    return {str(name): sorted(columns) for name, columns in sorted(reads.items())}


def _names(writes: Iterable[TableName]) -> list[str]:
    return sorted(str(name) for name in writes)
