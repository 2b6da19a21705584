"""A LoRA of a stranger is refused, or what it says beside its tensors is named; nothing of it takes long."""

import json
import os
import re
import struct
import time

import pytest
import torch
from audit import audited
from hypothesis import given
from hypothesis import strategies as st
from inlay.graph_runtime import Context, ModelError
from inlay.graph_runtime.core.notices import collect_notices
from inlay.models.lora.patterns import Alphas, names_of
from inlay.nodes import model
from inlay.nodes.model_lora import lora
from safetensors.torch import save_file

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
SECONDS = 2.0


@pytest.fixture(scope="module")
def base(shared_sd):
    return model.stable_diffusion(str(shared_sd)).denoiser


def plain(path, metadata=None, prefix="unet.", rank=2, extra=None):
    tensors = {
        f"{prefix}{LAYER}.lora_A.weight": torch.full((rank, 16), 0.5),
        f"{prefix}{LAYER}.lora_B.weight": torch.full((16, rank), 0.5),
    }
    save_file(tensors | (extra or {}), str(path), metadata)
    return path


def raw(path, entries, data=b"", metadata=None):
    """A safetensors file of any header, whether it is true or not; a number stands for so many empty tensors."""
    if isinstance(entries, int):
        one = '"x%d.lora_down.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
        text = ("{" + ",".join(one % number for number in range(entries)) + "}").encode()
    else:
        text = json.dumps(({"__metadata__": metadata} if metadata else {}) | entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def tensor(shape, start=0, end=None, dtype="F32"):
    size = 4
    for side in shape:
        size *= side
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + size if end is None else end]}


def entry(name, shape, **more):
    return {f"unet.{name}.lora_A.weight": tensor(shape, **more)}


def many(count, name="lora_unet_x{}_to_q.lora_down.weight"):
    return {name.format(number): {"dtype": "F32", "shape": [0, 1], "data_offsets": [0, 0]} for number in range(count)}


