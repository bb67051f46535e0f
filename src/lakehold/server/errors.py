"""Errors at the door: any exception becomes one response, in one place.

The body is ``{"error": {"code", "sqlstate", "message", "hint", "position", "statement_id"}}``.
What is not a ``LakeholdError`` is a defect: it goes to the log under a reference, and only
the reference is shown.
"""

from __future__ import annotations

import traceback
import uuid
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from lakehold.errors import (
    InternalError,
    InvalidRequest,
    LakeholdError,
    MethodNotAllowed,
    NotAuthenticated,
    RequestTooLarge,
    TooManyRequests,
    UndefinedObject,
    UnsupportedMediaType,
)

_log = structlog.get_logger("lakehold.server")

AUTHENTICATION_CHALLENGE = 'Bearer realm="lakehold"'


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong.

    Attributes:
        code: a stable name of the kind of error, such as ``undefined_table``.
        sqlstate: ISO/IEC 9075-2 and PostgreSQL's appendix A.
        message: one sentence.
        hint: what to do about it.
        position: 1-based character position in the statement.
        statement_id: the statement that failed, as it stands in the ledger.
    """

    code: str
    sqlstate: str
    message: str
    hint: str | None = None
    position: int | None = None
    statement_id: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response that is an error."""

    error: ErrorDetail


def error_detail(error: LakeholdError, statement_id: uuid.UUID | None = None) -> ErrorDetail:
    """The fields of an error as they cross HTTP."""
    return ErrorDetail(
        code=error.code,
        sqlstate=error.sqlstate,
        message=error.message,
        hint=error.hint,
        position=error.position,
        statement_id=str(statement_id) if statement_id is not None else None,
    )


def as_lakehold_error(exception: BaseException) -> LakeholdError:
    """Translate any exception; a defect is logged with its reference and hidden."""
    if isinstance(exception, LakeholdError):
        return exception
    if isinstance(exception, HTTPException):
        return _from_litestar(exception)
    return _defect(exception)


def _defect(exception: BaseException) -> InternalError:
    """Log where it happened, without values: a message or a local may hold somebody's data."""
    reference = uuid.uuid4().hex[:12]
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(exception.__traceback__)
    ]
    _log.error("defect", reference=reference, type=type(exception).__qualname__, frames=frames)
    _log.debug("defect message", reference=reference, message=str(exception))
    return InternalError(
        f"an internal error; its reference in the server's log is {reference}",
        hint="Please report it with this reference.",
    )


def _from_litestar(exception: HTTPException) -> LakeholdError:
    status = exception.status_code
    if isinstance(exception, ValidationException):
        return InvalidRequest(_validation_text(exception))
    if status == 401:
        return NotAuthenticated("a Bearer token is needed")
    if status == 404:
        return UndefinedObject("there is nothing at this path", hint="See /openapi.json.")
    if status == 405:
        return MethodNotAllowed("this path has no such method", hint="See /openapi.json.")
    if status == 413:
        return RequestTooLarge("the body is larger than allowed here")
    if status == 415:
        return UnsupportedMediaType("the content type is not spoken here")
    if status < 500:
        return InvalidRequest(str(exception.detail))
    return _defect(exception)


def _validation_text(exception: ValidationException) -> str:
    extra: Any = exception.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        parts = [f"{item.get('key', 'body')}: {item.get('message', '')}" for item in extra]
        return "the request is not valid: " + "; ".join(parts)
    return "the request is not valid: " + str(exception.detail)


def error_response(
    exception: BaseException, statement_id: uuid.UUID | None = None
) -> Response[bytes]:
    """The response for an exception; closes the connection where a body was left unread."""
    error = as_lakehold_error(exception)
    headers: dict[str, str] = {}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = AUTHENTICATION_CHALLENGE
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, RequestTooLarge):
        headers["Connection"] = "close"
    if statement_id is not None:
        headers["Lakehold-Statement-Id"] = str(statement_id)
    return Response(
        content=msgspec.json.encode(ErrorBody(error=error_detail(error, statement_id))),
        status_code=error.http_status,
        media_type="application/json",
        headers=headers,
    )


def handle_exception(request: Request[Any, Any, Any], exception: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    statement_id = getattr(exception, "statement_id", None)
    return error_response(exception, statement_id if isinstance(statement_id, uuid.UUID) else None)
