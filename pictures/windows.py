"""Making a picture fit a model, and undoing it: padding, cropping, resizing, and a window around the hole."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..graph_runtime import BadInput
from .fill import nearest_known, per_variation, reflect_index, resize_image
from .masks import resize_mask
from .read import MAX_PIXELS

MAX_SIDE = 65_535  # pixels along a side that image.fit scales
LEAST_WINDOW = 64  # pixels; less of the picture gives a model nothing to go on


@dataclass(frozen=True, eq=False)
class Fit:
    """How `fit_image` changed a picture.

    Attributes:
        mode: pad, crop or resize.
        height, width: of the original, in pixels.
        scaled: height and width after scaling, before padding or cropping.
        top, left: of the scaled picture inside the fitted one (pad), or of the fitted one inside the scaled (crop).
        fitted: height and width of the result.
        original: the untouched picture, kept by crop for the margin it cuts off.
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
        """Bytes of what it carries, for the memory cache."""
        return 0 if self.original is None else self.original.nbytes


@dataclass(frozen=True, eq=False)
class Window:
    """Where a patch was cut: `[top : top + height, left : left + width]` of `base`, resized to `size` (height, width).

    A window may reach over the picture's border; what lies beyond is mirrored and is dropped again when stitching.
    `mask` is the whole picture's.
    """

    base: Tensor
    mask: Tensor
    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of what it carries, for the memory cache."""
        return self.base.nbytes + self.mask.nbytes


def plan_fit(height: int, width: int, multiple: int, size: int | None, mode: str, square: bool) -> Fit:
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
        return Fit(mode, height, width, (goal_h, goal_w), 0, 0, (goal_h, goal_w))
    top, left = abs(goal_h - scaled_h) // 2, abs(goal_w - scaled_w) // 2
    return Fit(mode, height, width, (scaled_h, scaled_w), top, left, (goal_h, goal_w))


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _down(side: int, multiple: int) -> int:
    return side // multiple * multiple


def _near(side: int, multiple: int) -> int:
    return max(1, int(side / multiple + 0.5)) * multiple


def fit_image(image: Float[Tensor, "b h w 3"], mask: Float[Tensor, "b h w"], fit: Fit) -> tuple[Tensor, Tensor]:
    """Scale, then pad or crop picture and mask as `fit` says; untouched pixels keep their bits where nothing is scaled.

    Padding mirrors the picture (no dark line at its edge) and is known: its mask is 0. Where the mirror would show
    what the hole hides, it shows the nearest known colours instead, so that nothing that is to go comes back.
    """
    fitted = fit_mask(mask, fit)
    image, mask = resize_image(image, *fit.scaled), resize_to(mask, *fit.scaled)
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


def fit_mask(mask: Float[Tensor, "b h w"], fit: Fit) -> Float[Tensor, "b fh fw"]:
    """What `fit_image` makes of a mask: no part of the hole is lost but what is cropped; padding is known."""
    mask = resize_to(mask, *fit.scaled)
    if fit.mode == "crop":
        return mask[:, fit.top : fit.top + fit.fitted[0], fit.left : fit.left + fit.fitted[1]].clone()
    if fit.fitted == fit.scaled:
        return mask
    rows, columns, inside = _padding(fit, mask.device)
    return torch.where(inside, mask[:, rows][:, :, columns], 0)


def _padding(fit: Fit, device: torch.device) -> tuple[Tensor, Tensor, Bool[Tensor, "fh fw"]]:
    """Which row and column of the scaled picture each row and column shows, mirrored; and where it is the picture."""
    (height, width), (goal_h, goal_w) = fit.scaled, fit.fitted
    rows = reflect_index(-fit.top, goal_h - fit.top, height).to(device)
    columns = reflect_index(-fit.left, goal_w - fit.left, width).to(device)
    inside = torch.zeros(goal_h, goal_w, dtype=torch.bool, device=device)
    inside[fit.top : fit.top + height, fit.left : fit.left + width] = True
    return rows, columns, inside


def unfit_image(image: Float[Tensor, "b h w 3"], fit: Fit) -> Float[Tensor, "b height width 3"]:
    """Undo `fit_image`: the original's size exactly; pad and crop without scaling give its pixels back bit for bit."""
    if fit.mode == "crop":
        return _uncrop(image, fit)
    (height, width) = fit.scaled
    part = image[:, fit.top : fit.top + height, fit.left : fit.left + width]
    return resize_image(part, fit.height, fit.width)


