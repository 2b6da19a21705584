"""How busy a picture is around each pixel: the texture features of Newson et al. 2014, section 3.2."""

from ...graph_runtime.core.light.later import Bool, F, Float, Tensor, torch

WEIGHT = 7.0  # of the features beside colours, √50 as in the paper
WINDOW = 31  # side of the square over which gradients are averaged, in pixels
LUMINANCE = (0.299, 0.587, 0.114)


def luminance(colours: Float[Tensor, "c h w"]) -> Float[Tensor, "h w"]:
    """Luma of the first three planes (ITU-R BT.601)."""
    return sum((share * plane for share, plane in zip(LUMINANCE, colours, strict=False)), torch.zeros_like(colours[0]))


def differences(plane: Float[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
    """Forward differences across and down; 0 at the last column and row."""
    across = F.pad(plane[:, 1:] - plane[:, :-1], (0, 1))
    down = F.pad(plane[1:] - plane[:-1], (0, 0, 0, 1))
    return torch.stack([across, down])


def texture(rgb: Float[Tensor, "3 h w"], hole: Bool[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
    """Mean size of the luma's differences across and down around each pixel, over known pixels alone."""
    known = F.pad(~hole, (0, 1, 0, 1))
    usable = torch.stack([known[:-1, :-1] & known[:-1, 1:], known[:-1, :-1] & known[1:, :-1]]).to(rgb)
    size = differences(luminance(rgb)).abs() * usable
    return WEIGHT * _box_sum(size) / _box_sum(usable).clamp(min=1)


def _box_sum(planes: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Sums over a square window; zeros outside."""
    across = F.avg_pool2d(planes[None], (1, WINDOW), 1, (0, WINDOW // 2), divisor_override=1)
    return F.avg_pool2d(across, (WINDOW, 1), 1, (WINDOW // 2, 0), divisor_override=1)[0]
