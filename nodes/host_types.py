"""The host's own nodes whose work a node of ours does, and its primitives, which are folded into what reads them."""

from collections.abc import Mapping

from ..graph_runtime.core.pack import CONTROL, UPLOAD, HostType


def _primitive(*titles: str) -> HostType:
    return HostType("", ("value", CONTROL), settings={"value": "value"}, titles=frozenset(titles))


#: The host's own nodes; file names of the host's folders are settings with the path role of ours.
HOST_TYPES: Mapping[str, HostType] = {
    "LoadImage": HostType(
        "image.with_mask",
        ("image", UPLOAD),
        settings={"image": "image"},
        outputs=("image", "mask"),
        titles=frozenset({"Load Image"}),
    ),
    "LoadImageOutput": HostType(
        "image.with_mask",
        ("image", UPLOAD),
        settings={"image": "image"},
        outputs=("image", "mask"),
        titles=frozenset({"Load Image (from Outputs)"}),
    ),
    "SaveImage": HostType(
        "image.save",
        ("filename_prefix",),
        {"images": "image"},
        {"filename_prefix": "prefix"},
        titles=frozenset({"Save Image"}),
        through={0: "images"},
    ),
    "PreviewImage": HostType(
        "image.save",
        (),
        {"images": "image"},
        fixed={"prefix": "preview"},
        titles=frozenset({"Preview Image"}),
        through={0: "images"},
    ),
    "PrimitiveInt": _primitive("Int"),
    "PrimitiveFloat": _primitive("Float"),
    "PrimitiveString": _primitive("String", "Text"),
    "PrimitiveStringMultiline": _primitive("String (Multiline)", "Text (Multiline)"),
    "PrimitiveBoolean": _primitive("Boolean"),
}

#: The flags that people expect, and the settings that they stand for; a flag is there if one node alone has it.
EXPECTED_INPUTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("image", ("image.load.path", "image.with_mask.image")),
    ("mask", ("mask.load.path",)),
    ("prompt", ("condition.text.prompt",)),
    ("negative", ("condition.text.negative",)),
    ("seed", ("*.seed",)),
    ("source", ("model.stable_diffusion.source", "model.paint_by_example.source", "model.pixel_diffusion.source")),
    ("lora", ("model.lora.source",)),
    ("steps", ("*.steps",)),
    ("eta", ("*.eta",)),
    ("guidance", ("*.guidance_scale",)),
    ("strength", ("sample.denoise.strength",)),
    ("grow", ("mask.grow.pixels",)),
    ("feather", ("image.paste_back.feather",)),
    ("size", ("image.fit.size", "image.crop_to_mask.size")),
    ("variations", ("noise.gaussian.batch",)),
    ("pick", ("noise.gaussian.pick",)),
)