def _uncrop(image: Tensor, fit: Fit) -> Tensor:
    """The result in its place; the margin comes from the original, bit for bit."""
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


def resize_to(mask: Float[Tensor, "b h w"], height: int, width: int) -> Float[Tensor, "b height width"]:
    """A copy of the mask at that size; the same size keeps its bits."""
    return mask.clone() if mask.shape[1:] == (height, width) else resize_mask(mask, height, width)


def plan_window(
    box: tuple[int, int, int, int], height: int, width: int, context: float, size: int | None, multiple: int = 8
) -> tuple[int, int, int, int, tuple[int, int]]:
    """`(top, left, height, width, patch size)` of a window around `box` (left, top, right, bottom).

    It is a square of `context` times the box's long side (at least 64 px), cut to the picture's sides where it is
    longer and moved inside. With a `size` its long side becomes that; without, its sides grow to a multiple of 8.
    """
    left, top, right, bottom = box
    side = max(LEAST_WINDOW, round(max(right - left, bottom - top) * context))
    window_h, window_w = min(side, height), min(side, width)
    if size is None:
        window_h, window_w = _up(window_h, multiple), _up(window_w, multiple)
        patch = (window_h, window_w)
    else:
        scale = size / max(window_h, window_w)
        patch = (
            max(multiple, _near(round(window_h * scale), multiple)),
            max(multiple, _near(round(window_w * scale), multiple)),
        )
    return _start(top, bottom, window_h, height), _start(left, right, window_w, width), window_h, window_w, patch


def _start(low: int, high: int, length: int, limit: int) -> int:
    """Where a window of `length` begins: centred on low … high, inside the picture where it fits there."""
    centred = (low + high - length) // 2
    return min(max(0, centred), limit - length) if length <= limit else -((length - limit) // 2)


def cut_window(window: Window) -> tuple[Float[Tensor, "b ph pw 3"], Float[Tensor, "b ph pw"]]:
    """The picture and the mask inside the window at the patch's size; beyond the border: mirrored, and known."""
    height, width = window.base.shape[1:3]
    rows = reflect_index(window.top, window.top + window.height, height).to(window.base.device)
    columns = reflect_index(window.left, window.left + window.width, width).to(window.base.device)
    image, mask = window.base[:, rows][:, :, columns], window.mask[:, rows][:, :, columns]
    inside = _inside(window)
    mask = torch.where(inside, mask, 0)
    return resize_image(image, *window.size), resize_to(mask, *window.size)


def _inside(window: Window) -> Bool[Tensor, "h w"]:
    height, width = window.base.shape[1:3]
    y = torch.arange(window.top, window.top + window.height, device=window.base.device)
    x = torch.arange(window.left, window.left + window.width, device=window.base.device)
    return ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]


def place_patch(patch: Float[Tensor, "b ph pw 3"], window: Window) -> Float[Tensor, "b h w 3"]:
    """The whole picture with the patch, resized, in the window's place."""
    patch = resize_image(patch.to(window.base), window.height, window.width)
    height, width = window.base.shape[1:3]
    base = per_variation(patch.shape[0], crop=window.base)[0]
    out = base.expand(max(patch.shape[0], base.shape[0]), -1, -1, -1).clone()
    top, left = max(0, window.top), max(0, window.left)
    bottom, right = min(height, window.top + window.height), min(width, window.left + window.width)
    out[:, top:bottom, left:right] = patch[
        :, top - window.top : bottom - window.top, left - window.left : right - window.left
    ]
    return out


def require_bounded(plan: Fit, size: int | None, multiple: int) -> None:
    """Refuse what nobody can want: a sliver enlarged, or padded to a square, beyond what a picture may be: BadInput."""
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
            fix="use square=false" if size is None else "use a smaller size, or cut the picture first",
        )
