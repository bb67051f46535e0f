"""``/health`` and ``/ready``: is the process alive, and is each part it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from litestar import Response, Router, get

from lakehold.errors import LakeholdError
from lakehold.server.errors import as_lakehold_error


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class PartState(msgspec.Struct, frozen=True):
    """A part: ``ok``, or ``failing`` with a reason."""

    status: str
    reason: str | None = None


class Readiness(msgspec.Struct, frozen=True):
    """``ready`` if every part is well."""

    status: str
    parts: dict[str, PartState]


def health_routes(parts: Mapping[str, Callable[[], object]]) -> Router:
    """``/health``, ``/ready``. Open to everybody: they tell nothing but names of parts.

    Args:
        parts: by name, a check that raises if the part cannot be used. May block.
    """

    @get("/health", sync_to_thread=False, summary="Is the process alive")
    def health() -> Health:
        return Health("ok")

    @get("/ready", sync_to_thread=True, summary="Is every part usable")
    def ready() -> Response[Readiness]:
        states = {name: _state(check) for name, check in parts.items()}
        well = all(state.status == "ok" for state in states.values())
        readiness = Readiness("ready" if well else "unready", states)
        return Response(readiness, status_code=200 if well else 503)

    return Router("/", route_handlers=[health, ready])


def _state(check: Callable[[], object]) -> PartState:
    try:
        check()
    except LakeholdError as error:
        return PartState("failing", error.message)
    except Exception as error:
        return PartState("failing", as_lakehold_error(error).message)
    return PartState("ok")
