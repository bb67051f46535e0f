"""Names of things in the lake: schemas, tables and how they are written.

A lake has one catalog. A schema is an Iceberg namespace; a nested namespace ``["a", "b"]``
is the schema ``"a.b"`` in SQL. Names are case-preserving and compared without case, as in
DuckDB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakehold.errors import InvalidName

CATALOG = "lake"
"""The name of the one catalog, for three-part SQL names: ``lake.schema.table``."""

SYSTEM_SCHEMAS = frozenset({"information_schema", "lakehold", "pg_catalog"})
"""Schemas that belong to the platform; users cannot create or write in them."""

NAME_LENGTH_MAX = 255

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")


def check_name(name: str, what: str = "name") -> str:
    """Return ``name`` if it can name a schema, table, column or role.

    Raises:
        InvalidName: if it is empty, longer than 255 characters, or holds a control character.
    """
    if not name:
        raise InvalidName(f"a {what} cannot be empty")
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidName(
            f"a {what} has at most {NAME_LENGTH_MAX} characters, this has {len(name)}"
        )
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise InvalidName(f"a {what} cannot hold control characters: {name!r}")
    return name


def quote(name: str) -> str:
    """Write ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def show(name: str) -> str:
    """Write ``name`` as a person would: quoted only where SQL needs it."""
    return name if _PLAIN.match(name) else quote(name)


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table or view: its schema and its own name.

    ``schema`` is the dotted form of an Iceberg namespace.
    """

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{show(self.schema)}.{show(self.table)}"

    @property
    def key(self) -> tuple[str, str]:
        """The pair under which the name is compared: without case."""
        return self.schema.lower(), self.table.lower()

    @property
    def namespace(self) -> tuple[str, ...]:
        """The Iceberg namespace levels of the schema."""
        return tuple(self.schema.split("."))
