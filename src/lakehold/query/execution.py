"""Running a statement: which module does it, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import (
    LakeholdError,
    StatementNotSupported,
    TransactionInvalid,
    UndefinedObject,
)
from lakehold.query import statements as s
from lakehold.query.result import Answer, Result
from lakehold.query.running import RunningStatement
from lakehold.query.sessions import OpenSession
from lakehold.query.system import Data

if TYPE_CHECKING:
    from lakehold.query.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Call:
    """One statement on its way: who runs it, in what session, with what data."""

    gateway: Gateway
    running: RunningStatement
    state: OpenSession
    statement: s.Statement
    sql: str
    parameters: Sequence[Any] | Mapping[str, Any] | None
    relations: Mapping[str, Data]

    def answer(self, answer: Answer | None = None, affected: int | None = None) -> Result:
        """A result whose rows are there already; its record is written now."""
        rows = answer.table.num_rows if answer is not None else affected or 0
        self.gateway.recorder.finished(self.running, rows=rows)
        return self.done(answer, affected)

    def done(self, answer: Answer | None = None, affected: int | None = None) -> Result:
        """The same, where the record has been written with the commit."""
        self.running.recorded = True
        self.gateway.statements_running.finish(self.running, None)
        return Result(self.running, self.running.kind, answer=answer, affected=affected)


def run(call: Call) -> Result:
    """Run the statement of a call.

    Raises:
        LakeholdError: what is wrong with it.
    """
    if call.state.failed and not isinstance(call.statement, s.Rollback | s.Commit):
        raise TransactionInvalid(
            "a statement of this transaction failed; nothing more can be done in it",
            hint="ROLLBACK, and begin again",
        )
    for kinds, rule in _rules():
        if isinstance(call.statement, kinds):
            return rule(call)
    raise StatementNotSupported(f"{call.statement.kind} is not supported")


def _rules() -> tuple[tuple[tuple[type, ...], Callable[[Call], Result]], ...]:
    from lakehold.query import defining, governing, reading, showing, transactions, writing

    return (
        ((s.Select,), reading.select),
        ((s.Insert, s.Update, s.Delete, s.Merge), writing.change),
        ((s.Truncate,), writing.truncate),
        ((s.DynamicPivot,), reading.pivot),
        ((s.Explain,), reading.explain),
        ((s.Describe,), showing.describe),
        ((s.Show,), showing.show),
        ((s.ShowGrants,), governing.show_grants),
        ((s.CreateTable,), defining.create_table),
        (
            (s.CreateSchema, s.DropSchema, s.CreateView, s.Drop, s.AlterTable, s.CommentOn),
            defining.define,
        ),
        ((s.Begin,), transactions.begin),
        ((s.Commit,), transactions.commit),
        ((s.Rollback,), transactions.rollback),
        ((s.Use,), transactions.use),
        ((s.SetRole,), transactions.set_role),
        (
            (s.CreateRole, s.DropRole, s.CreateUser, s.DropUser, s.GrantRole, s.GrantPrivileges),
            governing.govern,
        ),
    )


def point_at(error: LakeholdError, sql: str, parser: DuckDBParser) -> None:
    """Give an error about a name the position where the name first stands."""
    if error.position is not None or not isinstance(error, UndefinedObject):
        return
    if len(sql) > 100_000 or "\0" in sql:
        return
    quoted = error.message.replace('"', " ").replace(".", " ").split()
    words = {word.strip("()!,'").lower() for word in quoted}
    for token in parser.tokens(sql):
        if token.kind in ("identifier", "keyword", "string_const"):
            plain = token.text.strip("\"'").lower()
            if token.kind == "identifier" and plain in words:
                error.position = token.start + 1
                return
