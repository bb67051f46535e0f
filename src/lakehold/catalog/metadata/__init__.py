"""The update engine: Iceberg metadata as plain JSON, in and out. Pure.

Metadata is never parsed into models: what this version of Lakehold does not know stays as it
is (a v3 table is not destroyed by a commit), and a commit costs what it changes, not what
the table holds. Nothing here changes its arguments.

Sources: Apache Iceberg's table spec, view spec, and REST catalog OpenAPI (``TableUpdate``,
``TableRequirement``, ``ViewUpdate``, ``ViewRequirement``).
"""

from __future__ import annotations

from lakehold.catalog.metadata.clauses import (
    partition_spec,
    partition_texts,
    sort_order,
    sort_texts,
)
from lakehold.catalog.metadata.create import new_table_metadata
from lakehold.catalog.metadata.finish import finish_commit
from lakehold.catalog.metadata.requirements import check_requirements, check_view_requirements
from lakehold.catalog.metadata.updates import apply_updates
from lakehold.catalog.metadata.views import apply_view_updates, new_view_metadata

__all__ = [
    "apply_updates",
    "apply_view_updates",
    "check_requirements",
    "check_view_requirements",
    "finish_commit",
    "new_table_metadata",
    "new_view_metadata",
    "partition_spec",
    "partition_texts",
    "sort_order",
    "sort_texts",
]
