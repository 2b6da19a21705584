import pytest
import torch
from inlay.dollhouse._loop import Plan, fit, step_generator
from inlay.dollhouse._workers import in_workers
from torch import nn

CPU = torch.device("cpu")


def _two_workers(folder):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss_of(module, step, generator):
        return module(torch.randn(4, 3, generator=generator)).square().mean()

    fit(Plan("line", 3, 0.1, warmup=1), folder, model, loss_of, device=CPU)


def _one_worker(folder):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss_of(module, step, generator):
        both = [torch.randn(4, 3, generator=step_generator("line", 2 * step + rank)) for rank in range(2)]
        return module(torch.cat(both)).square().mean()

    fit(Plan("line", 3, 0.1, warmup=1), folder, model, loss_of, device=CPU)


@pytest.mark.slow
def test_two_workers_learn_what_one_learns_from_both_batches(tmp_path):
    in_workers(2, _two_workers, tmp_path / "two")
    in_workers(1, _one_worker, tmp_path / "one")
    two, one = (torch.load(tmp_path / name / "line" / "checkpoint.pt", weights_only=True) for name in ("two", "one"))
    assert two["step"] == one["step"] == 3
    for name, value in one["average"].items():
        torch.testing.assert_close(two["average"][name], value, rtol=1e-5, atol=1e-6)
