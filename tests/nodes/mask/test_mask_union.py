"""mask.union: what any mask marks."""

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.mask.union import _check_union, union


@pytest.mark.parametrize("count", [2, 3, 8])
def test_each_pixel_has_the_largest_value_of_all(count):
    masks = np.random.default_rng(count).random((count, 2, 5, 7))
    found = union([torch.from_numpy(mask) for mask in masks]).mask
    assert np.array_equal(found.numpy(), masks.max(0))


def test_one_mask_serves_a_batch_and_empty_places_do_not_count():
    one, many = torch.zeros(1, 3, 4), torch.zeros(3, 3, 4)
    one[0, 0, 0], many[2, 1, 1] = 1, 0.5
    found = union([one, None, many]).mask
    assert found.shape == (3, 3, 4)
    assert found.sum().item() == 3.5


def test_masks_of_two_pictures_are_refused_in_the_check_too():
    with pytest.raises(BadInput, match="5×4"):
        union([torch.zeros(1, 3, 4), torch.zeros(1, 4, 5)])
    known = {f"mask_{number}": None for number in range(3, 9)}
    with pytest.raises(BadInput, match="5×4"):
        _check_union(known | {"mask_1": torch.zeros(1, 3, 4), "mask_2": torch.zeros(1, 4, 5)}, {})
    with pytest.raises(BadInput, match="batches"):
        union([torch.zeros(2, 3, 4), torch.zeros(3, 3, 4)])


def test_the_check_knows_small_masks_themselves_and_the_size_of_others():
    known = {f"mask_{number}": None for number in range(3, 9)}
    mark = torch.zeros(1, 3, 4)
    mark[0, 0, 0] = 1
    found = _check_union(known | {"mask_1": mark, "mask_2": torch.zeros(1, 3, 4)}, {})["mask"]
    assert found[0, 0, 0] == 1
    later = torch.empty(2, 3, 4, device="meta")
    assert _check_union(known | {"mask_1": mark, "mask_2": later}, {})["mask"].shape == (2, 3, 4)
    assert _check_union(known | {"mask_1": mark}, {}) == {}, "mask_2 is connected, and nothing is known of it"
