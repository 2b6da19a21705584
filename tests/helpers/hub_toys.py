"""A hub on this machine: what huggingface_hub asks of the real one, with faults on demand."""

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Repositories by name, each a folder; `asked` counts the questions.

    Attributes:
        folders: what each repository holds.
        gated: repositories whose files ask for a licence.
        broken: a status that every question is answered with.
        silent: seconds before the first answer.
        slow: seconds between two pieces of a file.
    """

    def __init__(self):
        self.folders, self.gated = {}, set()
        self.broken, self.silent, self.slow = 0, 0.0, 0.0
        self.asked, self.served = [], []
        self.url = ""

    def answer(self, request):
        """Answer one request."""
        path = unquote(request.path.split("?")[0])
        self.asked.append(path)
        time.sleep(self.silent)
        if self.broken:
            return self.refuse(request, self.broken, "", "broken")
        api = path.startswith("/api/models/")
        words = path.removeprefix("/api/models/").strip("/").split("/")
        repository, rest = "/".join(words[:2]), words[2:]
        if repository not in self.folders:
            return self.refuse(request, 401 if api else 404, "RepoNotFound", "Repository not found")
        if len(rest) > 1 and rest[1] not in ("main", COMMIT):
            return self.refuse(request, 404, "RevisionNotFound", "Invalid rev id")
        if api:
            return self.describe(request, repository, rest)
        if repository in self.gated:
            return self.refuse(request, 403, "GatedRepo", "Access to this model is restricted")
        return self.file(request, Path(self.folders[repository]) / "/".join(rest[2:]))

    def describe(self, request, repository, rest):
        """The contents of a repository, as info or as a tree."""
        root = Path(self.folders[repository])
        files = [
            (path.relative_to(root).as_posix(), path.stat().st_size)
            for path in sorted(root.rglob("*"))
            if path.is_file()
        ]
        if rest[:1] == ["tree"]:
            return self.send(
                request, [{"type": "file", "path": name, "size": size, "oid": name} for name, size in files]
            )
        return self.send(
            request,
            {
                "id": repository,
                "modelId": repository,
                "sha": COMMIT,
                "private": False,
                "tags": [],
                "siblings": [{"rfilename": name, "size": size} for name, size in files],
            },
        )

    def file(self, request, path):
        """A file, in pieces."""
        if not path.is_file():
            return self.refuse(request, 404, "EntryNotFound", "Entry not found")
        data = path.read_bytes()
        head = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        begin = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0] or 0)
        self.start(request, 206 if begin else 200, len(data) - begin, head)
        if request.command == "HEAD":
            return None
        self.served.append(path.name)
        for place in range(begin, len(data), 16384):
            request.wfile.write(data[place : place + 16384])
            request.wfile.flush()
            time.sleep(self.slow)
        return None

    def send(self, request, value):
        """JSON."""
        data = json.dumps(value).encode()
        self.start(request, 200, len(data), {"Content-Type": "application/json"})
        if request.command != "HEAD":
            request.wfile.write(data)

    def refuse(self, request, status, code, message):
        """An error as the hub writes it."""
        self.start(request, status, 0, {"X-Error-Code": code, "X-Error-Message": message})

    @staticmethod
    def start(request, status, length, headers):
        """Status and headers."""
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            request.send_header(name, value)
        request.end_headers()


def network_of(monkeypatch, cache):
    """Allow downloads, into an empty cache and with no memory of earlier answers; gives what sets the hub's address."""
    from huggingface_hub import constants
    from inlay.models.hub import client, repository

    for name in ("INLAY_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(repository, "_resolved", {})
    monkeypatch.setattr(client, "_silent", {})
    return lambda url: monkeypatch.setattr(constants, "ENDPOINT", url)


@contextmanager
def served(hub):
    """The hub answers at `hub.url` as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            try:
                hub.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
