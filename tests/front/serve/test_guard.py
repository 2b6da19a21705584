"""The guard before every route: asked directly, with requests as browsers and others send them."""

import asyncio
import itertools
import json
import re

import pytest
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.serve.access import Access, make_access, parse_authority
from inlay.graph_runtime.front.serve.bodies import BodyRules
from inlay.graph_runtime.front.serve.guard import Guard

OWN = "127.0.0.1:8188"


class Site:
    """A bare ASGI app behind a guard; remembers what reached it."""

    def __init__(self, access=None, *, answer=("application/json", b"{}"), headers=(), upload=256):
        self.reached, self.read = [], b""
        self.answer, self.headers = answer, list(headers)
        self.guard = Guard(self.app, access or Access(), BodyRules(upload=upload))

    async def app(self, scope, receive, send):
        self.reached.append(scope["path"])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            self.message = await receive()
            return
        while True:
            message = await receive()
            self.read += message.get("body", b"")
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        kind, body = self.answer
        types = [(b"Content-Type", kind.encode())] if kind else []
        await send({"type": "http.response.start", "status": 200, "headers": [*types, *self.headers]})
        await send({"type": "http.response.body", "body": body})

    def ask(self, method="GET", path="/v1/status", *headers, host=OWN, body=b"", chunks=None, kind="http", query=""):
        """Status, headers and body of the answer. `headers` are `name: value`; `host` may be several or None."""
        hosts = [] if host is None else [host] if isinstance(host, str) else host
        lines = [f"Host: {name}" for name in hosts] + list(headers)
        if body:
            lines.append(f"Content-Length: {len(body)}")
        if chunks:
            lines.append("Transfer-Encoding: chunked")
        pairs = [(line.partition(":")[0].strip(), line.partition(":")[2].strip()) for line in lines]
        scope = {
            "type": kind,
            "method": method,
            "path": path,
            "scheme": "ws" if kind == "websocket" else "http",
            "query_string": query.encode(),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
            "extensions": {"websocket.http.response": {}} if kind == "websocket" else {},
        }
        parts = chunks or [body]
        incoming = [
            {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
            for number, part in enumerate(parts)
        ]
        if kind == "websocket":
            incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": body.decode()}]
        sent = []

        async def receive():
            return incoming.pop(0)

        async def send(message):
            sent.append(message)

        asyncio.run(self.guard(scope, receive, send))
        self.sent = sent
        if sent[0]["type"] == "websocket.accept":
            return 101, {}, b""
        status = sent[0]["status"]
        given = [(name.decode().lower(), value.decode()) for name, value in sent[0]["headers"]]
        names = [name for name, _ in given]
        assert len(set(names)) == len(names), names
        return status, dict(given), b"".join(message.get("body", b"") for message in sent[1:])


def status(*arguments, access=None, **keywords):
    site = Site(access)
    found = site.ask(*arguments, **keywords)[0]
    assert bool(site.reached) == (found in (200, 101)), "what is refused must not reach the app"
    return found


ANYWHERE = make_access("0.0.0.0", "a-token-of-some-length")
BEARER = "Authorization: Bearer a-token-of-some-length"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host",
    ["localhost:8188", "LOCALHOST:8188", "localhost.:8188", "localhost", "127.0.0.1:8188", "127.0.0.1", "[::1]:8188",
     "[::1]", "[0:0:0:0:0:0:0:1]:80", "127.8.9.1:1", "localhost:9000"],
)  # fmt: skip
def test_the_names_of_this_machine_are_answered(host, kind):
    assert status(host=host, kind=kind) in (200, 101)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host",
    ["evil.example:8188", "localhost.evil.example", "127.0.0.1.nip.io:8188", "evil.localhost:8188", "192.168.1.5:8188",
     "0.0.0.0:8188", "[::]:8188", "[fe80::1]", "localhos", "127.0.0.1.", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"],
)  # fmt: skip
def test_a_rebound_name_is_refused_although_its_origin_is_the_same(host, kind):
    if host == "127.0.0.1.":
        assert parse_authority(host, "http") == ("127.0.0.1", 80)
        return
    assert status("GET", "/v1/status", f"Origin: http://{host}", host=host, kind=kind) == 421


