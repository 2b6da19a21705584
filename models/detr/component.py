"""DETR as a description (Carion et al. 2020): its labels, its preprocessing, and how its files become a module.

transformers' own loader needs `timm` for the published `facebook/detr-resnet-50`, whose backbone is a plain ResNet
under timm's names. Here those names are translated to transformers' ResNet, which computes the same. So the default
revision and `no_timm` both load without timm and torchvision.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from ...graph_runtime import ModelError
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.errors import shorten
from ...graph_runtime.core.light.later import nn
from ..component import Component, Origin
from ..config import (
    MAX_WIDTH,
    Architecture,
    Arguments,
    Config,
    ConfigFile,
    Strings,
    Width,
    Widths,
    read_config,
    refused,
    uneven,
)
from ..encoder_configs import Activation
from ..weights import fill, list_stored, without_weights
from .preprocessing import Preprocessing, read_preprocessing

MAX_LABELS, MAX_QUERIES, MAX_LAYERS = 65_536, 10_000, 256
_Layers = Annotated[StrictInt, Field(ge=0, le=MAX_LAYERS)]
_Depth = Annotated[StrictInt, Field(ge=1, le=MAX_LAYERS)]
_Heads = Annotated[StrictInt, Field(ge=1, le=1024)]
#: ResNets by timm's name: kind of block, blocks in each stage (He et al. 2016, table 1).
RESNETS: Mapping[str, tuple[str, tuple[int, ...]]] = MappingProxyType(
    {
        "resnet18": ("basic", (2, 2, 2, 2)),
        "resnet34": ("basic", (3, 4, 6, 3)),
        "resnet50": ("bottleneck", (3, 4, 6, 3)),
        "resnet101": ("bottleneck", (3, 4, 23, 3)),
        "resnet152": ("bottleneck", (3, 8, 36, 3)),
    }
)
WIDTHS: Mapping[str, tuple[int, ...]] = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
#: By default transformers 4 needs timm, and it refuses this default together with a configuration.
WITHOUT_TIMM: Arguments = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
#: Rules from older names to those of transformers 5; every matching rule is applied.
RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^model\.backbone\.conv_encoder\.", "model.backbone."),
        (r"^(model\.(?:en|de)coder\.layers\.\d+\.(?:self|encoder)_attn)\.out_proj\.", r"\1.o_proj."),
        (r"^(model\.(?:en|de)coder\.layers\.\d+)\.(fc[12])\.", r"\1.mlp.\2."),
        (r"^model\.backbone\.model\.conv1\.", "model.backbone.model.embedder.embedder.convolution."),
        (r"^model\.backbone\.model\.bn1\.", "model.backbone.model.embedder.embedder.normalization."),
    )
)
BLOCK = re.compile(r"model\.backbone\.model\.layer([1-4])\.(\d+)\.(?:(conv|bn)([1-3])|downsample\.([01]))\.(.+)")


class DetrConfigFile(ConfigFile):
    """`config.json` of a DETR, behind its backbone."""

    num_labels: Annotated[StrictInt, Field(ge=1, le=MAX_LABELS)] = 2
    d_model: Annotated[StrictInt, Field(ge=2, le=MAX_WIDTH)] = 256
    num_queries: Annotated[StrictInt, Field(ge=1, le=MAX_QUERIES)] = 100
    position_embedding_type: Literal["sine", "learned"] = "sine"
    activation_function: Activation = "relu"
    encoder_layers: _Layers = 6
    encoder_ffn_dim: Width = 2048
    encoder_attention_heads: _Heads = 8
    decoder_layers: _Layers = 6
    decoder_ffn_dim: Width = 2048
    decoder_attention_heads: _Heads = 8

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        for key in ("encoder_attention_heads", "decoder_attention_heads"):
            if self.d_model % getattr(self, key):
                raise uneven(key, f"a divisor of d_model, which is {self.d_model}")
        return self

    @property
    def least(self) -> int:
        """How many numbers its weights are at least."""
        encoder = self.encoder_layers * self.d_model * (4 * self.d_model + 2 * self.encoder_ffn_dim)
        return encoder + self.decoder_layers * self.d_model * (8 * self.d_model + 2 * self.decoder_ffn_dim)


class ResNetConfigFile(ConfigFile):
    """`backbone_config` of a ResNet."""

    embedding_size: Width = 64
    hidden_sizes: Widths = WIDTHS["bottleneck"]
    depths: Annotated[tuple[_Depth, ...], Field(min_length=1, max_length=12)] = (3, 4, 6, 3)
    layer_type: Literal["basic", "bottleneck"] = "bottleneck"
    out_features: Strings | None = None
    downsample_in_first_stage: object = False
    downsample_in_bottleneck: object = False

    def as_settings(self) -> Arguments:
        """Arguments of transformers' ResNetConfig."""
        return {
            "embedding_size": self.embedding_size,
            "hidden_sizes": list(self.hidden_sizes),
            "depths": list(self.depths),
            "layer_type": self.layer_type,
            "out_features": [self.out_features[-1] if self.out_features else f"stage{len(self.depths)}"],
            "downsample_in_first_stage": self.downsample_in_first_stage is True,
            "downsample_in_bottleneck": self.downsample_in_bottleneck is True,
        }


