"""Encoders and tokenizers of a stranger: absurd values are refused by name, other keys named, nothing else opened."""

import json
import os
import shutil
import time

import pytest
import torch
from audit import audited
from inlay.graph_runtime import Context, ModelError
from inlay.graph_runtime.core.notices import collect_notices
from inlay.nodes.model import exemplar_encoder, paint_by_example, stable_diffusion
from inlay.nodes.model_vision import captioner, clip, detector, dino

SECONDS = 2.0
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
SEEING = {**SMALL, "image_size": 16, "patch_size": 8}
BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "sofa"]
START, END = "<|startoftext|>", "<|endoftext|>"
PICKLE = b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_at):
    """A folder of each kind, as transformers writes it."""
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        CLIPConfig,
        CLIPModel,
        Dinov2Config,
        Dinov2Model,
        ViTConfig,
        ViTModel,
    )

    root = tmp_path_factory.mktemp("models")
    tiny = tiny_at(root)
    torch.manual_seed(5)
    reading = {**SMALL, "vocab_size": 64, "max_position_embeddings": 12, "eos_token_id": 1}
    CLIPModel(CLIPConfig(text_config=reading, vision_config=SEEING, projection_dim=8)).save_pretrained(root / "clip")
    tiny.save_tokenizer(root / "clip")
    writing = {**SMALL, "vocab_size": len(BERT_WORDS), "max_position_embeddings": 32, "bos_token_id": 5}
    writing |= {"sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    whole = BlipConfig(text_config=writing, vision_config=SEEING)
    BlipForConditionalGeneration(whole).save_pretrained(root / "captioner")
    (root / "captioner" / "vocab.txt").write_text("\n".join(BERT_WORDS))
    ViTModel(ViTConfig(**SEEING), add_pooling_layer=False).save_pretrained(root / "dino")
    Dinov2Model(Dinov2Config(**{k: v for k, v in SEEING.items() if k != "intermediate_size"})).save_pretrained(
        root / "dinov2"
    )
    tiny.detector("detector")
    tiny.stable_diffusion("sd")
    tiny.paint_by_example("pbe")
    return root


NODES = {
    "clip": lambda folder: clip(source=folder).clip,
    "captioner": lambda folder: captioner(source=folder).captioner,
    "dino": lambda folder: dino(source=folder).dino,
    "dinov2": lambda folder: dino(source=folder).dino,
    "detector": lambda folder: detector(source=folder).detector,
    "sd": lambda folder: stable_diffusion(folder).text_encoder,
    "pbe": lambda folder: paint_by_example(folder).exemplar_encoder,
    "new": lambda folder: exemplar_encoder(folder).exemplar_encoder,
}
FOLDERS = {"new": "clip"}
PLACES = {"sd": "text_encoder", "pbe": "image_encoder"}


@pytest.fixture
def folder_of(models, tmp_path):
    def copied(kind):
        name = FOLDERS.get(kind, kind)
        return shutil.copytree(models / name, tmp_path / name)

    return copied


def answer(kind, folder):
    """The error or the warnings about a model, as one text, and the seconds of computing that they took."""
    start = time.process_time()
    with collect_notices() as said:
        try:
            NODES[kind](str(folder))
        except ModelError as problem:
            said = [*said, str(problem)]
    return " ".join(said), time.process_time() - start


HUGE, DEEP = 10**9, json.loads("[" * 14 + "]" * 14)
LAYERS = [10**7, 0, -1, "12", 4.5, True, None, [1], 257]
#: Keys of a transformer -> values that no model has.
SIZES = {
    "hidden_size": [HUGE, 0, "16", 15],
    "intermediate_size": [HUGE, 0, None],
    "num_hidden_layers": LAYERS,
    "num_attention_heads": [0, HUGE, 5, "2"],
    "hidden_act": ["os.system", "torch.nn.GELU", {"act": 1}, "prelu", 5],
    "layer_norm_eps": [-1.0, 1e300, "1e-5"],
}
PICTURES = {
    "image_size": [HUGE, 0, [16, 16], 5000, "16"],
    "patch_size": [0, 17, HUGE, "8"],
    "num_channels": [10**6, 1],
}
TEXTS = {
    "vocab_size": [10**9, 0, 3, "64"],
    "max_position_embeddings": [10**9, 2, 65_536],
}
#: (kind, part of the configuration) -> keys and values.
HOSTILE = {
    ("sd", ""): {**SIZES, **TEXTS, "eos_token_id": [-1, "1", [1]], "use_attention_mask": ["yes", 1]},
    ("clip", "text_config"): {**SIZES, **TEXTS},
    ("clip", "vision_config"): {**SIZES, **PICTURES},
    ("clip", ""): {"projection_dim": [HUGE, 0, "8"], "text_config_dict": [{"hidden_size": HUGE}]},
    ("new", "vision_config"): {**PICTURES, "attention_dropout": [2.0], "initializer_range": [1e9]},
    ("pbe", ""): {**SIZES, **PICTURES, "proj_size": [HUGE, 0, "8"]},
    ("captioner", "text_config"): {**SIZES, **TEXTS, "bos_token_id": [8, -1, None], "sep_token_id": [HUGE]},
    ("captioner", "vision_config"): {**SIZES, "image_size": [HUGE], "patch_size": [17]},
    ("dino", ""): {**SIZES, **PICTURES, "qkv_bias": ["no", 2]},
    ("dinov2", ""): {"mlp_ratio": [10**6, 0, 1.5], "num_hidden_layers": LAYERS, "use_swiglu_ffn": [1, "x"], **PICTURES},
    ("detector", ""): {
        "d_model": [HUGE, 0],
        "encoder_layers": [10**7, -1],
        "num_queries": [HUGE],
        "activation_function": ["os.system", 5],
        "encoder_attention_heads": [HUGE, 0],
        "id2label": [{"5": "a"}, "x"],
    },
}
CASES = [
    (kind, part, key, value)
    for (kind, part), keys in HOSTILE.items()
    for key, values in keys.items()
    for value in values
    if not (kind in ("dinov2", "captioner") and key in ("intermediate_size", "num_channels"))
]


def change(folder, kind, part, **keys):
    path = folder / PLACES.get(kind, "") / "config.json"
    config = json.loads(path.read_text())
    (config.setdefault(part, {}) if part else config).update(keys)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("group", sorted({case[:3] for case in CASES}), ids=lambda group: " ".join(group))
def test_absurd_values_of_an_encoder_are_refused_by_name_at_the_check(folder_of, group):
    kind, part, key = group
    folder = folder_of(kind)
    path = folder / PLACES.get(kind, "") / "config.json"
    original = path.read_text()
    for value in [case[3] for case in CASES if case[:3] == group]:
        path.write_text(original)
        change(folder, kind, part, **{key: value})
        heard, seconds = answer(kind, folder)
        named = "hidden_size" if key == "text_config_dict" else key
        assert named in heard or "num_attention_heads" in heard or "tokenizer of" in heard, value
        assert len(heard) < 2000
        assert seconds < SECONDS


#: What transformers would follow: another file, a repository, code.
ELSEWHERE = {
    "transformers_weights": "x.bin",
    "attn_implementation": "owner/repository",
    "_attn_implementation_internal": "owner/repository",
    "auto_map": {"AutoModel": "run.py"},
    "torchscript": True,
    "pruned_heads": {"0": [0]},
    "custom_pipelines": {"a": "run.py"},
    "base_model_name_or_path": "owner/repository",
    "revision": "refs/pr/1",
    "tpu": "x" * 10_000,
    "nested": DEEP,
}
KINDS = ["sd", "clip", "new", "pbe", "captioner", "dino", "dinov2", "detector"]
TIMM = {"backbone", "use_timm_backbone", "backbone_config"}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_transformers_would_follow_are_dropped_and_named(folder_of, kind):
    folder = folder_of(kind)
    want = NODES[kind](str(folder))
    with Context().lease(want) as module:
        state = {name: value.clone() for name, value in module.state_dict().items()}
    change(folder, kind, "", **ELSEWHERE)
    heard, seconds = answer(kind, folder)
    assert seconds < SECONDS
    for key in ELSEWHERE:
        assert key in heard, key
    with Context().lease(NODES[kind](str(folder))) as module:
        found = module.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_beside_an_encoder_is_neither_opened_nor_counted(folder_of, kind, monkeypatch):
    folder = folder_of(kind)
    change(folder, kind, "", **ELSEWHERE)
    first = NODES[kind](str(folder)).fingerprint
    strays = {"adapter_config.json", "adapter_model.safetensors", "x.bin", "pytorch_model.bin", "model.bin", "run.py"}
    strays |= {"modeling.py", "generation_config.json", "chat_template.jinja", "training_args.bin", "README.md"}
    for place in {folder, folder / PLACES.get(kind, ""), folder / "tokenizer"}:
        place.mkdir(exist_ok=True)
        for name in strays:
            (place / name).write_bytes(PICKLE)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/repository", "peft_type": "LORA"}')
    with audited() as heard:
        described = NODES[kind](str(folder))
        assert described.fingerprint == first
        with Context().lease(described):
            pass
    assert "config.json" in heard.files
    assert not strays & heard.files
    assert not heard.unpickled
    assert not heard.network


#: Files of a tokenizer -> what the answer names. A text is written as it is.
CLIP_FILES = {
    "no vocabulary": ({"vocab.json": None}, "vocab.json"),
    "an empty vocabulary": ({"vocab.json": {}}, "vocab"),
    "a vocabulary in a list": ({"vocab.json": ["a"]}, "vocab.json"),
    "numbers as texts": ({"vocab.json": {START: "0", END: "1"}}, "vocab"),
    "numbers below zero": ({"vocab.json": {START: -1, END: 1}}, "vocab"),
    "numbers of 2⁶⁰": ({"vocab.json": {START: 2**60, END: 1}}, "vocab"),
    "numbers of 5,000 digits": ({"vocab.json": '{"a": ' + "9" * 5000 + "}"}, "vocab.json"),
    "numbers beyond the embeddings": (
        {"vocab.json": {START: 0, END: 10**8}, "merges.txt": "#version: 0.2\n"},
        "tokenizer of",
    ),
    "fractions": ({"vocab.json": {START: 0.5, END: 1}}, "vocab"),
    "half a character": ({"vocab.json": '{"\\ud800": 0}'}, "vocab"),
    "another encoding": ({"vocab.json": b"\xff\xfe{\x00}\x00"}, "vocab.json"),
    "100,000 brackets": ({"vocab.json": "[" * 100_000}, "vocab.json"),
    "20 MB": ({"vocab.json": '{"a": 0' + " " * 20_000_000 + "}"}, "vocab.json"),
    "a token of 100,000 characters": ({"vocab.json": {START: 0, END: 1, "a" * 100_000: 2}}, "characters"),
    "600,000 tokens": ({"vocab.json": "{" + ",".join(f'"{n}":{n}' for n in range(600_000)) + "}"}, "vocab"),
    "no unknown word": ({"vocab.json": {START: 0}}, "unk_token"),
    "merges of three": ({"merges.txt": "a b c\n"}, "merges"),
    "merges of one": ({"merges.txt": "a\n"}, "merges"),
    "merges of strangers": ({"merges.txt": "x y\n"}, "merges"),
    "merges that make a stranger": ({"merges.txt": "a l\n"}, "merges"),
    "no merges": ({"merges.txt": None}, "vocab.json"),
    "merges as bytes": ({"merges.txt": PICKLE + b"\xff"}, "merges.txt"),
    "a million merges": ({"merges.txt": "a b\n" * 1_000_000}, "merges"),
    "a length of zero": ({"tokenizer_config.json": {"model_max_length": 0}}, "model_max_length"),
    "a length as a text": ({"tokenizer_config.json": {"model_max_length": "77"}}, "model_max_length"),
    "a length that is not a number": ({"tokenizer_config.json": '{"model_max_length": NaN}'}, "model_max_length"),
    "no end": ({"tokenizer_config.json": {"eos_token": None}}, "eos_token"),
    "an end that is empty": ({"tokenizer_config.json": {"eos_token": ""}}, "eos_token"),
    "an end in a list": ({"tokenizer_config.json": {"eos_token": ["a"]}}, "eos_token"),
    "an end without content": ({"tokenizer_config.json": {"eos_token": {"lstrip": True}}}, "eos_token"),
    "an end of a megabyte": ({"tokenizer_config.json": {"eos_token": "x" * 900_000}}, "eos_token"),
    "spaces that are no choice": (
        {"tokenizer_config.json": {"pad_token": {"content": "!", "lstrip": "yes"}}},
        "pad_token",
    ),
    "added numbers that are none": (
        {"tokenizer_config.json": {"added_tokens_decoder": {"x": {"content": "a"}}}},
        "added",
    ),
    "added numbers of 5,000 digits": (
        {"tokenizer_config.json": {"added_tokens_decoder": {"9" * 5000: {"content": "a"}}}},
        "added",
    ),
    "added words that are none": ({"tokenizer_config.json": {"added_tokens_decoder": {"1": "a"}}}, "added"),
    "added words beyond the embeddings": (
        {"tokenizer_config.json": {"additional_special_tokens": [f"<{n}>" for n in range(100)]}},
        "tokenizer of",
    ),
    "30,000 added words": (
        {"tokenizer_config.json": {"additional_special_tokens": [f"<{n}>" for n in range(30_000)]}},
        "additional_special_tokens",
    ),
    "code of its own": ({"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["run.py", None]}}}, "auto_map"),
    "a chat template": ({"tokenizer_config.json": {"chat_template": "{{ ''.__class__ }}"}}, "chat_template"),
    "another tokenizer": ({"tokenizer_config.json": {"tokenizer_class": "run.Tokenizer"}}, "tokenizer_class"),
    "another file": ({"tokenizer_config.json": {"fast_tokenizer_files": ["../../x.json"]}}, "fast_tokenizer_files"),
    "arguments of its own": ({"tokenizer_config.json": {"init_inputs": ["/etc/passwd"]}}, "init_inputs"),
    "an older map in a list": ({"special_tokens_map.json": ["a"]}, "special_tokens_map.json"),
    "an older map of numbers": ({"special_tokens_map.json": {"pad_token": 5}}, "pad_token"),
    "added words by text": ({"added_tokens.json": {"a": "b"}}, "words"),
    "a whole file of no model": ({"tokenizer.json": {"model": None}}, "model"),
    "a whole file of another model": ({"tokenizer.json": {"model": {"type": "Unigram", "vocab": []}}}, "model"),
    "a whole file of merges of three": (
        {"tokenizer.json": {"model": {"vocab": {START: 0, END: 1}, "merges": ["a b c"]}}},
        "merges",
    ),
    "a whole file of merges of numbers": (
        {"tokenizer.json": {"model": {"vocab": {START: 0, END: 1}, "merges": [[1, 2]]}}},
        "merges",
    ),
    "a whole file of added rubbish": (
        {"tokenizer.json": {"model": {"vocab": {START: 0, END: 1}}, "added_tokens": [5]}},
        "added_tokens",
    ),
    "a pattern without end": (
        {
            "tokenizer.json": {
                "model": {"vocab": {START: 0, END: 1}},
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed"},
            }
        },
        "pre_tokenizer",
    ),
    "a normaliser that grows": (
        {
            "tokenizer.json": {
                "model": {"vocab": {START: 0, END: 1}},
                "normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10_000},
            }
        },
        "normalizer",
    ),
    "chance": ({"tokenizer.json": {"model": {"vocab": {START: 0, END: 1}, "dropout": 0.5}}}, "model"),
}
BERT_FILES = {
    "no vocabulary": ({"vocab.txt": None}, "vocab.txt"),
    "an empty vocabulary": ({"vocab.txt": ""}, "unk_token"),
    "more words than embeddings": ({"vocab.txt": "\n".join([*BERT_WORDS, "lamp"])}, "tokenizer of"),
    "a million words": ({"vocab.txt": "a\n" * 1_000_000}, "vocab.txt"),
    "a word of 100,000 characters": ({"vocab.txt": "\n".join([*BERT_WORDS[:7], "x" * 100_000])}, "characters"),
    "other bytes": ({"vocab.txt": PICKLE + b"\xff"}, "vocab.txt"),
    "no unknown word": ({"tokenizer_config.json": {"unk_token": "x"}}, "unk_token"),
    "capitals that are no choice": ({"tokenizer_config.json": {"do_lower_case": "no"}}, "do_lower_case"),
    "a model of CLIP": ({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}}}}, "model"),
    "another tokenizer": ({"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"}}, "tokenizer_class"),
}


