"""What is wrong with the connections and settings of picture nodes, known from sizes alone, and what sizes come out.

Each function is the check hook of one node: `known` holds what is known of its inputs (see `before_run.py`), and what
it returns is known of its outputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.notices import notice
from ...models.embedded import mark_own_pictures
from ...pictures.batches import common_batch, per_variation
from ...pictures.boxes import Box, bounding_box
from ...pictures.files.folders import left_out
from ...pictures.files.headers import headers
from ...pictures.files.profile import PictureProfile, require_count
from ...pictures.files.read import Picture, read_pictures
from ...pictures.files.write import SIDE_LIMIT
from ...pictures.fit import Fitting, fit_mask, plan_fit, require_bounded
from ...pictures.masks.values import unit_mask
from ...pictures.pairing import named, notice_crossed
from ...pictures.require import require_mask_fits
from ...pictures.sheet import columns_for, plan_sheet
from .before_run import Counted, Facts, Known, Params, cheap, empty, shaped, with_values, worth

LAID_OUT = 1_000  # pictures of a sheet that is laid out while checking
INEXACT = "JPEG is not exact: pixels outside the mask change a little too; png and webp keep them"


def load(known: Known, params: Params) -> Facts:
    """Headers of what is read; a picture without alpha has an empty mask."""
    found = headers(params["path"])
    if rest := left_out(params["path"]):
        notice(rest)
    mark_own_pictures([params["path"]])
    size = len(found), found[0].height, found[0].width
    mask = shaped(*size)
    if not any(one.transparent for one in found):
        mask = empty(*size)
    elif worth(mask.numel()):
        mask = with_values(np.stack([transparency(picture) for picture in read_pictures(params["path"])]))
    names = [one.path.name for one in found]
    return {"image": named(shaped(*size, 3), names), "mask": mask, "profile": Counted(len(found))}


def with_mask(known: Known, params: Params) -> Facts:
    """As of a file that `load` reads."""
    with blaming("image"):
        return load(known, {"path": params["image"]})


@contextmanager
def blaming(port: str) -> Iterator[None]:
    """In the block, a BadInput names `port`: the setting has another name here than in the function that refuses it."""
    try:
        yield
    except BadInput as error:
        raise BadInput(port, found=error.found, expected=error.expected, fix=error.fix) from error


def transparency(picture: Picture, out: np.ndarray | None = None) -> np.ndarray:
    """1 − alpha of a picture `[h w]`, zeros where it has none; written to `out`, zeros so far, if that is given."""
    width, height = picture.size
    values = np.zeros((height, width), dtype=np.float32) if out is None else out
    if (alpha := picture.info.alpha) is not None:
        np.subtract(np.float32(1), alpha.unit(values), out=values)
    return values


def save(known: Known, params: Params) -> None:
    """A side that the format cannot hold."""
    if params["format"] == "jpeg":
        notice(INEXACT)
    if (image := known.get("image")) is not None:
        require_sides(image, params["format"])
        require_profile(known, image)


def require_sides(image: Tensor, kind: str) -> None:
    """Raise BadInput where a side is too long for the file format."""
    limit = SIDE_LIMIT.get(kind)
    if limit is not None and max(image.shape[1:3]) > limit:
        raise BadInput(
            "format",
            found=f"{kind} for a picture of {image.shape[2]}×{image.shape[1]}",
            expected=f"sides of at most {limit} pixels in {kind}",
            fix="use format=png",
        )


def fit(known: Known, params: Params) -> Facts:
    """The fitted size."""
    image, mask = known.get("image"), known.get("mask", ...)
    if image is None:
        return {}
    plane = (
        empty(*image.shape[:3])
        if mask is None
        else shaped(*image.shape[:3])
        if mask is ...
        else unit_mask(require_mask_fits(mask, image))
    )
    if mask is not None and mask is not ...:
        notice_crossed(image, mask)
    plan = plan_fit(
        image.shape[1], image.shape[2], params["multiple"], params["size"], params["mode"], params["square"]
    )
    require_bounded(plan, params["size"], params["multiple"])
    original = shaped(*image.shape) if params["mode"] == "crop" else None
    small = cheap(plane) and plan.fitted[0] * plan.fitted[1] <= max(4 * plane[0].numel(), 2**16)
    fitted = fit_mask(plane, plan) if small else shaped(len(plane), *plan.fitted)
    return {
        "image": shaped(len(image), *plan.fitted, 3),
        "mask": fitted,
        "fit": Fitting(plan.mode, plan.height, plan.width, plan.scaled, plan.top, plan.left, plan.fitted, original),
    }


def unfit(known: Known, params: Params) -> Facts:
    """A picture of another size than was fitted."""
    image, fit = known.get("image"), known.get("fit")
    if image is None or not isinstance(fit, Fitting):
        return {}
    require_unfit(image, fit)
    rows = len(image)
    if fit.original is not None:
        rows = max(rows, len(fit.original))
    return {"image": shaped(rows, fit.height, fit.width, 3)}


def require_unfit(image: Tensor, fit: Fitting) -> None:
    """Raise BadInput unless the picture has the size that image.fit made, and a batch that goes with its margin."""
    if tuple(image.shape[1:3]) != fit.fitted:
        raise BadInput(
            "image",
            found=f"a picture of {image.shape[2]}×{image.shape[1]}",
            expected=f"{fit.fitted[1]}×{fit.fitted[0]}, the size that image.fit made",
            fix="connect the picture that went through the model, and the fit of the same run",
        )
    if fit.original is not None:
        common_batch(image=image, fit=per_variation(image.shape[0], fit=fit.original)[0])


def same_size(known: Known, params: Params) -> Facts:
    """A picture whose colours change, and nothing else."""
    image, profile = known.get("image"), known.get("profile")
    if image is None:
        return {} if profile is None else {"profile": profile}
    require_profile(known, image)
    return {"image": shaped(*image.shape)} | ({} if profile is None else {"profile": profile})


def require_profile(known: Known, image: Tensor) -> None:
    """Raise BadInput where the profile is of another number of pictures."""
    if isinstance(profile := known.get("profile"), (Counted, PictureProfile)):
        require_count(profile.count, len(image))


def masked(known: Known, image: str = "image", mask: str = "mask") -> tuple[Tensor, Tensor] | None:
    """Picture and mask of one batch, as far as both are known."""
    picture, plane = known.get(image), known.get(mask)
    if plane is not None:
        unit_mask(require_mask_fits(plane, picture, mask), mask)
    if picture is None or plane is None:
        return None
    notice_crossed(picture, plane)
    one, other = common_batch(**{image: picture, mask: plane})
    return one, other


def fill(known: Known, params: Params) -> Facts:
    """A mask that leaves nothing to take colours from."""
    found = masked(known)
    if found is None:
        return {}
    image, plane = found
    if params["fill"] in ("edge", "blur", "harmonic", "patches") and cheap(plane):
        require_some_known(plane > 0, params["fill"])
    if params["fill"] == "patches":
        require_odd(params["patch"])
        if (source := known.get("source")) is not None:
            both = cheap(source) and cheap(plane)
            require_source(source, image, plane > 0 if both else shaped(*plane.shape))
    return {"image": shaped(*image.shape)}


def require_some_known(hole: Tensor, kind: str) -> None:
    """Raise BadInput where a mask covers a whole picture whose colours are to go on."""
    if bool(hole.flatten(1).all(1).any()):
        raise BadInput(
            "mask",
            found=f"a mask over the whole picture, with fill={kind}",
            expected="known pixels to take colours from",
            fix="leave some of the picture out of the mask (is it inverted?), or use fill=neutral or fill=noise",
        )


def require_odd(patch: int) -> int:
    """`patch`, if it has a centre."""
    if patch % 2 == 0:
        raise BadInput("patch", found=str(patch), expected="an odd number", fix=f"use {patch - 1} or {patch + 1}")
    return patch


def require_source(source: Tensor, image: Tensor, hole: Tensor) -> Tensor:
    """Where patches may be copied from `[b h w]`, true or false; raises BadInput where that is nothing at all."""
    usable = unit_mask(require_mask_fits(source, image, "source"), "source") >= 0.5
    _, hole, usable = common_batch(image=image, mask=hole, source=usable)
    if not usable.is_meta and not hole.is_meta:
        barred = (usable & ~hole).flatten(1).any(1).logical_not() & hole.flatten(1).any(1)
        if bool(barred.any()):
            inside = bool(usable[barred].any())
            raise BadInput(
                "source",
                found="a source that lies in the hole alone" if inside else "an empty source",
                expected="known pixels to copy from",
                fix="mark what may be copied outside the hole, or connect no source to copy from all that is known",
            )
    return usable


def paste_back(known: Known, params: Params) -> Facts:
    """Sizes and batches that differ; colours to match where nothing is known."""
    base, patch, mask = (known.get(name) for name in ("base", "patch", "mask"))
    if base is not None and patch is not None:
        require_one_size(base, patch)
    if mask is not None and base is not None:
        plane = unit_mask(require_mask_fits(mask, base))
        if params["color_match"] != "none" and cheap(plane) and bool((plane > 0).flatten(1).all(1).any()):
            raise BadInput(
                "color_match",
                found="a mask that covers the whole picture",
                expected="known pixels to compare colours on",
                fix="use color_match=none",
            )
    if base is None or patch is None or mask is None:
        return {}
    base, plane = per_variation(patch.shape[0], base=base, mask=mask)
    return {"image": shaped(*common_batch(base=base, patch=patch, mask=plane)[0].shape)}


def require_one_size(base: Tensor, patch: Tensor) -> None:
    """Raise BadInput unless a patch has its base's size."""
    if patch.shape[1:3] != base.shape[1:3]:
        raise BadInput(
            "patch",
            found=f"a patch of {patch.shape[2]}×{patch.shape[1]} for a base of {base.shape[2]}×{base.shape[1]}",
            expected="pictures of one size",
            fix="undo image.fit with image.unfit, or image.crop_to_mask with image.stitch, first",
        )


