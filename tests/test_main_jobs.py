"""Every workflow that ships, in a few steps: what must work with the oldest releases that are allowed, and the newest.

What the results must look like is tested elsewhere; here it counts that each library still takes what it is given.
"""

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from PIL import Image

SAMPLES = shipped_samples()
SMALL_TRAINING = {"epochs": 1, "variations": 1, "size": 64, "batch_size": 200}
#: Settings that make a workflow short; two steps if not listed.
SHORT = {
    "subject_lora_train": SMALL_TRAINING,
    "train_exemplar": {"steps": 1, "batch_size": 1, "variations": 1},
    "baret_edit": {"steps": 4, "iterations": 1},
    "baret_rigid": {"steps": 4, "iterations": 1},
    "null_text_edit": {"steps": 4, "iterations": 1},
    "compare_editors": {"steps": 5, "strength": 0.8},
    "inpaint": {},
}
#: Picture and mask of the workflows that paste back.
PASTED = {
    "zero_shot_inpaint": ("room", "room-mask"),
    "paint_by_example": ("living-room", "living-room-mask"),
    "subject_lora_inpaint": ("living-room", "living-room-mask"),
}


@pytest.mark.floor
@pytest.mark.parametrize("name", sorted(shipped_workflows()))
def test_it_runs(tmp_path, name):
    result = inlay.run(name, out=tmp_path, cache=False, **SHORT.get(name, {"steps": 2}))
    assert result.paths or result["report"]
    if name in PASTED:
        photo, mask = (
            np.asarray(Image.open(SAMPLES[f"{stem}.png"]).convert(mode))
            for stem, mode in zip(PASTED[name], ("RGB", "L"), strict=True)
        )
        with Image.open(result.paths[0]) as saved:
            picture = np.asarray(saved)
        assert np.array_equal(picture[mask <= 127], photo[mask <= 127])
        assert (picture != photo).any()
    if name.startswith(("baret", "null_text")):
        assert result["reconstruction_psnr"] > 8  # few steps, one iteration: no more than not noise
    if "train" in name:
        assert list(tmp_path.rglob("*.safetensors"))
