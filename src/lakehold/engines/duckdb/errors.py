"""DuckDB's errors as ours, without physical names, paths or the rewritten text."""

from __future__ import annotations

import re

import duckdb

from lakehold.errors import (
    InternalError,
    InvalidParameter,
    InvalidRequest,
    InvalidValue,
    LakeholdError,
    LimitExceeded,
    StatementCancelled,
    StatementNotSupported,
    StorageFailed,
    SyntaxInvalid,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedTable,
)

_PREFIX = re.compile(r"^(?:[A-Za-z-]+ )+?(?:Error|Exception): ")
_PATH = re.compile(r"(?:[a-z0-9]+://|/)[^\s'\"]*[/.][^\s'\"]*")
_SLOT = re.compile(r"\"?\bw[0-9]+_[0-9a-f]{8}\"?\.?")
_IDENTITY = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.")
_RELATION = re.compile(r"\b__relation_[0-9a-f_]+\b")
_SUGGESTION = re.compile(r"Did you mean \"?([^\"?]*)\"?\??")
_CANDIDATES = re.compile(r"Candidate bindings: (.*)")


def from_duckdb(error: BaseException) -> LakeholdError:
    """Translate an exception of DuckDB.

    The rewritten text that DuckDB quotes (``LINE 1: …``) is cut off: it holds physical names.
    """
    text = str(error)
    message = scrub(_PREFIX.sub("", text.split("\n", 1)[0]))
    hint = _hint(text)
    if isinstance(error, duckdb.InterruptException):
        return StatementCancelled("the statement was cancelled")
    if isinstance(error, duckdb.OutOfMemoryException):
        return LimitExceeded(
            "the statement needs more memory or spill space than it may have",
            hint="filter or aggregate earlier, or ask for a higher memory or spill limit",
        )
    if isinstance(error, duckdb.ParserException | duckdb.SyntaxException):
        return SyntaxInvalid(message, hint=hint)
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return InvalidValue(message, hint=hint)
    if isinstance(error, duckdb.ConstraintException | duckdb.TypeMismatchException):
        return InvalidValue(message, hint=hint)
    if isinstance(error, duckdb.BinderException):
        return _from_binder(message, hint)
    if isinstance(error, duckdb.CatalogException):
        if "Function" in message:
            return UndefinedFunction(message, hint=hint)
        return UndefinedTable(message, hint=hint)
    if isinstance(error, duckdb.NotImplementedException):
        return StatementNotSupported(message, hint=hint)
    if isinstance(error, duckdb.PermissionException):
        return StatementNotSupported("the engine may not reach outside of the lake")
    if isinstance(error, duckdb.IOException | duckdb.HTTPException):
        return _from_storage(message)
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return InternalError("the engine failed on this statement", hint="it has been restarted")
    if isinstance(error, duckdb.InvalidInputException):
        if "parameter" in message.lower() or "Values were not provided" in message:
            return InvalidParameter(message, hint=hint)
        return InvalidValue(message, hint=hint)
    if isinstance(error, duckdb.Error):
        return InvalidRequest(message, hint=hint)
    return InternalError("the engine failed")


def scrub(message: str) -> str:
    """Remove paths and internal names from a message."""
    message = _PATH.sub("<file>", message)
    message = _SLOT.sub("", message)
    message = _IDENTITY.sub("", message)
    return _RELATION.sub("input", message)


def _from_binder(message: str, hint: str | None) -> LakeholdError:
    message = message.replace(" because the FROM clause is missing", "")
    if (
        message.startswith("Referenced column")
        or "not found in FROM clause" in message
        or "does not have a column named" in message
    ):
        return UndefinedColumn(message.rstrip("!"), hint=hint)
    if message.startswith("No function matches"):
        return UndefinedFunction(message, hint=hint)
    return InvalidRequest(message, hint=hint)


def _from_storage(message: str) -> LakeholdError:
    lowered = message.lower()
    if "no space left" in lowered or "disk quota" in lowered or "file too large" in lowered:
        return StorageFailed("the store is full; nothing was committed", hint="free some space")
    if "permission denied" in lowered or "read-only" in lowered:
        return StorageFailed(
            "the store cannot be written; nothing was committed",
            hint="check the permissions of the warehouse",
        )
    return StorageFailed(f"the store failed: {message}")


def _hint(text: str) -> str | None:
    found = _SUGGESTION.search(text)
    if found and found[1]:
        return f"did you mean {scrub(found[1])}?"
    found = _CANDIDATES.search(text)
    if found:
        return f"columns near it: {scrub(found[1]).strip()}"
    return None
