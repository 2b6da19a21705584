"""Schedules straight from a scheduler's configuration."""

from inlay.nodes import _schedule, _solver
from inlay.nodes._noise_levels import noise_levels


def ddim(config, **settings):
    return _schedule.ddim(noise_levels(config), **settings)


def solver(config, **settings):
    return _solver.solver(config, noise_levels(config), **settings)
