"""BLIP (Li et al. 2022), which captions pictures, as a description."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..graph_runtime import ModelError
from .config import ConfigFile, Width, read_config
from .image_encoder import ImageEncoderComponent, vision_config

if TYPE_CHECKING:
    from transformers import BertTokenizer, BlipForConditionalGeneration


class CaptionModule(nn.Module):
    """A BLIP with its tokenizer."""

    def __init__(self, model: "BlipForConditionalGeneration", tokenizer: "BertTokenizer") -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    @torch.no_grad()
    def say(self, pixels: Tensor, prompt: str, longest: int, beams: int) -> str:
        """The caption of a picture `[1 3 s s]`, which begins with `prompt`; beam search, so always the same."""
        inputs = {}
        if prompt:
            inputs["input_ids"] = self.tokenizer(prompt, return_tensors="pt").input_ids.to(pixels.device)
        found = self.model.generate(
            pixel_values=pixels, max_new_tokens=longest, num_beams=beams, do_sample=False, **inputs
        )
        return str(self.tokenizer.decode(found[0], skip_special_tokens=True)).strip()


class BlipVisionConfig(ConfigFile):
    """`vision_config` in the `config.json` of a BLIP."""

    image_size: Width = 384


@dataclass(frozen=True)
class CaptionerComponent(ImageEncoderComponent):
    """A BlipForConditionalGeneration with its tokenizer."""

    component: ClassVar[Literal["captioner"]] = "captioner"
    noun = "captioner"
    facts = ("image_size", "mean", "std")

    @property
    def image_size(self) -> int:
        """Side of its input pictures, in pixels."""
        return read_config(
            BlipVisionConfig, vision_config(self.config), f"config.json of {self.origin.name}"
        ).image_size

    def check(self) -> None:
        """Refuse anything but a BLIP for captions."""
        kind = self.architecture.first or "BlipForConditionalGeneration"
        family = self.architecture.model_type or "blip"
        kind = kind if family == "blip" else f"{kind} of model_type {family!r}"
        if kind != "BlipForConditionalGeneration":
            raise ModelError(
                "source",
                found=f"a {kind} in {self.origin.name}",
                expected="a BlipForConditionalGeneration",
                fix="use Salesforce/blip-image-captioning-base",
            )
        super().check()

    def _read(self) -> nn.Module:
        from transformers import BertTokenizer, BlipForConditionalGeneration

        folder = self.origin.weights(self.component).folder  # an explicit class: an Auto class may run a folder's code
        tokenizer = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
        return CaptionModule(self._from_pretrained(BlipForConditionalGeneration), tokenizer)
