"""Attention controls against maps written out one row at a time, closed identities, and what stays as it was."""

import threading

import pytest
import torch
from baret_oracle import Reference, baret, masactrl, prompt_to_prompt
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.core.memory.without_values import without_values
from inlay.graph_runtime.core.processors import attentions
from inlay.methods.attention import gather
from inlay.methods.attention.control import AttentionControl
from inlay.methods.attention.gather import _mixed
from inlay.methods.prompt_to_prompt import aligned
from inlay.nodes import attention, condition, embed, invert, model, noise, sample, schedule

STEPS, SCALE = 6, 7.5


@pytest.fixture(params=["sd1", "sd2"])
def parts(request, tiny):
    settings = (
        {}
        if request.param == "sd1"
        else {
            "use_linear_projection": True,
            "attention_head_dim": (2, 4),
            "block_out_channels": (16, 32),
            "only_cross_attention": False,
        }
    )
    return model.stable_diffusion(str(tiny.stable_diffusion(request.param, unet=settings)), dtype="float64")


class Job:
    """One picture, inverted and tuned."""

    def __init__(self, parts, iterations=2, prompt="abc"):
        self.parts, self.ctx = parts, Context()
        self.conditioning = self.text(prompt)
        self.plan = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.0, final_alpha="config").schedule
        self.z = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.trajectory = invert.ddim(parts.denoiser, self.conditioning, self.plan, self.z, self.ctx).trajectory
        self.made = invert.target_text(
            parts.denoiser,
            self.conditioning,
            self.plan,
            self.trajectory,
            self.ctx,
            iterations=iterations,
            learning_rate=0.1,
        )
        self.noise = noise.from_trajectory(self.trajectory).noise

    def text(self, prompt):
        return condition.text(self.parts.text_encoder, self.ctx, prompt=prompt).conditioning

    def between(self, start=0.8, end=0.1):
        return embed.transition(self.made.tuning, self.conditioning, start=start, end=end).tuning

    def edit(self, control=None, tuning=None, conditioning=None, scale=SCALE):
        return sample.denoise(
            self.parts.denoiser,
            self.plan,
            self.noise,
            self.ctx,
            conditioning or self.conditioning,
            attention=control,
            tuning=tuning,
            guidance_scale=scale,
        ).latent

    def balanced(self, transition=None, **windows):
        control = attention.balanced(self.made.tuning, transition or self.between(), **windows).attention
        return self.edit(control)

    def reference(self):
        return Reference(self.parts.denoiser.load("cpu"))


def close(found, wanted, tolerance=1e-12):
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * max(1.0, scale))


@pytest.mark.parametrize("windows", [(0.3, 0.6), (0.5, 0.5), (1.0, 1.0), (0.7, 0.2), (0.0, 0.4)])
def test_gathered_and_pruned_rows_equal_three_full_branches(parts, windows):
    job = Job(parts)
    between = job.between()
    with job.reference().installed() as reference:
        z_rec, _, z_ed = baret(
            reference,
            job.plan,
            job.trajectory.start,
            job.conditioning.uncond,
            job.conditioning.cond,
            job.made.tuning.embeddings,
            between.embeddings,
            SCALE,
            *windows,
        )
    close(job.balanced(between, self_until=windows[0], cross_until=windows[1]), z_ed)
    close(job.made.latent, z_rec)  # the reconstruction's chain is the inversion's own


