"""Read prompts: words, weights in brackets, and syntax that only other tools understand.

Brackets are read as AUTOMATIC1111's web UI reads them ("Attention/emphasis" in its wiki): `(word)` is 1.1 times as
strong, `[word]` 1/1.1 times, `(word:1.3)` 1.3 times; brackets may be nested, their weights are multiplied; a backslash
before a bracket or a backslash makes it a character. A bracket that is never closed applies to the end; a closing
bracket without an opening one is a character. A note reports both.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..graph_runtime.core.errors import shorten
from ..graph_runtime.core.light.later import Float, Tensor, torch
from .text_encoder import encode_text, tokenize

if TYPE_CHECKING:
    from .text_module import TextModule

Syntax = Literal["weights", "plain"]
BRACKET = 1.1  # weight of one pair of round brackets
MOST_WEIGHED = 2_000_000  # brackets × marks of a prompt: reading them as weights takes that many steps
STRONG = 2.0  # larger weights are usually typing errors

#: An escaped character; a weight that closes a round bracket; a bracket; anything else.
_MARKS = re.compile(r"\\([()\[\]\\])|:\s*([+-]?(?:\d++(?:\.\d*+)?|\.\d++))\s*+\)|([()\[\]])|[^\\()\[\]:]+|[\\:]")
#: The pieces into which CLIP's tokenizer cuts a text before it looks for pairs (OpenAI CLIP, simple_tokenizer.py).
_PIECES = re.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE
)

_PLAIN = "is read as plain words here"
# A prompt may be long and hostile: these patterns take time in proportion to its length (no two repeats of one kind of
# character follow each other, unless the first gives nothing back).
#: Other tools' syntax, patterns that find it, and what to do instead.
_FOREIGN: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("BREAK", re.compile(r"\bBREAK\b"), f"BREAK {_PLAIN}: a prompt is read in one piece, up to the encoder's length"),
    ("AND", re.compile(r"(?<=\s)AND(?=\s)"), f"AND {_PLAIN}: prompts are not combined; say it in one sentence"),
    (
        "lora",
        re.compile(r"<(?:lora|lyco|locon):[^<>]*>", re.IGNORECASE),
        f"{{}} {_PLAIN}: put model.lora between the model and the sampler, with the file as its source",
    ),
    ("hypernet", re.compile(r"<hypernet:[^<>]*>", re.IGNORECASE), f"{{}} {_PLAIN}: hypernetworks are not supported"),
    (
        "embedding",
        re.compile(r"\bembedding:[\w.\\/-]+", re.IGNORECASE),
        f"{{}} {_PLAIN}: textual inversions are not supported; say in words what it stands for",
    ),
    (
        "schedule",
        re.compile(r"\[[^\[\]|:]*+:(?:[^\[\]|\d.]*+[\d.]++)++\s*+\]"),
        f"{{}} {_PLAIN}: a prompt is the same at every step, so the brackets only weaken it",
    ),
    (
        "alternation",
        re.compile(r"\[[^\[\]|]*+\|[^\[\]]*+\]"),
        f"{{}} {_PLAIN}: a prompt is the same at every step, so nothing alternates",
    ),
    (
        "choice",
        re.compile(r"\{[^{}|]*+\|[^{}]*+\}"),
        f"{{}} {_PLAIN}: nothing is chosen at random; write one option",
    ),
    (
        "wildcard",
        re.compile(r"(?<!\w)__[\w/*-]{1,80}__(?!\w)"),
        f"{{}} {_PLAIN}: wildcards are not filled in; write what is meant",
    ),
    ("braces", re.compile(r"\{[^{}|]+\}"), f"{{}} {_PLAIN}: braces give no weight; write (word:1.05)"),
    (
        "plus",
        re.compile(r"(?:(?<!\w)\w{2,}+|\))(?:\+{2,}|-{2,})(?=[\s,.]|$)|\)\d*\.\d+|\)[+-](?=[\s,.]|$)"),
        f"{{}} {_PLAIN}: a weight is written (word:1.3)",
    ),
    ("colons", re.compile(r"::-?\d*\.?\d*"), f"{{}} {_PLAIN}: parts of a prompt are not weighed by ::"),
    (
        "option",
        re.compile(r"(?<!\S)--(?:ar|aspect|v|version|no|stylize|s|chaos|c|seed|q|quality|niji|iw|tile)\b"),
        f"{{}} {_PLAIN}: it is an option of another program; use this workflow's own flags",
    ),
)
_NOT_WORDS = frozenset({"BREAK", "AND", "lora", "hypernet", "embedding", "wildcard", "option"})
_WEIGHT = re.compile(r"\([^()]+:\s*[+-]?[\d.]+\s*\)?|\(\([^()]+\)\)|\[\[[^\[\]]+\]\]")
_BAD_WEIGHT = re.compile(r"\([^()]*:\s*([+-]?\d+,\d+|[+-]?\d*+\.\d*+\.[\d.]*+|\d+(?:\.\d+)?%)\s*\)")


@dataclass(frozen=True)
class Prompt:
    """A prompt after reading.

    Attributes:
        pieces: the text without brackets and weights, split where the weight changes.
        notes: messages about how it was read.
    """

    pieces: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def text(self) -> str:
        """The text that the encoder reads."""
        return "".join(piece for piece, _ in self.pieces)

    @property
    def weighted(self) -> bool:
        """True if the weights differ."""
        return any(weight != 1 for _, weight in self.pieces)


def read_prompt(text: str, syntax: Syntax) -> Prompt:
    """Read a prompt: `plain` takes every character as it is, `weights` reads brackets (see above)."""
    if syntax == "plain":
        found = _WEIGHT.search(text)
        notes = (
            [
                f"{_show(found.group())}: brackets give no weight here and are read as they are; use syntax=weights, "
                f"or write the words without them"
            ]
            if found
            else []
        )
        return Prompt(((text, 1.0),), (*notes, *foreign(text)))
    marks = sum(map(text.count, "()[]\\:"))
    if marks * (text.count("(") + text.count("[")) > MOST_WEIGHED:
        return Prompt(((text, 1.0),), (f"{marks} brackets and colons in {_show(text)}: too many to read as weights",))
    pieces, notes = parse_weights(text)
    if any(weight != 1 for _, weight in pieces):  # NFC, as in the tokenizer, to match its tokens
        pieces = [(unicodedata.normalize("NFC", piece), weight) for piece, weight in pieces]
    return Prompt(tuple(pieces), (*notes, *foreign(text)))


def foreign(text: str) -> list[str]:
    """Notes on other tools' syntax in a text, one for each kind, with what to do instead."""
    notes = []
    for name, pattern, what in _FOREIGN:
        found = pattern.search(text)
        if found and not (name == "AND" and text.isupper()):
            notes.append(what.format(_show(found.group())))
            text = pattern.sub(" ", text)  # one note per construct
    return notes


