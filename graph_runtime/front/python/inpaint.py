"""`inlay.inpaint`: the everyday workflow as one function."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .api import run
from .result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    Picture: TypeAlias = str | os.PathLike[str] | Image | NDArray[Any] | Tensor  # Any: its type is checked

_OPTIONS = (
    *("image", "mask", "invert", "object", "colour", "strokes", "outpaint", "method", "source", "prompt", "negative"),
    *("example", "lora", "grow", "feather", "variations", "pick", "quality", "seed", "steps", "guidance", "strength"),
)


def inpaint(
    image: "Picture | Sequence[Picture]",
    mask: "Picture | Sequence[Picture] | None" = None,
    *,
    invert: bool | None = None,
    object: str | None = None,
    colour: str | None = None,
    strokes: str | None = None,
    outpaint: str | None = None,
    method: str | None = None,
    source: str | os.PathLike[str] | None = None,
    prompt: str | None = None,
    negative: str | None = None,
    example: "Picture | None" = None,
    lora: str | os.PathLike[str] | None = None,
    grow: int | None = None,
    feather: int | None = None,
    variations: int | None = None,
    pick: int | None = None,
    quality: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    strength: float | None = None,
    out: str | os.PathLike[str] | None = None,
    set: Mapping[str, Any] | None = None,  # Any: a setting of any type, which is checked
    **options: Any,  # noqa: ANN401 - each option has a type of its own, which is checked
) -> Result:
    """Take things out of a photo, or paint new ones in; every other pixel stays as it is.

        inlay.inpaint(photo, mask).save("filled.png")

    Nothing is written unless you save the result or name a folder. What is left out follows from the rest;
    `inlay inpaint --help` describes every option.

    Args:
        image: the photo: a path, a Pillow picture, a NumPy array or a torch tensor. A list or a folder is a job.
        mask: white, True or transparent is filled; of the photo's size.
        invert: the mask marks what is kept.
        object: fill a thing that a detector finds, such as "dog".
        colour: fill everything of a colour, such as "#00ff00~20".
        strokes: fill strokes of a brush, "x,y x,y; x,y~32".
        outpaint: add room around the photo and fill it, "left=30%,top=100".
        method: auto, patches (needs no model), null_space, exemplar, model.
        source: a model: a hub id, a folder, a .safetensors file, or dollhouse.
        prompt: what the hole should show; without one, it continues its surroundings.
        negative: what it should not show.
        example: a picture of the thing to paint.
        lora: a LoRA for the model.
        grow: grow the hole by so many pixels.
        feather: soften the border of the hole over so many pixels; the hole grows by as many.
        variations: how many results to make.
        pick: make only this one of the variations, from 1, with the same pixels.
        quality: fast, best.
        seed: another seed gives another result.
        steps: steps of the sampler.
        guidance: how strictly the prompt or the example is followed.
        strength: how much of a fill from the rest of the photo is made anew; 1: all of it.
        out: a folder in which the pictures are saved, under numbers; None: they are only in the result.
        set: {"node.parameter": value} for any setting of any node.
        **options: further options of `inlay inpaint`, and those of `inlay.run`.

    Returns:
        The result: `.pil()`, `.numpy()`, `.save(path)`.

    Raises:
        WorkflowError: the input is wrong; nothing ran.
        NodeError: a node failed.
        Cancelled: the token was cancelled.
    """
    named = dict(locals())
    given = {name: named[name] for name in _OPTIONS if named[name] is not None}
    return run("inpaint", out=out, set=set, **given, **options)
