"""The socket: taken ports, TLS, a graceful end."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest

from lakehold.errors import ConfigurationInvalid
from lakehold.server import Address, Listener


async def application(scope, receive, send):
    """Answers 200 after the time that the path names, in tenths of a second."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await asyncio.sleep(int(scope["path"].strip("/") or 0) / 10)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def test_it_serves_until_it_is_stopped():
    listener = Listener(application, Address())
    url = listener.start()
    assert httpx.get(url).text == "done"
    listener.stop()
    listener.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_taken_port_is_a_clear_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationInvalid, match=f"port {port} on 127.0.0.1 is in use"):
            Listener(application, Address(port=port)).start()


def test_an_address_that_is_not_ours_is_a_clear_error():
    with pytest.raises(ConfigurationInvalid, match="cannot listen on"):
        Listener(application, Address(host="203.0.113.1")).start()


def test_tls_needs_files_that_are_there(tmp_path):
    with pytest.raises(ConfigurationInvalid, match="both"):
        Listener(application, Address(certificate=tmp_path / "c.pem"))
    with pytest.raises(ConfigurationInvalid, match="TLS files"):
        Listener(application, Address(certificate=tmp_path / "c.pem", private_key=tmp_path / "k"))


def test_open_requests_end_before_it_stops():
    listener = Listener(application, Address())
    url = listener.start()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(url + "/10").text))
    thread.start()
    threading.Event().wait(0.3)
    listener.stop()
    thread.join()
    assert answers == ["done"]
