"""Runs a guide: its console, SQL and Python blocks, one after another, as a reader would."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docs.markdown import Block, matches
from lakehold.cli.shell import Settings, Shell
from lakehold.client import Connection, connect

PORT = "8090"
"""The port that the guides name; in a test it is another."""

_SECRET = re.compile(r"lh_[0-9a-f]{32}_\w+")
_STATE = "set -a; [ -f .state ] && . ./.state 2>/dev/null; {\n%s\n}; code=$?; export -p > .state; exit $code"


@dataclass
class GuideRun:
    """A reader at work in a folder.

    Args:
        folder: where commands run.
        port: the port that stands for 8090.
        tokens: by user, a token; ``""`` is the administrator.
    """

    folder: Path
    port: int
    tokens: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "guide"})
    connections: dict[str, Connection] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, block: Block) -> None:
        """Run a block and compare what it prints with what is shown."""
        text = block.text.replace(PORT, str(self.port))
        if block.language == "console":
            for command, shown in commands(text):
                printed, code = self._command(command)
                if shown:
                    self._compare(block, shown, printed)
                else:
                    assert code == 0, f"line {block.line}: {command} ended with {code}:\n{printed}"
            return
        printed = self._sql(text, block.user) if block.language == "sql" else self._python(text)
        if block.shown is not None:
            self._compare(block, block.shown.replace(PORT, str(self.port)), printed)
        else:
            assert "error [" not in printed and "Traceback" not in printed, (
                f"line {block.line}:\n{printed}"
            )

    def close(self) -> None:
        """End what the guide left open."""
        for connection in self.connections.values():
            with contextlib.suppress(Exception):
                connection.close()
        for value in self.names.values():
            if isinstance(value, Connection):
                with contextlib.suppress(Exception):
                    value.close()

    def _compare(self, block: Block, shown: str, printed: str) -> None:
        assert matches(shown, printed), (
            f"line {block.line} shows\n{shown}\nand it printed\n{printed}"
        )

    def _command(self, command: str) -> tuple[str, int]:
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LAKEHOLD_CONFIG": str(self.folder / "config"),
            "LAKEHOLD_URL": self.url,
            "LAKEHOLD_HTTP_PORT": str(self.port),
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
        }
        done = subprocess.run(
            ["bash", "-c", _STATE % command],
            cwd=self.folder,
            env=environment,
            input=self.secret + "\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        found = _SECRET.search(done.stdout)
        if found:
            self.secret = found[0]
        return done.stdout, done.returncode

    def _sql(self, text: str, user: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            settings = Settings(form="table", pager=False, interactive=False, stop_on_error=False)
            Shell(self._connection(user), settings).run_text(text)
        return printed.getvalue()

    def _connection(self, user: str) -> Connection:
        if user not in self.connections:
            if user not in self.tokens:
                whose = f"--for {user}" if user else ""
                token, code = self._command(f"lakehold token create guide {whose}")
                assert code == 0, token
                self.tokens[user] = token.strip()
            self.connections[user] = connect(self.url, self.tokens[user])
        return self.connections[user]

    def _python(self, text: str) -> str:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            try:
                exec(compile(text, "guide", "exec"), self.names)
            except Exception:
                return printed.getvalue() + traceback.format_exc()
        return printed.getvalue()


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block (``$ …``, with ``\\`` at the end of a line that goes on),
    each with what it shows."""
    found: list[tuple[list[str], list[str]]] = []
    going_on = False
    for line in text.splitlines():
        if going_on:
            found[-1][0].append(line)
        elif line.startswith("$ "):
            found.append(([line[2:]], []))
        else:
            found[-1][1].append(line)
            continue
        going_on = line.endswith("\\")
    return [("\n".join(command), "\n".join(shown)) for command, shown in found]
