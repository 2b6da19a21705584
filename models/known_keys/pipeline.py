"""Known keys of `model_index.json` and of the configurations of UNet and VAE."""

from .table import ANYWHERE, BUILD, Table, table

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
    (
        "used",
        BUILD,
        "sample_size in_channels out_channels center_input_sample flip_sin_to_cos freq_shift "
        "down_block_types mid_block_type up_block_types only_cross_attention block_out_channels layers_per_block "
        "downsample_padding mid_block_scale_factor dropout act_fn norm_num_groups norm_eps cross_attention_dim "
        "transformer_layers_per_block reverse_transformer_layers_per_block attention_head_dim num_attention_heads "
        "dual_cross_attention use_linear_projection upcast_attention resnet_time_scale_shift resnet_skip_time_act "
        "resnet_out_scale_factor time_embedding_type time_embedding_dim time_embedding_act_fn timestep_post_act "
        "conv_in_kernel conv_out_kernel class_embeddings_concat mid_block_only_cross_attention cross_attention_norm "
        "downsample_type upsample_type attn_norm_num_groups add_attention num_train_timesteps",
    ),
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
    (
        "used",
        BUILD,
        "in_channels out_channels down_block_types up_block_types block_out_channels layers_per_block "
        "act_fn norm_num_groups sample_size use_quant_conv use_post_quant_conv mid_block_add_attention",
    ),
    ("used", "latents are (mean − shift)·scale", "latent_channels scaling_factor shift_factor"),
    ("refused", "only one scaling factor for all channels is supported", "latents_mean latents_std"),
    ("refused", "quantised weights are not read", "quantization_config"),
    ("named", "with dtype auto the VAE stays in float32; a half precision that is set is used", "force_upcast"),
)
