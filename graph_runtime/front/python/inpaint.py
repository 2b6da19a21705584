"""`inlay.inpaint`: the everyday workflow as one function."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from .api import run
from .result import Result

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    Picture: TypeAlias = str | os.PathLike[str] | Image | NDArray[Any] | Tensor  # Any: its type is checked


def inpaint(
    image: "Picture",
    mask: "Picture | None" = None,
    *,
    method: str = "auto",
    source: str | os.PathLike[str] | None = None,
    prompt: str | None = None,
    negative: str | None = None,
    example: "Picture | None" = None,
    lora: str | os.PathLike[str] | None = None,
    variations: int | None = None,
    pick: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    out: str | os.PathLike[str] | None = None,
    set: Mapping[str, object] | None = None,
    **options: object,
) -> Result:
    """Fill what the mask marks; every other pixel stays as it is.

        inlay.inpaint(photo, mask).save("filled.png")

    Nothing is written unless you save the result or name a folder. `inlay run inpaint --help` describes all options.

    Args:
        image: the photo: a path, Pillow's, a NumPy array or a torch tensor.
        mask: white, True or transparent is filled; of the photo's size.
        method: auto, patches (needs no model), null_space, exemplar, model.
        source: a model: a hub id, a folder, a .safetensors file, or dollhouse.
        prompt: what the area should show; without one, it continues its surroundings.
        negative: what it should not show.
        example: a picture of the thing to paint.
        lora: a LoRA for the model.
        variations: so many results.
        pick: that one of the variations alone, from 1, the same as beside the others.
        seed: another seed gives another result.
        steps: steps of the sampler.
        out: a folder in which the pictures are saved, under numbers; None: they are only in the result.
        set: {"node.parameter": value} for any setting of any node.
        **options: all other options of `inlay run inpaint`, and those of `inlay.run`.

    Returns:
        The result: `.pil()`, `.numpy()`, `.save(path)`.

    Raises:
        WorkflowError: the input is wrong; nothing ran.
        NodeError: a node failed.
        Cancelled: the token was cancelled.
    """
    named = {
        "mask": mask,
        "source": source,
        "prompt": prompt,
        "negative": negative,
        "example": example,
        "lora": lora,
        "variations": variations,
        "pick": pick,
        "seed": seed,
        "steps": steps,
    }
    given = {name: value for name, value in named.items() if value is not None}
    return run("inpaint", out=out, set=set, image=image, method=method, **given, **options)  # type: ignore[arg-type]
