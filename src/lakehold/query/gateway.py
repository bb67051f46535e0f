"""The gateway: the one door for every statement.

Each statement is parsed, bound, authorized, rewritten, run and recorded here, whatever
protocol it came by (invariant 1). What any of these steps does not understand is refused
(invariant 2); if the grants or the ledger cannot be reached, the answer is an error
(invariant 10).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from lakehold.access import Access
from lakehold.audit import Ledger
from lakehold.catalog import Catalog, LakeTransaction, WriteBindings
from lakehold.clock import Clock
from lakehold.engines.duckdb import DuckDBEngine, DuckDBParser
from lakehold.errors import (
    InternalError,
    InvalidParameter,
    InvalidRequest,
    LakeholdError,
    LimitExceeded,
    PermissionDenied,
    RequestTooLarge,
    StatementCancelled,
    StatementNotSupported,
    TooManyRequests,
    TransactionInvalid,
)
from lakehold.identity import ADMIN_ROLE, PUBLIC_ROLE, Client, Limits, Principal, Session
from lakehold.policy import Facts, ObjectKind
from lakehold.query import execution
from lakehold.query.grammar import parse
from lakehold.query.planning import PlanCache
from lakehold.query.record import Recorder
from lakehold.query.result import Result
from lakehold.query.running import RunningStatement, Statements
from lakehold.query.scope import Scope
from lakehold.query.sessions import OpenSession, Sessions
from lakehold.query.statements import Statement
from lakehold.query.system import Data, SystemRelations
from lakehold.state import Connection, Database, Isolation

log = structlog.get_logger(__name__)

Parameters = Sequence[Any] | Mapping[str, Any] | None

PARAMETERS_MAX = 10_000


class Gateway:
    """Runs statements for sessions.

    Args:
        database: PostgreSQL, whose snapshots fix what a statement sees.
        catalog, access, ledger: the domains' public faces.
        engine: the embedded engine; it runs only what this gateway wrote.
        bindings: tells the engine's endpoint what a writer slot may change.
        refusal: by a writer slot's token, why the engine's endpoint last refused its commit.
        limits: what one statement may use, unless the session has its own.
        statements_max: statements that may run at the same time.
    """

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        access: Access,
        ledger: Ledger,
        engine: DuckDBEngine,
        bindings: WriteBindings,
        refusal: Callable[[str], LakeholdError | None] = lambda _: None,
        clock: Clock,
        limits: Limits | None = None,
        statements_max: int = 64,
    ) -> None:
        self.database = database
        self.catalog = catalog
        self.access = access
        self.engine = engine
        self.bindings = bindings
        self.refusal = refusal
        self.clock = clock
        self.parser = DuckDBParser()
        self.plans = PlanCache()
        self.sessions = Sessions()
        self.statements_running = Statements()
        self.recorder = Recorder(ledger, self.parser)
        self._ledger = ledger
        self._limits = limits or Limits()
        self._statements_max = statements_max

    # --- sessions ---

    def open_session(
        self,
        principal: Principal,
        client: Client,
        *,
        roles: frozenset[str] | None = None,
        schema: str | None = None,
        purpose: str | None = None,
        lasting: bool = False,
    ) -> Session:
        """Make a session.

        Args:
            roles: the roles to be active; by default all that the principal has.
            lasting: whether it is kept for further statements (transactions, USE).

        Raises:
            PermissionDenied: for a role that the principal does not have.
        """
        active = principal.roles
        if roles is not None:
            self._may_activate(principal, roles)
            active = roles
        session = Session(
            id=uuid.uuid4(),
            principal=principal,
            roles=frozenset(active),
            client=client,
            schema=schema or "main",
            purpose=purpose,
            limits=self._limits,
        )
        if lasting:
            self.sessions.open(session)
        return session

    def find_session(self, principal: Principal, session_id: UUID) -> Session:
        """An open session of the principal.

        Raises:
            SessionUnknown: if there is none, or it is another's.
        """
        state = self.sessions.find(principal, session_id)
        if state.session.principal != principal:
            # Its roles may have changed since; what is active shrinks, and never grows.
            roles = state.session.roles & principal.roles
            state.change(principal=principal, roles=roles)
        return state.session

    def in_transaction(self, session: Session) -> bool:
        """Whether a session has a transaction open."""
        return self.sessions.of(session).transaction is not None

    def close_session(self, session_id: UUID) -> None:
        """Close a session; an open transaction is rolled back."""
        self.sessions.close(session_id)

    # --- statements ---

    def execute(
        self,
        session: Session,
        sql: str,
        parameters: Parameters = None,
        *,
        relations: Mapping[str, Data] | None = None,
        timeout_s: float | None = None,
        statement_id: UUID | None = None,
    ) -> Result:
        """Run one statement.

        Args:
            sql: one statement in DuckDB's dialect, or one of Lakehold's own.
            parameters: values for ``?`` or ``$1`` (a sequence) or ``$name`` (a mapping).
            relations: Arrow data that the statement may name, such as ``input``.
            timeout_s: time limit in seconds, within the session's.
            statement_id: the client's choice of an id, by which it can be cancelled.

        Raises:
            LakeholdError: what is wrong. Whatever happens, there is one ledger record.
        """
        running = RunningStatement(statement_id or uuid.uuid4(), session, sql, self.clock())
        try:
            self._accept(running, timeout_s)
        except LakeholdError as error:
            self.recorder.failed(running, error)
            raise
        state = self.sessions.of(session)
        try:
            running.state = "running"
            statement = self._parse(sql, session)
            running.kind = statement.kind
            _check_parameters(parameters)
            with state.lock:
                call = execution.Call(
                    self, running, state, statement, sql, parameters, dict(relations or {})
                )
                return execution.run(call)
        except LakeholdError as error:
            self._failed(running, state, running.reason_for(error), sql)
            raise running.reason_for(error) from error
        except RecursionError:
            nested = StatementNotSupported("the statement is nested too deeply")
            self._failed(running, state, nested, sql)
            raise nested from None
        except MemoryError:
            large = LimitExceeded("the statement needs more memory than there is")
            self._failed(running, state, large, sql)
            raise large from None
        except BaseException as error:
            hidden = InternalError(
                f"something in Lakehold failed; reference {running.id}",
                hint="the log of the platform holds the details under this reference",
            )
            log.error("statement_failed", statement_id=str(running.id), exc_info=error)
            self._failed(running, state, hidden, sql)
            if not isinstance(error, Exception):
                raise
            raise hidden from error

    def cancel(self, principal: Principal, statement_id: UUID) -> None:
        """Cancel a statement of the principal; an administrator may cancel any.

        Raises:
            UndefinedObject: if there is none.
        """
        self.statement(principal, statement_id).stop(
            StatementCancelled("the statement was cancelled")
        )

    def statement(self, principal: Principal, statement_id: UUID) -> RunningStatement:
        """A statement, running or finished not long ago.

        Raises:
            UndefinedObject: if there is none, or it is another's.
        """
        everyone = self.is_administrator(principal)
        return self.statements_running.find(principal, statement_id, everyone=everyone)

    def statements(self, principal: Principal) -> list[RunningStatement]:
        """The running statements of a principal; for an administrator, everyone's."""
        everyone = self.is_administrator(principal)
        return self.statements_running.of(principal, everyone=everyone)

    def is_administrator(self, principal: Principal) -> bool:
        """Whether a principal has the role ``admin``, directly or through another."""
        if ADMIN_ROLE in principal.roles:
            return True
        with self.database.transaction(read_only=True) as connection:
            facts = self.access.facts(connection)
        return ADMIN_ROLE in facts.effective_roles(principal.roles)

    def close(self, grace_s: float = 5.0) -> None:
        """Stop: running statements get a moment, then they are cancelled."""
        import time

        until = time.monotonic() + grace_s
        while self.statements_running.count and time.monotonic() < until:
            time.sleep(0.02)
        self.statements_running.stop_all(StatementCancelled("the platform is stopping"))
        until = time.monotonic() + 5.0
        while self.statements_running.count and time.monotonic() < until:
            time.sleep(0.02)
        self.sessions.close_all()
        self.statements_running.close()
        self.parser.close()

    # --- for the modules of this package ---

    @contextmanager
    def snapshot(
        self,
        state: OpenSession,
        system: SystemRelations | None = None,
        inputs: frozenset[str] = frozenset(),
    ) -> Iterator[Scope]:
        """One PostgreSQL snapshot, and the scope of a statement in it (invariant 3)."""
        with self.database.transaction(isolation=Isolation.REPEATABLE_READ) as connection:
            yield self.scope(state, connection, self.access.facts(connection), system, inputs)

    def commit(
        self,
        transaction: LakeTransaction,
        session: Session,
        extra: Callable[[Connection], None],
    ) -> None:
        """Commit a transaction together with what belongs to it.

        What it created is owned by the session's first role from then on; what it dropped has
        no grants any more.

        Raises:
            CommitConflict: if another commit came first.
        """
        owner = owner_role(session)
        created, dropped = transaction.created, transaction.dropped

        def with_grants(connection: Connection) -> None:
            for item in created:
                kind = ObjectKind(item.kind.upper())
                self.access.on_created(
                    connection, kind, item.id, schema_id=item.schema_id, owner_role=owner
                )
            if dropped:
                self.access.on_dropped(connection, [item.id for item in dropped])
            extra(connection)

        transaction.commit(with_grants)

    def scope(
        self,
        state: OpenSession,
        connection: Connection,
        facts: Facts,
        system: SystemRelations | None = None,
        inputs: frozenset[str] = frozenset(),
    ) -> Scope:
        session = state.session
        transaction = state.transaction
        own = frozenset(item.id for item in transaction.created) if transaction else frozenset()
        return Scope(
            session=session,
            schema=session.schema,
            roles=session.roles,
            facts=facts,
            catalog=self.catalog,
            connection=connection,
            parser=self.parser,
            timestamp=self._timestamp,
            system=system or self.system(),
            transaction=transaction,
            own=own,
            inputs=inputs,
        )

    def system(self) -> SystemRelations:
        """The platform's relations, for one statement."""

        def running(scope: Scope) -> list[dict[str, Any]]:
            everyone = ADMIN_ROLE in scope.facts.effective_roles(scope.roles)
            found = self.statements_running.of(scope.session.principal, everyone=everyone)
            return [item.describe() for item in found]

        return SystemRelations(self._ledger, running)

    def _timestamp(self, expression: str) -> datetime:
        """Evaluate a constant expression to a moment."""
        sql = f"SELECT epoch_us(CAST(({expression}) AS TIMESTAMP WITH TIME ZONE))"
        result = self.engine.run(sql).start()
        values = [value for batch in result.batches() for value in batch.column(0).to_pylist()]
        if not values or values[0] is None:
            raise InvalidParameter("AT (TIMESTAMP => …) takes a moment, not NULL")
        return datetime.fromtimestamp(values[0] / 1_000_000, UTC)

    def _may_activate(self, principal: Principal, roles: frozenset[str]) -> None:
        with self.database.transaction() as connection:
            facts = self.access.facts(connection)
        lacking = roles - facts.effective_roles(principal.roles)
        if lacking:
            raise PermissionDenied(
                f"role {', '.join(sorted(lacking))} is not granted to {principal.name}"
            )

    def _accept(self, running: RunningStatement, timeout_s: float | None) -> None:
        if timeout_s is not None and not timeout_s > 0:
            raise InvalidRequest("a timeout is a positive number of seconds")
        if self.statements_running.count >= self._statements_max:
            raise TooManyRequests(
                f"{self._statements_max} statements are running already", retry_after_s=1
            )
        most_s = running.session.limits.time_s
        self.statements_running.start(running, min(timeout_s or most_s, most_s))

    def _parse(self, sql: str, session: Session) -> Statement:
        size = len(sql.encode(errors="replace"))
        if size > session.limits.statement_bytes:
            raise RequestTooLarge(
                f"a statement has at most {session.limits.statement_bytes:,} bytes; "
                f"this has {size:,}",
                hint="send data as parameters, as Arrow, or with lakehold load",
            )
        try:
            sql.encode()
        except UnicodeEncodeError:
            raise InvalidRequest("the statement is not valid UTF-8") from None
        return parse(sql, self.parser)

    def _failed(
        self, running: RunningStatement, state: OpenSession, error: LakeholdError, sql: str
    ) -> None:
        """Record a statement that gave no result. The ledger's own failure wins."""
        execution.point_at(error, sql, self.parser)
        if state.transaction is not None and not isinstance(error, TransactionInvalid):
            state.failed = True
        try:
            self.recorder.failed(running, error)
        finally:
            self.statements_running.finish(running, error)


def owner_role(session: Session) -> str:
    """The role that owns what a session creates.

    Raises:
        PermissionDenied: if the session has no role of its own.
    """
    own = sorted(session.roles - {PUBLIC_ROLE})
    if not own:
        raise PermissionDenied(
            "a session without a role cannot create anything",
            hint="an administrator can: GRANT ROLE r TO USER u",
        )
    return own[0] if ADMIN_ROLE not in own or len(own) == 1 else own[own[0] == ADMIN_ROLE]


def _check_parameters(parameters: Parameters) -> None:
    if parameters is not None and len(parameters) > PARAMETERS_MAX:
        raise InvalidParameter(f"a statement has at most {PARAMETERS_MAX:,} parameters")
    if isinstance(parameters, Mapping):
        values: Sequence[Any] = list(parameters.values())
    else:
        values = list(parameters or ())
    for value in values:
        if isinstance(value, str) and "\0" in value:
            raise InvalidParameter("a parameter cannot hold a NUL character")
