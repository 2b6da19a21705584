"""Convert pictures to scaled latents and back with a VAE: tensors in, tensors out."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.values import require_finite, to_host

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

Tiling = Literal["auto", "on", "off"]
TILE_ABOVE = 1280 * 1280  # pixels; above this the VAE's activations need more memory than everything else
_SWITCHING = threading.RLock()  # `use_tiling` belongs to a module that several threads may lease


def encode_picture(vae: nn.Module, image: Tensor, scale: float, shift: float, noise: Tensor | None = None) -> Tensor:
    """(mean [+ std·noise] − shift)·scale of the VAE's posterior.

    Args:
        vae: the identity for models in pixel space.
        image: RGB in [0, 1] `[b h w 3]`.
        scale: the VAE's scaling_factor.
        shift: the VAE's shift_factor.
        noise: `[b c lh lw]`; None takes the posterior's mode.

    Returns:
        Scaled latents `[b c lh lw]`, on the CPU.
    """
    place = _place(vae, image)
    x = image.permute(0, 3, 1, 2).to(*place) * 2 - 1
    if isinstance(vae, nn.Identity):
        return to_host(x.contiguous())
    posterior = vae.encode(x, return_dict=False)[0]  # type: ignore[operator]  # a VAE of diffusers
    latent = posterior.mode() if noise is None else posterior.mean + posterior.std * noise.to(*place)
    return (to_host(latent) - shift) * scale


def decode_latent(vae: nn.Module, latent: Tensor, scale: float, shift: float) -> Tensor:
    """The picture `[b h w 3]` of a scaled latent `[b c lh lw]`, clamped to [0, 1], on the CPU; NaN stays NaN."""
    if isinstance(vae, nn.Identity):
        x = latent
    else:
        x = vae.decode((latent / scale + shift).to(*_place(vae, latent)), return_dict=False)[0]  # type: ignore[operator]
    return (to_host(x) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous()


class Pictures:
    """A leased VAE for the length of a run: latents to pictures and back, one after the other.

    Args:
        vae: the module.
        factor: pixels that a cell spans.
        scale: its scaling_factor.
        shift: its shift_factor.
        before_each: called before each picture; may raise to stop.
    """

    def __init__(
        self,
        vae: "AutoencoderKL | nn.Identity",
        factor: int,
        scale: float,
        shift: float,
        before_each: Callable[[], None],
    ) -> None:
        self._vae, self._factor, self._scale, self._shift = vae, factor, scale, shift
        self._before_each = before_each

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures `[b h w 3]` in [0, 1] of scaled latents `[b c lh lw]`, on the CPU.

        Raises:
            BadInput: the VAE gives NaN or infinity.
        """
        rows = []
        for row in latent.split(1):
            self._before_each()
            with tiled(self._vae, "auto", self._factor**2 * row.shape[2] * row.shape[3]):
                rows.append(decode_latent(self._vae, row, self._scale, self._shift))
        return require_finite(torch.cat(rows), "vae", what="the decoded picture", fix=remedy(self._vae))

    def encode(self, image: Tensor) -> Tensor:
        """Scaled latents `[b c lh lw]` of pictures `[b h w 3]` in [0, 1], on the CPU; the posterior's mode.

        Raises:
            BadInput: the VAE gives NaN or infinity.
        """
        rows = []
        for picture in image.split(1):
            self._before_each()
            with tiled(self._vae, "auto", picture.shape[1] * picture.shape[2]):
                rows.append(encode_picture(self._vae, picture, self._scale, self._shift))
        return require_finite(torch.cat(rows), "vae", what="the latent", fix=remedy(self._vae))


def _place(vae: nn.Module, value: Tensor) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a VAE, or of the value if the VAE has no parameters."""
    parameter = next(vae.parameters(), None)
    return (value.device, value.dtype) if parameter is None else (parameter.device, parameter.dtype)


class Overlaps:
    """How far the tiles of a picture differ where they overlap, before they are blended there.

    Each tile is normalised by itself, so it knows less of the picture than the whole does; this is what it costs.

    Attributes:
        tiles: how many there are; 0 or 1 is the whole picture.
    """

    def __init__(self, step: int) -> None:
        self.tiles = 0
        self._step, self._columns = step, 0
        self._row: list[Tensor] = []  # the tiles before this one in its row
        self._above: list[Tensor] = []
        self._largest: Tensor | None = None

    def largest(self) -> float:
        """The largest difference, in the numbers that the VAE gives; 0 without overlaps."""
        return 0.0 if self._largest is None else float(self._largest)

    def begin(self, width: int) -> None:
        """A picture or latent of this width comes next."""
        self._columns = len(range(0, width, self._step))

    def see(self, part: nn.Module, given: tuple[Tensor, ...], tile: Tensor) -> None:
        """The next tile, row by row."""
        step = self._step * tile.shape[-1] // given[0].shape[-1]
        if self._row:
            self._compare(self._row[-1][..., step:], tile)
        if self._above:
            self._compare(self._above[len(self._row)][..., step:, :], tile)
        self.tiles += 1
        self._row.append(tile)
        if len(self._row) == self._columns:
            self._above, self._row = self._row, []

    def _compare(self, one: Tensor, other: Tensor) -> None:
        height, width = (min(one.shape[axis], other.shape[axis]) for axis in (-2, -1))
        if height and width:
            far = (one[..., :height, :width] - other[..., :height, :width]).abs().amax()
            self._largest = far if self._largest is None else torch.maximum(self._largest, far)


@contextmanager
def tiled(vae: "AutoencoderKL | nn.Identity", tiling: Tiling, pixels: int, width: int = 0) -> Iterator[Overlaps]:
    """Switch the VAE's own tiling on or off (auto: on above 1280²) for the length of the block.

    Other threads wait until it ends: hold it for one picture, not for a batch.

    Args:
        vae: the module.
        tiling: on, off or auto.
        pixels: of the picture.
        width: of the latent that is decoded in the block; 0 compares no tiles.
    """
    on = tiling == "on" or (tiling == "auto" and pixels > TILE_ABOVE)
    if isinstance(vae, nn.Identity) or not hasattr(vae, "use_tiling"):
        yield Overlaps(1)
        return
    step = max(1, int(vae.tile_latent_min_size * (1 - vae.tile_overlap_factor)))
    overlaps = Overlaps(step)
    with _SWITCHING, ExitStack() as stack:
        if on and width:
            overlaps.begin(width)
            stack.callback(vae.decoder.register_forward_hook(overlaps.see).remove)
        before, vae.use_tiling = vae.use_tiling, on
        try:
            yield overlaps
        finally:
            vae.use_tiling = before


def works_in_tiles(vae: "AutoencoderKL | nn.Identity", height: int, width: int) -> bool:
    """True in a block of `tiled` in which a picture of this size is encoded in several tiles."""
    if isinstance(vae, nn.Identity) or not getattr(vae, "use_tiling", False):
        return False
    return max(height, width) > int(vae.tile_sample_min_size)


def remedy(vae: nn.Module) -> str:
    """The fix for NaN from a VAE: another precision if it computes in half precision."""
    _, dtype = _place(vae, torch.zeros(0))
    if dtype in (torch.float16, torch.bfloat16):
        return (
            f"set vae_dtype to float32 in the model node: it is {str(dtype).removeprefix('torch.')}, which this "
            "VAE's activations exceed"
        )
    return "its weights are damaged, though it computes in float32: download the model again, or use another source"
