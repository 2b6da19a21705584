"""Metrics against closed forms."""

import math

import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.metric import known_region, psnr


def test_psnr_in_closed_form():
    black = torch.zeros(1, 8, 6, 3)
    assert psnr(black + 0.1, black).value == pytest.approx(20.0)
    assert psnr(black, black).value == math.inf
    half = black.clone()
    half[:, :4] = 0.1
    mask = torch.zeros(1, 8, 6)
    mask[:, :4] = 1
    assert psnr(half, black).value == pytest.approx(20 + 10 * math.log10(2))
    assert psnr(half, black, mask).value == pytest.approx(20.0)
    assert psnr(half, black, 1 - mask).value == math.inf
    soft = torch.full((1, 8, 6), 0.5)
    assert psnr(half, black, soft).value == pytest.approx(psnr(half, black).value)
    assert psnr(torch.cat([half, black]), black).value == pytest.approx(20 + 10 * math.log10(4))


def test_the_known_region_is_everything_that_the_mask_leaves():
    base, mask = torch.rand(1, 8, 6, 3), torch.zeros(1, 8, 6)
    mask[:, 2:4] = 0.01  # a little repainted counts as repainted
    painted = base.clone()
    painted[:, 2:4] = 0
    assert known_region(painted, base, mask).value == 0
    painted[0, 7, 5, 2] += 0.25
    assert known_region(painted, base, mask).value == pytest.approx(0.25)
    assert known_region(painted, base, torch.ones(1, 8, 6)).value == 0


def test_what_cannot_be_compared_is_refused_by_name():
    one = torch.rand(1, 8, 6, 3)
    for call, port in ((lambda: psnr(one, torch.rand(1, 6, 8, 3)), "reference"),
                       (lambda: psnr(torch.rand(3, 8, 6, 3), torch.rand(2, 8, 6, 3)), "reference"),
                       (lambda: psnr(one, one * torch.nan), "reference"),
                       (lambda: psnr(one, one, torch.zeros(1, 8, 6)), "mask"),
                       (lambda: known_region(one, one, torch.zeros(1, 6, 8)), "mask")):
        with pytest.raises(BadInput) as caught:
            call()
        assert caught.value.at("x").port == port
