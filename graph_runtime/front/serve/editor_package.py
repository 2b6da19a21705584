"""The installed package of the graph editor: where its files are, and which scripts its page holds."""

import base64
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.DOTALL)


@cache
def editor_files() -> Path | None:
    """The folder of the installed editor; None if it is not installed."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    found = None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent / "static"
    return found if found is not None and (found / "index.html").is_file() else None


@cache
def script_hashes() -> tuple[str, ...]:
    """The scripts within its page, by their SHA-256 as a policy names them: these run, and no others."""
    files = editor_files()
    page = "" if files is None else (files / "index.html").read_text(encoding="utf-8")
    scripts = [found[1] for found in _SCRIPT.finditer(page) if found[1].strip()]
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