@pytest.mark.parametrize(
    "host",
    [None, "", ["localhost:8188", "localhost:8188"], ["localhost:8188", "evil.example"], "localhost:8188, evil.example",
     "evil@localhost", "localhost:0", "localhost:99999", "localhost:80x", "localhost:", ":8188", "[::1", "::1",
     "[::1]x", "[::1%25lo]", "localhost/", "localhost evil", "loc\u00e4lhost", "[127.0.0.1]", "."],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_host_that_is_none_or_several_is_refused(host, kind):
    assert status(host=host, kind=kind) == 400


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin",
    ["null", "NULL", "", "http://evil.example", "https://127.0.0.1:8188", "http://127.0.0.1:8189", "http://127.0.0.1",
     "http://localhost:8188", "http://127.0.0.1:8188.evil.example", "http://127.0.0.1:8188@evil.example", "file://",
     "http://evil.example/http://127.0.0.1:8188", "chrome-extension://abcdef", "http://[::1]:8188", "127.0.0.1:8188",
     "http://127.0.0.1:8188 http://evil.example", "http://127.0.0.1:8188/"],
)  # fmt: skip
def test_another_origin_is_refused_and_null_too(origin, kind):
    """Also on reading: another port of this machine is another origin, and so is another name for it."""
    assert status("GET", "/v1/runs", f"Origin: {origin}", kind=kind) == 403
    if kind == "http":
        assert status("POST", "/v1/runs", f"Origin: {origin}", "Content-Type: application/json", body=b"{}") == 403


@pytest.mark.parametrize(
    ("host", "origin"),
    [(OWN, f"http://{OWN}"), ("localhost", "http://localhost"), ("localhost:80", "http://localhost"),
     ("LocalHost:8188", "http://localhost:8188"), ("[::1]:8188", "http://[0::1]:8188")],
)  # fmt: skip
def test_our_own_origin_is_let_in_however_it_is_spelled(host, origin):
    assert status("GET", "/ws", f"Origin: {origin}", host=host, kind="websocket") == 101
    json_body = ("Content-Type: application/json",)
    assert status("POST", "/v1/runs", f"Origin: {origin}", *json_body, host=host, body=b"{}") == 200


def test_two_origins_are_refused():
    assert status("GET", "/v1/runs", f"Origin: http://{OWN}", f"Origin: http://{OWN}") == 400


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
@pytest.mark.parametrize("path", ["/v1/runs/1/results/0", "/view", "/", "/editor/api/view", "/ws"])
def test_other_sites_embed_and_fetch_nothing(site, path):
    """Pictures, scripts and frames of ours in their pages send no Origin; the browser says where they come from."""
    for destination in ("image", "script", "iframe", "empty", "serviceworker"):
        headers = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Dest: {destination}", "Sec-Fetch-Mode: no-cors")
        assert status("GET", path, *headers) == 403
    navigation = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")
    assert status("GET", path, f"Sec-Fetch-Site: {site}", *navigation) == 403


def test_a_link_elsewhere_opens_the_page_and_nothing_else():
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    assert status("GET", "/", *link) == status("GET", "/editor/", *link) == 200
    assert status("GET", "/v1/runs", *link) == 403
    assert status("GET", "/api/interrupt", *link) == 403
    assert status("POST", "/", *link) == 403


def test_a_form_of_another_page_without_origin_is_known_by_its_referer():
    form = ("Content-Type: multipart/form-data; boundary=x",)
    assert status("POST", "/upload/image", *form, "Referer: http://evil.example/a", body=b"x") == 403
    assert status("POST", "/upload/image", *form, "Referer: about:blank", body=b"x") == 403
    assert status("POST", "/upload/image", *form, f"Referer: http://{OWN}/", body=b"x") == 200
    assert status("POST", "/upload/image", *form, body=b"x") == 200, "a program sends neither"


