"""Inversions: diffusers' inverse scheduler, transcriptions of the published loops, closed identities, refusals."""

import inlay
import pytest
import torch
from diffusers import DDIMInverseScheduler
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.methods.baret.transition import blend, transition_weights
from inlay.methods.inversion.ddim import Trajectory
from inlay.methods.inversion.tuning import Tuned
from inlay.nodes import condition, embed, invert, model, noise, sample, schedule

STEPS = 5


@pytest.fixture
def parts(shared_sd):
    return model.stable_diffusion(str(shared_sd), dtype="float64")


@pytest.fixture
def wired(parts):
    """Conditioning, schedule, latent, context."""
    ctx = Context()
    told = condition.text(parts.text_encoder, ctx, prompt="abc", negative="").conditioning
    plan = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.0, final_alpha="config").schedule
    z = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return told, plan, z, ctx


def unet_of(parts):
    unet = parts.denoiser.load("cpu")
    return lambda z, t, e: unet(z, t, encoder_hidden_states=e).sample


def trajectory_of(parts, wired):
    told, plan, z, ctx = wired
    return invert.ddim(parts.denoiser, told, plan, z, ctx).trajectory


def test_the_trajectory_is_that_of_diffusers_inverse_scheduler(parts, wired):
    told, _, z, _ = wired
    theirs = DDIMInverseScheduler.from_config(dict(parts.scheduler.config))
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.initial_alpha_cumprod = theirs.initial_alpha_cumprod.double()
    theirs.set_timesteps(STEPS)
    unet, wanted = unet_of(parts), [z]
    with torch.no_grad():
        for t in theirs.timesteps:
            wanted.append(theirs.step(unet(wanted[-1], t, told.cond), t, wanted[-1]).prev_sample)
    found = trajectory_of(parts, wired)
    assert found.latents.shape == (STEPS + 1, 1, 4, 4, 6)
    torch.testing.assert_close(found.latents, torch.stack(wanted), rtol=0, atol=1e-12)


def step_back(plan, position, z, output):
    """One DDIM step, written out."""
    a = plan.alpha_bars[position]
    ap = plan.alpha_bars[position + 1] if position + 1 < len(plan.alpha_bars) else plan.final_alpha_bar
    x0 = (z - (1 - a) ** 0.5 * output) / a**0.5
    return ap**0.5 * x0 + (1 - ap) ** 0.5 * output


def transcription(parts, wired, trajectory, half, iterations, rate, scale=7.5, carry=True):
    """The published loops: TTIS (half = cond) and null-text inversion (half = uncond); everything anew each time."""
    told, plan, _, _ = wired
    unet, latents = unet_of(parts), trajectory.latents
    e = {"cond": told.cond, "uncond": told.uncond}[half]
    first, z, kept, losses = e, latents[-1], [], []
    for i, t in enumerate(plan.timesteps):
        value = (e if carry else first).clone().requires_grad_(True)
        adam = torch.optim.Adam([value], lr=rate(i))
        for _ in range(iterations):
            u = unet(z, t, told.uncond if half == "cond" else value)
            c = unet(z, t, value if half == "cond" else told.cond)
            loss = (step_back(plan, i, z, u + scale * (c - u)) - latents[STEPS - 1 - i]).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            if loss.item() < 1e-5 + 2e-5 * i:
                break
        e = value.detach()
        with torch.no_grad():
            u = unet(z, t, told.uncond if half == "cond" else e)
            c = unet(z, t, e if half == "cond" else told.cond)
            z = step_back(plan, i, z, u + scale * (c - u))
        kept.append(e)
        losses.append(loss.item())
    return torch.stack(kept), z, losses


@pytest.mark.parametrize("carry", [True, False])
def test_target_text_inversion_against_a_transcription(parts, wired, carry):
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    made = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=3, carry=carry)
    kept, z, losses = transcription(parts, wired, trajectory, "cond", 3, lambda i: 1e-3, carry=carry)
    torch.testing.assert_close(made.tuning.embeddings, kept, rtol=0, atol=1e-10)
    torch.testing.assert_close(made.latent, z, rtol=0, atol=1e-10)
    assert made.tuning.losses == pytest.approx(losses, rel=1e-8)
    assert made.tuning.half == "cond"


def test_null_text_inversion_against_a_transcription(parts, wired):
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    made = invert.null_text(parts.denoiser, told, plan, trajectory, ctx, iterations=4)
    kept, z, losses = transcription(parts, wired, trajectory, "uncond", 4, lambda i: 1e-2 * (1 - i / 100))
    torch.testing.assert_close(made.tuning.embeddings, kept, rtol=0, atol=1e-9)
    torch.testing.assert_close(made.latent, z, rtol=0, atol=1e-9)
    assert made.tuning.losses == pytest.approx(losses, rel=1e-7)


