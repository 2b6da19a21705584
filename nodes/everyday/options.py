"""The options of `inpaint`, as data: name, kind, bounds, default, one sentence, and which methods use them."""

from ...graph_runtime.core.expander import Option

METHODS = ("auto", "patches", "null_space", "exemplar", "model")
MOST_VARIATIONS = 16
LARGEST_SEED = 2**64 - 1

AREA, HOW, AROUND, RESULT = "the hole", "how to fill it", "around the hole", "the result"

OPTIONS: tuple[Option, ...] = (
    Option("image", "file", "the photo: PNG, JPEG, WebP, TIFF, BMP, GIF", AREA, socket="IMAGE"),
    Option("mask", "file", "a picture of its size: white, or transparent, is filled", AREA, socket="MASK"),
    Option("invert", "switch", "the mask marks what is kept", AREA, default=False),
    Option("object", "text", "a thing that a detector finds, such as dog; its box is filled", AREA),
    Option("detector", "model", "the detector: a DETR, by default facebook/detr-resnet-50 (downloaded once)", AREA),
    Option("colour", "text", "everything of a colour, such as a green screen; after ~ how different it may be (ΔE, 20)",
           AREA, shown="#ff0000~20|red"),
    Option("strokes", "text", "strokes of a round brush: points of each, and after ~ the brush's width in pixels (32)",
           AREA, shown="'x,y x,y; x,y~32'"),
    Option("outpaint", "text", "room to add around the photo: on all sides, or on those that are named, in pixels or "
           "percent of the photo's side", AREA, shown="30%|left=30%,top=100"),
    Option("method", "choice", "auto takes patches without a model, else what the model is made for", HOW, "auto",
           choices=METHODS),
    Option("source", "model", "a model: a hub id such as owner/name, a folder, or a .safetensors file; dollhouse is "
           "embedded and knows drawn rooms", HOW),
    Option("prompt", "text", "what the hole should show; without one, it continues its surroundings", HOW),
    Option("negative", "text", "what it should not show", HOW),
    Option("example", "file", "a picture of the thing to paint (Paint by Example)", HOW, socket="IMAGE"),
    Option("lora", "model", "a LoRA for the model: a file, a folder or a hub id", HOW),
    Option("weight", "number", "strength of the LoRA: 1 as trained", HOW, minimum=0, maximum=2),
    Option("grow", "integer", "grow the hole by so many pixels", AROUND, 0, minimum=0, maximum=4096),
    Option("feather", "integer", "soften the border of the hole over so many pixels; the hole grows by as many", AROUND,
           0, minimum=0, maximum=1024),
    Option("context", "number", "longer side of the window that is looked at, as a multiple of the hole's", AROUND,
           minimum=1, maximum=100),
    Option("size", "integer", "longer side of the window in the model, in pixels; a multiple of 8", AROUND, minimum=64,
           maximum=4096),
    Option("variations", "integer", "how many results to make; a sheet shows them side by side", RESULT, 1, minimum=1,
           maximum=MOST_VARIATIONS),
    Option("pick", "integer", "make only this one of the variations, with the same pixels", RESULT, minimum=1,
           maximum=MOST_VARIATIONS),
    Option("quality", "choice", "best takes longer: mostly a second pass over the first result, at --size if given",
           RESULT, "fast", choices=("fast", "best")),
    Option("seed", "integer", "another seed gives another result", RESULT, 0, minimum=0, maximum=LARGEST_SEED),
    Option("steps", "integer", "steps of the sampler", RESULT, minimum=1, maximum=1000),
    Option("guidance", "number", "how strictly the prompt or the example is followed", RESULT, minimum=0, maximum=100),
    Option("strength", "number", "how much of a fill from the rest of the photo is made anew; 1: all of it", RESULT,
           minimum=0.05, maximum=1),
    Option("dtype", "choice", "precision of the model; auto is float16 on a CUDA device", RESULT,
           choices=("auto", "float32", "float16", "bfloat16")),
    Option("vae_dtype", "choice", "precision of its VAE alone", RESULT,
           choices=("auto", "float32", "float16", "bfloat16")),
    Option("quantize", "choice", "8 bits for each weight of the UNet's linear layers: less memory, a slightly other "
           "picture; needs torchao", RESULT, choices=("none", "int8", "float8")),
    Option("together", "switch", "all variations in one call of the model: faster, within 1e-4 of what --pick makes",
           RESULT, default=False),
)  # fmt: skip

MAY_BE_EMPTY = ("prompt", "negative")
#: The options that say what is filled; several are joined.
AREAS = ("mask", "object", "colour", "strokes", "outpaint")
WITH_MODEL = ("null_space", "exemplar", "model")
#: The methods that use an option; every method uses the others.
USED_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("source", "lora", "weight", "steps", "guidance", "strength", "size", "quality"),
            *("dtype", "vae_dtype", "quantize", "together"),
        ),
        WITH_MODEL,
    ),
    **dict.fromkeys(("prompt", "negative"), ("null_space", "model")),
    "example": ("exemplar",),
}
