"""A tokenizer: texts to tokens and back, as CLIP and BERT were trained with.

The parts are put together as in transformers 5 (CLIPTokenizer, BertTokenizer), from classes of the library
`tokenizers`; whichever transformers is installed, a prompt has the same tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .files import Kind
from .settings import LONGEST
from .vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    import tokenizers

#: The pieces into which CLIP cuts a text (OpenAI CLIP, simple_tokenizer.py).
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORD_END = "</w>"  # how a token of CLIP marks the end of a word
#: Spaces that BERT's words keep when they are joined, and what becomes of them (transformers' clean_up_tokenization).
_TIDY = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class Tokenizer:
    """Turns texts into tokens and back. It has no state that a call changes, so threads may share it.

    Attributes:
        backend: the tokenizer of the library `tokenizers`.
        longest: tokens of a text, start and end included, that its files allow.
        pad: the token that fills up short texts.
    """

    def __init__(self, vocabulary: Vocabulary, kind: Kind, pad: str | None = None) -> None:
        self.backend = _clip(vocabulary) if kind == "clip" else _bert(vocabulary)
        special, config = vocabulary.settings.special, vocabulary.settings.config
        self.backend.encode_special_tokens = config.split_special_tokens
        found = self.backend.token_to_id(pad or special["pad_token"])
        self.pad = _number(self.backend, special["unk_token"]) if found is None else found
        self.longest = int(min(config.model_max_length or LONGEST, LONGEST))
        self._clip = kind == "clip"
        self._tidy = config.clean_up_tokenization_spaces is True and not self._clip

    def __len__(self) -> int:
        """How many tokens it knows."""
        return int(self.backend.get_vocab_size())

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, start and end included, neither padded nor cut off."""
        return list(self.backend.encode(text).ids)

    def text(self, tokens: Sequence[int], skip_special: bool = False) -> str:
        """The words of some tokens."""
        found = str(self.backend.decode(list(tokens), skip_special_tokens=skip_special))
        if self._clip:
            return found.replace(WORD_END, " ").strip()
        for mark in _TIDY if self._tidy else ():
            found = found.replace(mark, mark.strip())
        return found


def read_tokenizer(folder: Path, kind: Kind, pad: str | None = None) -> Tokenizer:
    """The tokenizer in a folder; `pad` is another word to fill up texts than its files say.

    Raises:
        ModelError: a file is missing, damaged or too large.
    """
    return Tokenizer(read_vocabulary(folder, kind), kind, pad)


def _clip(vocabulary: Vocabulary) -> "tokenizers.Tokenizer":
    import tokenizers
    from tokenizers import normalizers, pre_tokenizers, processors

    special = vocabulary.settings.special
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab=dict(vocabulary.numbers),
            merges=[(first, second) for first, second in vocabulary.merges],
            dropout=None,
            continuing_subword_prefix="",
            end_of_word_suffix=WORD_END,
            fuse_unk=False,
            unk_token=special["unk_token"],
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    _add_words(backend, vocabulary)
    end, start = special["eos_token"], special["bos_token"]
    backend.post_processor = processors.RobertaProcessing(
        (end, _number(backend, end)), (start, _number(backend, start)), False, False
    )
    return backend


def _bert(vocabulary: Vocabulary) -> "tokenizers.Tokenizer":
    import tokenizers

    special, config = vocabulary.settings.special, vocabulary.settings.config
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(dict(vocabulary.numbers), unk_token=special["unk_token"])
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.tokenize_chinese_chars,
        strip_accents=config.strip_accents,
        lowercase=config.do_lower_case,
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.decoder = tokenizers.decoders.WordPiece(prefix="##")
    _add_words(backend, vocabulary)
    start, end = special["cls_token"], special["sep_token"]
    backend.post_processor = tokenizers.processors.BertProcessing(
        (end, _number(backend, end)), (start, _number(backend, start))
    )
    return backend


def _number(backend: "tokenizers.Tokenizer", word: str) -> int:
    found = backend.token_to_id(word)
    assert found is not None, f"{word!r} was added"
    return int(found)


def _add_words(backend: "tokenizers.Tokenizer", vocabulary: Vocabulary) -> None:
    from tokenizers import AddedToken

    backend.add_tokens(
        [
            AddedToken(
                word.content,
                single_word=word.single_word,
                lstrip=word.lstrip,
                rstrip=word.rstrip,
                normalized=word.normalized is True,
                special=word.special,
            )
            for word in vocabulary.settings.added
        ]
    )
