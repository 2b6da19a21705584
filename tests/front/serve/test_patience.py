"""A connection whose other end is silent is not held for ever, whatever it waits for; a slow one is served."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from inlay.graph_runtime.front.serve import guard, patience
from inlay.graph_runtime.front.serve.run import config_of
from websockets.sync.client import connect

HEAD = b"GET /x HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
LARGE = 64 * 2**20  # more than the system holds for a connection


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": "hello"})
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(2.5)
    size = LARGE if scope["path"] == "/large" else 5
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    with contextlib.suppress(Exception):
        await send({"type": "http.response.body", "body": bytes(size)})


@pytest.fixture
def server(monkeypatch):
    for module, name in ((patience, "HEAD"), (patience, "READING"), (guard, "_SILENCE")):
        monkeypatch.setattr(module, name, 1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    made = uvicorn.Server(config_of(guard.Guard(app), grace=1))
    made.config.lifespan = "off"
    thread = threading.Thread(target=lambda: asyncio.run(made.serve([listener])), daemon=True)
    thread.start()
    yield made, listener.getsockname()[1]
    made.should_exit = True
    thread.join(10)


@pytest.fixture
def connection(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=30) as made:
        yield made


def until_closed(connection):
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def dripped(connection, byte=b"a"):
    """Send byte after byte until the connection is closed; what came back."""
    end = time.monotonic() + 30
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            connection.sendall(byte)
            time.sleep(0.1)
        raise AssertionError("it is still open")
    return until_closed(connection)


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD, HEAD + b"X-More: "])
def test_half_a_head_is_not_waited_for(connection, sent):
    connection.sendall(sent)
    assert until_closed(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["at the start", "after a request"])
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(connection, before):
    connection.sendall(before)
    if before:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.sendall(HEAD + b"X-More: ")
    dripped(connection)


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(connection):
    connection.sendall(BODY)
    dripped(connection)


def test_an_answer_that_is_not_read_is_dropped(server, connection):
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    end = time.monotonic() + 30
    while not server[0].server_state.connections and time.monotonic() < end:
        time.sleep(0.01)
    while server[0].server_state.connections and time.monotonic() < end:
        time.sleep(0.05)
    assert not server[0].server_state.connections


def test_what_takes_its_time_is_served(server, connection, monkeypatch):
    """An answer that is made for long, one that is read slowly, and a socket on which nothing happens."""
    monkeypatch.setattr(patience, "READING", 4.0)
    connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with connect(f"ws://127.0.0.1:{server[1]}/") as waiting:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        waiting.send("are you there?")
        assert waiting.recv() == "hello"
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    size = 0
    for _ in range(60):
        size += len(connection.recv(2**20))
        time.sleep(0.1)
    while part := connection.recv(2**20):
        size += len(part)
    assert size > LARGE
