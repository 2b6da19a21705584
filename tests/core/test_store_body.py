"""What is stored is a safetensors file as the library reads it, of tensors of any type and shape."""

import json

import pytest
import torch
from inlay.graph_runtime.core.store.body import pieces_of
from inlay.graph_runtime.core.store.encoding import Encoded
from safetensors.torch import load

KINDS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool]


def test_the_library_reads_the_tensors_back_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for number, kind in enumerate(KINDS):
        for shape in ((3, 5), (), (0, 4), (7,)):
            values = torch.randint(0, 2, shape, generator=generator).to(kind)
            tensors[f"{number}{shape}"] = values if kind == torch.bool else values * 3
    tensors["turned"] = torch.arange(12.0).reshape(3, 4).T
    encoded = Encoded(["a", {"b": "é"}], tensors)
    body = b"".join(pieces_of(b"\x01\x02", encoded))
    found = load(body)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)
    length = int.from_bytes(body[:8], "little")
    metadata = json.loads(body[8 : 8 + length])["__metadata__"]
    assert metadata["place"] == "0102"
    assert json.loads(metadata["value"]) == ["a", {"b": "é"}]


@pytest.mark.parametrize("megabytes", [1, 40])
def test_a_large_tensor_is_not_copied(megabytes):
    tensor = torch.zeros(megabytes * 2**18)
    header, numbers = pieces_of(b"x", Encoded(None, {"0": tensor}))
    tensor[0] = 7
    assert torch.frombuffer(numbers, dtype=torch.float32)[0] == 7
    assert len(header) < 500
