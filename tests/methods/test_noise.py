"""Noise: one CPU generator in a fixed order, fresh for each consumer; or exactly the tensors of a file."""

import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.noise import gaussian, load
from safetensors.torch import save_file


def test_one_generator_in_order():
    noise = gaussian(torch.zeros(1, 4, 3, 5), seed=7).noise
    generator = torch.Generator().manual_seed(7)
    want = [torch.randn(1, 4, 3, 5, generator=generator) for _ in range(4)]
    for _ in range(2):  # a second consumer sees the same from the beginning
        stream = noise.stream()
        got = [stream.start(), stream.posterior(), stream.step(), stream.step()]
        assert all(map(torch.equal, got, want))
    stream = noise.stream()
    assert torch.equal(stream.start(), want[0])
    assert torch.equal(stream.step(), want[1])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    want = torch.rand(1)
    torch.manual_seed(0)
    gaussian(torch.zeros(1, 4, 3, 5)).noise.stream().start()
    assert torch.equal(torch.rand(1), want)


def test_variations_and_seeds():
    latent = torch.zeros(2, 4, 3, 5)
    assert gaussian(latent, batch=3).noise.stream().start().shape == (6, 4, 3, 5)
    assert gaussian(latent).noise == gaussian(latent + 1).noise  # only the shape counts
    one, two = (gaussian(latent, seed=seed).noise.stream().start() for seed in (1, 2))
    assert not torch.equal(one, two)
    assert gaussian(latent, seed=2**64 - 1).noise.stream().start().isfinite().all()


@pytest.mark.parametrize(("rows", "batch", "pick"), [(1, 4, 0), (1, 4, 3), (2, 3, 1), (1, 1, 0), (3, 256, 255)])
def test_one_variation_alone_has_the_bits_that_it_has_among_the_others(rows, batch, pick):
    latent = torch.zeros(rows, 2, 3, 5)
    noise = gaussian(latent, seed=9, batch=batch, pick=pick).noise
    assert noise.shape == latent.shape
    alone, together = noise.stream(), gaussian(latent, seed=9, batch=batch).noise.stream()
    for draw in ("start", "posterior", "step", "step"):
        want = getattr(together, draw)().unflatten(0, (rows, batch))[:, pick]
        assert torch.equal(getattr(alone, draw)(), want)


@pytest.mark.parametrize(("batch", "pick"), [(4, 9), (4, 4), (1, 1)])
def test_a_variation_that_is_not_there_is_refused_before_the_run(batch, pick):
    params = {"batch": batch, "pick": pick}
    for refused in (
        lambda: gaussian(torch.zeros(1, 4, 3, 5), **params),
        lambda: gaussian.spec.check(
            {}, {"seed": 0, "count": None} | params
        ),  # also where nothing is known of the latent
    ):
        with pytest.raises(BadInput) as caught:
            refused()
        assert caught.value.port == "pick"
        assert caught.value.found.startswith(f"{pick} of {batch} variation")
        assert caught.value.expected == f"a number from 0 to {batch - 1}"


@pytest.mark.parametrize(
    "latent", [torch.zeros(4, 3, 5), torch.zeros(1, 4, 0, 5), torch.zeros(1, 4, 3, 5).long(), None]
)
def test_what_is_no_latent_is_named(latent):
    with pytest.raises(BadInput) as caught:
        gaussian(latent)
    assert caught.value.port == "latent"
    assert "[b, c, lh, lw]" in caught.value.expected


def test_a_file_gives_exactly_its_tensors(tmp_path):
    tensors = {"z_T": torch.randn(2, 4, 3, 5), "noises": torch.randn(2, 2, 4, 3, 5)}
    save_file(tensors, tmp_path / "noise.safetensors")
    noise = load(str(tmp_path / "noise.safetensors")).noise
    assert noise.shape == (2, 4, 3, 5)
    stream = noise.stream()
    assert torch.equal(stream.start(), tensors["z_T"])
    assert torch.equal(stream.step(), tensors["noises"][0])
    with pytest.raises(BadInput, match="no 'posterior_noise' in noise"):
        stream.posterior()
    assert torch.equal(stream.step(), tensors["noises"][1])
    with pytest.raises(BadInput, match="2 noise tensors"):
        stream.step()
    stream.start().zero_()
    assert torch.equal(noise.stream().start(), tensors["z_T"])


def test_a_file_with_other_keys(tmp_path):
    file = tmp_path / "n.safetensors"
    save_file(
        {"a": torch.randn(1, 4, 3, 5), "b": torch.randn(1, 4, 3, 5), "c": torch.zeros(4), "d": torch.zeros(2).int()},
        file,
    )
    noise = load(str(file), start="a", posterior="b").noise
    assert noise.stream().posterior().shape == (1, 4, 3, 5)
    for change, message in (
        ({"start": "x"}, "none of"),
        ({"start": "c"}, r"'c' of shape \[4\]"),
        ({"start": "d"}, "int32"),
    ):
        with pytest.raises(BadInput, match=message):
            load(str(file), **change)


def test_no_such_file_and_no_safetensors(tmp_path):
    with pytest.raises(BadInput, match="not a file"):
        load(str(tmp_path / "none.safetensors"))
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(BadInput, match="cannot be read as safetensors"):
        load(str(tmp_path / "text.safetensors"))
