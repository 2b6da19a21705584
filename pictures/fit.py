"""Fit a whole picture to a model, and undo it: scaling, padding, cropping."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Bool, Float, Tensor, torch
from ..graph_runtime.core.light.sketch import Sketch
from .batches import per_variation
from .containers.container import MAX_PIXELS
from .fill import nearest_known
from .masks.morphology import resize_mask
from .resize import reflect_index, resize_image

MAX_SIDE = 65_535  # pixels along a side that image.fit scales


@dataclass(frozen=True, eq=False)
class Fitting:
    """How a picture was fitted, so that it can be undone.

    Attributes:
        mode: pad, crop or resize.
        height, width: of the original, in pixels.
        scaled: height and width after scaling, before padding or cropping.
        top, left: of the scaled picture inside the fitted one (pad), or of the fitted one inside the scaled (crop).
        fitted: height and width of the result.
        original: the untouched picture; crop keeps it for the margin that it cuts off.
    """

    mode: str
    height: int
    width: int
    scaled: tuple[int, int]
    top: int
    left: int
    fitted: tuple[int, int]
    original: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory, for the cache."""
        return 0 if self.original is None else self.original.nbytes


def plan_fit(height: int, width: int, multiple: int, size: int | None, mode: str, square: bool) -> Fitting:
    """Sizes for `fit_image`. `size` is the short side after scaling (padding to a square: the long one)."""
    scale = 1.0 if size is None else size / (max if square and mode == "pad" else min)(height, width)
    scaled_h, scaled_w = max(1, round(height * scale)), max(1, round(width * scale))
    if mode == "pad":
        goal_h, goal_w = (_up(side, multiple) for side in (scaled_h, scaled_w))
        pick = max
    else:
        rounding = _down if mode == "crop" else _near
        goal_h, goal_w = (rounding(side, multiple) for side in (scaled_h, scaled_w))
        pick = min
    if square:
        goal_h = goal_w = pick(goal_h, goal_w)
    if mode == "resize":
        return Fitting(mode, height, width, (goal_h, goal_w), 0, 0, (goal_h, goal_w))
    top, left = abs(goal_h - scaled_h) // 2, abs(goal_w - scaled_w) // 2
    return Fitting(mode, height, width, (scaled_h, scaled_w), top, left, (goal_h, goal_w))


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _down(side: int, multiple: int) -> int:
    return side // multiple * multiple


def _near(side: int, multiple: int) -> int:
    return max(1, int(side / multiple + 0.5)) * multiple


def fit_image(image: Float[Tensor, "b h w 3"], mask: Float[Tensor, "b h w"], fit: Fitting) -> tuple[Tensor, Tensor]:
    """Picture and mask scaled, then padded or cropped as planned; without scaling, pixels keep their bits.

    Padding mirrors the picture (no dark line at its edge) and counts as known: its mask is 0. If the mirror image
    would show the content of the hole, the nearest known colours are used instead, so that removed things do not
    reappear.
    """
    fitted = fit_mask(mask, fit)
    image, mask = resize_image(image, *fit.scaled), resize_mask(mask, *fit.scaled)
    (height, width), (goal_h, goal_w) = fit.scaled, fit.fitted
    if fit.mode == "crop":
        part = (slice(None), slice(fit.top, fit.top + goal_h), slice(fit.left, fit.left + goal_w))
        return image[part].clone(), fitted
    if (goal_h, goal_w) == (height, width):
        return image, fitted
    rows, columns, inside = _padding(fit, image.device)
    batch = max(image.shape[0], mask.shape[0])
    hole = (mask > 0)[:, rows][:, :, columns]
    padded = image[:, rows][:, :, columns]
    if bool((hole & ~inside).any()):
        clean = nearest_known(image.expand(batch, -1, -1, -1), (mask > 0).expand(batch, -1, -1))
        padded = torch.where(inside[..., None], padded, clean[:, rows][:, :, columns])
    return padded, fitted


