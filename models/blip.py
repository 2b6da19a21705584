"""BLIP (Li et al. 2022), which says what a picture shows, as a description."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..graph_runtime import ModelError
from .config import MAX_WIDTH, Settings
from .image_encoder import ImageEncoderComponent, vision_config


class CaptionModule(nn.Module):
    """A BLIP with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    @torch.no_grad()
    def say(self, pixels: Tensor, prompt: str, longest: int, beams: int) -> str:
        """What the picture `[1 3 s s]` shows, the words of `prompt` first; beam search, so always the same."""
        told = {}
        if prompt:
            told["input_ids"] = self.tokenizer(prompt, return_tensors="pt").input_ids.to(pixels.device)
        found = self.model.generate(
            pixel_values=pixels, max_new_tokens=longest, num_beams=beams, do_sample=False, **told
        )
        said: str = self.tokenizer.decode(found[0], skip_special_tokens=True)
        return said.strip()


@dataclass(frozen=True)
class CaptionerComponent(ImageEncoderComponent):
    """A BlipForConditionalGeneration with its tokenizer."""

    component = "captioner"
    noun = "captioner"
    facts = ("image_size", "mean", "std")

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, pixels."""
        return Settings(vision_config(self.config), f"config.json of {self.origin.name}").whole(
            "image_size", 384, 1, MAX_WIDTH
        )

    def check(self) -> None:
        """Only BLIPs that caption."""
        kind = self.settings.texts("architectures", ("BlipForConditionalGeneration",))[0]
        family = self.settings.text("model_type", "blip")
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

        folder = self.origin.weights(self.component).folder  # a class of its own: an Auto class may run a folder's code
        tokenizer = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
        return CaptionModule(self._from_pretrained(BlipForConditionalGeneration), tokenizer)
