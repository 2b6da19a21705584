"""Trainings on a simulated GPU: where tensors are, what they are in, what waits, and what continues after a stop."""

import dataclasses
import gc
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.device import resolve_device
from inlay.nodes import model, train
from inlay.nodes.subject import photos
from inlay.nodes.train import subject_lora
from inlay.training.encoding import Batch
from inlay.training.errors import TrainingFailed
from inlay.training.objective import Objective, StepDraws
from inlay.training.precision import autocast_dtype
from inlay.training.prefetch import Prefetcher
from inlay.training.processes import Workers
from inlay.training.trainer import Trainer, TrainerOptions
from PIL import Image
from simulated_gpu import SimulatedGpu, where
from trainer_toys import Line, line_loss

HALVES = ("auto", "float32", "float16", "bfloat16")


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """Two pictures of noise with a box each."""
    root = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(draws.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(root / f"{number}.png")
    (root / "boxes.csv").write_text("file,left,top,right,bottom\n0.png,4,4,28,30\n1.png,6,3,30,28\n")
    return photos(str(root / "*.png"), Context(), boxes=str(root / "boxes.csv")).photos


class Heard(list):
    """What a training says: how many waits there were after each step, and its warnings."""

    def __init__(self, gpu):
        super().__init__()
        self.gpu, self.warnings, self.losses = gpu, [], []

    def __call__(self, event):
        if isinstance(event, NodeProgress) and event.note.startswith("loss"):
            self.append((event.step, len(self.gpu.syncs), event.preview is not None))
        elif isinstance(event, Warned):
            self.warnings.append(event.message)

    def between_steps(self):
        """Waits from one step's end to the next one's, but for steps that drew a sheet or were the first of a run."""
        return [after[1] - before[1] for before, after in pairwise(self) if after[0] == before[0] + 1 and not after[2]]


def learn(kind, folder, some, ctx, steps, dtypes=("auto",) * 3, **changes):
    """A training of a few steps; dtypes of UNet, VAE, exemplar encoder."""
    parts = model.paint_by_example(str(folder))
    denoiser, vae, encoder = (
        dataclasses.replace(part, dtype=dtype)
        for part, dtype in zip((parts.denoiser, parts.vae, parts.exemplar_encoder), dtypes, strict=True)
    )
    given = (denoiser, vae, parts.scheduler, encoder, some, ctx)
    settings = {"batch_size": 2, "size": 32, "sample_every": 2, "variations": 0, "learning_rate": 1e-3, **changes}
    if kind == "lora":
        return subject_lora(*given, **settings | {"micro_batch": 1, "epochs": steps // 3})
    return train.exemplar(*given, **settings | {"steps": steps, "ema": 0.5, "snr_limit": 5.0})


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Sheets of a few steps, epochs of three views."""
    from inlay.training import sample_sheets, subject_settings

    monkeypatch.setattr(sample_sheets, "SHEET_STEPS", 2)
    monkeypatch.setattr(sample_sheets, "SHOWN", 2)
    monkeypatch.setattr(subject_settings, "VIEWS", 3)


def rehearse(kind, folder, some, out, dtypes, precision, gpu, variations=0):
    """Train with sheets, stop, go on; no device is mixed, each step waits once, what comes of it is finite."""
    heard = Heard(gpu)

    def ctx():
        return Context(ModelManager(("cuda:0",)), out=out, listeners=(heard,))

    learn(kind, folder, some, ctx(), 3, dtypes, precision=precision, variations=variations)
    learn(kind, folder, some, ctx(), 6, dtypes, precision=precision, variations=variations)
    assert not gpu.mixes, where(gpu.mixes)
    assert any("continuing from step 3" in message for message in heard.warnings)
    assert [step for step, _, _ in heard] == [1, 2, 3, 4, 5, 6]
    assert sum(sheet for _, _, sheet in heard) == 3
    assert heard.between_steps() == [1, 1], where(gpu.syncs)
    lines = [line for path in out.glob("*/log.jsonl") for line in path.read_text().splitlines()]
    assert lines
    assert not any("NaN" in line or "Infinity" in line for line in lines)


@pytest.mark.parametrize("kind", ["lora", "exemplar"])
@pytest.mark.parametrize(
    "dtype", [pytest.param(name, marks=[] if name == "auto" else pytest.mark.slow) for name in HALVES]
)
def test_trains_with_sheets_and_goes_on(kind, dtype, shared_pbe, some, tmp_path):
    with SimulatedGpu() as gpu:
        rehearse(kind, shared_pbe, some, tmp_path, (dtype,) * 3, dtype, gpu, variations=2 * (dtype != "float32"))


@pytest.mark.parametrize(
    ("kind", "dtypes", "precision"),
    [
        ("lora", ("float16", "float32", "bfloat16"), "float16"),
        pytest.param("exemplar", ("float16", "float32", "float16"), "float32", marks=pytest.mark.slow),
        pytest.param("exemplar", ("bfloat16", "float32", "float16"), "bfloat16", marks=pytest.mark.slow),
        pytest.param("lora", ("float32", "float16", "float32"), "float32", marks=pytest.mark.slow),
        pytest.param("lora", ("float32", "float64", "float32"), "float32", marks=pytest.mark.slow),
        pytest.param("exemplar", ("float64", "float32", "float16"), "float32", marks=pytest.mark.slow),
    ],
)
def test_each_model_may_have_a_precision_of_its_own(kind, dtypes, precision, shared_pbe, some, tmp_path):
    with SimulatedGpu() as gpu:
        rehearse(kind, shared_pbe, some, tmp_path, dtypes, precision, gpu, variations=2 * (kind == "lora"))


def test_what_is_learned_does_not_depend_on_the_vaes_precision_beyond_its_latents(some, shared_pbe, tmp_path):
    """Weights, average, moments and views kept on the disk are float32 where a VAE computes in half."""
    from safetensors.torch import load_file

    learn(
        "exemplar",
        shared_pbe,
        some,
        Context(out=tmp_path),
        1,
        ("bfloat16", "bfloat16", "bfloat16"),
        variations=2,
        sample_every=0,
        half=False,
    )
    for pattern in ("*/checkpoint.safetensors", "*/examples/*.safetensors"):
        (file,) = tmp_path.glob(pattern)
        assert {value.dtype for value in load_file(file).values()} == {torch.float32}


def test_levels_of_noise_are_not_rounded_to_half():
    """ᾱ near 1 rounds to 1 in bfloat16, and the noise is gone: the loss would not depend on it."""
    seen = []
    alphas = torch.tensor([0.99915], dtype=torch.float64)
    ones = torch.ones(1, 4, 2, 2)

    def net(joined, *_):
        seen.append(joined)
        return joined[:, :4]

    Objective(alphas, "epsilon", 0.0, 0).of(
        net,
        Batch(ones, ones, ones[:, :1], torch.ones(1, 1, 3)),
        StepDraws(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool), 0 * ones, alphas.float()),
        torch.device("cpu"),
    )
    torch.testing.assert_close(seen[0][:, :4], ones * 0.99915**0.5, rtol=1e-6, atol=0)


def test_pure_noise_has_a_finite_weight():
    """Zero terminal SNR: ᾱ of the last level is 0, and min(SNR, 5) / SNR is 0 / 0 there."""
    objective = Objective(torch.zeros(1, dtype=torch.float64), "v_prediction", 0.0, 0, snr_limit=5.0)
    ones = torch.ones(1, 4, 2, 2)
    found = objective.of(
        lambda joined, *_: 0 * joined[:, :4],
        Batch(ones, ones, ones[:, :1], torch.ones(1, 1, 3)),
        StepDraws(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool), ones, torch.zeros(1)),
        torch.device("cpu"),
    )
    assert float(found) == pytest.approx(1)  # v = −z there


def line(folder, device, steps=4):
    net = Line().to(device)
    recipe = TrainerOptions(steps=steps, batch_size=4, learning_rate=1e-2, save_every=2, ema=0.9, precision="float32")
    return Trainer(folder, "k", net, ["line.weight", "line.bias"], recipe, Workers(device))


def test_fused_adamw_goes_on_where_its_parameters_are(tmp_path):
    with SimulatedGpu() as gpu:
        line(tmp_path, "cuda:0").fit(line_loss, lambda now: None, print)
        longer = line(tmp_path, "cuda:0", 6)
        assert longer.resume()
        places = {key: value.device for state in longer.state.optimizer.state.values() for key, value in state.items()}
        assert places == dict.fromkeys(("step", "exp_avg", "exp_avg_sq"), torch.device("cuda:0"))
        longer.fit(line_loss, lambda now: None, print)
        assert not gpu.mixes
        wrong = line(tmp_path, "cuda:0", 8)
        wrong.resume()
        for state in wrong.state.optimizer.state.values():
            state["step"] = state["step"].cpu()  # as it came back
        with pytest.raises(RuntimeError, match="device"):
            wrong.fit(line_loss, lambda now: None, print)
    plain = line(tmp_path / "plain", "cpu", 6)
    plain.fit(line_loss, lambda now: None, print)
    for name, value in plain.values.items():
        assert torch.equal(value, longer.values[name].cpu())


def test_the_state_of_a_resumed_training_is_that_of_the_one_before(tmp_path):
    first = line(tmp_path, "cpu")
    first.fit(line_loss, lambda now: None, print)
    again = line(tmp_path, "cpu")
    again.resume()
    for one, two in zip(first.values.values(), again.values.values(), strict=True):
        before, after = first.state.optimizer.state[one], again.state.optimizer.state[two]
        assert before.keys() == after.keys()
        for key in before:
            assert (before[key].dtype, before[key].device) == (after[key].dtype, after[key].device)
            assert torch.equal(before[key], after[key])


class Watched(SimulatedGpu):
    """Remembers every device that a tensor was ever put on."""

    def __init__(self, count):
        super().__init__(count)
        self.used = set()

    def put(self, tensor, device):
        self.used.add(str(device))
        return super().put(tensor, device)


@pytest.mark.parametrize("named", ["auto", "cuda:0"])
def test_rank_1_of_2_leaves_the_first_gpu_alone(named, monkeypatch, shared_pbe, some, tmp_path):
    summed = []

    def all_reduce(value, *_, **__):
        summed.append(value.device)
        value.mul_(2)  # the other process' loss is the same

    with Watched(2) as gpu:
        for key, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(
            "accelerate.PartialState",
            lambda cpu: SimpleNamespace(process_index=1, num_processes=2, device=torch.device("cuda", 1)),
        )
        monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
        monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
        monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda module, **_: module)
        heard = Heard(gpu)
        device = resolve_device(named)
        assert device == ("cuda:1" if named == "auto" else "cuda:0")  # what is named is taken at its word …
        learn("lora", shared_pbe, some, Context(ModelManager((device,)), out=tmp_path, listeners=(heard,)), 3)
        assert not gpu.mixes, where(gpu.mixes)
        assert gpu.used == {"cuda:1"}  # … but a training's process keeps to its own
        assert set(summed) == {torch.device("cuda:1")}
        assert set(heard.between_steps()) == {1}


def test_a_process_ends_when_the_one_that_draws_sheets_has_seen_enough(monkeypatch, shared_pbe, some, tmp_path):
    """Else it waits for ever in the next step, for gradients of a process that has left."""
    asked = []

    def all_reduce(value, *_, **__):
        if value.dtype == torch.float64:
            value.mul_(2)  # the loss
        else:
            asked.append(float(value))
            value.add_(len(asked) == 3)  # the first process says so at its second sheet

    for key, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(
        "accelerate.PartialState",
        lambda cpu: SimpleNamespace(process_index=1, num_processes=2, device=torch.device("cpu")),
    )
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda module, **_: module)
    steps = []
    ctx = Context(
        ModelManager(("cpu",)),
        out=tmp_path,
        listeners=(
            lambda event: (
                steps.append(event.step) if isinstance(event, NodeProgress) and "loss" in event.note else None
            ),
        ),
    )
    learn("lora", shared_pbe, some, ctx, 9, sample_every=2, patience=1, precision="float32")
    assert asked == [0, 0, 0]  # at the first step, and where the other draws a sheet
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize(("cards", "rank", "own"), [(2, "1", "cuda:1"), (1, "1", "cuda:0"), (2, "3", "cuda:1")])
def test_a_process_that_sees_fewer_gpus_than_there_are_processes_has_one(monkeypatch, cards, rank, own):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", rank)
    with SimulatedGpu(cards):
        assert resolve_device("auto") == resolve_device("cuda") == own


def test_bfloat16_that_a_card_only_emulates_is_not_taken(monkeypatch):
    cuda = torch.device("cuda:0")
    for native, wanted in ((True, torch.bfloat16), (False, None)):
        with SimulatedGpu(bfloat16=native):
            assert autocast_dtype("auto", cuda) is wanted
            monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native: native)  # torch 2.4
            assert autocast_dtype("auto", cuda) is wanted
    assert autocast_dtype("auto", torch.device("cpu")) is None


def test_apples_gpus_see_no_float64(shared_pbe, some, tmp_path):
    with SimulatedGpu(kind="mps") as gpu:
        learn("lora", shared_pbe, some, Context(ModelManager(("mps",)), out=tmp_path), 3, variations=1)
        assert not gpu.mixes, where(gpu.mixes)


def test_a_vae_that_overflows_is_named_not_the_learning_rate(tiny, some, tmp_path):
    """Latents beyond what half precision holds: in float32 the same model trains."""
    from safetensors.torch import load_file, save_file

    folder = tiny.paint_by_example("loud")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    stored = load_file(file)
    stored["quant_conv.weight"] *= 1e7
    save_file(stored, file, {"format": "pt"})
    for variations in (0, 1):
        with pytest.raises(TrainingFailed) as caught:
            learn(
                "lora",
                folder,
                some,
                Context(out=tmp_path),
                3,
                ("float32", "float16", "float32"),
                sample_every=0,
                variations=variations,
            )
        assert caught.value.port == "vae"
        assert "float16" in caught.value.found
        assert "float32" in caught.value.fix


def test_what_is_made_ahead_comes_in_its_turn_and_ends_with_the_block():
    begun, lock = [], threading.Lock()

    def make(key):
        with lock:
            begun.append(key)
        time.sleep(0.002 * (key % 3))
        if key == 7:
            raise ValueError("seven")
        return SimpleNamespace(key=key)

    before = threading.active_count()
    with SimulatedGpu(), Prefetcher(lambda key: (torch.tensor(make(key).key),), torch.device("cpu")) as ahead:
        assert [int(ahead.take(key, range(key + 1, 8))[0]) for key in range(5)] == list(range(5))
        assert int(ahead.take(20, range(21, 23))[0]) == 20  # another order than was foreseen
        with pytest.raises(ValueError, match="seven"):
            ahead.take(7, ())
    assert threading.active_count() == before
    assert set(range(5)) <= set(begun)
    assert max(begun) <= 22


def test_input_made_ahead_is_pinned_for_a_gpu_and_copied_without_a_wait():
    from inlay.training.transfer import to_device

    cuda = torch.device("cuda:0")
    with (
        SimulatedGpu() as gpu,
        Prefetcher(lambda key: StepDraws(*(torch.full((2,), key) for _ in range(4))), cuda) as ahead,
    ):
        made = ahead.take(3, [4, 5, 6])
        assert all(part.is_pinned() for part in made)
        there = to_device(made, cuda)
        assert {part.device for part in there} == {cuda}
        assert not gpu.syncs
        assert len(gpu.copies) == 4


@pytest.mark.parametrize("kind", ["lora", "exemplar"])
def test_ahead_or_in_turn_the_same_is_learned_to_the_bit(kind, monkeypatch, shared_pbe, some, tmp_path):
    found = []
    for way in ("ahead", "in turn"):
        if way == "in turn":
            monkeypatch.setattr(Prefetcher, "take", lambda self, key, later: self._make(key))
        out = tmp_path / way
        learn(kind, shared_pbe, some, Context(out=out), 3, sample_every=0)
        found.append([path.read_bytes() for path in sorted(out.rglob("*.safetensors"))])
        gc.collect()
    assert found[0] == found[1]
    assert found[0]
