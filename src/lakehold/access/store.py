"""Access in PostgreSQL: all SQL on the schema ``access``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from lakehold.identity import Principal
from lakehold.policy import Facts, Grant, ObjectKind, Privilege
from lakehold.state import Connection


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as SHOW GRANTS lists it; ``future`` for what new objects of a schema get."""

    role: str
    privilege: Privilege
    kind: ObjectKind
    object_id: UUID | None
    field_id: int | None
    grant_option: bool
    future: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token without its secret."""

    id: UUID
    name: str
    principal: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class SecretRow:
    """What a presented secret is checked against."""

    id: UUID
    principal_id: UUID
    root: UUID | None
    kind: str
    digest: bytes
    expires_at: datetime | None
    revoked: bool
    last_used_at: datetime | None


def key_of(name: str) -> str:
    """A name as it is compared: ASCII letters in lower case, as the rest of SQL does."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


# --- facts ---


def version(conn: Connection) -> int:
    row = conn.execute("SELECT version FROM access.version").fetchone()
    assert row is not None
    return int(row[0])


def facts(conn: Connection) -> Facts:
    """All facts, in one statement: so that they are of one snapshot, whatever the isolation."""
    rows = conn.execute(
        """
        SELECT 1, version, NULL, NULL, NULL, NULL::uuid, NULL::integer, NULL::boolean
        FROM access.version
        UNION ALL
        SELECT 2, NULL, member, role, NULL, NULL, NULL, NULL FROM access.role_of_role
        UNION ALL
        SELECT 3, NULL, role, privilege, kind, object_id, field_id, grant_option
        FROM access.privilege
        """
    ).fetchall()
    version = 0
    inherits: dict[str, set[str]] = {}
    grants: list[Grant] = []
    for sort, number, role, what, kind, object_id, field_id, option in rows:
        if sort == 1:
            version = int(number)
        elif sort == 2:
            inherits.setdefault(role, set()).add(what)
        else:
            on = ObjectKind(kind)
            grants.append(Grant(role, Privilege(what), on, object_id, field_id, option))
    return Facts.of(version, inherits, grants)


# --- principals and roles ---


def principal(
    conn: Connection, *, key: str | None = None, id: UUID | None = None
) -> Principal | None:
    row = conn.execute(
        """
        SELECT p.id, p.name, p.attributes,
               coalesce(array_agg(r.role) FILTER (WHERE r.role IS NOT NULL), '{}')
        FROM access.principal p LEFT JOIN access.role_of_principal r ON r.principal_id = p.id
        WHERE p.key = %s OR p.id = %s
        GROUP BY p.id
        """,
        [key, id],
    ).fetchone()
    if row is None:
        return None
    attributes = tuple(sorted((str(k), str(v)) for k, v in row[2].items()))
    return Principal(row[0], row[1], frozenset(row[3]), attributes)


def users(conn: Connection) -> list[tuple[str, tuple[str, ...]]]:
    rows = conn.execute(
        """
        SELECT p.name,
               coalesce(array_agg(r.role ORDER BY r.role) FILTER (WHERE r.role IS NOT NULL), '{}')
        FROM access.principal p LEFT JOIN access.role_of_principal r ON r.principal_id = p.id
        GROUP BY p.id ORDER BY p.key
        """
    )
    return [(name, tuple(held)) for name, held in rows]


def roles(conn: Connection) -> list[tuple[str, tuple[str, ...]]]:
    rows = conn.execute(
        """
        SELECT r.name,
               coalesce(array_agg(h.role ORDER BY h.role) FILTER (WHERE h.role IS NOT NULL), '{}')
        FROM access.role r LEFT JOIN access.role_of_role h ON h.member = r.key
        GROUP BY r.key ORDER BY r.key
        """
    )
    return [(name, tuple(held)) for name, held in rows]


def create_role(conn: Connection, name: str, key: str) -> bool:
    """Make a role; false if there is one of that key. The transaction goes on either way."""
    done = conn.execute(
        "INSERT INTO access.role (name, key) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [name, key],
    )
    return done.rowcount == 1


