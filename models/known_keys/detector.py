"""Known keys of the configurations of a DETR and of its backbone."""

from .table import ANYWHERE, BUILD, ELSEWHERE, TRANSFORMERS, Table, table

DETECTOR: Table = table(
    *ANYWHERE,
    (
        "used",
        BUILD,
        "d_model encoder_layers encoder_ffn_dim encoder_attention_heads decoder_layers decoder_ffn_dim "
        "decoder_attention_heads num_queries activation_function position_embedding_type backbone_config backbone "
        "use_timm_backbone num_hidden_layers hidden_size num_attention_heads max_position_embeddings",
    ),
    ("used", "the labels that it can find", "id2label num_labels label2id"),
    ("refused", "the backbone would have other strides", "dilation"),
    ("named", "pictures have three channels", "num_channels"),
    ("named", "settings of a timm backbone", "backbone_kwargs"),
    (
        "neutral",
        "training",
        "auxiliary_loss init_std init_xavier_std dropout attention_dropout activation_dropout "
        "encoder_layerdrop decoder_layerdrop class_cost bbox_cost giou_cost mask_loss_coefficient "
        "dice_loss_coefficient bbox_loss_coefficient giou_loss_coefficient eos_coefficient classifier_dropout "
        "scale_embedding use_pretrained_backbone initializer_range initializer_factor",
    ),
    ("neutral", "transformers' own, for other models", TRANSFORMERS),
    ELSEWHERE,
    unremarkable={"num_channels": (3,)},
)

BACKBONE: Table = table(
    *ANYWHERE,
    (
        "used",
        BUILD,
        "embedding_size hidden_sizes depths layer_type out_features out_indices stage_names "
        "downsample_in_first_stage downsample_in_bottleneck backbone output_stride",
    ),
    ("named", "pictures have three channels", "num_channels"),
    ("named", "a ResNet's is relu", "hidden_act"),
    (
        "neutral",
        "how transformers loads a backbone of timm",
        "features_only freeze_batch_norm_2d use_pretrained_backbone use_timm_backbone",
    ),
    ("neutral", "transformers' own, for other models", TRANSFORMERS),
    ELSEWHERE,
    unremarkable={"num_channels": (3,), "hidden_act": ("relu",)},
)