def test_the_gradient_is_that_of_finite_differences(parts, wired):
    """One Adam step moves by rate·sign(gradient): its signs are those of the difference quotient."""
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    made = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=1, learning_rate=1e-3)
    moved = made.tuning.embeddings[0] - told.cond
    unet, z, t = unet_of(parts), trajectory.latents[-1], plan.timesteps[0]

    def loss(e):
        with torch.no_grad():
            u, c = unet(z, t, told.uncond), unet(z, t, e)
            return float((step_back(plan, 0, z, u + 7.5 * (c - u)) - trajectory.latents[-2]).square().mean())

    for place in ((0, 0, 0), (0, 3, 5), (0, 11, 23)):
        nudge = torch.zeros_like(told.cond, dtype=torch.float64)
        nudge[place] = 1e-5
        slope = (loss(told.cond + nudge) - loss(told.cond - nudge)) / 2e-5
        if abs(slope) > 1e-7:
            assert float(moved[place]) * slope < 0


def edit(parts, wired, tuning=None, conditioning=None, scale=7.5):
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    return sample.denoise(
        parts.denoiser,
        plan,
        noise.from_trajectory(trajectory).noise,
        ctx,
        conditioning or told,
        tuning=tuning,
        guidance_scale=scale,
    ).latent


@pytest.mark.parametrize("which", ["target_text", "null_text"])
def test_sampling_with_a_tuning_is_the_reconstruction(parts, wired, which):
    told, plan, _, ctx = wired
    made = getattr(invert, which)(parts.denoiser, told, plan, trajectory_of(parts, wired), ctx, iterations=2)
    torch.testing.assert_close(edit(parts, wired, made.tuning), made.latent, rtol=0, atol=1e-12)
    torch.testing.assert_close(made.tuning.achieved[-1], made.latent, rtol=0, atol=0)


def test_no_iterations_are_plain_ddim_and_tuning_helps(parts, wired):
    told, plan, z, ctx = wired
    trajectory = trajectory_of(parts, wired)
    none = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=0)
    torch.testing.assert_close(none.latent, edit(parts, wired), rtol=0, atol=1e-12)
    assert torch.equal(none.tuning.embeddings, told.cond.expand_as(none.tuning.embeddings))
    assert none.tuning.updates == (0,) * STEPS
    some = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=20, learning_rate=1e-2)
    assert (some.latent - z).square().mean() < (none.latent - z).square().mean()


def test_guidance_one_nearly_follows_the_trajectory_back(parts, wired):
    _, _, z, _ = wired
    assert (edit(parts, wired, scale=1.0) - z).square().mean() < (edit(parts, wired) - z).square().mean()


def test_the_transition_is_exact_at_its_ends(parts, wired):
    told, plan, _, ctx = wired
    made = invert.target_text(parts.denoiser, told, plan, trajectory_of(parts, wired), ctx, iterations=2)
    whole = embed.transition(made.tuning, told, start=1.0, end=1.0).tuning
    none = embed.transition(made.tuning, told, start=0.0, end=0.0).tuning
    assert torch.equal(edit(parts, wired, whole), edit(parts, wired, made.tuning))  # λ = 1: the reconstruction
    torch.testing.assert_close(edit(parts, wired, none), edit(parts, wired), rtol=0, atol=1e-12)  # λ = 0: the target
    between = embed.transition(made.tuning, told).tuning
    for i, row in enumerate(between.embeddings):
        weight = 0.8 + (0.1 - 0.8) * i / (STEPS - 1)
        torch.testing.assert_close(
            row, weight * made.tuning.embeddings[i] + (1 - weight) * told.cond, rtol=0, atol=1e-12
        )


def test_weights_of_a_single_step_and_exact_blends():
    assert transition_weights(0.8, 0.1, 1) == [0.8]
    tuned, target = torch.randn(2, 1, 3, 4), torch.randn(1, 3, 4)
    found = blend(tuned, target, [1, 0])
    assert torch.equal(found[0], tuned[0])
    assert torch.equal(found[1], target)


def test_the_stop_rule_ends_a_step_after_its_update(parts, wired):
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    made = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=5, stop_start=1e9)
    assert made.tuning.updates == (1,) * STEPS
    assert not torch.equal(made.tuning.embeddings[0], told.cond)  # the update counts


def test_weights_stay_frozen_and_as_they_were(parts, wired):
    told, plan, _, ctx = wired
    with ctx.lease(parts.denoiser) as unet:
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        invert.target_text(parts.denoiser, told, plan, trajectory_of(parts, wired), ctx, iterations=2)
        assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
        assert all(value.grad is None and not value.requires_grad for value in unet.parameters())


