"""Packages that a folder in `custom_nodes/` still needs: all named at once, with the one command, before any is used.

Imports the standard library alone, because anything else may be what is missing.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.txt"
_LINE = re.compile(r"([A-Za-z0-9_.-]+)>=([\d.]+)")
_MODULES = {"pillow": "PIL"}  # where the name to import is not the package's
_HOSTS_OWN = ("torch", "2.6")


def require_packages(requirements: Path = REQUIREMENTS) -> None:
    """Refuse to start where a package is missing or too old.

    Args:
        requirements: one `NAME>=RELEASE` a line; without such a file, as in a wheel, nothing is checked.

    Raises:
        ImportError: names every such package, and the command that installs them.
    """
    lacking = [said for name, floor in _wanted(requirements) if (said := _lacks(name, floor))]
    own = _lacks(*_HOSTS_OWN)
    parts = []
    if lacking:
        found = f"inlay needs {len(lacking)} package{'s' if len(lacking) > 1 else ''} that ComfyUI does not bring"
        parts.append(f"{found}: {', '.join(lacking)}. Install: {command(requirements)} and start ComfyUI again")
    if own:
        parts.append(f"inlay needs {own}, which is ComfyUI's own: update it as ComfyUI's installation says")
    if parts:
        raise ImportError(". ".join(parts))


def command(requirements: Path = REQUIREMENTS) -> str:
    """The command that installs what is missing, for the Python that runs this."""
    words = [
        sys.executable or "python",
        *(["-s"] if sys.flags.no_user_site else []),  # as ComfyUI's portable build for Windows starts its Python
        *("-m", "pip", "install", "-r", str(requirements)),
    ]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _wanted(requirements: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = requirements.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        if found := _LINE.fullmatch(line.strip()):
            yield found[1], found[2]


def _lacks(name: str, floor: str) -> str:
    """`peft`, or `pillow 11.3 or newer (10.4.0 is installed)`; empty if it is there."""
    try:
        version = metadata.version(name)
    except (metadata.PackageNotFoundError, OSError):
        return "" if _imports(_MODULES.get(name, name)) else name
    if version and _numbers(version) < _numbers(floor):
        return f"{name} {floor} or newer ({version} is installed)"
    return ""


def _imports(module: str) -> bool:
    """True for a package that is there without saying its release, as some builds leave it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` → (2, 13, 0)."""
    found = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
