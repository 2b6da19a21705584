"""Kept inversions: found again by all that they hang on, and by nothing else."""

import contextlib
import importlib
import itertools
import random
import shutil
from pathlib import Path

import inlay
import pytest
import torch
from inlay.graph_runtime import BadInput, Cancelled, Context
from inlay.graph_runtime.core import tensor_store
from inlay.graph_runtime.core.events import CancelToken, NodeProgress
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.nodes import condition, invert, model
from schedules import ddim_from_config

ROOT = Path(__file__).parents[2]
LATENT = torch.linspace(-1, 1, 4 * 64).reshape(1, 4, 8, 8)


class Store:
    """Keeps what is put, and counts what was found."""

    def __init__(self):
        self.kept, self.found = {}, 0

    def get(self, key):
        found = self.kept.get(key)
        self.found += found is not None
        return found

    def put(self, key, outputs, seconds, label):
        self.kept[key] = tuple(value.clone() for value in outputs)


class Keys(Store):
    """Finds nothing, so that each result is made anew."""

    def get(self, key):
        return None


@pytest.fixture(scope="module")
def parts(shared_sd):
    made = model.stable_diffusion(str(shared_sd))
    return made.denoiser, condition.text(made.text_encoder, Context(), prompt="abc def")[0]


def plan_of(denoiser, **changes):
    return ddim_from_config(
        {
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            **changes.pop("config", {}),
        },
        **{"steps": 2, "eta": 0.0, **changes},
    )


