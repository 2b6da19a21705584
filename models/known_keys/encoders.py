"""Known keys of the configurations of encoders, tokenizers and preprocessors."""

from collections.abc import Mapping
from types import MappingProxyType

from ..encoder_configs import (
    BlipTextConfig,
    BlipVisionConfig,
    ClipConfig,
    ClipTextConfig,
    ClipVisionConfig,
    Dinov2Config,
    VitConfig,
)
from .table import ANYWHERE, BUILD, ELSEWHERE, TRANSFORMERS, Group, Table, keys_of, table

_COMMON: tuple[Group, ...] = (
    *ANYWHERE,
    ("neutral", "transformers' own, for other models", f"{TRANSFORMERS} bos_token_id eos_token_id pad_token_id"),
    ELSEWHERE,
)
_TRAINING = (
    "dropout attention_dropout hidden_dropout_prob attention_probs_dropout_prob gradient_checkpointing "
    "initializer_factor initializer_range projection_dim drop_path_rate"
)
#: What a text is written with in older files of transformers; `caption.blip` has settings of its own.
_WRITING: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "max_length": (20,),
        "min_length": (0,),
        "do_sample": (),
        "early_stopping": (),
        "num_beams": (1,),
        "num_beam_groups": (1,),
        "diversity_penalty": (0.0,),
        "temperature": (1.0,),
        "top_k": (50,),
        "top_p": (1.0,),
        "typical_p": (1.0,),
        "repetition_penalty": (1.0,),
        "length_penalty": (1.0,),
        "no_repeat_ngram_size": (0,),
        "encoder_no_repeat_ngram_size": (0,),
        "num_return_sequences": (1,),
        "bad_words_ids": (),
        "forced_bos_token_id": (),
        "forced_eos_token_id": (),
        "suppress_tokens": (),
        "begin_suppress_tokens": (),
        "exponential_decay_length_penalty": (),
    }
)
TEXT: Table = table(
    *_COMMON,
    ("neutral", "only the pooled output, which Stable Diffusion does not read, or training", _TRAINING),
    ("used", BUILD, keys_of(ClipTextConfig)),
    ("refused", "quantised weights are not read", "quantization_config"),
)
VISION: Table = table(
    *_COMMON,
    ("neutral", "training", _TRAINING),
    ("used", BUILD, keys_of(ClipVisionConfig)),
    ("used", "width of an exemplar encoder's token", "proj_size"),
)
CLIP: Table = table(
    *_COMMON,
    ("neutral", "training", f"{_TRAINING} logit_scale_init_value"),
    ("used", BUILD, keys_of(ClipConfig)),
    ("used", "its two models; the second form counts if both are there", "text_config vision_config"),
    ("used", "its two models, in older files", "text_config_dict vision_config_dict"),
)
VIT: Table = table(
    *_COMMON,
    ("neutral", "training, and outputs that are not read", f"{_TRAINING} encoder_stride pooler_output_size pooler_act"),
    ("used", BUILD, keys_of(VitConfig)),
)
DINOV2: Table = table(
    *_COMMON,
    (
        "neutral",
        "training, and outputs that are not read",
        f"{_TRAINING} layerscale_value out_features out_indices _out_features _out_indices stage_names "
        "apply_layernorm reshape_hidden_states",
    ),
    ("used", BUILD, keys_of(Dinov2Config)),
)
BLIP: Table = table(
    *_COMMON,
    ("neutral", "training", f"{_TRAINING} logit_scale_init_value image_text_hidden_size label_smoothing"),
    ("used", "its two models", "text_config vision_config"),
)
BLIP_TEXT: Table = table(
    *_COMMON,
    (
        "neutral",
        "training, and what follows from the other model",
        f"{_TRAINING} encoder_hidden_size is_decoder label_smoothing",
    ),
    ("named", "the settings of caption.blip are used", " ".join(_WRITING)),
    ("used", BUILD, keys_of(BlipTextConfig)),
    unremarkable=_WRITING,
)
BLIP_VISION: Table = table(
    *_COMMON, ("neutral", "training", f"{_TRAINING} num_channels"), ("used", BUILD, keys_of(BlipVisionConfig))
)

_READING: tuple[Group, ...] = (
    *ANYWHERE,
    (
        "used",
        "by the tokenizer",
        "model_max_length bos_token eos_token unk_token pad_token sep_token cls_token mask_token added_tokens_decoder "
        "additional_special_tokens extra_special_tokens split_special_tokens",
    ),
    (
        "neutral",
        "decoding, and where files were",
        "errors name_or_path special_tokens_map_file tokenizer_file vocab_file merges_file processor_class backend "
        "is_local local_files_only use_fast legacy padding_side truncation_side padding truncation max_length "
        "truncation_strategy stride pad_to_multiple_of pad_token_type_id _from_auto version post_processor "
        "model_input_names",
    ),
    ("named", "never followed", "auto_map chat_template init_inputs fast_tokenizer_files"),
)
TOKENIZER: Table = table(
    *_READING,
    ("named", "CLIP's tokenizer is used", "tokenizer_class normalizer pre_tokenizer model decoder"),
    ("neutral", "words are never tidied", "clean_up_tokenization_spaces"),
    (
        "named",
        "CLIP's tokenizer always lowercases words and adds no space before them",
        "do_lower_case add_prefix_space",
    ),
    unremarkable={
        "do_lower_case": (True,),
        "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast", "TokenizersBackend"),
    },
)
WORDPIECE: Table = table(
    *_READING,
    ("used", "by BERT's tokenizer", "do_lower_case tokenize_chinese_chars strip_accents clean_up_tokenization_spaces"),
    ("named", "BERT's tokenizer is used", "tokenizer_class normalizer pre_tokenizer model decoder"),
    ("neutral", "it is always done", "do_basic_tokenize never_split"),
    unremarkable={"tokenizer_class": ("BertTokenizer", "BertTokenizerFast", "TokenizersBackend")},
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
