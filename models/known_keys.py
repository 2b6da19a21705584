"""The one list of what model files say of themselves and that decides a result: used, named as unused, or refused.

`docs/files.md` is this list. A key that is not in it, with a value that says something, is named too: a file may know
more than we do. Free text (training comments, titles) decides nothing and is not looked at.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ..graph_runtime.core.errors import clean, shorten
from ..graph_runtime.core.notices import notice

Use = Literal["used", "named", "refused", "neutral"]
NOTHING: tuple[Any, ...] = (None, False, "", [], {}, ())  # values that say nothing


class Heard(NamedTuple):
    """What becomes of one key.

    Attributes:
        use: used; named in a warning where it says something; refused while checking; neutral: it decides no result.
        what: what is done with it, or what its being left out means.
        silent: values, besides empty ones, with which it says nothing new.
    """

    use: Use
    what: str
    silent: tuple[Any, ...] = ()


Table = Mapping[str, Heard]


def _table(*groups: tuple[Use, str, str]) -> dict[str, Heard]:
    """(use, what, "key key …") → the table."""
    return {key: Heard(use, what) for use, what, keys in groups for key in keys.split()}


_ANY = _table(("neutral", "who wrote the file, and how", "_class_name _diffusers_version _name_or_path _commit_hash "
               "_use_default_values transformers_version architectures model_type torch_dtype dtype peft_version"))

SCHEDULER: Table = MappingProxyType({**_ANY, **_table(
    ("used", "ᾱ of every timestep", "num_train_timesteps beta_start beta_end beta_schedule trained_betas"),
    ("used", "what the UNet predicts; unknown kinds are refused", "prediction_type"),
    ("used", "ᾱ is shifted so that it ends at 0; with epsilon, steps from pure noise are refused",
     "rescale_betas_zero_snr"),
    ("used", "added to timesteps of spacing leading", "steps_offset"),
    ("named", "where schedule.ddim's spacing is another; spacing 'model' takes this one", "timestep_spacing"),
    ("used", "by final_alpha 'config'; 'one', the default, is the paper's", "set_alpha_to_one"),
    ("named", "predicted latents are never clipped", "clip_sample"),
    ("named", "predicted latents are never thresholded", "thresholding"),
    ("neutral", "only with clip_sample or thresholding",
     "clip_sample_range sample_max_value dynamic_thresholding_ratio"),
    ("named", "eta and variance of schedule.ddim decide the noise", "variance_type"),
    ("named", "another spacing of noise levels; schedule.solver has kinds with Karras' spacing", "use_karras_sigmas "
     "use_exponential_sigmas use_beta_sigmas use_lu_lambdas sigma_min sigma_max rho timestep_type shift_terminal"),
    ("named", "a distilled model's own steps", "original_inference_steps timestep_scaling"),
    ("refused", "flow matching has no betas", "use_flow_sigmas use_dynamic_shifting"),
    ("neutral", "only with use_flow_sigmas", "flow_shift time_shift_type shift base_shift max_shift "
     "base_image_seq_len max_image_seq_len"),
    ("neutral", "settings of other solvers; schedule.solver passes them on", "skip_prk_steps "
     "solver_order algorithm_type solver_type lower_order_final euler_at_final final_sigmas_type lambda_min_clipped "
     "predict_x0 disable_corrector solver_p interpolation_type predictor_order corrector_order tau_func "
     "noise_sampler_seed"),
    )})
_SILENT = {"variance_type": ("fixed_small",), "timestep_type": ("discrete",), "original_inference_steps": (50,),
           "timestep_scaling": (10.0, 10), "rho": (7, 7.0)}
SCHEDULER = MappingProxyType({key: entry._replace(silent=_SILENT.get(key, ())) for key, entry in SCHEDULER.items()})

_BUILD = "the module is built from it"
UNET: Table = MappingProxyType({**_ANY, **_table(
    ("used", _BUILD, "sample_size in_channels out_channels center_input_sample flip_sin_to_cos freq_shift "
     "down_block_types mid_block_type up_block_types only_cross_attention block_out_channels layers_per_block "
     "downsample_padding mid_block_scale_factor dropout act_fn norm_num_groups norm_eps cross_attention_dim "
     "transformer_layers_per_block reverse_transformer_layers_per_block attention_head_dim num_attention_heads "
     "dual_cross_attention use_linear_projection upcast_attention resnet_time_scale_shift resnet_skip_time_act "
     "resnet_out_scale_factor time_embedding_type time_embedding_dim time_embedding_act_fn timestep_post_act "
     "conv_in_kernel conv_out_kernel class_embeddings_concat mid_block_only_cross_attention cross_attention_norm "
     "downsample_type upsample_type attn_norm_num_groups add_attention num_train_timesteps"),
    ("refused", "this UNet needs inputs besides a timestep and text", "addition_embed_type encoder_hid_dim_type "
     "encoder_hid_dim class_embed_type num_class_embeds"),
    ("refused", "quantised weights are not read", "quantization_config"),
    ("named", "a consistency model's embedding of the guidance scale is not supplied: use the model it was distilled "
     "from", "time_cond_proj_dim"),
    ("named", "boxes or other inputs of its attention are not supplied", "attention_type"),
    ("neutral", "only with addition_embed_type or class_embed_type", "addition_embed_type_num_heads "
     "addition_time_embed_dim projection_class_embeddings_input_dim"),
    ("neutral", "state of a training's weight average", "decay inv_gamma min_decay optimization_step power "
     "update_after_step use_ema_warmup"))})
UNET = MappingProxyType({**UNET, "attention_type": UNET["attention_type"]._replace(silent=("default",))})

VAE: Table = MappingProxyType({**_ANY, **_table(
    ("used", _BUILD, "in_channels out_channels down_block_types up_block_types block_out_channels layers_per_block "
     "act_fn norm_num_groups sample_size use_quant_conv use_post_quant_conv mid_block_add_attention"),
    ("used", "latents are (mean − shift)·scale", "latent_channels scaling_factor shift_factor"),
    ("refused", "only one scaling factor for all channels is supported", "latents_mean latents_std"),
    ("refused", "quantised weights are not read", "quantization_config"),
    ("named", "with dtype auto the VAE stays in float32; a half precision that is set is used", "force_upcast"))})

_TRANSFORMERS = ("chunk_size_feed_forward id2label label2id is_encoder_decoder output_attentions output_hidden_states "
                 "problem_type return_dict return_dict_in_generate output_scores use_cache torchscript use_bfloat16 "
                 "tf_legacy_loss pruned_heads tie_word_embeddings tie_encoder_decoder cross_attention_hidden_size "
                 "add_cross_attention is_decoder finetuning_task task_specific_params tokenizer_class prefix "
                 "sep_token_id decoder_start_token_id max_length min_length do_sample early_stopping num_beams "
                 "num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty "
                 "length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences "
                 "forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty "
                 "suppress_tokens begin_suppress_tokens attn_implementation _attn_implementation_autoset")
TEXT: Table = MappingProxyType({**_ANY, **_table(
    ("used", _BUILD, "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
     "max_position_embeddings hidden_act layer_norm_eps"),
    ("refused", "quantised weights are not read", "quantization_config"),
    ("neutral", "only the pooled output, which Stable Diffusion does not read, or training",
     "projection_dim bos_token_id eos_token_id pad_token_id attention_dropout dropout initializer_factor "
     "initializer_range gradient_checkpointing"),
    ("neutral", "transformers' own, for other models", _TRANSFORMERS))})

TOKENIZER: Table = MappingProxyType({**_ANY, **_table(
    ("used", "by CLIP's tokenizer", "model_max_length bos_token eos_token unk_token pad_token added_tokens_decoder "
     "additional_special_tokens extra_special_tokens"),
    ("named", "CLIP's tokenizer is used", "tokenizer_class"),
    ("named", "CLIP's tokenizer always lowercases words and adds no space before them", "do_lower_case "
     "add_prefix_space"),
    ("neutral", "decoding, and where files were", "errors clean_up_tokenization_spaces name_or_path "
     "special_tokens_map_file tokenizer_file vocab_file merges_file processor_class backend is_local use_fast legacy "
     "padding_side truncation_side split_special_tokens _from_auto auto_map chat_template"))})
TOKENIZER = MappingProxyType({**TOKENIZER, "do_lower_case": TOKENIZER["do_lower_case"]._replace(silent=(True,)),
                              "tokenizer_class": TOKENIZER["tokenizer_class"]._replace(
                                  silent=("CLIPTokenizer", "CLIPTokenizerFast", "TokenizersBackend"))})

DETECTOR: Table = MappingProxyType({**_ANY, **_table(
    ("used", _BUILD, "d_model encoder_layers encoder_ffn_dim encoder_attention_heads decoder_layers decoder_ffn_dim "
     "decoder_attention_heads num_queries activation_function position_embedding_type backbone_config backbone "
     "use_timm_backbone num_hidden_layers hidden_size num_attention_heads max_position_embeddings"),
    ("used", "what it can find", "id2label num_labels label2id"),
    ("refused", "the backbone would have other strides", "dilation"),
    ("named", "pictures have three channels", "num_channels"),
    ("named", "settings of a timm backbone", "backbone_kwargs"),
    ("neutral", "training", "auxiliary_loss init_std init_xavier_std dropout attention_dropout activation_dropout "
     "encoder_layerdrop decoder_layerdrop class_cost bbox_cost giou_cost mask_loss_coefficient dice_loss_coefficient "
     "bbox_loss_coefficient giou_loss_coefficient eos_coefficient classifier_dropout scale_embedding "
     "use_pretrained_backbone initializer_range initializer_factor"),
    ("neutral", "transformers' own, for other models", _TRANSFORMERS))})
DETECTOR = MappingProxyType({**DETECTOR, "num_channels": DETECTOR["num_channels"]._replace(silent=(3,))})
BACKBONE: Table = MappingProxyType({**_ANY, **_table(
    ("used", _BUILD, "embedding_size hidden_sizes depths layer_type out_features out_indices stage_names "
     "downsample_in_first_stage downsample_in_bottleneck backbone output_stride"),
    ("named", "pictures have three channels", "num_channels"),
    ("named", "a ResNet's is relu", "hidden_act"),
    ("neutral", "how transformers loads a backbone of timm", "features_only freeze_batch_norm_2d "
     "use_pretrained_backbone use_timm_backbone"),
    ("neutral", "transformers' own, for other models", _TRANSFORMERS))})
BACKBONE = MappingProxyType({**BACKBONE, "num_channels": BACKBONE["num_channels"]._replace(silent=(3,)),
                             "hidden_act": BACKBONE["hidden_act"]._replace(silent=("relu",))})

PIPELINE: Table = MappingProxyType({**_ANY, **_table(
    ("named", "only its parts are read; the other pipeline's own steps are not run", "_class_name"),
    ("used", "the parts of the model", "unet vae text_encoder tokenizer scheduler"),
    ("used", "by model.paint_by_example", "image_encoder feature_extractor"),
    ("named", "pictures are not checked by it", "safety_checker"),
    ("neutral", "only with safety_checker", "requires_safety_checker"),
    ("named", "a part that is left out", "controlnet adapter text_encoder_2 tokenizer_2 text_encoder_3 tokenizer_3 "
     "movq prior watermark motion_adapter"),
    ("neutral", "of SDXL, which is refused", "force_zeros_for_empty_prompt add_watermarker"))})

PIPELINE = MappingProxyType({**PIPELINE, "_class_name": PIPELINE["_class_name"]._replace(silent=(
    "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionInpaintPipelineLegacy", "PaintByExamplePipeline", "DDPMPipeline", "DDIMPipeline", "PNDMPipeline"))})

PREPROCESSOR: Table = MappingProxyType({**_ANY, **_table(
    ("used", "pictures are normalised by it", "image_mean image_std"),
    ("used", "side of what the model sees", "crop_size size"),
    ("named", "pictures are always resized, cut out of the middle, scaled to [0, 1] and normalised",
     "do_resize do_center_crop do_rescale do_normalize do_convert_rgb"),
    ("named", "8-bit samples are divided by 255", "rescale_factor"),
    ("named", "pictures are resized bicubically", "resample"),
    ("neutral", "which class of transformers wrote it, and its form", "feature_extractor_type image_processor_type "
     "processor_class return_tensors data_format input_data_format device disable_grouping do_pad pad_size "
     "size_divisor default_to_square _valid_processor_keys"))})
PREPROCESSOR = MappingProxyType({**PREPROCESSOR, **{
    key: PREPROCESSOR[key]._replace(silent=values) for key, values in (
        ("do_resize", (True,)), ("do_center_crop", (True,)), ("do_rescale", (True,)), ("do_normalize", (True,)),
        ("do_convert_rgb", (True,)), ("rescale_factor", (1 / 255,)), ("resample", (3,)))}})

ADAPTER: Table = MappingProxyType({**_ANY, **_table(
    ("used", "the scale of each layer: α/r, or α/√r with use_rslora", "r lora_alpha alpha_pattern use_rslora"),
    ("used", "compared with the tensors, which decide", "rank_pattern"),
    ("refused", "only plain LoRA is read", "peft_type use_dora fan_in_fan_out modules_to_save layer_replication "
     "use_qalora lora_bias bias trainable_token_indices target_parameters use_bdlora arrow_config kasa_config "
     "velora_config monteclora_config alora_invocation_tokens"),
    ("refused", "such a start (PiSSA, OLoRA, CorDA, LoftQ) changed the base's own weights", "init_lora_weights"),
    ("neutral", "which layers, as the keys show; training", "target_modules exclude_modules layers_to_transform "
     "layers_pattern lora_dropout inference_mode task_type auto_mapping megatron_config megatron_core revision "
     "base_model_name_or_path runtime_config loftq_config eva_config corda_config lora_ga_config qalora_group_size "
     "ensure_weight_tying"))})

LORA: Table = MappingProxyType(_table(
    ("used", "see the list of adapters", "lora_adapter_metadata adapter_config.json"),
    ("used", "the layer's α; r where there is none", ".alpha"),
    ("used", "the family; refused where it is not the denoiser's", "modelspec.architecture ss_base_model_version "
     "ss_v2"),
    ("named", "made for another prediction type than the model's", "modelspec.prediction_type ss_v_parameterization"),
    ("named", "made for a schedule that ends in pure noise, and the model's does not", "ss_zero_terminal_snr"),
    ("named", "without α in the tensors, α = r is used", "ss_network_alpha"),
    ("named", "the tensors' own ranks are used", "ss_network_dim"),
    ("named", "the text encoder's last layer is used", "ss_clip_skip"),
    ("refused", "another kind of adapter, by the module or its tensors", "ss_network_module"),
    ("named", "tensors for text encoders are left out", "lora_te_ lora_te1_ lora_te2_ text_encoder."),
    ("refused", "not a plain LoRA", "hada_w1 lokr_w dora_scale lora_magnitude_vector lora_mid oft_ ia3 on_input .diff "
     ".diff_b w_norm b_norm .set_weight .bias scale_weight"),
    ("used", "the base that inlay trained it for; another one is refused unless any_base", "inlay")))

CHECKPOINT: Table = MappingProxyType(_table(
    ("used", "the model predicts v", "v_pred"),
    ("used", "ᾱ is shifted so that it ends at 0", "ztsnr"),
    ("used", "what the UNet predicts", "modelspec.prediction_type prediction_type"),
    ("refused", "EDM has no betas", "edm_vpred.sigma_max edm_vpred.sigma_min edm_mean edm_std"),
    ("named", "another family than that of the layers, which decide", "modelspec.architecture"),
    ("used", "side of the pictures it was trained on", "modelspec.resolution"),
    ("used", "betas of its own, where they are not Stable Diffusion's", "betas"),
    ("used", "the latents' scaling factor", "scale_factor"),
    ("named", "the average of the weights; those under model.diffusion_model. are used", "model_ema."),
    ("named", "a group of tensors that nothing uses", "control_model. embedding_manager. lora_ (any other)")))

TENSORS: Table = MappingProxyType(_table(
    ("used", "the latent, in the diffusion model's space; another key by the setting key", "latent"),
    ("used", "noise; other keys by the settings start, steps and posterior", "z_T noises posterior_noise"),
    ("named", "another program's latents, which are not scaled", "latent_format_version_0"),
    ("named", "tensors that no setting names", "(any other)")))

TABLES: Mapping[str, tuple[str, Table]] = MappingProxyType({
    "scheduler/scheduler_config.json": ("schedule.ddim, schedule.solver", SCHEDULER),
    "unet/config.json": ("the model nodes", UNET),
    "vae/config.json": ("the model nodes", VAE),
    "text_encoder/config.json": ("the model nodes", TEXT),
    "tokenizer/tokenizer_config.json": ("the model nodes", TOKENIZER),
    "a detector's config.json": ("model.detector", DETECTOR),
    "its backbone_config": ("model.detector", BACKBONE),
    "model_index.json": ("the model nodes", PIPELINE),
    "preprocessor_config.json": ("exemplar encoders, CLIP, DINO, BLIP; DETR uses all of it", PREPROCESSOR),
    "a LoRA's tensors and metadata": ("model.lora", LORA),
    "a LoRA's adapter_config.json or lora_adapter_metadata": ("model.lora", ADAPTER),
    "a file of latents or noise": ("latent.load, noise.load", TENSORS),
    "a single checkpoint file": ("model.stable_diffusion, model.paint_by_example", CHECKPOINT)})


def unheard(table: Table, said: Mapping[str, Any], besides: tuple[str, ...] = ()) -> list[str]:
    """What a configuration says and nobody uses, one phrase a key: of kinds that are named, and of unknown keys.

    `besides` are keys that the caller has dealt with.
    """
    found = []
    for key, value in said.items():
        entry = table.get(key)
        if key in besides or any(value == nothing and type(value) is type(nothing) for nothing in NOTHING):
            continue
        if entry is None:
            found.append(f"{clean(str(key))[:60]} = {clean(shorten(value, 40))} (not known here)")
        elif entry.use == "named" and value not in entry.silent:
            found.append(f"{key} = {clean(shorten(value, 40))} ({entry.what})")
    return found


def name_unheard(where: str, found: list[str]) -> None:
    """One warning for all that a file says and nobody uses."""
    if found:
        shown = "; ".join(found[:40]) + (f"; and {len(found) - 40} more" if len(found) > 40 else "")
        notice(f"not used from {where}: {shown}")


def page() -> str:
    """`docs/files.md`."""
    lines = ["# What a model's files say, and what is done with it", "",
             "Everything in a checkpoint, a configuration or a LoRA that decides a result is used, named in a "
             "warning of `inlay check`", "and `inlay run`, or refused by the check. Keys that are not listed here are "
             "named as well, unless their value is empty;", "free text decides nothing. `make docs` writes this page "
             "from `models/known_keys.py`.", ""]
    for where, (reader, table) in TABLES.items():
        lines += [f"## {where}", "", f"Read by {reader}.", "", "| keys | | what is done |", "|---|---|---|"]
        rows: dict[tuple[str, str], list[str]] = {}
        for key, entry in table.items():
            rows.setdefault((entry.use, entry.what), []).append(f"`{key}`")
        lines += [f"| {' '.join(keys)} | {use} | {what} |" for (use, what), keys in rows.items()] + [""]
    return "\n".join(lines)
