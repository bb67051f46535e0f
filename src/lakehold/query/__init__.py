"""The gateway: parse, bind, authorize, rewrite, route, run, record."""

from __future__ import annotations

from lakehold.query.gateway import Gateway, Parameters
from lakehold.query.result import Result, ResultColumn
from lakehold.query.running import RunningStatement

__all__ = ["Gateway", "Parameters", "Result", "ResultColumn", "RunningStatement"]
