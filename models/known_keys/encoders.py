"""Known keys of the configurations of text encoders, tokenizers and preprocessors."""

from .table import ANYWHERE, BUILD, TRANSFORMERS, Table, table

TEXT: Table = table(
    *ANYWHERE,
    (
        "used",
        BUILD,
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "max_position_embeddings hidden_act layer_norm_eps",
    ),
    ("refused", "quantised weights are not read", "quantization_config"),
    (
        "neutral",
        "only the pooled output, which Stable Diffusion does not read, or training",
        "projection_dim bos_token_id eos_token_id pad_token_id attention_dropout dropout initializer_factor "
        "initializer_range gradient_checkpointing",
    ),
    ("neutral", "transformers' own, for other models", TRANSFORMERS),
)

TOKENIZER: Table = table(
    *ANYWHERE,
    (
        "used",
        "by CLIP's tokenizer",
        "model_max_length bos_token eos_token unk_token pad_token added_tokens_decoder "
        "additional_special_tokens extra_special_tokens",
    ),
    ("named", "CLIP's tokenizer is used", "tokenizer_class"),
    (
        "named",
        "CLIP's tokenizer always lowercases words and adds no space before them",
        "do_lower_case add_prefix_space",
    ),
    (
        "neutral",
        "decoding, and where files were",
        "errors clean_up_tokenization_spaces name_or_path "
        "special_tokens_map_file tokenizer_file vocab_file merges_file processor_class backend is_local use_fast "
        "legacy padding_side truncation_side split_special_tokens _from_auto auto_map chat_template",
    ),
    unremarkable={
        "do_lower_case": (True,),
        "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast", "TokenizersBackend"),
    },
)

PREPROCESSOR: Table = table(
    *ANYWHERE,
    ("used", "pictures are normalised by it", "image_mean image_std"),
    ("used", "side of what the model sees", "crop_size size"),
    (
        "named",
        "pictures are always resized, cut out of the middle, scaled to [0, 1] and normalised",
        "do_resize do_center_crop do_rescale do_normalize do_convert_rgb",
    ),
    ("named", "8-bit samples are divided by 255", "rescale_factor"),
    ("named", "pictures are resized bicubically", "resample"),
    (
        "neutral",
        "which class of transformers wrote it, and its form",
        "feature_extractor_type image_processor_type "
        "processor_class return_tensors data_format input_data_format device disable_grouping do_pad pad_size "
        "size_divisor default_to_square _valid_processor_keys",
    ),
    unremarkable={
        "do_resize": (True,),
        "do_center_crop": (True,),
        "do_rescale": (True,),
        "do_normalize": (True,),
        "do_convert_rgb": (True,),
        "rescale_factor": (1 / 255,),
        "resample": (3,),
    },
)
