"""What the headers of an answer forbid a browser: to run it, to frame it, to read it from another page."""

import re
from collections.abc import Iterable

from .editor_package import script_hashes

Headers = list[tuple[bytes, bytes]]

_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: The editor has a script in its page, which is known by its hash. It sets styles from its code, starts workers from
#: blobs, compiles WebAssembly, and plays what nodes give out.
_EDITOR = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; "
    "font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Results, uploads and answers are data: whatever they hold, nothing in them runs.
_DATA = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

#: What a browser may show; everything else is saved as a file.
_SHOWN = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/webp",
        "text/event-stream",
        "text/plain",
    }
)
#: Nothing here is ours to set twice, and no other site may be let in.
_OURS = re.compile(
    rb"access-control-.*|content-security-policy(-report-only)?|cross-origin-.*|x-content-type-options|x-frame-options"
    rb"|referrer-policy|service-worker-allowed"
)
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def is_program(path: str) -> bool:
    """Whether this path belongs to the program's own pages, whose scripts run; all else is data."""
    if path in ("/", "/index.html", "/editor", "/favicon.ico") or path.startswith("/page/"):
        return True
    return is_editor(path)


def is_editor(path: str) -> bool:
    """Whether this is a file of the editor, which comes from its package."""
    return path.startswith("/editor/") and not re.match(r"/editor/api\b", path)


def safe_headers(path: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of an answer with what keeps it from running added, and what would let others in taken out."""
    kept = [(name.lower(), value) for name, value in headers if not _OURS.fullmatch(name.lower())]
    if is_program(path):
        policy = _EDITOR.format(scripts=" ".join(script_hashes())) if is_editor(path) else _PAGE
    else:
        policy = _DATA
        kept = _inert(kept)
    return [*kept, *_ALWAYS, (b"content-security-policy", policy.encode())]


def _inert(headers: Headers) -> Headers:
    types = [value for name, value in headers if name == b"content-type"]
    kind = types[0].partition(b";")[0].strip().lower().decode("latin-1") if len(types) == 1 else ""
    if kind in _SHOWN:
        return headers
    if not kind:
        headers = [
            *((n, v) for n, v in headers if n != b"content-type"),
            (b"content-type", b"application/octet-stream"),
        ]
    given = [value for name, value in headers if name == b"content-disposition"]
    if len(given) == 1 and given[0].lower().lstrip().startswith(b"attachment"):
        return headers
    file_name = re.search(rb'filename\*?=(?:"[^"\r\n]*"|[^;\s]+)', given[0]) if len(given) == 1 else None
    value = b"attachment; " + file_name[0] if file_name else b"attachment"
    return [*((name, old) for name, old in headers if name != b"content-disposition"), (b"content-disposition", value)]
