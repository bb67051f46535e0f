"""What one statement may see and who asks: the values that binding and planning work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING
from uuid import UUID

from lakehold.catalog import Catalog, LakeTransaction, Relation
from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import PermissionDenied, UndefinedSchema, UndefinedTable
from lakehold.identity import Session
from lakehold.names import CATALOG, TableName
from lakehold.policy import Decision, Facts, ObjectKind, Privilege, Target, decide, visible
from lakehold.query.tree import fold
from lakehold.state import Connection

if TYPE_CHECKING:
    from lakehold.query.system import SystemRelations

Path = Sequence[str]


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of a statement.

    Attributes:
        roles: the roles whose grants count: the session's active ones, or, inside of a view
            with definer's rights, its owner's.
        connection: the PostgreSQL transaction whose snapshot fixes what is seen (invariant 3).
        transaction: the session's open transaction, if it has one.
        own: what the open transaction made; its grants come with the commit.
        inputs: names of the data that came with the statement.
        timestamp: evaluates a constant SQL expression to a moment (for ``AT (TIMESTAMP => …)``).
    """

    session: Session
    schema: str
    roles: frozenset[str]
    facts: Facts
    catalog: Catalog
    connection: Connection
    parser: DuckDBParser
    timestamp: Callable[[str], datetime]
    system: SystemRelations
    transaction: LakeTransaction | None = None
    views: tuple[TableName, ...] = field(default=())
    own: frozenset[UUID] = frozenset()
    inputs: frozenset[str] = frozenset()

    def within(self, *, schema: str, roles: frozenset[str], view: TableName) -> Scope:
        """The scope of a view's own query."""
        return replace(
            self, schema=schema, roles=roles, views=(*self.views, view), inputs=frozenset()
        )

    def table_name(self, path: Path) -> TableName:
        """Resolve a dotted name: ``table``, ``schema.table`` or ``lake.schema.table``.

        Raises:
            UndefinedTable: for more parts, or another catalog.
        """
        parts = list(path)
        if len(parts) > 2 and fold(parts[0]) == CATALOG:
            parts = parts[1:]
        if len(parts) == 1:
            return TableName(self.schema, parts[0])
        return TableName(".".join(parts[:-1]), parts[-1])

    def schema_name(self, path: Path) -> str:
        """Resolve the name of a schema: ``schema``, ``a.b`` or ``lake.schema``."""
        parts = list(path)
        if len(parts) > 1 and fold(parts[0]) == CATALOG:
            parts = parts[1:]
        return ".".join(parts)

    def resolve(self, names: Sequence[TableName]) -> dict[TableName, Relation]:
        """The relations of these names that the session may know of."""
        if not names:
            return {}
        found = self.catalog.resolve(self.connection, names, transaction=self.transaction)
        return {name: relation for name, relation in found.items() if self.sees(target(relation))}

    def relation(self, path: Path, what: str = "table") -> Relation:
        """The one relation of a name.

        Raises:
            UndefinedTable: if there is none, or the session may not know that there is.
        """
        name = self.table_name(path)
        found = self.resolve([name]).get(name)
        if found is None:
            raise self.undefined(name, what)
        return found

    def decision(self, relation: Relation, privilege: Privilege) -> Decision:
        """May the roles of this scope do this with the relation?"""
        return self.decide(privilege, target(relation))

    def decide(self, privilege: Privilege, on: Target) -> Decision:
        """May the roles of this scope do this?"""
        if on.id in self.own or on.schema_id in self.own:
            return Decision(allowed=True, columns=None, reasons=("made in this transaction",))
        return decide(self.facts, self.roles, privilege, on)

    def sees(self, on: Target) -> bool:
        """May the roles of this scope know of it?"""
        if on.id in self.own or on.schema_id in self.own:
            return True
        return visible(self.facts, self.roles, on)

    def require(self, relation: Relation, privilege: Privilege) -> Decision:
        """Like ``decision``, and refuse if not.

        Raises:
            PermissionDenied: naming the privilege that is missing.
        """
        decision = self.decision(relation, privilege)
        if not decision.allowed:
            raise PermissionDenied(
                f"{privilege} on {relation.name} is not granted to {self._who()}",
                hint=f"an owner can: GRANT {privilege} ON {relation.kind.upper()} "
                f"{relation.name} TO ROLE …",
            )
        return decision

    def known_columns(self, relation: Relation) -> frozenset[str]:
        """The names of a relation's columns on which the session has any right."""
        known: set[int] = set()
        for privilege in (Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE):
            decision = self.decision(relation, privilege)
            if decision.allowed:
                if decision.columns is None:
                    return frozenset(column.name for column in relation.columns)
                known |= decision.columns
        return frozenset(item.name for item in relation.columns if item.field_id in known)

    def schema_id(self, name: str) -> UUID:
        """The identity of a schema that the session may know of.

        Raises:
            UndefinedSchema: if there is none, or the session may not know that there is.
        """
        found = self.catalog.schema(self.connection, name, transaction=self.transaction)
        if found is not None:
            on = Target(ObjectKind.SCHEMA, found.id, found.id)
            if self.sees(on):
                return found.id
        raise UndefinedSchema(f'schema "{name}" does not exist', hint=self._near_schema(name))

    def require_on_schema(self, name: str, privilege: Privilege) -> UUID:
        """Refuse if the privilege on a schema is missing.

        Raises:
            UndefinedSchema, PermissionDenied
        """
        identity = self.schema_id(name)
        on = Target(ObjectKind.SCHEMA, identity, identity)
        if not self.decide(privilege, on).allowed:
            raise PermissionDenied(
                f"{privilege} on schema {name} is not granted to {self._who()}",
                hint=f"an owner can: GRANT {privilege} ON SCHEMA {name} TO ROLE …",
            )
        return identity

    def require_on_lake(self, privilege: Privilege) -> None:
        """Refuse if the privilege on the whole lake is missing.

        Raises:
            PermissionDenied
        """
        on = Target(ObjectKind.LAKE, None, None)
        if not self.decide(privilege, on).allowed:
            raise PermissionDenied(
                f"{privilege} on the lake is not granted to {self._who()}",
                hint=f"an administrator can: GRANT {privilege} ON LAKE TO ROLE …",
            )

    def undefined(self, name: TableName, what: str = "table") -> UndefinedTable:
        """The one answer for what is not there and for what may not be seen."""
        return UndefinedTable(f"{what} {name} does not exist", hint=self._near_table(name))

    def visible_relations(self) -> list[Relation]:
        """Every relation that the session may know of."""
        found = self.catalog.relations(self.connection, transaction=self.transaction)
        return [item for item in found if self.sees(target(item))]

    def _who(self) -> str:
        roles = ", ".join(sorted(self.roles)) or "no role"
        return f"{self.session.principal.name} ({roles})"

    def _near_table(self, name: TableName) -> str | None:
        known = {str(item.name): item.name for item in self.visible_relations()}
        same = [text for text, item in known.items() if fold(item.table) == fold(name.table)]
        near = same or get_close_matches(str(name), known, n=3, cutoff=0.6)
        return f"did you mean {' or '.join(near[:3])}?" if near else None

    def _near_schema(self, name: str) -> str | None:
        known = [
            item.name
            for item in self.catalog.schemas(self.connection, transaction=self.transaction)
            if self.sees(Target(ObjectKind.SCHEMA, item.id, item.id))
        ]
        near = get_close_matches(name, known, n=3, cutoff=0.6)
        return f"did you mean {' or '.join(near)}?" if near else None


def target(relation: Relation) -> Target:
    """A relation as policy sees it."""
    kind = ObjectKind.VIEW if relation.kind == "view" else ObjectKind.TABLE
    return Target(kind, relation.id, relation.schema_id)


Reads = Mapping[TableName, frozenset[str]]