def test_each_step_shows_its_loss_and_a_failed_reconstruction_warns(parts, wired):
    told, plan, z, _ = wired
    heard = []
    ctx = Context(listeners=(heard.append,))
    trajectory = invert.ddim(parts.denoiser, told, plan, z, ctx).trajectory
    made = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=1, guidance_scale=60.0)
    notes = [event.note for event in heard if isinstance(event, NodeProgress) and event.note]
    assert len(notes) == STEPS
    assert "loss" in notes[0]
    assert any("misses" in event.message for event in heard if isinstance(event, Warned))
    assert made.report.count("\n| ") == STEPS + 1


def test_what_does_not_fit_is_refused_by_name(parts, wired, tiny):
    told, plan, z, ctx = wired
    trajectory = trajectory_of(parts, wired)
    noisy = schedule.ddim(parts.scheduler, steps=STEPS).schedule
    travelling = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.0, travel_length=2, travel_repeat=2).schedule
    solver = schedule.solver(parts.scheduler, "unipc", STEPS).schedule
    for wrong, word in ((noisy, "eta"), (travelling, "time travel"), (solver, "schedule.ddim")):
        with pytest.raises(BadInput) as caught:
            invert.ddim(parts.denoiser, told, wrong, z, ctx)
        problem = caught.value.at("x")
        assert problem.port == "schedule"
        assert word in f"{problem.found} {problem.expected}"
    other = model.stable_diffusion(str(tiny.stable_diffusion("other", unet={"seed": 3})), dtype="float64")
    longer = schedule.ddim(parts.scheduler, steps=STEPS + 1, eta=0.0, final_alpha="config").schedule
    for denoiser, steps, way in (
        (other.denoiser, plan, trajectory),
        (parts.denoiser, longer, trajectory),
        (parts.denoiser, plan, torch.zeros(3)),
    ):
        with pytest.raises(BadInput) as caught:
            invert.target_text(denoiser, told, steps, way, ctx)
        assert caught.value.port == "trajectory"
    with pytest.raises(BadInput) as caught:
        _diverge(parts, wired)
    assert "step 2" in caught.value.at("x").found
    with pytest.raises(BadInput, match=r"invert\.null_text"):
        embed.transition(invert.null_text(parts.denoiser, told, plan, trajectory, ctx, iterations=0).tuning, told)
    with pytest.raises(BadInput, match="trajectory"):
        noise.from_trajectory(None)


def _diverge(parts, wired):
    """A model that gives NaN from the second step on."""
    from inlay.methods.inversion.tuning import TuningRecipe, tune

    told, plan, _, _ = wired
    trajectory = trajectory_of(parts, wired)
    unet = unet_of(parts)

    def broken(z, t, e):
        return unet(z, t, e) * (float("nan") if int(t) == plan.timesteps[1] else 1.0)

    return tune(
        broken, plan, trajectory.latents, told.cond, told.uncond, TuningRecipe(7.5, 2, lambda i: 1e-3, lambda i: 0.0)
    )


def test_eta_is_refused_while_checking(parts):
    nodes = {
        "model": {"type": "model.stable_diffusion", "params": {"source": str(parts.denoiser.origin.root)}},
        "told": {"type": "condition.text", "inputs": {"text_encoder": "model.text_encoder"}},
        "steps": {"type": "schedule.ddim", "params": {"steps": 4}, "inputs": {"scheduler": "model.scheduler"}},
        "latent": {"type": "latent.load", "params": {"path": "a.safetensors"}},
        "back": {
            "type": "invert.ddim",
            "inputs": {
                "denoiser": "model.denoiser",
                "conditioning": "told.conditioning",
                "schedule": "steps.schedule",
                "latent": "latent.latent",
            },
        },
    }
    flow = {
        "format": 1,
        "nodes": {name: {"version": 1, **entry} for name, entry in nodes.items()},
        "outputs": {"way": "back.trajectory"},
    }
    assert any(problem.node == "back" and "eta" in problem.found for problem in inlay.check(flow))


def test_trajectories_and_tunings_say_what_they_are(parts, wired):
    trajectory = trajectory_of(parts, wired)
    assert isinstance(trajectory, Trajectory)
    assert torch.equal(trajectory.start, trajectory.latents[-1])
    assert Tuned(torch.zeros(1, 1, 1, 1), "uncond", torch.zeros(1)).at(0)[0] is None


@pytest.mark.parametrize("which", ["target_text", "null_text"])
def test_several_pictures_are_tuned_as_each_alone(parts, wired, which):
    told, plan, _, ctx = wired
    latents = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def made(z):
        trajectory = invert.ddim(parts.denoiser, told, plan, z, ctx).trajectory
        return getattr(invert, which)(
            parts.denoiser,
            told,
            plan,
            trajectory,
            ctx,
            iterations=4,
            learning_rate=0.05,
            stop_start=0.05,
            stop_step=0.06,
        )

    together, alone = made(latents), [made(z[None]) for z in latents]
    assert alone[0].tuning.updates != alone[1].tuning.updates  # one is done before the other
    torch.testing.assert_close(together.latent, torch.cat([one.latent for one in alone]), rtol=0, atol=1e-9)


