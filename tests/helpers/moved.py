"""Library classes that moved between the releases that inlay supports."""

import json

from transformers import DetrConfig, DetrForObjectDetection

try:
    from diffusers.pipelines.deprecated.paint_by_example.image_encoder import PaintByExampleImageEncoder
    from diffusers.pipelines.deprecated.paint_by_example.pipeline_paint_by_example import PaintByExamplePipeline
except ImportError:  # before diffusers 0.36
    from diffusers.pipelines.paint_by_example.image_encoder import PaintByExampleImageEncoder
    from diffusers.pipelines.paint_by_example.pipeline_paint_by_example import PaintByExamplePipeline
try:
    from transformers import CLIPImageProcessorPil
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
except ImportError:  # transformers 4, whose plain processors go by Pillow
    from transformers import CLIPImageProcessor as CLIPImageProcessorPil
    from transformers import DetrImageProcessor as DetrImageProcessorPil


def detr_from(folder):
    """transformers' own DETR from a folder; version 4 asks for timm unless its configuration says otherwise."""
    config = json.loads((folder / "config.json").read_text())
    config = DetrConfig.from_dict(
        {**config, "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    )
    return DetrForObjectDetection.from_pretrained(folder, config=config).eval()


__all__ = [
    "CLIPImageProcessorPil",
    "DetrImageProcessorPil",
    "PaintByExampleImageEncoder",
    "PaintByExamplePipeline",
    "detr_from",
]