@dataclass(frozen=True)
class DetectorComponent(Component):
    """A DETR for object detection, with a ResNet as its backbone."""

    component = "detector"
    noun = "detector"
    facts = ("labels", "preprocessing", "shape")

    @classmethod
    def state(cls, origin: Origin) -> str:
        """State of its files, the preprocessor's included."""
        return super().state(origin) + origin.stamp("feature_extractor")

    @property
    def label(self) -> str:
        """`detector dollhouse-detector`."""
        return f"{self.noun} {self.origin.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state and the preprocessing."""
        how = repr(self.preprocessing) if self.known else ""
        return sha256(f"{super().fingerprint}|{how}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it can find, by number."""
        found = self.config.get("id2label")
        if found is None:
            return tuple(f"LABEL_{number}" for number in range(self.settings.num_labels))
        names = {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}
        listed = (names.get(str(number)) for number in range(len(names)))
        labels = tuple(label for label in listed if isinstance(label, str))
        if not 1 <= len(labels) <= MAX_LABELS or len(labels) != len(names):
            value = "an object" if isinstance(found, Mapping) else found
            raise refused("id2label", value, "names for the numbers 0, 1, 2, …, none left out", self.where)
        return labels

    @property
    def settings(self) -> DetrConfigFile:
        """The configuration, read by type and bounds."""
        return read_config(DetrConfigFile, self.config, self.where)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of its pictures."""
        where = f"preprocessor_config.json of {self.origin.name}"
        return read_preprocessing(self.origin.optional("feature_extractor"), where)

    @property
    def backbone(self) -> Arguments:
        """transformers' settings of the ResNet, in whichever form the file describes it.

        Raises:
            ModelError: another backbone.
        """
        inner = self.config.get("backbone_config")
        config: Config = inner if isinstance(inner, Mapping) else {}
        where = f"backbone_config of {self.origin.name}"
        kind = read_config(Architecture, config, where).model_type or "resnet"
        if kind == "resnet" and (config or self.config.get("use_timm_backbone") is False):
            return read_config(ResNetConfigFile, config, where).as_settings()
        name = self.config.get("backbone") or config.get("backbone") or "resnet50"
        strides = self.config.get("dilation") is True or config.get("output_stride") not in (None, 32)
        if kind not in ("resnet", "timm_backbone") or not isinstance(name, str) or name not in RESNETS or strides:
            what = (
                f"{shorten(name)} with dilation (DC5)"
                if strides
                else shorten(kind if kind not in ("resnet", "timm_backbone") else name)
            )
            raise ModelError(
                "source",
                found=f"the backbone {what} in {self.origin.name}",
                expected=f"one of {', '.join(RESNETS)}, without dilation",
                fix="use facebook/detr-resnet-50 or facebook/detr-resnet-101",
            )
        layer, depths = RESNETS[name]
        return {
            "embedding_size": 64,
            "hidden_sizes": list(WIDTHS[layer]),
            "depths": list(depths),
            "layer_type": layer,
            "out_features": ["stage4"],
        }

    @property
    def shape(self) -> Arguments:
        """transformers' settings of everything behind the backbone."""
        return self.settings.model_dump(exclude={"num_labels"})

    def check(self) -> None:
        """Refuse anything but a plain DETR for object detection."""
        kind = self.architecture.first or "DetrForObjectDetection"
        model = self.architecture.model_type or "detr"
        if kind != "DetrForObjectDetection" or model != "detr":
            raise ModelError(
                "source",
                found=f"a {kind if model == 'detr' else model} in {self.origin.name}",
                expected="a DetrForObjectDetection",
                fix="use facebook/detr-resnet-50, or give a mask of your own instead of detecting",
            )
        super().check()
        _ = self.backbone
        self.require_weights(self.settings.least, "d_model")

    def _read(self) -> nn.Module:
        from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

        config = DetrConfig(
            backbone_config=ResNetConfig(**self.backbone),
            id2label=dict(enumerate(self.labels)),
            **WITHOUT_TIMM,
            **self.shape,
        )
        with without_weights():
            module = DetrForObjectDetection(config)
        stored = list_stored(self.origin.weights(self.component).files)
        names = {newest_name(name): name for name in module.state_dict()}
        return fill(
            module,
            {
                names.get(newest_name(key), key): value
                for key, value in stored.items()
                if not key.endswith("num_batches_tracked")
            },
            self.label,
        )


def newest_name(key: str) -> str:
    """A name as transformers 5 has it: published DETRs, and the modules of version 4, have older names or timm's."""
    for pattern, name in RENAMED:
        key = pattern.sub(name, key)
    if match := BLOCK.fullmatch(key):
        stage, block, kind, number, short, rest = match.groups()
        inner = f"layer.{int(number) - 1}" if number else "shortcut"
        what = "convolution" if kind == "conv" or short == "0" else "normalization"
        return f"model.backbone.model.encoder.stages.{int(stage) - 1}.layers.{block}.{inner}.{what}.{rest}"
    return key
