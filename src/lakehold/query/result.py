"""What a statement gives back through the gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa

from lakehold.engines import EngineColumn, EngineResult
from lakehold.errors import InternalError, LakeholdError, LimitExceeded, StatementCancelled
from lakehold.query.running import RunningStatement

ResultColumn = EngineColumn
"""A column's name and the SQL type that users see."""

Finish = Callable[[int, int, LakeholdError | None], None]
"""Called once at the end with rows, bytes and the error, if any; writes the ledger record."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows that the gateway made itself, of SHOW, DESCRIBE, or none at all."""

    columns: tuple[ResultColumn, ...]
    table: pa.Table

    @staticmethod
    def of(
        names: tuple[str, ...], rows: list[tuple[Any, ...]], types: tuple[str, ...] = ()
    ) -> Answer:
        """Rows of text, or of the SQL types given."""
        kinds = types or ("VARCHAR",) * len(names)
        arrow = [_ARROW[kind] for kind in kinds]
        values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        table = pa.table(
            [pa.array(list(v), kind) for v, kind in zip(values, arrow, strict=True)],
            names=list(names),
        )
        return Answer(tuple(ResultColumn(n, t) for n, t in zip(names, kinds, strict=True)), table)


_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}

NOTHING = Answer((), pa.table({}))


class Result:
    """The outcome of a statement: columns, rows as a stream, or a count of changed rows.

    It must be drained or closed: its ledger record is written then. If the record cannot be
    written, the last batch is followed by ``LedgerUnavailable`` (invariant 10).

    Attributes:
        statement_id: identity of the statement, also in the ledger.
        kind: command tag, ``SELECT``, ``INSERT`` …
        affected: rows inserted, updated and deleted, for a change; else ``None``.
    """

    def __init__(
        self,
        running: RunningStatement,
        kind: str,
        *,
        engine: EngineResult | None = None,
        answer: Answer | None = None,
        affected: int | None = None,
        finish: Finish | None = None,
    ) -> None:
        self.statement_id: UUID = running.id
        self.kind = kind
        self.affected = affected
        self._running = running
        self._engine = engine
        self._answer = answer or NOTHING
        self._finish = finish
        self._lock = threading.Lock()
        self._rows = self._bytes = 0

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        return self._engine.columns if self._engine is not None else self._answer.columns

    @property
    def schema(self) -> pa.Schema:
        return self._engine.schema if self._engine is not None else self._answer.table.schema

    @property
    def duration_ms(self) -> float:
        """Milliseconds since the statement was accepted."""
        return self._running.duration_ms

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, as record batches.

        Raises:
            LakeholdError: if the statement fails on the way, is cancelled or times out.
        """
        limit = self._running.session.limits.result_rows
        error: LakeholdError | None = StatementCancelled("the client went away")
        try:
            for batch in self._source():
                self._running.check()
                self._rows += batch.num_rows
                self._bytes += batch.nbytes
                self._running.rows = self._rows
                if limit is not None and self._rows > limit:
                    raise LimitExceeded(f"the result has more than {limit} rows")
                yield batch
            self._running.check()
            error = None
        except LakeholdError as found:
            error = self._running.reason_for(found)
            raise error from None
        except GeneratorExit:
            raise
        except Exception as found:
            error = InternalError("the result could not be read")
            raise error from found
        finally:
            self._end(error)

    def read_all(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(list(self.batches()), schema=self.schema)

    def close(self) -> None:
        """End the statement, wherever it is. Idempotent."""
        self._end(StatementCancelled("the client went away") if self._engine else None)

    def _source(self) -> Iterator[pa.RecordBatch]:
        if self._engine is not None:
            return self._engine.batches()
        return iter(self._answer.table.to_batches())

    def _end(self, error: LakeholdError | None) -> None:
        with self._lock:
            finish, self._finish = self._finish, None
        if self._engine is not None:
            self._engine.close()
        if finish is not None:
            finish(self._rows, self._bytes, error)

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
