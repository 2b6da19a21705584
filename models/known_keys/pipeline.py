"""Known keys of `model_index.json` and of the configurations of UNet and VAE."""

from ..unet_config import UNet2DConditionConfig, UNet2DConfig
from ..vae_config import VaeConfig
from .table import ANYWHERE, BUILD, Table, keys_of, table

PIPELINE: Table = table(
    *ANYWHERE,
    ("named", "only its components are read; the steps of that pipeline are not run", "_class_name"),
    ("used", "the components of the model", "unet vae text_encoder tokenizer scheduler"),
    ("used", "by model.paint_by_example", "image_encoder feature_extractor"),
    ("named", "it does not check pictures here", "safety_checker"),
    ("neutral", "only with safety_checker", "requires_safety_checker"),
    (
        "named",
        "a part that is left out",
        "controlnet adapter text_encoder_2 tokenizer_2 text_encoder_3 tokenizer_3 movq prior watermark motion_adapter",
    ),
    ("neutral", "of SDXL, which is refused", "force_zeros_for_empty_prompt add_watermarker"),
    unremarkable={
        "_class_name": (
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
            "StableDiffusionInpaintPipelineLegacy",
            "PaintByExamplePipeline",
            "DDPMPipeline",
            "DDIMPipeline",
            "PNDMPipeline",
        )
    },
)

UNET: Table = table(
    *ANYWHERE,
    ("used", BUILD, keys_of(UNet2DConditionConfig, UNet2DConfig)),
    (
        "refused",
        "this UNet needs inputs besides a timestep and text",
        "addition_embed_type encoder_hid_dim_type encoder_hid_dim class_embed_type num_class_embeds",
    ),
    ("refused", "quantised weights are not read", "quantization_config"),
    (
        "named",
        "a consistency model's embedding of the guidance scale is not supplied: use the model it was distilled from",
        "time_cond_proj_dim",
    ),
    ("named", "boxes or other inputs of its attention are not supplied", "attention_type"),
    (
        "neutral",
        "only with addition_embed_type or class_embed_type",
        "addition_embed_type_num_heads addition_time_embed_dim projection_class_embeddings_input_dim",
    ),
    (
        "neutral",
        "state of a training's weight average",
        "decay inv_gamma min_decay optimization_step power update_after_step use_ema_warmup",
    ),
    unremarkable={"attention_type": ("default",)},
)

VAE: Table = table(
    *ANYWHERE,
    ("used", BUILD, keys_of(VaeConfig)),
    ("used", "latents are (mean − shift)·scale", "latent_channels scaling_factor shift_factor"),
    ("refused", "only one scaling factor for all channels is supported", "latents_mean latents_std"),
    ("refused", "quantised weights are not read", "quantization_config"),
    ("named", "with dtype auto the VAE stays in float32; a half precision that is set is used", "force_upcast"),
)
