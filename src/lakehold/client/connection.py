"""Connections of DB-API 2.0 (PEP 249), with Arrow, Polars and pandas beside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID, uuid4

import pyarrow as pa

from lakehold.client import errors
from lakehold.client.cursor import Cursor, Parameters
from lakehold.client.errors import Error, InterfaceError, OperationalError
from lakehold.client.transport import ARROW, ResultStream, Transport
from lakehold.client.types import write_parameters
from lakehold.names import quote

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd
    import polars as pl

SESSION_UNKNOWN = "08003"

LoadMode = Literal["append", "create", "replace"]


@dataclass(slots=True)
class Statement:
    """A statement that was sent, and its result as it streams in."""

    id: UUID
    kind: str
    affected: int | None
    stream: ResultStream
    transport: Transport

    def cancel(self) -> None:
        """Cancel it on the server."""
        self.transport.cancel(self.id)


class Connection:
    """A session on a Lakehold server. Made by ``connect``.

    ``autocommit`` is true unless asked otherwise: every statement stands for itself, and a
    transaction begins with ``BEGIN``. Set it to false for the behaviour that PEP 249 asks for:
    a transaction begins with the first statement and ends with ``commit`` or ``rollback``.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(
        self,
        transport: Transport,
        *,
        schema: str | None = None,
        roles: list[str] | None = None,
        purpose: str | None = None,
        autocommit: bool = True,
        timeout_s: float | None = None,
    ) -> None:
        self._transport = transport
        self._wanted = {"schema": schema, "roles": roles, "purpose": purpose}
        self._lock = threading.Lock()
        self._closed = False
        self._in_transaction = False
        self.autocommit = autocommit
        self.timeout_s = timeout_s
        self._session_id = self._open_session()

    # --- PEP 249 --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._in_transaction and not self._closed:
                self.rollback() if kind is not None else self.commit()
        finally:
            self.close()

    def cursor(self) -> Cursor:
        """A new cursor. Results of several cursors can be open at once."""
        self._need_open()
        return Cursor(self)

    def commit(self) -> None:
        """Make the changes of the transaction lasting; does nothing outside of one."""
        self._end_transaction("COMMIT")

    def rollback(self) -> None:
        """Undo the changes of the transaction; does nothing outside of one."""
        self._end_transaction("ROLLBACK")

    def close(self) -> None:
        """End the session; an open transaction is rolled back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        with suppress(Error):
            self._transport.call("DELETE", f"/v1/sessions/{self._session_id}")
        self._transport.close()

    # --- beside PEP 249 -------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._in_transaction

    @property
    def url(self) -> str:
        """The server's base URL."""
        return self._transport.url

    @property
    def session_id(self) -> str:
        """The id of the session on the server."""
        return self._session_id

    def execute(self, sql: str, parameters: Parameters = None) -> Cursor:
        """Run one statement in a new cursor."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Cursor:
        """Run a statement for each set of parameters in a new cursor."""
        return self.cursor().executemany(sql, parameters)

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run a query and return its rows as an Arrow table."""
        with self.stream(sql, parameters) as statement:
            return statement.stream.reader().read_all()

    def batches(self, sql: str, parameters: Parameters = None) -> Iterator[pa.RecordBatch]:
        """Run a query and yield record batches as they stream in, in bounded memory."""
        with self.stream(sql, parameters) as statement:
            yield from statement.stream.reader()

    def reader(self, sql: str, parameters: Parameters = None) -> pa.RecordBatchReader:
        """Run a query; its rows as a reader that streams. Read it to its end or close it."""
        return self.run_statement(sql, parameters).stream.reader()

    def polars(self, sql: str, parameters: Parameters = None) -> pl.DataFrame:
        """Run a query and return its rows as a Polars data frame."""
        try:
            import polars
        except ImportError as error:
            raise InterfaceError("Polars is missing: pip install 'lakehold[polars]'") from error
        frame = polars.from_arrow(_plain(self.arrow(sql, parameters)))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def pandas(self, sql: str, parameters: Parameters = None) -> pd.DataFrame:
        """Run a query and return its rows as a pandas data frame."""
        try:
            import pandas  # noqa: F401 - Arrow needs it
        except ImportError as error:
            raise InterfaceError("pandas is missing: pip install 'lakehold[pandas]'") from error
        return _plain(self.arrow(sql, parameters)).to_pandas()

    def stream(
        self,
        sql: str,
        parameters: Parameters = None,
        *,
        media: str = ARROW,
        statement_id: UUID | None = None,
    ) -> OpenStatement:
        """Run a statement; its answer as bytes of a media type, to be used with ``with``."""
        return OpenStatement(
            self.run_statement(sql, parameters, media=media, statement_id=statement_id)
        )

    def load(self, table: str, data: Any, *, mode: LoadMode = "append") -> int:
        """Write Arrow data or a data frame to a table; return the number of rows.

        Args:
            table: its name as SQL writes it, such as ``sales.orders``.
            data: a ``pyarrow`` table, record batch or reader, or a pandas or Polars frame.
            mode: ``append`` to a table, ``create`` it, or ``replace`` it.
        """
        reader = _as_reader(data)
        columns = ", ".join(quote(name) for name in reader.schema.names)
        verbs = {
            "append": f"INSERT INTO {table} ({columns}) SELECT {columns} FROM input",
            "create": f"CREATE TABLE {table} AS SELECT {columns} FROM input",
            "replace": f"CREATE OR REPLACE TABLE {table} AS SELECT {columns} FROM input",
        }
        counted = _Counted(reader)
        statement = self.run_statement(verbs[mode], None, content=lambda: _arrow_bytes(counted))
        statement.stream.read()
        statement.stream.close()
        return statement.affected if statement.affected is not None else counted.rows

    def cancel(self, statement_id: str | UUID) -> None:
        """Cancel a statement of this principal."""
        self._transport.cancel(UUID(str(statement_id)))

    def statement(self, statement_id: str | UUID) -> dict[str, Any]:
        """State, progress and error of a statement of this principal."""
        state = self._transport.call("GET", f"/v1/statements/{statement_id}")
        assert isinstance(state, dict)
        return state

    # --- inside ---------------------------------------------------------------------------

    def run_statement(
        self,
        sql: str,
        parameters: Parameters,
        *,
        media: str = ARROW,
        content: Any = None,
        statement_id: UUID | None = None,
    ) -> Statement:
        """Send a statement; its result is open, and must be read to its end or closed."""
        self._need_open()
        verb = _first_word(sql)
        if not self.autocommit and not self._in_transaction and verb not in _TRANSACTION_VERBS:
            self._send("BEGIN", None, ARROW, None, uuid4()).stream.close()
            self._in_transaction = True
        statement = self._send(sql, parameters, media, content, statement_id or uuid4())
        if verb in _TRANSACTION_VERBS:
            self._in_transaction = verb in {"BEGIN", "START"}
        return statement

    def _send(
        self,
        sql: str,
        parameters: Parameters,
        media: str,
        content: Any,
        statement_id: UUID,
    ) -> Statement:
        body: dict[str, Any] | None = {
            "sql": sql,
            "parameters": write_parameters(parameters),
        }
        if self.timeout_s is not None and body is not None:
            body["timeout_s"] = self.timeout_s
        params = None
        if content is not None:
            body, params = None, {"sql": sql}

        def send() -> Any:
            headers = {
                "Lakehold-Session": self._session_id,
                "Lakehold-Statement-Id": str(statement_id),
            }
            return self._transport.stream(
                media=media, headers=headers, body=body, content=content, params=params
            )

        try:
            response = send()
        except OperationalError as error:
            if error.sqlstate != SESSION_UNKNOWN or self._in_transaction or content is not None:
                raise
            with self._lock:  # it was idle too long or the server began anew: nothing is lost
                self._session_id = self._open_session()
            response = send()
        affected = response.headers.get("lakehold-affected")
        return Statement(
            id=statement_id,
            kind=response.headers.get("lakehold-kind", ""),
            affected=int(affected) if affected is not None else None,
            stream=ResultStream(self._transport, response, statement_id),
            transport=self._transport,
        )

    def _end_transaction(self, sql: str) -> None:
        self._need_open()
        if self._in_transaction:
            try:
                self._send(sql, None, ARROW, None, uuid4()).stream.close()
            finally:
                self._in_transaction = False

    def _open_session(self) -> str:
        try:
            answer = self._transport.call("POST", "/v1/sessions", body=self._wanted)
        except Error:
            self._transport.close()
            raise
        return str(answer["id"])

    def _need_open(self) -> None:
        if self._closed:
            raise InterfaceError("the connection is closed")


