"""What is wrong with windows around holes, known from sizes and small masks alone.

Each check hook takes what is known of a node's inputs, and returns what is known of its outputs (see `before_run.py`).
"""

from collections.abc import Callable
from math import lcm
from typing import Literal

import numpy as np

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.notices import notice
from ...models.protocols import DenoiserDescription, VaeDescription
from ...pictures.batches import common_batch, per_variation
from ...pictures.boxes import bounding_box
from ...pictures.containers.container import MAX_PIXELS
from ...pictures.window_plan import SMALLEST_WINDOW, Frame, Planned, plan_window, plan_windows
from ...pictures.windows import Window, hidden
from .before_run import Facts, Known, Params, cheap, described, shaped, with_values, worth
from .image import masked

Size = int | Literal["model"] | None
SMALLEST_PICTURE = 8  # pixels
SOFT, BLURRED = 1.25, 4.0  # a window scaled down by more is reported, and refused


def crop_to_mask(known: Known, params: Params) -> Facts:
    """An empty mask, a patch that is too large, a hole that the model sees too small; the patches' size."""
    size, denoiser, vae = params["size"], known.get("denoiser", ...), known.get("vae", ...)
    if size == "model":
        require_denoiser(denoiser)
    found = masked(known)
    if (image := known.get("image")) is not None and size == "model":
        require_picture(image)
    plane = known.get("mask") if found is None else found[1]
    if not cheap(plane):
        return {}
    if found is None:
        require_hole(plane)
        return {}
    if (denoiser is not None and not described(denoiser)) or (vae is not None and not described(vae)):
        return {}
    image = found[0]
    one = known["mask"] if len(known["mask"]) == 1 else plane
    frame = frame_of(image, params["context"], size, denoiser, vae, params["multiple"])
    planned = planned_windows(one, frame, params["windows"], notice)
    require_patch(planned.size, size)
    judge(planned, one, size, notice)
    rows = len(image) * len(planned.places)
    window = Window(shaped(*image.shape), plane, planned.places, planned.size)
    mask = shaped(rows, *planned.size)
    inside = params["multiple"] == 1 or params["beyond"] == "mirrored"  # else what lies beyond the border is known
    if inside and bool((plane > 0).all()) and worth(mask.numel()):
        mask = with_values(np.ones(mask.shape, np.float32))
    return {"image": shaped(rows, *planned.size, 3), "mask": mask, "crop": window}


def require_denoiser(denoiser: object) -> None:
    """Raise BadInput where the model whose size is asked for is not connected."""
    if denoiser is None:
        raise BadInput(
            "denoiser",
            found="size=model without a model",
            expected="the denoiser whose own size the window gets",
            fix="connect the denoiser (and its vae), or give a size in pixels",
        )


def require_picture(image: Tensor) -> None:
    """Raise BadInput where a picture is too small for any model to see something in it."""
    height, width = image.shape[1:3]
    if min(height, width) < SMALLEST_PICTURE:
        raise BadInput(
            "image",
            found=f"a picture of {width}×{height} pixels",
            expected=f"at least {SMALLEST_PICTURE} pixels on each side",
            fix="use a larger picture; a model sees nothing in so few pixels",
        )


