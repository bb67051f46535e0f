"""What an engine gives back: typed columns and a stream of Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class EngineColumn:
    """A column of a result.

    Attributes:
        name: its name.
        type: its SQL type as the engine writes it, such as ``DECIMAL(10,2)``.
    """

    name: str
    type: str


class EngineResult(Protocol):
    """A running statement. Batches are produced as they are asked for."""

    @property
    def columns(self) -> tuple[EngineColumn, ...]: ...

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows. Raises a ``LakeholdError`` if the engine fails on the way."""
        ...

    def progress(self) -> float | None:
        """The share that is done, 0 to 1; ``None`` if the engine cannot tell."""
        ...

    def interrupt(self) -> None:
        """Stop the statement; may be called from any thread, any number of times."""
        ...

    def close(self) -> None:
        """Release everything. Idempotent."""
        ...
