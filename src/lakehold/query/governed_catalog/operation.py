"""One operation of an outside engine: authorize, act, record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog

from lakehold.catalog import Catalog, LakeTransaction, Relation, Schema
from lakehold.catalog.relation import Kind
from lakehold.errors import (
    InternalError,
    LakeholdError,
    PermissionDenied,
    UndefinedSchema,
    UndefinedTable,
)
from lakehold.identity import Session
from lakehold.names import TableName, show
from lakehold.policy import Decision, Facts, ObjectKind, Privilege, Target, decide, visible
from lakehold.query.running import RunningStatement
from lakehold.query.scope import target
from lakehold.state import Connection, Isolation

if TYPE_CHECKING:
    from lakehold.query.gateway import Gateway

LOCK_TIMEOUT_S = 20.0
"""How long a commit from outside waits for the table's turn before its client tries again."""

LAKE = Target(ObjectKind.LAKE, None, None)

Found = TypeVar("Found")
Done = TypeVar("Done")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Operation:
    """What an operation may see and do, in one PostgreSQL snapshot.

    Attributes:
        needs: what was asked of policy, to be asked again if the grants change meanwhile.
    """

    session: Session
    catalog: Catalog
    connection: Connection
    facts: Facts
    running: RunningStatement
    needs: list[tuple[Privilege, Target, str]] = field(default_factory=list)

    def may_see(self, on: Target) -> bool:
        """Whether the session may know that a thing is there."""
        return visible(self.facts, self.session.roles, on)

    def decide(self, privilege: Privilege, on: Target) -> Decision:
        """What policy says."""
        return decide(self.facts, self.session.roles, privilege, on)

    def require(self, privilege: Privilege, on: Target, shown: str) -> None:
        """Refuse if a privilege is missing, or covers a part of a table only.

        Raises:
            PermissionDenied: naming the privilege.
        """
        decision = self.decide(privilege, on)
        if not decision.unrestricted:
            raise PermissionDenied(_refusal(decision, privilege, shown, self.session))
        self.needs.append((privilege, on, shown))
        self.running.reasons = (*self.running.reasons, *decision.reasons)

    def require_on(self, privilege: Privilege, relation: Relation) -> None:
        """Refuse if a privilege on a relation is missing."""
        self.require(privilege, target(relation), f"{relation.kind} {relation.name}")

    def require_on_schema(self, privilege: Privilege, schema: Schema) -> None:
        """Refuse if a privilege on a schema is missing."""
        self.require(privilege, schema_target(schema), f"schema {show(schema.name)}")

    def schema(self, name: str) -> Schema:
        """A schema that the session may know of.

        Raises:
            UndefinedSchema: if there is none, or the session may not know that there is.
        """
        found = self.catalog.schema(self.connection, name)
        if found is None or not self.may_see(schema_target(found)):
            raise UndefinedSchema(f"schema {show(name)} does not exist")
        return found

    def find(self, name: TableName, kind: Kind) -> Relation | None:
        """A relation that the session may know of, or ``None``."""
        found = self.catalog.resolve(self.connection, [name]).get(name)
        if found is None or found.kind != kind or not self.may_see(target(found)):
            return None
        return found

    def relation(self, name: TableName, kind: Kind) -> Relation:
        """A relation that the session may know of.

        Raises:
            UndefinedTable: if there is none, or the session may not know that there is.
        """
        found = self.find(name, kind)
        if found is None:
            raise UndefinedTable(f"{kind} {name} does not exist")
        return found

    def reads(self, relation: Relation) -> None:
        """Note for the record that all of a relation was opened for reading."""
        columns = frozenset(column.name for column in relation.columns)
        self.running.reads[relation.name] = columns


