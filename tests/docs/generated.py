"""The parts of the reference that come from the code. ``python tests/docs/generated.py`` writes them.

A page holds ``<!-- from the code: settings -->`` … ``<!-- end -->``; what stands between is
made here, and a test fails if it is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
_MARKED = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(*titles: str) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]


def _one_tick(text: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"`\1`", text)


# --- settings ---------------------------------------------------------------------------


def attributes(kind: type[Any]) -> dict[str, str]:
    """The attributes that a class's docstring describes, each with its text."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(text).splitlines() if text else []:
        head = re.match(r"((?:\w+, )*\w+): (.*)", line)
        if head:
            names = head[1].split(", ")
            found |= dict.fromkeys(names, head[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def settings() -> str:
    """Every setting: its key, type, default and meaning."""
    from lakehold.settings import Settings

    described = attributes(Settings)
    kinds = get_type_hints(Settings)
    lines = _table("setting", "type", "default", "meaning")
    for item in fields(Settings):
        default = item.default if item.default is not MISSING else ""
        names = {kind.__name__ for kind in getattr(kinds[item.name], "__args__", ())}
        kind = next(iter(names - {"NoneType"}), getattr(kinds[item.name], "__name__", ""))
        shown = "empty" if default in ("", None) else f"`{str(default).lower()}`"
        meaning = _cell(_one_tick(described[item.name]))
        lines.append(f"| `{item.name}` | {kind.lower()} | {shown} | {meaning} |")
    return "\n".join(lines)


# --- errors -----------------------------------------------------------------------------


def errors() -> str:
    """Every class of error: its code, SQLSTATE, HTTP status and meaning."""
    from lakehold import errors as module

    lines = _table("class", "code", "SQLSTATE", "HTTP", "again?", "meaning")
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        kind = getattr(module, node.name)
        what = re.findall("[A-Z][a-z]*", node.name)
        text = ast.get_docstring(node) or f"{kind.__base__.__name__}: a {what[-1].lower()}."
        code = kind.code.fget(kind.__new__(kind))
        again = "yes" if kind.retryable else ""
        meaning = _cell(_one_tick(text.split("\n\n")[0]))
        lines.append(
            f"| {node.name} | `{code}` | {kind.sqlstate} | {kind.http_status} | {again} "
            f"| {meaning} |"
        )
    return "\n".join(lines)


# --- functions --------------------------------------------------------------------------


def _listed(names: frozenset[str]) -> str:
    text = " ".join(f"`{name}`" for name in sorted(names))
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) > 98:
            lines.append(line.rstrip())
            line = ""
        line += word + " "
    return "\n".join([*lines, line.rstrip()])


def functions() -> str:
    """Every function that may be called."""
    from lakehold.query import functions as module

    parts = [
        ("Scalar functions", module.SCALAR),
        ("Aggregate and window functions", module.AGGREGATE),
        ("Table functions", module.TABLE),
        ("Answered from the session", module.SESSION),
        ("Operators", module.OPERATORS),
    ]
    return "\n\n".join(f"### {title} ({len(names)})\n\n{_listed(names)}" for title, names in parts)


# --- types ------------------------------------------------------------------------------


def types() -> str:
    """Every type, and how it is stored."""
    from lakehold.catalog import types as module

    lines = _table("SQL type", "stored in Iceberg as", "remembered as a logical type")
    for shown, stored in module._SAME.items():
        lines.append(f"| `{shown}` | {stored} | |")
    lines.append("| `DECIMAL(p,s)` | decimal(p, s), up to 38 digits | |")
    for shown, stored in module._LOGICAL.items():
        shown = "ENUM('a', …)" if shown == "ENUM" else shown
        lines.append(f"| `{shown}` | {stored} | yes |")
    lines += [
        "| `STRUCT(a T, …)` | struct | where a part is |",
        "| `T[]` | list | where a part is |",
        "| `T[n]` | list | yes |",
        "| `MAP(K, V)` | map | where a part is |",
    ]
    lines += ["", *_table("refused", "instead")]
    lines += [f"| `{shown}` | {_cell(hint)} |" for shown, hint in module._REFUSED.items()]
    return "\n".join(lines)


# --- commands ---------------------------------------------------------------------------


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups' own among them."""
    from typer._click import Context
    from typer.main import get_command

    from lakehold.cli import COMMANDS, app

    root: Any = get_command(app)
    for name in COMMANDS:
        found = root.get_command(Context(root), name)
        inner = getattr(found, "commands", None)
        for part, command in inner.items() if inner else [("", found)]:
            yield f"{name} {part}".strip(), command


def commands() -> str:
    """Every command with its arguments and options."""
    parts = []
    for name, command in all_commands():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["lakehold", name, *(f"<{p.name}>" for p in arguments)])
        lines = [f"### {name}", "", f"`{usage} [options]`", "", _one_tick(command.help), ""]
        lines += _table("option", "meaning")
        for option in command.params:
            if option.param_type_name == "argument" or option.name == "help":
                continue
            names = ", ".join(f"`{n}`" for n in (*option.opts, *option.secondary_opts))
            meaning = _cell(_one_tick(option.help or ""))
            default = option.default
            if default not in (None, "", False, True) and not callable(default):
                meaning += f" Default: `{default}`."
            lines.append(f"| {names} | {meaning} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def terminal() -> str:
    """What the terminal's own commands do."""
    from lakehold.cli.shell import HELP

    return f"```text\n{HELP.rstrip()}\n```"


# --- HTTP -------------------------------------------------------------------------------


def routes() -> str:
    """Every route of the HTTP API, from its OpenAPI document."""
    document = openapi()
    lines = _table("method", "path", "what it does", "parameters")
    for path, operations in document["paths"].items():
        for method, operation in sorted(operations.items()):
            names = [
                f"`{item['name']}`"
                for item in operation.get("parameters", [])
                if item["in"] in ("query", "header")
            ]
            lines.append(
                f"| {method.upper()} | `{path}` | {operation['summary']} | {', '.join(names)} |"
            )
    return "\n".join(lines)


def openapi() -> dict[str, Any]:
    """The OpenAPI document, without a platform that runs."""
    from unittest.mock import MagicMock

    from lakehold.server import ServerParts, create_application
    from lakehold.server.openapi import openapi_document

    parts = ServerParts(MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return openapi_document(create_application(parts).routes, "0")


def iceberg() -> str:
    """Every route of the Iceberg REST catalog."""
    from lakehold.server.iceberg_rest.routing import ROUTES

    lines = _table("method", "path below `/iceberg`")
    lines += [
        "| GET | `/v1/config` |",
        "| POST | `/v1/oauth/tokens` |",
    ]
    lines += [f"| {route.method} | `{route.path}` |" for route in ROUTES]
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "errors": errors,
    "functions": functions,
    "types": types,
    "commands": commands,
    "terminal": terminal,
    "routes": routes,
    "iceberg": iceberg,
}


def rendered(page: str) -> str:
    """A page with its marked parts as the code has them now."""
    return _MARKED.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", page)


def main() -> int:
    for path in sorted(REFERENCE.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        made = rendered(page)
        if made != page:
            path.write_text(made, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
