"""Logs: for people on a terminal, as JSON lines in the platform's folder. Never secrets."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from lakehold.settings import Settings

FILE_BYTES = 20 * 1024 * 1024
FILES = 5
GUESTS = ("lakehold", "uvicorn", "litestar", "psycopg.pool")
"""The loggers that are ours in a process that is another's."""

_TOKEN = re.compile(r"lh_[0-9a-f]{32}_[0-9a-f]+")


def configure(settings: Settings, *, guest: bool = False) -> None:
    """Send logs to ``dir/log/lakehold.jsonl``, and warnings to standard error.

    Args:
        guest: whether this process is another's (``lakehold.open``): then its own logging is
            left as it is, and nothing of ours goes to standard error.
    """
    folder = settings.dir / "log"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    to_file = logging.handlers.RotatingFileHandler(
        folder / "lakehold.jsonl", maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"
    )
    os.chmod(folder / "lakehold.jsonl", 0o600)
    to_file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_secrets,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(max(level, logging.WARNING))
    to_terminal.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Not the one that shows variables: they may hold tokens and people's data.
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
                ),
            ],
        )
    )
    if guest:
        for name in GUESTS:
            logger = logging.getLogger(name)
            logger.handlers = [to_file]
            logger.propagate = False
            logger.setLevel(level)
    else:
        root = logging.getLogger()
        root.handlers = [to_file, to_terminal]
        root.setLevel(level)
    # The pool's own words about lost connections: the statements say the same, once each.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    # Two servers that tell of their start and their end in many words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _without_secrets(
    _: object, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Tokens never reach a log, whoever put them into a message."""
    for key, value in event.items():
        if isinstance(value, str) and "lh_" in value:
            event[key] = _TOKEN.sub("lh_…", value)
    return event
