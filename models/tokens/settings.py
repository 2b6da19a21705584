"""A tokenizer's settings: the keys of its configuration files that count, by type and bounds.

`tokenizer_config.json` is read first. Unless it lists the added words itself (`added_tokens_decoder`), older files
beside it do: `special_tokens_map.json`, `added_tokens.json`, and `added_tokens` of `tokenizer.json` (transformers 5,
PreTrainedTokenizerBase._from_pretrained).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from ..config import Config, ConfigFile, read_config, refused
from .files import ADDED, CONFIG, OLDER, WHOLE

MAX_WORD = 4096  # characters of a token
MAX_ADDED = 20_000  # words that are not in the vocabulary itself
LONGEST = 10**9  # tokens; files of tokenizers without a limit state 10³⁰
Special = Literal["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
SPECIAL: tuple[Special, ...] = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
Token = Annotated[StrictStr, Field(min_length=1, max_length=MAX_WORD)]
Id = Annotated[StrictInt, Field(ge=0, le=LONGEST)]


class AddedWord(ConfigFile):
    """A word with a token of its own, found in a text before the text is cut into pieces.

    Attributes:
        content: the word.
        single_word: not inside another word.
        lstrip: spaces before it belong to it.
        rstrip: spaces after it belong to it.
        normalized: it is looked for in the normalised text; None: unless it is special.
        special: left out of a decoded text.
    """

    content: Token
    single_word: StrictBool = False
    lstrip: StrictBool = False
    rstrip: StrictBool = False
    normalized: StrictBool | None = None
    special: StrictBool = False


Word = Annotated[Token | AddedWord, Field(description="a text, or an object with its content")]
Words = Annotated[
    tuple[Token | AddedWord, ...], Field(max_length=MAX_ADDED, description=f"a list of up to {MAX_ADDED:,} words")
]

NamedWords = Annotated[dict[StrictStr, Token | AddedWord], Field(max_length=MAX_ADDED)]  # as transformers 4 writes them


class TokenizerConfig(ConfigFile):
    """`tokenizer_config.json` and `special_tokens_map.json`."""

    model_max_length: Annotated[
        StrictInt | StrictFloat | None, Field(ge=3, description="a number of tokens from 3")
    ] = None
    bos_token: Word | None = None
    eos_token: Word | None = None
    unk_token: Word | None = None
    sep_token: Word | None = None
    pad_token: Word | None = None
    cls_token: Word | None = None
    mask_token: Word | None = None
    additional_special_tokens: Words | None = None
    extra_special_tokens: Annotated[Words | NamedWords | None, Field(description="a list of words, or named ones")] = (
        None
    )
    added_tokens_decoder: Annotated[
        dict[StrictStr, AddedWord] | None,
        Field(max_length=MAX_ADDED, description=f"an object of up to {MAX_ADDED:,} numbers, each with its word"),
    ] = None
    do_lower_case: StrictBool = True
    tokenize_chinese_chars: StrictBool = True
    strip_accents: StrictBool | None = None
    clean_up_tokenization_spaces: StrictBool | None = None
    split_special_tokens: StrictBool = False

    @property
    def extra(self) -> list[str | AddedWord]:
        """The special words beside those with a purpose."""
        found = self.extra_special_tokens or ()
        return list(found.values() if isinstance(found, dict) else found)


class ListedWord(AddedWord):
    """An entry of `added_tokens` in `tokenizer.json`."""

    id: Id


class Listed(ConfigFile):
    """`added_tokens.json` and the words of `tokenizer.json`, each as one value."""

    added_tokens: Annotated[
        tuple[ListedWord, ...],
        Field(max_length=MAX_ADDED, description=f"a list of up to {MAX_ADDED:,} words with their numbers"),
    ] = ()
    words: Annotated[
        dict[Token, Id], Field(max_length=MAX_ADDED, description=f"an object of up to {MAX_ADDED:,} words and numbers")
    ] = Field(default_factory=dict)


class TokenizerSettings(NamedTuple):
    """What the files of a tokenizer say besides its vocabulary.

    Attributes:
        config: the keys that count.
        special: the words that begin, end or pad a text, or stand for an unknown one.
        added: all words with a token of their own, in the order in which they get numbers.
    """

    config: TokenizerConfig
    special: Mapping[Special, str]
    added: tuple[AddedWord, ...]


def read_settings(files: Mapping[str, Config], defaults: Mapping[Special, str], where: str) -> TokenizerSettings:
    """The settings of a tokenizer.

    Args:
        files: contents by name of file; those that do not exist are left out.
        defaults: words that the files need not name.
        where: the folder, for messages.

    Raises:
        ModelError: a value is of another type or out of bounds.
    """
    stated = files.get(CONFIG, {})
    place = f"{CONFIG} of {where}"
    config = read_config(TokenizerConfig, stated, place)
    named: dict[Special, AddedWord] = {key: _word(value) for key in SPECIAL if (value := getattr(config, key))}
    extra = config.extra or list(config.additional_special_tokens or ())
    if config.added_tokens_decoder is not None:
        listed = {_number(key, place): _word(word) for key, word in config.added_tokens_decoder.items()}
    else:
        older = read_config(TokenizerConfig, files.get(OLDER, {}), f"{OLDER} of {where}")
        named |= {key: _word(value, special=True) for key in SPECIAL if (value := getattr(older, key))}
        extra += [word for word in older.extra if word not in extra]
        if not {"extra_special_tokens", "additional_special_tokens"} & set(stated):
            extra = extra or list(older.additional_special_tokens or ())
        words = read_config(Listed, {"words": dict(files.get(ADDED, {}))}, f"{ADDED} of {where}").words
        special = {word.content for word in named.values()} | {_word(word).content for word in extra}
        listed = {number: _word(AddedWord(content=word, special=word in special)) for word, number in words.items()}
        whole = read_config(Listed, _only("added_tokens", files.get(WHOLE, {})), f"{WHOLE} of {where}")
        listed |= {word.id: _word(word) for word in whole.added_tokens}
    by_content = {word.content: word for word in listed.values()}
    named = {key: by_content.get(word.content, word) for key, word in named.items()}
    for key in defaults:
        if key in stated and stated[key] is None and key not in named:
            raise refused(key, None, "a word", place)
    named = {key: _word(defaults[key]) for key in SPECIAL if key in defaults} | named
    return TokenizerSettings(config, {key: word.content for key, word in named.items()}, _order(listed, named, extra))


def _order(
    listed: Mapping[int, AddedWord], named: Mapping[Special, AddedWord], extra: Sequence[str | AddedWord]
) -> tuple[AddedWord, ...]:
    """By number, then the named words, then the others; a word that is named is special."""
    found = [listed[number] for number in sorted(listed)]
    there = {word.content for word in found}
    for word in [*(named[key] for key in SPECIAL if key in named), *map(_word, extra)]:
        if word.content not in there and word not in found:
            found.append(word)
    special = {word.content for word in named.values()}
    return tuple(word.model_copy(update={"special": word.special or word.content in special}) for word in found)


def _word(value: str | AddedWord, special: bool | None = None) -> AddedWord:
    """A word with its defaults filled in; a text alone is special."""
    word = AddedWord(content=value, special=True) if isinstance(value, str) else value
    special = word.special if special is None else special
    normalized = not special if word.normalized is None else word.normalized
    return word.model_copy(update={"special": special, "normalized": normalized})


def _only(key: str, values: Config) -> Config:
    return {key: values[key]} if key in values else {}


def _number(text: str, where: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise refused("added_tokens_decoder", text, "numbers of tokens", where)
    return int(text)
