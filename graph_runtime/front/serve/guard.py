"""The guard at the door of the server: who does not belong here is turned away before anything reads the request.

A browser runs pages of strangers, and each may send requests to this machine. What tells them from our own page are the
headers that a page cannot write: `Host`, `Origin`, `Sec-Fetch-Site` and, without these, `Referer`. The guard is
plain ASGI and knows no web framework, so it stands before all routes, files and sockets alike.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .access import Access, parse_authority, parse_origin
from .bodies import Bodies, BodyRules
from .inert import Headers, safe_headers

Message = MutableMapping[str, Any]  # ASGI's own type
Scope = MutableMapping[str, Any]  # ASGI's own type
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READING = frozenset({"GET", "HEAD"})
_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: The pages that a link elsewhere may open.
_LINKED = frozenset({"/", "/editor", "/editor/"})
_LARGEST_MESSAGE = 2**20  # bytes a page may send over a socket at once
_SILENCE = 60.0  # seconds that a body may pause
_SLOWEST = 8192  # bytes a second that it must come with after its first minute


class Refused(Exception):
    """A request is turned away; holds the status and what is said."""

    def __init__(self, status: int, found: str, expected: str, fix: str, *, headers: Headers | None = None) -> None:
        self.status, self.found, self.expected, self.fix = status, found, expected, fix
        self.headers = headers or []
        super().__init__(f"found {found}; expected {expected}. Fix: {fix}")

    def body(self) -> bytes:
        """The answer, as every other error of the server is written."""
        problem = {"node": None, "port": "request", "found": self.found, "expected": self.expected, "fix": self.fix}
        return json.dumps({"problems": [{**problem, "text": str(self)}], "warnings": []}).encode()


class Moved(Exception):
    """The token in the address was right: the same address without it, and a cookie in its place."""

    def __init__(self, location: str, cookie: str) -> None:
        self.location, self.cookie = location, cookie
        super().__init__(location)


@dataclass(frozen=True)
class _Request:
    """What the guard reads of a request."""

    scope: Scope
    headers: dict[str, list[str]]

    @classmethod
    def of(cls, scope: Scope) -> "_Request":
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
        return cls(scope, headers)

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def method(self) -> str:
        return str(self.scope["method"]) if self.scope["type"] == "http" else "GET"

    @property
    def scheme(self) -> str:
        return "https" if self.scope.get("scheme") in ("https", "wss") else "http"

    def one(self, name: str) -> str | None:
        """The only header of this name; None if there is none."""
        found = self.headers.get(name, [])
        if len(found) > 1:
            raise Refused(400, f"{len(found)} headers {name}", "one", "send it once")
        return found[0] if found else None


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that lets in only who belongs here.

    Attributes:
        app: What it guards.
        access: The names, the token.
        bodies: The types and sizes of bodies.
    """

    app: App
    access: Access = field(default_factory=Access)
    bodies: BodyRules = field(default_factory=BodyRules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            request = _Request.of(scope)
            limit = self._admit(request)
        except (Refused, Moved) as turned_away:
            await _answer(turned_away, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self.app(scope, _small_messages(receive, send), send)
            return
        await _Exchange(self.app, scope, limit).run(receive, send)

    def _admit(self, request: _Request) -> int:
        """The largest body that this request may have.

        Raises:
            Refused: If it does not belong here.
            Moved: If its address holds the token.
        """
        _check_path(request.path)
        if request.method not in _READING | _WRITING:
            methods = ", ".join(sorted(_READING | _WRITING))
            raise Refused(405, f"the method {request.method[:20]!r}", methods, "use one of these")
        own = self._check_host(request)
        ours = _check_origin(request, own)
        self._check_token(request)
        return _check_body(request, self.bodies.of(request.path), ours=ours)

    def _check_host(self, request: _Request) -> tuple[str, int]:
        host = request.one("host")
        authority = None if host is None else parse_authority(host, request.scheme)
        if authority is None:
            raise Refused(
                400, "no valid Host" if host is None else f"Host {host[:80]!r}", "host or host:port", "send it"
            )
        if not self.access.answers_to(authority[0]):
            raise Refused(
                421,
                f"Host {authority[0][:80]!r}",
                "a name that this server answers to: localhost, its address, or one given to --allow-host",
                "open http://localhost with its port, or start the server with --allow-host NAME",
            )
        return authority

    def _check_token(self, request: _Request) -> None:
        if request.scope["type"] == "http" and request.method == "GET" and request.path in _LINKED:
            rest = self.access.without_token(request.scope.get("query_string", b"").decode("latin-1"))
            if rest is not None:  # also for who has the cookie: the token stays in no history
                secure = "; Secure" if request.scheme == "https" else ""
                cookie = f"{self.access.cookie_name}={self.access.cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
                raise Moved(request.path + (f"?{rest}" if rest else ""), cookie)
        if self.access.knows(request.headers.get("authorization", []), request.headers.get("cookie", [])):
            return
        raise Refused(
            401,
            "no valid token",
            "the token that the server printed when it started",
            "open the address that it printed, or send the header Authorization: Bearer TOKEN",
            headers=[(b"www-authenticate", b"Bearer")],
        )


def _check_path(path: str) -> None:
    parts = path.split("/")
    if (
        not path.startswith("/")
        or path.startswith("//")
        or ".." in parts
        or "." in parts
        or re.search(r"[\x00-\x1f\x7f\\]", path)
    ):
        raise Refused(400, f"the path {path[:80]!r}", "a path below / without `..`", "ask for that path")


def _check_origin(request: _Request, own: tuple[str, int]) -> bool:
    """Whether a browser says that our own page asks; what says nothing is no browser, or an address typed into one."""
    origin = request.one("origin")
    site = request.one("sec-fetch-site")
    if origin is not None and parse_origin(origin) != (request.scheme, own):
        raise _other_page(f"Origin {origin[:80]!r}")
    if site not in (None, "same-origin", "none"):
        page = request.one("sec-fetch-mode") == "navigate" and request.one("sec-fetch-dest") == "document"
        if not (page and origin is None and request.method in _READING and request.path in _LINKED):
            raise _other_page(f"Sec-Fetch-Site {site[:20]!r}")
    if request.one("sec-fetch-dest") == "serviceworker" or "service-worker" in request.headers:
        raise Refused(403, "a service worker", "none: it would stay behind", "ask for the file without it")
    referer = request.one("referer")
    if origin is None and site is None and referer is not None and request.method in _WRITING:
        parts = urlsplit(referer)
        if parse_origin(f"{parts.scheme}://{parts.netloc}") != (request.scheme, own):
            raise _other_page(f"Referer {referer[:80]!r}")
    return origin is not None or site == "same-origin"


def _other_page(found: str) -> Refused:
    return Refused(
        403,
        f"a request of another page: {found}",
        "one of this server's own pages, or a program that sends no Origin",
        "open the page from this server, under the address it was started with",
    )


def _check_body(request: _Request, bodies: Bodies, *, ours: bool) -> int:
    """The largest body of this request, after its headers were found to be right."""
    length = request.one("content-length")
    if length is not None and "transfer-encoding" in request.headers:  # whoever stands between may read it otherwise
        close = [(b"connection", b"close")]
        raise Refused(400, "Content-Length and Transfer-Encoding", "one of them", "send one", headers=close)
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise Refused(400, f"Content-Length {length[:40]!r}", "a number of bytes", "send the right one")
    if request.method in _READING or (int(length or 0) == 0 and "transfer-encoding" not in request.headers):
        return 0
    if request.one("content-encoding") not in (None, "identity"):
        raise Refused(415, "a body that is compressed", "one as it is", "send it without Content-Encoding")
    given = request.one("content-type")
    kind = "" if given is None else given.partition(";")[0].strip().lower()
    plain = bodies.plain and ours and kind in ("", "text/plain")
    if kind not in bodies.types and not plain:
        expected = " or ".join(sorted(bodies.types))
        raise Refused(415, f"Content-Type {kind or 'missing'!r}", expected, f"send the header Content-Type: {expected}")
    if int(length or 0) > bodies.limit:
        raise _too_large(bodies.limit)
    return bodies.limit


def _too_large(limit: int) -> Refused:
    return Refused(413, "a larger body", f"at most {limit:,} bytes", "send less")


@dataclass
class _Exchange:
    """One request and its answer: counts what is read, waits for it not forever, and makes what is sent inert."""

    app: App
    scope: Scope
    limit: int
    waited: float = 0.0
    received: int = 0
    whole: bool = False
    refused: Refused | None = None
    started: bool = False

    async def run(self, receive: Receive, send: Send) -> None:
        """Hand the request on; a body that turns out too large is answered here."""

        async def counted() -> Message:
            wait = None if self.whole or not self.limit else _SILENCE
            began = time.monotonic()
            try:
                message = await (receive() if wait is None else asyncio.wait_for(receive(), wait))
            except TimeoutError:
                return self._late("a body that stopped", f"more of it within {_SILENCE:g} s")
            self.whole = not message.get("more_body", False)
            if message["type"] == "http.request":
                self.received += len(message.get("body", b""))
                if self.received > self.limit:
                    self.refused = _too_large(self.limit)
                    return {"type": "http.disconnect"}
                self.waited += time.monotonic() - began
                if not self.whole and self.received < (self.waited - _SILENCE) * _SLOWEST:
                    return self._late("a body that comes too slowly", f"{_SLOWEST:,} bytes of it a second")
            return message

        async def inert(message: Message) -> None:
            if self.refused is not None and not self.started:
                return  # what the app says about a body that was cut off
            if message["type"] == "http.response.start":
                self.started = True
                message = {**message, "headers": safe_headers(self.scope["path"], message.get("headers", []))}
            await send(message)

        try:
            await self.app(self.scope, counted, inert)
        except Exception:
            if self.refused is None or self.started:
                raise
        if self.refused is not None and not self.started:
            await _answer(self.refused, self.scope, receive, send)

    def _late(self, found: str, expected: str) -> Message:
        self.refused = Refused(408, found, expected, "send it again")
        return {"type": "http.disconnect"}


def _small_messages(receive: Receive, send: Send) -> Receive:
    async def small() -> Message:
        message = await receive()
        if message["type"] == "websocket.receive":
            size = len(message.get("bytes") or b"") or len((message.get("text") or "").encode())
            if size > _LARGEST_MESSAGE:
                await send({"type": "websocket.close", "code": 1009, "reason": "the message is too large"})
                return {"type": "websocket.disconnect", "code": 1009}
        return message

    return small


async def _answer(said: Refused | Moved, scope: Scope, receive: Receive, send: Send) -> None:
    """Turn a request away; a socket is turned away before it opens."""
    websocket = scope["type"] == "websocket"
    start, body = "http.response.start", "http.response.body"
    if websocket:
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": str(said)[:100]})
            return
        start, body = "websocket.http.response.start", "websocket.http.response.body"
    if isinstance(said, Moved):
        status, content = 303, b""
        headers = [(b"location", said.location.encode()), (b"set-cookie", said.cookie.encode())]
    else:
        status, content = said.status, b"" if scope.get("method") == "HEAD" else said.body()
        headers = [*said.headers, (b"content-type", b"application/json")]
        if status in (408, 413):
            headers.append((b"connection", b"close"))
    headers += [(b"content-length", str(len(content)).encode()), (b"cache-control", b"no-store")]
    await send({"type": start, "status": status, "headers": safe_headers("/v1/", headers)})
    await send({"type": body, "body": content})
