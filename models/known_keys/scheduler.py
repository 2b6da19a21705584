"""Known keys of `scheduler_config.json`."""

from ..scheduler_config import SolverConfig
from .table import ANYWHERE, Table, keys_of, table

SCHEDULER: Table = table(
    *ANYWHERE,
    ("neutral", "settings of other solvers; schedule.solver passes them on", keys_of(SolverConfig)),
    ("neutral", "settings of other solvers", "solver_p predictor_order corrector_order tau_func noise_sampler_seed"),
    ("used", "ᾱ of every timestep", "num_train_timesteps beta_start beta_end beta_schedule trained_betas"),
    ("used", "what the UNet predicts; unknown kinds are refused", "prediction_type"),
    (
        "used",
        "ᾱ is shifted so that it ends at 0; with epsilon, steps from pure noise are refused",
        "rescale_betas_zero_snr",
    ),
    ("used", "added to timesteps of spacing leading", "steps_offset"),
    ("named", "if schedule.ddim has another spacing; spacing 'model' uses this one", "timestep_spacing"),
    ("used", "by final_alpha 'config'; 'one', the default, is the paper's", "set_alpha_to_one"),
    ("named", "predicted latents are never clipped", "clip_sample"),
    ("named", "predicted latents are never thresholded", "thresholding"),
    (
        "neutral",
        "only with clip_sample or thresholding",
        "clip_sample_range sample_max_value dynamic_thresholding_ratio",
    ),
    ("named", "eta and variance of schedule.ddim decide the noise", "variance_type"),
    (
        "named",
        "another spacing of noise levels; schedule.solver has kinds with Karras' spacing",
        "use_karras_sigmas "
        "use_exponential_sigmas use_beta_sigmas use_lu_lambdas sigma_min sigma_max rho timestep_type shift_terminal",
    ),
    ("named", "a distilled model's own steps", "original_inference_steps timestep_scaling"),
    ("refused", "flow matching has no betas", "use_flow_sigmas use_dynamic_shifting"),
    (
        "neutral",
        "only with use_flow_sigmas",
        "flow_shift time_shift_type shift base_shift max_shift base_image_seq_len max_image_seq_len",
    ),
    unremarkable={
        "variance_type": ("fixed_small",),
        "timestep_type": ("discrete",),
        "original_inference_steps": (50,),
        "timestep_scaling": (10.0, 10),
        "rho": (7, 7.0),
    },
)