def test_the_eight_identities(parts):
    job = Job(parts)
    plain = job.edit()
    reconstruction = job.edit(tuning=job.made.tuning)
    close(reconstruction, job.made.latent)
    for achieved, position in zip(job.made.tuning.achieved, range(STEPS + 1), strict=True):
        assert achieved.shape == job.z.shape, position
    untouched = Job(parts, iterations=0)
    for latent in (
        untouched.made.latent,
        untouched.edit(tuning=untouched.between(0.5, 0.5)),
        untouched.balanced(untouched.between(0.7, 0.3), self_until=1.0, cross_until=1.0),
    ):
        close(latent, plain)  # no iterations: all three chains are plain guidance
    close(job.edit(tuning=job.between(1, 1)), reconstruction)  # λ = 1
    close(job.edit(tuning=job.between(0, 0)), plain)  # λ = 0
    close(job.balanced(self_until=0.0, cross_until=0.0), plain)  # both windows shut
    close(job.balanced(job.between(0, 0), self_until=0.0, cross_until=1.0), plain)  # λ = 0, self 0: edit = transition
    assert (job.balanced() - plain).abs().max() > 1e-3  # and the windows do something
    both = job.balanced(job.between(1, 1), self_until=1.0, cross_until=1.0)
    assert (both - reconstruction).abs().max() > 1e-6  # values are still the target text's


def test_a_reconstruction_without_kept_latents_is_sampled(parts):
    job = Job(parts)
    walked = embed.transition(
        job.made.tuning, job.conditioning, start=1, end=1
    ).tuning  # the same embeddings, no latents
    control = attention.balanced(walked, job.between(), self_until=0.7).attention
    close(job.edit(control), job.balanced(self_until=0.7))


def test_rows_leave_when_their_window_closes(parts):
    job = Job(parts)
    seen = []
    control = attention.balanced(job.made.tuning, job.between(), self_until=0.34, cross_until=0.67).attention
    with job.ctx.lease(parts.denoiser) as unet:
        hook = unet.register_forward_pre_hook(lambda module, args, kwargs: seen.append(len(args[0])), with_kwargs=True)
        job.edit(control)
        hook.remove()
    assert seen == [5, 5, 4, 4, 2, 2]


@pytest.mark.parametrize(("start_step", "start_layer"), [(0, 0), (2, 1), (3, 2)])
@pytest.mark.parametrize("source", ["", "d"])
def test_mutual_self_attention_against_its_transcription(parts, start_step, start_layer, source):
    job = Job(parts)
    conditioning = job.text(source)
    order = [f"{name}.processor" for name, _ in attentions(parts.denoiser.load("cpu")) if name.endswith("attn1")]
    with job.reference().installed() as reference:
        wanted = masactrl(
            reference,
            job.plan,
            job.trajectory.start,
            job.conditioning.uncond,
            conditioning.cond,
            job.conditioning.cond,
            SCALE,
            start_step,
            start_layer,
            order,
        )[1]
    close(job.edit(attention.mutual_self(conditioning, start_step, start_layer).attention), wanted)


@pytest.mark.parametrize("target", ["abd", "abcd", "a b c"])
@pytest.mark.parametrize("tuned", [False, True])
def test_prompt_to_prompt_against_its_transcription(parts, target, tuned):
    job = Job(parts)
    conditioning = job.text(target)
    tuning = (
        invert.null_text(
            parts.denoiser, job.conditioning, job.plan, job.trajectory, job.ctx, iterations=2, learning_rate=0.1
        ).tuning
        if tuned
        else None
    )
    unconds = tuning.embeddings if tuned else [job.conditioning.uncond] * STEPS
    columns, share = aligned(job.conditioning.tokens, conditioning.tokens)
    with job.reference().installed() as reference:
        wanted = prompt_to_prompt(
            reference,
            job.plan,
            job.trajectory.start,
            unconds,
            job.conditioning.cond,
            conditioning.cond,
            SCALE,
            0.5,
            0.8,
            columns,
            share,
        )[1]
    control = attention.prompt_to_prompt(job.conditioning, conditioning, tuning).attention
    close(job.edit(control, tuning, conditioning), wanted)


def test_words_are_matched_swapped_and_added():
    assert aligned((0, 5, 6, 9), (0, 5, 7, 9)) == ((0, 1, 2, 3), (1, 1, 1, 1))  # swapped: shares the map
    assert aligned((0, 5, 9), (0, 5, 6, 9)) == ((0, 1, 0, 2), (1, 1, 0, 1))  # added: its own
    assert aligned((0, 5, 6, 9), (0, 5, 9)) == ((0, 1, 3), (1, 1, 1))  # taken away
    assert aligned((0, 1, 9), (0, 2, 3, 9)) == ((0, 1, 1, 2), (1, 1, 1, 1))  # one word for two


