"""Constraints on their own: exactness, batches, and refusals."""

import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.constraint import blended, null_space
from schedules import ddim_from_config

KNOWN = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
HOLE = (torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(1)) > 0.5).float()
STEPS = ddim_from_config({}, steps=5).denoising_steps()


@pytest.mark.parametrize("rows", [2, 6])
def test_known_cells_keep_their_bits_and_the_rest_is_free(rows):
    x0 = torch.randn(rows, 4, 5, 6) * 1e6
    before = x0.clone()
    bound = null_space(KNOWN, HOLE).constraint.begin(torch.zeros(rows, 4, 5, 6))
    got = bound.apply(x0, STEPS[0])
    keep = HOLE[0, 0] == 0
    for row in range(rows):
        assert torch.equal(got[row][:, keep], KNOWN[row // (rows // 2)][:, keep])
        assert torch.equal(got[row][:, ~keep], x0[row][:, ~keep])
    assert torch.equal(x0, before)
    assert torch.equal(bound.apply(got, STEPS[0]), got)  # a projection: once is enough
    assert bound.after_step(x0, STEPS[0]) is x0


def test_a_soft_mask_mixes():
    bound = null_space(KNOWN, torch.full((1, 1, 5, 6), 0.25)).constraint.begin(KNOWN)
    assert torch.allclose(bound.apply(torch.zeros_like(KNOWN), STEPS[0]), 0.75 * KNOWN)


def test_blended_leaves_x0_alone_and_ends_at_the_known_latent():
    start = torch.randn(2, 4, 5, 6)
    bound = blended(KNOWN, HOLE).constraint.begin(start)
    x0 = torch.zeros_like(KNOWN)
    assert bound.apply(x0, STEPS[0]) is x0
    keep = (HOLE == 0).expand_as(KNOWN)
    assert torch.equal(bound.after_step(x0, STEPS[-1])[keep], KNOWN[keep])
    step = STEPS[1]
    assert torch.allclose(
        bound.after_step(x0, step)[keep],
        (step.alpha_bar_next**0.5 * KNOWN + (1 - step.alpha_bar_next) ** 0.5 * start)[keep],
    )


@pytest.mark.parametrize("make", [null_space, blended])
@pytest.mark.parametrize(
    ("latent", "mask", "port"),
    [
        (KNOWN, torch.zeros(1, 1, 5, 7), "latent_mask"),
        (KNOWN, torch.zeros(1, 5, 6), "latent_mask"),
        (KNOWN, torch.zeros(3, 1, 5, 6), "latent_mask"),
        (KNOWN, HOLE * 2, "latent_mask"),
        (KNOWN, HOLE * float("nan"), "latent_mask"),
        (KNOWN[0], HOLE, "latent"),
        (KNOWN, None, "latent_mask"),
    ],
)
def test_what_does_not_fit_is_named(make, latent, mask, port):
    with pytest.raises(BadInput) as caught:
        make(latent, mask)
    assert caught.value.port == port
    assert caught.value.fix


@pytest.mark.parametrize("start", [torch.zeros(1, 4, 5, 6), torch.zeros(3, 4, 5, 6), torch.zeros(2, 4, 5, 7)])
def test_a_run_of_another_shape(start):
    with pytest.raises(BadInput):
        null_space(KNOWN, HOLE).constraint.begin(start)
