"""Tokenizers give the tokens of transformers' own loader, and read nothing but their vocabulary and settings."""

import json
from pathlib import Path

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from inlay.models.tokens.tokenizer import read_tokenizer
from transformers import BertTokenizerFast, CLIPTokenizerFast

pytestmark = pytest.mark.floor
ROOT = Path(__file__).resolve().parents[2]
NEWEST = int(transformers.__version__.split(".")[0]) >= 5
START, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = "abcdefghijkl"
CLIP_WORDS = [
    START,
    END,
    *LETTERS,
    *(f"{letter}</w>" for letter in LETTERS),
    "ab",
    "abc</w>",
    "cd",
    "cd</w>",
    "!",
    "!</w>",
]
MERGES = ["a b", "ab c</w>", "c d", "c d</w>"]
BERT_WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[DEC]",
    "[ENC]",
    "a",
    "sofa",
    "##s",
    "##a",
    "é",
    "e",
    ",",
    ".",
]
#: Prompts that a tokenizer may read in more than one way.
PROMPTS = [
    "",
    " ",
    "abc cd, ab!",
    "ABC  Ab\tcd\n",
    f"a {END} b",
    f"{START}ab{END}",
    *(["<|ENDOFTEXT|>"] if NEWEST else []),  # version 4 finds its special words in capitals too
    "it's don't 'S",
    "a1b22c",
    "猫 ab 猫猫 🐈",
    "e\u0301 é İ ß \u00a0x",
    "a\u0000b \ufffd",
    "[DEC] a [dec] sofas ,sofa. [UNK]",
    "<new> a<new>b <NEW>",
    "ab" * 300,
]
TEXTS = st.text(st.sampled_from("abc dsofaABC'!<|>12é\u0301 猫\t") | st.characters(codec="utf-8"), max_size=40)


def write_clip(folder, config=None, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(CLIP_WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return write(folder, config, **files)


def write_bert(folder, config=None, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS) + "\n", encoding="utf-8")
    return write(folder, config, **files)


def write(folder, config, **files):
    if config is not None:
        files["tokenizer_config"] = config
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def added(content, **more):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, **more}


#: Settings that models are published with, and odd ones that transformers reads.
CLIP = {
    "none": {},
    "empty": {"config": {}},
    "usual": {
        "config": {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END, "model_max_length": 77}
    },
    "objects": {
        "config": {key: {"__type": "AddedToken", **added(END, normalized=True)} for key in ("eos_token", "unk_token")}
    },
    "padded by !": {"config": {"pad_token": "!"}},
    "padded by a new word": {"config": {"pad_token": "<pad>"}},
    "listed": {"config": {"added_tokens_decoder": {"0": added(START, special=True), "1": added(END, special=True)}}},
    "listed out of order": {
        "config": {"added_tokens_decoder": {"99": added("<new>", special=True), "40": added("q r", special=True)}}
    },
    "stripping": {"config": {"added_tokens_decoder": {"40": added("<new>", lstrip=True, rstrip=True)}}},
    "single words": {"config": {"added_tokens_decoder": {"40": added("<new>", single_word=True, special=True)}}},
    "normalised": {"config": {"added_tokens_decoder": {"40": added("<NEW>", normalized=True)}}},
    "extra": {"config": {"additional_special_tokens": ["<new>", "q"]}},
    "extra too": {"config": {"extra_special_tokens": ["<new>"], "additional_special_tokens": ["<old>"]}},
    "older": {"special_tokens_map": {"pad_token": "!", "unk_token": added(END), "eos_token": added(END)}},
    "older counts": {"config": {"pad_token": END}, "special_tokens_map": {"pad_token": "!"}},
    "older does not count": {
        "config": {"pad_token": END, "added_tokens_decoder": {"1": added(END, special=True)}},
        "special_tokens_map": {"pad_token": "!"},
        "added_tokens": {"<new>": 40},
    },
    "added": {"config": {}, "added_tokens": {"<new>": 33, "<also>": 32}},
    "added and named": {"config": {"pad_token": "<new>"}, "added_tokens": {"<new>": 33}},
    "no splitting": {"config": {"split_special_tokens": True}},
    "names for extra": {"config": {"extra_special_tokens": {"image_token": "<new>"}}},
    "no extra": {"config": {"extra_special_tokens": {}, "additional_special_tokens": None}},
    "a length": {"config": {"model_max_length": 1000000000000000019884624838656}},
    "strays": {
        "config": {"auto_map": {"AutoTokenizer": ["x.py", None]}, "chat_template": "{{ 1 }}", "errors": "strict"}
    },
}
BERT = {
    "none": {},
    "usual": {"config": {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 512}},
    "cased": {"config": {"do_lower_case": False}},
    "accents": {"config": {"strip_accents": False}},
    "no characters": {"config": {"tokenize_chinese_chars": False}},
    "tidied": {"config": {"clean_up_tokenization_spaces": True}},
    "blip": {"config": {"do_lower_case": True}, "special_tokens_map": {"bos_token": "[DEC]", "cls_token": "[CLS]"}},
    "listed": {"config": {"bos_token": "[DEC]", "added_tokens_decoder": {"5": added("[DEC]", special=True)}}},
    "extra": {"config": {"additional_special_tokens": ["[ENC]"]}},
}
#: What transformers 4 reads in another way than version 5, which counts.
NEWER = {"extra too", "older counts", "names for extra"}


