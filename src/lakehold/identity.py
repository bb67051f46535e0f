"""Who is asking: principals and sessions. Frozen values; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

ADMIN_ROLE = "admin"
"""The built-in role that holds every privilege on everything."""

PUBLIC_ROLE = "public"
"""The built-in role that every principal has."""


class Protocol(StrEnum):
    """The way in."""

    HTTP = "http"
    ICEBERG_REST = "iceberg-rest"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or service that authenticated.

    Attributes:
        id: stable identity; a name may be given again, an id never.
        name: what the principal is called.
        roles: names of the roles granted directly. Inherited ones are the policy's to find.
        attributes: facts about the principal that policies may use (``region`` = ``eu``).
    """

    id: UUID
    name: str
    roles: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from."""

    protocol: Protocol
    address: str = ""
    application: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use.

    Attributes:
        time_s: seconds from acceptance to the last row.
        result_rows: rows a result may have; ``None`` for any number.
        statement_bytes: length of the statement's text in UTF-8.
    """

    time_s: float = 3600.0
    result_rows: int | None = None
    statement_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Session:
    """What every statement runs in: a principal, its active roles, a purpose, limits.

    Attributes:
        roles: the active roles, by name; a subset of the principal's.
        schema: the schema of names without one.
        purpose: why data is being read (GDPR Art. 5(1)(b)).
    """

    id: UUID
    principal: Principal
    roles: frozenset[str]
    client: Client
    schema: str = "main"
    purpose: str | None = None
    limits: Limits = field(default_factory=Limits)