def write_files(folder, files):
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize("kind", ["sd", "clip"])
@pytest.mark.parametrize(("files", "found"), CLIP_FILES.values(), ids=CLIP_FILES)
def test_a_hostile_tokenizer_of_clip_is_refused_or_its_keys_are_named(folder_of, kind, files, found):
    folder = folder_of(kind)
    write_files(folder / "tokenizer" if kind == "sd" else folder, files)
    heard, seconds = answer(kind, folder)
    assert found in heard
    assert len(heard) < 2000
    assert seconds < SECONDS


@pytest.mark.parametrize(("files", "found"), BERT_FILES.values(), ids=BERT_FILES)
def test_a_hostile_tokenizer_of_blip_is_refused_or_its_keys_are_named(folder_of, files, found):
    folder = folder_of("captioner")
    write_files(folder, files)
    heard, seconds = answer("captioner", folder)
    assert found in heard
    assert len(heard) < 2000
    assert seconds < SECONDS


@pytest.mark.parametrize(
    ("kind", "side"),
    [("dino", 24), ("dino", HUGE), ("dinov2", HUGE), ("dinov2", 0), ("dinov2", 4), ("dinov2", 2048), ("dinov2", "16")],
)
def test_pictures_of_absurd_sizes_are_refused_at_the_check(folder_of, kind, side):
    folder = folder_of(kind)
    (folder / "preprocessor_config.json").write_text(json.dumps({"crop_size": {"height": side, "width": side}}))
    heard, seconds = answer(kind, folder)
    assert "crop_size" in heard
    assert seconds < SECONDS


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sd", "tokenizer/vocab.json"),
        ("sd", "tokenizer/merges.txt"),
        ("sd", "tokenizer/tokenizer_config.json"),
        ("sd", "text_encoder/config.json"),
        ("sd", "text_encoder/model.safetensors"),
        ("clip", "vocab.json"),
        ("clip", "merges.txt"),
        ("clip", "tokenizer_config.json"),
        ("clip", "config.json"),
        ("clip", "model.safetensors"),
        ("captioner", "vocab.txt"),
        ("captioner", "config.json"),
        ("dino", "model.safetensors"),
        ("detector", "preprocessor_config.json"),
        ("pbe", "feature_extractor/preprocessor_config.json"),
        ("pbe", "image_encoder/config.json"),
    ],
)
def test_any_changed_byte_of_an_encoder_s_files_changes_its_fingerprint(folder_of, kind, name):
    """In one process, with the same size and the same time of modification."""
    folder = folder_of(kind)
    first = NODES[kind](str(folder)).fingerprint
    path = folder / name
    times, content = path.stat(), path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    if path.suffix == ".json":
        changed = content.replace(b"\n", b" ", 1) if b"\n" in content else content.replace(b": ", b":\t", 1)
    elif path.suffix == ".txt":
        changed = content.replace(b"a b\n", b"c d\n") if b"a b\n" in content else content.replace(b"sofa", b"lamp")
    if name.endswith("merges.txt"):
        changed = content.replace(b"0.2", b"0.3")
    assert len(changed) == len(content)
    assert changed != content
    path.write_bytes(changed)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert NODES[kind](str(folder)).fingerprint != first
