"""`scheduler_config.json`: the keys that decide noise levels and solvers, their types and bounds."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from .config import Arguments, Config, ConfigFile, Switch, read_config

MAX_TIMESTEPS = 100_000  # models are usually trained on 1000
WHERE, PORT = "scheduler_config.json", "scheduler"
_Beta = Annotated[StrictFloat, Field(ge=0, le=1)]
_Sigma = Annotated[StrictFloat, Field(ge=0, le=1e4)]
_Name = Annotated[StrictStr, Field(max_length=64)]


class SchedulerConfig(ConfigFile):
    """The keys that decide the noise levels."""

    num_train_timesteps: Annotated[StrictInt, Field(ge=1, le=MAX_TIMESTEPS)] = 1000
    beta_start: _Beta = 0.0001
    beta_end: _Beta = 0.02
    beta_schedule: _Name = "linear"
    trained_betas: Annotated[tuple[_Beta, ...], Field(min_length=1, max_length=MAX_TIMESTEPS)] | None = None
    prediction_type: _Name = "epsilon"
    rescale_betas_zero_snr: StrictBool | None = None
    set_alpha_to_one: StrictBool | None = None
    steps_offset: Annotated[StrictInt, Field(ge=0, le=MAX_TIMESTEPS)] = 0


class SolverConfig(ConfigFile):
    """The keys that the solvers of diffusers know besides; what the file does not say is the library's to choose."""

    timestep_spacing: Literal["leading", "linspace", "trailing"] | None = None
    skip_prk_steps: Switch = None
    clip_sample: Switch = None
    clip_sample_range: _Sigma | None = None
    thresholding: Switch = None
    sample_max_value: _Sigma | None = None
    dynamic_thresholding_ratio: Annotated[StrictFloat, Field(ge=0, le=1)] | None = None
    solver_order: Annotated[StrictInt, Field(ge=1, le=5)] | None = None
    algorithm_type: Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"] | None = None
    solver_type: Literal["midpoint", "heun", "logrho", "bh1", "bh2"] | None = None
    lower_order_final: Switch = None
    euler_at_final: Switch = None
    final_sigmas_type: Literal["zero", "sigma_min"] | None = None
    lambda_min_clipped: Annotated[float, Field(strict=True, le=1e4, allow_inf_nan=True)] | None = None  # −∞ is usual
    variance_type: _Name | None = None
    interpolation_type: Literal["linear", "log_linear"] | None = None
    timestep_type: Literal["discrete", "continuous"] | None = None
    sigma_min: _Sigma | None = None
    sigma_max: _Sigma | None = None
    use_karras_sigmas: Switch = None
    use_exponential_sigmas: Switch = None
    use_beta_sigmas: Switch = None
    use_lu_lambdas: Switch = None
    predict_x0: Switch = None
    disable_corrector: Annotated[tuple[StrictInt, ...], Field(max_length=10_000)] | None = None
    shift_terminal: StrictBool | Annotated[StrictFloat, Field(ge=0, le=1)] | None = None


def solver_arguments(config: Config) -> Arguments:
    """What a solver of diffusers is made from: the keys that it may know, checked; every other key is left out.

    Raises:
        ModelError: a value is of another type or out of bounds.
    """
    kinds: tuple[type[ConfigFile], ...] = (SchedulerConfig, SolverConfig)
    return {key: value for kind in kinds for key, value in read_config(kind, config, WHERE, PORT).arguments().items()}
