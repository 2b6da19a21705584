"""The plain operations on masks that node editors have: they take the values as they are, pixel by pixel."""

from ...graph_runtime.core.light.later import Float, Tensor, torch


def combine(
    destination: Float[Tensor, "b h w"], source: Float[Tensor, "b sh sw"], x: int, y: int, operation: str
) -> Float[Tensor, "b h w"]:
    """`destination` with `source` laid on it at (x, y) by `operation`, clamped to [0, 1].

    `multiply`, `add` and `subtract` work on the values; `and`, `or` and `xor` on the values rounded to 0 and 1, a half
    to 0. What of `source` lies outside is not used.
    """
    result = destination.clone()
    height, width = min(source.shape[1], result.shape[1] - y), min(source.shape[2], result.shape[2] - x)
    if height > 0 and width > 0:
        under, over = result[:, y : y + height, x : x + width], source[:, :height, :width]
        if operation in ("and", "or", "xor"):
            one, other = under.round().bool(), over.round().bool()
            both = one & other if operation == "and" else one | other if operation == "or" else one ^ other
            result[:, y : y + height, x : x + width] = both.to(result.dtype)
        else:
            made = under * over if operation == "multiply" else under + over if operation == "add" else under - over
            result[:, y : y + height, x : x + width] = made
    return result.clamp(0.0, 1.0)


def fade(mask: Float[Tensor, "b h w"], left: int, top: int, right: int, bottom: int) -> Float[Tensor, "b h w"]:
    """`mask` times a ramp from 1/n to 1 over the first n pixels from each side of the picture."""
    height, width = mask.shape[1:]
    result = mask.clone()
    result *= _ramp(left, width)
    result *= _ramp(right, width).flip(0)
    result *= _ramp(top, height)[:, None]
    result *= _ramp(bottom, height).flip(0)[:, None]
    return result


def _ramp(pixels: int, length: int) -> Float[Tensor, " n"]:
    pixels = min(pixels, length)
    ramp = torch.ones(length)
    ramp[:pixels] = torch.tensor([(at + 1) / pixels for at in range(pixels)])
    return ramp


def step(mask: Float[Tensor, "b h w"], pixels: int, *, square: bool) -> Float[Tensor, "b h w"]:
    """`mask` grown by `pixels` steps of one pixel each, or shrunk if negative: in four directions, or in eight.

    A pixel takes the largest (smallest) value of itself and its neighbours; outside the picture there are none.
    """
    grown = mask if pixels > 0 else -mask
    for _ in range(abs(pixels)):
        before = grown
        if square:
            grown = torch.nn.functional.max_pool2d(grown[:, None], 3, stride=1, padding=1)[:, 0]
        else:
            across = torch.nn.functional.max_pool2d(grown[:, None], (1, 3), stride=1, padding=(0, 1))
            along = torch.nn.functional.max_pool2d(grown[:, None], (3, 1), stride=1, padding=(1, 0))
            grown = torch.maximum(across, along)[:, 0]
        if torch.equal(before, grown):
            break
    return grown if pixels > 0 else -grown