CHANGES = [
    {"final_alpha": "config", "config": {"set_alpha_to_one": False}},
    {"spacing": "trailing"},
    {"steps": 3},
    {"config": {"prediction_type": "v_prediction"}},
    {"config": {"beta_end": 0.02}},
    {"config": {"steps_offset": 1}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_schedule_is_another_inversion(parts, change):
    denoiser, conditioning = parts
    store = Store()
    ctx = Context(store=store)

    def invertion(plan):
        return invert.ddim(denoiser, conditioning, plan, LATENT, ctx).trajectory

    first, other = invertion(plan_of(denoiser)), invertion(plan_of(denoiser, **change))
    assert store.found == 0
    assert first.latents.shape != other.latents.shape or not torch.equal(first.latents, other.latents)
    assert first.inversion_key != other.inversion_key
    assert torch.equal(invertion(plan_of(denoiser)).latents, first.latents)
    assert store.found == 1


RANDOM = {
    "schedule": [{}, *CHANGES],
    "latent": [LATENT, -LATENT, LATENT[..., :6].contiguous()],
    "scale": [1.0, 3.0, 7.5],
    "iterations": [0, 1, 3],
    "rate": [1e-3, 1e-2],
    "start": [0.0, 1e-2, 1e9],
    "step": [0.0, 1e9],
    "carry": [True, False],
    "prompt": ["abc def", "abc"],
    "node": ["target_text", "null_text"],
    "seed": [0, 1],
}


def test_whatever_changes_a_result_changes_its_key(parts, shared_sd, tiny):
    """Random settings of every kind: two results that differ have keys that differ, and equal settings one key."""
    dice = random.Random(3)
    other = model.stable_diffusion(str(tiny.stable_diffusion(unet={"seed": 8})))
    denoisers = [parts[0], other.denoiser]
    texts = {prompt: condition.text(other.text_encoder, Context(), prompt=prompt)[0] for prompt in RANDOM["prompt"]}
    plain = {name: values[0] for name, values in RANDOM.items()} | {"iterations": 3, "scale": 3.0}
    tries = [plain, plain]
    tries += [plain | {name: value} for name, values in RANDOM.items() for value in values]
    tries += [{name: dice.choice(values) for name, values in RANDOM.items()} for _ in range(12)]
    seen = []
    for settings in tries:
        store = Keys()
        ctx, denoiser, conditioning = Context(store=store), denoisers[settings["seed"]], texts[settings["prompt"]]
        plan = plan_of(denoiser, **settings["schedule"])
        way = invert.ddim(denoiser, conditioning, plan, settings["latent"], ctx).trajectory
        with contextlib.suppress(BadInput):  # some diverge, and give nothing to keep
            getattr(invert, settings["node"])(
                denoiser,
                conditioning,
                plan,
                way,
                ctx,
                guidance_scale=settings["scale"],
                iterations=settings["iterations"],
                learning_rate=settings["rate"],
                stop_start=settings["start"],
                stop_step=settings["step"],
                carry=settings["carry"],
            )
        seen += [(key, result, number) for number, (key, result) in enumerate(store.kept.items())]
    for (key, result, kind), (other_key, other_result, other_kind) in itertools.combinations(seen, 2):
        if kind != other_kind or any(
            a.shape != b.shape or not torch.equal(a, b) for a, b in zip(result, other_result, strict=True)
        ):
            assert key != other_key
    assert seen[0][0] == seen[2][0]
    assert seen[1][0] == seen[3][0]
    assert len({key for key, _, _ in seen}) > 30


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Makes importable copies of the pack with a file changed: what another version of it would be."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def copy(name, file=None, change=lambda text: text):
        for room in sorted({name.split(".")[0] for name in inlay.ROOMS}):
            shutil.copytree(ROOT / room, tmp_path / name / room, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "__init__.py", tmp_path / name / "__init__.py")
        if file is not None:
            path = tmp_path / name / file
            changed = change(path.read_text())
            assert changed != path.read_text()
            path.write_text(changed)
        return name

    return copy


def test_a_changed_schedule_gives_no_old_result(copies, shared_sd, tmp_path):
    """What another version of the code made is not served; another comment, or file, makes no other version."""
    changes = {
        "inlay_first": (None, None),
        "inlay_comment": (
            "methods/sampling/ddim.py",
            lambda text: text.replace('"""The DDIM', '"""That DDIM') + "# end\n",
        ),
        "inlay_stranger": ("pictures/masks/brush.py", lambda text: text + "\nADDED = 1\n"),
        "inlay_schedule": (
            "methods/sampling/ddim.py",
            lambda text: text.replace(
                "return (z - rest * output) / root, output", "return (z - rest * output) / root * 0.5, output"
            ),
        ),
        "inlay_model": (
            "methods/sampling/unet.py",
            lambda text: text.replace("return output if scaling", "return output * 0.5 if scaling"),
        ),
    }
    found = {}
    for name, (file, change) in changes.items():
        copies(name, file, change)
        nodes, runtime = (importlib.import_module(f"{name}.{room}") for room in ("nodes", "graph_runtime"))
        assert Path(nodes.__file__).is_relative_to(tmp_path)
        there = {
            family: importlib.import_module(f"{name}.nodes.{family}")
            for family in ("model", "condition", "schedule", "invert")
        }
        counted = []
        ctx = runtime.Context(store=DiskStore(tmp_path / "store", "here"), listeners=(counted.append,))
        made = there["model"].stable_diffusion(str(shared_sd))
        conditioning = there["condition"].text(made.text_encoder, ctx, prompt="abc")[0]
        plan = there["schedule"].ddim(made.scheduler, steps=2, eta=0.0)[0]
        way = there["invert"].ddim(made.denoiser, conditioning, plan, LATENT, ctx).trajectory
        kept = any("kept" in getattr(event, "note", "") for event in counted)
        found[name] = kept, way.latents
    assert [kept for kept, _ in found.values()] == [False, True, True, False, False]
    first = found["inlay_first"][1]
    assert torch.equal(found["inlay_comment"][1], first)
    assert not torch.equal(found["inlay_schedule"][1], first)
    assert not torch.equal(found["inlay_model"][1], first)


def test_a_trajectory_is_refused_for_another_prediction_type(parts):
    denoiser, conditioning = parts
    way = invert.ddim(denoiser, conditioning, plan_of(denoiser), LATENT, Context()).trajectory
    with pytest.raises(BadInput, match="another model or schedule"):
        invert.target_text(
            denoiser,
            conditioning,
            plan_of(denoiser, config={"prediction_type": "v_prediction"}),
            way,
            Context(),
            iterations=0,
        )


class Run:
    """Work with a store in a folder, whose steps are written at once; it may be stopped after one of them."""

    def __init__(self, monkeypatch, folder, work):
        monkeypatch.setattr(tensor_store, "KEEP_SECONDS", -1.0)
        self.folder, self.work = folder, work

    def __call__(self, stop=0):
        """The steps that were done in this start, and the result; None if it was stopped."""
        seen, cancel = [], CancelToken()

        def hear(event):
            if isinstance(event, NodeProgress) and "earlier" not in event.note:
                seen.append(event.step)
                if event.step == stop:
                    cancel.cancel()

        ctx = Context(store=DiskStore(self.folder, "here"), listeners=(hear,), cancel=cancel)
        try:
            return seen, self.work(ctx)
        except Cancelled:
            return seen, None

    def entries(self):
        return DiskStore(self.folder, "here").entries()


@pytest.fixture
def tuning(parts, tmp_path, monkeypatch):
    denoiser, conditioning = parts
    schedule = plan_of(denoiser, steps=6)
    (trajectory,) = invert.ddim(denoiser, conditioning, schedule, LATENT, Context())

    def of(tune):
        def work(ctx):
            return tune(denoiser, conditioning, schedule, trajectory, ctx, iterations=2)

        return Run(monkeypatch, tmp_path, work), work(Context())

    return of


def same_tuning(found, expected):
    return (
        torch.equal(found.tuning.embeddings, expected.tuning.embeddings)
        and torch.equal(found.tuning.achieved, expected.tuning.achieved)
        and (found.tuning.losses, found.tuning.updates) == (expected.tuning.losses, expected.tuning.updates)
    )


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("tune", [invert.target_text, invert.null_text])
def test_a_stopped_tuning_goes_on_where_it_was_and_gives_the_same_bytes(tuning, tune, stop):
    run, expected = tuning(tune)
    began, nothing = run(stop)
    seen, found = run()
    assert nothing is None
    assert began == list(range(1, stop + 1))
    assert seen == list(range(stop + 2, 7))  # the next one was done when the run noticed; none is done again
    assert same_tuning(found, expected)
    assert len(run.entries()) == 1  # the parts are gone


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_stopped_ddim_inversion_goes_on_where_it_was_and_gives_the_same_bytes(
    parts, tmp_path, monkeypatch, stop, rows
):
    denoiser, conditioning = parts
    schedule = plan_of(denoiser, steps=6)
    latent = torch.cat([LATENT, -LATENT])[:rows]

    def work(ctx):
        return invert.ddim(denoiser, conditioning, schedule, latent, ctx).trajectory

    expected = work(Context())
    run = Run(monkeypatch, tmp_path, work)
    began, nothing = run(stop)
    seen, found = run()
    assert nothing is None
    assert began == list(range(1, stop + 1))
    assert seen == list(range(stop + 2, 7))
    assert torch.equal(found.latents, expected.latents)
    assert len(run.entries()) == 1


def test_a_ddim_inversion_whose_latents_lie_otherwise_in_memory_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    """Kernels may be picked by the layout of what they get: a step that was kept has the layout that it had."""
    monkeypatch.setattr(tensor_store, "KEEP_SECONDS", -1.0)
    value = torch.arange(64.0).reshape(1, 4, 4, 4).to(memory_format=torch.channels_last)
    for store in (DiskStore(tmp_path, "here"), DiskStore(tmp_path, "here")):
        begun = tensor_store.Unfinished(Context(store=store), b"k", "test", width=1)
        for (found,) in begun.steps(torch.device("cpu")):
            assert found.stride() == value.stride()
            assert torch.equal(found, value)
        begun.add(value)
    assert len(begun.steps(torch.device("cpu"))) == 0
    assert len(tensor_store.Unfinished(Context(store=store), b"k", "test", 1).steps(torch.device("cpu"))) == 2


@pytest.mark.parametrize("gone", range(4))
def test_a_tuning_of_which_a_part_is_gone_goes_on_before_it(tuning, gone, monkeypatch):
    """What lies behind it was written at other steps than what now comes in its place: it is not put together."""
    run, expected = tuning(invert.target_text)
    run(stop=3)
    parts = sorted(run.entries(), key=lambda entry: entry.made)
    store = DiskStore(run.folder, "here")
    store._unlink(store._index.remove([parts[gone].place], "room"))
    clock = iter(range(10_000))
    monkeypatch.setattr(tensor_store, "KEEP_SECONDS", 2)  # every third look at the clock: two steps at a time
    monkeypatch.setattr(tensor_store.time, "monotonic", lambda: next(clock))
    seen, _ = run(stop=5)
    assert seen[0] == gone + 1
    monkeypatch.undo()
    seen, found = run()
    assert same_tuning(found, expected)


def test_a_tuning_that_ran_out_of_memory_is_kept_without_steps_that_were_done_twice(parts, tuning, monkeypatch):
    """It is tried again with less memory; a kill after that finds each step once."""
    run, expected = tuning(invert.target_text)
    real, calls = invert.tune, []

    def short(*args, keep, **options):
        calls.append(len(options["done"]))

        def keeping(step):
            keep(step)
            if len(calls) == 1 and len(run.entries()) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return real(*args, keep=keeping, **options)

    monkeypatch.setattr(invert, "tune", short)
    run(stop=4)
    assert calls == [0, 2]  # the second try goes on, too
    monkeypatch.setattr(invert, "tune", real)
    seen, found = run()
    assert seen == [6]
    assert same_tuning(found, expected)


def test_gradients_of_a_tuning_that_goes_on_are_scaled_as_they_were(parts, tuning, monkeypatch):
    """After an overflow in float16 they are scaled less, for the rest of the tuning; small ones may vanish then."""
    run, _ = tuning(invert.target_text)
    real, scales = invert.tune, []

    def noting(model, *args, keep, **options):
        scales.append(model.peak)

        def keeping(step):
            model.peak = 2 if len(run.entries()) >= 1 else model.peak
            keep(step)

        return real(model, *args, keep=keeping, **options)

    monkeypatch.setattr(invert, "tune", noting)
    run(stop=3)
    run()
    assert scales == [8, 2]


def test_a_store_that_takes_nothing_stops_no_inversion_and_holds_nothing_in_memory(parts, monkeypatch):
    monkeypatch.setattr(tensor_store, "KEEP_SECONDS", -1.0)
    asked = []

    class Full(Store):
        def put(self, key, outputs, seconds, label):
            asked.append(label)
            return "no space left on device"

    denoiser, conditioning = parts
    invert.ddim(denoiser, conditioning, plan_of(denoiser, steps=4), LATENT, Context(store=Full()))
    assert asked == ["invert.ddim (unfinished)", "invert.ddim"]


def test_what_is_not_finite_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_store, "KEEP_SECONDS", -1.0)
    begun = tensor_store.Unfinished(Context(store=DiskStore(tmp_path, "here")), b"k", "test", width=1)
    for value in (1.0, float("nan"), 2.0):
        begun.add(torch.tensor([value]))
    again = tensor_store.Unfinished(Context(store=DiskStore(tmp_path, "here")), b"k", "test", width=1)
    assert [float(value) for (value,) in again.steps(torch.device("cpu"))] == [1.0]
