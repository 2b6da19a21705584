"""What is stored, as the pieces of a safetensors file, so that no tensor is in memory twice."""

import json
import struct
import sys
from typing import TYPE_CHECKING

from .encoding import Encoded

if TYPE_CHECKING:
    from torch import Tensor


def pieces_of(place: bytes, encoded: Encoded) -> list[bytes | memoryview]:
    """A safetensors file; without tensors it is a header alone, which needs no torch."""
    metadata = {"place": place.hex(), "value": json.dumps(encoded.structure, separators=(",", ":"))}
    tensors = encoded.tensors
    if tensors and sys.byteorder != "little":
        from safetensors.torch import save

        return [save(tensors, metadata)]
    header: dict[str, object] = {"__metadata__": metadata}
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # so that each is aligned
    kinds = _kinds(tensors) if tensors else {}
    start = 0
    for name in names:
        stop = start + tensors[name].nbytes
        header[name] = {"dtype": kinds[name], "shape": list(tensors[name].shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)) + text, *(_numbers(tensors[name]) for name in names)]


def _kinds(tensors: "dict[str, Tensor]") -> dict[str, str]:
    """What the library calls their types."""
    from safetensors.torch import save

    body = save({name: tensor.new_empty(0) for name, tensor in tensors.items()})
    (length,) = struct.unpack_from("<Q", body)
    return {name: entry["dtype"] for name, entry in json.loads(body[8 : 8 + length]).items()}


def _numbers(tensor: "Tensor") -> memoryview:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
