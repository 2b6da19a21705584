"""The vocabulary of a tokenizer: its tokens and their numbers, and for CLIP the pairs that are merged.

`tokenizer.json` counts if it is there, as in transformers 5; otherwise `vocab.json` and `merges.txt` (CLIP) or
`vocab.txt` (BERT). Of `tokenizer.json` only the vocabulary, the merges and the added words are used: its patterns,
normalisers and templates never reach a library.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, JsonValue, StrictStr

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import shorten
from ..config import Config, ConfigFile, read_config, refused
from .files import CONFIG, WHOLE, Kind, contents, damaged, tokenizer_files
from .settings import MAX_WORD, Id, Special, TokenizerSettings, read_settings

MAX_TOKENS = 500_000
DEFAULTS: Mapping[Kind, Mapping[Special, str]] = {
    "clip": {
        "unk_token": "<|endoftext|>",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    },
    "bert": {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
}
#: Characters that Rust's `trim_end` takes off, and Python's `rstrip` without an argument a few more.
_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace() and not 0x1C <= code <= 0x1F)

_Pairs = Annotated[tuple[StrictStr | tuple[StrictStr, StrictStr], ...], Field(max_length=MAX_TOKENS)]


class _Model(ConfigFile):
    """`model` in `tokenizer.json`, and the contents of `vocab.json` as its `vocab`."""

    vocab: Annotated[
        dict[StrictStr, Id],
        Field(
            min_length=1,
            max_length=MAX_TOKENS,
            description=f"an object of 1 to {MAX_TOKENS:,} tokens with their numbers",
        ),
    ]
    merges: Annotated[_Pairs, Field(description=f"a list of up to {MAX_TOKENS:,} pairs of tokens")] = ()


class Vocabulary(NamedTuple):
    """Everything that a tokenizer is built from.

    Attributes:
        numbers: of each token.
        merges: pairs of tokens that become one, the first ones first (Sennrich et al. 2016); empty for BERT.
        settings: what the other files say.
        unused: the parts of `tokenizer.json` that other tokenizers would need, by name.
    """

    numbers: Mapping[str, int]
    merges: Sequence[tuple[str, ...]]
    settings: TokenizerSettings
    unused: Mapping[str, JsonValue]

    @property
    def largest(self) -> int:
        """The largest number that a token may get."""
        new = {word.content for word in self.settings.added} - set(self.numbers)
        return max(max(self.numbers.values()), len(self.numbers) + len(new) - 1)


def require_embeddings(vocabulary: Vocabulary, embeddings: int, where: str) -> None:
    """Refuse a tokenizer with tokens for which an encoder has no embedding.

    Raises:
        ModelError: it has such tokens.
    """
    if vocabulary.largest >= embeddings:
        raise ModelError(
            "source",
            found=f"a tokenizer of {vocabulary.largest + 1:,} tokens with an encoder of {embeddings:,} in {where}",
            expected="a tokenizer and an encoder of one model",
            fix="download the model again",
        )


def read_vocabulary(folder: Path, kind: Kind) -> Vocabulary:
    """The vocabulary in a folder.

    Raises:
        ModelError: a file is missing, too large, damaged, or contradicts itself.
    """
    return _parse(kind, folder.name, tuple((path.name, contents(path)) for path in tokenizer_files(folder, kind)))


@lru_cache(maxsize=4)
def _parse(kind: Kind, where: str, files: tuple[tuple[str, bytes], ...]) -> Vocabulary:
    """Kept by the files' bytes, so that nothing but they decide."""
    objects: dict[str, Config] = {}
    texts: dict[str, str] = {}
    for name, content in files:
        try:
            texts[name] = content.decode("utf-8")
            if name.endswith(".json"):
                found = json.loads(texts[name])
                if not isinstance(found, dict):
                    raise TypeError(f"a JSON {type(found).__name__}")
                objects[name] = found
        except (ValueError, TypeError, RecursionError) as error:
            expected = "a JSON object" if name.endswith(".json") else "a text in UTF-8"
            raise damaged(f"{where}/{name}", str(error), expected) from error
    numbers, merges, unused = _tokens(kind, where, objects, texts)
    settings = read_settings(objects, DEFAULTS[kind], where)
    _require_sound(kind, where, numbers, merges, settings)
    return Vocabulary(numbers, merges, settings, unused)


def _tokens(
    kind: Kind, where: str, objects: Mapping[str, Config], texts: Mapping[str, str]
) -> tuple[Mapping[str, int], Sequence[tuple[str, ...]], Mapping[str, JsonValue]]:
    if WHOLE in objects:
        model = objects[WHOLE].get("model")
        own = {"clip": "BPE", "bert": "WordPiece"}[kind]
        if not isinstance(model, dict) or model.get("type", own) != own:
            raise refused("model", model, f"a model of type {own}", f"{WHOLE} of {where}")
        found = read_config(_Model, {"vocab": {}, **model}, f"model in {WHOLE} of {where}")
        pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else pair for pair in found.merges]
        if (odd := next((pair for pair in pairs if len(pair) != 2), None)) is not None:
            raise refused("merges", odd, "pairs of tokens", f"model in {WHOLE} of {where}")
        rest = {key: value for key, value in objects[WHOLE].items() if key != "added_tokens"}
        rest["model"] = {key: value for key, value in model.items() if key not in ("vocab", "merges")}
        return found.vocab, pairs if kind == "clip" else (), rest
    if kind == "bert":
        lines = texts["vocab.txt"].removesuffix("\n").split("\n")
        if len(lines) > MAX_TOKENS:
            raise damaged(f"{where}/vocab.txt", f"{len(lines):,} lines", f"at most {MAX_TOKENS:,} tokens")
        return {line.rstrip(_SPACES): number for number, line in enumerate(lines)}, (), {}
    found = read_config(_Model, {"vocab": dict(objects["vocab.json"])}, f"vocab.json of {where}")
    return found.vocab, _read_merges(texts["merges.txt"], where), {}


def _read_merges(text: str, where: str) -> Sequence[tuple[str, ...]]:
    """`merges.txt`: a pair of tokens on each line, as the library `tokenizers` reads it."""
    lines = text.removesuffix("\n").split("\n") if text else []
    pairs = [tuple(line.removesuffix("\r").split(" ")) for line in lines if not line.startswith("#version")]
    odd = next((pair for pair in pairs if len(pair) != 2), None)
    if odd is not None or len(pairs) > MAX_TOKENS:
        what = f"{len(pairs):,} lines" if odd is None else f"the line {shorten(' '.join(odd))}"
        raise damaged(f"{where}/merges.txt", what, f"up to {MAX_TOKENS:,} lines of two tokens")
    return pairs


def _require_sound(
    kind: Kind,
    where: str,
    numbers: Mapping[str, int],
    merges: Sequence[tuple[str, ...]],
    settings: TokenizerSettings,
) -> None:
    """Refuse what the library would fail on, or worse, would take."""
    if (longest := max(map(len, numbers))) > MAX_WORD:
        raise damaged(
            f"{where}/vocab", f"a token of {longest:,} characters", f"tokens of up to {MAX_WORD:,} characters"
        )
    unknown = settings.special["unk_token"]
    if unknown not in numbers:
        raise refused("unk_token", unknown, "a token of the vocabulary", f"{CONFIG} of {where}")
    for first, second in merges:
        if first not in numbers or second not in numbers or first + second not in numbers:
            raise damaged(
                f"{where}/merges", f"the pair {shorten(first)} {shorten(second)}", "pairs of tokens of the vocabulary"
            )
