"""The page `docs/files.md`: every table of known keys."""

from collections.abc import Mapping
from types import MappingProxyType

from .detector import BACKBONE, DETECTOR
from .encoders import BLIP, BLIP_TEXT, BLIP_VISION, CLIP, DINOV2, PREPROCESSOR, TEXT, TOKENIZER, VISION, VIT, WORDPIECE
from .lora import ADAPTER, LORA
from .pipeline import PIPELINE, UNET, VAE
from .scheduler import SCHEDULER
from .table import Table
from .tensors import CHECKPOINT, TENSORS

TABLES: Mapping[str, tuple[str, Table]] = MappingProxyType(
    {
        "scheduler/scheduler_config.json": ("schedule.ddim, schedule.solver", SCHEDULER),
        "unet/config.json": ("the model nodes", UNET),
        "vae/config.json": ("the model nodes", VAE),
        "text_encoder/config.json": ("the model nodes", TEXT),
        "tokenizer/tokenizer_config.json": ("the model nodes, model.clip; tokenizer.json too", TOKENIZER),
        "a CLIP's config.json": ("model.clip, model.exemplar_encoder", CLIP),
        "its text_config": ("model.clip", TEXT),
        "its vision_config, or an exemplar encoder's config.json": ("model.clip and the exemplar encoders", VISION),
        "a DINO's config.json": ("model.dino", VIT),
        "a DINOv2's config.json": ("model.dino", DINOV2),
        "a BLIP's config.json": ("model.captioner", BLIP),
        "a BLIP's text_config": ("model.captioner", BLIP_TEXT),
        "a BLIP's vision_config": ("model.captioner", BLIP_VISION),
        "a BLIP's tokenizer_config.json": ("model.captioner; tokenizer.json too", WORDPIECE),
        "a detector's config.json": ("model.detector", DETECTOR),
        "its backbone_config": ("model.detector", BACKBONE),
        "model_index.json": ("the model nodes", PIPELINE),
        "preprocessor_config.json": ("exemplar encoders, CLIP, DINO, BLIP; DETR uses all of it", PREPROCESSOR),
        "a LoRA's tensors and metadata": ("model.lora", LORA),
        "a LoRA's adapter_config.json or lora_adapter_metadata": ("model.lora", ADAPTER),
        "a file of latents or noise": ("latent.load, noise.load", TENSORS),
        "a single checkpoint file": ("model.stable_diffusion, model.paint_by_example", CHECKPOINT),
    }
)


def page() -> str:
    """`docs/files.md`."""
    lines = [
        "# Keys of model files, and how inlay uses them",
        "",
        "Everything in a checkpoint, a configuration or a LoRA that affects results is used, named in a "
        "warning of `inlay check`",
        "and `inlay run`, or refused by the check. Keys that are not listed here are "
        "named as well, unless their value is empty;",
        "free text has no effect. `make docs` writes this page from `models/known_keys/`.",
        "",
    ]
    for where, (reader, table) in TABLES.items():
        lines += [f"## {where}", "", f"Read by {reader}.", "", "| keys | | what is done |", "|---|---|---|"]
        rows: dict[tuple[str, str], list[str]] = {}
        for key, entry in table.items():
            rows.setdefault((entry.use, entry.what), []).append(f"`{key}`")
        lines += [f"| {' '.join(keys)} | {use} | {what} |" for (use, what), keys in rows.items()] + [""]
    return "\n".join(lines)
