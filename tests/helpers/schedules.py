"""Schedules straight from a scheduler's configuration."""

from inlay.models.noise_levels import noise_levels
from inlay.nodes import _schedule, _solver


def ddim(config, **settings):
    return _schedule.ddim(noise_levels(config), **settings)


def solver(config, **settings):
    return _solver.solver(config, noise_levels(config), **settings)
