"""What outside engines are told about the store that holds the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StorageOffer:
    """Settings for an engine's file access, in the names of Iceberg's FileIO properties.

    Attributes:
        prefix: the location that they are for.
        settings: no secrets: ``s3.endpoint``, ``s3.region``, ``s3.path-style-access``.
        credentials: ``s3.access-key-id`` and the like. Empty unless the operator wants static
            credentials handed to whoever may load a table: they open every table's files.
    """

    prefix: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def config(self, *, delegated: bool) -> dict[str, str]:
        """The ``config`` of a loaded table.

        Args:
            delegated: whether the client asked for ``vended-credentials``.
        """
        return dict(self.settings) | (dict(self.credentials) if delegated else {})

    def storage_credentials(self) -> list[dict[str, object]]:
        """The ``storage-credentials`` of a loaded table."""
        if not self.credentials:
            return []
        config = dict(self.settings) | dict(self.credentials)
        return [{"prefix": self.prefix, "config": config}]
