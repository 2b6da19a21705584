"""The host's own nodes that graphs for the editor often hold: their sockets and widgets, as the editor is told them."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from .....nodes.pack import PACK

_SAFE = 2**53 - 1
Inputs = dict[str, list[JsonValue]]


def _number(kind: str, default: float, low: float, high: float, step: float) -> list[JsonValue]:
    return [kind, {"default": default, "min": low, "max": high, "step": step}]


def _known(pictures: Sequence[str]) -> Mapping[str, tuple[Inputs, tuple[str, ...], str]]:
    """Inputs, outputs and the category of each."""
    upload: list[JsonValue] = [list(pictures), {"image_upload": True}]
    channel: list[JsonValue] = [["alpha", "red", "green", "blue"], {}]
    side = _number("INT", 512, 1, 16384, 1)
    mask: list[JsonValue] = ["MASK", {}]
    seeded: list[JsonValue] = ["INT", {"default": 0, "min": -_SAFE, "max": _SAFE, "control_after_generate": True}]
    real = _number("FLOAT", 0.0, -float(_SAFE), float(_SAFE), 0.1)
    expand: Inputs = {
        "mask": mask,
        "expand": _number("INT", 0, -16384, 16384, 1),
        "tapered_corners": ["BOOLEAN", {"default": True}],
    }
    solid: Inputs = {"value": _number("FLOAT", 1.0, 0.0, 1.0, 0.01), "width": side, "height": side}
    feather: Inputs = {
        "mask": mask,
        **{edge: _number("INT", 0, 0, 16384, 1) for edge in ("left", "top", "right", "bottom")},
    }
    found: dict[str, tuple[Inputs, tuple[str, ...], str]] = {
        "LoadImage": ({"image": upload}, ("IMAGE", "MASK"), "image"),
        "LoadImageMask": ({"image": upload, "channel": channel}, ("MASK",), "mask"),
        "LoadImageOutput": ({"image": upload}, ("IMAGE", "MASK"), "image"),
        "SaveImage": ({"images": ["IMAGE", {}], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}, (), "image"),
        "PreviewImage": ({"images": ["IMAGE", {}]}, (), "image"),
        "InvertMask": ({"mask": mask}, ("MASK",), "mask"),
        "GrowMask": (expand, ("MASK",), "mask"),
        "FeatherMask": (feather, ("MASK",), "mask"),
        "MaskToImage": ({"mask": mask}, ("IMAGE",), "mask"),
        "ImageToMask": (
            {"image": ["IMAGE", {}], "channel": [["red", "green", "blue", "alpha"], {}]},
            ("MASK",),
            "mask",
        ),
        "SolidMask": (solid, ("MASK",), "mask"),
        "PrimitiveInt": ({"value": seeded}, ("INT",), "utilities"),
        "PrimitiveFloat": ({"value": real}, ("FLOAT",), "utilities"),
        "PrimitiveString": ({"value": ["STRING", {"multiline": False}]}, ("STRING",), "utilities"),
        "PrimitiveStringMultiline": ({"value": ["STRING", {"multiline": True}]}, ("STRING",), "utilities"),
        "PrimitiveBoolean": ({"value": ["BOOLEAN", {"default": False}]}, ("BOOLEAN",), "utilities"),
    }
    return found


def host_nodes(pictures: Sequence[str]) -> dict[str, JsonValue]:
    """The definitions of those that become nodes of ours.

    Args:
        pictures: names to choose from.
    """
    found: dict[str, JsonValue] = {}
    for name, (inputs, types, category) in _known(pictures).items():
        if (kind := PACK.host_types.get(name)) is not None:
            found[name] = {
                "input": {"required": dict(inputs)},
                "input_order": {"required": list(inputs)},
                "is_input_list": False,
                "output": list(types),
                "output_is_list": [False] * len(types),
                "output_name": list(types),
                "name": name,
                "display_name": next(iter(sorted(kind.titles)), name),
                "description": "",
                "python_module": "nodes",
                "category": category,
                "output_node": name in ("SaveImage", "PreviewImage"),
                "search_aliases": [],
            }
    return found
