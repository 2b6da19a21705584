"""Latents: pictures through a VAE and back, and files of latents.

Latents travel between nodes on the CPU in float32 (float64 where the VAE is), VAE mean × scaling factor.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from ..graph_runtime import Context, ReadPath, node
from ..graph_runtime.core.light.later import torch
from ..graph_runtime.core.values import plain, plain_mode, require_finite, to_host
from ..methods.latents import Tiling, decode_latent, encode_picture, remedy, tiled, works_in_tiles
from ..models.files.tensors import read_tensors
from .checks.latent import decode as check_decode
from .checks.latent import encode as check_encode
from .checks.latent import load as check_load
from .checks.latent import require_channels, require_key, require_latent_shape, require_multiple
from .checks.latent import save as check_save
from .noise import Seed
from .ports import Image, Latent, Paths, Vae


class Encoded(NamedTuple):
    """Scaled latents."""

    latent: Latent


class Decoded(NamedTuple):
    """A picture."""

    image: Image


class SavedLatent(NamedTuple):
    """The latent that was saved, and where."""

    latent: Latent
    paths: Paths


@node("latent.encode", version=1, check=check_encode)
def encode(
    image: Image,
    vae: Vae,
    ctx: Context,
    sample: Literal["mode", "posterior"] = "mode",
    seed: Seed = 0,
    tiling: Tiling = "auto",
) -> Encoded:
    """Encode pictures into scaled latents, one after the other.

    Args:
        image: RGB in [0, 1]; both sides must be multiples of the VAE's factor (8 for Stable Diffusion).
        vae: the model's VAE; the identity VAE of a pixel model maps [0, 1] to [−1, 1].
        sample: mode takes the posterior's mean; posterior draws from it.
        seed: random seed of the CPU generator that posterior draws from.
        tiling: encode in overlapping tiles to save memory, a little less exactly; auto: above 1280×1280 pixels, by
            size alone. A warning says so.

    Raises:
        BadInput: a side is no multiple of the factor, or the VAE gives NaN.
    """
    image = plain(image)
    require_multiple(image, vae)
    require_finite(image, "image", what="the picture", fix="check the node that made it")
    height, width = image.shape[1:3]
    generator = torch.Generator("cpu").manual_seed(seed)
    cells = (1, vae.latent_channels, height // vae.factor, width // vae.factor)
    rows, cut = [], False
    with plain_mode(), ctx.lease(vae) as module:
        for index, picture in enumerate(image.split(1)):
            noise = torch.randn(cells, generator=generator) if sample == "posterior" else None
            with tiled(module, tiling, height * width):
                cut = works_in_tiles(module, height, width)
                rows.append(encode_picture(module, picture, vae.scaling_factor, vae.shift_factor, noise))
            ctx.progress(index + 1, image.shape[0])
        latent = require_finite(torch.cat(rows), "vae", what="the latent", fix=remedy(module))
    if cut:
        ctx.warn("encoded in tiles, each normalised by itself; set tiling to off for the exact latent (more memory)")
    return Encoded(latent)


@node("latent.decode", version=1, check=check_decode)
def decode(latent: Latent, vae: Vae, ctx: Context, tiling: Tiling = "auto") -> Decoded:
    """Decode scaled latents into pictures, one after the other.

    Args:
        latent: scaled latents `[b c lh lw]`.
        vae: the VAE of the model that made them.
        tiling: decode in overlapping tiles to save memory, a little less exactly; auto: above 1280×1280 pixels. How far
            tiles differ where they overlap is said in a warning.

    Raises:
        BadInput: the latent has another number of channels than the VAE, or the VAE gives NaN.
    """
    latent = plain(latent)
    require_channels(latent, vae)
    require_finite(
        latent, "latent", what="the latent", fix="check the node that made it; set dtype to float32 in the model node"
    )
    pixels = latent.shape[2] * latent.shape[3] * vae.factor**2
    pictures, tiles, far = [], 0, 0.0
    with plain_mode(), ctx.lease(vae) as module:
        for index, row in enumerate(latent.split(1)):
            with tiled(module, tiling, pixels, latent.shape[3]) as overlaps:
                pictures.append(decode_latent(module, row, vae.scaling_factor, vae.shift_factor))
            if overlaps.tiles > 1:
                tiles, far = max(tiles, overlaps.tiles), max(far, overlaps.largest() / 2)
            ctx.progress(index + 1, latent.shape[0])
        image = require_finite(torch.cat(pictures), "vae", what="the decoded picture", fix=remedy(module))
    if tiles:
        ctx.warn(
            f"decoded in {tiles} tiles, which differ by at most {far:.3f} (1 is from black to white) where they overlap"
            " and are blended; set tiling to off for the exact picture, which takes more memory"
        )
    return Decoded(image)


@node("latent.load", version=1, check=check_load)
def load(path: ReadPath, key: str = "latent") -> Encoded:
    """Read a latent from a safetensors file.

    Args:
        path: the .safetensors file.
        key: name of the tensor in it.

    Raises:
        BadInput: no such file or key, or the tensor is not `[b, c, lh, lw]`.
    """
    file = Path(path)
    tensors = read_tensors(file, [key], "path")
    require_key(key, tensors, file)
    latent = require_finite(require_latent_shape(tensors[key]), "path", what=f"{key!r}", fix="make the file again")
    return Encoded(to_host(latent))


@node("latent.save", version=1, effects=True, check=check_save)
def save(latent: Latent, ctx: Context, prefix: str = "latent") -> SavedLatent:
    """Write a latent to a safetensors file below the output folder, under the key `latent`.

    Args:
        latent: what to write.
        prefix: the file's name begins with it; the next free number follows.
    """
    from safetensors.torch import save_file

    latent = plain(latent)
    count = len(ctx.saved)
    with ctx.new_file(prefix, ".safetensors") as path:
        save_file({"latent": latent.contiguous()}, str(path))
    return SavedLatent(latent, [str(path) for path in ctx.saved[count:]])
