"""People who run statements on the session's platform, and what the ledger says of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from lakehold.app import Platform
from lakehold.identity import Client, Protocol, Session

_numbers = itertools.count(1)


@dataclass
class Actor:
    """A principal with a session of its own."""

    platform: Platform
    name: str
    session: Session

    def run(self, sql: str, parameters: Any = None, **options: Any) -> list[tuple[Any, ...]]:
        """Run a statement and read all its rows."""
        result = self.platform.gateway.execute(self.session, sql, parameters, **options)
        table = result.read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def records(self) -> list[str]:
        """The status of each of the principal's ledger records, oldest first."""
        with self.platform.parts.database.transaction() as connection:
            rows = connection.execute(
                "SELECT status FROM audit.ledger WHERE principal = %s ORDER BY seq", (self.name,)
            ).fetchall()
        return [row[0] for row in rows]

    def record_of(self, statement_id: UUID) -> list[str]:
        """The status of every ledger record of one statement."""
        with self.platform.parts.database.transaction() as connection:
            rows = connection.execute(
                "SELECT status FROM audit.ledger WHERE strpos(record, %s) > 0 ORDER BY seq",
                (f'"statement_id":"{statement_id}"',),
            ).fetchall()
        return [row[0] for row in rows]

    def open_records(self) -> int:
        """Statements that have begun and not ended, of anybody."""
        with self.platform.parts.database.transaction() as connection:
            row = connection.execute("SELECT count(*) FROM audit.opened").fetchone()
        return int(row[0]) if row else 0


def administrator(platform: Platform) -> Actor:
    """Somebody who may do everything."""
    return Actor(platform, "admin", platform.admin_session())


def person(admin: Actor, *grants: str, schema: str | None = None) -> Actor:
    """A new principal whose own role has these grants.

    Args:
        grants: the middle of GRANT statements, such as ``SELECT ON TABLE s.t``.
        schema: the schema of names without one.
    """
    number = next(_numbers)
    name, role = f"actor_{number}", f"actor_role_{number}"
    for text in (
        f"CREATE USER {name}",
        f"CREATE ROLE {role}",
        f"GRANT ROLE {role} TO USER {name}",
        *(f"GRANT {grant} TO ROLE {role}" for grant in grants),
    ):
        admin.run(text)
    principal = admin.platform.parts.access.principal(name)
    session = admin.platform.gateway.open_session(
        principal, Client(Protocol.EMBEDDED), schema=schema, lasting=True
    )
    return Actor(admin.platform, name, session)


def new_statement_id() -> UUID:
    """An id that a client chooses for its statement."""
    return uuid4()