@pytest.mark.parametrize("layers", ["down", "mid", "up"])
def test_parts_of_the_unet_can_be_chosen(parts, layers):
    job = Job(parts)
    found = job.balanced(self_until=1.0, cross_until=1.0, layers=layers)
    assert (found - job.edit()).abs().max() > 1e-9
    assert (found - job.balanced(self_until=1.0, cross_until=1.0)).abs().max() > 1e-9


class Boom(Exception):
    pass


@pytest.mark.parametrize("how", [None, Boom, KeyboardInterrupt])
def test_processors_and_weights_are_as_before_whatever_happens(parts, how):
    job = Job(parts)
    with job.ctx.lease(parts.denoiser) as unet:
        before = dict(unet.attn_processors)
        weights = {name: value.clone() for name, value in unet.state_dict().items()}
        plain = job.edit()
        calls = []

        def fail(*_):
            calls.append(1)
            if how is not None and len(calls) == 3:
                raise how

        hook = unet.register_forward_hook(fail)
        control = attention.balanced(job.made.tuning, job.between()).attention
        if how is None:
            job.edit(control)
        else:
            with pytest.raises(how):
                job.edit(control)
        hook.remove()
        assert all(before[name] is value for name, value in unet.attn_processors.items())
        assert all(torch.equal(weights[name], value) for name, value in unet.state_dict().items())
        assert not hasattr(unet, "_inlay_runs")
        assert torch.equal(job.edit(), plain)


