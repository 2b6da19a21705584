"""Variations in one call of the model: the noise of each alone, and nearly its picture."""

import inlay
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.nodes.image.pick import pick
from inlay.nodes.noise import gaussian

SAMPLES = shipped_samples()
ROOM = {
    "image": str(SAMPLES["living-room.png"]),
    "mask": str(SAMPLES["living-room-mask.png"]),
    "source": "dollhouse",
    "steps": 2,
    "size": 64,
    "device": "cpu",
}


def test_the_first_of_a_batch_have_the_noise_that_each_has_alone():
    z = torch.zeros(2, 4, 8, 8)
    some = gaussian(z, seed=5, batch=16, count=3).noise
    alone = [gaussian(z, seed=5, batch=16, pick=number).noise for number in range(3)]
    assert some.shape == (6, 4, 8, 8)
    streams = [one.stream() for one in (some, *alone)]
    for draw in ("start", "posterior", "step", "step"):
        drawn, *each = [getattr(stream, draw)() for stream in streams]
        assert torch.equal(drawn, torch.stack(each, dim=1).flatten(0, 1))


@pytest.mark.parametrize(("how", "port"), [({"count": 3, "batch": 2}, "count"), ({"count": 1, "pick": 0}, "count")])
def test_a_count_that_means_nothing_is_refused(how, port):
    with pytest.raises(BadInput) as caught:
        gaussian(torch.zeros(1, 4, 8, 8), **how)
    assert caught.value.port == port


def test_one_of_each_is_picked():
    batch = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 2, 3)
    assert pick(batch, 2).image[:, 0, 0, 0].tolist() == [1]
    assert pick(batch, 2, of=3).image[:, 0, 0, 0].tolist() == [1, 4]
    for number, of, port in ((7, None, "number"), (3, 2, "number"), (1, 4, "of")):
        with pytest.raises(BadInput) as caught:
            pick(batch, number, of=of)
        assert caught.value.port == port


def test_a_budget_that_does_not_hold_all_variations_is_refused_with_how_to_ask_for_fewer():
    asked = ROOM | {"variations": 16}
    with pytest.raises(inlay.WorkflowError) as caught:
        inlay.run("inpaint", out=None, together=True, memory="12MB", **asked)
    way = "or a smaller count in noise (without --together, or a smaller --variations)"
    assert any(way in problem.fix for problem in caught.value.problems if problem.node in ("sample", "picture"))
    with pytest.raises(inlay.WorkflowError) as caught:
        inlay.run("inpaint", out=None, memory="1MB", **asked)
    assert "--together" not in str(caught.value)


@pytest.mark.parametrize("method", ["null_space", "exemplar"])
def test_variations_together_stay_within_the_stated_tolerance_of_one_by_one(method):
    asked = ROOM | {"variations": 2}
    if method == "exemplar":
        asked["example"] = str(SAMPLES["exemplar.png"])
    apart, together = (inlay.run("inpaint", out=None, together=way, **asked) for way in (False, True))
    calls = [
        event for event in together.events if type(event).__name__ == "NodeFinished" and event.type == "sample.denoise"
    ]
    assert len(calls) == 1
    for name in ("image_1", "image_2"):
        assert float((apart[name] - together[name]).abs().max()) <= 1e-4
    assert not torch.equal(together["image_1"], together["image_2"])
