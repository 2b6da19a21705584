"""The detector's training: boxes follow their pictures, and what is written is what is read."""

import numpy as np
import torch
from inlay.dollhouse._detector_stage import DENSE, dense_loss, export_detector, labels, seen, train_detector, untrained
from inlay.dollhouse.world import KINDS, sample_scene
from inlay.graph_runtime import Context
from inlay.nodes import model_vision
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
        inside = plane[int(cy) - 2 : int(cy) + 2, int(cx) - 2 : int(cx) + 2].mean()
        near = (plane - inside).abs() < (plane - inside).abs().max() / 2  # as bright as its middle
        rows, columns = (torch.nonzero(near.any(axis)).flatten() for axis in (1, 0))
        edges = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        wanted = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        assert (edges - wanted).abs().max() < 2.5


def test_every_weight_learns():
    model = untrained()
    pixels = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    boxes, kinds = torch.tensor([[0.5, 0.5, 0.3, 0.4], [0.4, 0.6, 0.5, 0.2]]), torch.tensor([1, 2])
    found = model(
        pixels, labels=[{"class_labels": kinds[row : row + 1], "boxes": boxes[row : row + 1]} for row in (0, 1)]
    )
    loss = found.loss + dense_loss(model, found.encoder_last_hidden_state, kinds, boxes, torch.tensor([False, True]))
    loss.backward()
    still = [name for name, value in model.named_parameters() if value.grad is None]
    assert still == []


def test_the_dense_lesson_asks_each_place_what_is_there():
    """Four places, one of them in the box: against the formula."""

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.class_labels_classifier = nn.Linear(3, len(KINDS) + 1).double()
            self.bbox_predictor = nn.Linear(3, 4).double()

    heads = Heads()
    memory = torch.randn(1, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.75, 0.25, 0.2, 0.2]], dtype=torch.float64)  # upper right
    found = dense_loss(heads, memory, torch.tensor([2]), box, torch.tensor([False]))
    named = heads.class_labels_classifier(memory)[0].log_softmax(1)
    wanted = -(named[1, 2] + sum(named[place, len(KINDS)] for place in (0, 2, 3))) / 4
    wanted = wanted + 5 * (heads.bbox_predictor(memory)[0, 1].sigmoid() - box[0]).abs().sum()
    assert torch.allclose(found, DENSE * wanted)
    empty = dense_loss(heads, memory, torch.tensor([2]), box, torch.tensor([True]))
    assert torch.allclose(empty, -DENSE * named[:, len(KINDS)].mean())


def test_kinds_are_those_of_the_scenes():
    assert [KINDS[number] for number in labels("val", 5)] == [sample_scene("val", index).kind for index in range(5)]


def test_a_detector_learns_batch_norms_too_and_is_read_as_it_was_written(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    boxes = np.array([[20, 30, 70, 90]] * 8, dtype=np.int16)

    def run(folder, steps):
        return train_detector(tmp_path / folder, pictures, boxes, CPU, steps=steps, worn=pictures[:3], batch=4)

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
        with Context().lease(model_vision.detector(str(folder)).detector) as read:
            found = read(pixels)
    torch.testing.assert_close(found.pred_boxes, wanted.pred_boxes, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.logits, wanted.logits, rtol=0, atol=1e-4)