def test_two_threads_share_a_unet_and_only_one_is_controlled(parts):
    job = Job(parts)
    control = attention.balanced(job.made.tuning, job.between(), self_until=1.0, cross_until=1.0).attention
    wanted = job.edit(control), job.edit()
    found = [None, None]

    def work(number, wired):
        found[number] = job.edit(wired)

    for _ in range(3):
        threads = [threading.Thread(target=work, args=item) for item in enumerate((control, None))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


def test_several_pictures_are_edited_as_each_alone(parts):
    job = Job(parts)
    z = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def edited(latent):
        path = invert.ddim(parts.denoiser, job.conditioning, job.plan, latent, job.ctx).trajectory
        made = invert.target_text(parts.denoiser, job.conditioning, job.plan, path, job.ctx, iterations=0).tuning
        half = made.with_embeddings(made.embeddings + 0.1)
        made = made.with_embeddings(made.embeddings * 0.5)
        return sample.denoise(
            parts.denoiser,
            job.plan,
            noise.from_trajectory(path).noise,
            job.ctx,
            job.conditioning,
            attention=attention.balanced(made, half).attention,
        ).latent

    close(edited(z), torch.cat([edited(row[None]) for row in z]), 1e-10)


def test_a_control_that_does_nothing_changes_no_bit(parts):
    job = Job(parts)
    assert torch.equal(job.edit(AttentionControl()), job.edit())
    assert torch.equal(
        job.edit(attention.balanced(job.made.tuning, job.between(), self_until=0, cross_until=0).attention), job.edit()
    )


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_guidance_of_one_half_alone(parts, scale):
    job = Job(parts)
    control = attention.balanced(job.made.tuning, job.between(), self_until=1.0, cross_until=1.0).attention
    found = job.edit(control, scale=scale)
    assert torch.isfinite(found).all()
    if scale == 0:
        close(found, job.edit(scale=0.0))  # other rows beside it: a processor may take another kernel for that batch


def problem_of(call):
    with pytest.raises(BadInput) as caught:
        call()
    return caught.value.at("x")


def test_what_does_not_fit_is_refused_by_name(parts, tiny):
    job = Job(parts)
    nothing = invert.null_text(parts.denoiser, job.conditioning, job.plan, job.trajectory, job.ctx, iterations=0).tuning
    assert problem_of(lambda: attention.balanced(nothing, job.between())).port == "reconstruction"
    assert problem_of(lambda: attention.balanced(job.made.tuning, nothing)).port == "transition"
    assert problem_of(lambda: attention.balanced("x", nothing)).port == "reconstruction"
    assert (
        problem_of(lambda: attention.prompt_to_prompt(job.conditioning, job.conditioning, job.made.tuning)).port
        == "tuning"
    )
    assert problem_of(lambda: attention.mutual_self("x")).port == "source"
    assert problem_of(lambda: job.edit(attention.mutual_self(job.conditioning, 0, 99).attention)).port == "attention"
    assert problem_of(lambda: job.edit(attention.mutual_self(job.conditioning, 99, 0).attention)).port == "attention"
    other = Job(model.stable_diffusion(str(tiny.stable_diffusion("another", unet={"seed": 3})), dtype="float64"))
    assert problem_of(lambda: attention.balanced(job.made.tuning, other.between())).port == "transition"
    control = attention.balanced(job.made.tuning, job.between()).attention
    shorter = schedule.ddim(parts.scheduler, steps=STEPS - 1, eta=0.0, final_alpha="config").schedule

    def run(plan=job.plan, stream=job.noise, **wired):
        return lambda: sample.denoise(parts.denoiser, plan, stream, job.ctx, job.conditioning, **wired)

    assert problem_of(run(stream=other.noise)).port == "noise"
    assert problem_of(run(plan=shorter)).port == "noise"
    wide = noise.gaussian(torch.zeros(1, 4, 8, 8)).noise  # of another size
    assert problem_of(run(stream=wide, attention=control)).port == "attention"
    assert problem_of(run(stream=wide, tuning=job.made.tuning)).port == "tuning"
    assert problem_of(run(latent=job.z, strength=0.5, tuning=job.made.tuning)).port == "strength"


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"down_block_types": ("SimpleCrossAttnDownBlock2D", "DownBlock2D")}, "SimpleCrossAttnDownBlock2D"),
        ({"cross_attention_norm": "layer_norm"}, "cross_attention_norm"),
    ],
)
def test_another_backbone_is_refused_by_name_before_it_is_loaded(parts, monkeypatch, setting, word):
    job = Job(parts)
    control = attention.balanced(job.made.tuning, job.between()).attention
    monkeypatch.setattr(type(parts.denoiser), "config", dict(parts.denoiser.config) | setting)
    job.ctx = Context()
    monkeypatch.setattr(type(parts.denoiser), "load", lambda *_: pytest.fail("it was loaded"))
    problem = problem_of(lambda: job.edit(control))
    assert problem.port == "denoiser"
    assert word in problem.found


def heard_in(job, **wired):
    heard = []
    ctx = Context(listeners=(heard.append,))
    conditioning = wired.pop("conditioning", job.conditioning)
    sample.denoise(job.parts.denoiser, job.plan, job.noise, ctx, conditioning, **wired)
    return " ".join(event.message for event in heard if isinstance(event, Warned))