class OpenStatement:
    """A statement whose answer streams in; leaving the ``with`` block closes it."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement

    def __enter__(self) -> Statement:
        return self.statement

    def __exit__(self, *_: object) -> None:
        self.statement.stream.close()


_TRANSACTION_VERBS = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT"})


def _first_word(sql: str) -> str:
    words = sql.split(None, 1)
    return words[0].rstrip(";").upper() if words else ""


def _plain(table: pa.Table) -> pa.Table:
    """Without the extension types that data frames do not know: as their storage."""
    for position, field in enumerate(table.schema):
        if isinstance(field.type, pa.BaseExtensionType):
            storage = [chunk.storage for chunk in table.column(position).chunks]
            column = pa.chunked_array(storage, field.type.storage_type)
            table = table.set_column(position, field.name, column)
    return table


def _as_reader(data: Any) -> pa.RecordBatchReader:
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, pa.Table):
        return data.to_reader()
    if isinstance(data, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(data.schema, [data])
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    if type(data).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False).to_reader()
    raise InterfaceError(f"a {type(data).__name__} is neither Arrow data nor a data frame")


class _Counted:
    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self.schema = reader.schema
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._reader:
            self.rows += batch.num_rows
            yield batch


def _arrow_bytes(batches: _Counted) -> Iterator[bytes]:
    """Arrow IPC stream, a piece for each batch."""
    pieces = _PieceSink()
    writer = pa.ipc.new_stream(pa.PythonFile(pieces, mode="w"), batches.schema)
    for batch in batches:
        writer.write_batch(batch)
        yield pieces.take()
    writer.close()
    yield pieces.take()


class _PieceSink:
    closed = False

    def __init__(self) -> None:
        self._pieces: list[Any] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to release."""

    def take(self) -> bytes:
        joined = b"".join(self._pieces)
        self._pieces.clear()
        return joined
