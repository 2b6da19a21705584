"""What the files of a tokenizer hold and nothing uses: other keys, and other ways to cut a text than its kind's own."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from ..config import Config
from ..files.json_objects import read_json
from ..known_keys.encoders import TOKENIZER, WORDPIECE
from ..known_keys.table import Table, list_unused
from .files import CONFIG, MAX_BYTES, OLDER, WHOLE, Kind, tokenizer_files
from .tokenizer import PIECES, WORD_END
from .vocabulary import read_vocabulary

_TABLES: Mapping[Kind, Table] = {"clip": TOKENIZER, "bert": WORDPIECE}
_EARLIER = PIECES.removeprefix(r"<\|startoftext\|>|<\|endoftext\|>|")  # transformers 4 writes the pieces so
#: The texts in the parts of a `tokenizer.json` that say what its kind of tokenizer does anyway.
_OWN: Mapping[Kind, Mapping[str, frozenset[str]]] = {
    "clip": {
        "normalizer": frozenset({"Sequence", "NFC", "Replace", "Lowercase", r"\s+", " "}),
        "pre_tokenizer": frozenset({"Sequence", "Split", "Removed", "ByteLevel", PIECES, _EARLIER}),
        "decoder": frozenset({"ByteLevel"}),
    },
    "bert": {
        "normalizer": frozenset({"BertNormalizer"}),
        "pre_tokenizer": frozenset({"BertPreTokenizer"}),
        "decoder": frozenset({"WordPiece", "##"}),
    },
}
#: Settings of the model in a `tokenizer.json` that change nothing.
_MODEL: Mapping[str, tuple[JsonValue, ...]] = {
    "type": ("BPE", "WordPiece"),
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": ("", None, "##"),
    "end_of_word_suffix": (WORD_END,),
    "fuse_unk": (False,),
    "byte_fallback": (False,),
    "ignore_merges": (False,),
    "max_input_chars_per_word": (100,),
}


def unused_of_tokenizer(folder: Path, kind: Kind) -> list[str]:
    """What nothing uses in the files of a tokenizer, one phrase per key.

    Raises:
        ModelError: a file is missing or damaged.
    """
    listed = {path.name: path for path in tokenizer_files(folder, kind)}
    config = read_json(listed[CONFIG]) if CONFIG in listed else {}
    return [*unused_of_settings(config, kind), *unused_beside_settings(folder, kind)]


def unused_of_settings(config: Config, kind: Kind) -> list[str]:
    """What nothing uses in `tokenizer_config.json`, one phrase per key."""
    found = list_unused(_TABLES[kind], config)
    if kind == "clip" and config.get("do_lower_case") is False:
        found.append(f"do_lower_case = False ({TOKENIZER['do_lower_case'].what})")
    return found


def unused_beside_settings(folder: Path, kind: Kind) -> list[str]:
    """What nothing uses in the other files of a tokenizer, one phrase per key.

    Raises:
        ModelError: a file is missing or damaged.
    """
    listed = {path.name: path for path in tokenizer_files(folder, kind)}
    older = read_json(listed[OLDER], MAX_BYTES) if OLDER in listed else {}
    whole = _unlike(read_vocabulary(folder, kind).unused, kind)
    phrases = {OLDER: list_unused(_TABLES[kind], older), WHOLE: list_unused(_TABLES[kind], whole)}
    return [f"{name}: {phrase}" for name, found in phrases.items() for phrase in found]


def _unlike(whole: Config, kind: Kind) -> dict[str, JsonValue]:
    """The parts of a `tokenizer.json` by which another tokenizer would be built."""
    found = dict(whole)
    for key, own in _OWN[kind].items():
        if key in found and _texts(found[key]) <= own:
            del found[key]
    model = found.get("model")
    if isinstance(model, dict) and all(
        key == "unk_token" or value in _MODEL.get(key, ()) for key, value in model.items()
    ):
        del found["model"]
    return found


def _texts(value: JsonValue) -> set[str]:
    """All texts in a value, at any depth."""
    found, level = set(), [value]
    while level:
        item = level.pop()
        if isinstance(item, str):
            found.add(item)
        elif isinstance(item, (dict, list)):
            level += item.values() if isinstance(item, dict) else item
    return found
