"""The socket: uvicorn in a thread of ours, or in the main thread."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from lakehold.errors import ConfigurationInvalid

START_S = 30.0
STOP_S = 10.0
"""Seconds that open requests get to end when the listener stops."""
KEEP_ALIVE_S = 75
CONNECTIONS_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: a name or address of this machine.
        port: 0 takes any free port.
        certificate: PEM file with the certificate chain; with ``private_key`` makes it HTTPS.
        private_key: PEM file.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None


class Listener:
    """Serves an ASGI application.

    Raises (from ``start`` and ``run``):
        ConfigurationInvalid: the address is in use or not ours, or the TLS files are unusable.
    """

    def __init__(self, application: Any, address: Address) -> None:
        self._address = address
        self._server = _Server(_configuration(application, address))
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL. Known once the listener has started."""
        assert self._socket is not None, "the listener has not started"
        host, port = self._socket.getsockname()[:2]
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            host = "localhost"
        scheme = "https" if self._address.certificate is not None else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def start(self) -> str:
        """Listen and serve in a thread; return the base URL once requests are answered."""
        bound = self._bind()
        self._thread = threading.Thread(
            target=self._server.run, args=([bound],), name="lakehold-http", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(START_S) or not self._server.started:
            self.stop()
            raise ConfigurationInvalid("the HTTP server did not start; its log says why")
        return self.url

    def run(self) -> None:
        """Listen and serve in this thread until ``stop`` or a signal."""
        self._server.run([self._bind()])

    def stop(self) -> None:
        """Stop taking requests, let open ones end for ``STOP_S``, then cut them. Idempotent."""
        self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_S + 5)
            self._thread = None
        if self._socket is not None:
            self._socket.close()

    def _bind(self) -> socket.socket:
        host, port = self._address.host, self._address.port
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.socket(family, kind, protocol)
        except OSError as error:
            raise ConfigurationInvalid(f"cannot listen on {host}: {error.strerror}") from error
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(target)
            bound.listen(CONNECTIONS_BACKLOG)
        except OSError as error:
            bound.close()
            if error.errno == errno.EADDRINUSE:
                raise ConfigurationInvalid(
                    f"port {port} on {host} is in use",
                    hint="Stop what listens there, or choose another port (0 takes any).",
                ) from error
            reason = error.strerror or str(error)
            raise ConfigurationInvalid(f"cannot listen on {host}:{port}: {reason}") from error
        self._socket = bound
        return bound


class _Server(uvicorn.Server):
    """Tells when it is up, or has failed to come up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        finally:
            self.ready.set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets=sockets)
        finally:
            self.ready.set()


def _configuration(application: Any, address: Address) -> uvicorn.Config:
    if (address.certificate is None) != (address.private_key is None):
        raise ConfigurationInvalid("TLS needs both a certificate and a private key")
    config = uvicorn.Config(
        application,
        loop="uvloop" if _has_uvloop() else "asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(STOP_S),
        ssl_certfile=str(address.certificate) if address.certificate else None,
        ssl_keyfile=str(address.private_key) if address.private_key else None,
    )
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut_stream)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationInvalid(f"the TLS files cannot be used: {error}") from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def _not_a_cut_stream(record: logging.LogRecord) -> bool:
    """A result that fails half-way is cut off on purpose; uvicorn takes it for a mistake."""
    return "returned without completing response" not in str(record.msg)


def _has_uvloop() -> bool:
    try:
        import uvloop
    except ImportError:
        return False
    return uvloop is not None
