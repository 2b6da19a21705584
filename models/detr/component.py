"""DETR as a description (Carion et al. 2020): its labels, its preprocessing, and how its files become a module.

transformers' own loader wants `timm` for the published `facebook/detr-resnet-50`, whose backbone is a plain ResNet
under timm's names. Here those names are translated to transformers' ResNet, which computes the same; so the default
revision and `no_timm` both load, without timm and without torchvision.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from ...graph_runtime import ModelError
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.errors import shorten
from ..component import Component
from ..config import MAX_WIDTH, Settings
from ..weights import fill, read_stored
from .preprocessing import Preprocessing, read_preprocessing

MAX_LABELS, MAX_QUERIES, MAX_LAYERS = 65_536, 10_000, 256
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
WIDTHS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
#: transformers 4 asks for timm unless it is told not to, and refuses its own default beside a configuration.
WITHOUT_TIMM: Mapping[str, Any] = MappingProxyType(
    {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
)
#: How older names become those of transformers 5; each rule that matches is applied.
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


@dataclass(frozen=True)
class DetectorComponent(Component):
    """A DETR for object detection, with a ResNet as its backbone."""

    component = "detector"
    noun = "detector"
    facts = ("labels", "preprocessing", "shape")

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
        """What it can find, by number."""
        said = self.config.get("id2label")
        if said is None:
            return tuple(f"LABEL_{number}" for number in range(self.settings.whole("num_labels", 2, 1, MAX_LABELS)))
        names = {str(key): value for key, value in said.items()} if isinstance(said, Mapping) else {}
        wanted = [str(number) for number in range(len(names))]
        if (
            not 1 <= len(names) <= MAX_LABELS
            or set(names) != set(wanted)
            or not all(isinstance(value, str) for value in names.values())
        ):
            raise self.settings.refused(
                "id2label",
                "an object" if isinstance(said, Mapping) else said,
                "names for the numbers 0, 1, 2, …, none left out",
            )
        return tuple(names[number] for number in wanted)

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures go through."""
        said = self.origin.optional("feature_extractor")
        return read_preprocessing(Settings(said, f"preprocessor_config.json of {self.origin.name}"))

    @property
    def backbone(self) -> dict[str, Any]:
        """transformers' settings of the ResNet, whichever way the file describes it.

        Raises:
            ModelError: another backbone.
        """
        said = self.config.get("backbone_config")
        inner = Settings(said if isinstance(said, Mapping) else {}, f"backbone_config of {self.origin.name}")
        kind = inner.text("model_type", "resnet")
        if kind == "resnet" and (inner.values or self.config.get("use_timm_backbone") is False):
            layer = inner.text("layer_type", "bottleneck")
            if layer not in WIDTHS:
                raise inner.refused("layer_type", layer, "basic or bottleneck")
            depths = inner.wholes("depths", (3, 4, 6, 3), 1, MAX_LAYERS, 12)
            return {
                "embedding_size": inner.whole("embedding_size", 64, 1, MAX_WIDTH),
                "hidden_sizes": list(inner.wholes("hidden_sizes", WIDTHS["bottleneck"], 1, MAX_WIDTH, 12)),
                "depths": list(depths),
                "layer_type": layer,
                "out_features": [inner.texts("out_features", (f"stage{len(depths)}",))[-1]],
                "downsample_in_first_stage": inner.values.get("downsample_in_first_stage") is True,
                "downsample_in_bottleneck": inner.values.get("downsample_in_bottleneck") is True,
            }
        name = self.config.get("backbone") or inner.values.get("backbone") or "resnet50"
        strides = self.config.get("dilation") is True or inner.values.get("output_stride") not in (None, 32)
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
    def shape(self) -> dict[str, Any]:
        """transformers' settings of everything behind the backbone."""
        settings = self.settings
        kind = settings.text("position_embedding_type", "sine")
        if kind not in ("sine", "learned"):
            raise settings.refused("position_embedding_type", kind, "sine or learned")
        shape: dict[str, Any] = {
            "d_model": settings.whole("d_model", 256, 2, MAX_WIDTH),
            "num_queries": settings.whole("num_queries", 100, 1, MAX_QUERIES),
            "position_embedding_type": kind,
            "activation_function": settings.text("activation_function", "relu"),
        }
        for side in ("encoder", "decoder"):
            shape |= {
                f"{side}_layers": settings.whole(f"{side}_layers", 6, 0, MAX_LAYERS),
                f"{side}_ffn_dim": settings.whole(f"{side}_ffn_dim", 2048, 1, MAX_WIDTH),
                f"{side}_attention_heads": settings.whole(f"{side}_attention_heads", 8, 1, 1024),
            }
        return shape

    def check(self) -> None:
        """Only plain DETRs that find objects."""
        kind = self.settings.texts("architectures", ("DetrForObjectDetection",))[0]
        model = self.settings.text("model_type", "detr")
        if kind != "DetrForObjectDetection" or model != "detr":
            raise ModelError(
                "source",
                found=f"a {kind if model == 'detr' else model} in {self.origin.name}",
                expected="a DetrForObjectDetection",
                fix="use facebook/detr-resnet-50, or give a mask of your own instead of detecting",
            )
        super().check()
        _ = self.backbone

    def _read(self) -> nn.Module:
        from accelerate import init_empty_weights
        from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

        config = DetrConfig(
            backbone_config=ResNetConfig(**self.backbone),
            id2label=dict(enumerate(self.labels)),
            **WITHOUT_TIMM,
            **self.shape,
        )
        with init_empty_weights(include_buffers=False):
            module = DetrForObjectDetection(config)
        stored = read_stored(self.origin.weights(self.component).files)
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
