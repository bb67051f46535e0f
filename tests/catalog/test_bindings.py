"""An engine's connection may do what it is bound to, and nothing else."""

from __future__ import annotations

import pytest

from lakehold.catalog import Catalog, WriteBindings
from tests.catalog.lake import create


def test_a_token_reaches_its_own_transaction_only(catalog: Catalog) -> None:
    table = create(catalog, "t")
    first, second = catalog.begin(), catalog.begin()
    bindings = WriteBindings()
    bindings.bind("one", first, frozenset({table.id}))
    bindings.bind("two", second, frozenset())
    found = bindings.get("one")
    assert found is not None
    assert (found.transaction, found.allowed) == (first, frozenset({table.id}))
    for wrong in ("", "on", "one ", "One", "öne", "\udcff"):
        assert bindings.get(wrong) is None
    bindings.unbind("one")
    bindings.unbind("one")
    assert bindings.get("one") is None
    assert bindings.get("two") is not None


def test_a_connection_is_never_bound_twice(catalog: Catalog) -> None:
    bindings = WriteBindings()
    bindings.bind("one", catalog.begin(), frozenset())
    with pytest.raises(RuntimeError):
        bindings.bind("one", catalog.begin(), frozenset())
