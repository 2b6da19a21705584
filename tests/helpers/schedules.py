"""Schedules straight from a scheduler's configuration."""

from inlay.methods.sampling.ddim import ddim_schedule
from inlay.methods.sampling.solver import solver_schedule
from inlay.models.noise_levels import noise_levels


def ddim(config, **settings):
    return ddim_schedule(noise_levels(config), **settings)


def solver(config, **settings):
    return solver_schedule(config, noise_levels(config), **settings)
