"""The files of a tokenizer: which of a folder count, and their contents, bounded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean
from ...graph_runtime.core.opening import open_file
from ..files.json_objects import read_json
from ..files.stamps import has_entry, short_name, state_of

Kind = Literal["clip", "bert"]
CONFIG, OLDER, ADDED, WHOLE = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"
MAX_BYTES = 8 * 2**20  # of each file; CLIP's have up to 4 MB
#: The files of each kind that hold the vocabulary, if there is no `tokenizer.json`.
PLAIN: Mapping[Kind, tuple[str, ...]] = {"clip": ("vocab.json", "merges.txt"), "bert": ("vocab.txt",)}


def tokenizer_files(folder: Path, kind: Kind) -> list[Path]:
    """The files of a tokenizer's folder that count, and no others; they need not be readable.

    `tokenizer.json` counts instead of the plain vocabulary, and a configuration that lists the added words instead of
    the older files that do.

    Raises:
        ModelError: there is no vocabulary.
    """
    there = {name: path for name in (CONFIG, OLDER, ADDED, WHOLE, *PLAIN[kind]) if has_entry(path := folder / name)}
    if WHOLE in there:
        there = {name: path for name, path in there.items() if name not in PLAIN[kind]}
    elif missing := [name for name in PLAIN[kind] if name not in there]:
        raise ModelError(
            "source",
            found=f"no {folder.name}/{missing[0]}",
            expected=f"the tokenizer's {' and '.join(PLAIN[kind])}, or {WHOLE}",
            fix="download the model again",
        )
    if CONFIG in there and read_json(there[CONFIG]).get("added_tokens_decoder") is not None:
        there = {name: path for name, path in there.items() if name not in (OLDER, ADDED)}
    return list(there.values())


def has_vocabulary(folder: Path, kind: Kind) -> bool:
    """True if a folder holds the vocabulary of a tokenizer."""
    return has_entry(folder / WHOLE) or all(has_entry(folder / name) for name in PLAIN[kind])


def contents(path: Path) -> bytes:
    """The bytes of a file of a tokenizer.

    Raises:
        ModelError: it is no ordinary file, or too large.
    """
    size = state_of(path).size
    try:
        if size > MAX_BYTES:
            raise ValueError(f"{size / 2**20:.1f} MiB")
        with open_file(path) as file:
            found = file.read(MAX_BYTES + 1)
        if len(found) > MAX_BYTES:
            raise ValueError("it grows while it is read")
    except (OSError, ValueError) as error:
        raise damaged(short_name(path), str(error), f"a file of at most {MAX_BYTES // 2**20} MiB") from error
    return found


def damaged(name: str, why: str, expected: str) -> ModelError:
    """The message about a file that cannot be used."""
    return ModelError(
        "source", found=f"{name} is damaged ({clean(why)[:160]})", expected=expected, fix="download the model again"
    )
