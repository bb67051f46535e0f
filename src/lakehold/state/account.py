"""The account that runs the embedded PostgreSQL, and its way to the folders it needs.

PostgreSQL refuses to run as root. Where Lakehold runs as root (containers, CI), the server runs
as an account without rights, which must be able to walk to its data and to its programs.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from lakehold.errors import ConfigurationInvalid

log = structlog.get_logger(__name__)

CANDIDATES = ("lakehold", "postgres", "embedded_postgres", "nobody")
"""Accounts that a server of root's may run as, the most fitting first."""

ACL = "system.posix_acl_access"
"""The extended attribute that holds a folder's access control list (Linux, ``acl(5)``)."""

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NOBODY_NAMED = 0xFFFFFFFF
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_SEARCH = 1


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system that is not our own."""

    name: str
    uid: int
    gid: int


def server_account(data: Path) -> Account | None:
    """Who is to run the server of a data folder; ``None`` for ourselves.

    Root lets the owner of an existing folder run it, else the first of ``CANDIDATES``.

    Raises:
        ConfigurationInvalid: if we are root and there is nobody else.
    """
    if os.geteuid() != 0:
        return None
    owner = _owner(data)
    names = (*([owner] if owner is not None else []), *CANDIDATES)
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ConfigurationInvalid(
        "PostgreSQL does not run as root, and there is no other account",
        hint="run Lakehold as a user of its own",
    )


def make_reachable(places: Iterable[Path], account: Account) -> None:
    """Let an account walk through the folders above some places; it can list none of them.

    Only that account is let through where the file system keeps access control lists. Where it
    keeps none, everybody is, and the log says so.
    """
    for parent in sorted({parent for place in places for parent in place.parents}):
        found = parent.stat()
        if found.st_mode & stat.S_IXOTH or found.st_uid == account.uid:
            continue
        try:
            _let_through(parent, account.uid)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            os.chmod(parent, stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
            log.warning("folder_opened_for_search", folder=str(parent), account=account.name)


def _owner(data: Path) -> str | None:
    try:
        uid = data.stat().st_uid
        return pwd.getpwuid(uid).pw_name if uid != 0 else None
    except (OSError, KeyError):
        return None


def _let_through(folder: Path, uid: int) -> None:
    """Add search permission for one user to a folder's list (``acl(5)``, the kernel's form)."""
    if not hasattr(os, "setxattr"):
        raise OSError(errno.ENOSYS, "no access control lists")
    entries = _entries(folder)
    entries[_USER, uid] = entries.get((_USER, uid), 0) | _SEARCH
    of_group = (_USER, _OWNING_GROUP, _GROUP)
    widest = 0
    for (tag, _), rights in entries.items():
        widest |= rights if tag in of_group else 0
    # A mask that is there narrows the others on purpose: it is widened by search alone.
    mask = (_MASK, _NOBODY_NAMED)
    entries[mask] = entries.get(mask, widest) | _SEARCH
    packed = [_ENTRY.pack(tag, rights, who) for (tag, who), rights in sorted(entries.items())]
    os.setxattr(folder, ACL, _VERSION.pack(2) + b"".join(packed))


def _entries(folder: Path) -> dict[tuple[int, int], int]:
    """A folder's list by tag and user; made from its mode if it has none."""
    try:
        packed = os.getxattr(folder, ACL)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        mode = folder.stat().st_mode
        return {
            (_OWNER, _NOBODY_NAMED): mode >> 6 & 7,
            (_OWNING_GROUP, _NOBODY_NAMED): mode >> 3 & 7,
            (_OTHER, _NOBODY_NAMED): mode & 7,
        }
    return {(tag, who): rights for tag, rights, who in _ENTRY.iter_unpack(packed[_VERSION.size :])}
