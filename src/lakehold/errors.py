"""Every error of Lakehold, each with its SQLSTATE and HTTP status.

Raised deep, translated once at the door: an adapter turns any ``LakeholdError`` into its
protocol's form from these fields and never needs to know which one it is. Messages say what
was expected; ``hint`` says what to do.

SQLSTATE: ISO/IEC 9075-2 and PostgreSQL's appendix A. HTTP: RFC 9110.
"""

from __future__ import annotations

from typing import ClassVar


class LakeholdError(Exception):
    """The root of all errors that a user may see.

    Args:
        message: what went wrong, in one sentence, without secrets or hidden names.
        hint: what to do about it.
        position: 1-based character position in the statement, where there is one.
    """

    sqlstate: ClassVar[str] = "XX000"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, hint: str | None = None, position: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.position = position

    @property
    def code(self) -> str:
        """A stable name of the kind of error, such as ``undefined_table``."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


# --- the request is wrong ---------------------------------------------------------------


class InvalidRequest(LakeholdError):
    """The request cannot be understood: a malformed body, header or option."""

    sqlstate = "08P01"
    http_status = 400


class RequestTooLarge(InvalidRequest):
    """A statement, body or value above a limit."""

    sqlstate = "54000"
    http_status = 413


class UnsupportedMediaType(InvalidRequest):
    """A content type or encoding that is not spoken here."""

    http_status = 415


class NotAcceptable(InvalidRequest):
    """No content type that the client accepts can be produced."""

    http_status = 406


class MethodNotAllowed(InvalidRequest):
    """The path is known, and not with this method."""

    http_status = 405


class InvalidName(InvalidRequest):
    """A name that cannot name anything."""

    sqlstate = "42602"


class SyntaxInvalid(LakeholdError):
    """The statement cannot be parsed."""

    sqlstate = "42601"
    http_status = 400


class StatementNotSupported(LakeholdError):
    """The statement is understood, and is refused by name."""

    sqlstate = "0A000"
    http_status = 400


class InvalidParameter(LakeholdError):
    """A bound parameter is missing, superfluous or of the wrong type."""

    sqlstate = "22023"
    http_status = 400


class InvalidValue(LakeholdError):
    """A value does not fit: a failed cast, a NULL where none may be, an overflow."""

    sqlstate = "22000"
    http_status = 400


class UndefinedObject(LakeholdError):
    """A named thing is not there, or the session may not know that it is."""

    sqlstate = "42704"
    http_status = 404


class UndefinedSchema(UndefinedObject):
    sqlstate = "3F000"


class UndefinedTable(UndefinedObject):
    sqlstate = "42P01"


class UndefinedColumn(UndefinedObject):
    sqlstate = "42703"
    http_status = 400


class UndefinedFunction(UndefinedObject):
    sqlstate = "42883"
    http_status = 400


class DuplicateObject(LakeholdError):
    """A thing of that name is there already."""

    sqlstate = "42710"
    http_status = 409


class DuplicateSchema(DuplicateObject):
    sqlstate = "42P06"


class DuplicateTable(DuplicateObject):
    sqlstate = "42P07"


class SchemaNotEmpty(LakeholdError):
    """A schema that still holds tables cannot be dropped."""

    sqlstate = "2BP01"
    http_status = 409


class InvalidDefinition(LakeholdError):
    """A table, view or change of one that would not be valid, or would break its readers."""

    sqlstate = "42P16"
    http_status = 400


# --- who is asking ----------------------------------------------------------------------


class NotAuthenticated(LakeholdError):
    """No credentials, or credentials that are wrong, expired or revoked."""

    sqlstate = "28000"
    http_status = 401


class PermissionDenied(LakeholdError):
    """The session may know of the thing, and may not do this with it."""

    sqlstate = "42501"
    http_status = 403


# --- the moment is wrong ----------------------------------------------------------------


class CommitConflict(LakeholdError):
    """Another commit came first (Iceberg REST: ``CommitFailedException``)."""

    sqlstate = "40001"
    http_status = 409
    retryable = True


class LockTimeout(LakeholdError):
    """Another writer held the table for longer than this one may wait; nothing was done."""

    sqlstate = "55P03"
    http_status = 409
    retryable = True


class TransactionInvalid(LakeholdError):
    """BEGIN inside a transaction, COMMIT outside of one, or a statement in a failed one."""

    sqlstate = "25000"
    http_status = 409


class SessionUnknown(LakeholdError):
    """The session has ended, or never was, or is not the caller's."""

    sqlstate = "08003"
    http_status = 404


class StatementCancelled(LakeholdError):
    """The user cancelled the statement."""

    sqlstate = "57014"
    http_status = 409


class StatementTimeout(LakeholdError):
    """The statement ran into its time limit."""

    sqlstate = "57014"
    http_status = 408


class LimitExceeded(LakeholdError):
    """The statement needs more memory, spill, rows or time than it may have."""

    sqlstate = "53000"
    http_status = 507


class TooManyRequests(LakeholdError):
    """The queue is full; try again after ``retry_after_s`` seconds."""

    sqlstate = "53300"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


# --- the platform is in trouble -----------------------------------------------------------


class Unavailable(LakeholdError):
    """A part that an answer needs cannot be reached; nothing was done."""

    sqlstate = "57P03"
    http_status = 503
    retryable = True


class StateUnavailable(Unavailable):
    """PostgreSQL cannot be reached."""


class LedgerUnavailable(Unavailable):
    """The ledger cannot be written, so nothing may run."""


class StorageFailed(LakeholdError):
    """The object store refused: full, read-only, or not reachable."""

    sqlstate = "58030"
    http_status = 507


class ObjectMissing(StorageFailed):
    """There is no object at a location where one was expected."""

    http_status = 500


class ObjectExists(StorageFailed):
    """There is an object where a new one was to be written; nothing was overwritten."""

    http_status = 409


class CommitUnknown(StateUnavailable):
    """It is not known whether a commit was made (``CommitStateUnknownException``)."""

    sqlstate = "40003"
    retryable = False


class PlatformInUse(LakeholdError):
    """Another platform runs in this folder."""

    sqlstate = "55006"
    http_status = 409


class ConfigurationInvalid(LakeholdError):
    """A setting is missing or has a value that cannot be used."""

    sqlstate = "F0000"
    http_status = 500


class InternalError(LakeholdError):
    """A defect of Lakehold. The message carries a reference, never internals."""
