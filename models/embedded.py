"""Warnings about what the embedded models were not trained on: other pictures than the samples, and unknown words.

Both can be decided exactly: a picture's bytes equal those of a drawing in workflows/ or not; a word has its own token
or not.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph_runtime import BadInput
from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.notices import mark
from ..graph_runtime.core.opening import open_file
from ..pictures.files.folders import find_pictures
from .folder import EMBEDDED

if TYPE_CHECKING:
    from .component import Origin

PACKAGE = Path(__file__).resolve().parent.parent
OTHER = "to use another model, set {} if the workflow has that flag, otherwise the source of its model node"
NAMED = 6  # words that a warning lists
NEAR = 0.6  # similarity from which a known word is suggested
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\s\x00-\x7f]")


def embedded_name(origin: "Origin | None") -> str:
    """The name of an embedded model, or nothing for any other."""
    root = getattr(origin, "root", None)
    inside = isinstance(root, Path) and root.parent == PACKAGE / "dollhouse"
    return origin.name if origin is not None and inside and origin.name in EMBEDDED else ""


def mark_own_pictures(paths: Iterable[str]) -> None:
    """Mark those of these pictures that are not inlay's samples, for the checks of all downstream nodes."""
    for path in paths:
        try:
            files = find_pictures(path)
        except BadInput:
            continue  # reported when it is read
        for file in files:
            if not is_sample(file):
                mark(file.name)


def is_sample(file: Path) -> bool:
    """True if a file is one of the shipped drawings, byte for byte."""
    try:
        with open_file(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            return size in _samples() and sha256(opened.read(size)) in _samples()[size]
    except (OSError, ValueError):
        return False


@cache
def _samples() -> Mapping[int, frozenset[str]]:
    """Digests of the shipped drawings, which are PNG, by size in bytes. The photos, JPEG, are none of them."""
    found: dict[int, set[str]] = defaultdict(set)
    for file in (PACKAGE / "workflows").rglob("*.png"):
        found[file.stat().st_size].add(sha256(file.read_bytes()))
    return {size: frozenset(digests) for size, digests in found.items()}


def doubt(origin: "Origin", pictures: Sequence[str]) -> tuple[str, str] | None:
    """The embedded model's name and a warning if it gets pictures that are not its samples."""
    name = embedded_name(origin)
    if not name or not pictures:
        return None
    which = " and ".join(map(repr, pictures[:2])) + (" and others" if len(pictures) > 2 else "")
    one = len(pictures) == 1
    other = OTHER.format("--detector" if "detector" in name else "--source")
    return name, (
        f"{name}, the embedded model, only knows drawn rooms, and {which} "
        f"{'is' if one else 'are'} not among inlay's samples: expect a poor result unless "
        f"{'it is such a drawing' if one else 'they are such drawings'}; {other}"
    )


def unknown_words(origin: "Origin | None", text: str) -> str:
    """A warning about words for which an embedded model has no token, with similar ones that it knows; or nothing."""
    name = embedded_name(origin)
    if not name or not text:
        return ""
    known, whole = _vocabulary(PACKAGE / "dollhouse" / EMBEDDED[name][0])
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text) if len(word) > 1 or not word.isascii())
    unknown = [word for word in words if word not in known]
    if not unknown:
        return ""
    listed = []
    for word in unknown[:NAMED]:
        near = get_close_matches(word, whole, n=2, cutoff=NEAR)
        listed.append(f"{word!r}" + (f" (near: {', '.join(near)})" if near else ""))
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return (
        f"{name}, the embedded model, never learned {', '.join(listed)}{more}: "
        f"{'that word means' if len(unknown) == 1 else 'these words mean'} nothing to it; use words that it knows; "
        + OTHER.format("--source")
    )


@cache
def _vocabulary(root: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """Words with a token of their own, and those of them that are not part of a longer one."""
    folder = root / "tokenizer" if (root / "tokenizer").is_dir() else root
    tokens = json.loads((folder / "vocab.json").read_text("utf-8"))
    pairs = (line.split() for line in (folder / "merges.txt").read_text("utf-8").splitlines()[1:])
    parts = {part for pair in pairs for part in pair}
    words = [token.removesuffix("</w>") for token in tokens if token.endswith("</w>")]
    return frozenset(words), tuple(word for word in words if len(word) > 1 and f"{word}</w>" not in parts)
