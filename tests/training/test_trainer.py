"""The training loop against a hand-written one, and against being stopped, starved and lied to."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from inlay.graph_runtime import BadInput, ModelError
from inlay.training.checkpoint import CHECKPOINT
from inlay.training.errors import TrainingFailed
from inlay.training.learning_rate import learning_rate
from inlay.training.moving_average import update_average
from inlay.training.processes import Workers
from inlay.training.randomness import generator_of
from inlay.training.trainer import Trainer, TrainerOptions
from safetensors.torch import save
from torch import nn
from trainer_toys import Line, fit, loss_of, make, rows_of

HELPERS = str(Path(__file__).parents[1] / "helpers")


def test_four_steps_of_adamw_with_clipping_and_averaging_against_a_hand_written_loop(tmp_path):
    model, trainer = make(tmp_path, dtype=torch.float64, steps=4, weight_decay=0.1, max_norm=0.5)
    fit(trainer)
    plain = Line(torch.float64)
    values = {"line.weight": plain.line.weight, "line.bias": plain.line.bias}
    first = {n: torch.zeros_like(v) for n, v in values.items()}
    second = {n: torch.zeros_like(v) for n, v in values.items()}
    average = {n: v.detach().clone() for n, v in values.items()}
    for step in range(4):
        loss = loss_of(plain, step, range(4))
        grads = dict(zip(values, torch.autograd.grad(loss, values.values()), strict=True))
        norm = math.sqrt(sum(float(g.square().sum()) for g in grads.values()))
        for name, value in values.items():
            g = grads[name] * min(1.0, 0.5 / (norm + 1e-6))
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g * g
            with torch.no_grad():
                value *= 1 - 1e-2 * 0.1
                value -= (
                    1e-2
                    * (first[name] / (1 - 0.9 ** (step + 1)))
                    / ((second[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
                )
                keep = min(0.9, (1 + step) / (10 + step))
                average[name] = keep * average[name] + (1 - keep) * value
    for name, value in values.items():
        torch.testing.assert_close(dict(model.named_parameters())[name], value, rtol=0, atol=1e-12)
        torch.testing.assert_close(trainer.result()[name], average[name], rtol=0, atol=1e-12)
    assert torch.equal(model.fixed, torch.ones(2))
    assert not model.fixed.requires_grad


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    whole, first = make(tmp_path / "a", dtype=torch.float64, batch_size=6)
    split, second = make(tmp_path / "b", dtype=torch.float64, batch_size=6, micro_batch=4)  # 4 + 2: uneven parts
    fit(first)
    fit(second)
    torch.testing.assert_close(split.line.weight, whole.line.weight, rtol=0, atol=1e-12)


def test_the_rate_rises_stays_and_falls():
    def rate(step):
        return learning_rate(1.0, step, steps=100, warmup=10, decay=0.5)

    assert [rate(step) for step in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1, 1])
    assert rate(75) == pytest.approx(0.5)
    assert rate(99) == pytest.approx(0.5 + 0.5 * math.cos(math.pi * 49 / 50))
    assert learning_rate(1.0, 99, steps=100) == 1.0


def rates_of_diffusers(name, steps, **options):
    """The factors of a schedule of diffusers at each step."""
    from diffusers.optimization import get_scheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(name, optimizer, **options)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def test_the_rate_rises_and_falls_as_diffusers_schedules_do():
    """Its warm-up begins with a step at a rate of zero, which is left out here; none has a plateau before a cosine."""
    warm = rates_of_diffusers("constant_with_warmup", 15, num_warmup_steps=10)
    assert [learning_rate(1.0, step, steps=99, warmup=10) for step in range(14)] == pytest.approx(warm[1:])
    cosine = rates_of_diffusers("cosine", 40, num_warmup_steps=0, num_training_steps=40)
    assert [learning_rate(1.0, 60 + step, steps=100, decay=0.4) for step in range(40)] == pytest.approx(cosine)


def test_the_average_moves_as_that_of_diffusers():
    """From the second step on; after the first, theirs is the weights themselves."""
    from diffusers.training_utils import EMAModel

    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    average = {"weight": weight.detach().clone()}
    theirs = EMAModel([weight], decay=0.3)
    theirs.optimization_step = 1
    for step in range(1, 8):
        with torch.no_grad():
            weight.add_(torch.randn(3, generator=generator_of(step), dtype=torch.float64))
        update_average(average, {"weight": weight.detach()}, 0.3, step)
        theirs.step([weight])
        assert theirs.cur_decay_value == min(0.3, (1 + step) / (10 + step))
        torch.testing.assert_close(average["weight"], theirs.shadow_params[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, stop):
    whole, trainer = make(tmp_path / "a")
    fit(trainer)

    class Stop(Exception):
        pass

    def on_step(now):
        if now.step == stop:
            raise Stop

    _, interrupted = make(tmp_path / "b")
    with pytest.raises(Stop):
        fit(interrupted, on_step)
    resumed, again = make(tmp_path / "b")
    assert again.resume()
    assert again.step == stop  # what was learned since the last checkpoint was kept too
    fit(again)
    assert torch.equal(resumed.line.weight, whole.line.weight)
    assert all(torch.equal(again.result()[name], value) for name, value in trainer.result().items())
    assert (tmp_path / "a" / CHECKPOINT).read_bytes() == (tmp_path / "b" / CHECKPOINT).read_bytes()


def test_resuming_keeps_the_memory_layout_that_the_fused_optimizer_relies_on(tmp_path):
    """Channels-last weights with contiguous moments would be paired wrongly, and silently."""

    def conv(folder):
        torch.manual_seed(1)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        recipe = TrainerOptions(steps=4, batch_size=2, learning_rate=1e-2, save_every=2)
        return model, Trainer(folder, "k", model, ["weight", "bias"], recipe, Workers("cpu"))

    def loss(module, step, rows):
        x = torch.stack([torch.randn(3, 6, 6, generator=generator_of(step, row)) for row in rows])
        return module(x.to(memory_format=torch.channels_last)).square().mean()

    whole, trainer = conv(tmp_path / "a")
    fit(trainer, loss=loss)

    def stop(now):
        if now.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(conv(tmp_path / "b")[1], stop, loss)
    resumed, again = conv(tmp_path / "b")
    assert again.resume()
    fit(again, loss=loss)
    assert torch.equal(resumed.weight, whole.weight)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {HELPERS!r})
        from trainer_toys import fit, make
        folder = Path(sys.argv[1])
        _, trainer = make(folder, steps=40)
        trainer.resume()
        def slow(now):
            (folder / "begun").touch()
            time.sleep(float(sys.argv[2]))
        fit(trainer, slow)
    """)
    )

    def start(folder, pause):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen([sys.executable, str(script), str(folder), str(pause)])

    assert start(tmp_path / "whole", 0).wait(60) == 0
    victim = start(tmp_path / "cut", 0.05)
    deadline = time.monotonic() + 60
    while not (tmp_path / "cut" / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(10) == -signal.SIGKILL
    assert start(tmp_path / "cut", 0).wait(60) == 0
    assert (tmp_path / "cut" / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()


def edited(path, change):
    """A checkpoint with other contents under the same key."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        about = json.loads(file.metadata()["inlay"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, about)
    path.write_bytes(save(tensors, {"inlay": json.dumps(about)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, about: about.update(step=-3),
        lambda tensors, about: about.update(step=math.inf),
        lambda tensors, about: about.update(mean=math.nan),
        lambda tensors, about: about.pop("updates"),
        lambda tensors, about: tensors.update({n: v * math.nan for n, v in tensors.items()}),
        lambda tensors, about: tensors.update({n: v.flatten()[:1].clone() for n, v in tensors.items()}),
        lambda tensors, about: tensors.pop(min(tensors)),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused_and_says_how_to_begin_anew(tmp_path, change):
    _, trainer = make(tmp_path)
    fit(trainer)
    edited(tmp_path / CHECKPOINT, change)
    with pytest.raises(ModelError) as caught:
        make(tmp_path)[1].resume()
    assert caught.value.port == "resume"
    assert "false" in caught.value.fix


@pytest.mark.parametrize("kind", ["empty", "cut", "folder"])
def test_a_checkpoint_that_is_no_file_of_ours_is_refused_before_training(tmp_path, kind):
    _, trainer = make(tmp_path)
    fit(trainer)
    path, whole = tmp_path / CHECKPOINT, (tmp_path / CHECKPOINT).read_bytes()
    path.unlink()
    path.mkdir() if kind == "folder" else path.write_bytes(whole[:100] if kind == "cut" else b"")
    with pytest.raises(ModelError) as caught:
        make(tmp_path)[1].resume()
    assert caught.value.port == "resume"


def test_more_steps_go_on_from_a_finished_training(tmp_path):
    _, trainer = make(tmp_path / "a", steps=4)
    fit(trainer)
    longer, more = make(tmp_path / "a", steps=6)
    assert more.resume()
    fit(more)
    whole, once = make(tmp_path / "b", steps=6)
    fit(once)
    assert torch.equal(longer.line.weight, whole.line.weight)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused_and_the_last_good_state_stays(tmp_path, bad):
    _, trainer = make(tmp_path)
    before = {}

    def loss(module, step, rows):
        if step == 3:
            before.update({name: value.detach().clone() for name, value in module.named_parameters()})
        return loss_of(module, step, rows) * (bad if step == 3 else 1)

    with pytest.raises(TrainingFailed) as caught:
        fit(trainer, loss=loss)
    problem = caught.value.at("train")
    assert "step 4" in problem.found
    assert "lower learning_rate" in problem.fix
    assert "step 2 is intact" in problem.fix
    again, resumed = make(tmp_path)
    assert resumed.resume()
    assert resumed.step == 2
    assert all(torch.isfinite(value).all() for value in again.parameters())
    assert all(torch.equal(value, trainer.values[name]) for name, value in before.items() if name in trainer.values)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    _, trainer = make(tmp_path)
    fit(trainer, lambda now: None)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*args, **kwargs):
        (tmp_path / os.listdir(tmp_path)[0]).exists()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    import safetensors.torch

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    _, more = make(tmp_path, steps=12)
    more.resume()
    with pytest.raises(TrainingFailed) as caught:
        fit(more)
    assert "No space left" in caught.value.at("train").found
    assert "continues from the previous checkpoint" in caught.value.at("train").fix
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_disk_that_really_is_too_small(tmp_path):
    """The limit on a file's size stands in for a full disk: the write itself fails, half done."""
    script = textwrap.dedent(f"""
        import resource, signal, sys, torch
        from pathlib import Path
        from inlay.training.checkpoint import write_tensors
        from inlay.training.errors import TrainingFailed
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = Path({str(tmp_path / "values.safetensors")!r})
        write_tensors({{"a": torch.zeros(10)}}, path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_tensors({{"a": torch.zeros(1_000_000)}}, path)
        except TrainingFailed as error:
            print(error.at("x").found)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "could not be written" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["values.safetensors"]
    assert (tmp_path / "values.safetensors").stat().st_size < 1000


def test_a_batch_that_does_not_fit_is_split_and_said(tmp_path):
    _, trainer = make(tmp_path / "a", dtype=torch.float64, batch_size=8)

    def hungry(module, step, rows):
        if len(rows) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return loss_of(module, step, rows)

    assert fit(trainer, loss=hungry) == [
        "the batch does not fit into memory: from now on 4 examples at a time",
        "the batch does not fit into memory: from now on 2 examples at a time",
    ]
    whole, plain = make(tmp_path / "b", dtype=torch.float64, batch_size=8)
    fit(plain)
    torch.testing.assert_close(trainer.module.line.weight, whole.line.weight, rtol=0, atol=1e-12)


def test_one_picture_that_does_not_fit_is_the_end(tmp_path):
    def starving(module, step, rows):
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(TrainingFailed) as caught:
        fit(make(tmp_path)[1], loss=starving)
    assert "one example alone" in caught.value.at("x").found
    assert "checkpointing" in caught.value.at("x").fix


def test_another_trainings_checkpoint_is_refused(tmp_path):
    fit(make(tmp_path)[1])
    with pytest.raises(ModelError) as caught:
        make(tmp_path, key="another")[1].resume()
    assert "another training" in caught.value.at("x").found


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 10])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    (tmp_path / CHECKPOINT).write_bytes(damage)
    with pytest.raises(ModelError, match=CHECKPOINT):
        make(tmp_path)[1].resume()


def test_a_checkpoint_is_safetensors_with_its_facts(tmp_path):
    from safetensors import safe_open

    fit(make(tmp_path)[1])
    with safe_open(str(tmp_path / CHECKPOINT), framework="pt") as file:
        assert json.loads(file.metadata()["inlay"])["step"] == 6
        assert "fixed" not in " ".join(file.keys())


def test_autocast_computes_in_bfloat16_and_learns_in_float32(tmp_path):
    seen = []

    def loss(module, step, rows):
        output = module.line(rows_of(step, rows))
        seen.append(output.dtype)
        return output.float().square().mean()

    model, trainer = make(tmp_path, precision="bfloat16")
    fit(trainer, loss=loss)
    assert set(seen) == {torch.bfloat16}
    assert model.line.weight.dtype == torch.float32


def test_no_average_gives_the_last_weights(tmp_path):
    model, trainer = make(tmp_path, ema=0.0)
    fit(trainer)
    assert torch.equal(trainer.result()["line.weight"], model.line.weight)


def test_a_batch_must_divide_among_the_processes(tmp_path):
    workers = Workers("cpu")
    workers.count = 3
    with pytest.raises(BadInput, match="batch_size"):
        Trainer(
            tmp_path, "k", Line(), ["line.weight"], TrainerOptions(steps=1, batch_size=4, learning_rate=1.0), workers
        )


def test_places_give_the_same_numbers_everywhere():
    assert torch.equal(
        torch.rand(3, generator=generator_of(1, "step", 2, 3)), torch.rand(3, generator=generator_of(1, "step", 2, 3))
    )
    assert not torch.equal(
        torch.rand(3, generator=generator_of(1, "step", 2, 3)), torch.rand(3, generator=generator_of(1, "step", 3, 2))
    )


def test_the_log_holds_json(tmp_path):
    from inlay.training.training_folder import append_line

    append_line(tmp_path / "log.jsonl", {"step": 1})
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1}
    append_line(tmp_path / "nowhere" / "log.jsonl", {"step": 1})