def same(ours, own, prompts):
    for prompt in prompts:
        want = own(prompt).input_ids
        assert ours.tokens(prompt) == want, prompt
        assert ours.text(want) == own.decode(want), prompt
        assert ours.text(want, skip_special=True) == own.decode(want, skip_special_tokens=True), prompt
    assert len(ours) == len(own)
    assert ours.pad == own.pad_token_id
    assert ours.longest == min(own.model_max_length, 10**9)


@pytest.mark.parametrize("name", CLIP)
def test_clip_s_tokens_are_those_of_transformers(tmp_path, name):
    folder = write_clip(tmp_path / "tokenizer", **CLIP[name])
    if name in NEWER and not NEWEST:
        assert read_tokenizer(folder, "clip").tokens("ab")
        return
    same(read_tokenizer(folder, "clip"), CLIPTokenizerFast.from_pretrained(folder), PROMPTS)


@pytest.mark.parametrize("name", BERT)
def test_bert_s_tokens_are_those_of_transformers(tmp_path, name):
    folder = write_bert(tmp_path / "tokenizer", **BERT[name])
    same(read_tokenizer(folder, "bert"), BertTokenizerFast.from_pretrained(folder), PROMPTS)


@pytest.mark.parametrize("kind", ["clip", "bert"])
@pytest.mark.parametrize("plain", [True, False])
def test_a_whole_tokenizer_file_has_the_same_tokens(tmp_path, kind, plain):
    """`tokenizer.json` as transformers writes it, with the plain vocabulary beside it or without."""
    write_kind, own_kind = (write_clip, CLIPTokenizerFast) if kind == "clip" else (write_bert, BertTokenizerFast)
    first = write_kind(tmp_path / "first", {"additional_special_tokens": ["<new>"]})
    folder = tmp_path / "second"
    own_kind.from_pretrained(first).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
        if plain:
            (folder / name).write_text("{}")  # does not count
    same(read_tokenizer(folder, kind), own_kind.from_pretrained(first), PROMPTS)


@pytest.mark.parametrize("folder", ["weights/tokenizer", "clip"])
@given(text=TEXTS)
def test_any_prompt_has_the_tokens_of_transformers_in_the_embedded_models(folder, text):
    same(*shipped(folder), [text])


@given(text=TEXTS)
def test_any_words_have_the_tokens_of_transformers_in_a_captioner(bert, text):
    same(*bert, [text])


def shipped(folder, kept={}):  # noqa: B006 - kept between examples
    place = ROOT / "dollhouse" / folder
    if folder not in kept:
        kept[folder] = read_tokenizer(place, "clip"), CLIPTokenizerFast.from_pretrained(place)
    return kept[folder]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = write_bert(tmp_path_factory.mktemp("bert"), {"additional_special_tokens": ["[ENC]"]})
    return read_tokenizer(folder, "bert"), BertTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize(
    "lines",
    ["a b\r\nc d</w>\r\n", "#version: 0.2\na b", "a b\n#version: 9\nc d\n", "", "#version: 0.2\n"],
)
def test_lines_of_merges_are_read_as_the_library_reads_them(tmp_path, lines):
    folder = write_clip(tmp_path / "tokenizer")
    (folder / "merges.txt").write_bytes(lines.encode())
    if not NEWEST:
        assert read_tokenizer(folder, "clip").tokens("ab cd")
        return
    same(read_tokenizer(folder, "clip"), CLIPTokenizerFast.from_pretrained(folder), PROMPTS)


@pytest.mark.parametrize("end", ["", "\n", " \n", "\r\n", "\n\n", "\u00a0\n", "\u2028x\n"])
def test_lines_of_a_vocabulary_are_read_as_the_library_reads_them(tmp_path, end):
    folder = write_bert(tmp_path / "tokenizer")
    (folder / "vocab.txt").write_bytes(("\n".join(BERT_WORDS) + "\nlamp" + end).encode())
    ours = read_tokenizer(folder, "bert")
    if NEWEST:
        own = BertTokenizerFast.from_pretrained(folder)
        assert ours.backend.get_vocab() == own.get_vocab()
    assert ours.tokens("a lamp")[:2] == [2, 7]


def test_tokens_do_not_depend_on_the_version_of_transformers(tmp_path):
    """Written down once; `.ci/floor-test` compares them with the oldest release."""
    tokenizer = read_tokenizer(write_clip(tmp_path / "tokenizer"), "clip")
    assert tokenizer.tokens("abc 猫 Cd!") == [0, 27, 1, 1, 1, 29, 31, 1]
