"""LoRAs on a denoiser, as a description. Nothing is loaded here."""

from typing import Annotated, NamedTuple, cast

from pydantic import Field

from ..graph_runtime import BadInput, ModelSource, node
from ..models.lora.component import adapted
from ..models.lora.source import locate_lora
from .ports import Denoiser, Lora


class Adapted(NamedTuple):
    """The denoiser with the LoRA."""

    denoiser: Denoiser


@node("model.lora", version=1, static=True)
def lora(
    denoiser: Denoiser,
    lora: Lora | None = None,
    source: ModelSource | None = None,
    weight: Annotated[float, Field(ge=0, le=2)] = 1.0,
    revision: str | None = None,
    any_base: bool = False,
) -> Adapted:
    """Put a LoRA on a denoiser: h = W₀x + weight·(α/r)·B·A·x (Hu et al. 2022). Several stack, one node after another.

    The base's weights are shared and never changed. Diffusers', peft's and kohya's key layouts are read, safetensors
    only. α is that of the tensors, of the header (`lora_adapter_metadata`), or of peft's `adapter_config.json`. A
    warning names what a file holds that is not used, such as parts for text encoders (see docs/files.md).

    Args:
        denoiser: of the model that the LoRA was made for.
        lora: from train.subject_lora.
        source: a .safetensors file, a folder or a hub id such as `owner/name`, where no lora is connected.
        weight: strength of the LoRA: 0 nothing, 1 as it was trained.
        revision: branch, tag or commit of a hub id; null is its default branch.
        any_base: take a LoRA that was made for another base of the same shape.

    Raises:
        BadInput: neither a lora nor a source.
        ModelError: not a LoRA for a UNet, of another family or base, or of other sizes than the layers have; found
            from the header, while checking.
    """
    if lora is None and not source:
        raise BadInput(
            "source", found="nothing", expected="a LoRA", fix="connect train.subject_lora, or name a file in source"
        )
    where = lora if lora is not None else locate_lora(str(source), revision)
    return Adapted(cast(Denoiser, adapted(denoiser, where, weight, any_base)))
