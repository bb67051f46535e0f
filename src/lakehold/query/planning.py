"""Plans: governed text that can run again as long as nothing that it rests on has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from lakehold.names import TableName
from lakehold.query.binding import Binder, Scan
from lakehold.query.scope import Scope
from lakehold.query.verification import verify

PLANS_MAX = 2_000
"""Plans that are kept."""

PLAN_TEXT_MAX = 64 * 1024
"""Longer statements are planned anew each time, so that the cache stays small (characters)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement as the engine will get it.

    Attributes:
        text: governed SQL, with marks where the tables' pointers go.
        scans: what the marks stand for.
        dependencies: relations with the structure version that the plan rests on.
        facts_version: the version of the grants that it rests on.
        reads: tables and columns that it may read.
        system: relations of the platform that it reads: name in the engine to name in SQL.
        lasting: whether it may be used again.
        definers: views in it that run with their owner's rights.
    """

    text: str
    scans: tuple[Scan, ...]
    dependencies: Mapping[UUID, int]
    facts_version: int
    reads: Mapping[TableName, frozenset[str]]
    system: Mapping[str, str]
    lasting: bool
    reasons: tuple[str, ...]
    definers: frozenset[TableName] = frozenset()

    def render(self, pointers: Mapping[UUID, str]) -> str:
        """The text with the tables' present pointers in it."""
        text = self.text
        for scan in self.scans:
            text = text.replace(scan.mark, pointers[scan.relation].replace("'", "''"))
        return text


def plan_query(text: str, scope: Scope) -> Plan:
    """Plan a query: parse, bind, authorize, rewrite, verify.

    Raises:
        LakeholdError: what is wrong with the statement, or not allowed.
    """
    binder = Binder()
    tree = binder.bind(scope.parser.tree(text), scope)
    return finish(scope.parser.text(tree), binder, scope)


def finish(text: str, binder: Binder, scope: Scope) -> Plan:
    """Verify a rewritten query and make it a plan."""
    bound = binder.bound
    verify(
        scope.parser.tree(text),
        relations={*bound.system, *scope.inputs},
        scans=frozenset(bound.scans),
    )
    return as_plan(text, binder, scope)


def as_plan(text: str, binder: Binder, scope: Scope) -> Plan:
    """Make a plan of verified text."""
    bound = binder.bound
    return Plan(
        text=text,
        scans=tuple(bound.scans.values()),
        dependencies=dict(bound.dependencies),
        facts_version=scope.facts.version,
        reads=dict(bound.reads),
        system=dict(bound.system),
        lasting=bound.lasting and len(text) <= PLAN_TEXT_MAX,
        reasons=tuple(dict.fromkeys(bound.reasons)),
        definers=frozenset(bound.definers),
    )


class PlanCache:
    """The plans used last, by statement and by all of the session that they depend on."""

    def __init__(self, size: int = PLANS_MAX) -> None:
        self._size = size
        self._plans: OrderedDict[object, Plan] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def key(text: str, scope_roles: frozenset[str], schema: str, principal: UUID) -> object:
        """What a plan depends on besides versions."""
        return text, scope_roles, schema, principal

    def get(self, key: object) -> Plan | None:
        with self._lock:
            plan = self._plans.get(key)
            if plan is not None:
                self._plans.move_to_end(key)
            return plan

    def put(self, key: object, plan: Plan) -> None:
        if not plan.lasting:
            return
        with self._lock:
            self._plans[key] = plan
            self._plans.move_to_end(key)
            while len(self._plans) > self._size:
                self._plans.popitem(last=False)

    def drop(self, key: object) -> None:
        with self._lock:
            self._plans.pop(key, None)
