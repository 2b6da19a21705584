"""Schedules straight from a scheduler's configuration."""

from inlay.methods.sampling.ddim import ddim_schedule
from inlay.methods.sampling.solver import solver_schedule
from inlay.models.noise_levels import noise_levels


def ddim_from_config(config, **settings):
    return ddim_schedule(noise_levels(config), **settings)


def solver_from_config(config, **settings):
    return solver_schedule(config, noise_levels(config), **settings)