def create_principal(
    conn: Connection, id: UUID, name: str, key: str, attributes: dict[str, str]
) -> bool:
    """Make a principal; false if there is one of that key."""
    done = conn.execute(
        """
        INSERT INTO access.principal (id, name, key, attributes) VALUES (%s, %s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        [id, name, key, Jsonb(attributes)],
    )
    return done.rowcount == 1


def drop_role(conn: Connection, key: str) -> bool:
    return conn.execute("DELETE FROM access.role WHERE key = %s", [key]).rowcount > 0


def drop_principal(conn: Connection, key: str) -> bool:
    return conn.execute("DELETE FROM access.principal WHERE key = %s", [key]).rowcount > 0


def role_exists(conn: Connection, key: str, *, keep: bool = False) -> bool:
    """Whether there is a role; with ``keep`` it stays until the transaction ends."""
    query = "SELECT 1 FROM access.role WHERE key = %s" + (" FOR KEY SHARE" if keep else "")
    return conn.execute(query, [key]).fetchone() is not None


def add_role_to_principal(conn: Connection, principal_id: UUID, role: str) -> None:
    conn.execute(
        """
        INSERT INTO access.role_of_principal (principal_id, role) VALUES (%s, %s)
        ON CONFLICT DO NOTHING
        """,
        [principal_id, role],
    )


def remove_role_from_principal(conn: Connection, principal_id: UUID, role: str) -> None:
    conn.execute(
        "DELETE FROM access.role_of_principal WHERE principal_id = %s AND role = %s",
        [principal_id, role],
    )


def add_role_to_role(conn: Connection, member: str, role: str) -> None:
    conn.execute(
        "INSERT INTO access.role_of_role (member, role) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [member, role],
    )


def remove_role_from_role(conn: Connection, member: str, role: str) -> None:
    conn.execute(
        "DELETE FROM access.role_of_role WHERE member = %s AND role = %s",
        [member, role],
    )


def inherits(conn: Connection, member: str, role: str) -> bool:
    """Whether ``member`` has ``role``, directly or through others. Locks against races."""
    conn.execute("LOCK TABLE access.role_of_role IN SHARE ROW EXCLUSIVE MODE")
    row = conn.execute(
        """
        WITH RECURSIVE held (role) AS (
            SELECT %s::text COLLATE "C"
            UNION
            SELECT r.role FROM access.role_of_role r JOIN held h ON r.member = h.role
        )
        SELECT 1 FROM held WHERE role = %s
        """,
        [member, role],
    ).fetchone()
    return row is not None


def count_of_role(conn: Connection, role: str) -> int:
    """How many principals were granted a role; locks against races."""
    conn.execute("LOCK TABLE access.role_of_principal IN SHARE ROW EXCLUSIVE MODE")
    row = conn.execute(
        "SELECT count(*) FROM access.role_of_principal WHERE role = %s", [role]
    ).fetchone()
    assert row is not None
    return int(row[0])


# --- grants ---


def grant(
    conn: Connection,
    role: str,
    privilege: str,
    kind: str,
    object_id: UUID | None,
    field_ids: Sequence[int | None],
    grant_option: bool,
) -> None:
    for field_id in field_ids:
        conn.execute(
            """
            INSERT INTO access.privilege (role, privilege, kind, object_id, field_id, grant_option)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (role, privilege, object_id, field_id)
            DO UPDATE SET grant_option = access.privilege.grant_option OR excluded.grant_option
            """,
            [role, privilege, kind, object_id, field_id, grant_option],
        )


def revoke(
    conn: Connection,
    role: str,
    privilege: str,
    object_id: UUID | None,
    field_ids: Sequence[int] | None,
) -> int:
    """Remove a grant; without ``field_ids`` also those on columns."""
    return conn.execute(
        """
        DELETE FROM access.privilege
        WHERE role = %s AND privilege = %s AND object_id IS NOT DISTINCT FROM %s
          AND (%s::integer[] IS NULL OR field_id = ANY (%s::integer[]))
        """,
        [
            role,
            privilege,
            object_id,
            None if field_ids is None else list(field_ids),
            None if field_ids is None else list(field_ids),
        ],
    ).rowcount


def grant_future(conn: Connection, schema_id: UUID, kind: str, privilege: str, role: str) -> None:
    conn.execute(
        """
        INSERT INTO access.future_privilege (schema_id, kind, privilege, role)
        VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        [schema_id, kind, privilege, role],
    )


def revoke_future(conn: Connection, schema_id: UUID, kind: str, privilege: str, role: str) -> None:
    conn.execute(
        """
        DELETE FROM access.future_privilege
        WHERE schema_id = %s AND kind = %s AND privilege = %s AND role = %s
        """,
        [schema_id, kind, privilege, role],
    )


def apply_future(conn: Connection, schema_id: UUID, kind: str, object_id: UUID) -> None:
    conn.execute(
        """
        INSERT INTO access.privilege (role, privilege, kind, object_id)
        SELECT role, privilege, kind, %s FROM access.future_privilege
        WHERE schema_id = %s AND kind = %s
        ON CONFLICT DO NOTHING
        """,
        [object_id, schema_id, kind],
    )


def forget_objects(conn: Connection, ids: Iterable[UUID]) -> None:
    wanted = list(ids)
    if not wanted:
        return
    conn.execute("DELETE FROM access.privilege WHERE object_id = ANY (%s)", [wanted])
    conn.execute("DELETE FROM access.future_privilege WHERE schema_id = ANY (%s)", [wanted])


