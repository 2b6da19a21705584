"""`model.fast`: compiled code, channels-last weights and reused steps, each against the plain evaluation.

Where it does not matter what compiles, nothing does: the copy of the model that would be compiled is called itself, so
the bits must be the same. One test traces with torch's `eager` backend, a slow one and the benchmark compile.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager

import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.graph_runtime.core.memory import compiled
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.memory.streaming import streamed
from inlay.graph_runtime.core.port_types import PartlyKnown
from inlay.methods.sampling.step_cache import WithStepCache
from inlay.models.fast import component as fast_models
from inlay.models.fast.component import FastDenoiser
from inlay.models.lora.file import Pair, stored_names
from inlay.nodes import attention, condition, invert, model, noise, sample, schedule, train
from inlay.nodes.evaluation import evaluation_of
from inlay.nodes.model_fast import fast
from inlay.nodes.model_lora import lora
from inlay.training.checkpoint import write_tensors

TOLERANCE = 1e-4  # of one evaluation in float32, as the node's docs state


@pytest.fixture(autouse=True)
def _untraced(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **how: module)
    monkeypatch.setattr(fast_models, "why_not", lambda mode, device: None)


@pytest.fixture(scope="module")
def parts(shared_sd):
    return model.stable_diffusion(str(shared_sd))


def context():
    events = []
    return Context(ModelManager(), listeners=(events.append,)), events


def compilings(events):
    return [event.note for event in events if isinstance(event, NodeProgress) and event.note]


def warnings(events):
    return [event.message for event in events if isinstance(event, Warned)]


def sampled(parts, denoiser, ctx, size=8, steps=4, **more):
    z = torch.zeros(1, 4, size, size)
    told = condition.text(parts.text_encoder, ctx, prompt="a dog").conditioning
    plan = schedule.ddim(parts.scheduler, steps=steps, eta=0.0).schedule
    return sample.denoise(denoiser, plan, noise.gaussian(z, seed=3).noise, ctx, conditioning=told, **more).latent


def evaluated(denoiser, ctx, z, words):
    """One evaluation as a description asks for it."""
    with ctx.lease(denoiser) as unet, torch.no_grad():
        evaluate = evaluation_of(ctx, unet, denoiser)
        if evaluate is None:
            return unet(z, torch.tensor(500), words, return_dict=False)[0]
        return evaluate(z, torch.tensor(500), encoder_hidden_states=words)


def test_what_torch_traces_of_a_model_gives_its_bits(parts, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    ctx, events = context()
    plain = sampled(parts, parts.denoiser, ctx)
    assert torch.equal(sampled(parts, fast(parts.denoiser, compile="kernels").denoiser, ctx), plain)
    assert compilings(events) == ["compiling for 2×4×8×8"]


def test_the_folder_that_torch_sets_itself_is_not_taken_for_one_that_the_user_chose(monkeypatch, tmp_path):
    """It lies among temporary files, where others may write; torch sets it as soon as its compiler is imported."""
    program = "import os, torch._dynamo; print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    monkeypatch.delenv(compiled.CACHE_DIR, raising=False)
    usual = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    from torch._inductor import codecache

    before = getattr(codecache, "_HEADER_DIR", "")
    for there in (usual, None):
        monkeypatch.setenv(compiled.CACHE_DIR, there) if there else monkeypatch.delenv(compiled.CACHE_DIR)
        with compiled._kept_in(tmp_path / "compiled"):
            assert os.environ[compiled.CACHE_DIR] == str(tmp_path / "compiled")
            assert str(tmp_path) in getattr(codecache, "_HEADER_DIR", str(tmp_path))
        assert os.environ.get(compiled.CACHE_DIR) == there
        assert getattr(codecache, "_HEADER_DIR", "") == before
    monkeypatch.setenv(compiled.CACHE_DIR, str(tmp_path / "mine"))
    with compiled._kept_in(tmp_path / "compiled"):
        assert os.environ[compiled.CACHE_DIR] == str(tmp_path / "mine")


@pytest.mark.slow
def test_compiled_code_stays_within_the_stated_tolerance_and_is_kept_in_the_home(parts, monkeypatch, tmp_path):
    monkeypatch.undo()
    for name, folder in (("INLAY_HOME", "home"), ("TMPDIR", "tmp")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ctx, _ = context()
    z, words = torch.ones(1, 4, 8, 8), torch.ones(1, 5, parts.denoiser.cross_attention_dim)
    denoiser = fast(parts.denoiser, compile="kernels").denoiser
    denoiser.require_device("cpu")
    difference = (evaluated(denoiser, ctx, z, words) - evaluated(parts.denoiser, ctx, z, words)).abs().max()
    assert 0 < float(difference) <= TOLERANCE
    assert [*(tmp_path / "home" / "compiled").rglob("*.so")]
    assert not [one for one in (tmp_path / "tmp").rglob("*") if one.is_file()], "and nowhere else"


def test_a_size_is_compiled_once_however_often_it_comes(parts):
    ctx, events = context()
    denoiser = fast(parts.denoiser, compile="kernels").denoiser
    for size in (8, 16, 8, 16, 8):
        sampled(parts, denoiser, ctx, size, steps=2)
    assert compilings(events) == ["compiling for 2×4×8×8", "compiling for 2×4×16×16"]
    unets = [one for one in ctx.models.resident() if one.startswith("unet")]
    assert len(unets) == 1, "the plain description and the compiled one share their weights"


@pytest.mark.parametrize("source", ["dollhouse", "dollhouse-exemplar"])
def test_channels_last_weights_stay_within_the_stated_tolerance(source):
    loader = model.stable_diffusion if source == "dollhouse" else model.paint_by_example
    plain = loader(source).denoiser
    ctx, _ = context()
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(2, plain.in_channels, 16, 16, generator=draws)
    words = torch.randn(2, 3, plain.cross_attention_dim, generator=draws)
    last = fast(plain, channels_last=True).denoiser
    with ctx.lease(last) as unet:
        kernels = [one.weight for one in unet.modules() if isinstance(one, torch.nn.Conv2d) and one.kernel_size[0] > 1]
        assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels)
    difference = (evaluated(last, ctx, z, words) - evaluated(plain, ctx, z, words)).abs().max()
    assert float(difference) <= TOLERANCE
    with ctx.lease(plain) as unet:
        assert all(one.is_contiguous() for one in unet.parameters()), "the plain model keeps its own"


def test_another_way_to_evaluate_is_another_fingerprint(parts):
    plain = parts.denoiser
    ways = [
        plain,
        fast(plain, compile="kernels").denoiser,
        fast(plain, compile="cuda_graphs").denoiser,
        fast(plain, channels_last=True).denoiser,
        fast(plain, step_cache=2).denoiser,
        fast(plain, step_cache=3).denoiser,
    ]
    assert len({one.fingerprint for one in ways}) == len(ways)
    assert fast(plain).denoiser == plain
    assert fast(ways[1]).denoiser == plain, "a later node replaces what an earlier one set"


def test_loras_and_fast_stack_in_either_order(parts, tmp_path):
    ctx, _ = context()
    with ctx.lease(parts.denoiser) as unet:
        sizes = {name: one.weight.shape for name, one in unet.named_modules() if name.endswith("to_q")}
    draws = torch.Generator().manual_seed(1)
    pairs = {
        name: Pair(torch.randn(2, size[1], generator=draws), torch.randn(size[0], 2, generator=draws), 2.0)
        for name, size in sizes.items()
    }
    write_tensors(stored_names(pairs, "diffusers"), tmp_path / "some.safetensors", None)
    source = str(tmp_path / "some.safetensors")
    expected = sampled(parts, lora(parts.denoiser, source=source, weight=0.3).denoiser, ctx)
    before = fast(lora(parts.denoiser, source=source, weight=0.3).denoiser, compile="kernels").denoiser
    after = lora(fast(parts.denoiser, compile="kernels").denoiser, source=source, weight=0.3).denoiser
    assert isinstance(after, FastDenoiser)
    assert before == after
    assert torch.equal(sampled(parts, after, ctx), expected)
    assert not torch.equal(expected, sampled(parts, parts.denoiser, ctx))


@pytest.mark.parametrize("way", [{"compile": "kernels"}, {"step_cache": 2}])
def test_attention_controls_and_tuned_inversions_evaluate_the_plain_model_and_say_so(parts, way):
    def edit(denoiser):
        ctx, events = context()
        told = condition.text(parts.text_encoder, ctx, prompt="a dog").conditioning
        other = condition.text(parts.text_encoder, ctx, prompt="a cat").conditioning
        plan = schedule.ddim(parts.scheduler, steps=2, eta=0.0).schedule
        z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
        path = invert.ddim(denoiser, told, plan, z, ctx).trajectory
        tuned = invert.null_text(denoiser, told, plan, path, ctx, iterations=2)
        control = attention.prompt_to_prompt(told, other, tuned.tuning).attention
        start = noise.from_trajectory(path).noise
        made = sample.denoise(
            denoiser, plan, start, ctx, conditioning=other, attention=control, tuning=tuned.tuning
        ).latent
        return made, warnings(events)

    expected, _ = edit(parts.denoiser)
    made, said = edit(fast(parts.denoiser, **way).denoiser)
    assert torch.equal(made, expected)
    name = next(iter(way))
    assert f"{name} does not apply here (the tuning of embeddings): the model is evaluated as it is" in said
    assert f"{name} does not apply here (an attention control): the model is evaluated as it is" in said


@pytest.mark.parametrize("name", ["exemplar", "subject"])
def test_training_evaluates_the_plain_model_and_says_so(parts, monkeypatch, name):
    taken = []

    def train_nothing(inputs, settings, ctx):
        taken.append(inputs.denoiser)
        return (None, None, "trained")[-n:]

    monkeypatch.setattr(f"inlay.training.{name}.train_{name}", train_nothing)
    call, n = {"exemplar": (train.exemplar, 3), "subject": (train.subject_lora, 2)}[name]
    ctx, events = context()

    def trained(denoiser):
        some = PartlyKnown()
        call(denoiser, parts.vae, parts.scheduler, some, some, ctx)
        return warnings(events)

    assert trained(fast(parts.denoiser, channels_last=True).denoiser) == []
    trained(fast(parts.denoiser, compile="kernels").denoiser)
    assert trained(fast(parts.denoiser, step_cache=2).denoiser) == [
        f"{setting} does not apply here (training): the model is evaluated as it is"
        for setting in ("compile", "step_cache")
    ]
    assert all(one is parts.denoiser for one in taken)
    assert len(taken) == 3


def test_a_model_that_is_evaluated_faster_doubts_the_pictures_that_the_plain_one_doubts():
    plain = model.stable_diffusion("dollhouse").denoiser
    assert fast(plain, step_cache=2).denoiser.doubt(["mine.png"]) == plain.doubt(["mine.png"]) is not None


def test_a_refusal_names_the_quantised_weights_of_a_model_that_is_evaluated_faster(parts):
    what, lighter = fast(parts.denoiser, step_cache=2).denoiser.lighter()
    assert what == "set quantize to int8 in the model node"
    assert isinstance(lighter, FastDenoiser)
    assert lighter.step_cache == 2
    assert lighter.nbytes() < parts.denoiser.nbytes()


def test_streamed_weights_are_not_compiled_and_a_warning_says_so(parts):
    class Streaming(ModelManager):
        @contextmanager
        def lease(self, description, device=None):
            base = description.base()
            if not (least := base.least_resident("cpu")):
                with super().lease(description, device) as module:
                    yield module
                return
            with streamed(base.load("cpu"), "cpu", least) as there, description.adapted(there) as module:
                yield module

    plain, _ = context()
    expected = sampled(parts, parts.denoiser, plain)
    events = []
    ctx = Context(Streaming(), listeners=(events.append,))
    assert torch.equal(sampled(parts, fast(parts.denoiser, compile="kernels").denoiser, ctx), expected)
    assert "compile does not apply here (its weights are streamed): the model is evaluated as it is" in warnings(events)


@pytest.mark.parametrize("every", [2, 3])
def test_a_step_cache_evaluates_the_inner_blocks_at_every_nth_step_only(parts, every):
    ctx, _ = context()
    calls = {"inner": 0, "outer": 0}
    with ctx.lease(parts.denoiser) as unet, torch.no_grad():
        watched = {"inner": unet.mid_block, "outer": unet.down_blocks[0]}
        hooks = [
            block.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
            for name, block in watched.items()
        ]
        try:
            z, words = torch.ones(1, 4, 8, 8), torch.ones(1, 5, parts.denoiser.cross_attention_dim)
            whole = unet(z, torch.tensor(500), words, return_dict=False)[0]
            calls.update(inner=0, outer=0)
            cached = WithStepCache(unet, every)
            made = [cached(z, torch.tensor(500), encoder_hidden_states=words) for _ in range(6)]
            assert all(torch.equal(one, whole) for one in made), "what is reused is the same where nothing changed"
            assert calls == {"inner": 6 // every, "outer": 6}
            cached(z[..., :4], torch.tensor(500), encoder_hidden_states=words)
            assert calls["inner"] == 6 // every + 1, "another size begins anew"
            assert torch.equal(unet(z, torch.tensor(500), words, return_dict=False)[0], whole), "nothing stays on it"
        finally:
            for hook in hooks:
                hook.remove()


def test_a_step_cache_changes_the_result_and_begins_anew_with_each_run(parts):
    ctx, _ = context()
    denoiser = fast(parts.denoiser, step_cache=2).denoiser
    first = sampled(parts, denoiser, ctx)
    assert torch.equal(sampled(parts, denoiser, ctx), first)
    assert not torch.equal(first, sampled(parts, parts.denoiser, ctx))


def test_what_excludes_each_other_is_refused_by_name(parts):
    with pytest.raises(BadInput, match="step_cache 2 together with compile kernels"):
        fast(parts.denoiser, compile="kernels", step_cache=2)


def test_a_compiler_that_fails_is_told_with_its_own_words(parts, monkeypatch):
    def broken(*args, **named):
        raise RuntimeError("backend='inductor' raised:") from OSError("cl.exe is not a compiler")

    monkeypatch.setattr(torch, "compile", lambda module, **how: broken)
    ctx, _ = context()
    with pytest.raises(ModelError, match=r"torch\.compile failed: OSError: cl\.exe is not a compiler"):
        sampled(parts, fast(parts.denoiser, compile="kernels").denoiser, ctx)


def test_an_evicted_model_lets_go_of_its_code(parts):
    ctx, events = context()
    denoiser = fast(parts.denoiser, compile="kernels").denoiser
    sampled(parts, denoiser, ctx, steps=1)
    with ctx.lease(parts.denoiser) as unet:
        assert compiled.KEPT in unet.__dict__
    ctx.models.evict_idle()
    assert compiled.KEPT not in unet.__dict__
    sampled(parts, denoiser, ctx, steps=1)
    assert len(compilings(events)) == 2


class TestWhyNot:
    """What cannot work here is told before anything runs, with the cause."""

    @pytest.fixture(autouse=True)
    def _real(self, monkeypatch):
        monkeypatch.setattr(fast_models, "why_not", compiled.why_not)

    def test_cuda_graphs_need_cuda(self, parts):
        assert compiled.why_not("cuda_graphs", "cpu")[0] == "CUDA graphs on cpu"
        with pytest.raises(BadInput, match="CUDA graphs on cpu"):
            fast(parts.denoiser, compile="cuda_graphs").denoiser.require_device("cpu")

    def test_no_compiler(self, monkeypatch):
        monkeypatch.setenv("CXX", "no-such-g++")
        found, fix = compiled.why_not("kernels", "cpu")
        assert found == "no C++ compiler 'no-such-g++'"
        assert "leave compile out" in fix

    def test_no_headers_of_python(self, monkeypatch, tmp_path):
        monkeypatch.setattr(compiled.shutil, "which", lambda name: name)
        monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
        assert "header files of Python" in compiled.why_not("kernels", "cpu")[0]

    def test_no_triton(self, monkeypatch):
        monkeypatch.setattr("torch.utils._triton.has_triton_package", lambda: False)
        found, fix = compiled.why_not("kernels", "cuda:0")
        assert found == "no Triton, with which torch compiles for CUDA"
        assert "triton" in fix

    def test_devices_for_which_it_is_not_finished(self):
        assert compiled.why_not("kernels", "mps")[0] == "torch.compile on mps, for which it is not finished"

    def test_a_python_that_torch_does_not_compile_for(self, monkeypatch):
        def refuse():
            raise RuntimeError("Dynamo is not supported on Python 3.99+")

        monkeypatch.setattr("torch._dynamo.eval_frame.check_if_dynamo_supported", refuse)
        assert "Python 3.99+" in compiled.why_not("kernels", "cpu")[0]


def test_cuda_graphs_copy_what_the_next_evaluation_overwrites(parts, monkeypatch):
    """Where there is no GPU: a backend that returns one buffer again and again, as a replayed graph does."""
    marks, buffers = [], {}

    def compile_as(module, **how):
        assert how["mode"] == "reduce-overhead"

        def call(*args, **named):
            made = module(*args, **named)[0]
            return (buffers.setdefault(made.shape, made.clone()).copy_(made),)

        return call

    monkeypatch.setattr(torch, "compile", compile_as)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
    ctx, _ = context()
    expected = sampled(parts, parts.denoiser, ctx)
    assert torch.equal(sampled(parts, fast(parts.denoiser, compile="cuda_graphs").denoiser, ctx), expected)
    assert len(marks) == 4 + 1, "each evaluation, and the first of the size"


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["kernels", "cuda_graphs"])
def test_code_for_cuda_stays_near_the_plain_result(parts, mode, monkeypatch):
    monkeypatch.undo()
    ctx = Context(ModelManager(("cuda:0",)))
    plain = sampled(parts, parts.denoiser, ctx, steps=2)
    made = sampled(parts, fast(parts.denoiser, compile=mode).denoiser, ctx, steps=2)
    assert float((made - plain).abs().max()) <= 2e-2, "float16"


def test_unknown_names_are_refused():
    import inlay

    with pytest.raises(WorkflowError, match="did you mean 'compile'"):
        inlay.run("zero_shot_inpaint", out=None, fast="compil")