def tensors_of(made):
    return made.tuning.embeddings, made.tuning.achieved, made.latent


@pytest.mark.parametrize("which", ["target_text", "null_text"])
def test_an_inversion_is_kept_by_what_it_was_made_from_and_found_after_a_restart(parts, wired, tmp_path, which):
    told, plan, z, _ = wired
    calls = []

    def inverted(latent=z, plan=plan, **settings):
        calls.clear()
        ctx = Context(store=DiskStore(tmp_path, "here"))  # a new process has nothing but the folder
        with ctx.lease(parts.denoiser) as unet:
            hook = unet.register_forward_hook(lambda *_: calls.append(1))
            trajectory = invert.ddim(parts.denoiser, told, plan, latent, ctx).trajectory
            made = getattr(invert, which)(parts.denoiser, told, plan, trajectory, ctx, **{"iterations": 2} | settings)
            hook.remove()
        return trajectory, made

    first, again = inverted(), None
    assert calls
    again = inverted()
    assert not calls
    assert torch.equal(first[0].latents, again[0].latents)
    assert first[0].inversion_key == again[0].inversion_key
    for left, right in zip(tensors_of(first[1]), tensors_of(again[1]), strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    assert first[1].tuning.losses == again[1].tuning.losses
    assert first[1].tuning.updates == again[1].tuning.updates
    assert first[1].report == again[1].report
    longer = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.0).schedule  # another last noise level
    for changed in (
        {"iterations": 3},
        {"learning_rate": 0.5},
        {"stop_step": 1.0},
        {"carry": False},
        {"guidance_scale": 2.0},
        {"latent": z + 1e-9},
        {"plan": longer},
    ):
        inverted(**changed)
        assert calls, changed
    assert not list(tmp_path.rglob("*.part"))


def test_without_a_store_nothing_is_kept(parts, wired, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trajectory_of(parts, wired)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", ["target_text", "null_text"])
def test_out_of_memory_falls_back_to_checkpointing_with_the_same_result(parts, wired, which):
    told, plan, _, _ = wired
    heard = []
    ctx = Context(listeners=(heard.append,))
    trajectory = trajectory_of(parts, wired)
    wanted = getattr(invert, which)(parts.denoiser, told, plan, trajectory, ctx, iterations=2)
    assert not any(isinstance(event, Warned) and "memory" in event.message for event in heard)

    def short(module, inputs):
        if torch.is_grad_enabled() and not module.is_gradient_checkpointing:
            raise MemoryError

    with ctx.lease(parts.denoiser) as unet:
        hook = unet.register_forward_pre_hook(short)
        found = getattr(invert, which)(parts.denoiser, told, plan, trajectory, ctx, iterations=2)
        assert not unet.is_gradient_checkpointing  # as before
        hook.remove()
        always = unet.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            getattr(invert, which)(parts.denoiser, told, plan, trajectory, ctx, iterations=2)
        always.remove()
        assert not unet.is_gradient_checkpointing
    assert any(isinstance(event, Warned) and "memory" in event.message for event in heard)
    for left, right in zip(tensors_of(found), tensors_of(wanted), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", ["target_text", "null_text"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e4])
def test_a_loss_that_diverges_stops_and_names_the_step(parts, wired, which, value):
    told, plan, _, ctx = wired
    trajectory = trajectory_of(parts, wired)
    calls = []

    def spoil(module, args, output):
        calls.append(1)
        return (output[0] + value,) if torch.is_grad_enabled() and len(calls) > 6 else None

    with ctx.lease(parts.denoiser) as unet:
        hook = unet.register_forward_hook(spoil)
        with pytest.raises(BadInput) as caught:
            getattr(invert, which)(parts.denoiser, told, plan, trajectory, ctx, iterations=3)
        hook.remove()
        assert all(not value.requires_grad for value in unet.parameters())
    problem = caught.value.at("tune")
    assert problem.port == "learning_rate"
    assert "step 2 of 5" in problem.found


@pytest.mark.parametrize("prompt", ["", "синяя собака лежит", "abc " * 100])
def test_any_text_can_be_a_target(parts, wired, prompt):
    _, plan, z, _ = wired
    heard = []
    ctx = Context(listeners=(heard.append,))
    told = condition.text(parts.text_encoder, ctx, prompt=prompt).conditioning
    trajectory = invert.ddim(parts.denoiser, told, plan, z, ctx).trajectory
    made = invert.target_text(parts.denoiser, told, plan, trajectory, ctx, iterations=1)
    assert torch.isfinite(made.latent).all()
    assert any("does not see the end" in event.message for event in heard if isinstance(event, Warned)) == (
        len(prompt) > 12
    )
