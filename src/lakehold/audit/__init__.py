"""The ledger: one record for every statement, chained so that no change goes unseen."""

from __future__ import annotations

from lakehold.audit.ledger import Ledger
from lakehold.audit.record import StatementOutcome, StatementStart, StatementTicket
from lakehold.audit.verification import Verification

__all__ = ["Ledger", "StatementOutcome", "StatementStart", "StatementTicket", "Verification"]
