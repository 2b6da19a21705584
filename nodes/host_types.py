"""The host's own nodes whose work a node of ours does, and its primitives, which are folded into what reads them."""

from collections.abc import Mapping

from ..graph_runtime.core.pack import CONTROL, UPLOAD, HostType


def _mask(node: str, *titles: str, **settings: str) -> HostType:
    return HostType(node, tuple(settings), {"mask": "mask"}, settings, ("mask",), titles=frozenset(titles))


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
    "LoadImageMask": HostType(
        "mask.load",
        ("image", "channel", UPLOAD),
        settings={"image": "path", "channel": "channel"},
        outputs=("mask",),
        fixed={"threshold": None},
        titles=frozenset({"Load Image (as Mask)", "Load Image as Mask"}),
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
    "MaskPreview": HostType(
        "image.save",
        sockets={"mask": "image"},
        fixed={"prefix": "preview"},
        titles=frozenset({"Preview Mask", "MaskPreview"}),
        through={0: "mask"},
        before="image.from_mask",
    ),
    "InvertMask": _mask("mask.invert", "Invert Mask", "InvertMask"),
    "ThresholdMask": _mask("mask.threshold", "Threshold Mask", "ThresholdMask", value="value"),
    "CropMask": _mask("mask.crop", "Crop Mask", "CropMask", x="x", y="y", width="width", height="height"),
    "FeatherMask": _mask(
        "mask.fade", "Feather Mask", "FeatherMask", left="left", top="top", right="right", bottom="bottom"
    ),
    "GrowMask": HostType(
        "mask.step",
        ("expand", "tapered_corners"),
        {"mask": "mask"},
        {"expand": "pixels", "tapered_corners": "square"},
        ("mask",),
        titles=frozenset({"Grow Mask", "GrowMask"}),
        negated=frozenset({"tapered_corners"}),
    ),
    "SolidMask": HostType(
        "mask.solid",
        ("value", "width", "height"),
        settings={"value": "value", "width": "width", "height": "height"},
        outputs=("mask",),
        titles=frozenset({"Create Solid Mask", "Solid Mask", "SolidMask"}),
    ),
    "MaskComposite": HostType(
        "mask.combine",
        ("x", "y", "operation"),
        {"destination": "destination", "source": "source"},
        {"x": "x", "y": "y", "operation": "operation"},
        ("mask",),
        titles=frozenset({"Combine Masks", "Mask Composite", "MaskComposite"}),
    ),
    "ImageToMask": HostType(
        "mask.channel",
        ("channel",),
        {"image": "image"},
        {"channel": "channel"},
        ("mask",),
        titles=frozenset({"Convert Image to Mask", "Image To Mask", "ImageToMask"}),
    ),
    "ImageColorToMask": HostType(
        "mask.exact_colour",
        ("color",),
        {"image": "image"},
        {"color": "colour"},
        ("mask",),
        titles=frozenset({"Convert Image Color to Mask", "ImageColorToMask"}),
    ),
    "MaskToImage": HostType(
        "image.from_mask",
        (),
        {"mask": "mask"},
        outputs=("image",),
        titles=frozenset({"Convert Mask to Image", "Mask To Image", "MaskToImage"}),
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
