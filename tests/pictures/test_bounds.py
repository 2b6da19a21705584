"""Sizes and numbers beyond all bounds are refused before they cost memory."""

import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.crop import crop_to_mask
from inlay.nodes.image.fit import fit
from inlay.nodes.mask.shape import shape


@pytest.mark.parametrize(
    ("sides", "options"),
    [
        ((2000, 3), {"size": 512}),
        ((3, 2000), {"size": 512, "mode": "crop"}),
        ((3, 3), {"size": 16384}),
        ((1, 20_000), {"square": True}),
    ],
)
def test_a_narrow_strip_is_not_enlarged_beyond_bounds(sides, options):
    with pytest.raises(BadInput) as caught:
        fit(torch.zeros(1, *sides, 3), **options)
    assert caught.value.port in ("size", "image")
    assert "100 megapixels" in caught.value.expected


def test_long_pictures_that_are_not_enlarged_pass_and_patches_are_bounded():
    assert fit(torch.zeros(1, 1, 70_001, 3)).image.shape == (1, 8, 70_008, 3)
    with pytest.raises(BadInput, match="16384×16384"):
        crop_to_mask(torch.zeros(1, 64, 64, 3), torch.ones(1, 64, 64), size=16384)


@pytest.mark.parametrize("unit", ["px", "fraction"])
@pytest.mark.parametrize("value", [1e308, -1e308, float("nan"), float("inf")])
@pytest.mark.parametrize("port", ["x", "y", "width", "height", "jitter"])
def test_absurd_numbers_are_refused_in_a_short_message(port, value, unit):
    with pytest.raises(BadInput) as caught:
        shape(torch.zeros(1, 12, 10, 3), unit=unit, **{port: value})
    assert caught.value.port == port
    assert len(str(caught.value)) < 300
