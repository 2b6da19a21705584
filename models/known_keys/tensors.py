"""Known keys of single checkpoint files, and of files of latents and noise."""

from .table import Table, table

CHECKPOINT: Table = table(
    ("used", "the model predicts v", "v_pred"),
    ("used", "ᾱ is shifted so that it ends at 0", "ztsnr"),
    ("used", "what the UNet predicts", "modelspec.prediction_type prediction_type"),
    ("refused", "EDM has no betas", "edm_vpred.sigma_max edm_vpred.sigma_min edm_mean edm_std"),
    ("named", "a family that contradicts the layers, which count", "modelspec.architecture"),
    ("used", "side of the pictures it was trained on", "modelspec.resolution"),
    ("used", "its own betas, if they are not Stable Diffusion's", "betas"),
    ("used", "the latents' scaling factor", "scale_factor"),
    ("named", "the average of the weights; those under model.diffusion_model. are used", "model_ema."),
    ("named", "a group of tensors that nothing uses", "control_model. embedding_manager. lora_ (any other)"),
)

TENSORS: Table = table(
    ("used", "the latent, in the diffusion model's space; another key by the setting key", "latent"),
    ("used", "noise; other keys by the settings start, steps and posterior", "z_T noises posterior_noise"),
    ("named", "another program's latents, which are not scaled", "latent_format_version_0"),
    ("named", "tensors that no setting names", "(any other)"),
)