#: What the configuration in the header says -> what the answer names.
CONFIGURATIONS = {
    "rank of a thousand million": ({"r": 10**9}, "r = 1000000000"),
    "rank of 5,000 digits": ('{"unet.r": ' + "9" * 5000 + "}", "lora_adapter_metadata"),
    "rank below one": ({"r": -1}, "r = -1"),
    "rank of a fraction": ({"r": 2.5}, "r = 2.5"),
    "rank true": ({"r": True}, "r = True"),
    "α of infinity": ('{"unet.lora_alpha": Infinity}', "lora_alpha"),
    "α of no number": ('{"unet.lora_alpha": NaN}', "lora_alpha"),
    "α of 1e300": ({"lora_alpha": 1e300}, "lora_alpha"),
    "α as a text": ({"lora_alpha": "16"}, "lora_alpha"),
    "α pattern of a regular expression without end": ({"alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern"),
    "α pattern of any character": ({"alpha_pattern": {".*.*.*x": 1}}, "alpha_pattern"),
    "α pattern with a look behind": ({"alpha_pattern": {"(?<=a)b": 1}}, "alpha_pattern"),
    "α pattern of digits": ({"alpha_pattern": {r"down_blocks\.\d+": 1}}, "alpha_pattern"),
    "α pattern of a set": ({"alpha_pattern": {"[a-z]*": 1}}, "alpha_pattern"),
    "α pattern of repeats": ({"alpha_pattern": {"a{1,9999}": 1}}, "alpha_pattern"),
    "α pattern that is empty": ({"alpha_pattern": {"": 1}}, "alpha_pattern"),
    "α pattern of many alternatives": ({"alpha_pattern": {"(a|b)" * 30: 1}}, "alpha_pattern"),
    "α pattern of a long name": ({"alpha_pattern": {"a" * 10_000: 1}}, "alpha_pattern"),
    "α pattern of 30,000 names": ({"alpha_pattern": {f"a{n}": 1 for n in range(30_000)}}, "alpha_pattern"),
    "α pattern of infinity": ('{"unet.alpha_pattern": {"to_q": 1e999}}', "alpha_pattern"),
    "α pattern in a list": ({"alpha_pattern": ["to_q"]}, "alpha_pattern"),
    "√r as a text": ({"use_rslora": "yes"}, "use_rslora"),
    "another kind of adapter": ({"peft_type": "VERA"}, "peft_type"),
    "DoRA": ({"use_dora": True}, "use_dora"),
    "weights of other modules": ({"modules_to_save": ["conv_in"]}, "modules_to_save"),
    "a start that changed the base": ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
    "new tokens": ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    "layers repeated": ({"layer_replication": [[0, 10**9]]}, "layer_replication"),
    "a key nobody knows": ({"run_this": "import os"}, "run_this"),
    "code of its own": ({"auto_map": {"AutoPeft": "x.py"}}, "auto_map"),
    "not JSON": ("{", "lora_adapter_metadata"),
    "a list": ("[1]", "lora_adapter_metadata"),
    "100,000 brackets": ("[" * 100_000, "lora_adapter_metadata"),
    "2 MiB": (" " * 2**21 + "{}", "lora_adapter_metadata"),
}
#: What has no say: the tensors decide, so it needs no warning and reaches no library.
WITHOUT_A_SAY = {
    "target_modules": "(a+)+$",
    "exclude_modules": "(.*)*x",
    "layers_to_transform": [10**9],
    "layers_pattern": "(a|a)*b",
    "rank_pattern": {"(a+)+$": 10**9},
    "base_model_name_or_path": "owner/repository",
    "revision": "../../etc",
    "megatron_config": {"a": 1},
    "loftq_config": {"a": 1},
    "runtime_config": {"ephemeral_gpu_offload": True},
    "task_type": "CAUSAL_LM",
    "inference_mode": False,
}
#: Headers that lie, by what the answer names.
HEADERS = {
    "30,000 tensors": (lambda path: raw(path, many(30_000)), "tensors"),
    "500,000 tensors": (lambda path: raw(path, 500_000), "header"),
    "a header of 90 MB": (lambda path: raw(path, {}, metadata={"a": "x" * 90_000_000}), "header of"),
    "names of a million characters": (lambda path: raw(path, entry("a" * 10**6, (0, 1))), "names"),
    "names of points alone": (lambda path: raw(path, entry("." * 500, (0, 1))), "parts"),
    "10,000 long names": (lambda path: raw(path, many(10_000, "x{}" + "y" * 400)), "names"),
    "a header longer than the file": (
        lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}") and path,
        "safetensors",
    ),
    "a tensor longer than the file": (lambda path: raw(path, entry("to_q", (2, 16), end=2**40)), "header"),
    "shapes of 2⁶³": (lambda path: raw(path, entry("to_q", (2**40, 2**40), end=0)), "header"),
    "rank of 10⁹ in no bytes": (
        lambda path: raw(
            path,
            {
                f"unet.{LAYER}.lora_A.weight": {"dtype": "F32", "shape": [10**9, 0], "data_offsets": [0, 0]},
                f"unet.{LAYER}.lora_B.weight": {"dtype": "F32", "shape": [0, 10**9], "data_offsets": [0, 0]},
            },
        ),
        "rank",
    ),
    "rank above both sides": (lambda path: plain(path, rank=64), "rank"),
    "half a pair": (lambda path: raw(path, entry("to_q", (0, 16))), "half a pair"),
    "integers": (
        lambda path: save_file({f"unet.{LAYER}.lora_A.weight": torch.ones(2, 16, dtype=torch.int8)}, str(path)) or path,
        "type I8",
    ),
    "a layer twice": (
        lambda path: plain(path, extra={f"diffusion_model.{LAYER}.lora_A.weight": torch.ones(2, 16)}),
        "each layer once",
    ),
    "a whole weight": (lambda path: plain(path, extra={f"{LAYER}.diff": torch.ones(2)}), "differences"),
    "a LoHa": (lambda path: plain(path, extra={f"{LAYER}.hada_w1_a": torch.ones(2)}), "LoHa"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n") and path, "safetensors"),
    "nothing": (lambda path: path.write_bytes(b"") and path, "safetensors"),
    "a clip skip of 5,000 digits": (lambda path: plain(path, {"ss_clip_skip": "9" * 5000}), ""),
    "a rank that is not a number": (lambda path: plain(path, {"ss_network_dim": "1e999"}), "ss_network_dim"),
    "a base of 100,000 brackets": (lambda path: plain(path, {"inlay": "[" * 100_000}), ""),
    "a base of 2 MB": (lambda path: plain(path, {"inlay": json.dumps({"base": "x" * 2**21})}), ""),
}


def answer(base, path):
    """The error or the warnings about a LoRA, as one text, and the seconds of computing that they took."""
    start = time.process_time()
    with collect_notices() as said:
        try:
            lora(base, source=str(path))
        except ModelError as problem:
            said = [*said, str(problem)]
    return " ".join(said), time.process_time() - start


@pytest.mark.parametrize(("said", "found"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize("place", ["in the header", "beside the file"])
def test_a_hostile_configuration_of_a_lora_is_refused_or_its_keys_are_named(base, tmp_path, said, found, place):
    if place == "in the header":
        text = said if isinstance(said, str) else json.dumps({f"unet.{key}": value for key, value in said.items()})
        path = plain(tmp_path / "a.safetensors", {"lora_adapter_metadata": text})
    else:
        path = plain(tmp_path / "adapter_model.safetensors", prefix="base_model.model.")
        text = said.replace("unet.", "") if isinstance(said, str) else json.dumps(said)
        (tmp_path / "adapter_config.json").write_text(text)
        found = found.replace("lora_adapter_metadata", "adapter_config.json")
    heard, seconds = answer(base, path)
    assert found in heard
    assert len(heard) < 2000
    assert seconds < SECONDS


@pytest.mark.parametrize("key", WITHOUT_A_SAY)
def test_what_has_no_say_in_a_lora_changes_nothing(base, tmp_path, key):
    with Context().lease(lora(base, source=str(plain(tmp_path / "a.safetensors"))).denoiser) as adapted:
        want = adapted.get_submodule(LAYER)(torch.eye(16))
    path = plain(tmp_path / "b.safetensors", {"lora_adapter_metadata": json.dumps({f"unet.{key}": WITHOUT_A_SAY[key]})})
    with Context().lease(lora(base, source=str(path)).denoiser) as adapted:
        assert torch.equal(adapted.get_submodule(LAYER)(torch.eye(16)), want)


@pytest.mark.parametrize(("make", "found"), HEADERS.values(), ids=HEADERS)
def test_a_hostile_header_of_a_lora_is_refused(base, tmp_path, make, found):
    heard, seconds = answer(base, make(tmp_path / "a.safetensors"))
    assert found in heard
    assert len(heard) < 2000
    assert seconds < SECONDS


def test_a_large_lora_of_many_alphas_is_read_within_the_time(tmp_path, base):
    """As many layers and keys as are permitted, all with the same endings."""
    names = [f"a{number}." + "x." * 20 + "to_q" for number in range(9_000)]
    entries = {f"{name}.lora_{half}.weight": tensor((1, 1), end=4) for name in names[:1] for half in "AB"}
    offsets = 0
    for name in names:
        for half in "AB":
            entries[f"{name}.lora_{half}.weight"] = tensor((1, 1), start=offsets)
            offsets += 4
    said = json.dumps({"unet.alpha_pattern": {f"y{number}.to_q": 1 for number in range(15_000)}})
    path = raw(tmp_path / "a.safetensors", entries, b"\0" * offsets, {"lora_adapter_metadata": said})
    heard, seconds = answer(base, path)
    assert "a layer" in heard
    assert seconds < SECONDS


WORD = st.text("ab_", min_size=1, max_size=3)
NAME = st.lists(WORD, min_size=1, max_size=4).map(".".join)


KEY = st.one_of(
    NAME.map(re.escape),
    NAME.map(lambda name: f"^{re.escape(name)}$"),
    NAME.map(lambda name: re.escape(name) + "$"),
    st.tuples(WORD, WORD, NAME).map(lambda parts: f"({parts[0]}|{parts[1]})\\." + re.escape(parts[2])),
)


@given(
    keys=st.dictionaries(KEY, st.integers(0, 9), max_size=4),
    layer=NAME,
)
def test_alpha_by_layer_is_found_as_peft_finds_it(keys, layer):
    """peft's own rule is a regular expression: `get_pattern_key`."""
    from peft.utils.other import get_pattern_key

    assert None not in [names_of(key) for key in keys]
    if (found := get_pattern_key(keys, layer)) == layer and layer not in keys:
        assert Alphas(keys).of(layer) is None
    else:
        assert Alphas(keys).of(layer) == keys[found]
    assert Alphas(keys).idle([layer]) == sum(not re.match(rf"(.*\.)?({key})$", layer) for key in keys)


def test_only_the_file_and_its_own_configuration_are_opened(base, tmp_path):
    path = plain(tmp_path / "adapter_model.safetensors", prefix="base_model.model.")
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"r": 2, "lora_alpha": 8, "base_model_name_or_path": "o/r"})
    )
    strays = {"adapter_model.bin", "adapter_model.json", "run.py", "README.md", "tokenizer.json", "lora.bin"}
    for stray in strays:
        (tmp_path / stray).write_bytes(b"\x80\x04cos\nsystem\n(S'x'\ntR.")
    described = lora(base, source=str(path)).denoiser
    first = described.fingerprint
    with audited() as heard, Context().lease(described):
        pass
    assert {path.name, "adapter_config.json"} <= heard.files
    assert not strays & heard.files
    assert not heard.unpickled
    assert not heard.network
    for stray in strays:
        (tmp_path / stray).unlink()
    assert lora(base, source=str(path)).denoiser.fingerprint == first


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_any_changed_byte_of_a_lora_changes_its_fingerprint(base, tmp_path, name):
    """In one process, with the same size and the same time of modification."""
    path = plain(tmp_path / "adapter_model.safetensors", prefix="base_model.model.")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 8}))
    first = lora(base, source=str(path)).denoiser.fingerprint
    changed = tmp_path / name
    times = changed.stat()
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if name.endswith("s") else content.replace(b"8", b"9"))
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert lora(base, source=str(path)).denoiser.fingerprint != first
