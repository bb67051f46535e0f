"""``up``, ``down``, ``status``, ``doctor``, ``migrate``: running a platform on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lakehold.errors import LakeholdError, StorageFailed
from lakehold.settings import FILE, Settings, load_settings

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0

DirOption = Annotated[
    Path | None,
    typer.Option("--dir", help="The platform's folder; LAKEHOLD_DIR or ./lakehold-data."),
]


def up(
    dir: DirOption = None,
    host: Annotated[str | None, typer.Option(help="Where HTTP listens.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes any.")] = None,
    reset_admin: Annotated[
        bool, typer.Option("--reset-admin", help="Make a new one-time admin secret.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Go on in the background.")
    ] = False,
) -> None:
    """Start a platform in a folder: PostgreSQL, warehouse, HTTP. Ctrl-C stops it."""
    settings = load_settings(dir, http_host=host, http_port=port)
    if detach:
        _detach(settings, reset_admin)
        return
    from lakehold.app import Platform
    from lakehold.logging import configure

    console = Console(highlight=False)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    platform = Platform(settings)
    platform.when_locked = lambda: configure(settings)
    with platform:
        secret = platform.first_secret
        if reset_admin:
            secret = platform.parts.access.reset_bootstrap()
        announce(console, platform.url, settings, secret)
        while not ended.wait(3600):
            pass
        console.print("stopping …")


def announce(console: Console, url: str, settings: Settings, secret: str | None) -> None:
    """Print where the platform is and how to get in."""
    console.print(f"Lakehold is up: [bold]{url}[/bold]   (folder {settings.dir})", soft_wrap=True)
    console.print(f"  HTTP and OpenAPI   {url}/v1/sql, {url}/openapi.json", soft_wrap=True)
    console.print(f"  Iceberg REST       {url}/iceberg   (warehouse: lake)")
    console.print(f"  terminal           lakehold sql --url {url}")
    if secret is not None:
        console.print()
        console.print("One-time admin secret, shown once and good for one login:")
        console.print(f"  [bold]{secret}[/bold]", soft_wrap=True)
        console.print(f"  lakehold login --url {url}")


def _detach(settings: Settings, reset_admin: bool) -> None:
    """Start ``up`` as a process of its own and wait until it is ready."""
    if _holder(settings) is not None:
        typer.echo(f"a platform runs in {settings.dir} already", err=True)
        raise typer.Exit(1)
    log = settings.dir / "up.log"
    try:
        settings.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.touch(mode=0o600)
    except OSError as error:
        raise StorageFailed(f"{settings.dir} cannot be written: {error.strerror}") from None
    command = [sys.executable, "-m", "lakehold.cli", "up", "--dir", str(settings.dir)]
    command += ["--host", settings.http_host, "--port", str(settings.http_port)]
    command += ["--reset-admin"] if reset_admin else []
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        text = log.read_text(errors="replace")
        if "Lakehold is up:" in text:
            time.sleep(0.2)
            typer.echo(log.read_text(errors="replace").strip())
            # The one-time secret was shown; it does not stay in a file.
            os.truncate(log, 0)
            return
        if process.poll() is not None:
            typer.echo(text.strip(), err=True)
            raise typer.Exit(1)
        time.sleep(0.1)
    typer.echo(f"it has not come up within {START_TIMEOUT_S:g} s; its output is in {log}", err=True)
    raise typer.Exit(1)


def down(dir: DirOption = None) -> None:
    """Stop the platform of a folder; running statements get a moment to end."""
    settings = load_settings(dir)
    pid = _holder(settings)
    if pid is None:
        typer.echo(f"no platform runs in {settings.dir}")
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_TIMEOUT_S
    while _holder(settings) is not None:
        if time.monotonic() > until:
            typer.echo(f"process {pid} has not stopped within {STOP_TIMEOUT_S:g} s", err=True)
            raise typer.Exit(1)
        time.sleep(0.1)
    typer.echo(f"stopped (process {pid})")


def status(dir: DirOption = None) -> None:
    """Tell what runs in a folder; exit code 1 if nothing does."""
    settings = load_settings(dir)
    pid = _holder(settings)
    if pid is None:
        typer.echo(f"no platform runs in {settings.dir}")
        raise typer.Exit(1)
    url = _url(settings)
    typer.echo(f"running: process {pid}, {url or 'not listening yet'}, folder {settings.dir}")
    if url is None:
        return
    import httpx

    try:
        answer = httpx.get(f"{url}/ready", timeout=5, verify=False)  # noqa: S501 - our own listener, by its own address
    except httpx.HTTPError as error:
        typer.echo(f"  http        does not answer: {type(error).__name__}")
        raise typer.Exit(1) from None
    for name, part in answer.json().get("parts", {}).items():
        typer.echo(f"  {name:<11} {part if isinstance(part, str) else part.get('status', part)}")


def migrate(dir: DirOption = None) -> None:
    """Bring a folder's database to this version of Lakehold. ``up`` does so by itself."""
    from lakehold.app import migrate_only

    done = migrate_only(load_settings(dir))
    for step in done:
        typer.echo(f"applied {step}")
    if not done:
        typer.echo("nothing to do")


def doctor(dir: DirOption = None) -> None:
    """Check every part; say what is wrong and how to mend it. Exit code 1 if something is."""
    from lakehold.app import diagnose

    console = Console(highlight=False)
    try:
        settings = load_settings(dir)
    except LakeholdError as error:
        console.print(f"[red]✗[/red] settings      {error.message}")
        console.print(f"    {error.hint or 'correct ' + FILE}")
        raise typer.Exit(1) from None
    wrong = 0
    for finding in diagnose(settings):
        mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
        console.print(f"{mark} {finding.part:<13} {finding.found}", soft_wrap=True)
        if not finding.ok:
            wrong += 1
            if finding.remedy:
                console.print(f"    → {finding.remedy}", soft_wrap=True)
    if wrong:
        console.print(f"{wrong} of these need attention")
        raise typer.Exit(1)
    console.print("all is well")


def _holder(settings: Settings) -> int | None:
    """The process that holds the folder."""
    from lakehold.app import folder_holder

    return folder_holder(settings.dir)


def _url(settings: Settings) -> str | None:
    try:
        return (settings.dir / "url").read_text().strip() or None
    except OSError:
        return None
