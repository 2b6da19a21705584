"""A linear model, its rows and its loss: the smallest training that the trainer can run."""

import torch
from inlay.training.processes import Workers
from inlay.training.randomness import generator_of
from inlay.training.trainer import Trainer, TrainerOptions
from torch import nn


class Line(nn.Module):
    """y = Wx + b, with one parameter that is not to be trained."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 2)
        self.fixed = nn.Parameter(torch.ones(2))
        self.to(dtype)

    def forward(self, x):
        return self.line(x) * self.fixed


def rows_of(step, rows, dtype=torch.float32):
    return torch.stack([torch.randn(3, generator=generator_of("test", step, row)) for row in rows]).to(dtype)


def loss_of(module, step, rows):
    x = rows_of(step, rows, next(module.parameters()).dtype)
    return (module(x) - x[:, :2].square()).square().mean()


def make(folder, *, dtype=torch.float32, key="k", **changes):
    model = Line(dtype)
    recipe = TrainerOptions(
        **{"steps": 6, "batch_size": 4, "learning_rate": 1e-2, "save_every": 2, "ema": 0.9, **changes}
    )
    return model, Trainer(folder, key, model, ["line.weight", "line.bias"], recipe, Workers("cpu"))


def fit(trainer, on_step=lambda now: None, loss=loss_of):
    warnings = []
    trainer.fit(loss, on_step, warnings.append)
    return warnings


def line_loss(module, step, rows):
    """`loss_of` on the module's device, with rows in float32 whatever its precision."""
    x = rows_of(step, rows).to(module.fixed.device)
    return (module(x) - x[:, :2].square()).square().mean()