def own_words(text: str) -> str:
    """A text without other tools' syntax that has its own note: BREAK, `<lora:name>` and the like."""
    for name, pattern, _ in _FOREIGN:
        if name in _NOT_WORDS:
            text = pattern.sub(" ", text)
    return text


def parse_weights(text: str) -> tuple[list[tuple[str, float]], list[str]]:
    """Parts of one weight each, in order (at least one, perhaps empty), and notes about odd brackets."""
    parts: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    lone = 0

    def weigh(start: int, factor: float) -> None:
        parts[start:] = [(piece, weight * factor) for piece, weight in parts[start:]]

    for mark in _MARKS.finditer(text):
        escaped, weight, bracket = mark.groups()
        if escaped:
            parts.append((escaped, 1.0))
        elif weight and opened["("]:
            weigh(opened["("].pop(), float(weight))
        elif bracket in opened:
            opened[bracket].append(len(parts))
        elif bracket == ")" and opened["("]:
            weigh(opened["("].pop(), BRACKET)
        elif bracket == "]" and opened["["]:
            weigh(opened["["].pop(), 1 / BRACKET)
        else:
            lone += bool(weight or bracket)
            parts.append((mark.group(), 1.0))
    unclosed = sum(map(len, opened.values()))
    for bracket, factor in (("(", BRACKET), ("[", 1 / BRACKET)):
        for start in opened[bracket]:
            weigh(start, factor)
    return _joined(parts), _bracket_notes(text, unclosed, lone, [weight for _, weight in parts])


