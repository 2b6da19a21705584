"""Configurations as they are published on the hub bring no warning of keys that are not known."""

import pytest
from inlay.models.known_keys.encoders import BLIP_TEXT, CLIP, DINOV2, PREPROCESSOR, TEXT, TOKENIZER, VISION, WORDPIECE
from inlay.models.known_keys.pipeline import UNET, VAE
from inlay.models.known_keys.scheduler import SCHEDULER
from inlay.models.known_keys.table import list_unused

#: What transformers 4.16 to 4.26 wrote into each section of a CLIP or a BLIP.
OLDER = {
    "_name_or_path": "",
    "add_cross_attention": False,
    "architectures": None,
    "chunk_size_feed_forward": 0,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
    "is_decoder": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_scores": False,
    "pruned_heads": {},
    "repetition_penalty": 1.0,
    "return_dict": True,
    "temperature": 1.0,
    "tie_word_embeddings": True,
    "top_k": 50,
    "top_p": 1.0,
    "torchscript": False,
    "transformers_version": "4.26.0.dev0",
    "typical_p": 1.0,
    "use_bfloat16": False,
}
SIZES = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
TRAINING = {"attention_dropout": 0.0, "dropout": 0.0, "initializer_factor": 1.0, "initializer_range": 0.02}
TOKENS = {
    "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>"},
    "model_max_length": 77,
    "name_or_path": "openai/clip-vit-large-patch14",
    "special_tokens_map_file": "./special_tokens_map.json",
}
PUBLISHED = {
    "Stable Diffusion 2.1's UNet": (
        UNET,
        {
            "_class_name": "UNet2DConditionModel",
            "_diffusers_version": "0.8.0",
            "_name_or_path": "hf-models/unet",
            "num_class_embeds": None,
            "dual_cross_attention": False,
            "upcast_attention": True,
            "sample_size": 96,
            "only_cross_attention": False,
            "use_linear_projection": True,
            "attention_head_dim": [5, 10, 20, 20],
        },
    ),
    "a fine-tuned UNet": (
        UNET,
        {
            "addition_embed_type": None,
            "addition_embed_type_num_heads": 64,
            "attention_type": "default",
            "projection_class_embeddings_input_dim": None,
            "timestep_post_act": None,
            "upcast_attention": None,
            "resnet_out_scale_factor": 1.0,
            "time_cond_proj_dim": None,
            "num_attention_heads": None,
        },
    ),
    "a VAE": (VAE, {"latents_mean": None, "latents_std": None, "scaling_factor": 0.18215, "sample_size": 512}),
    "a PNDM scheduler": (SCHEDULER, {"set_alpha_to_one": False, "skip_prk_steps": True, "trained_betas": None}),
    "a CLIP": (
        CLIP,
        {"model_type": "clip", "projection_dim": 768, "logit_scale_init_value": 2.6592, "text_config_dict": SIZES},
    ),
    "a CLIP's text model": (TEXT, {**OLDER, **SIZES, **TRAINING, "bos_token_id": 0, "eos_token_id": 2}),
    "an exemplar encoder": (VISION, {**OLDER, **SIZES, **TRAINING, "num_channels": 3, "patch_size": 14}),
    "a BLIP's text model": (BLIP_TEXT, {**OLDER, **SIZES, "encoder_hidden_size": 768, "is_decoder": True}),
    "DINOv2": (DINOV2, {"layerscale_value": 1.0, "mlp_ratio": 4, "out_features": ["stage12"], "qkv_bias": True}),
    "a CLIP's tokenizer": (
        TOKENIZER,
        {**TOKENS, "do_lower_case": True, "add_prefix_space": False, "errors": "replace"},
    ),
    "a BLIP's tokenizer": (
        WORDPIECE,
        {
            "do_basic_tokenize": True,
            "never_split": None,
            "processor_class": "BlipProcessor",
            "model_input_names": ["input_ids", "attention_mask"],
            "tokenizer_class": "BertTokenizer",
        },
    ),
    "a CLIP's preprocessor": (
        PREPROCESSOR,
        {"crop_size": 224, "do_center_crop": True, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_brings_no_needless_warning(name):
    table, config = PUBLISHED[name]
    assert list_unused(table, config) == []
