"""Errors as Iceberg clients know them: one place, our error in, status and type out.

Clients decide by status and ``type`` whether to retry, refresh or give up; above all, 409
means that a commit was not made, and 500 on a commit that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    DuplicateObject,
    InvalidRequest,
    LakeholdError,
    LockTimeout,
    MethodNotAllowed,
    NotAuthenticated,
    PermissionDenied,
    SchemaNotEmpty,
    StatementNotSupported,
    TooManyRequests,
    Unavailable,
    UndefinedObject,
    UndefinedSchema,
    UndefinedTable,
)

Resource = Literal["namespace", "table", "view"]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error in the REST specification's form."""

    status: int
    type: str
    message: str

    def body(self) -> dict[str, object]:
        """The ``IcebergErrorResponse``."""
        return {"error": {"message": self.message, "type": self.type, "code": self.status}}


class Unprocessable(InvalidRequest):
    """A request that contradicts itself."""

    http_status = 422


class WarehouseUnknown(UndefinedObject):
    """A client asked for another warehouse than this one."""


_KINDS: tuple[tuple[type[LakeholdError], int, str], ...] = (
    (CommitConflict, 409, "CommitFailedException"),
    (LockTimeout, 409, "CommitFailedException"),
    (CommitUnknown, 500, "CommitStateUnknownException"),
    (UndefinedSchema, 404, "NoSuchNamespaceException"),
    (WarehouseUnknown, 404, "NoSuchWarehouseException"),
    (DuplicateObject, 409, "AlreadyExistsException"),
    (SchemaNotEmpty, 409, "NamespaceNotEmptyException"),
    (NotAuthenticated, 401, "NotAuthorizedException"),
    (PermissionDenied, 403, "ForbiddenException"),
    (StatementNotSupported, 406, "UnsupportedOperationException"),
    (MethodNotAllowed, 405, "UnsupportedOperationException"),
    (Unprocessable, 422, "UnprocessableEntityException"),
    (TooManyRequests, 429, "TooManyRequestsException"),
    (Unavailable, 503, "ServiceUnavailableException"),
)


def error_answer(error: LakeholdError, resource: Resource = "table") -> ErrorAnswer:
    """Translate an error.

    Args:
        resource: what the path names, so that the right thing is said to be missing.
    """
    message = error.message if error.hint is None else f"{error.message}. {error.hint}"
    if isinstance(error, UndefinedTable):
        kind = "NoSuchViewException" if resource == "view" else "NoSuchTableException"
        return ErrorAnswer(404, kind, message)
    for cls, status, name in _KINDS:
        if isinstance(error, cls):
            return ErrorAnswer(status, name, message)
    status = error.http_status
    if status == 404:
        return ErrorAnswer(404, "NotFoundException", message)
    if status < 500:
        return ErrorAnswer(status, "BadRequestException", message)
    return ErrorAnswer(status, "ServiceFailureException", message)