def _joined(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    joined: list[tuple[str, float]] = []
    for piece, weight in parts:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    return joined or [("", 1.0)]


def _bracket_notes(text: str, unclosed: int, lone: int, weights: Sequence[float]) -> list[str]:
    notes = []
    if unclosed:
        notes.append(
            f"{_count(unclosed, 'bracket is', 'brackets are')} never closed, so the weight reaches to the end "
            f"of {_show(text)}; close it, or write \\( for a character"
        )
    if lone:
        notes.append(
            f"{_count(lone, 'closing bracket has', 'closing brackets have')} no opening one and "
            f"{'is read as a character' if lone == 1 else 'are read as characters'} in {_show(text)}"
        )
    if bad := _BAD_WEIGHT.search(text):
        notes.append(
            f"{_show(bad.group())}: {bad.group(1)!r} is no number and is read as words; a weight is written "
            f"with a point, as in (word:1.3)"
        )
    far = [weight for weight in weights if weight < 0 or weight > STRONG]
    if far:
        notes.append(f"a weight of {max(far, key=abs):.3g}: above about 1.5, or below 0, pictures fall apart")
    return notes


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _show(text: str) -> str:
    return shorten(text, 40)


def encode_prompt(module: "TextModule", prompt: Prompt) -> tuple[Float[Tensor, "1 n d"], tuple[int, ...], str, bool]:
    """Embeddings of a prompt, its tokens, what was cut off at the end, and whether its weights could be assigned.

    A token of weight w becomes `e + w · (z − e)`, where z is its embedding in the prompt and e what stands at its place
    in the empty prompt (ComfyUI, `ClipTokenWeightEncoder`). Weight 1 leaves every bit as it is. Unlike a product whose
    mean is restored, this does not divide by a mean, which may be zero.
    """
    embedded, tokens, rest = encode_text(module, prompt.text)
    if not prompt.weighted:
        return embedded, tokens, rest, True
    weights = token_weights(lambda text: tokenize(module.tokenizer, text, 10**9)[0][1:-1], prompt)
    if weights is None:
        return embedded, tokens, rest, False
    assigned = torch.ones(len(tokens), dtype=embedded.dtype)
    count = min(len(weights), len(tokens) - 2)  # start, end and padding tokens have weight 1
    assigned[1 : 1 + count] = torch.tensor(weights[:count], dtype=embedded.dtype)
    return weigh_tokens(embedded, encode_text(module, "")[0], assigned), tokens, rest, True


def weigh_tokens(
    embedded: Float[Tensor, "1 n d"], empty: Float[Tensor, "1 n d"], weights: Float[Tensor, " n"]
) -> Float[Tensor, "1 n d"]:
    """`empty + w · (embedded − empty)` for each token; those of weight 1 keep their bits."""
    moved = empty + weights[None, :, None] * (embedded - empty)
    return torch.where(weights[None, :, None] == 1, embedded, moved)


def token_weights(tokens_of: Callable[[str], Sequence[object]], prompt: Prompt) -> list[float] | None:
    """The weight of each token of a prompt, or None if its tokens cannot be assigned to its words.

    The tokens are those of the plain text. If a weight begins inside a word, the whole word gets the weight furthest
    from 1.

    Args:
        tokens_of: a text's tokens, without start and end.
        prompt: a prompt with weights.
    """
    each = [weight for piece, weight in prompt.pieces for _ in piece]
    found: list[object] = []
    weights: list[float] = []
    for piece in _PIECES.finditer(prompt.text):
        tokens = tokens_of(piece.group())
        found += tokens
        weights += [max(each[piece.start() : piece.end()], key=lambda weight: abs(weight - 1))] * len(tokens)
    return weights if found == list(tokens_of(prompt.text)) else None
