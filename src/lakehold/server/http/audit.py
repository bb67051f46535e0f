"""``/v1/audit/verify``: is the ledger whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Router, get

from lakehold.errors import PermissionDenied
from lakehold.identity import Principal

if TYPE_CHECKING:
    from lakehold.audit import Ledger
    from lakehold.query import Gateway


class VerificationAnswer(msgspec.Struct, frozen=True):
    """What the verification of the ledger found.

    Attributes:
        ok: no record was changed, removed or moved.
        records: records that were read.
        first_bad: the number of the first record that is wrong.
        reason: what is wrong with it.
    """

    ok: bool
    records: int
    first_bad: int | None
    reason: str | None


def audit_routes(ledger: Ledger, gateway: Gateway) -> Router:
    """``/v1/audit``; for administrators."""

    @get("/verify", sync_to_thread=True, summary="Verify the ledger's hash chain")
    def verify(request: Request[Principal, Any, Any]) -> VerificationAnswer:
        if not gateway.is_administrator(request.user):
            raise PermissionDenied("only an administrator may verify the ledger")
        found = ledger.verify()
        return VerificationAnswer(found.ok, found.records, found.first_bad, found.reason)

    return Router("/audit", route_handlers=[verify])