def test_no_service_worker_stays_behind():
    assert status("GET", "/editor/sw.js", "Service-Worker: script") == 403
    assert status("GET", "/editor/sw.js", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: serviceworker") == 403


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"])
def test_methods_that_nobody_needs_are_refused(method):
    """OPTIONS too: no other site is ever let in, so there is nothing to ask before."""
    preflight = ("Origin: http://evil.example", "Access-Control-Request-Method: POST")
    assert status(method, "/v1/runs") == status(method, "/v1/runs", *preflight) == 405


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "text/plain;application/json", "application/x-www-form-urlencoded", "multipart/form-data",
     "application/jsonx", "application/json, text/plain", "", "text/json"],
)  # fmt: skip
def test_a_body_is_json_and_says_so(kind):
    headers = [] if kind is None else [f"Content-Type: {kind}"]
    for path in ("/v1/runs", "/api/prompt", "/prompt", "/editor/api/prompt", "/queue", "/api/interrupt"):
        for own in ([], [f"Origin: http://{OWN}", "Sec-Fetch-Site: same-origin"]):
            assert status("POST", path, *headers, *own, body=b"{}") == 415
            assert status("POST", path, *headers, *own, chunks=[b"{}"]) == 415


def test_json_is_taken_in_any_case_and_with_a_charset():
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        assert status("POST", "/v1/runs", f"Content-Type: {kind}", body=b"{}") == 200
    assert status("POST", "/v1/runs/1/cancel") == 200, "no body needs no type"
    twice = ("Content-Type: application/json", "Content-Type: text/plain")
    assert status("POST", "/v1/runs", *twice, body=b"{}") == 400


def test_a_compressed_body_is_refused():
    headers = ("Content-Type: application/json", "Content-Encoding: gzip")
    assert status("POST", "/v1/runs", *headers, body=b"x") == 415


@pytest.mark.parametrize("path", ["/userdata/workflows/a.json", "/api/settings/Comfy.X", "/editor/api/settings"])
def test_text_without_a_type_is_taken_only_where_the_editor_sends_it_and_only_from_our_page(path):
    text = ("Content-Type: text/plain;charset=UTF-8",)
    assert status("POST", path, *text, f"Origin: http://{OWN}", body=b"1") == 200
    assert status("POST", path, *text, "Sec-Fetch-Site: same-origin", body=b"1") == 200
    assert status("POST", path, *text, body=b"1") == 415
    assert status("POST", path, *text, "Sec-Fetch-Site: none", body=b"1") == 415
    assert status("POST", "/v1/userdata/x", *text, f"Origin: http://{OWN}", body=b"1") == 415


def test_an_upload_is_a_picture_by_its_type():
    for kind, expected in {"image/png": 200, "image/svg+xml": 415, "text/html": 415, "application/zip": 415}.items():
        assert status("POST", "/v1/uploads", f"Content-Type: {kind}", body=b"x") == expected
    assert status("POST", "/v1/runs", "Content-Type: image/png", body=b"x") == 415


def test_a_body_over_its_limit_is_refused_before_and_while_it_is_read():
    png = "Content-Type: image/png"
    assert status("POST", "/v1/uploads", png, body=b"x" * 256) == 200
    assert status("POST", "/v1/uploads", png, body=b"x" * 257) == 413
    site = Site()
    assert site.ask("POST", "/v1/uploads", png, chunks=[b"x" * 200, b"x" * 57, b"x" * 10**6])[0] == 413
    assert len(site.read) == 200
    assert site.ask("POST", "/v1/uploads", png, chunks=[b"x" * 200, b"x" * 56])[0] == 200
    headers = (png, "Content-Length: 10")  # two lengths: another program between may believe the other one
    assert Site().ask("POST", "/v1/uploads", *headers, chunks=[b"x" * 300])[0] == 400


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "٣"])
def test_a_length_that_is_no_number_is_refused(length):
    headers = ("Content-Type: application/json",)
    site = Site()
    found = site.ask("POST", "/v1/runs", *headers, f"Content-Length: {length.encode().decode('latin-1')}")[0]
    assert found == 400
    assert not site.reached


