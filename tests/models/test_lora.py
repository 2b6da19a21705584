"""LoRAs against merged weights and diffusers' own loader; the base stays as it is; what is no LoRA is refused."""

import copy

import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError
from inlay.models.lora.component import weights_hash
from inlay.models.lora.file import Pair, by_module, read_lora, stored_names
from inlay.nodes import condition, model, noise, sample, schedule
from inlay.nodes.model_lora import lora
from inlay.training.checkpoint import write_tensors
from safetensors.torch import save_file

CHOSEN = ("attn1.to_q", "attn1.to_out.0", "attn2.to_v", "proj_in", "conv1")


@pytest.fixture
def base(tiny):
    return model.stable_diffusion(str(tiny.stable_diffusion("base")), dtype="float64").denoiser


def pairs_for(unet, rank=3, alpha=None, seed=0, zero=False):
    """Random pairs for linear layers and convolutions."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, module in unet.named_modules():
        if not name.endswith(CHOSEN) or not hasattr(module, "weight"):
            continue
        shape = module.weight.shape
        down = torch.randn(rank, *shape[1:], generator=generator) / 3
        up = torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator) / 3
        found[name] = Pair(down, up * 0 if zero else up, float(rank if alpha is None else alpha))
    return found


def write(path, pairs, layout="diffusers", about=None):
    write_tensors(stored_names(pairs, layout), path, about)
    return str(path)


def output(unet, dtype=torch.float64):
    generator = torch.Generator().manual_seed(9)
    z, e = (torch.randn(shape, generator=generator).to(dtype) for shape in ((2, 4, 8, 8), (2, 5, 24)))
    with torch.no_grad():
        return unet(z, 300, encoder_hidden_states=e).sample


def merged(unet, updates):
    """The UNet with W + weight·(α/r)·B·A written into its weights."""
    clone = copy.deepcopy(unet)
    for pairs, weight in updates:
        for name, pair in pairs.items():
            layer = clone.get_submodule(name)
            product = torch.einsum("or,r...->o...", pair.up.flatten(1).to(layer.weight), pair.down.to(layer.weight))
            layer.weight.data += weight * pair.alpha / len(pair.down) * product
    return clone


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
@pytest.mark.parametrize("alpha", [None, 1.0, 7.5])
def test_a_lora_is_the_merged_weights(base, tmp_path, layout, alpha):
    with Context().lease(base) as unet:
        pairs = pairs_for(unet, alpha=alpha)
        assert {len(pair.down.shape) for pair in pairs.values()} == {2, 4}
        path = write(tmp_path / "one.safetensors", pairs, layout)
        wanted = output(merged(unet, [(pairs, 0.7)]))
        plain = output(unet)
        with Context().lease(lora(base, source=path, weight=0.7).denoiser) as adapted:
            found = output(adapted)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)  # the file is in single precision
    assert (found - plain).abs().max() > 1e-3


def test_in_double_precision_to_twelve_digits(base, tmp_path):
    with Context().lease(base) as unet:
        pairs = {name: Pair(pair.down.double(), pair.up.double(), 5.0) for name, pair in pairs_for(unet).items()}
        path = write(tmp_path / "one.safetensors", pairs, "kohya")
        with Context().lease(lora(base, source=path).denoiser) as adapted:
            torch.testing.assert_close(output(adapted), output(merged(unet, [(pairs, 1.0)])), rtol=0, atol=1e-12)


def test_several_are_added_each_at_its_weight(base, tmp_path):
    with Context().lease(base) as unet:
        sets = [pairs_for(unet, rank, seed=rank) for rank in (1, 4)]
        described = base
        for number, (pairs, weight) in enumerate(zip(sets, (0.5, 2.0), strict=True)):
            described = lora(described, source=write(tmp_path / f"{number}.safetensors", pairs), weight=weight).denoiser
        with Context().lease(described) as adapted:
            torch.testing.assert_close(
                output(adapted), output(merged(unet, [(sets[0], 0.5), (sets[1], 2.0)])), rtol=0, atol=1e-6
            )
    assert described.base() == base
    assert described.in_channels == base.in_channels
    assert (
        len(
            {
                base.fingerprint,
                described.fingerprint,
                lora(base, source=str(tmp_path / "0.safetensors")).denoiser.fingerprint,
            }
        )
        == 3
    )


@pytest.mark.parametrize(("zero", "weight"), [(True, 1.0), (False, 0.0)])
def test_b_of_zero_or_a_weight_of_zero_is_the_base_to_the_bit(base, tmp_path, zero, weight):
    with Context().lease(base) as unet:
        path = write(tmp_path / "zero.safetensors", pairs_for(unet, zero=zero))
        with Context().lease(lora(base, source=path, weight=weight).denoiser) as adapted:
            assert torch.equal(output(adapted), output(unet))


def test_the_base_is_never_touched_and_its_weights_are_shared(base, tmp_path):
    ctx = Context()
    with ctx.lease(base) as unet:
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        said, processors, plain = repr(unet), dict(unet.attn_processors), output(unet)
        path = write(tmp_path / "one.safetensors", pairs_for(unet))
        with ctx.lease(lora(base, source=path).denoiser) as adapted:
            assert adapted is not unet
            shared = {id(value) for value in unet.parameters()}
            assert shared <= {id(value) for value in adapted.parameters()}
            with ctx.lease(base) as meanwhile:
                assert torch.equal(output(meanwhile), plain)
        with ctx.lease(lora(base, source=path).denoiser) as again:
            assert again is adapted  # not attached anew
        assert repr(unet) == said
        assert all(processors[name] is value for name, value in unet.attn_processors.items())
        assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
        assert torch.equal(output(unet), plain)
    assert len(ctx.models.resident()) == 1


def test_diffusers_reads_what_is_written_and_gives_the_same(base, tmp_path):
    with Context().lease(base) as unet:
        pairs = pairs_for(unet, alpha=6.0)
        write(tmp_path / "ours.safetensors", pairs)
        theirs = copy.deepcopy(unet)
        theirs.load_lora_adapter(str(tmp_path), weight_name="ours.safetensors", prefix="unet", use_safetensors=True)
        with Context().lease(lora(base, source=str(tmp_path / "ours.safetensors")).denoiser) as adapted:
            torch.testing.assert_close(output(adapted), output(theirs.double()), rtol=0, atol=1e-6)


def test_kohya_names_are_those_that_diffusers_understands(base, tmp_path):
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers as convert

    with Context().lease(base) as unet:
        pairs = {name: pair for name, pair in pairs_for(unet, alpha=2.0).items() if "attn" in name}
        path = tmp_path / "k.safetensors"
        write(path, pairs, "kohya")
        theirs, alphas = convert(stored_names(pairs, "kohya"))
        save_file(theirs, str(tmp_path / "theirs.safetensors"))
        ours, converted = (by_module(read_lora(file), unet) for file in (path, tmp_path / "theirs.safetensors"))
    assert set(alphas.values()) == {2.0}
    assert set(ours) == set(converted) == set(pairs)
    for name, pair in ours.items():
        assert torch.equal(pair.down, converted[name].down)
        assert torch.equal(pair.up, converted[name].up)
        assert pair.alpha == 2.0


@pytest.mark.parametrize("style", ["lora.down", "processor", "base_model"])
def test_older_layouts_are_read(base, tmp_path, style):
    with Context().lease(base) as unet:
        pairs = {name: pair for name, pair in pairs_for(unet).items() if ".attn" in name}
        tensors = {}
        for name, pair in pairs.items():
            parent, _, leaf = name.removesuffix(".0").rpartition(".")
            stem = {
                "lora.down": f"unet.{name}.lora",
                "processor": f"unet.{parent}.processor.{leaf}_lora",
                "base_model": f"base_model.model.{name}.lora",
            }[style]
            halves = ("_A", "_B") if style == "base_model" else (".down", ".up")
            tensors |= {f"{stem}{halves[0]}.weight": pair.down, f"{stem}{halves[1]}.weight": pair.up}
        tensors["text_encoder.x.lora_A.weight"] = torch.zeros(1, 1)
        save_file(tensors, str(tmp_path / "old.safetensors"))
        with Context().lease(lora(base, source=str(tmp_path / "old.safetensors")).denoiser) as adapted:
            torch.testing.assert_close(output(adapted), output(merged(unet, [(pairs, 1.0)])), rtol=0, atol=1e-6)
    assert read_lora(tmp_path / "old.safetensors").text_keys == 1


def test_sampling_with_a_lora_by_wiring_alone(tiny, tmp_path):
    parts, ctx = model.stable_diffusion(str(tiny.stable_diffusion("sd")), dtype="float64"), Context()
    told = condition.text(parts.text_encoder, ctx, prompt="abc").conditioning
    plan = schedule.ddim(parts.scheduler, steps=3).schedule
    stream = noise.gaussian(torch.zeros(1, 4, 4, 4)).noise

    def drawn(denoiser):
        return sample.denoise(denoiser, plan, stream, ctx, told).latent

    with ctx.lease(parts.denoiser) as unet:
        path = write(tmp_path / "a.safetensors", pairs_for(unet))
    plain = drawn(parts.denoiser)
    assert (drawn(lora(parts.denoiser, source=path).denoiser) - plain).abs().max() > 1e-6
    assert torch.equal(drawn(parts.denoiser), plain)


def refused(call):
    with pytest.raises((ModelError, BadInput)) as caught:
        call()
    return caught.value


def test_what_is_no_lora_for_this_unet_is_refused_by_name(base, tiny, tmp_path):
    with Context().lease(base) as unet:
        pairs = pairs_for(unet)
    good = stored_names(pairs, "diffusers")
    first = min(good)

    def file(name, tensors):
        save_file(tensors, str(tmp_path / name))
        return str(tmp_path / name)

    def lease(path):
        with Context().lease(lora(base, source=path).denoiser):
            pass

    assert "LoHa" in refused(lambda: lora(base, source=file("h.safetensors", {"a.hada_w1_a": torch.zeros(1)}))).found
    assert (
        "text encoders alone"
        in refused(
            lambda: lora(base, source=file("t.safetensors", {"text_encoder.a.lora_A.weight": torch.zeros(1, 1)}))
        ).found
    )
    assert "no LoRA weights" in refused(lambda: lora(base, source=file("n.safetensors", {"a": torch.zeros(1)}))).found
    assert "half a pair" in refused(lambda: lease(file("p.safetensors", {first: good[first]}))).found
    assert "NaN" in refused(lambda: lease(file("x.safetensors", good | {first: good[first] * torch.nan}))).found
    assert (
        "nowhere"
        in refused(
            lambda: lease(
                file(
                    "w.safetensors",
                    {"unet.nowhere.lora_A.weight": torch.zeros(1, 4), "unet.nowhere.lora_B.weight": torch.zeros(4, 1)},
                )
            )
        ).found
    )
    other = good | {first: torch.zeros(3, 999)}
    assert "999" in refused(lambda: lease(file("s.safetensors", other))).found
    whole = (tmp_path / "s.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-20])
    assert "cut" in refused(lambda: lora(base, source=str(tmp_path / "cut.safetensors"))).found
    (tmp_path / "a.ckpt").write_bytes(b"x")
    assert refused(lambda: lora(base, source=str(tmp_path / "a.ckpt")))
    assert refused(lambda: lora(base)).at("x").port == "source"
    assert refused(lambda: lora(base, source="no such thing"))
    assert refused(lambda: lora(base, lora="x")).at("x").port == "lora"


def damaged(change):
    """A file of one pair for a linear layer, changed."""
    pair = {"unet.a.to_q.lora_A.weight": torch.ones(2, 8), "unet.a.to_q.lora_B.weight": torch.ones(8, 2)}
    change(pair)
    return pair


def put(name, value):
    return lambda tensors: tensors.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("unet.a.to_q.lora_A.weight", torch.ones(2, 8).to(torch.float8_e4m3fn)), "F8"),
        (put("unet.a.to_q.lora_A.weight", torch.ones(2, 8, dtype=torch.float64)), "C64"),
        (put("unet.a.to_q.lora_A.weight", torch.ones(2, 8, dtype=torch.int32)), "I32"),
        (put("unet.a.to_q.alpha", torch.ones(3)), "shape"),
        (put("unet.a.to_q.alpha", torch.ones(0)), "shape"),
        (put("unet.b.to_q.alpha", torch.ones(1)), "no weights"),
        (put("base_model.model.a.to_q.lora_A.weight", torch.ones(2, 8)), "base_model"),
        (put("unet.b.to_q.lora_A.weight", torch.ones(2, 8)), "half a pair"),
        (put("unet.a.to_q.lora_B.weight", torch.ones(8, 3)), "8, 3"),
        (put("unet.a.bias", torch.ones(8)), "bias"),
    ],
)
def test_what_a_header_shows_is_refused_before_anything_runs(base, tmp_path, change, said):
    path = tmp_path / "a.safetensors"
    save_file(damaged(change), path)
    if said == "C64":  # as wide as F64; safetensors writes complex numbers only since 0.7
        path.write_bytes(path.read_bytes().replace(b'"F64"', b'"C64"'))
    with pytest.raises(ModelError, match=said) as caught:
        lora(base, source=str(path))
    assert caught.value.port == "source"


def test_the_folder_of_a_training_is_a_lora(base, tmp_path):
    write(tmp_path / "lora.safetensors", pairs_for(base.load("cpu")))
    save_file({"x": torch.ones(1)}, tmp_path / "checkpoint.safetensors")
    assert lora(base, source=str(tmp_path)).denoiser.adapters[0].file == tmp_path / "lora.safetensors"


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), -1.0, 1e30])
def test_an_alpha_that_is_no_scale_is_refused(base, tmp_path, alpha):
    write(tmp_path / "a.safetensors", pairs_for(base.load("cpu"), alpha=alpha), "kohya")
    with pytest.raises(ModelError, match="alpha"):
        read_lora(tmp_path / "a.safetensors")


def test_a_layer_in_two_layouts_or_of_too_many_axes_is_refused(base, tmp_path):
    unet = base.load("cpu")
    name, pair = next((name, pair) for name, pair in pairs_for(unet).items() if name.endswith("to_q"))
    for number, tensors in enumerate(
        (  # the last two: an up weight as of a convolution
            stored_names({name: pair}, "diffusers") | stored_names({name: pair}, "kohya"),
            stored_names({name: pair._replace(up=pair.up[..., None].expand(-1, -1, 3).contiguous())}, "diffusers"),
            stored_names(
                {name: pair._replace(up=pair.up[..., None, None].expand(-1, -1, 3, 3).contiguous())}, "diffusers"
            ),
        )
    ):
        write_tensors({key: value.clone() for key, value in tensors.items()}, tmp_path / f"{number}.safetensors")
        with pytest.raises(ModelError):
            by_module(read_lora(tmp_path / f"{number}.safetensors"), unet)


@pytest.mark.parametrize("text", ["5", "null", "[" * 200_000, '{"base": ["x"]}', '{"base": {}}'])
def test_a_header_that_says_nonsense_of_itself_is_one_of_a_stranger(base, tmp_path, text):
    save_file(stored_names(pairs_for(base.load("cpu")), "diffusers"), tmp_path / "a.safetensors", {"inlay": text})
    assert read_lora(lora(base, source=str(tmp_path / "a.safetensors")).denoiser.adapters[0].file).about == {}


def test_a_base_of_a_very_long_name_is_named_in_short(base, tmp_path):
    path = write(tmp_path / "a.safetensors", pairs_for(base.load("cpu")), about={"base": "x" * 100_000})
    with pytest.raises(ModelError) as caught:
        lora(base, source=path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("rank", "alpha"), [(1, 4096.0), (4, 1e-4)])
def test_the_scale_that_is_written_into_the_weights_keeps_their_precision(rank, alpha):
    up = torch.rand(8, rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stored = stored_names({"a": Pair(torch.ones(rank, 8), up, alpha)}, "diffusers")["unet.a.lora_B.weight"]
    assert torch.equal(stored, up * (alpha / rank))


def test_another_base_is_refused_with_both_names_unless_asked_for(base, tiny, tmp_path):
    other = model.stable_diffusion(str(tiny.stable_diffusion("other", unet={"seed": 5})), dtype="float64").denoiser
    with Context().lease(base) as unet:
        about = {"base": base.origin.name, "base_sha256": weights_hash(base)}
        path = write(tmp_path / "mine.safetensors", pairs_for(unet), about=about)
    assert lora(base, source=path).denoiser.known
    error = refused(lambda: lora(other, source=path))
    assert base.origin.name in error.found
    assert other.origin.name in error.expected
    assert lora(other, source=path, any_base=True).denoiser.known


def test_a_file_that_changes_after_checking_is_not_used(base, tmp_path):
    with Context().lease(base) as unet:
        path = write(tmp_path / "one.safetensors", pairs_for(unet))
        described = lora(base, source=path).denoiser
        write(tmp_path / "one.safetensors", pairs_for(unet, seed=3))
    with pytest.raises(ModelError, match="changed"), Context().lease(described):
        pass
