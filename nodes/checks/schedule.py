"""Warnings of what a scheduler's configuration asks for and a schedule does differently, once for each schedule node.

schedule.ddim takes the betas, the offset and the prediction type, and has settings of its own for the rest;
schedule.solver hands everything on to diffusers, whose solvers know some of it.
"""

from collections.abc import Mapping
from typing import get_args

from ...graph_runtime.core.errors import clean, shorten
from ...methods.sampling.ddim import Spacing
from ...models.config import Config, refused
from ...models.known_keys.scheduler import SCHEDULER
from ...models.known_keys.table import list_unused, warn_unused
from ...models.noise_levels import estimated_alphas_cumprod

#: The spacing of a class of diffusers whose configuration does not say one; leading for the others.
LINSPACE = ("DPMSolver", "UniPC", "Euler", "Heun", "DEIS", "LMS", "KDPM2", "SASolver")
#: What decides a solver's result, where a solver does not know it.
DECISIVE = (
    "timestep_spacing",
    "rescale_betas_zero_snr",
    "clip_sample",
    "thresholding",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "steps_offset",
    "prediction_type",
    "trained_betas",
    "sigma_min",
    "sigma_max",
    "rho",
)
DISTILLED = ("LCM", "TCD")


def own_spacing(config: Config) -> Spacing:
    """The spacing that a configuration says, or that diffusers takes for its class.

    Raises:
        ModelError: it is none of the three.
    """
    kind = str(config.get("_class_name", "DDIMScheduler"))
    usual: Spacing = "linspace" if kind.startswith(LINSPACE) else "leading"
    named = config.get("timestep_spacing") or usual
    known: tuple[Spacing, ...] = get_args(Spacing)
    for spacing in known:
        if named == spacing:
            return spacing
    raise refused("timestep_spacing", named, ", ".join(known), "scheduler_config.json", "scheduler")


def name_beside_ddim(config: Config, where: str, spacing: Spacing, first: int) -> None:
    """Warn of what the configuration asks for and schedule.ddim does differently.

    Args:
        config: the scheduler's.
        where: what it belongs to, for the message.
        spacing: the one that is used.
        first: the timestep that a run begins at.
    """
    warn_unused(
        where,
        [
            *_spacing(config, spacing),
            *_pure_noise(config, first),
            *_distilled(config),
            *list_unused(SCHEDULER, config, handled=("timestep_spacing",)),
        ],
    )


def _spacing(config: Config, spacing: Spacing) -> list[str]:
    own = config.get("timestep_spacing")
    if own in (None, spacing):
        return []
    return [
        f"timestep_spacing = {clean(shorten(own, 40))}: this schedule's spacing is {spacing!r}, so other "
        "timesteps are used than the model was published with (set spacing to 'model' for its own)"
    ]


def _pure_noise(config: Config, first: int) -> list[str]:
    """A model of zero terminal SNR that does not begin there gives flat, grey pictures (Lin et al. 2023, §3.3)."""
    table = estimated_alphas_cumprod(config)
    if table[-1] > 0:
        return []
    last = len(table) - 1
    why = "rescale_betas_zero_snr" if config.get("rescale_betas_zero_snr") else "betas that end in pure noise"
    notes = (
        []
        if first == last
        else [
            f"{why}: the model was trained from pure noise, timestep {last}, and this schedule begins at "
            f"{first}, so brightness and contrast will be wrong (set spacing to 'trailing')"
        ]
    )
    if config.get("prediction_type", "epsilon") == "epsilon":
        notes.append(
            f"prediction_type = epsilon beside {why}: at pure noise epsilon says nothing of "
            "the picture (such models predict v_prediction: correct prediction_type)"
        )
    return notes


def _distilled(config: Config) -> list[str]:
    kind = str(config.get("_class_name", ""))
    return [f"_class_name = {kind} (a distilled model's own steps)"] if kind.startswith(DISTILLED) else []


def name_beside_solver(config: Config, where: str, kind: str, made: Mapping[str, object]) -> None:
    """Warn of what the configuration asks for and the solver made of it does not know, or does differently."""
    found = [*_distilled(config), *_pure_noise(config, -1)[1:]]
    for key, value in config.items():
        entry = SCHEDULER.get(key)
        silent = value in (None, False, 0, "") or (entry is not None and value in entry.unremarkable)
        if silent or (entry is not None and key not in DECISIVE) or made.get(key) == value:
            continue
        why = (
            "not known here"
            if entry is None
            else (f"{kind} does not know it" if key not in made else f"{kind} has {shorten(made[key], 20)}")
        )
        found.append(f"{clean(str(key))[:60]} = {clean(shorten(value, 40))} ({why})")
    warn_unused(where, found)