def test_a_message_on_a_socket_has_its_limit():
    site = Site()
    site.ask("GET", "/ws", kind="websocket", body=b"x" * 2**20)
    assert site.message["type"] == "websocket.receive"
    site.ask("GET", "/ws", kind="websocket", body=b"x" * (2**20 + 1))
    assert site.message["type"] == "websocket.disconnect"
    assert site.sent[-1]["code"] == 1009


@pytest.mark.parametrize(
    "path", ["/../x", "/v1/../../etc", "/v1/./x", "/a\\b", "/a\0b", "/a\nb", "//evil.example/", "x", ""]
)
def test_paths_with_tricks_are_refused(path):
    assert status("GET", path) == 400


# The token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.lan", ""])
def test_what_others_can_reach_gets_a_token(host):
    access = make_access(host)
    assert access.made
    assert len(access.token) >= 40
    assert access.token != make_access(host).token
    assert access.token not in repr(access)
    assert status(access=access, host="192.168.1.5:8188" if host in ("0.0.0.0", "::", "") else host) == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_none_but_takes_one(host):
    assert make_access(host).token is None
    access = make_access(host, "a-token-of-some-length")
    assert not access.made
    assert status(access=access) == 401
    assert status("GET", "/v1/status", BEARER, access=access) == 200


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "with a space in it", "ümlaut-and-more-letters", "line\nbreak-in-a-token"]
)
def test_a_bad_token_is_refused_at_the_start(token):
    with pytest.raises(WorkflowError, match="at least 16"):
        make_access("127.0.0.1", token)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_token_is_taken_from_the_header(kind):
    assert status("GET", "/v1/status", BEARER, access=ANYWHERE, kind=kind) in (200, 101)
    assert status("GET", "/v1/status", BEARER.replace("Bearer", "bearer"), access=ANYWHERE, kind=kind) in (200, 101)
    wrong = ["Bearer", "Bearer ", "Bearer x", "Basic YTph", "a-token-of-some-length", "Bearer a-token-of-some-lengt",
             "Bearer A-TOKEN-OF-SOME-LENGTH", "Bearer täst"]  # fmt: skip
    for value in wrong:
        assert status("GET", "/v1/status", f"Authorization: {value}", access=ANYWHERE, kind=kind) == 401
    assert status("GET", "/v1/status", BEARER, BEARER, access=ANYWHERE, kind=kind) == 401


def test_the_token_in_the_address_becomes_a_cookie_once():
    site = Site(ANYWHERE)
    found, headers, _ = site.ask("GET", "/", query="a=1&token=a-token-of-some-length&b=%2F")
    assert found == 303
    assert headers["location"] == "/?a=1&b=%2F"
    assert headers["cache-control"] == "no-store"
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "a-token-of-some-length" not in cookie
    assert not site.reached
    found, headers, _ = site.ask("GET", "/", f"Cookie: {cookie}", query="token=a-token-of-some-length")
    assert (found, headers["location"]) == (303, "/"), "it stays in no history, for who has the cookie neither"
    for kind in ("http", "websocket"):
        assert status("GET", "/v1/status", f"Cookie: x=1; {cookie}", access=ANYWHERE, kind=kind) in (200, 101)
        assert status("GET", "/v1/status", f"Cookie: {cookie[:-1]}", access=ANYWHERE, kind=kind) == 401
        assert status("GET", "/v1/status", f"Cookie: {cookie}", access=make_access("::"), kind=kind) == 401


def test_the_token_in_an_address_counts_nowhere_else():
    query = "token=a-token-of-some-length"
    assert status("GET", "/v1/runs", query=query, access=ANYWHERE) == 401
    assert status("POST", "/", query=query, access=ANYWHERE) == 401
    assert status("GET", "/", query=query, access=ANYWHERE, kind="websocket") == 401
    assert status("GET", "/", query=query + "x", access=ANYWHERE) == 401
    assert status("GET", "/", query="token=", access=ANYWHERE) == 401


def test_the_token_does_not_open_the_door_to_other_pages():
    """Whoever holds the cookie is still asked from which page: another site may make the browser send it."""
    for headers in (["Origin: http://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: same-site"]):
        assert status("GET", "/v1/runs", BEARER, *headers, access=ANYWHERE) == 403
        assert status("GET", "/ws", BEARER, *headers, access=ANYWHERE, kind="websocket") == 403
    assert status("GET", "/v1/runs", BEARER, access=ANYWHERE, host="evil.example") == 421


