"""Mutations of safetensors files: of the header's tree and text, of its length, and of the data."""

import json
import struct

from . import json_trees, odd_values

_SHAPES = (
    [],
    [0],
    [1],
    [-1],
    [10**6, 10**6],
    [2**62, 4],
    [2**31],
    [1] * 100,
    [4, 0, 4],
    [1.0],
    ["4"],
    None,
    [True],
    [10**9],
)
_DTYPES = ("F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "f32", "", None, 3, "X" * 50)
_METADATA = {
    "format": ("pt", "tf", "", "x" * 10_000),
    "inlay": ("{}", "[]", "{", '{"a": 1}', "1" * 5000),
    "ss_network_dim": ("4", "9" * 5000, "nan"),
    "ss_network_args": ("{", '{"conv_dim": "x"}', "[" * 3000),
    "ss_base_model_version": ("sdxl", "sd_v1", "\u202e"),
    "lora_adapter_metadata": ("{}", '{"unet.r": 1000000000}', '{"unet.rank_pattern": {"(a+)+$": 4}}', "[" * 5000),
    "modelspec.architecture": ("stable-diffusion-v1/lora", "flux"),
    "ss_network_alpha": ("inf", "0", "1e400", "-1"),
}


def apart(data):
    """Header tree and data of a file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def together(header, data):
    """The file of a header, as a tree or as bytes, and data."""
    text = header if isinstance(header, bytes) else json_trees.dumps(header)
    return struct.pack("<Q", len(text)) + text + data


def _tensors(header):
    found = [value for key, value in header.items() if key != "__metadata__" and isinstance(value, dict)]
    return found or [{}]


def _shape(header, rng):
    entry = rng.choice(_tensors(header))
    old = entry.get("shape")
    new = rng.choice(_SHAPES)
    if isinstance(old, list) and old and rng.random() < 0.5:
        new = [old[-1], *old[:-1]] if rng.random() < 0.5 else [*old, 1]
    entry["shape"] = new


def _dtype(header, rng):
    rng.choice(_tensors(header))["dtype"] = rng.choice(_DTYPES)


def _offsets(header, rng):
    entry, number = rng.choice(_tensors(header)), rng.choice(odd_values.NUMBERS)
    old = entry.get("data_offsets")
    if isinstance(old, list) and len(old) == 2 and all(isinstance(one, int) for one in old):
        entry["data_offsets"] = rng.choice(
            ([old[0], number], [number, old[1]], old[::-1], [old[0] + 1, old[1] + 1], [0, 2**63], old[:1])
        )


def _metadata(header, rng):
    held = header.setdefault("__metadata__", {})
    if isinstance(held, dict):
        key = rng.choice(list(_METADATA))
        held[key] = rng.choice(_METADATA[key]) if rng.random() < 0.9 else odd_values.value(rng)


def _rename(header, rng):
    keys = [key for key in header if key != "__metadata__"]
    if keys:
        key = rng.choice(keys)
        new = rng.choice(
            (key + "x", key[:-1], key.replace("lora_A", "lora_down"), key.replace("attn1", "attn9"), "", "a" * 9000)
        )
        header[new] = header.pop(key)


def _copies(header, rng):
    entry = dict(rng.choice(_tensors(header)))
    header.update({f"n{number}": entry for number in range(rng.choice((10, 1000, 50_000)))})


HEADER = {
    "shape": (_shape, 10),
    "dtype": (_dtype, 6),
    "offsets": (_offsets, 8),
    "metadata": (_metadata, 10),
    "name": (_rename, 8),
    "copies": (_copies, 1),
}
CHANGES = {f"header {name}": weight for name, (_, weight) in HEADER.items()}
CHANGES |= {"header tree": 12, "header text": 6, "length": 6, "data": 6, "header pad": 1}


def changed(contents, name, rng):
    """The file after one change."""
    try:
        header, data = apart(contents)
    except (ValueError, struct.error, RecursionError):
        return json_trees.TEXT["flip"](contents, rng)
    if name == "length":
        length = rng.choice((0, 1, len(contents), 2**31, 2**63, 2**64 - 1, 10**8, 10**8 + 1))
        return struct.pack("<Q", length) + contents[8:]
    if name == "data":
        return (
            contents[: rng.randrange(len(contents) + 1)] if rng.random() < 0.5 else contents + bytes(rng.randrange(9))
        )
    if name == "header text":
        return together(json_trees.TEXT[rng.choice(list(json_trees.TEXT))](json_trees.dumps(header), rng), data)
    if name == "header pad":
        return together(json_trees.dumps(header) + b" " * rng.choice((8, 10**6, 3 * 10**7)), data)
    if not isinstance(header, dict):
        return contents
    if name == "header tree":
        json_trees.TREE[rng.choice(list(json_trees.TREE))](header, rng)
    else:
        HEADER[name.removeprefix("header ")][0](header, rng)
    return together(header, data)
