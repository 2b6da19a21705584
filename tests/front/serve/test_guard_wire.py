"""The guard behind the real HTTP server: what only bytes on a wire can say."""

import asyncio
import json
import socket
import threading

import pytest
import uvicorn
import websockets.sync.client
from inlay.graph_runtime.front.serve.bodies import BodyRules
from inlay.graph_runtime.front.serve.guard import Guard
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.floor


async def echo(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        return
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = json.dumps({"path": scope["path"], "size": size}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port():
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Guard(echo, bodies=BodyRules(upload=100_000)), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)


def ask(port, *lines, body=b""):
    """Status and body of the answer to these very lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:  # what it refused to read was still on the way
            pass
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


def test_hosts_on_the_wire(port):
    assert ask(port, "GET /x HTTP/1.1", f"Host: localhost:{port}") == (200, b'{"path": "/x", "size": 0}')
    assert ask(port, "GET / HTTP/1.1", f"Host: localhost:{port}", "Host: evil.example")[0] == 400
    assert ask(port, "GET / HTTP/1.1")[0] == 400
    assert ask(port, "GET / HTTP/1.0")[0] == 400
    assert ask(port, "GET http://evil.example/ HTTP/1.1", f"Host: localhost:{port}")[0] == 400
    assert ask(port, "GET /a/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", f"Host: localhost:{port}")[0] == 400
    assert ask(port, "GET /a%00 HTTP/1.1", f"Host: localhost:{port}")[0] == 400
    assert ask(port, "GET / HTTP/1.1", f"Host: localhost:{port}", "X-Forwarded-Host: evil.example")[0] == 200
    assert ask(port, "GET / HTTP/1.1", "Host: evil.example", f"X-Forwarded-Host: localhost:{port}")[0] == 421


def test_a_chunked_body_is_cut_off_at_its_limit(port):
    lines = (
        "POST /v1/uploads HTTP/1.1",
        f"Host: localhost:{port}",
        "Content-Type: image/png",
        "Transfer-Encoding: chunked",
    )

    def chunked(size):
        chunk = b"%x\r\n" % 10_000 + b"x" * 10_000 + b"\r\n"
        return chunk * (size // 10_000) + b"0\r\n\r\n"

    found, content = ask(port, *lines, body=chunked(100_000))
    assert (found, json.loads(content)["size"]) == (200, 100_000)
    assert ask(port, *lines, body=chunked(110_000))[0] == 413
    both = ask(port, *lines, "Content-Length: 5", body=chunked(10_000))[0]
    assert both in (200, 400), "a length beside chunks never lets more through"


def test_a_socket_of_another_page_is_refused_with_its_reason(port):
    with websockets.sync.client.connect(f"ws://localhost:{port}/ws", origin=f"http://localhost:{port}") as connection:
        assert connection.recv() == "hello"
    with websockets.sync.client.connect(f"ws://localhost:{port}/ws") as connection:
        assert connection.recv() == "hello", "a program sends no Origin"
    for origin in ("null", "http://evil.example", f"http://127.0.0.1:{port}"):
        with pytest.raises(InvalidStatus) as refused:
            websockets.sync.client.connect(f"ws://localhost:{port}/ws", origin=origin)
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body)["problems"]
