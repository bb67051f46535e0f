"""The ledger: one record for each statement, chained by keyed hashes (invariants 1 and 10)."""

from __future__ import annotations

from lakehold.audit.chain import Verification
from lakehold.audit.ledger import Ledger, StatementTicket
from lakehold.audit.record import StatementOutcome, StatementStart

__all__ = [
    "Ledger",
    "StatementOutcome",
    "StatementStart",
    "StatementTicket",
    "Verification",
]
