"""The measurements without values, on a tiny shape: what docs/results/memory.md says of large ones."""

import pytest
import torch
from inlay.benchmarks.gpu.shapes import SD15, TINY
from inlay.benchmarks.memory.shapes import group_offload_bytes, null_space, on_the_host, streamed_bytes
from inlay.graph_runtime import ModelError

CONFIG = {**TINY.unet, "block_out_channels": (64, 128)}


def test_null_space_at_stable_diffusions_shape_takes_less_than_3_gb_at_512_and_runs_in_them():
    taken = {one.name: one.peak for one in null_space(SD15, 512, steps=1, limit=3 * 10**9)}
    assert taken["whole"] == max(taken.values())
    assert taken["sample.denoise"] > 1.7 * 10**9, "the UNet's weights alone"


def test_every_step_takes_the_same_and_a_smaller_device_runs_out():
    few, more = (null_space(TINY, 64, steps)[-1].peak for steps in (1, 3))
    assert few == more
    assert null_space(TINY, 64, 1, limit=few)[-1].peak == few
    with pytest.raises((torch.OutOfMemoryError, ModelError), match="memory"):
        null_space(TINY, 64, 1, limit=few - 1)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_streamed_weights_move_no_more_than_diffusers_group_offload(share):
    whole = sum(value.nbytes for value in on_the_host(CONFIG).parameters())
    before, first, second = streamed_bytes(CONFIG, int(share * whole), 8)
    theirs = min(group_offload_bytes(CONFIG, level, 8) for level in ("block_level", "leaf_level"))
    assert theirs == whole
    assert before.moved + first.moved <= 1.001 * whole + 2**14  # each weight once
    assert second.moved < theirs * (1.25 - share)