def test_contradicting_inputs_are_refused_or_warned_of(parts):
    job, other = Job(parts), Job(parts, prompt="d")
    control = attention.balanced(job.made.tuning, job.between()).attention
    assert problem_of(lambda: attention.balanced(job.made.tuning, other.between())).port == "transition"
    assert "swap" in problem_of(lambda: attention.balanced(job.between(), job.made.tuning)).fix
    free = noise.gaussian(job.z, seed=1).noise
    for wired in ({"attention": control}, {"tuning": job.made.tuning}):
        for stream in (free, other.noise, noise.gaussian(job.z, seed=1, batch=2).noise):
            assert (
                problem_of(
                    lambda w=wired, s=stream: sample.denoise(
                        parts.denoiser, job.plan, s, job.ctx, job.conditioning, **w
                    )
                ).port
                == "noise"
            )
    noisy = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.5, final_alpha="config").schedule
    assert (
        problem_of(
            lambda: sample.denoise(parts.denoiser, noisy, job.noise, job.ctx, job.conditioning, attention=control)
        ).port
        == "schedule"
    )
    assert heard_in(job, attention=control) == ""
    assert heard_in(job, tuning=job.made.tuning) == ""
    assert "another text" in heard_in(job, attention=control, conditioning=other.conditioning)
    assert "tuned for 7.5" in heard_in(job, attention=control, guidance_scale=3.0)
    assert "tuned for 7.5" in heard_in(job, tuning=job.made.tuning, guidance_scale=3.0)
    nothing = invert.null_text(parts.denoiser, job.conditioning, job.plan, job.trajectory, job.ctx, iterations=0).tuning
    paired = attention.prompt_to_prompt(job.conditioning, other.conditioning, nothing).attention
    assert heard_in(job, attention=paired, tuning=nothing, conditioning=other.conditioning) == ""
    assert "only one" in heard_in(job, attention=paired, conditioning=other.conditioning)
    assert "another text" in heard_in(job, attention=paired, tuning=nothing)
    heard = []
    ctx = Context(listeners=(heard.append,))
    invert.target_text(parts.denoiser, other.conditioning, job.plan, job.trajectory, ctx, iterations=0)
    embed.transition(job.made.tuning, other.conditioning, ctx=ctx)
    assert sum("another text" in event.message for event in heard if isinstance(event, Warned)) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mixed_map_in_half_is_that_of_its_numbers(dtype):
    """Queries and keys as large as Stable Diffusion 2.1's: their products exceed float16, their softmax is fine."""
    draws = torch.Generator().manual_seed(0)
    query, key, value = ((scale * torch.randn(2, 2, 5, 64, generator=draws)).to(dtype) for scale in (150, 150, 1))
    assert (query.double() @ key.double().transpose(-1, -2)).abs().max() > 65504
    columns, share = torch.tensor([0, 2, 1, 3, 4]), torch.tensor([1, 1, 1, 0, 0]).to(dtype)
    found = _mixed(query, key, value, slice(0, 1), slice(1, 2), columns, share)
    maps = [
        torch.softmax(q @ k.T / 8, dim=-1)
        for q, k in zip(query.double().flatten(0, 1), key.double().flatten(0, 1), strict=True)
    ]  # of each row's two heads
    for head in range(2):
        mixed = torch.cat([maps[2 + head][:, [0, 2, 1]], maps[head][:, 3:]], dim=1)
        wanted = mixed @ value[0, head].double()
        assert (found[0, head].double() - wanted).abs().max() < 0.02
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("held", [1, 3 * 2**14, 2**40])
def test_maps_of_some_heads_at_a_time_have_the_bits_of_all_at_once(dtype, held, monkeypatch):
    draws = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(4, size, 8, 40, generator=draws).to(dtype).transpose(1, 2) for size in (256, 77, 77)
    )
    columns, share = torch.randint(0, 77, (77,), generator=draws), torch.rand(77, generator=draws).to(dtype)
    given = (query, key, value, slice(1, 2), slice(3, 4), columns, share)
    monkeypatch.setattr(gather, "MAP_BYTES", 2**40)
    whole = _mixed(*given)
    monkeypatch.setattr(gather, "MAP_BYTES", held)
    assert torch.equal(_mixed(*given), whole)


def test_maps_of_a_large_picture_take_a_few_slices_and_never_all_heads_at_once():
    """2048 × 2048 pixels, eight heads: all maps at once would take a gigabyte."""
    with without_values() as memory:
        query, key, value = (
            torch.empty(2, 8, size, 40, dtype=torch.float16, device="meta") for size in (65_536, 77, 77)
        )
        columns, share = torch.zeros(77, dtype=torch.long, device="meta"), torch.zeros(77, device="meta")
        with memory.step("mixed") as step:
            found = _mixed(query, key, value, slice(0, 1), slice(1, 2), columns, share.half())
        assert step.peak - step.before < found.nbytes + 5.5 * gather.MAP_BYTES
        assert step.peak - step.before < 0.4 * 8 * 65_536 * 77 * 4 * 5