def grants(conn: Connection, role: str | None, object_id: UUID | None) -> list[GrantRow]:
    rows = conn.execute(
        """
        SELECT role, privilege, kind, object_id, field_id, grant_option, false
        FROM access.privilege
        WHERE (%(role)s::text IS NULL OR role = %(role)s)
          AND (%(object)s::uuid IS NULL OR object_id = %(object)s)
        UNION ALL
        SELECT role, privilege, kind, schema_id, NULL, false, true
        FROM access.future_privilege
        WHERE (%(role)s::text IS NULL OR role = %(role)s)
          AND (%(object)s::uuid IS NULL OR schema_id = %(object)s)
        ORDER BY 1, 4 NULLS FIRST, 2, 5
        """,
        {"role": role, "object": object_id},
    )
    return [
        GrantRow(r, Privilege(p), ObjectKind(k), o, f, option, future)
        for r, p, k, o, f, option, future in rows
    ]


# --- tokens ---


def add_token(
    conn: Connection,
    id: UUID,
    principal_id: UUID,
    root: UUID | None,
    name: str,
    kind: str,
    digest: bytes,
    created_at: datetime,
    expires_at: datetime | None,
) -> bool:
    """Keep a token; false if there is no such principal any more."""
    done = conn.execute(
        """
        INSERT INTO access.token
            (id, principal_id, root, name, kind, digest, created_at, expires_at)
        SELECT %s, p.id, %s, %s, %s, %s, %s, %s FROM access.principal p WHERE p.id = %s
        FOR KEY SHARE
        """,
        [id, root, name, kind, digest, created_at, expires_at, principal_id],
    )
    return done.rowcount == 1


def secret(conn: Connection, id: UUID) -> SecretRow | None:
    """A token; one that was made from another is revoked and expires with it."""
    row = conn.execute(
        """
        SELECT t.id, t.principal_id, t.root, t.kind, t.digest,
               least(t.expires_at, r.expires_at),
               t.revoked_at IS NOT NULL OR r.revoked_at IS NOT NULL, t.last_used_at
        FROM access.token t LEFT JOIN access.token r ON r.id = t.root
        WHERE t.id = %s
        """,
        [id],
    ).fetchone()
    return None if row is None else SecretRow(*row)


def used(conn: Connection, id: UUID, at: datetime) -> None:
    """Note that a token was used; does not wait for one who notes the same."""
    conn.execute(
        """
        UPDATE access.token SET last_used_at = %s WHERE id =
            (SELECT id FROM access.token WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED)
        """,
        [at, id],
    )


def revoke_token(conn: Connection, id: UUID, at: datetime, principal_id: UUID | None) -> bool:
    """Revoke a token, of one principal if given; false if there is none."""
    found = conn.execute(
        """
        UPDATE access.token SET revoked_at = coalesce(revoked_at, %s)
        WHERE id = %s AND kind <> 'bootstrap' AND (%s::uuid IS NULL OR principal_id = %s)
        """,
        [at, id, principal_id, principal_id],
    )
    return found.rowcount > 0


def revoke_kind(conn: Connection, kind: str, at: datetime) -> None:
    conn.execute(
        "UPDATE access.token SET revoked_at = %s WHERE kind = %s AND revoked_at IS NULL",
        [at, kind],
    )


def burn(conn: Connection, id: UUID, at: datetime) -> bool:
    """Use up a one-time secret; false if it was used before."""
    found = conn.execute(
        "UPDATE access.token SET revoked_at = %s WHERE id = %s AND revoked_at IS NULL", [at, id]
    )
    return found.rowcount == 1


def forget_expired(conn: Connection, before: datetime, at_most: int) -> None:
    """Remove some short-lived tokens that expired before a moment."""
    conn.execute(
        """
        DELETE FROM access.token WHERE id IN (
            SELECT id FROM access.token WHERE kind = 'access' AND expires_at < %s
            LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        [before, at_most],
    )


def tokens(conn: Connection, principal_id: UUID | None) -> list[TokenRow]:
    rows = conn.execute(
        """
        SELECT t.id, t.name, p.name, t.created_at, t.expires_at,
               (SELECT max(u.last_used_at) FROM access.token u WHERE t.id IN (u.id, u.root))
        FROM access.token t JOIN access.principal p ON p.id = t.principal_id
        WHERE t.kind = 'token' AND t.revoked_at IS NULL
          AND (%s::uuid IS NULL OR t.principal_id = %s)
        ORDER BY t.created_at, t.id
        """,
        [principal_id, principal_id],
    )
    return [TokenRow(*row) for row in rows]


def any_principal(conn: Connection) -> bool:
    """Whether the platform was ever started."""
    return conn.execute("SELECT 1 FROM access.principal LIMIT 1").fetchone() is not None
