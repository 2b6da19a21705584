"""The detector's training: boxes follow their pictures, and what is written is what is read."""

import numpy as np
import torch
from inlay.dollhouse._detector_stage import export_detector, labels, seen, train_detector, untrained
from inlay.dollhouse.world import KINDS, sample_scene
from inlay.graph_runtime import Context
from inlay.nodes import model_detector
from torch import nn

CPU = torch.device("cpu")


def test_boxes_follow_their_pictures():
    generator = torch.Generator().manual_seed(0)
    count = 40
    corners = torch.stack([torch.tensor([20, 30, 70, 90])] * count)
    pictures = torch.zeros(count, 3, 128, 128)
    pictures[:, :, 30:90, 20:70] = 1
    found, boxes = seen(pictures, corners.float(), generator)
    assert ((boxes >= 0) & (boxes <= 1)).all()
    for picture, (cx, cy, w, h) in zip(found, boxes * 128, strict=True):
        plane = picture.mean(0)
        inside = plane[int(cy) - 2:int(cy) + 2, int(cx) - 2:int(cx) + 2].mean()
        near = (plane - inside).abs() < (plane - inside).abs().max() / 2  # as bright as its middle
        rows, columns = (torch.nonzero(near.any(axis)).flatten() for axis in (1, 0))
        edges = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        wanted = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        assert (edges - wanted).abs().max() < 2.5


def test_kinds_are_those_of_the_scenes():
    assert [KINDS[number] for number in labels("val", 5)] == [sample_scene("val", index).kind for index in range(5)]


def test_a_detector_learns_batch_norms_too_and_is_read_as_it_was_written(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    boxes = np.array([[20, 30, 70, 90]] * 8, dtype=np.int16)

    def run(folder, steps):
        return train_detector(tmp_path / folder, pictures, boxes, CPU, steps=steps, batch=4)

    whole = run("whole", 2).state_dict()
    assert any(isinstance(module, nn.BatchNorm2d) for module in untrained().modules())
    fresh = untrained().state_dict()
    assert not torch.equal(whole["class_labels_classifier.weight"], fresh["class_labels_classifier.weight"])
    moved = [name for name in whole if name.endswith("running_mean") and not torch.equal(whole[name], fresh[name])]
    assert moved
    model = run("whole", 2)  # nothing left to do: read from the checkpoint
    assert all(torch.equal(value, whole[name]) for name, value in model.state_dict().items())
    folder = export_detector(tmp_path / "detector", model)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6
    pixels = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        wanted = model.half().float().eval()(pixels)
        with Context().lease(model_detector.detector(str(folder)).detector) as read:
            found = read(pixels)
    torch.testing.assert_close(found.pred_boxes, wanted.pred_boxes, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.logits, wanted.logits, rtol=0, atol=1e-4)