def frame_of(
    image: Tensor,
    context: float,
    size: Size,
    denoiser: DenoiserDescription | None,
    vae: VaeDescription | None,
    least_multiple: int = 8,
) -> Frame:
    """The sizes of a picture's windows. The patch's sides are multiples of what a connected model takes.

    Args:
        image: the picture.
        context: window side over hole side.
        size: of the patch's longer side.
        denoiser: a connected model.
        vae: its VAE.
        least_multiple: what the sides are also multiples of, except with size=model.

    Raises:
        BadInput: size=model with a model that does not say its size.
    """
    height, width = image.shape[1:3]
    factor = 1 if vae is None else int(vae.factor)
    multiple = factor * (1 if denoiser is None else int(denoiser.multiple))
    if size != "model":
        return Frame(height, width, context, size, lcm(least_multiple, multiple))
    require_denoiser(denoiser)
    assert denoiser is not None
    cells = denoiser.sample_size
    if not cells:
        raise BadInput(
            "size",
            found=f"{denoiser.label}, whose configuration has no sample_size",
            expected="a model that says which size it was trained on",
            fix="give the size in pixels, as 512",
        )
    own = max(1, int(cells * factor / multiple + 0.5)) * multiple
    return Frame(height, width, context, own, multiple, max(SMALLEST_WINDOW, own // 2))


def planned_windows(mask: Tensor, frame: Frame, windows: str, warn: Callable[[str], None]) -> Planned:
    """Where the windows of a mask `[b h w]` lie."""
    hole = mask > 0
    if windows == "each" and len(hole) == 1:
        require_hole(hole)
        return plan_windows(hole[0], frame)
    if windows == "each":
        warn(f"windows=each takes one mask: {len(hole)} masks share one window around all their holes")
    box = require_hole(hole)
    return plan_window(box, frame)


def require_hole(mask: Tensor) -> tuple[int, int, int, int]:
    """The box of a mask's holes; raises BadInput where there are none."""
    box = bounding_box(mask > 0)
    if box is None:
        raise BadInput(
            "mask", found="an empty mask", expected="a hole to crop around", fix="draw the mask, or invert it"
        )
    return box


def require_patch(patch: tuple[int, int], size: Size) -> None:
    """Raise BadInput where a window is enlarged beyond what a picture may be."""
    if size is not None and patch[0] * patch[1] > MAX_PIXELS:
        raise BadInput(
            "size",
            found=f"a patch of {patch[1]}×{patch[0]} pixels",
            fix="use a smaller size",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
        )


def judge(planned: Planned, mask: Tensor, size: Size, warn: Callable[[str], None]) -> None:
    """Warn of windows that are scaled down; with size=model, refuse what a model cannot fill.

    Raises:
        BadInput: with size=model, a window scaled down by more than 4, or one with nothing known in it.
    """
    number = max(range(len(planned.places)), key=lambda place: max(planned.places[place][2:]))
    place, box = planned.places[number], planned.holes[number]
    hole = f"a hole of {box[2] - box[0]}×{box[3] - box[1]} pixels"
    longer, side = max(place.height, place.width), max(planned.size)
    if size == "model" and planned.reduction > BLURRED:
        raise BadInput(
            "mask",
            found=f"{hole}, whose window of {longer} pixels the model would see scaled down {longer / side:.1f} times",
            expected=f"at most {BLURRED:g} times: the model's own size is {side} pixels",
            fix="use a smaller context, a model of a larger size, a smaller photo, holes in several runs, or "
            "image.fill with fill=patches, which needs no model",
        )
    if size == "model" and any(hidden(mask, place) for place in planned.places):
        raise BadInput(
            "mask",
            found=f"{hole} that fills its whole window: nothing around it is known",
            expected="something known that the model can continue",
            fix="use a larger context, or a smaller mask",
        )
    if planned.reduction > SOFT:
        warn(
            f"window-reduced: {hole} needs a window of {longer} pixels, which is scaled down {longer / side:.1f} times "
            f"to {side}, so the result is softer than the photo; a smaller context or a larger size helps"
        )


def stitch(known: Known, params: Params) -> Facts:
    """A patch of another size than was cut out."""
    patch, crop = known.get("patch"), known.get("crop")
    if patch is None or not isinstance(crop, Window):
        return {}
    require_stitch(patch, crop)
    rows = max(len(patch), crop.rows) // len(crop.places)
    return {"image": shaped(rows, *crop.base.shape[1:])}


def require_stitch(patch: Tensor, crop: Window) -> None:
    """Raise BadInput unless the patch is as large as the windows that were cut, and its batch goes with them."""
    if tuple(patch.shape[1:3]) != crop.size:
        raise BadInput(
            "patch",
            found=f"a patch of {patch.shape[2]}×{patch.shape[1]}",
            expected=f"{crop.size[1]}×{crop.size[0]}, the size that image.crop_to_mask made",
            fix="connect the edited window of the same run, without resizing it",
        )
    common_batch(crop=per_variation(patch.shape[0], crop=shaped(crop.rows))[0], patch=patch)
