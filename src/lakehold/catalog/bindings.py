"""Which engine connection writes in which lake transaction, to which tables."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from threading import Lock
from uuid import UUID

from lakehold.catalog.transaction import LakeTransaction


@dataclass(frozen=True, slots=True)
class Binding:
    """What an engine connection may do now.

    Attributes:
        allowed: ids of the tables it may load and commit to; nothing else exists for it.
    """

    transaction: LakeTransaction
    allowed: frozenset[UUID]


class WriteBindings:
    """Bindings by the connection's secret token. Thread safe.

    A token that is not bound may do nothing.
    """

    def __init__(self) -> None:
        self._bindings: dict[str, Binding] = {}
        self._lock = Lock()

    def bind(self, token: str, transaction: LakeTransaction, allowed: frozenset[UUID]) -> None:
        """Let the connection with ``token`` write to ``allowed`` within ``transaction``."""
        with self._lock:
            if token in self._bindings:
                raise RuntimeError("the connection is bound already")
            self._bindings[token] = Binding(transaction, allowed)

    def unbind(self, token: str) -> None:
        """Take all rights from the connection; nothing happens if it has none."""
        with self._lock:
            self._bindings.pop(token, None)

    def get(self, token: str) -> Binding | None:
        """The binding of a token, compared in constant time."""
        given = token.encode("utf-8", "surrogateescape")
        with self._lock:
            candidates = list(self._bindings.items())
        found = None
        for known, binding in candidates:
            if hmac.compare_digest(known.encode(), given):
                found = binding
        return found
