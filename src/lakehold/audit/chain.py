"""The chain of records, pure: how each is bound to the one before, and the verification.

``hash_n = HMAC-SHA256(key, hash_(n-1) || canonical form of record n)``; the canonical form
holds the record's number. ``hash_0`` is 32 zero bytes. Without the key, which PostgreSQL never
sees, no record can be made or changed so that its hash fits (RFC 2104).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from lakehold.audit.record import Record, canonical, moment, parse, searchable

GENESIS = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: the number and the hash of the last record."""

    seq: int
    hash: bytes


START = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Link:
    """A record as it is stored."""

    seq: int
    key: UUID
    at: datetime
    principal: str
    status: str
    tables: list[str]
    record: str
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes:
        ok: whether nothing was changed, removed, moved, or added by someone else.
        records: records that were checked, up to the first bad one.
        first_bad: the number of the first record that is wrong or missing.
        what: ``changed``, ``missing``, ``reordered``, ``truncated``, ``forged`` or
            ``replaced``; ``None`` if nothing is wrong.
        reason: the same as a sentence.
    """

    ok: bool
    records: int
    first_bad: int | None = None
    what: str | None = None
    reason: str | None = None


def hash_of(key: bytes, previous: bytes, record: bytes) -> bytes:
    """The hash of a record after another."""
    return hmac.digest(key, previous + record, "sha256")


def extend(key: bytes, head: Head, entries: Sequence[dict[str, Any]]) -> tuple[list[Link], Head]:
    """Chain records onto a head; returns the links and the new head.

    Args:
        entries: the fields of the records, without ``seq``.
    """
    links = []
    for fields in entries:
        record = Record(seq=head.seq + 1, **fields)
        text = canonical(record)
        link = Link(
            seq=record.seq,
            key=UUID(record.key),
            at=datetime.fromisoformat(record.started_at),
            principal=searchable(record.principal),
            status=searchable(record.status),
            tables=record.tables,
            record=text.decode(),
            previous=head.hash,
            hash=hash_of(key, head.hash, text),
        )
        links.append(link)
        head = Head(link.seq, link.hash)
    return links, head


def verify(
    key: bytes,
    links: Iterable[Link],
    head: Head,
    checkpoints: Iterator[Head],
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check a chain from its beginning, in bounded memory; stops at the first that is wrong.

    Args:
        links: all of them by number.
        head: what PostgreSQL says is the last.
        checkpoints: ends of the chain that were seen before, ascending.
    """
    before, checked = START, 0
    seen = next(checkpoints, None)
    stream = iter(links)
    for link in stream:
        wrong = _wrong(key, link, before, head, stream)
        if wrong is not None:
            return Verification(False, checked, before.seq + 1, *wrong)
        before, checked = Head(link.seq, link.hash), checked + 1
        while seen is not None and seen.seq <= link.seq:
            if seen.seq == link.seq and not hmac.compare_digest(seen.hash, link.hash):
                return _replaced(checked, seen)
            seen = next(checkpoints, None)
        if progress is not None and checked % 10_000 == 0:
            progress(checked)
    if head.seq > before.seq:
        reason = f"records {before.seq + 1} to {head.seq} are missing at the end"
        return Verification(False, checked, before.seq + 1, "truncated", reason)
    if head.seq != before.seq or head.hash != before.hash:
        reason = f"the head says that record {head.seq} is the last, but it is {before.seq}"
        return Verification(False, checked, head.seq + 1, "changed", reason)
    if seen is not None:
        reason = (
            f"the ledger ends with record {before.seq}, but a checkpoint has seen record "
            f"{seen.seq}: the end was cut off, or an older copy was restored"
        )
        return Verification(False, checked, before.seq + 1, "truncated", reason)
    return Verification(True, checked)


def _replaced(checked: int, seen: Head) -> Verification:
    reason = (
        f"record {seen.seq} is not the one that a checkpoint has seen: an older copy was "
        "restored and written on"
    )
    return Verification(False, checked, seen.seq, "replaced", reason)


def _wrong(
    key: bytes, link: Link, before: Head, head: Head, rest: Iterator[Link]
) -> tuple[str, str] | None:
    """What is wrong with a link after another: a word and a sentence."""
    expected = before.seq + 1
    if link.seq > expected:
        last = link.seq - 1
        which = f"record {expected} is" if last == expected else f"records {expected} to {last} are"
        return "missing", f"{which} missing"
    if link.seq < expected:
        return "reordered", f"record {link.seq} comes after record {before.seq}"
    genuine = hmac.compare_digest(
        hash_of(key, link.previous, link.record.encode("utf-8", "surrogatepass")),
        link.hash,
    )
    if not genuine:
        after = next(rest, None)
        follows = after.previous if after is not None else head.hash
        if link.hash == follows or link.previous == before.hash and link.seq <= head.seq:
            which = " (or, being the last, forged)" if after is None else ""
            return "changed", f"record {link.seq} was changed{which}"
        return "forged", f"record {link.seq} was not written by this platform"
    try:
        record = parse(link.record)
    except msgspec.DecodeError:
        # The key was used on it, but for something else: it is no record.
        return "forged", f"record {link.seq} is no record"
    if record.seq != link.seq:
        return (
            "reordered",
            f"at number {link.seq} stands the record that had {record.seq}",
        )
    if link.previous != before.hash:
        return "forged", f"record {link.seq} does not follow record {before.seq}"
    differs = _differs(link, record)
    if differs is not None:
        return "changed", f"column {differs} of record {link.seq} was changed"
    return None


def _differs(link: Link, record: Record) -> str | None:
    """The column that does not repeat what the record says."""
    pairs = {
        "key": (str(link.key), record.key),
        "at": (moment(link.at), record.started_at),
        "principal": (link.principal, searchable(record.principal)),
        "status": (link.status, searchable(record.status)),
        "tables": (link.tables, record.tables),
    }
    return next((name for name, (stored, said) in pairs.items() if stored != said), None)
