"""The catalog for engines outside: every operation authorized, done, and recorded once.

An engine that reads and writes the files of a table itself cannot be held to a part of it. So
it gets a table's metadata only for a principal who may read the whole table, and commits only
with the privileges that the commit's updates ask for (invariant 8). What a principal may not
know of is answered like what is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehold.identity import Session
from lakehold.query.governed_catalog.namespaces import Namespaces
from lakehold.query.governed_catalog.operation import Operations
from lakehold.query.governed_catalog.tables import (
    LoadedTable,
    TableCommit,
    TableRequest,
    Tables,
)
from lakehold.query.governed_catalog.views import LoadedView, Views

if TYPE_CHECKING:
    from lakehold.query.gateway import Gateway

__all__ = ["GovernedCatalog", "LoadedTable", "LoadedView", "TableCommit", "TableRequest"]


class GovernedCatalog:
    """The catalog as one session may use it.

    Attributes:
        namespaces: schemas.
        tables: tables; commits of one or of several.
        views: views.
    """

    def __init__(self, gateway: Gateway, session: Session) -> None:
        operations = Operations(gateway, session)
        self.namespaces = Namespaces(operations)
        self.tables = Tables(operations)
        self.views = Views(operations)
