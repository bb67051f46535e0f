"""Cursors of DB-API 2.0 (PEP 249): rows as Python values, fetched as they stream in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pyarrow as pa

from lakehold.client.errors import InterfaceError
from lakehold.client.transport import ResultStream
from lakehold.values import python_values

if TYPE_CHECKING:
    from types import TracebackType

    from lakehold.client.connection import Connection, Statement

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Description: TypeAlias = tuple[str, str, None, None, None, None, None]

TYPE_KEY = b"lakehold.type"
BATCH_PARAMETERS_MAX = 8_000
"""Parameters that ``executemany`` sends in one statement."""

_VALUES = re.compile(
    r"\A(?P<head>\s*INSERT\s+INTO\s+[^;']*?\bVALUES)\s*(?P<row>\([\s?,]*\))\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)


class Cursor:
    """Runs statements and fetches their rows. Made by ``Connection.cursor``.

    Attributes:
        arraysize: rows that ``fetchmany`` fetches by default.
        rowcount: rows changed; of a query, rows fetched once all are, -1 before.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1000
        self.rowcount = -1
        self.description: tuple[Description, ...] | None = None
        self._statement: Statement | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._fetched = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the statement; the cursor cannot be used after."""
        self._drop_result()
        self._closed = True

    def cancel(self) -> None:
        """Cancel the statement on the server. May be called from another thread."""
        statement = self._statement
        if statement is not None:
            statement.cancel()

    @property
    def statement_id(self) -> str | None:
        """The id of the last statement, as it stands in the server's ledger."""
        return str(self._statement.id) if self._statement is not None else None

    def execute(self, sql: str, parameters: Parameters = None) -> Cursor:
        """Run one statement. ``?`` and ``$1`` are bound from a sequence, ``$name`` from a mapping."""
        self._begin()
        statement = self.connection.run_statement(sql, parameters)
        self._statement = statement
        self._reader = reader = statement.stream.reader()
        self.rowcount = -1 if statement.affected is None else statement.affected
        self.description = _description(reader.schema)
        self._fetched = 0
        if self.description is None:
            self._drop_result()
        else:
            self._rows = self._iterate(reader, statement)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Cursor:
        """Run a statement for each set of parameters.

        ``INSERT … VALUES (?, …)`` is sent with many rows at once. For large amounts,
        ``Connection.load`` is much faster.
        """
        self._begin()
        total = 0
        for text, bound in _grouped(sql, parameters):
            self.execute(text, bound)
            self._drop_result()
            total = total + self.rowcount if self.rowcount >= 0 and total >= 0 else -1
        self.rowcount = total
        self.description = None
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; ``None`` after the last."""
        self._need_result()
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Up to ``size`` rows; an empty list after the last."""
        self._need_result()
        wanted = self.arraysize if size is None else size
        return [row for _, row in zip(range(wanted), self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        self._need_result()
        return list(self._rows)

    def fetch_arrow_reader(self) -> pa.RecordBatchReader:
        """The rows that were not fetched yet as Arrow record batches, as they stream in."""
        self._need_result()
        assert self._reader is not None
        return self._reader

    def fetch_arrow_table(self) -> pa.Table:
        """The rows that were not fetched yet as an Arrow table."""
        return self.fetch_arrow_reader().read_all()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self._need_result()
        return self._rows

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """PEP 249 wants it to be there; does nothing."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """PEP 249 wants it to be there; does nothing."""

    def _begin(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        self._drop_result()
        self.description = None
        self.rowcount = -1

    def _need_result(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        if self.description is None:
            raise InterfaceError("there is no result to fetch from: the statement returns no rows")

    def _drop_result(self) -> None:
        self._rows = iter(())
        if self._statement is not None:
            self._statement.stream.close()

    def _iterate(
        self, reader: pa.RecordBatchReader, statement: Statement
    ) -> Iterator[tuple[Any, ...]]:
        types = [sql_type(field) for field in reader.schema]
        count = 0
        for batch in reader:
            columns = [
                python_values(column, kind)
                for column, kind in zip(batch.columns, types, strict=True)
            ]
            count += batch.num_rows
            yield from zip(*columns, strict=True)
        statement.stream.close()
        if self.rowcount < 0:
            self.rowcount = count


def sql_type(field: pa.Field) -> str:
    """The SQL type of a column of a result."""
    return str((field.metadata or {}).get(TYPE_KEY, b"").decode())


def _description(schema: pa.Schema) -> tuple[Description, ...] | None:
    if not len(schema):
        return None
    return tuple((field.name, sql_type(field), None, None, None, None, None) for field in schema)


def _grouped(sql: str, parameters: Iterable[Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The statements to send: as they are, or with many rows of ``VALUES`` at once."""
    match = _VALUES.match(sql)
    if match is None:
        for bound in parameters:
            yield sql, bound
        return
    head, row = match["head"], match["row"]
    width = max(1, row.count("?"))
    flat: list[Any] = []
    count = 0
    for bound in parameters:
        if len(bound) != width:
            raise InterfaceError(f"a row has {width} parameters, not {len(bound)}")
        flat.extend(bound)
        count += 1
        if len(flat) + width > BATCH_PARAMETERS_MAX:
            yield f"{head} {', '.join([row] * count)}", flat
            flat, count = [], 0
    if count:
        yield f"{head} {', '.join([row] * count)}", flat


__all__ = ["Cursor", "Parameters", "ResultStream", "sql_type"]
