"""The shipped workflows as the editor's templates: graphs that it opens, each with a small picture."""

import json
from functools import cache
from pathlib import Path

from ...installed import shipped_samples, shipped_workflows
from ..json_data import Json
from .history import drawn

_ANY = "photo.jpg"
_EXAMPLES = Path(__file__).resolve().parents[4] / "example_workflows"


def names() -> list[str]:
    """The names of all templates."""
    drawn_ones = [path.stem for path in sorted(_EXAMPLES.glob("*.json"))]
    return drawn_ones or list(shipped_workflows())


@cache
def graph(name: str) -> Json | None:
    """The graph of a template; None if there is none."""
    if name not in names():
        return None
    path = _EXAMPLES / f"{name}.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return drawn(json.loads(shipped_workflows()[name].read_text(encoding="utf-8")))


def picture(name: str) -> Path | None:
    """The small picture of a template, or a sample photo; None if there is no such template."""
    path = _EXAMPLES / f"{name}.jpg"
    return None if name not in names() else path if path.is_file() else shipped_samples()[_ANY]
