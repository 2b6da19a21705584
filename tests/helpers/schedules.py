"""Schedules straight from a scheduler's configuration."""

from inlay.methods.sampling import ddim as ddim_module
from inlay.methods.sampling import solver as solver_module
from inlay.models.noise_levels import noise_levels


def ddim(config, **settings):
    return ddim_module.ddim(noise_levels(config), **settings)


def solver(config, **settings):
    return solver_module.solver(config, noise_levels(config), **settings)