def augment(known: Known, params: Params) -> Facts:
    """An empty mask, where a thing is to be cut out."""
    found = masked(known)
    image, mask = known.get("image"), known.get("mask", ...)
    rows = None
    if found is not None:
        if cheap(found[1]):
            for plane in found[1]:
                require_thing(bounding_box(plane[None] > 0))
        rows = len(found[0])
    elif image is not None and mask is None:
        rows = len(image)
    side = params["size"]
    return {} if rows is None else {"image": shaped(rows * params["count"], side, side, 3)}


def require_thing(box: Box | None) -> None:
    """Raise BadInput where a mask marks nothing to cut out."""
    if box is None:
        raise BadInput(
            "mask",
            found="an empty mask",
            expected="a thing marked in white",
            fix="draw the mask, or remove it to use the whole picture",
        )


def grid(known: Known, params: Params) -> Facts:
    """A label without a picture; the sheet's size, where all pictures are known and few enough to lay out."""
    pictures: list[Tensor] = []
    words: list[str] = []
    for number in range(1, 17):
        name = f"image_{number}"
        require_label(params[f"label_{number}"], number, known.get(name, ...) is not None, "picture", "image")
        batch = known.get(name)
        for picture in batch if isinstance(batch, Tensor) and len(pictures) + len(batch) <= LAID_OUT else ():
            pictures.append(picture)
            words.append(params[f"label_{number}"] or "")
    batches = [known.get(f"image_{number}", ...) for number in range(1, 17)]
    rows = sum(len(batch) for batch in batches if isinstance(batch, Tensor))
    unknown = ... in batches or rows > LAID_OUT
    if unknown or params["times"] or len(pictures) < 2 or not worth(sum(picture.numel() for picture in pictures)):
        return {}
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    plan = plan_sheet(sizes, any(words), params["columns"] or columns_for(len(sizes)))
    return {"image": shaped(1, *plan.size, 3)}


def require_label(label: str, number: int, there: bool, what: str, socket: str) -> None:
    """Raise BadInput for words without the thing that they belong to."""
    if label and not there:
        raise BadInput(
            f"label_{number}",
            found=f"the label {label!r} without a {what}",
            expected=f"a {what} at {socket}_{number}",
            fix=f"connect {socket}_{number}, or remove the label",
        )