class Operations:
    """Runs the operations of one session."""

    def __init__(self, gateway: Gateway, session: Session) -> None:
        self._gateway = gateway
        self._session = session

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    @property
    def session(self) -> Session:
        return self._session

    @contextmanager
    def reading(self, kind: str, text: str) -> Iterator[Operation]:
        """An operation that changes nothing. Its record is written before its answer leaves.

        Args:
            kind: what the record calls it, such as ``LOAD TABLE``.
            text: what was asked, as the record shows it.
        """
        running = self._running(kind, text)
        try:
            with self._snapshot(running) as operation:
                yield operation
        except BaseException as error:
            raise self._failed(running, error) from error
        self._gateway.recorder.finished(running, rows=0)

    @contextmanager
    def unrecorded(self) -> Iterator[Operation]:
        """Look something up for a report about a table, which is no access to data."""
        with self._snapshot(self._running("REPORT", "REPORT")) as operation:
            yield operation

    def change(
        self,
        kind: str,
        text: str,
        authorize: Callable[[Operation], Found],
        act: Callable[[LakeTransaction, Found], Done],
    ) -> Done:
        """An operation that changes the catalog, in one lake transaction.

        Args:
            authorize: finds what is to be changed and refuses what may not be.
            act: makes the changes. They become visible together with the record.

        Raises:
            CommitConflict: if another commit came first; nothing was done.
        """
        running = self._running(kind, text)
        transaction = self._gateway.catalog.begin()
        try:
            with self._snapshot(running) as operation:
                found = authorize(operation)
            done = act(transaction, found)
            if transaction.is_empty:
                transaction.rollback()
                self._gateway.recorder.finished(running, rows=0)
                return done
            gone = frozenset(item.id for item in transaction.dropped)
            self._gateway.commit(
                transaction, self._session, lambda conn: self._last(conn, operation, gone)
            )
            running.recorded = True
        except BaseException as error:
            transaction.rollback()
            raise self._failed(running, error) from error
        return done

    def _last(self, connection: Connection, operation: Operation, gone: frozenset[UUID]) -> None:
        """Within the commit: the grants must still hold; then the record.

        Args:
            gone: what is dropped, and has no grants any more.
        """
        facts = self._gateway.access.facts(connection)
        if facts.version != operation.facts.version:
            for privilege, on, shown in operation.needs:
                if on.id in gone:
                    continue
                decision = decide(facts, self._session.roles, privilege, on)
                if not decision.unrestricted:
                    raise PermissionDenied(_refusal(decision, privilege, shown, self._session))
        self._gateway.recorder.finished(operation.running, rows=0, connection=connection)

    @contextmanager
    def _snapshot(self, running: RunningStatement) -> Iterator[Operation]:
        gateway = self._gateway
        with gateway.database.transaction(
            isolation=Isolation.REPEATABLE_READ, read_only=True
        ) as connection:
            yield Operation(
                self._session,
                gateway.catalog,
                connection,
                gateway.access.facts(connection),
                running,
            )

    def _running(self, kind: str, text: str) -> RunningStatement:
        running = RunningStatement(uuid.uuid4(), self._session, text, self._gateway.clock())
        running.kind = kind
        running.state = "running"
        return running

    def _failed(self, running: RunningStatement, error: BaseException) -> BaseException:
        """Record an operation that failed; returns the error to raise."""
        if isinstance(error, LakeholdError):
            shown = error
        else:
            _log.error("catalog_operation_failed", operation_id=str(running.id), exc_info=error)
            shown = InternalError(f"something in Lakehold failed; reference {running.id}")
        self._gateway.recorder.failed(running, shown)
        return shown if isinstance(error, Exception) else error


def schema_target(schema: Schema) -> Target:
    """A schema as policy sees it."""
    return Target(ObjectKind.SCHEMA, schema.id, schema.id)


def _refusal(decision: Decision, privilege: Privilege, shown: str, session: Session) -> str:
    who = f"{session.principal.name} ({', '.join(sorted(session.roles)) or 'no role'})"
    if decision.allowed:
        return (
            f"{privilege} on {shown} is granted to {who} in part only, and the files of a table "
            "cannot be handed out in part: use SQL"
        )
    return f"{privilege} on {shown} is not granted to {who}"
