"""Verifying the ledger: any changed, missing, moved or added record is found."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from lakehold.audit.chain import next_hash
from lakehold.audit.checkpoints import Checkpoint
from lakehold.audit.record import moment


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying found.

    Attributes:
        records: records that were checked.
        first_bad: number of the first record that is wrong.
        reason: what is wrong with it.
    """

    ok: bool
    records: int
    first_bad: int | None = None
    reason: str | None = None


Row = tuple[int, UUID, datetime, bytes, bytes]


def verify_chain(
    rows: Iterable[Row],
    key: bytes,
    head: tuple[int, bytes],
    checkpoints: list[Checkpoint],
    genuine: bool,
) -> Verification:
    """Check a chain against its head and its checkpoints, in bounded memory."""
    wanted = {point.seq: point.hash for point in checkpoints}
    before, last, count = b"", 0, 0

    def bad(seq: int, reason: str) -> Verification:
        return Verification(False, count, seq, reason)

    for seq, statement_id, at, body, hash_ in rows:
        if seq != last + 1:
            return bad(last + 1, "the record is missing")
        if not hmac.compare_digest(next_hash(key, seq, before, body), hash_):
            return bad(seq, "the record was changed, moved or forged")
        told = msgspec.json.decode(body)
        if told.get("id") != str(statement_id) or told.get("at") != moment(at):
            return bad(seq, "the record's columns do not say what its body says")
        if seq in wanted and wanted[seq] != hash_.hex():
            return bad(seq, "the record is not the one that the checkpoint saw")
        before, last, count = hash_, seq, count + 1
    if head != (last, before):
        reason = "records are missing at the end" if head[0] > last else "the head was moved back"
        return bad(last + 1, reason)
    newest = max(wanted, default=0)
    if newest > last:
        return bad(
            last + 1,
            f"records are missing at the end: a checkpoint saw record {newest} "
            "(or an older database was put back)",
        )
    if not genuine:
        return bad(0, "the checkpoint file was changed")
    return Verification(True, count)
