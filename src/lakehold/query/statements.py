"""The statements that Lakehold knows. What has no form here does not run (invariant 2).

Frozen values made by ``query.grammar``. Names are as the user wrote them; parts that are
expressions or queries are kept as the user's own text.
"""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str, ...]
"""A dotted name, outermost part first."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Any statement. ``kind`` is its command tag: ``SELECT``, ``CREATE TABLE`` …"""

    @property
    def kind(self) -> str:
        words = "".join(" " + c if c.isupper() else c for c in type(self).__name__)
        return words.strip().upper()


# --- reading ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Select(Statement):
    """A query in any of its forms: SELECT, FROM, VALUES, TABLE, PIVOT, SUMMARIZE."""

    text: str


@dataclass(frozen=True, slots=True)
class DynamicPivot(Statement):
    """``PIVOT source ON column USING …`` without a list of values: they are looked up first."""

    source: str
    on: str
    using: str
    group_by: str
    tail: str

    @property
    def kind(self) -> str:
        return "SELECT"


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    statement: Statement
    analyze: bool


@dataclass(frozen=True, slots=True)
class Describe(Statement):
    """DESCRIBE of a table, or of a query (``text``)."""

    name: Path | None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Show(Statement):
    """SHOW TABLES, SCHEMAS, VIEWS, ROLES, USERS, COLUMNS, … as ``what``; LIKE as ``like``."""

    what: str
    schema: Path | None = None
    like: str | None = None


# --- changing rows ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Insert(Statement):
    target: Path
    columns: tuple[str, ...] | None
    query: str | None
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Update(Statement):
    target: Path
    alias: str | None
    assignments: tuple[tuple[str, str], ...]
    sources: str | None
    where: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Delete(Statement):
    target: Path
    alias: str | None
    sources: str | None
    where: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class MergeClause:
    """One WHEN of a MERGE.

    Attributes:
        match: ``MATCHED``, ``NOT MATCHED``, ``NOT MATCHED BY SOURCE``.
        condition: the text after AND.
        action: ``UPDATE``, ``INSERT``, ``DELETE`` or ``DO NOTHING``.
        columns: target columns, in the order of ``values``; empty for the star forms.
        values: the texts of the new values; empty for the star forms.
        by_name: UPDATE BY NAME, INSERT BY NAME.
    """

    match: str
    condition: str | None
    action: str
    columns: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Merge(Statement):
    target: Path
    alias: str | None
    source: str
    on: str | None
    using: tuple[str, ...]
    clauses: tuple[MergeClause, ...]
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Truncate(Statement):
    target: Path


# --- defining -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateSchema(Statement):
    name: Path
    if_not_exists: bool
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class DropSchema(Statement):
    name: Path
    if_exists: bool
    cascade: bool


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class CreateTable(Statement):
    name: Path
    columns: tuple[ColumnDefinition, ...]
    query: str | None
    partitioning: tuple[str, ...] = ()
    sort_order: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    comment: str | None = None
    or_replace: bool = False
    if_not_exists: bool = False
    with_data: bool = True


@dataclass(frozen=True, slots=True)
class CreateView(Statement):
    name: Path
    columns: tuple[str, ...]
    query: str
    or_replace: bool = False
    if_not_exists: bool = False
    definer: bool = False
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Drop(Statement):
    """DROP TABLE or DROP VIEW (``what``). ``purge`` also deletes the files."""

    what: str
    name: Path
    if_exists: bool
    purge: bool = False

    @property
    def kind(self) -> str:
        return f"DROP {self.what}"


@dataclass(frozen=True, slots=True)
class AlterTable(Statement):
    """ALTER TABLE or ALTER VIEW with one action.

    Attributes:
        action: ``ADD COLUMN``, ``DROP COLUMN``, ``RENAME COLUMN``, ``RENAME``, ``TYPE``,
            ``SET NOT NULL``, ``DROP NOT NULL``, ``SET DEFAULT``, ``DROP DEFAULT``,
            ``PARTITIONED BY``, ``SORTED BY``, ``SET PROPERTIES``, ``RESET PROPERTIES``.
    """

    name: Path
    action: str
    column: Path = ()
    definition: ColumnDefinition | None = None
    new_name: str | None = None
    type: str | None = None
    value: str | None = None
    items: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    if_exists: bool = False
    if_column_exists: bool = False
    if_column_missing: bool = False
    view: bool = False


@dataclass(frozen=True, slots=True)
class CommentOn(Statement):
    what: str
    name: Path
    comment: str | None


# --- sessions and transactions ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Commit(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Rollback(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Use(Statement):
    schema: Path


@dataclass(frozen=True, slots=True)
class SetRole(Statement):
    """SET ROLE name, or ALL (``None``)."""

    role: str | None


# --- governing ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateRole(Statement):
    name: str
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class DropRole(Statement):
    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class CreateUser(Statement):
    name: str
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class DropUser(Statement):
    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class GrantRole(Statement):
    """GRANT ROLE … TO {USER | ROLE} …; ``revoke`` for REVOKE … FROM."""

    role: str
    grantee: str
    to_user: bool
    revoke: bool = False

    @property
    def kind(self) -> str:
        return "REVOKE ROLE" if self.revoke else "GRANT ROLE"


@dataclass(frozen=True, slots=True)
class GrantPrivileges(Statement):
    """GRANT … ON … TO ROLE …; ``revoke`` for REVOKE … FROM ROLE.

    Attributes:
        privileges: pairs of a privilege and the columns it is for (empty for the whole).
        on: ``LAKE``, ``SCHEMA``, ``TABLE``, ``VIEW``, ``ALL TABLES``, ``FUTURE TABLES`` …
        name: the object, or the schema of ALL and FUTURE.
    """

    privileges: tuple[tuple[str, tuple[str, ...]], ...]
    on: str
    name: Path
    role: str
    revoke: bool = False
    grant_option: bool = False

    @property
    def kind(self) -> str:
        return "REVOKE" if self.revoke else "GRANT"


@dataclass(frozen=True, slots=True)
class ShowGrants(Statement):
    """SHOW GRANTS [ON kind name] [TO {ROLE | USER} name]."""

    on: str | None = None
    name: Path = ()
    to_role: str | None = None
    to_user: str | None = None
