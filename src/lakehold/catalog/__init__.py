"""Schemas, tables, views and snapshots; the only writer of Iceberg metadata."""

from lakehold.catalog.bindings import Binding, WriteBindings
from lakehold.catalog.catalog import Catalog
from lakehold.catalog.lifecycle import Savepoint, Touched, TransactionState
from lakehold.catalog.relation import Column, Pointer, Relation, Schema, ViewDefinition
from lakehold.catalog.store import Dropped
from lakehold.catalog.sweep import SweepReport
from lakehold.catalog.transaction import LakeTransaction

__all__ = [
    "Binding",
    "Catalog",
    "Column",
    "Dropped",
    "LakeTransaction",
    "Pointer",
    "Relation",
    "Savepoint",
    "Schema",
    "SweepReport",
    "Touched",
    "TransactionState",
    "ViewDefinition",
    "WriteBindings",
]