def test_more_names_are_answered_when_they_were_given():
    access = make_access("127.0.0.1", names=("Studio.lan",))
    assert status(access=access, host="studio.LAN:8188") == 200
    assert status(access=access, host="x.studio.lan:8188") == 421
    for name in ("*", "http://studio.lan", "studio.lan:80", "a,b", ""):
        with pytest.raises(WorkflowError, match="--allow-host"):
            make_access("127.0.0.1", names=(name,))


# What comes back


def test_a_refusal_says_what_was_found_expected_and_how_to_mend_it():
    found, headers, body = Site().ask(host="evil.example")
    (problem,) = json.loads(body)["problems"]
    assert set(problem) == {"node", "port", "found", "expected", "fix", "text"}
    assert "evil.example" in problem["found"]
    assert "--allow-host" in problem["fix"]
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert found == 421


def test_a_socket_is_turned_away_before_it_opens():
    site = Site()
    assert site.ask("GET", "/ws", "Origin: null", kind="websocket")[0] == 403
    assert [message["type"].split(".")[0] for message in site.sent] == ["websocket", "websocket"]
    assert "websocket.accept" not in [message["type"] for message in site.sent]


def directives(headers):
    return dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))


@pytest.mark.parametrize("path", ["/", "/editor/", "/editor/assets/a.js", "/v1/status", "/view", "/editor/api/view"])
def test_every_answer_forbids_frames_sniffing_and_other_hosts(path):
    headers = Site(answer=("text/html", b"<p>")).ask("GET", path)[1]
    policy = directives(headers)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == policy["default-src"] == "'none'"
    assert policy.get("connect-src", "'none'") in ("'self'", "'none'")
    for directive, value in policy.items():
        assert "http" not in value
        assert "*" not in value
        assert "'unsafe-eval'" not in value
        assert "unsafe-inline" not in value or (directive, path.startswith("/editor")) == ("style-src", True)


@pytest.mark.parametrize(
    "kind",
    ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/pdf",
     "text/javascript", "application/x-shockwave-flash", "text/css", "multipart/x-mixed-replace", "", "unknown"],
)  # fmt: skip
def test_what_could_run_is_saved_as_a_file_and_not_shown(kind):
    paths = ("/v1/runs/1/results/0", "/view", "/api/view", "/editor/api/view", "/userdata/a", "/anything")
    given_ones = ("inline", 'inline; filename="a.svg"', "", 'attachment; filename="a.svg"')
    for path, given in itertools.product(paths, given_ones):
        disposition = [(b"Content-Disposition", given.encode())] if given else []
        headers = Site(answer=(kind, b"<script>"), headers=disposition).ask("GET", path)[1]
        assert headers["content-disposition"].startswith("attachment")
        assert "a.svg" in headers["content-disposition"] or "a.svg" not in given
        assert headers["content-type"]
        assert "sandbox" in directives(headers)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "application/json", "text/event-stream"])
def test_pictures_and_data_are_shown(kind):
    headers = Site(answer=(kind, b"x")).ask("GET", "/v1/runs/1/results/0")[1]
    assert "content-disposition" not in headers
    assert headers["content-type"] == kind


def test_nothing_behind_the_guard_lets_other_sites_in():
    named = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Content-Security-Policy", b"default-src *"),
        (b"X-Frame-Options", b"ALLOW"),
    ]
    headers = Site(headers=named).ask("GET", "/v1/status")[1]
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-frame-options"] == "DENY"
    assert "*" not in headers["content-security-policy"]


def test_the_policy_of_the_page_runs_only_its_own_files():
    policy = directives(Site().ask("GET", "/")[1])
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    editor = directives(Site().ask("GET", "/editor/")[1])
    assert editor["connect-src"] == "'self'"
    assert re.fullmatch(r"'self' 'wasm-unsafe-eval'( 'sha256-[A-Za-z0-9+/]{43}=')*", editor["script-src"])
    assert re.search(r"blob:", editor["worker-src"])
