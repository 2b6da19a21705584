"""Pictures that are decoded in tiles: no edge between them, and the node says how far they differ."""

import re

import numpy as np
import pytest
import torch
from inlay.graph_runtime.front.installed import shipped_workflows
from inlay.nodes import latent
from inlay.nodes.model import stable_diffusion
from PIL import Image
from recording import RecordingContext

STEP, BLENDED = 96, 32  # pixels: from tile to tile of dollhouse's VAE, and where neighbours are blended


@pytest.fixture(scope="module")
def vae():
    return stable_diffusion("dollhouse").vae


@pytest.fixture(scope="module")
def decoded(vae):
    """A photo's latent, its picture whole and in tiles, and what the node said."""
    ctx = RecordingContext()
    path = shipped_workflows()["inpaint"].parent / "photo.jpg"
    photo = np.array(Image.open(path).convert("RGB").resize((288, 224)))
    z = latent.encode(torch.from_numpy(photo)[None] / 255, vae, ctx).latent
    whole = latent.decode(z, vae, ctx).image
    assert not ctx.warnings
    return z, whole, latent.decode(z, vae, ctx, tiling="on").image, ctx.warnings[-1]


def steps(picture, axis):
    """The mean step from each line to the next, along one side."""
    return picture[0].movedim(axis, 0).diff(dim=0).abs().mean((1, 2))


def edge(tiled, whole, axis, borders):
    """How much larger the steps of what tiles change are at their borders than elsewhere."""
    change = steps(tiled - whole, axis)
    return float(change[[at for at in borders if at < len(change)]].max() / change.mean())


@pytest.mark.parametrize("axis", [0, 1])
def test_between_tiles_there_is_no_edge(decoded, vae, axis):
    """A seam would be a line of larger steps, as there is where tiles are set side by side."""
    z, whole, tiled, _ = decoded
    borders = [at for begin in range(STEP, 288, STEP) for at in (begin - 1, begin, begin + BLENDED - 1)]
    assert edge(tiled, whole, axis, borders) < 2
    assert steps(tiled, axis)[borders[:3]].mean() < 1.1 * steps(whole, axis)[borders[:3]].mean()
    ctx = RecordingContext()
    with ctx.lease(vae) as module:
        blended, module.tile_overlap_factor = module.tile_overlap_factor, 0
        try:
            cut = latent.decode(z, vae, ctx, tiling="on").image
        finally:
            module.tile_overlap_factor = blended
    assert edge(cut, whole, axis, [STEP + BLENDED - 1]) > 3


@torch.no_grad()
def test_the_node_says_how_many_tiles_there_were_and_how_far_they_differ(decoded, vae, ctx):
    z, whole, tiled, said = decoded
    count, far = re.search(r"in (\d+) tiles, which differ by at most ([\d.]+)", said).groups()
    assert int(count) == 3 * 3
    with ctx.lease(vae) as module:
        tiles = {
            (row, column): module.decoder(
                module.post_quant_conv(z[..., row : row + 16, column : column + 16] / vae.scaling_factor)
            )
            for row in range(0, z.shape[2], 12)
            for column in range(0, z.shape[3], 12)
        }
    differ = []
    for (row, column), one in tiles.items():
        for down, across in ((0, 12), (12, 0)):
            other, rest = tiles.get((row + down, column + across)), one[..., 8 * down :, 8 * across :]
            if other is not None and rest.numel():
                height, width = (min(rest.shape[side], other.shape[side]) for side in (2, 3))
                differ.append(float((rest[..., :height, :width] - other[..., :height, :width]).abs().max()))
    assert max(differ) / 2 == pytest.approx(float(far), abs=5e-4)
    assert float((whole - tiled).abs().max()) < 2 * float(far)


def test_a_picture_of_one_tile_is_the_whole_picture_and_nothing_is_said(vae, ctx):
    z = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(latent.decode(z, vae, ctx, tiling="on").image, latent.decode(z, vae, ctx).image)
    assert not ctx.warnings
    with ctx.lease(vae) as module:
        assert not module.decoder._forward_hooks
