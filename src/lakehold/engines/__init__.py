"""Engines run given SQL over given data. They know no users and no policy."""

from __future__ import annotations

from lakehold.engines.result import EngineColumn, EngineResult

__all__ = ["EngineColumn", "EngineResult"]
