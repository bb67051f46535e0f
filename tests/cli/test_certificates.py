"""Servers with a certificate of one's own authority."""

from __future__ import annotations

import pytest

from lakehold.cli.profiles import trusted


def test_the_authority_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOLD_CA", raising=False)
    assert trusted() is True
    monkeypatch.setenv("LAKEHOLD_CA", "/etc/ca.pem")
    assert trusted() == "/etc/ca.pem"
