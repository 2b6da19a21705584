"""The model's vocabulary: CLIP's byte-level alphabet, and merges that turn every word of the world into one token."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from .world import FLOOR_COLOURS, KINDS, PATTERNS, SUBJECT_COLOURS, WALL_COLOURS

MAX_TOKENS = 32
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
#: Words of captions that are not the name of an attribute, and a few that people are likely to type.
OTHER_WORDS = (  # noqa: SIM905 - forty quoted words are harder to read
    """
    a an and at before behind big black colour dark drawing empty facing floor folded forest front house image in
    left light little lying middle no of on painting photo picture right room sitting sky small spread standing sun
    the there to two under wall walls white window wings with without wooden , .
    """
).split()


def words() -> list[str]:
    """Every word that has a token of its own, sorted."""
    return sorted({*OTHER_WORDS, *KINDS, *PATTERNS, *SUBJECT_COLOURS, *WALL_COLOURS, *FLOOR_COLOURS})


def _byte_alphabet() -> list[str]:
    """The 256 printable characters that stand for bytes in byte-level vocabularies, in CLIP's order."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(i) for i in kept] + [chr(256 + i) for i in range(256 - len(kept))]


def byte_pairs(vocabulary: list[str]) -> list[tuple[str, str]]:
    """Merges, most frequent pair first, until each word of the vocabulary is whole."""
    pieces = [[*word[:-1], f"{word[-1]}</w>"] for word in vocabulary]
    merges = []
    while True:
        pairs = Counter(pair for piece in pieces for pair in pairwise(piece))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merged(piece, best) for piece in pieces]


def _merged(piece: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in piece:
        # Left to right, as the tokenizer itself does; a symbol just made by this merge is not merged again.
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write vocab.json, merges.txt and settings that `CLIPTokenizer.from_pretrained(folder)` reads; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet, merges = _byte_alphabet(), byte_pairs(words())
    symbols = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges), BOS, EOS]
    vocabulary = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}
    settings = {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True,
        "bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS,
        "add_prefix_space": False, "errors": "replace",
    }  # fmt: skip
    special = {key: value for key, value in settings.items() if key.endswith("_token")}
    texts = {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges),
        "tokenizer_config.json": json.dumps(settings, indent=2) + "\n",
        "special_tokens_map.json": json.dumps(special, indent=2) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder)
