import numpy as np
import pytest
from inlay.dollhouse import samples
from inlay.dollhouse.world import draw, draw_layers
from inlay.graph_runtime.front.installed import shipped_samples
from PIL import Image

SAMPLES = shipped_samples()


def test_the_mask_hides_all_ink_and_not_the_subject():
    blotted, mask = samples.room()
    layers = draw_layers(samples.SCENE)
    hole = np.asarray(mask) == 255
    assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert np.array_equal(np.asarray(blotted)[~hole], np.asarray(draw(samples.SCENE))[~hole])
    assert not (hole & layers.subject).any()


@pytest.mark.parametrize(("name", "mode"), [("room.png", "RGB"), ("room-mask.png", "L")])
def test_the_shipped_pictures_are_these(name, mode):
    shipped = Image.open(SAMPLES[name])
    assert shipped.mode == mode
    drawn = samples.room()[name == "room-mask.png"]
    assert np.abs(np.asarray(shipped, int) - np.asarray(drawn, int)).max() <= 1
