"""Known keys of LoRA files: their tensors, metadata, and configurations of peft."""

from .table import ANYWHERE, Table, table

LORA: Table = table(
    ("used", "see the list of adapters", "lora_adapter_metadata adapter_config.json"),
    ("used", "the layer's α; r if there is none", ".alpha"),
    (
        "used",
        "the family; refused if it is not the denoiser's",
        "modelspec.architecture ss_base_model_version ss_v2",
    ),
    ("named", "made for a prediction type other than the model's", "modelspec.prediction_type ss_v_parameterization"),
    ("named", "made for a schedule that ends in pure noise, and the model's does not", "ss_zero_terminal_snr"),
    ("named", "without α in the tensors, α = r is used", "ss_network_alpha"),
    ("named", "the tensors' own ranks are used", "ss_network_dim"),
    ("named", "the text encoder's last layer is used", "ss_clip_skip"),
    ("refused", "another kind of adapter, by the module or its tensors", "ss_network_module"),
    ("named", "tensors for text encoders are left out", "lora_te_ lora_te1_ lora_te2_ text_encoder."),
    (
        "refused",
        "not a plain LoRA",
        "hada_w1 lokr_w dora_scale lora_magnitude_vector lora_mid oft_ ia3 on_input .diff "
        ".diff_b w_norm b_norm .set_weight .bias scale_weight",
    ),
    ("used", "the base that inlay trained it for; another one is refused unless any_base", "inlay"),
)

ADAPTER: Table = table(
    *ANYWHERE,
    ("used", "the scale of each layer: α/r, or α/√r with use_rslora", "r lora_alpha use_rslora"),
    ("used", "α by names of layers or their endings; other regular expressions are refused", "alpha_pattern"),
    ("used", "compared with the tensors, which decide", "rank_pattern"),
    (
        "refused",
        "only plain LoRA is read",
        "peft_type use_dora fan_in_fan_out modules_to_save layer_replication "
        "use_qalora lora_bias bias trainable_token_indices target_parameters use_bdlora arrow_config kasa_config "
        "velora_config monteclora_config alora_invocation_tokens",
    ),
    ("refused", "such a start (PiSSA, OLoRA, CorDA, LoftQ) changed the base's own weights", "init_lora_weights"),
    (
        "neutral",
        "which layers, as the keys show; training",
        "target_modules exclude_modules layers_to_transform "
        "layers_pattern lora_dropout inference_mode task_type auto_mapping megatron_config megatron_core revision "
        "base_model_name_or_path runtime_config loftq_config eva_config corda_config lora_ga_config qalora_group_size "
        "ensure_weight_tying",
    ),
)