def fit_mask(mask: Float[Tensor, "b h w"], fit: Fitting) -> Float[Tensor, "b fh fw"]:
    """The mask alone, as in `fit_image`: only cropping loses parts of the hole; padding is known."""
    mask = resize_mask(mask, *fit.scaled)
    if fit.mode == "crop":
        return mask[:, fit.top : fit.top + fit.fitted[0], fit.left : fit.left + fit.fitted[1]].clone()
    if fit.fitted == fit.scaled:
        return mask
    if isinstance(mask, Sketch):
        return cast(Tensor, Sketch.of(_padded(mask.numpy(), fit)))
    rows, columns, inside = _padding(fit, mask.device)
    return torch.where(inside, mask[:, rows][:, :, columns], 0)


def _padded(mask: NDArray[np.generic], fit: Fitting) -> NDArray[np.generic]:
    """A mask in its place, with zeros around it: padding is known."""
    (height, width), (goal_h, goal_w) = fit.scaled, fit.fitted
    below, beside = goal_h - height - fit.top, goal_w - width - fit.left
    return np.pad(mask, ((0, 0), (fit.top, below), (fit.left, beside)))


def _padding(fit: Fitting, device: torch.device) -> tuple[Tensor, Tensor, Bool[Tensor, "fh fw"]]:
    """The scaled picture's row and column for each row and column, mirrored; and the place of the picture itself."""
    (height, width), (goal_h, goal_w) = fit.scaled, fit.fitted
    rows = reflect_index(-fit.top, goal_h - fit.top, height).to(device)
    columns = reflect_index(-fit.left, goal_w - fit.left, width).to(device)
    inside = torch.zeros(goal_h, goal_w, dtype=torch.bool, device=device)
    inside[fit.top : fit.top + height, fit.left : fit.left + width] = True
    return rows, columns, inside


def unfit_image(image: Float[Tensor, "b h w 3"], fit: Fitting) -> Float[Tensor, "b height width 3"]:
    """Undo `fit_image`: exactly the original's size, and its pixels bit for bit if nothing was scaled."""
    if fit.mode == "crop":
        return _uncrop(image, fit)
    (height, width) = fit.scaled
    part = image[:, fit.top : fit.top + height, fit.left : fit.left + width]
    return resize_image(part, fit.height, fit.width)


def _uncrop(image: Tensor, fit: Fitting) -> Tensor:
    """The result in its place; the margin is the original's, bit for bit."""
    assert fit.original is not None
    original = per_variation(image.shape[0], fit=fit.original.to(image))[0]
    batch = max(image.shape[0], original.shape[0])
    scale_y, scale_x = fit.height / fit.scaled[0], fit.width / fit.scaled[1]
    top, left = round(fit.top * scale_y), round(fit.left * scale_x)
    bottom = min(fit.height, round((fit.top + fit.fitted[0]) * scale_y))
    right = min(fit.width, round((fit.left + fit.fitted[1]) * scale_x))
    out = original.expand(batch, -1, -1, -1).clone()
    out[:, top:bottom, left:right] = resize_image(image, bottom - top, right - left)
    return out


def require_bounded(plan: Fitting, size: int | None, multiple: int) -> None:
    """Refuse results that are too large for a picture, such as a narrow strip padded to a square.

    Raises:
        BadInput: no pixel is left, or too many.
    """
    if 0 in plan.fitted:
        raise BadInput(
            "image",
            found=f"a picture of {plan.width}×{plan.height}, with mode=crop",
            fix="use mode=pad",
            expected=f"at least {multiple} pixels on each side",
        )
    height, width = (max(sides) for sides in zip(plan.scaled, plan.fitted, strict=True))
    pixels = height * width
    grown = pixels > 1.05 * plan.height * plan.width
    if grown and (pixels > MAX_PIXELS or (size is not None and max(height, width) > MAX_SIDE)):
        raise BadInput(
            "image" if size is None else "size",
            found=f"a result of {width}×{height} pixels",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels, and {MAX_SIDE} along a side",
            fix="use square=false" if size is None else "use a smaller size, or crop the picture first",
        )
