"""The exceptions of DB-API 2.0 (PEP 249), chosen by SQLSTATE."""

from __future__ import annotations

from typing import Any


class Warning(Exception):
    """Never raised; PEP 249 wants it to be there."""


class Error(Exception):
    """Anything that went wrong.

    Attributes:
        message: one sentence.
        sqlstate: five characters (ISO/IEC 9075-2), empty where there is none.
        code: a stable name, such as ``undefined_table``.
        hint: what to do about it.
        position: 1-based character position in the statement.
        statement_id: the statement, as it stands in the server's ledger.
        http_status: of the response, 0 where there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str = "",
        code: str = "",
        hint: str | None = None,
        position: int | None = None,
        statement_id: str | None = None,
        http_status: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.code = code
        self.hint = hint
        self.position = position
        self.statement_id = statement_id
        self.http_status = http_status

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InterfaceError(Error):
    """The client was used wrongly, such as after ``close``."""


class DatabaseError(Error):
    """The server refused or failed."""


class DataError(DatabaseError):
    """A value does not fit (SQLSTATE class 22)."""


class OperationalError(DatabaseError):
    """Not the statement's fault: connection, credentials, cancelled, limits, conflicts."""


class IntegrityError(DatabaseError):
    """A constraint is violated (SQLSTATE class 23)."""


class InternalError(DatabaseError):
    """A defect of the server (SQLSTATE class XX)."""


class ProgrammingError(DatabaseError):
    """The statement is wrong, or not allowed (SQLSTATE classes 42, 3F, 25 …)."""


class NotSupportedError(DatabaseError):
    """The statement is understood and refused (SQLSTATE class 0A)."""


_BY_CLASS: dict[str, type[DatabaseError]] = {
    "0A": NotSupportedError,
    "22": DataError,
    "23": IntegrityError,
    "25": ProgrammingError,
    "2B": ProgrammingError,
    "3F": ProgrammingError,
    "42": ProgrammingError,
    "54": ProgrammingError,
    "XX": InternalError,
    "08": OperationalError,
    "28": OperationalError,
    "40": OperationalError,
    "53": OperationalError,
    "55": OperationalError,
    "57": OperationalError,
    "58": OperationalError,
}


def error_from_fields(fields: dict[str, Any], http_status: int) -> DatabaseError:
    """The exception for the ``error`` object of a response."""
    sqlstate = str(fields.get("sqlstate") or "")
    kind = _BY_CLASS.get(sqlstate[:2], DatabaseError)
    return kind(
        str(fields.get("message") or f"the server answered with status {http_status}"),
        sqlstate=sqlstate,
        code=str(fields.get("code") or ""),
        hint=fields.get("hint"),
        position=fields.get("position"),
        statement_id=fields.get("statement_id"),
        http_status=http_status,
    )
