"""The editor's own files, as its package brings them, and ours beside them."""

from pathlib import Path

from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from ...docs.reference import help_page
from ..editor_package import editor_files
from .definitions import spec_of

_OURS = Path(__file__).resolve().parent / "extension"
_IN_ANY_HOST = Path(__file__).resolve().parents[4] / "web" / "inlay.js"
EXTENSIONS = ("/extensions/inlay/serve.js", "/extensions/inlay/inlay.js")
_TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
EDITOR = "comfyui-frontend-package==1.58.1 python-multipart"  # as the extra `editor` in pyproject.toml has it
_EMPTY = {"templates/index.json": "[]", "templates/index_logo.json": "{}"}


def file_of_editor(path: str) -> Response:
    """A file of the editor, of our extension, or a help page; nothing else is ever read."""
    files = editor_files()
    if files is None:
        text = f"The editor is not installed. Install it with: python -m pip install {EDITOR}"
        return PlainTextResponse(text, 404)
    if path in ("", "index.html"):
        return FileResponse(files / "index.html", media_type="text/html", headers={"Cache-Control": "no-store"})
    if path in _EMPTY:
        return Response(_EMPTY[path], media_type="application/json")
    if path == "user.css":
        return Response("", media_type="text/css")
    found = None
    if path.startswith("extensions/inlay/"):
        rest = path.removeprefix("extensions/inlay/")
        if (help_text := _help(rest)) is not None:
            return Response(help_text, media_type="text/markdown", headers={"Cache-Control": "no-cache"})
        found = _IN_ANY_HOST if rest == _IN_ANY_HOST.name else _below(_OURS, rest)
    found = found or _below(files, path)
    if found is None:
        return PlainTextResponse("no such file of the editor", 404)
    kept = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
    return FileResponse(found, media_type=_TYPES[found.suffix.lower()], headers={"Cache-Control": kept})


def _help(path: str) -> str | None:
    """The help page of a node, for every language."""
    folder, _, name = path.partition("/")
    spec = spec_of(name.partition("/")[0].removesuffix(".md")) if folder == "docs" else None
    return None if spec is None else help_page(spec)


def _below(root: Path, path: str) -> Path | None:
    found = (root / path).resolve()
    right = found.is_relative_to(root.resolve()) and found.suffix.lower() in _TYPES and found.is_file()
    return found if right else None


def picture_of_tab(path: str) -> Response:
    """The pictures of the browser's tab, which the editor asks for at the root."""
    files = editor_files()
    found = None if files is None else _below(files / "assets", path)
    if found is None or found.suffix not in (".png", ".ico"):
        return PlainTextResponse("no such file of the editor", 404)
    return FileResponse(found, media_type=_TYPES[found.suffix])


def to_editor() -> Response:
    """Its address ends with a slash: it finds its calls by that."""
    return RedirectResponse("/editor/", 308)
